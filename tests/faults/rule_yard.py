"""Sites on which at any moment delays run, alarms clear, wait for their cause, flap, or stand under a storm.

What each device says is a function of time alone, and every message carries its own time: so what must come of it can
be found out by a second run that nobody disturbs.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select

from device_profiles.schema import DeviceProfile
from gateway.reading import Batch, Reading
from services.bench.mosquitto import Mosquitto
from services.bench.publisher import Publisher
from services.calm.names import STORMS
from services.changes import Changes
from services.clock import from_millis, to_millis
from services.database import Database
from services.intake import Intake
from services.sites.importer import import_site
from services.tables import alarm_events, alarms, notices, tickets
from tests.gateway.kit import now_millis
from tests.stories.site import StoryClock, opened

YARDS, BIG, LOAD = 6, 24, 30
"""Small yards of a station and a meter that hangs on it; devices of one big site that are flooded together; devices
that only talk."""
GRID = 100
"""Milliseconds; a device of a rule speaks at every fifth, those that only talk at each."""
REST = {"heat": 20, "volt": 230, "fail": 0, "shake": 0, "flood": 0}
SETTLED = 5_000
"""Milliseconds of rest at the end, in which what can clear has cleared."""
_NAME = {"zh": "桩", "en": "Post"}
_SEVERAL = {"times": 100, "within": "1m"}  # none of these is to count as flapping


def post() -> dict[str, Any]:
    """The profile of all of them."""
    rules: list[dict[str, Any]] = [
        {"id": "hot", "when": "heat > 80", "for": "3s", "clear": {"for": "2s"}, "flapping": _SEVERAL},
        {"id": "mains", "when": "volt < 100", "clear": {"for": "0s"}, "flapping": _SEVERAL},
        {"id": "failed", "when": "fail > 0", "for": "2s", "clear": {"for": "0s"}, "flapping": _SEVERAL,
         "suppressed_by": ["mains"]},
        {"id": "shaky", "when": "shake > 5", "clear": {"for": "3s"}, "flapping": {"times": 4, "within": "1m"}},
        {"id": "flooded", "when": "flood > 5", "for": "1s", "clear": {"for": "1s"}, "flapping": _SEVERAL},
    ]  # fmt: skip
    common = {"name": _NAME, "severity": "major", "source": {"kind": "judgement"}, "ticket": "look"}
    return {
        "profile": "post",
        "family": "bench",
        "name": _NAME,
        "availability": {"period": "60s"},
        "metrics": {name: {"name": _NAME, "range": [0, 1000], "period": "1s"} for name in REST},
        "bindings": [
            {
                "id": "t",
                "topic": "post/{address}/telemetry",
                "decode": [{"json": True}],
                "time": {"path": "ts", "format": "unix_ms"},
                "fields": {name: name for name in REST},
            }
        ],
        "rules": [{**common, **rule} for rule in rules],
        "tickets": {"look": {"title": _NAME, "trade": "electrical", "priority": "P2", "due": "4h"}},
    }


def site_files() -> Iterator[dict[str, Any]]:
    for n in range(YARDS):
        yield _site(f"y{n}", [{"id": f"s{n}"}, {"id": f"m{n}", "parent": f"s{n}"}])
    yield _site("big", [{"id": f"{kind}{n}"} for kind, many in (("b", BIG), ("l", LOAD)) for n in range(many)])


def _site(id: str, devices: list[dict[str, Any]]) -> dict[str, Any]:
    hook = {"id": f"{id}-eng", "audience": "engineers", "channel": "webhook", "to": "https://sink.invalid/hook"}
    return {
        "site": id,
        "name": _NAME,
        "timezone": "Asia/Shanghai",
        "buildings": [{"id": "b1", "units": [{"id": "u1", "households": 1}]}],
        "devices": [{**one, "profile": "post", "name": _NAME} for one in devices],
        "recipients": [{**hook, "about": ["alarm"]}],
    }


def says(device: str, t: float) -> dict[str, float]:
    """What a device measures `t` seconds after the start."""
    kind, n = device[0], int(device[1:])
    u = (t - 0.9 * n) % 14
    if kind == "s":  # hot for six seconds, then for one and a half; without mains for six; a shock each round
        hot = 1 <= u < 7 or 10 <= u < 11.5
        return {**REST, "heat": 90 * hot, "volt": 0 if 3 <= u < 9 else 230, "shake": 9 * (12 <= u < 13)}
    if kind == "m":  # fails while its station is without mains, every third round again after that; always shaky
        again = int((t - 0.9 * n) // 14) % 3 == 2 and 10.5 <= u < 13.5
        return {**REST, "fail": int(4 <= u < 10 or again), "shake": 9 * (int(t) % 2)}
    if kind == "b":  # all of them, one after the other
        return {**REST, "flood": 9 * (5 <= (t - 0.1 * n) % 20 < 12)}
    return REST


class Said(NamedTuple):
    at: int
    device: str
    values: dict[str, float]


class Flow(threading.Thread):
    """Publishes in real time until `end`. `ledger` is what devices with alarms have said."""

    def __init__(self, broker: Mosquitto) -> None:
        super().__init__(daemon=True)
        self.ledger: list[Said] = []
        self.messages = 0
        self.start_ms = now_millis()
        self._ends: int | None = None
        self._stopped = threading.Event()
        self._publisher = Publisher(broker.port, "ledger")

    def run(self) -> None:
        self._publisher.publish(self._stream(), per_second=10**6)
        self._publisher.close()

    def end(self) -> int:
        """Five seconds of rest, then no more; returns the time of the last message."""
        self._ends = (now_millis() - self.start_ms) // GRID * GRID + GRID
        self.join(240)
        assert not self.is_alive()
        assert self._publisher.acknowledged == self._publisher.sent
        return self.ledger[-1].at

    def stop(self) -> None:
        """At once, whatever has been said: the test has failed, or it is over."""
        self._stopped.set()
        self.join(60)

    def _stream(self) -> Iterator[tuple[bytes, bytes]]:
        since = 0
        while self._ends is None or since < self._ends + SETTLED:
            if self._stopped.wait(max(0, self.start_ms + since + GRID - now_millis()) / 1000):
                return
            for said in self._within(since):
                self.messages += 1
                if not said.device.startswith("l"):
                    self.ledger.append(said)
                yield f"post/{said.device}/telemetry".encode(), json.dumps({"ts": said.at, **said.values}).encode()
            since += GRID

    def _within(self, since: int) -> Iterator[Said]:
        for index, device in enumerate(DEVICES):
            if device.startswith("l") or (since // GRID + index) % 5 == 0:
                at = since + index % GRID
                over = self._ends is not None and at >= self._ends
                yield Said(self.start_ms + at, device, self._at_rest(device) if over else says(device, at / 1000))

    def _at_rest(self, device: str) -> dict[str, float]:
        """Half of the stations stay hot."""
        return {**REST, "heat": 90} if device in ("s1", "s3", "s5") else REST


DEVICES = [
    *(f"{kind}{n}" for n in range(YARDS) for kind in "sm"),
    *(f"b{n}" for n in range(BIG)),
    *(f"l{n}" for n in range(LOAD)),
]


# --- what came of it -------------------------------------------------------------------------------------------------


class Episode(NamedTuple):
    device: str
    rule: str
    raised_at: int
    cleared_at: int | None
    flaps: bool


class Told(NamedTuple):
    """What a notice says, and to whom: one thing is told once, however often services are killed."""

    device: str
    rule: str
    event: str
    at: str
    recipient: str


@dataclass
class Books:
    """What stands in a database about the alarms of these sites."""

    episodes: Counter[Episode]
    suppressed: Counter[Episode]
    folded: int
    storms: int
    ids: set[str]
    """Of alarms that are to have a ticket: neither suppressed nor folded."""
    opened: list[str]
    told: Counter[Told]
    """Each notice; a storm that goes on is told again, of another time."""


def books(database: Database) -> Books:
    with database.read() as connection:
        rows = connection.execute(select(alarms).where(alarms.c.site.in_([one["site"] for one in site_files()]))).all()
        decided = connection.execute(select(alarm_events.c.alarm, alarm_events.c.kind)).all()
        opened = list(connection.scalars(select(tickets.c.alarm)))
        said = connection.execute(select(notices).where(notices.c.subject_kind == "alarm")).all()
    raised = {one.alarm for one in decided if one.kind == "raised"}
    own = {row.id: _episode(row) for row in rows if row.profile != STORMS}
    storms = {row.id for row in rows if row.profile == STORMS}
    folded = {row.id for row in rows if row.parent is not None}
    # What was decided since the alarms were read is of the next look.
    kept = {one.alarm for one in decided if one.kind == "suppressed" and one.alarm in own} - raised - folded
    return Books(
        episodes=Counter(own.values()),
        suppressed=Counter(own[one] for one in kept),
        folded=len(folded),
        storms=len(storms),
        ids={*own, *storms} - kept - folded,
        opened=opened,
        told=Counter(_told(one) for one in said),
    )


def _told(row: Any) -> Told:
    return Told(row.data["device"], row.data["rule"], row.event, row.data["at"], row.recipient)


def _episode(row: Any) -> Episode:
    cleared = None if row.cleared_at is None else to_millis(row.cleared_at)
    return Episode(row.device, row.rule, to_millis(row.raised_at), cleared, bool(row.flaps))


def undisturbed(folder: Path, ledger: list[Said]) -> Books:
    """What comes of the same messages in a process that nobody kills, each taken when it was said."""
    database = opened(f"sqlite:///{folder / 'undisturbed.db'}")
    try:
        clock, library = StoryClock(), {"post": DeviceProfile.model_validate(post())}
        clock.time = from_millis(ledger[0].at)
        for one in site_files():
            import_site(database, json.dumps(one, indent=1), library, clock.time)
        intake = Intake(database, library, clock, Changes())
        intake.start()
        seq = 0
        end = ledger[-1].at + 2 * SETTLED
        said, index = sorted(ledger), 0
        for now in range(ledger[0].at, end, 5 * GRID):
            readings = []
            while index < len(said) and said[index].at <= now:
                at, device, values = said[index]
                readings.append(Reading(device, "", at, at, "t", dict(values), profile="post"))
                index += 1
            clock.time = datetime.fromtimestamp(now / 1000, UTC)
            seq = intake.take(Batch("gateway-1", seq + 1, seq + len(readings), now, readings))
            intake.tick(clock.time)
        return books(database)
    finally:
        database.close()
