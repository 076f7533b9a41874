"""What grows is forgotten, what is still needed stays, and the manual says so of every table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, func, insert, select

from services.database import Database, metadata
from services.events.store import expire as expire_events
from services.ids import new_id
from services.retention import retention_chores
from services.rules.book_store import VERSIONS_KEPT
from services.settings import Settings
from services.tables import (
    alarm_events,
    alarms,
    command_events,
    commands,
    events,
    gateway_gaps,
    maintenance_windows,
    notices,
    rule_books,
    rule_corrections,
    shadow_episodes,
    sites,
)
from tests.stories.site import opened

NOW = datetime(2026, 6, 1, 8, tzinfo=UTC)
PAGE = Path(__file__).resolve().parents[2] / "docs/operations.md"
DAY = timedelta(days=1)


class Yard:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.begin()

    def begin(self) -> None:
        """Nothing but the site."""
        words = {"name_zh": "院", "name_en": "Yard", "timezone": "UTC", "updated_at": NOW}
        with self.database.write() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
            connection.execute(insert(sites).values(id="yard", **words))

    def has(self, table: Table, *rows: dict[str, Any]) -> None:
        with self.database.write() as connection:
            for row in rows:
                connection.execute(insert(table).values(**row))

    def forget(self, now: datetime = NOW, **days: int) -> None:
        """An hour passes."""
        for chore in retention_chores(self.database, Settings(**days)):  # type: ignore[arg-type]
            chore.run_if_due(now)
            assert chore.failures == 0, chore.name

    def left(self, table: Table) -> set[str]:
        with self.database.read() as connection:
            return set(connection.scalars(select(table.c.id)))


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    database = opened(f"sqlite:///{tmp_path / 'courtyard.db'}")
    yield Yard(database)
    database.close()


def alarm(id: str, cleared_at: datetime | None) -> dict[str, Any]:
    state = "active" if cleared_at is None else "cleared"
    return {
        "id": id,
        "site": "yard",
        "device": id,
        "rule": "low",
        "profile": "pumps",
        "severity": "major",
        "state": state,
        "raised_at": NOW - 500 * DAY,
        "cleared_at": cleared_at,
    }


def window(id: str, days_ago: float, **more: Any) -> dict[str, Any]:
    ends = NOW - days_ago * DAY
    common = {"site": "yard", "title": "x", "scope": {}, "created_at": ends, "created_by": "wang"}
    return {"id": id, "starts_at": ends - timedelta(hours=2), "ends_at": ends, **common, **more}


def again(until: date) -> dict[str, Any]:
    return {"repeats": {"days": ["mon"], "until": until.isoformat()}}


def book(version: int, days_ago: float) -> dict[str, Any]:
    return {"site": "yard", "version": version, "at": NOW - days_ago * DAY, "who": "wang", "content": {}}


def test_decisions_go_once_their_alarm_is_over_and_the_alarm_stays(yard: Yard) -> None:
    yard.has(alarms, alarm("over", NOW - 450 * DAY), alarm("lasts", None), alarm("lately", NOW - 10 * DAY))
    long_ago = NOW - 460 * DAY
    ids = {one: new_id(long_ago) for one in ("over", "lasts", "lately")}
    yard.has(alarm_events, *({"id": id, "alarm": one, "at": long_ago, "kind": "raised"} for one, id in ids.items()))
    yard.forget()
    assert yard.left(alarm_events) == {ids["lasts"], ids["lately"]}
    assert yard.left(alarms) == {"over", "lasts", "lately"}


def test_gaps_of_gateways_go_with_the_decisions(yard: Yard) -> None:
    def gap(id: str, days_ago: float) -> dict[str, Any]:
        ends = NOW - days_ago * DAY
        return {"id": id, "gateway": "gw", "kind": "uplink", "begins_at": ends - 30 * DAY, "ends_at": ends}

    yard.has(gateway_gaps, gap("old", 401), gap("new", 399))
    yard.forget()
    assert yard.left(gateway_gaps) == {"new"}


def test_a_maintenance_window_goes_once_it_never_opens_again(yard: Yard) -> None:
    yard.has(
        maintenance_windows,
        window("once, long ago", 401),
        window("once", 399),
        window("weekly, still", 500, **again(NOW.date())),
        window("weekly, until long ago", 500, **again((NOW - 410 * DAY).date())),
        window("weekly, over lately", 500, **again((NOW - 399 * DAY).date())),
        window("cancelled", -10, cancelled_at=NOW - 402 * DAY, cancelled_by="wang"),
    )
    yard.forget()
    assert yard.left(maintenance_windows) == {"once", "weekly, still", "weekly, over lately"}


def test_a_backlog_is_judged_by_the_windows_of_a_month_however_short_the_retention_is(yard: Yard) -> None:
    yard.has(maintenance_windows, window("month", 30), window("longer", 32))
    yard.forget(decision_days=1)
    assert yard.left(maintenance_windows) == {"month"}


def test_of_rule_books_stays_what_was_in_force_lately_and_a_hundred_versions(yard: Yard) -> None:
    def versions() -> list[int]:
        with yard.database.read() as connection:
            return list(connection.scalars(select(rule_books.c.version).order_by(rule_books.c.version)))

    yard.has(rule_books, *(book(version, 900 - version) for version in range(1, VERSIONS_KEPT + 1)))
    yard.forget()
    assert len(versions()) == VERSIONS_KEPT, "one can go back that far, however old they are"
    last = VERSIONS_KEPT + 50
    yard.has(rule_books, *(book(version, 300) for version in range(VERSIONS_KEPT + 1, last + 1)))
    yard.forget()
    assert versions() == list(range(51, last + 1))


def test_the_version_that_was_in_force_when_the_retention_begins_stays(yard: Yard) -> None:
    last = VERSIONS_KEPT + 3
    yard.has(rule_books, book(1, 800), book(2, 700), *(book(version, 399) for version in range(3, last + 1)))
    yard.forget()
    with yard.database.read() as connection:
        assert connection.scalar(select(func.min(rule_books.c.version))) == 2, "by it was judged until 399 days ago"


def test_trials_and_corrections_go_with_the_events(yard: Yard) -> None:
    place = {"site": "yard", "device": "d", "rule": "low"}
    trial = {**place, "profile": "pumps", "severity": "major", "raised_at": NOW - 200 * DAY}
    yard.has(
        shadow_episodes,
        {"id": "old", **trial, "cleared_at": NOW - 91 * DAY},
        {"id": "new", **trial, "cleared_at": NOW - 89 * DAY},
        {"id": "lasts", **trial, "cleared_at": None},
    )
    late = {**place, "measured_at": NOW - 200 * DAY}
    yard.has(
        rule_corrections,
        {"id": "old", **late, "known_at": NOW - 91 * DAY},
        {"id": "new", **late, "known_at": NOW - 89 * DAY},
    )
    yard.forget()
    assert (yard.left(shadow_episodes), yard.left(rule_corrections)) == ({"new", "lasts"}, {"new"})


def test_a_notice_that_waits_to_be_sent_is_never_forgotten(yard: Yard) -> None:
    to = {"site": "yard", "recipient": "eng", "channel": "webhook", "target": "https://sink.invalid/"}
    what = {"subject_kind": "digest", "subject_id": "yard", "event": "digest", "title": "t", "body": "b"}
    row = {**to, **what, "created_at": NOW - 500 * DAY}
    yard.has(notices, *({"id": id, "key": id, **row, "state": id} for id in ("queued", "delivered", "failed")))
    yard.forget()
    assert yard.left(notices) == {"queued"}


def test_a_command_goes_with_its_history_once_it_is_over_for_long(yard: Yard) -> None:
    def command(id: str, ended_at: datetime | None) -> dict[str, Any]:
        asked = NOW - 500 * DAY
        times = {"asked_at": asked, "expires_at": asked + DAY, "ended_at": ended_at, "moved_at": ended_at or asked}
        place = {"site": "yard", "device": id, "profile": "pumps", "command": "stop"}
        return {"id": id, **place, "terms": {}, "nonce": 1, "state": "done" if ended_at else "sent", **times}

    ids = ("old", "new", "lasts")
    yard.has(commands, *map(command, ids, (NOW - 401 * DAY, NOW - 399 * DAY, None)))
    yard.has(command_events, *({"id": f"{id} {n}", "command": id, "at": NOW, "what": "x"} for id in ids for n in "12"))
    yard.forget()
    assert yard.left(commands) == {"new", "lasts"}
    assert yard.left(command_events) == {"new 1", "new 2", "lasts 1", "lasts 2"}


def test_of_events_stays_what_is_young_and_of_each_device_its_share(yard: Yard) -> None:
    def event(device: str, number: int, days_ago: float) -> dict[str, Any]:
        at = NOW - days_ago * DAY
        return {"id": f"{number} {device}", "site": "yard", "device": device, "measured_at": at, "event": "opened"}

    yard.has(events, event("gate", 1, 91), event("gate", 2, 89), *(event("door", number, 1) for number in range(1, 6)))
    yard.forget()
    assert yard.left(events) == {"2 gate", *(f"{number} door" for number in range(1, 6))}
    with yard.database.write() as connection:
        assert expire_events(connection, NOW - 90 * DAY, most_per_device=2) == 3
    assert yard.left(events) == {"2 gate", "4 door", "5 door"}, "the oldest of a device that says much go first"


@pytest.mark.postgresql
def test_all_of_this_holds_on_postgresql_too(postgresql_url: str) -> None:
    """Each story above, one after the other on one database: to make one for each takes seconds."""
    stories = [
        one for name, one in globals().items() if name.startswith("test_") and [*signature(one).parameters] == ["yard"]
    ]
    assert len(stories) >= 10
    database = opened(postgresql_url)
    yard = Yard(database)
    for story in stories:
        yard.begin()
        story(yard)
    database.close()


def test_the_manual_says_of_every_table_how_long_it_is_kept() -> None:
    section = PAGE.read_text().split("### What is kept, and for how long")[1].split("\n## ")[0]
    rows = [row.split("|") for row in section.splitlines() if row.startswith("|")]
    tables = [name for row in rows for name in re.findall(r"`([a-z_]+)`", row[3])]
    assert sorted(tables) == sorted(metadata.tables), "each table once"
    for name, days in re.findall(r"`COURTYARD_([A-Z_]+)` \((\d+)\)", section):
        assert Settings.model_fields[name.lower()].default == int(days)
