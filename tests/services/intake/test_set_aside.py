"""One reading that cannot be judged never holds up the rest, and somebody sees it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError
from structlog.testing import capture_logs

from gateway.reading import Reading
from services.intake import set_aside
from services.intake.set_aside import MOST_KEPT, PATIENCE, SetAside, keep, list_set_aside
from services.presence.branches import Branches
from services.rules import engine
from tests.stories.site import MIDNIGHT, Story, opened

FAR = 10**17
"""A time that no calendar has: it fails when the state is written, after all is judged."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Story]:
    on_sqlite = request.param == "sqlite"
    database = opened(f"sqlite:///{tmp_path / 'i.db'}" if on_sqlite else request.getfixturevalue("postgresql_url"))
    yield Story(database)
    database.close()


def kept(site: Story) -> list[SetAside]:
    with site.database.read() as connection:
        return list_set_aside(connection)


def poison(site: Story) -> Reading:
    calm = site.reading("gate-1", values={"door": "closed"}, profile="gate")
    return Reading(calm.device, "", FAR, calm.received_at, "t", dict(calm.values), profile="gate")


def test_the_others_are_taken_and_the_pipeline_goes_on(site: Story) -> None:
    calm = [site.reading("pumps", values={"pressure": 0.5 + n / 1000}) for n in range(40)]
    calm[17] = poison(site)
    calm[23] = site.reading("pumps", "pump:1", {"run": "fault"})
    site.deliver(*calm).expect_alarms("pump_fault@pump:1").expect_tickets(1)
    assert site.intake.cursor("gw") == 40
    assert site.device("pumps").latest.values == {"pressure": 0.539}
    (one,) = kept(site)
    assert (one.device, one.child) == ("gate-1", "")
    assert str(FAR) in one.reading
    assert "year" in one.error or "range" in one.error
    site.says("gate-1", door="forced").expect_alarms("pump_fault@pump:1", "forced")
    assert site.intake.set_aside == 1


def test_a_reading_that_the_rules_choke_on(site: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    real = engine.take

    def chokes(device: Any, reading: Reading, view: Any) -> Any:
        if reading.values.get("pressure") == 0.66:
            raise KeyError("half moved when it failed")
        return real(device, reading, view)

    monkeypatch.setattr(engine, "take", chokes)
    bad = site.reading("pumps", values={"pressure": 0.66})
    site.deliver(bad, site.reading("pumps", "pump:2", {"run": "fault"}), bad).expect_alarms("pump_fault@pump:2")
    assert [one.error for one in kept(site)] == ["KeyError: 'half moved when it failed'"] * 2
    assert site.restart().intake.cursor("gw") == 3


def test_a_database_that_does_not_answer_is_nobody_s_fault(site: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise OperationalError("INSERT", {}, Exception("the disk is full"))

    batch = site.batch([site.reading("pumps", "pump:1", {"run": "fault"})])
    with monkeypatch.context() as patch:
        patch.setattr("services.intake.intake.flush", gone)
        for _ in range(PATIENCE * 3):
            with pytest.raises(OperationalError):
                site.intake.take(batch)
    assert kept(site) == []
    site.intake.take(batch)
    site.expect_alarms("pump_fault@pump:1")


def test_a_constraint_is_given_time_but_not_for_ever(site: Story) -> None:
    refused = "CREATE UNIQUE INDEX uq_broken ON device_states (gateway)"
    with site.database.write() as connection:
        connection.execute(text(refused))
    batch = site.batch([site.reading("pumps", "pump:1", {"run": "fault"})])  # two rows of one gateway
    for _ in range(PATIENCE):
        with pytest.raises(IntegrityError):
            site.intake.take(batch)
    assert site.intake.take(batch) == site.seq
    assert [one.child for one in kept(site)] == ["pump:1"]


def test_a_device_that_the_clock_chokes_on_is_left_out(site: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = engine.tick, []

    def chokes(device: Any, view: Any) -> Any:
        if device.id == "gate-1":
            calls.append(device.id)
            raise ZeroDivisionError
        return real(device, view)

    monkeypatch.setattr(engine, "tick", chokes)
    site.keeps_saying("pumps", pressure=0.2).at("00:02").expect_alarms("low")
    assert [(one.device, one.reading) for one in kept(site)] == [("gate-1", "")]
    assert len(calls) == 3, "once among all, once among the devices, once alone, and never again"
    site.says("gate-1", door="forced").expect_alarms("low", "forced")


@pytest.mark.parametrize("part", ["watch", "commands"])
def test_breaks_or_commands_that_fail_hold_up_nothing_else(
    site: Story, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    ticked: list[str] = []

    def fails(*_: object) -> None:
        raise KeyError("a row that nobody understands")

    def notes(*_: object) -> None:
        ticked.append("the other one")

    watch, commands = (fails, notes) if part == "watch" else (notes, fails)
    monkeypatch.setattr("services.intake.passing.watch", watch)
    monkeypatch.setattr("services.commands.dispatch.Dispatcher.tick", commands)
    one_by_one: list[object] = []
    monkeypatch.setattr(site.intake._apart, "_tick_one_by_one", one_by_one.append)
    with capture_logs() as logs:
        site.keeps_saying("pumps", pressure=0.2).at("00:02").expect_alarms("low")
    failed = "breaks" if part == "watch" else part
    assert [one["part"] for one in logs if one["event"] == "tick_failed"] == [failed], "said once"
    assert ticked, "what does not fail is done"
    assert site.intake.tick_failures > 0
    assert one_by_one == [], "no device is to blame"
    assert kept(site) == []


def test_a_bad_device_is_found_in_one_look_at_each(site: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    real, looks = engine.tick, []

    def chokes(device: Any, view: Any) -> Any:
        looks.append(device.id)
        if device.id == "gate-1":
            raise ZeroDivisionError
        return real(device, view)

    monkeypatch.setattr(engine, "tick", chokes)
    seen: list[object] = []
    monkeypatch.setattr("services.presence.branches.Branches.views", counted(Branches.views, seen))
    with capture_logs():
        site.intake.tick(MIDNIGHT)
    assert len(seen) == 2, "once for all, once for the devices alone"
    assert all(looks.count(id) <= 3 for id in looks)
    assert [one.device for one in kept(site)] == ["gate-1"]


def counted(real: Any, seen: list[object]) -> Any:
    def count(self: Any) -> Any:
        seen.append(self)
        return real(self)

    return count


def test_only_the_newest_are_kept_in_characters_that_every_database_takes(site: Story) -> None:
    bad = site.reading("gate:half \ud800", "nul\x00", {"door": "open"}, profile="gate")
    with site.database.write() as connection:
        for n in range(MOST_KEPT + 3):
            at = MIDNIGHT + timedelta(seconds=n)
            keep(connection, now=at, device=f"d{n}", child="", error=ValueError("\x00 \ud800"), reading=bad)
    with site.database.read() as connection:
        found = list_set_aside(connection, limit=MOST_KEPT + 10)
        older = list_set_aside(connection, limit=1, before=found[0].id)
    assert (len(found), found[0].device, found[-1].device) == (MOST_KEPT, f"d{MOST_KEPT + 2}", "d3")
    assert older == [found[1]]
    assert found[0].reading.isascii()
    assert "\0" not in found[0].error


def test_halves_leave_nothing_out() -> None:
    for length in range(2, 9):
        first, second = set_aside.halves(range(length))
        assert [*first, *second] == list(range(length))
        assert len(first) < length
        assert len(second) < length
