"""A site that says one thing in five minutes, and services that were down: its backlog comes in many batches, and what
it says is as if services had run. Real journal, real forwarding, real intake; the clock is the story's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from gateway.forward import UplinkConsumer
from gateway.journal import Journal, JournalReader, NewEntry
from gateway.reading import Batch, Break, Reading
from gateway.telemetry.sqlite import SqliteTelemetry
from services.backtest import Variant
from services.backtest import run as backtest
from services.clock import to_millis
from services.rules.book import RuleBook
from services.tables import gateway_gaps
from services.uplink import InProcessUplink
from tests.stories.site import status
from tests.timeline import Timeline

TANK = """
profile: tank
family: water_pump
name: {zh: 水箱, en: Tank}
metrics:
  level: {name: {zh: 液位, en: Level}, uom: m, range: [0, 9], period: 5m}
availability: {period: 5m, missed: 2}
bindings: [{id: t, topic: "tank/{address}", fields: {level: l}}]
rules:
  - id: full
    name: {zh: 满, en: Full}
    when: level > 5 m
    for: 28m
    clear: {for: 0s}
    severity: minor
    source: {kind: judgement}
  - id: gone
    name: {zh: 无信号, en: Gone}
    when: presence == offline
    severity: warning
    source: {kind: judgement}
"""
ENTRIES = 4
"""In a batch: a quarter of an hour."""
SECONDS_OF_A_STEP = 20


@dataclass
class Edge:
    """A gateway on its own disk; `up` says whether services can be reached."""

    site: Timeline
    folder: Path
    tells: bool = True
    """False: it is of a version that does not say when it listened."""
    up: bool = True
    level: float = 2.0
    batches: list[Batch] = field(default_factory=list)
    said: list[Reading] = field(default_factory=list)

    def starts(self, after: Break = "gateway") -> Edge:
        self.journal = Journal(self.folder / "journal.db", consumers=("services",))
        self.journal.start()
        self.reader: JournalReader = self.journal.reader()
        self.consumer = UplinkConsumer(
            self,
            "gw",
            progress_at=self.now,
            status=status,
            stretches=lambda: self.journal.stretches,
            stored=True,
        )
        self.journal.advance("services", self.consumer.resume())  # as the forwarder does
        self.journal.listen(self.now(), after)
        return self

    def is_killed(self) -> None:
        """Nothing more is written: not even that it stops."""
        self.reader.close()
        self.journal._db.close()

    def now(self) -> int:
        return to_millis(self.site.clock.time)

    def listens(self, until: str, after: Break = "gateway") -> Edge:
        """It goes on, or back to it, until then."""
        while self.site.clock.time < self.site.moment(until):
            self.journal.listen(self.now(), after)
            since_midnight = round((self.site.clock.time - self.site.moment("00:00")).total_seconds())
            if since_midnight % 300 == 0:
                self._says("t1")
                self._says("t2" if self.site.clock.time < self.site.moment("00:16") else "t1")
            if since_midnight % 60 == 0:
                self.journal.maintain()
            if self.up and since_midnight % 60 == 0:
                self.hands_over()
            self.site.clock.time += timedelta(seconds=SECONDS_OF_A_STEP)
        return self

    def waits(self, until: str) -> Edge:
        """It hears nothing; services tick."""
        while self.site.clock.time < self.site.moment(until):
            self.site.clock.time += timedelta(minutes=1)
            self.site.intake.tick(self.site.clock.time)
        return self

    def hands_over(self) -> None:
        """As the forwarder does, until nothing waits; time passes for services after each batch."""
        is_all = False
        while not is_all:
            self.consumer.prepare()
            entries = self.reader.after(self.journal.cursor("services"), ENTRIES)
            is_all = len(entries) < ENTRIES
            self.journal.advance("services", self.consumer.take(entries, all_read=is_all))
            self.site.intake.tick(self.site.clock.time)

    def _says(self, device: str) -> None:
        reading = self.site._reading(device, "", {"level": self.level})
        self.said.append(reading)
        self.journal.append([NewEntry(reading.received_at, 1, [reading])])

    # --- its uplink ---------------------------------------------------------------------------------------------------

    def cursor(self, gateway: str) -> int:
        return self.site.intake.cursor(gateway)

    def deliver(self, batch: Batch) -> int:
        self.batches.append(batch)
        told = batch if self.tells else msgspec.structs.replace(batch, listening=None)
        return InProcessUplink(self.site.intake).deliver(told)

    def registry(self) -> Any:
        return self.site.intake.registry()

    # --- what there is ------------------------------------------------------------------------------------------------

    def gaps(self) -> list[tuple[str, str, str]]:
        """(kind, begins, ends), to the minute."""
        with self.site.database.read() as connection:
            rows = connection.execute(select(gateway_gaps).order_by(gateway_gaps.c.begins_at)).all()
        return [(row.kind, self._shown(row.begins_at), self._shown(row.ends_at)) for row in rows]

    def _shown(self, at: datetime) -> str:
        return f"{at.astimezone(self.site.zone):%H:%M}"

    def full(self) -> list[tuple[str, str]]:
        return [(self._shown(one.raised_at), self._shown(one.cleared_at)) for one in self.site.alarms("t1", "full")]


Build = Callable[..., Edge]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    made: list[Edge] = []

    def make(name: str, *, tells: bool = True) -> Edge:
        site = Timeline(tmp_path, TANK, devices={"t1": "tank", "t2": "tank"})
        made.append(Edge(site, tmp_path / name, tells))
        return made[-1].starts()

    yield make
    for one in made:
        one.is_killed()
        one.site.close()


def lives(edge: Edge) -> Edge:
    """Full from 00:30 to 01:30, while services are down or not."""
    edge.listens("00:30").level = 6
    edge.listens("01:30").level = 2
    return edge.listens("02:10")


def test_a_backlog_of_many_batches_is_judged_as_if_services_had_run(build: Build) -> None:
    live, late = build("live"), build("late")
    lives(live)
    late.listens("00:12").up = False
    lives(late).up = True
    late.hands_over()
    assert sum(1 for one in late.batches if one.readings) > 10, "a backlog of many batches"
    assert live.full() == late.full() == [("00:58", "01:30")]
    assert [kind for kind, _, _ in live.gaps()] == []
    assert [kind for kind, _, _ in late.gaps()] == ["uplink"], "it listened all the while, and says so"
    begun = [one.raised_at for edge in (live, late) for one in edge.site.alarms("t2", "gone")]
    assert len(begun) == 2, "who fell silent is missed, also while a backlog is read"
    assert abs(begun[0] - begun[1]) <= timedelta(minutes=15), "one batch later at the most"


def test_a_gateway_that_does_not_say_it_is_guessed_at_as_ever(build: Build) -> None:
    old = build("old", tells=False)
    old.listens("00:12").up = False
    lives(old).up = True
    old.hands_over()
    assert [kind for kind, _, _ in old.gaps()].count("gateway") > 5


@pytest.mark.parametrize("after", ["gateway", "broker"])
def test_a_break_within_a_backlog_is_on_record_with_its_kind_and_no_delay_runs_in_it(
    build: Build, after: Break
) -> None:
    """Full from 00:30; nothing is heard from 00:40 to 01:20, in the middle of what services find when they are back."""
    edge = build("edge")
    edge.listens("00:12").up = False
    edge.listens("00:30").level = 6
    edge.listens("00:41")
    if after == "gateway":
        edge.is_killed()
    edge.site.clock.time = edge.site.moment("01:20")
    if after == "gateway":
        edge.starts()
    edge.listens("01:40", after).level = 2
    edge.listens("02:00").up = True
    edge.hands_over()
    assert [one for one in edge.gaps() if one[0] != "uplink"] == [(after, "00:40", "01:20")]
    [(raised, cleared)] = edge.full()
    assert "01:20" < raised < "01:30", "the last value before the break was good for a while, and then nothing counted"
    assert cleared == "01:40"
    assert edge.site.alarms("t1", "gone") == [], "nobody could hear it"


def test_a_gateway_that_was_off_while_services_ran_is_on_record_once(build: Build) -> None:
    edge = build("edge").listens("00:41")
    edge.is_killed()
    edge.waits("01:20").starts().listens("01:40")
    assert edge.gaps() == [("gateway", "00:40", "01:20")]


def test_a_new_disk_says_no_more_than_since_when_it_listens(build: Build) -> None:
    edge = build("edge").listens("00:41")
    edge.is_killed()
    (edge.folder / "journal.db").rename(edge.folder / "lost.db")
    for left in edge.folder.glob("journal.db-*"):
        left.unlink()
    edge.waits("01:20").starts().listens("01:40")
    assert edge.gaps() == [("gateway", "00:40", "01:20")]


def test_a_clock_that_is_put_right_is_no_gap(build: Build) -> None:
    """An hour ahead until then."""
    edge = build("edge").listens("01:30")
    edge.site.clock.time = edge.site.moment("00:30")
    edge.listens("00:50")
    assert edge.gaps() == []


def test_a_backtest_sees_the_same(build: Build) -> None:
    edge = build("edge")
    edge.listens("00:12").up = False
    lives(edge).up = True
    edge.hands_over()
    telemetry = SqliteTelemetry(edge.folder / "telemetry.db")
    telemetry.start()
    telemetry.write(edge.said)
    variant = Variant(edge.site.library, RuleBook())
    moment = edge.site.moment
    report = backtest(
        edge.site.database, telemetry, "yard", variant, variant, moment("00:05"), moment("02:10"), processes=1
    )
    telemetry.close()
    assert report.agreement is not None
    for one in report.agreement.unlike:
        if one.either.rule == "full":
            assert one.actual is not None
            assert one.replayed is not None
            assert one.actual.raised_at == one.replayed.raised_at
            assert one.actual.cleared_at == one.replayed.cleared_at
    assert {one.rule for one in report.rules if one.actual.alarms} >= {"full"}
