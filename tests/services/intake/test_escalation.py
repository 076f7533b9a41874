"""When an alarm that nobody acknowledges goes up, and why it stays: the decisions, without a database in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from services.ids import new_id, time_of
from services.intake.consequences import Consequences
from services.intake.escalation import (
    LOOK_EVERY,
    MOST_AT_ONCE,
    Escalation,
    counts_from,
    stays,
    time_to_acknowledge,
)
from services.intake.loading import load
from services.intake.memory import ActiveAlarm, Memory
from services.intake.work import Work
from tests.stories.site import LIBRARY, MIDNIGHT, YARD, Story, opened

MINUTE = timedelta(minutes=1)
CHIEF = '  - {id: lead, audience: engineers, channel: webhook, to: "https://e.example/lead", step: 1}\n'


def an_alarm(**changes: object) -> ActiveAlarm:
    alarm = ActiveAlarm(
        id=new_id(MIDNIGHT),
        site="yard",
        device="gate-1",
        child="",
        rule="forced",
        severity="critical",
        profile="gate",
        reason={},
        ticket=None,
        raised_at=MIDNIGHT,
    )
    return replace(alarm, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("severity", "own", "expected"),
    [
        ("critical", None, 15 * MINUTE),
        ("major", None, 60 * MINUTE),
        ("minor", None, None),
        ("warning", None, None),
        ("minor", 5 * MINUTE, 5 * MINUTE),
        ("critical", 60 * MINUTE, 60 * MINUTE),
    ],
)
def test_how_long_people_have(severity: str, own: timedelta | None, expected: timedelta | None) -> None:
    assert time_to_acknowledge(severity, own) == expected


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"acknowledged_at": MIDNIGHT}, "acknowledged"),
        ({"suppressed_by": {"kind": "cause", "id": "a", "since": 0}}, "suppressed"),
        ({"parent": "storm"}, "folded"),
        ({"snoozed_until": MIDNIGHT + MINUTE}, "snoozed"),
        ({"snoozed_until": MIDNIGHT}, None),
        ({"flaps": 4, "severity": "major"}, "flapping"),
        ({"flaps": 4}, None),
    ],
)
def test_what_keeps_an_alarm_on_its_step_has_a_name(changes: dict[str, object], reason: str | None) -> None:
    assert stays(an_alarm(**changes), MIDNIGHT) == reason


def test_the_time_counts_from_when_people_could_know() -> None:
    taken_in, later = MIDNIGHT + 60 * MINUTE, MIDNIGHT + 90 * MINUTE
    assert counts_from(an_alarm(id=new_id(taken_in))) == taken_in, "of a backlog"
    assert counts_from(an_alarm(raised_at=taken_in)) == taken_in, "it was suppressed until then"
    assert counts_from(an_alarm(step_at=later)) == later
    assert counts_from(an_alarm(step_at=taken_in, snoozed_until=later)) == later
    assert time_of("of-another-make") is None


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    database = opened(f"sqlite:///{tmp_path / 'steps.db'}")
    Story(database, text=YARD + CHIEF)
    with database.read() as connection:
        yield load(connection, LIBRARY, MIDNIGHT)
    database.close()


def tick(escalation: Escalation, memory: Memory, now: datetime) -> int:
    """How many went up."""
    work = Work(now)
    escalation.tick(now, memory, work, Consequences(memory=memory, work=work, library=LIBRARY, public_url=""))
    return len(work.changed_alarms)


def fill(memory: Memory, count: int) -> None:
    for number in range(count):
        alarm = an_alarm(device=f"gate-{number}")
        memory.active[alarm.device, "", alarm.rule] = alarm


def test_many_go_up_a_part_at_a_time_so_that_readings_need_not_wait(memory: Memory) -> None:
    fill(memory, MOST_AT_ONCE + 100)
    escalation, now = Escalation(), MIDNIGHT + 15 * MINUTE
    second = timedelta(seconds=1)
    assert tick(escalation, memory, now - second) == 0
    assert [tick(escalation, memory, now + number * second) for number in range(4)] == [MOST_AT_ONCE, 100, 0, 0]


def test_between_looks_nobody_looks(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """With thousands of active alarms a tick costs nothing until one is due."""
    fill(memory, 10)
    escalation = Escalation()
    tick(escalation, memory, MIDNIGHT)
    with monkeypatch.context() as patched:
        patched.setattr(memory, "active", None)
        tick(escalation, memory, MIDNIGHT + LOOK_EVERY - timedelta(milliseconds=1))
    assert tick(escalation, memory, MIDNIGHT + 15 * MINUTE) == 10


def test_a_clock_that_goes_back_does_not_stop_the_steps(memory: Memory) -> None:
    fill(memory, 1)
    escalation = Escalation()
    tick(escalation, memory, MIDNIGHT + timedelta(days=1))
    fill(memory, 1)
    tick(escalation, memory, MIDNIGHT)
    assert tick(escalation, memory, MIDNIGHT + 15 * MINUTE) == 1
