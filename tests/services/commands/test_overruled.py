"""A person has just set a part to one thing, and smoke orders the same command with other values: the order is sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from device_profiles.schema import DeviceProfile
from gateway.reading import Reply
from gateway.uplink import CommandOrder, CommandOutcome
from services.rules.store import list_alarms
from tests.commands_kit import PROFILE
from tests.services.commands.test_dispatch import Stage

_LIMIT = """commands:
  limit:
    name: {zh: 限功率, en: Limit the power}
    scope: port
    topic: plugs/{address}/cmd
    json: {do: limit, port: "{key-1}", n: "{nonce}", watts: "{watts}"}
    params: {watts: {type: integer, default: 3000, min: 0, max: 4000, uom: W, name: {zh: 功率, en: Power}}}
    expires: 10s
    timeout: 2s
    EFFECT
"""
_RULES = """rules:
  - id: not_limited
    name: {zh: 限功率失败, en: The power could not be limited}
    scope: port
    when: limit_command in (failed, expired)
    clear: {when: limit_command == done, for: 0s}
    severity: critical
    source: {kind: judgement}
"""


def _profile(effect: bool) -> DeviceProfile:
    limit = _LIMIT.replace("EFFECT", "effect: {when: power <= watts, within: 6s}" if effect else "retries: 0")
    text = PROFILE.replace("commands:\n", limit, 1).replace("rules:\n", _RULES, 1).replace("[feed]", "[feed, limit]")
    before, after = text.split("- id: smoke")
    after = after.replace("{command: cut}", "{command: limit, params: {watts: 0}}")
    text = f"{before}- id: smoke{after}"
    return DeviceProfile.model_validate(YAML(typ="safe").load(text))


@pytest.fixture(params=[True], ids=["effect"])
def stage(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    found = Stage(tmp_path, library={"plug": _profile(request.param)})
    found.says(power=400)
    yield found
    found.database.close()


def _set_by_hand(stage: Stage) -> tuple[str, CommandOrder]:
    id = stage.ask("limit", watts=3000)
    (order,) = stage.fetch()
    stage.sent(order)
    return id, order


def _smoke(stage: Stage) -> CommandOrder:
    """What the gateway is told for port 1."""
    stage.later(0.5)
    stage.says("", smoke="yes")
    return next(order for order in stage.fetch() if order.child == "port:1")


def _raised(stage: Stage) -> set[str]:
    with stage.database.read() as connection:
        return {alarm.rule for alarm in list_alarms(connection, None)}


@pytest.mark.parametrize("state", ["fetched", "sent", "acknowledged"])
def test_what_smoke_orders_takes_the_place_of_what_a_person_set(stage: Stage, state: str) -> None:
    by_hand = stage.ask("limit", watts=3000)
    (order,) = stage.fetch()
    if state != "fetched":
        stage.sent(order)
    if state == "acknowledged":
        stage.answers(order)
    ordered = _smoke(stage)
    assert (ordered.command, ordered.params) == ("limit", {"watts": 0})
    assert stage.state(by_hand) == ("failed", "overruled")
    assert _raised(stage) == {"smoke"}, "what gave way is no failure of what was ordered"
    stage.restart()
    stage.sent(ordered)
    stage.answers(order)  # late, with its own number
    assert stage.look(ordered.id).state == "sent"
    assert stage.look(by_hand).events[-1].what == "late_answer"
    stage.answers(ordered)
    stage.later(0.1)
    stage.says(power=0)
    assert stage.state(ordered.id) == ("done", "effect_seen")


def test_what_waits_to_be_fetched_is_not_sent_at_all(stage: Stage) -> None:
    by_hand = stage.ask("limit", watts=3000)
    ordered = _smoke(stage)
    assert ordered.params == {"watts": 0} and stage.state(by_hand) == ("cancelled", "overruled")


def test_what_a_gateway_had_not_said_yet_was_not_sent(stage: Stage) -> None:
    """The order overtakes it there: urgent ones go first."""
    fed = stage.ask("feed")
    (order,) = stage.fetch()
    ordered = _smoke(stage)
    assert ordered.urgent and not order.urgent
    stage.desk.report("g", [CommandOutcome(order.id, 1, "expired", stage.ms, "overtaken")])
    assert stage.state(fed) == ("cancelled", "overruled")


@pytest.mark.parametrize(("ok", "watts", "end"), [
    (True, 0, ("done", "effect_seen")),
    (False, 0, ("done", "effect_seen")),
    (True, 400, ("failed", "no_effect")),
])  # fmt: skip
def test_an_answer_without_a_number_may_be_to_the_other_one_so_the_effect_decides(
    stage: Stage, ok: bool, watts: int, end: tuple[str, str]
) -> None:
    _set_by_hand(stage)
    ordered = _smoke(stage)
    stage.sent(ordered)
    stage.restart()
    stage.says("port:1", replies=(Reply("limit", "", ok, "ok" if ok else "locked"),))
    assert stage.look(ordered.id).state == "sent", "it proves nothing"
    stage.later(3)
    assert stage.look(ordered.id).state == "acknowledged", "nor does silence after it"
    stage.says(power=watts)
    stage.later(4)
    assert stage.state(ordered.id) == end
    assert ("not_limited" in _raised(stage)) == (end[0] == "failed")


def test_after_the_time_of_the_other_one_an_answer_counts_again(stage: Stage) -> None:
    _set_by_hand(stage)
    stage.later(1)
    ordered = _smoke(stage)
    stage.sent(ordered)
    stage.later(1)  # 2.5 s after what the person set was sent, which waited 2 s for an answer
    stage.says("port:1", replies=(Reply("limit"),))
    assert stage.look(ordered.id).state == "acknowledged"


@pytest.mark.parametrize("stage", [False], indirect=True, ids=["no effect"])
def test_where_nothing_can_show_it_an_answer_in_doubt_is_no_success(stage: Stage) -> None:
    _set_by_hand(stage)
    ordered = _smoke(stage)
    stage.sent(ordered)
    stage.says("", replies=(Reply("limit"),))
    assert stage.look(ordered.id).state == "sent"
    stage.later(3)
    assert stage.state(ordered.id) == ("failed", "no_answer")
    assert "not_limited" in _raised(stage), "people are told to look"
