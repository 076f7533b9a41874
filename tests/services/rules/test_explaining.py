"""What happened to one alarm, read from its record."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from device_profiles.schema import Text
from services.rules.explaining import Member, members_of, met_at, stood_still, stretches
from services.rules.store import Alarm, Decision

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


ALARM = Alarm(
    id="a", site="yard", device="pumps", device_name=Text(zh="泵", en="Pumps"), building=None, child="", rule="low",
    rule_name=Text(zh="低", en="Low"), profile="pumps", severity="major", state="active",
    reason={"for_seconds": 300.0}, pending_since=at(0), raised_at=at(5), cleared_at=None, acknowledged_at=None,
    acknowledged_by=None, ticket=None, ticket_number=None,
)  # fmt: skip


def decided(kind: str, minutes: float, **data: Any) -> Decision:
    return Decision(at=at(minutes), kind=kind, data=data, who=None)


def minutes(moment: datetime) -> float:
    return (moment - NOON) / timedelta(minutes=1)


def life(alarm: Alarm, *decisions: Decision) -> list[tuple[str, float, float | None]]:
    return [
        (one.kind, minutes(one.start), None if one.end is None else minutes(one.end))
        for one in stretches(alarm, decisions)
    ]


def test_pending_then_active_then_over() -> None:
    cleared = replace(ALARM, state="cleared", cleared_at=at(20))
    assert life(cleared, decided("raised", 5), decided("cleared", 20)) == [("pending", 0, 5), ("active", 5, 20)]
    assert life(ALARM, decided("raised", 5)) == [("pending", 0, 5), ("active", 5, None)]


def test_what_was_suppressed_and_released_is_active_from_then_on() -> None:
    released = replace(ALARM, raised_at=at(30))
    told = (decided("suppressed", 5, by="cause"), decided("suppressed", 9, by="maintenance"), decided("raised", 30))
    assert life(released, *told) == [("pending", 0, 5), ("suppressed", 5, 30), ("active", 30, None)]
    assert met_at(released, told) == at(5)
    assert stood_still(released, told) == timedelta(0)  # it waited, and its delay had run


def test_what_cleared_while_suppressed_was_never_active() -> None:
    quiet = replace(ALARM, state="cleared", cleared_at=at(8))
    assert life(quiet, decided("suppressed", 5), decided("cleared", 8)) == [("pending", 0, 5), ("suppressed", 5, 8)]


def test_an_alarm_from_before_decisions_were_recorded_has_a_life_too() -> None:
    assert life(ALARM) == [("pending", 0, 5), ("active", 5, None)]
    assert life(replace(ALARM, pending_since=at(5))) == [("active", 5, None)]


def test_a_folded_one_is_active_under_its_storm() -> None:
    assert life(ALARM, decided("folded", 5, parent="s")) == [("pending", 0, 5), ("active", 5, None)]


def test_a_delay_that_took_longer_than_it_says_stood_still() -> None:
    assert stood_still(ALARM, [decided("raised", 5)]) == timedelta(0)
    assert stood_still(replace(ALARM, raised_at=at(12)), [decided("raised", 12)]) == timedelta(minutes=7)
    assert stood_still(replace(ALARM, reason={}, raised_at=at(12)), []) == timedelta(0)


@pytest.mark.parametrize(
    ("profile", "reason", "expected"),
    [
        ("pumps", {"values": {"number(pump, run == fault) met by": "2/3: pump:1, pump:3"}},
         [("pumps", "pump:1"), ("pumps", "pump:3")]),
        ("courtyard_site_rules", {"values": {"x met by": "13/20: gate-1, gate-2, …"}},
         [("gate-1", ""), ("gate-2", "")]),
        ("courtyard_site_rules", {"values": {"x met by": "2/9: pile-1 port:2, pile-2 port:1"}},
         [("pile-1", "port:2"), ("pile-2", "port:1")]),
        ("courtyard_site_rules",
         {"values": {"x met by": "1/3: gate-1", "x not met by": "1/3: gate-2", "x unknown of": "1/3: gate-3",
                     "y not met by": "1/1: gate-1"}},
         [("gate-1", ""), ("gate-3", "", "unknown"), ("gate-2", "", "not_met")]),
        ("courtyard_storms", {"storm": {"devices": ["pile-1", "pile-2"]}}, [("pile-1", ""), ("pile-2", "")]),
        ("pumps", {"values": {"pressure": 0.1}}, []),
    ],
)  # fmt: skip
def test_who_was_counted(profile: str, reason: dict[str, Any], expected: list[tuple[Any, ...]]) -> None:
    found = members_of(replace(ALARM, profile=profile, reason=reason))
    assert found == tuple(Member(*one) for one in expected)
