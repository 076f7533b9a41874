"""The demo's first minutes, in virtual time, through the real decoder, rules, tickets and outages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import select

from device_profiles.library import SHIPPED, load
from gateway.commands import encode_command
from gateway.decode import Decoder
from gateway.reading import Batch
from gateway.simulator import Outgoing, ScriptedFault, Simulation
from gateway.uplink import CommandOutcome
from services import migrations
from services.changes import Changes
from services.clock import from_millis, to_millis
from services.commands.store import list_commands
from services.database import Database
from services.demo import SITE
from services.demo.play import SEED
from services.demo.script import LASTS, OPENING_ENDS, demo_script
from services.intake import Intake
from services.sites.importer import device_entries, import_site, read_site
from services.tables import alarms, notices, outage_updates, outages, tickets

START = datetime(2026, 7, 1, 2, 0, tzinfo=UTC)
LIBRARY = load(SHIPPED)


class VirtualClock:
    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at


class Demo:
    """The site and its script; `until(seconds)` lets time pass second by second, as services' ticker does."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock()
        self.database = Database.sqlite(folder / "courtyard.db")
        self.refused: list[str] = []
        self._seq = 0
        self._answers: list[Outgoing] = []

    def start(self) -> None:
        self.database.start()
        migrations.upgrade(self.database)
        import_site(self.database, SITE, LIBRARY, START)
        self.intake = Intake(self.database, LIBRARY, self.clock, Changes())
        self.intake.start()
        self._decoder = Decoder(LIBRARY.values(), self.intake.registry())
        entries = device_entries(read_site(SITE, LIBRARY))
        self._simulation = Simulation(entries, LIBRARY, demo_script(), seed=SEED, started_at=to_millis(START))

    def until(self, seconds: int) -> None:
        while self.clock.at < START + timedelta(seconds=seconds):
            self.clock.at += timedelta(seconds=1)
            now = to_millis(self.clock.at)
            readings = [
                reading
                for message in [*self._answers, *self._simulation.advance(now)]
                for reading in self._decoder.decode(message.topic, message.payload, now, message.retain)
            ]
            self._answers = []
            first, self._seq = self._seq + 1, self._seq + len(readings)
            self.intake.take(
                Batch(gateway="g", first_seq=first, last_seq=self._seq, progress_at=now, readings=readings)
            )
            self.intake.tick(self.clock.at)
            self._obey(now)

    def _obey(self, now: int) -> None:
        """What a gateway does with orders, without a broker between it and the devices."""
        with self.intake.commanding(self.clock.at) as commands:
            orders = commands.hand_over(commands.due("g", None, again=False), {})
        registry = {entry.id: entry for entry in self.intake.registry().devices}
        for order in orders:
            entry = registry[order.device]
            topic, payload = encode_command(
                LIBRARY[entry.profile],
                order.command,
                entry,
                order.child,
                order.params,
                id=order.id,
                nonce=order.nonce,
                captures=self._decoder.captures_of(order.device),
                now=now,
            )
            with self.intake.commanding(self.clock.at) as commands:
                commands.outcome("g", CommandOutcome(id=order.id, attempt=order.attempt, status="sent", at=now))
            self._answers += self._simulation.hear(topic, payload, now)

    def commands(self) -> list[tuple[str, str, str, str, str]]:
        """(device, child, command, state, reason) of all that was ordered."""
        with self.database.read() as connection:
            found = list_commands(connection, None)
        return [(one.device, one.child, one.command, one.state, one.reason) for one in found]

    def alarms(self) -> dict[tuple[str, str, str], float]:
        """(device, child, rule) -> seconds after the start at which it was raised."""
        with self.database.read() as connection:
            rows = connection.execute(select(alarms)).all()
        return {(row.device, row.child, row.rule): (row.raised_at - START).total_seconds() for row in rows}

    def tickets(self) -> dict[tuple[str, str], str]:
        """(device, child) -> priority."""
        with self.database.read() as connection:
            return {(row.device, row.child): row.priority for row in connection.execute(select(tickets))}

    def story(self, supply: str) -> list[tuple[str, str, float]]:
        """What happened to one supply: (kind, loss, seconds after the start)."""
        joined = select(outage_updates).join(outages).where(outages.c.supply == supply).order_by(outage_updates.c.at)
        with self.database.read() as connection:
            rows = connection.execute(joined).all()
        return [(row.kind, row.loss, (row.at - START).total_seconds()) for row in rows]

    def households(self, supply: str) -> int:
        with self.database.read() as connection:
            impact = connection.execute(select(outages.c.impact).where(outages.c.supply == supply)).scalars().first()
        assert impact is not None
        return int(impact["households"])


@contextmanager
def running(folder: Path) -> Iterator[Demo]:
    demo = Demo(folder)
    demo.start()
    try:
        yield demo
    finally:
        demo.database.close()


@pytest.mark.slow
def test_the_first_minutes(tmp_path: Path) -> None:
    with running(tmp_path) as demo:
        demo.until(20)
        raised = demo.alarms()
        assert raised["gate-west", "", "forced"] <= 5
        assert raised["booster-1", "pump:1", "pump_fault"] <= 12
        assert demo.tickets()["gate-west", ""] == "P1"
        assert ("booster-1", "pump:1") in demo.tickets()
        for zone in ("water-low", "water-high"):
            assert [(kind, loss) for kind, loss, _ in demo.story(zone)] == [("started", "degraded")]
        assert demo.households("water-low") + demo.households("water-high") == 430

        demo.until(60)
        assert demo.alarms()["charger-7", "port:3", "port_hot"] <= 55
        assert demo.tickets()["charger-7", "port:3"] == "P1"
        assert demo.commands() == [("charger-7", "port:3", "stop_charging", "done", "effect_seen")]
        assert [(kind, loss) for kind, loss, _ in demo.story("charging-south")] == [("started", "degraded")]
        for supply in ("water-low", "water-high", "door-6"):
            assert [kind for kind, _, _ in demo.story(supply)] == ["started", "restored"], supply
            assert demo.story(supply)[-1][2] <= 60, supply

        demo.until(260)
        high = demo.story("water-high")[2:]
        assert [(kind, loss) for kind, loss, _ in high] == [("started", "full"), ("restored", "none")]
        assert high[0][2] <= 150
        assert len(demo.story("water-low")) == 2
        assert demo.households("water-high") == 178

        assert set(demo.alarms()) <= {
            ("gate-west", "", "forced"),
            ("gate-6", "", "offline"),
            ("booster-1", "pump:1", "pump_fault"),
            ("booster-1", "zone:2", "pressure_low"),
            ("booster-1", "zone:2", "pressure_off_setpoint"),
            ("charger-7", "port:3", "port_hot"),
            ("charger-7", "port:3", "port_warm"),
        }, "something fails that the script did not break"
        with demo.database.read() as connection:
            sent = connection.execute(select(notices.c.target, notices.c.subject_kind, notices.c.event)).all()
        assert {row.target for row in sent} == {"env:COURTYARD_DEMO_MAILBOX"}, "nobody outside is told"
        assert {("outage", "started"), ("outage", "restored")} <= {(row.subject_kind, row.event) for row in sent}


def test_quiet_life_goes_on_for_a_week_with_a_fault_every_few_minutes() -> None:
    script = demo_script()
    later = sorted(fault.after for fault in script if fault.after >= OPENING_ENDS)
    assert later[0] == OPENING_ENDS
    assert later[-1] > LASTS - timedelta(minutes=10)
    gaps = {next_ - before for before, next_ in pairwise(later)}
    assert timedelta(minutes=3) <= min(gaps)
    assert max(gaps) <= timedelta(minutes=7)


def test_every_fault_ends_and_none_falls_on_one_that_lasts() -> None:
    ends: dict[tuple[str, str], timedelta] = {}
    for one in sorted(demo_script(), key=lambda fault: fault.after):
        assert one.lasting is not None
        assert one.after >= ends.get((one.device, one.child), timedelta(0)), one
        ends[one.device, one.child] = one.after + one.lasting


def test_every_fault_of_the_script_is_one_of_its_device() -> None:
    entries = device_entries(read_site(SITE, LIBRARY))
    script: tuple[ScriptedFault, ...] = demo_script()
    simulation = Simulation(entries, LIBRARY, script, seed=SEED, started_at=to_millis(START))
    assert {fault.device for fault in script} <= set(simulation.players)


def test_the_same_seed_gives_the_same_week() -> None:
    assert demo_script() == demo_script()
    assert demo_script(seed=1) != demo_script(seed=2)


def test_virtual_times_are_real_ones() -> None:
    assert from_millis(to_millis(START)) == START
