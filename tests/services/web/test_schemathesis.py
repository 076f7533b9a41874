"""Whatever the OpenAPI document allows, and what it does not: never a 500, always a problem that teaches."""

from __future__ import annotations

from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis.generation import GenerationMode

from tests.services.web.world import World

_PARTS = ("method", "url", "params", "json", "data", "headers")
_SETTINGS = hypothesis.settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_generated_requests_never_break_it(world: World) -> None:
    config = schemathesis.Config.from_dict({})
    config.projects.default.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    schema = schemathesis.openapi.from_dict(world.app.openapi(), config=config)
    client = world.client("admin@*")
    seen: list[int] = []
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path.startswith("/api/v1/people") and operation.method.upper() == "POST":
            continue  # argon2 is slow on purpose; test_api has these

        @_SETTINGS
        @hypothesis.given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            request = case.as_transport_kwargs(base_url="http://testserver")
            request.pop("cookies", None)
            given = {name: request[name] for name in _PARTS if request.get(name) is not None}
            answer = client.request(**given)
            seen.append(answer.status_code)
            assert answer.status_code < 500, (case.method, case.path, request, answer.text)
            if answer.status_code >= 400:
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.json()["next_step"]

        ask()
    assert len(seen) > 100
    assert 200 in seen
