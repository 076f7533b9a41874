"""One day of the demo site, in event time: its devices' messages through the real decoder, as lines in InfluxDB at all
three levels, and its last minutes through the real intake into PostgreSQL.

Most of the day every message comes forty times as rarely, for a day of 340,000 messages takes minutes to decode; the
last ten minutes are played as they are, with the demo's faults. Beside the site stand `yard`, where each profile of the
library has a device that says everything it can, and some messages that come late, twice or wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
import msgspec

from device_profiles.library import SHIPPED, load
from device_profiles.schema import DeviceProfile
from device_profiles.telemetry import DATABASE, DELAY, LEVELS, QUALITY, RAW
from gateway.decode import Decoder
from gateway.reading import Batch, DeviceEntry, GatewayStatus, Quality, Reading, Registry
from gateway.simulator import ScriptedFault, Simulation
from gateway.telemetry.influxql import InfluxQl
from gateway.telemetry.lines import LineBuilder
from gateway.telemetry.rollup import Rollup
from services import migrations
from services.changes import Changes
from services.clock import to_millis
from services.database import Database
from services.demo import SITE
from services.demo.script import demo_script
from services.intake import Intake
from services.scope import EVERYWHERE
from services.sites.importer import device_entries, import_site, read_site
from services.tickets.desk import Desk
from services.tickets.store import list_tickets

END = datetime(2026, 7, 2, 2, 0, tzinfo=UTC)
DAY = timedelta(hours=24)
CLOSE = timedelta(minutes=6)
"""The last minutes, played whole."""
RARER = 40
LIBRARY = load(SHIPPED)
YARD = "yard"
GATEWAY = "gateway-1"


@dataclass
class Clock:
    at: datetime

    def now(self) -> datetime:
        return self.at


def rarer(profile: DeviceProfile) -> DeviceProfile:
    """The same device, which speaks more rarely."""
    plays = tuple(play.model_copy(update={"every": play.every * RARER}) for play in profile.simulator.plays)
    return profile.model_copy(update={"simulator": profile.simulator.model_copy(update={"plays": plays})})


class Heard:
    """Devices played from a time on, as a gateway decodes them."""

    def __init__(
        self,
        library: Mapping[str, DeviceProfile],
        entries: list[DeviceEntry],
        script: Iterable[ScriptedFault],
        start: datetime,
    ) -> None:
        self.now = to_millis(start)
        self.simulation = Simulation(entries, library, list(script), seed=430, started_at=self.now)
        self.decoder = Decoder(library.values(), Registry("day", entries))

    def until(self, end: datetime, step: timedelta) -> Iterator[tuple[datetime, list[Reading]]]:
        """What was read in each step."""
        while self.now < to_millis(end):
            self.now = min(self.now + round(step.total_seconds() * 1000), to_millis(end))
            said = self.simulation.advance(self.now)
            found = [self.decoder.decode(one.topic, one.payload, self.now, one.retain) for one in said]
            yield datetime.fromtimestamp(self.now / 1000, UTC), [reading for some in found for reading in some]


# --- the time series ------------------------------------------------------------------------------------------------


@dataclass
class Levels:
    """Lines as measured, until they are written and summed up."""

    entries: list[DeviceEntry]
    lines: list[str] = field(default_factory=list)
    readings: int = 0
    said: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        registry = Registry("day", self.entries)
        self.builder = LineBuilder(LIBRARY, lambda: registry)

    def take(self, readings: list[Reading]) -> None:
        built = self.builder.build(readings)
        assert not built.refused, built.refused[:3]
        self.readings += len(readings)
        self.lines += built.texts
        for reading in built.readings:
            if reading.measured_at > to_millis(END - timedelta(hours=6)):
                family = LIBRARY[reading.profile].family
                self.said |= {(family, name) for name, value in reading.values.items() if value is not None}

    def write(self, client: httpx.Client) -> None:
        """As measured; then summed up as the product does it."""
        for i in range(0, len(self.lines), 20_000):
            _post(client, "\n".join(self.lines[i : i + 20_000]).encode(), RAW.bucket)
        ql = InfluxQl(str(client.base_url), token="", org="")
        rollup = Rollup(ql, lambda body, bucket: _post(client, body, bucket), LIBRARY)
        for level in LEVELS:
            if level != RAW:
                assert sum(rollup.again(level, to_millis(END - DAY), to_millis(END))) > 1000
        ql.close()


def _post(client: httpx.Client, body: bytes, bucket: str) -> None:
    parameters = {"db": DATABASE, "rp": bucket.partition("/")[2] or RAW.name, "precision": "ms"}
    stored = client.post("/write", params=parameters, content=body)
    assert stored.status_code == 204, stored.text


def yard() -> Iterator[str]:
    """Each profile's device says everything it can, in every quality, in the last hour of the day."""
    for number in range(60):
        at = to_millis(END) - 60_000 * (60 - number)
        for profile in LIBRARY.values():
            for scope in (None, *profile.children):
                fields = list(_fields(profile, scope, number))
                child = f",child={scope}:1" if scope else ""
                if fields:
                    head = f"{profile.family},building=1{child},device={profile.id}-1,site={YARD}"
                    yield f"{head} {','.join(fields)} {at}"


def _fields(profile: DeviceProfile, scope: str | None, number: int) -> Iterator[str]:
    for name, metric in profile.metrics.items():
        if metric.scope == scope:
            yield f"{name}={number % 7}.5"
    for name, state in profile.states.items():
        if state.scope == scope:
            yield f'{name}="{list(state.values)[number % len(state.values)]}"'
    if scope is None:
        qualities = [quality for quality in Quality if quality is not Quality.GOOD]
        yield f'{QUALITY}="{qualities[number % len(qualities)]}"'
        yield f"{DELAY}=7.5"


# --- the day ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Played:
    """What the day came to."""

    readings: int
    said: frozenset[tuple[str, str]]
    """(family, field) of all that the site's devices have said in the last six hours."""


def play(client: httpx.Client, database_url: str) -> Played:
    """Put the whole day into both databases."""
    for level in LEVELS:
        if level != RAW:
            _execute(client, f'CREATE RETENTION POLICY "{level.name}" ON "telemetry" DURATION INF REPLICATION 1')
    entries = device_entries(read_site(SITE, LIBRARY))
    levels = Levels(entries)
    slow = Heard({id_: rarer(one) for id_, one in LIBRARY.items()}, entries, (), END - DAY)
    for now, readings in slow.until(END - CLOSE, timedelta(seconds=30)):
        levels.take(_troubled(readings, now))
    _play_close(levels, entries, database_url)
    levels.lines += yard()
    levels.write(client)
    return Played(levels.readings, frozenset(levels.said))


def _troubled(readings: list[Reading], now: datetime) -> list[Reading]:
    """Four hours before the end the site's uplink was cut: what was measured came twenty minutes late."""
    if now.hour != (END - timedelta(hours=4)).hour:
        return readings
    return [
        msgspec.structs.replace(one, received_at=one.measured_at + 1_200_000, quality=Quality.LATE) for one in readings
    ]


def _play_close(levels: Levels, entries: list[DeviceEntry], database_url: str) -> None:
    """The demo's opening, through intake as well: alarms, tickets and outages that are open at the end."""
    start = END - CLOSE
    clock = Clock(start)
    database = Database(database_url)
    database.start()
    migrations.upgrade(database)
    import_site(database, SITE, LIBRARY, start)
    intake = Intake(database, LIBRARY, clock, Changes(), commands_enabled=False)
    intake.start()
    seq = 0
    for now, readings in Heard(LIBRARY, entries, _script(), start).until(END, timedelta(seconds=10)):
        levels.take(readings)
        clock.at = now
        first, seq = seq + 1, seq + len(readings)
        intake.take(_batch(first, seq, now, readings))
        intake.tick(now)
    _work(database)
    database.close()


def _script() -> list[ScriptedFault]:
    """The demo's opening, and a pump set without pressure that stays so to the end."""
    opening = [one for one in demo_script() if one.after < CLOSE]
    lasting = ScriptedFault("booster-1", "pressure_loss", "zone:1", timedelta(minutes=3))
    return [*opening, lasting, ScriptedFault("gate-2", "silent", "", timedelta(minutes=1))]


def _batch(first: int, last: int, now: datetime, readings: list[Reading]) -> Batch:
    status = GatewayStatus(
        connected=True,
        journal_bytes=40_960,
        journal_max_bytes=2**31,
        journal_entries=12,
        oldest_entry_at=None,
        received=last,
        quarantined=0,
        quarantine_entries=0,
        shed=0,
        messages_per_second=4.5,
    )
    return Batch(
        gateway=GATEWAY,
        first_seq=first,
        last_seq=last,
        progress_at=to_millis(now),
        readings=readings,
        status=status,
        stored=True,
    )


def _work(database: Database) -> None:
    """A crew has closed one ticket and works on another."""
    desk = Desk(database=database, changes=Changes())
    with database.read() as connection:
        first, second, *_ = list_tickets(connection, EVERYWHERE)
    now = END - timedelta(seconds=30)
    begun = desk.start(EVERYWHERE, first.id, by="lin", version=first.version, now=now)
    desk.close(EVERYWHERE, first.id, by="lin", version=begun.version, now=now + timedelta(seconds=20))
    desk.start(EVERYWHERE, second.id, by="lin", version=second.version, now=now)


def _execute(client: httpx.Client, query: str) -> None:
    answer = client.post("/query", data={"q": query})
    assert "error" not in answer.text, answer.text


__all__ = ["CLOSE", "DAY", "END", "GATEWAY", "LIBRARY", "YARD", "Played", "play"]
