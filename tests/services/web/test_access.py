"""Nobody gets in by accident: every route, every role, two sites."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

from services.accounts.policy import INCLUDES, Role
from services.web.security import UndeclaredRoute, declared_routes, public, refuse_undeclared
from tests.services.web.world import SITES, World

PRINCIPALS = ["", *(f"{role.value}@{site}" for role in Role for site in (*SITES, "*"))]
# What stands for an id in a path, per site. People and tokens belong to no site.
IDS = {
    "site": "{site}",
    "device": "{site}-pump",
    "alarm": "{site}-alarm",
    "ticket": "{site}-ticket",
    "outage": "{site}-outage",
    "notice": "{site}-notice",
    "command": "{site}-command",
    "version": "0",
    "preview": "nothing",
    "step": "0",
    "person": "nobody",
    "token": "nothing",
}
BODIES: dict[str, dict[str, Any]] = {
    "assign": {"version": 1, "to": "crew.all"},
    "notes": {"text": "x"},
    "news": {"zh": "x", "en": "x"},
    "password": {"password": "four quiet herons", "current": "wrong"},
    "people": {"login": "new.one", "password": "four quiet herons", "grants": [{"site": "*", "role": "crew"}]},
    "tokens": {"name": "x", "role": "crew"},
    "replay": {},
    "commands": {"command": "cut"},
    "adopt": {"site": "east"},
    "place": {},
    "rule-book": {"book": {}, "version": 0, "without_preview": True, "reason": "x"},
    "previews": {"book": {}, "start": "2026-03-01T00:00:00Z", "end": "2026-03-01T00:01:00Z"},
    "rollback": {"to": 0, "version": 0},
    "snooze": {"until": "2026-03-01T09:00:00Z"},
    "replace": {"address": "another"},
}


def operations(world: World) -> list[tuple[str, str, dict[str, Any]]]:
    schema = world.client().get("/api/v1/openapi.json").json()
    return [(path, method, op) for path, verbs in schema["paths"].items() for method, op in verbs.items()]


def ask(client: TestClient, method: str, path: str, operation: dict[str, Any], site: str) -> Any:
    for name, value in IDS.items():
        path = path.replace("{" + name + "}", value.format(site=site))
    required = [p for p in operation.get("parameters", ()) if p["in"] == "query" and p["required"]]
    query = {p["name"]: {"device": f"{site}-pump", "gateway": "gateway@*"}[p["name"]] for p in required}
    body = BODIES.get(path.rsplit("/", 1)[-1], {"version": 1}) if "requestBody" in operation else None
    return client.request(method, path, params=query, json=body)


def expected_to_enter(who: str, needs: str) -> bool:
    if needs == "public":
        return True
    if not who:
        return False
    role, site = who.split("@")
    wanted, _, everywhere = needs.partition(" of ")
    return Role(wanted) in INCLUDES[Role(role)] and (not everywhere or site == "*")


def test_the_whole_matrix(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """operations x principals x sites of the object: refused wherever it is due, and never a word of the other site."""
    tried: Counter[str] = Counter()
    everything = operations(world)
    clients = {who: world.client(who) for who in PRINCIPALS}
    for path, method, operation in everything:
        for who, client in clients.items():
            for target in SITES:
                answer = ask(client, method, path, operation, target)
                about = f"{method.upper()} {path} as {who or 'nobody'} on {target}: {answer.status_code} {answer.text}"
                if not expected_to_enter(who, operation["x-access"]):
                    assert answer.status_code == (403 if who else 401), about
                    assert answer.headers["content-type"] == "application/problem+json", about
                    tried["refused by role"] += 1
                elif _belongs_to_a_site(path, operation) and who.split("@")[-1] not in (target, "*") and who:
                    assert answer.status_code == 404, about
                    tried["refused by site"] += 1
                else:
                    assert answer.status_code != 401 and answer.status_code < 500, about
                    assert answer.status_code != 403 or _refused_for_another_reason(answer), about
                    tried["let in"] += 1
                home = who.split("@")[-1]
                if home in SITES and answer.status_code < 400 and operation["x-access"] != "public":
                    _says_nothing_of(answer.text, SITES[1 - SITES.index(home)], about)
    total = sum(tried.values())
    with capsys.disabled():
        print(f"\naccess matrix: {len(everything)} operations x {len(PRINCIPALS)} principals x {len(SITES)} sites")
        print(f"  = {total} requests: " + ", ".join(f"{count} {kind}" for kind, count in sorted(tried.items())))
    assert total == len(everything) * len(PRINCIPALS) * len(SITES)
    assert tried["refused by role"] > 300 and tried["refused by site"] > 50


def _belongs_to_a_site(path: str, operation: dict[str, Any]) -> bool:
    of_site = ("{site}", "{device}", "{alarm}", "{ticket}", "{outage}", "{notice}", "{command}")
    return any(name in path for name in of_site) or path.endswith("/readings")


def _refused_for_another_reason(answer: Any) -> bool:
    """A gateway's own name, or a wrong current password: not the role."""
    return answer.json()["type"] == "other-gateway" or "password" in answer.json()["detail"]


def _says_nothing_of(text: str, other: str, about: str) -> None:
    for kind in ("pump", "alarm", "ticket", "outage", "notice", "command"):
        assert f"{other}-{kind}" not in text, about


def _names(site: str, text: str) -> bool:
    """As a word or the beginning of one: the four letters may stand within an id as well, which is random."""
    return re.search(rf"\b{site}", text) is not None


def test_lists_are_cut_to_the_scope_and_filters_do_not_widen_it(world: World) -> None:
    for who in ("crew@east", "engineer@east", "admin@east"):
        client = world.client(who)
        for path in ("sites", "devices", "alarms", "tickets", "outages", "commands"):
            both = world.client("admin@*").get(f"/api/v1/{path}").text
            assert _names("east", both) and _names("west", both)
            for query in ({}, {"site": "west"}, {"device": "west-pump"}):
                assert not _names("west", client.get(f"/api/v1/{path}", params=query).text), (who, path, query)


def test_a_role_at_one_site_is_not_the_role_at_another(world: World) -> None:
    """Crew in the east and engineer in the west: the engineer's routes show the west only."""
    from services.accounts import desk
    from services.accounts.policy import Grant
    from tests.services.web.world import NOW, PASSWORD

    grants = [Grant("east", Role.CREW), Grant("west", Role.ENGINEER)]
    desk.add_person(world.context.database, login="both", password=PASSWORD, grants=grants, now=NOW, who=None)
    client = world.browser("both")
    assert {device["id"] for device in client.get("/api/v1/devices").json()["items"]} == {"east-pump", "west-pump"}
    assert {notice["id"] for notice in client.get("/api/v1/notices").json()["items"]} == {"west-notice"}
    assert client.post("/api/v1/notices/east-notice/retry").status_code == 404
    assert client.post("/api/v1/notices/west-notice/retry").status_code == 200


def test_every_route_declares_its_access(world: World) -> None:
    declared = list(declared_routes(world.app))
    assert len(declared) > 40
    public_ones = {route.path for route in declared if route.access.role is None}
    assert {"/api/v1/health", "/login"} <= public_ones
    assert not any(
        path.startswith("/api/") for path in public_ones - {"/api/v1/health", "/api/v1/openapi.json", "/api/v1/docs"}
    )


def test_an_app_with_an_undeclared_route_does_not_start() -> None:
    router = APIRouter()

    @router.get("/forgotten")
    def forgotten() -> str:
        return "secret"

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(router, prefix="/x")
    with pytest.raises(UndeclaredRoute, match="/x/forgotten"):
        refuse_undeclared(app)


def test_fastapis_own_undeclared_pages_do_not_slip_in_either() -> None:
    with pytest.raises(UndeclaredRoute, match=r"openapi\.json"):
        refuse_undeclared(FastAPI())


def test_public_is_a_word_one_has_to_say() -> None:
    from fastapi import Depends

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/open", dependencies=[Depends(public())])
    def open_to_all() -> str:
        return "hello"

    refuse_undeclared(app)


@pytest.mark.parametrize(
    "path",
    [
        "//api/v1/devices",
        "/api//v1/devices",
        "/api/v1//devices",
        "/api/v1/devices/",
        "/api/v1/./devices",
        "/api/v1/../v1/devices",
        "/static/../api/v1/devices",
        "/static/..%2f..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/api/v1/devices%2Feast-pump",
        "/api/v1/devices/east-pump%2F",
        "/api/v1/devices/..%2Fdevices",
        "/API/v1/devices",
        "/api/v1/devices;x=/api/v1/health",
        "/api/v1/health/../devices",
    ],
)
def test_odd_paths_open_nothing(world: World, path: str) -> None:
    for client in (world.client(), world.client("crew@west")):
        status, body = raw_get(client, path)
        assert status in (303, 401, 404), (path, status)
        assert '"site":"east"' not in body
        assert "import" not in body


def raw_get(client: TestClient, path: str) -> tuple[int, str]:
    """The path exactly as written: URL libraries tidy it up."""
    import asyncio
    from urllib.parse import unquote

    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        said.append(message)

    headers = [(name.lower().encode(), value.encode()) for name, value in client.headers.items()]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [*headers, (b"host", b"testserver")],
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
        "state": {},
    }
    asyncio.run(client.app(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in said[1:])
    return said[0]["status"], body.decode(errors="replace")


def test_the_openapi_document_says_what_each_operation_needs(world: World) -> None:
    for path, method, operation in operations(world):
        assert operation["x-access"], (path, method)
        assert operation["summary"], (path, method)
        assert "422" not in operation["responses"]
        assert bool(operation["security"]) == (operation["x-access"] != "public")
    json.dumps(world.app.openapi())
