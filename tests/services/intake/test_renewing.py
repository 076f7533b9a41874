"""A new rule book or maintenance window changes in memory what it touches, and the memory is what would be read."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from services.changes import Changes
from services.database import Database
from services.intake import remembering
from services.intake.loading import load
from services.intake.memory import Memory
from services.maintenance import store
from services.maintenance.desk import MaintenanceDesk, plain_write
from services.maintenance.planning import RepeatsWish, ScopeWish, Wish
from services.rules import book_store
from services.rules.state import DeviceState, dump_rule
from services.scope import EVERYWHERE
from services.sites.importer import import_site
from services.tables import rule_states
from tests.stories.site import LIBRARY, MIDNIGHT, YARD, Story, opened

SECOND = (
    YARD.replace("site: yard", "site: court").replace("id: pumps,", "id: pumps-c,").replace("id: gate-1", "id: gate-c")
)
SECOND = SECOND.replace("device: pumps,", "device: pumps-c,").replace("device: gate-1", "device: gate-c")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Story]:
    database = opened(f"sqlite:///{tmp_path / 'c.db'}")
    yield Story(database)
    database.close()


def picture(memory: Memory) -> dict[str, Any]:
    """All of it that follows from the database."""
    states = [*memory.devices.values(), *(group.state for group in memory.groups)]
    return {
        "stamp": memory.stamp,
        "devices": {one.id: _of_device(one) for one in states},
        "active": {key: alarm.__dict__ | {"regrades": 0} for key, alarm in memory.active.items()},
        "impairments": {
            id: {device: dict(found) for device, found in one.impairments.items() if found}
            for id, one in memory.sites.items()
        },
        "outages": {id: one.outages for id, one in memory.sites.items()},
        "shadows": memory.shadows,
        "causes": memory.cause_rules,
        "windows": {
            (site, minutes): memory.windows.covering(site, "1", "water_pump", "pumps", _at(minutes))
            for site in memory.sites
            for minutes in range(0, 600, 7)
        },
        "cards": memory.cards,
        "addresses": memory.by_address,
        "unclaimed": memory.unclaimed,
        "left": (memory.orphans, memory.shadow_orphans),
    }


def _of_device(device: DeviceState) -> dict[str, Any]:
    keys = device.marks.keys() | device.watches.keys() | device.past.keys()
    rules = {} if device.profile is None else {id: one.rule for id, one in device.profile.rules.items()}
    return {
        "rules": rules,
        "params": dict(device.params),
        # What met a condition first and what met it again in the same millisecond are both true.
        "kept": {key: {**(dump_rule(device, key) or {}), "evidence": None} for key in sorted(keys)},
        "waiting": device.waiting,
        "values": {child: (one.values, one.times, one.measured_at) for child, one in device.children.items()},
        "presence": (device.liveness, device.reason, device.since),
    }


def _at(minutes: int) -> int:
    return round((MIDNIGHT + timedelta(minutes=minutes)).timestamp() * 1000)


def expect_as_read(site: Story) -> None:
    memory = site.intake._remembered.memory
    assert memory is not None
    with site.database.read() as connection:
        fresh = load(connection, site.library, site.clock.time)
    kept, read = picture(memory), picture(fresh)
    for id, device in read["devices"].items():
        for part, found in device.items():
            assert kept["devices"][id][part] == found, (id, part)
    for part, found in read.items():
        assert kept[part] == found, part


def ship(site: Story, content: dict[str, Any], *, at: str = "yard", write: Any = None) -> None:
    """The next version of the rule book, here or by another process."""

    def work(connection: Any) -> None:
        book_store.append(
            connection, site=at, began_with=book_store.newest(connection, at).version, content=content, who="mei",
            note="", preview=None, now=site.clock.time,
        )  # fmt: skip

    (write or site.intake.change_rules)(work)


def desk_of(site: Story, write: Any = None) -> MaintenanceDesk:
    return MaintenanceDesk(
        database=site.database, write=write or site.intake.change_rules, changes=Changes(), library=site.library
    )


def _book(dice: random.Random) -> dict[str, Any]:
    change = {
        "low": {"for": dice.choice(["10s", "2m", "10m"]), "mode": dice.choice(["live", "shadow", "off", None])},
        "wet": {"mode": dice.choice(["off", "live", "shadow"])},
        "pump_fault": {"severity": dice.choice(["critical", "minor"]), "clear_for": "2m"},
        "dry": {"when": dice.choice(["run == fault", "nonsense >"])},
    }
    content: dict[str, Any] = {"rules": {"pumps": dict(dice.sample(sorted(change.items()), dice.randrange(4)))}}
    if dice.random() < 0.5:
        content["params"] = {"pumps": {"low": dice.choice([0.1, 0.25, 0.6])}}
    if dice.random() < 0.3:
        content["devices"] = {"pumps": {"params": {"low": 0.5}, "rules": {"low": {"mode": "off"}}}}
    return content


def _something(site: Story, dice: random.Random) -> None:
    what = dice.randrange(7)
    if what < 2:
        device = dice.choice(["pumps", "pumps-c"])
        site.keeps_saying(device, pressure=dice.choice([0.05, 0.2, 0.4, 0.7]), room=dice.choice(["wet", "dry"]))
        site.keeps_saying(device, "pump:1", run=dice.choice(["running", "fault"]), current=5.0)
    elif what < 5:
        write = plain_write(site.database) if dice.random() < 0.5 else None
        other = (lambda work: _elsewhere(site, work)) if write else None
        ship(site, _book(dice), at=dice.choice(["yard", "court"]), write=other)
    else:
        begins = site.clock.time + timedelta(minutes=dice.randrange(3))
        scope = dice.choice([ScopeWish(), ScopeWish(devices=("pumps",))])
        wish = Wish(site="yard", title="Work", scope=scope, starts_at=begins, ends_at=begins + timedelta(minutes=9))
        desk_of(site).add(EVERYWHERE, wish, by="mei", now=site.clock.time)


def _elsewhere(site: Story, work: Any) -> None:
    with site.database.write() as connection:
        work(connection)
    site.intake.tick(site.clock.time)  # it is seen with the next tick


@pytest.mark.parametrize("seed", [1, 4])
def test_after_random_changes_the_memory_is_what_would_be_read(site: Story, seed: int) -> None:
    import_site(site.database, SECOND, LIBRARY, MIDNIGHT)
    site.restart()
    dice, minutes = random.Random(seed), 0
    memory = site.intake._remembered.memory
    for _ in range(30):
        _something(site, dice)
        expect_as_read(site)
        if dice.random() < 0.6:
            minutes += 1
            site.at(f"{minutes // 60:02}:{minutes % 60:02}")
    assert site.intake._remembered.memory is memory, "it was never read as a whole"


def test_a_delay_that_runs_goes_on_when_another_rule_is_changed(site: Story) -> None:
    site.keeps_saying("pumps", pressure=0.2, room="dry").at("00:00:40")
    ship(site, {"rules": {"pumps": {"wet": {"mode": "off"}}}})
    site.at("00:01:10").expect_alarms("low")
    expect_as_read(site)


def test_a_rule_that_comes_back_begins_anew(site: Story) -> None:
    """What it had counted before it was switched off is not counted on after."""
    site.keeps_saying("pumps", pressure=0.2).at("00:00:50")
    ship(site, {"rules": {"pumps": {"low": {"mode": "off"}}}})
    with site.database.read() as connection:
        assert connection.execute(select(rule_states).where(rule_states.c.rule == "low")).all() == []
    site.at("00:01:30")
    ship(site, {})
    site.at("00:02:20").expect_alarms().at("00:02:50").expect_alarms("low")


def test_devices_that_could_not_be_judged_are_tried_again_with_a_new_rule_book_of_their_site(site: Story) -> None:
    site.keeps_saying("pumps", pressure=0.2).at("00:00:20")
    site.intake._benched |= {"pumps", "gate-1", "elsewhere"}
    ship(site, {"params": {"pumps": {"low": 0.25}}})
    assert site.intake.benched == {"elsewhere"}, "of what stands at another site nothing has changed"


def test_a_refused_change_leaves_the_memory_as_it_is(site: Story) -> None:
    memory = site.intake._remembered.memory
    with pytest.raises(book_store.BookMoved):
        site.intake.change_rules(
            lambda connection: book_store.append(
                connection, site="yard", began_with=7, content={}, who="mei", note="", preview=None, now=MIDNIGHT
            )
        )
    assert site.intake._remembered.memory is memory
    expect_as_read(site)


def test_what_is_shipped_is_said_to_be_where_the_memory_cannot_follow(
    site: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever shipped it must not ship it twice, and it is in force all the same."""

    def fails(*_: object) -> None:
        raise OperationalError("SELECT", {}, Exception("the database has gone away"))

    site.keeps_saying("pumps", pressure=0.2).at("00:00:20")
    memory = site.intake._remembered.memory
    with monkeypatch.context() as broken, capture_logs() as logged:
        broken.setattr(remembering, "renew", fails)
        ship(site, {"rules": {"pumps": {"low": {"mode": "off"}}}})
    assert site.intake.catch_up_failures == 1
    assert [one["event"] for one in logged if one["log_level"] == "error"] == ["catch_up_failed"]
    site.at("00:02").expect_alarms()
    assert site.intake._remembered.memory is not memory, "all of it was read again"
    expect_as_read(site)


def test_strangers_that_go_are_forgotten_alone(site: Story) -> None:
    site.deliver(site.reading("pumps:strange", values={"pressure": 0.4}, profile="pumps"))
    site.keeps_saying("pumps", pressure=0.2).at("00:01")
    memory = site.intake._remembered.memory
    site.clock.time += timedelta(days=2)
    site.intake.forget_unclaimed(site.clock.time)
    assert site.intake._remembered.memory is memory
    expect_as_read(site)
    site.deliver(site.reading("pumps:strange", values={"pressure": 0.4}, profile="pumps"))
    expect_as_read(site)


@pytest.mark.postgresql
def test_of_two_who_end_a_window_at_once_neither_is_lost(postgresql_url: str) -> None:
    """One ends today's, and while it has not committed another process cancels the whole window: it waits, and what it
    writes stands on what the first has written."""
    database = opened(postgresql_url)
    try:
        site = Story(database)
        site.clock.time += timedelta(hours=1)
        repeats = RepeatsWish(days=("mon", "tue"), until=(MIDNIGHT + timedelta(days=30)).date())
        begins = site.clock.time - timedelta(minutes=5)
        wish = Wish(site="yard", title="Tank", starts_at=begins, ends_at=begins + timedelta(hours=2), repeats=repeats)
        window = desk_of(site).add(EVERYWHERE, wish, by="mei", now=site.clock.time).window
        other = Thread(
            target=lambda: desk_of(site, plain_write(database)).cancel(
                EVERYWHERE, window.id, by="li", now=site.clock.time + timedelta(seconds=9)
            )
        )

        def slowly(work: Any) -> Any:
            with database.write() as connection:
                found = work(connection)
                other.start()
                _until_it_waits(database)
                return found

        desk_of(site, slowly).end(EVERYWHERE, window.id, by="mei", now=site.clock.time)
        other.join(60)
        with database.read() as connection:
            found = store.get_window(connection, EVERYWHERE, window.id)
        assert found is not None
        assert found.cancelled_by == "li"
        assert found.repeats is not None
        assert list(found.repeats.cut.values()) == [site.clock.time], "who ended it first is not overwritten"
    finally:
        database.close()


def _until_it_waits(database: Database) -> None:
    """Until one connection waits for the row lock of another."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with database.read() as connection:
            if connection.exec_driver_sql(waiting).scalar():
                return
        time.sleep(0.01)
    raise AssertionError("it does not wait")
