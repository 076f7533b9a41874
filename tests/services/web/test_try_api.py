"""POST /api/v1/profiles/try: for engineers, bounded, and never a 500."""

from __future__ import annotations

from typing import Any

import pytest

from device_profiles.library import SHIPPED
from services.authoring.tryout import LARGEST_YAML
from tests.services.web.world import World

PATH = "/api/v1/profiles/try"
SMALL = """\
profile: meter
family: meter
name: {zh: 表, en: Meter}
metrics: {power: {name: {zh: 功率, en: Power}, uom: kW, range: [0, 100]}}
states: {run: {name: {zh: 运行, en: Run}, values: {yes: {zh: 运行, en: running}, no: {zh: 停止, en: stopped}}}}
availability: {period: 1m}
bindings:
  - id: data
    topic: meters/{address}/data
    decode: [{json: true}]
    fields: {power: p, run: {path: r, map: {"1": yes, "0": no}}}
"""


def _ask(world: World, who: str = "engineer@east", **body: Any) -> Any:
    return world.client(who).post(PATH, json={"yaml": SMALL, "topic": "meters/m1/data", **body})


def test_readings_with_units_and_words(world: World) -> None:
    said = _ask(world, payload='{"p": 4.25, "r": 1, "x": 0}').json()
    assert said["profile"] == "meter"
    (reading,) = said["readings"]
    assert {one["name"]: (one["zh"], one["en"]) for one in reading["values"]} == {
        "power": ("4.25 kW", "4.25 kW"),
        "run": ("运行", "running"),
    }
    assert said["unread"] == ["x"]
    assert (said["error"], said["mistakes"]) == (None, [])


def test_an_impossible_value_is_flagged_and_not_shown(world: World) -> None:
    (reading,) = _ask(world, payload='{"p": 400, "r": 1}').json()["readings"]
    flagged = next(one for one in reading["values"] if one["name"] == "power")
    assert (flagged["value"], flagged["flag"]) == (None, "impossible")


def test_why_not(world: World) -> None:
    error = _ask(world, payload='{"p": 4, "r": 7}').json()["error"]
    assert (error["code"], error["binding"], error["field"]) == ("unknown_word", "data", "run")
    assert error["hint"]
    error = _ask(world, topic="meter/m1/data", payload="{}").json()["error"]
    assert error["code"] == "no_binding"
    assert "meters/{address}/data" in error["hint"]


def test_a_field_that_finds_nothing_names_the_nearest_key(world: World) -> None:
    said = _ask(world, yaml=SMALL.replace("power: p,", "power: powr,"), payload='{"power": 1, "r": 1}').json()
    assert said["absent"] == ["power (powr) (did you mean power?)"]


def test_mistakes_have_lines(world: World) -> None:
    (mistake,) = _ask(world, yaml=SMALL.replace("uom: kW", "unit: kW")).json()["mistakes"]
    assert (mistake["line"], mistake["where"]) == (4, "metrics.power.unit")
    assert "uom" in mistake["expected"]


def test_only_the_profile_can_be_proven(world: World) -> None:
    text = (SHIPPED / "sump_pump" / "json.yaml").read_text(encoding="utf-8")
    proof = _ask(world, yaml=text, topic="", prove=True).json()["proof"]
    assert proof["samples"] > 1 and proof["rule_tests"] > 3
    assert (proof["failures"], proof["untried"]) == ([], 0)


def test_who_may(world: World) -> None:
    assert _ask(world, "crew@east", payload="{}").status_code == 403
    assert _ask(world, "engineer@west", payload="{}").status_code == 200
    assert world.client().post(PATH, json={}).status_code == 401


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"yaml": "", "profile": "nonesuch"}, "nonesuch"),
        ({"yaml": "x" * (LARGEST_YAML + 1)}, "yaml"),
        ({"payload": "zz", "form": "hex"}, "hex digits"),
        ({"payload": "*", "form": "base64"}, "base64"),
        ({"timezone": "Mars/Base"}, "Mars/Base"),
        ({"form": "morse"}, "form"),
    ],
)
def test_what_cannot_be_tried_is_a_problem(world: World, body: dict[str, Any], says: str) -> None:
    answer = _ask(world, **body)
    assert answer.status_code == 422
    assert says in answer.text


@pytest.mark.parametrize(
    "yaml",
    [
        "a: " + "[" * 500,
        "a: &a [x]\nb: &b [" + ",".join(["*a"] * 50) + "]\nc: [" + ",".join(["*b"] * 5000) + "]",
        "!!python/object/apply:os.system ['true']",
        "\x00",
        "profile: [1",
        "- 1",
    ],
)
def test_foolish_yaml_is_a_mistake_with_a_line(world: World, yaml: str) -> None:
    answer = _ask(world, yaml=yaml)
    assert answer.status_code == 200
    assert answer.json()["mistakes"][0]["line"] >= 1
