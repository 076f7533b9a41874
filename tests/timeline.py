"""Timelines: what happened at a site, minute by minute on its own clock, through the real intake and a real database.

    site = Timeline(tmp_path, PUMPS, devices={"pump-1": "pumps"}, zone="Europe/Berlin", starts="2026-03-28")
    site.at("00:05").reading("pump-1", pressure=0.1)
    site.at("00:12").expect_alarm("pump-1", "suction_low", severity="major", raised="00:10")
    site.at("+1 02:30 again").expect_no_alarm()

Between two moments the gateway reports its progress and services tick, once each `step`, as they do in the product.
Nothing reads a real clock and nothing sleeps, so a day costs what its steps cost: choose long ones for long stories.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml
from sqlalchemy import Row, Table, event, select

from device_profiles.schema import DeviceProfile, parse_duration
from device_profiles.yaml_lines import read_yaml
from gateway.reading import Batch, Presence, Quality, Reading, Value
from services.changes import Changes
from services.clock import to_millis
from services.intake import Intake
from services.sites.importer import import_site
from services.tables import alarms, notices, rule_corrections, tickets
from tests.stories.site import StoryClock, opened, status

_MOMENT = re.compile(r"^(?:\+(\d+) )?(\d\d):(\d\d)(?::(\d\d))?( again)?$")
_numbers = count(1)
_MOST_IN_A_BATCH = 500


class Timeline:
    """One site with one gateway, and a clock that only the story moves.

    `profiles` are YAML texts, or profiles; `devices` names each device's profile, or gives its whole entry of the site
    file ({"profile": ..., "params": {...}, "parent": ...}). `more` is laid over the site file (supplies, recipients,
    rules, params). `starts` is midnight of this day on the clock of the site, `step` how often time is told.
    """

    def __init__(
        self,
        folder: Path,
        *profiles: str | DeviceProfile,
        devices: Mapping[str, str | Mapping[str, Any]],
        zone: str = "Asia/Shanghai",
        starts: str = "2026-03-02",
        step: str = "10s",
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self.zone = ZoneInfo(zone)
        self.step = parse_duration(step)
        self.day = datetime.fromisoformat(starts)
        self.clock = StoryClock()
        self.clock.time = self.day.replace(tzinfo=self.zone).astimezone(UTC)
        self.database = opened(f"sqlite:///{folder / f'timeline-{next(_numbers)}.db'}")
        event.listen(self.database.engine, "connect", _in_no_fear_of_power_cuts)
        self.database.engine.dispose()  # so that the next connection is such a one
        self.library = {one.id: one for one in map(_profile, profiles)}
        self.site_file = yaml.safe_dump(_site_file(zone, devices, more or {}), allow_unicode=True)
        import_site(self.database, self.site_file, self.library, self.clock.time)
        self._profiles = {id: one if isinstance(one, str) else one["profile"] for id, one in devices.items()}
        self._kept: dict[tuple[str, str], tuple[timedelta, datetime, dict[str, Value]]] = {}
        self._seq = 0
        self._journal: list[Reading] | None = None
        """What the gateway keeps while services are stopped."""
        self._is_deaf = False
        self.restart()

    def restart(self) -> Timeline:
        """Services die and start anew, with nothing but the database."""
        self.intake = Intake(self.database, self.library, self.clock, Changes(), public_url="http://c.example")
        self.intake.start()
        return self

    def stop(self, *, gateway: bool = False) -> Timeline:
        """Services are stopped, and the gateway keeps what it hears; with `gateway` it is stopped as well, and what
        devices say is heard by nobody."""
        self._journal, self._is_deaf = [], gateway
        return self

    def start(self) -> Timeline:
        """Services start, and then the gateway hands over what it has kept, as fast as they take it."""
        kept, self._journal, self._is_deaf = self._journal or [], None, False
        self.restart()
        self.intake.tick(self.clock.time)
        for begin in range(0, len(kept), _MOST_IN_A_BATCH):
            some = kept[begin : begin + _MOST_IN_A_BATCH]
            self._hand_over(some, some[-1].received_at)
            self.intake.tick(self.clock.time)
        self.deliver()
        self.intake.tick(self.clock.time)
        return self

    def close(self) -> None:
        self.database.close()

    # --- time --------------------------------------------------------------------------------------------------------

    def at(self, moment: str) -> Timeline:
        """Time passes until the site's clock shows this: "00:05", "00:05:30", on a later day "+2 00:05", and where it
        shows it twice, the second time: "02:30 again"."""
        return self._until(self.moment(moment))

    def after(self, stretch: str) -> Timeline:
        """So much time passes: "90s", "10m"."""
        return self._until(self.clock.time + parse_duration(stretch))

    def moment(self, text: str) -> datetime:
        """A moment as `at` takes it, in UTC."""
        found = _MOMENT.match(text)
        assert found, f"found {text!r}, expected a moment such as 00:05, 00:05:30, +1 00:05 or 02:30 again"
        days, hours, minutes, seconds, again = found.groups()
        wall = self.day + timedelta(days=int(days or 0))
        wall = wall.replace(hour=int(hours), minute=int(minutes), second=int(seconds or 0), fold=bool(again))
        return wall.replace(tzinfo=self.zone).astimezone(UTC)

    def _until(self, until: datetime) -> Timeline:
        assert until >= self.clock.time, f"a timeline goes forward: it is {self.now} already"
        while self.clock.time < until:
            self.clock.time = min(self.clock.time + self.step, until)
            self._repeat()
            self.deliver()
            self._tick()
        return self

    def _tick(self) -> None:
        if self._journal is None:
            self.intake.tick(self.clock.time)

    @property
    def now(self) -> str:
        """What the site's clock shows."""
        return self.shown(self.clock.time)

    def shown(self, at: datetime) -> str:
        """A moment on the site's clock: "02 00:05:30"."""
        return f"{at.astimezone(self.zone):%d %H:%M:%S}"

    # --- what devices say --------------------------------------------------------------------------------------------

    def reading(
        self,
        device: str,
        child: str = "",
        *,
        measured: str | None = None,
        quality: Quality = Quality.GOOD,
        presence: Presence = Presence.UNSAID,
        **values: Value,
    ) -> Timeline:
        """One message now. `measured`: the moment at which the device says that it measured these."""
        return self.deliver(self._reading(device, child, values, measured=measured, quality=quality, presence=presence))

    def late(self, device: str, child: str = "", *, measured: str, **values: Value) -> Timeline:
        """One message that took so long that its values page nobody."""
        return self.deliver(self._reading(device, child, values, measured=measured, quality=Quality.LATE))

    def keeps(self, device: str, child: str = "", *, every: str = "30s", **values: Value) -> Timeline:
        """Says this now, and again and again until it is `silent` or keeps saying something else."""
        self._kept[device, child] = (parse_duration(every), self.clock.time, values)
        return self.deliver(self._reading(device, child, values))

    def every(self, period: str, stretch: str, device: str, *said: Mapping[str, Value], child: str = "") -> Timeline:
        """These messages in turn, one each period for so long, handed over in one go and then a tick."""
        batch: list[Reading] = []
        until = self.clock.time + parse_duration(stretch)
        while self.clock.time < until:
            batch.append(self._reading(device, child, said[len(batch) % len(said)]))
            self.clock.time += parse_duration(period)
        self.deliver(*batch)
        self._tick()
        return self

    def silent(self, device: str) -> Timeline:
        """It says nothing any more by itself."""
        self._kept = {key: kept for key, kept in self._kept.items() if key[0] != device}
        return self

    def deliver(self, *readings: Reading) -> Timeline:
        """The gateway hands these over, and how far it has seen time pass."""
        if self._journal is None:
            self._hand_over(readings, to_millis(self.clock.time))
        elif not self._is_deaf:
            self._journal += readings
        return self

    def _hand_over(self, readings: Sequence[Reading], progress: int) -> None:
        first = self._seq + 1 if readings else self._seq
        self._seq += len(readings)
        self.intake.take(Batch("gw", first, self._seq, progress, list(readings), status()))

    def _repeat(self) -> None:
        due = []
        for (device, child), (every, last, values) in self._kept.items():
            if self.clock.time - last >= every:
                self._kept[device, child] = (every, self.clock.time, values)
                due.append(self._reading(device, child, values))
        if due:
            self.deliver(*due)

    def _reading(
        self,
        device: str,
        child: str,
        values: Mapping[str, Value],
        *,
        measured: str | None = None,
        quality: Quality = Quality.GOOD,
        presence: Presence = Presence.UNSAID,
    ) -> Reading:
        now = to_millis(self.clock.time)
        return Reading(
            device,
            child,
            now if measured is None else to_millis(self.moment(measured)),
            now,
            "t",
            dict(values),
            quality=quality,
            presence=presence,
            profile=self._profiles[device],
        )

    # --- what must be ------------------------------------------------------------------------------------------------

    def alarms(self, device: str | None = None, rule: str | None = None, *, state: str | None = None) -> list[Row[Any]]:
        """Rows of the alarms table, the oldest first; `state`: active, suppressed or cleared."""
        found = self._rows(alarms)
        wanted = ((device, "device"), (rule, "rule"), (state, "state"))
        return [row for row in found if all(one is None or getattr(row, name) == one for one, name in wanted)]

    def tickets(self) -> list[Row[Any]]:
        return self._rows(tickets)

    def notices(self, kind: str | None = None, happened: str | None = None) -> list[Row[Any]]:
        """Notices in the outbox, the oldest first; `kind`: alarm, ticket or outage; `happened`: raised, cleared, …"""
        found = [row for row in self._rows(notices) if kind in (None, row.subject_kind)]
        return [row for row in found if happened in (None, row.event)]

    def corrections(self) -> list[Row[Any]]:
        """What late data would have said, in the order of event time."""
        return sorted(self._rows(rule_corrections), key=lambda row: row.measured_at)

    def expect_alarm(
        self,
        device: str,
        rule: str,
        *,
        child: str = "",
        severity: str | None = None,
        raised: str | None = None,
        flaps: int | None = None,
    ) -> Timeline:
        """It is active, exactly once; as severe as this, raised at that moment, flapping that often."""
        found = [one for one in self.alarms(device, rule, state="active") if one.child == child]
        assert len(found) == 1, f"at {self.now}: {device} {child} has no active {rule}; active are {self._active()}"
        if severity is not None:
            assert found[0].severity == severity, f"at {self.now}: {rule} is {found[0].severity}, expected {severity}"
        if raised is not None:
            assert self._shown(found[0].raised_at) == self._shown(self.moment(raised)), f"{rule} of {device}"
        if flaps is not None:
            assert found[0].flaps == flaps, f"at {self.now}: {rule} has begun {found[0].flaps} times"
        return self

    def expect_no_alarm(self, device: str | None = None, rule: str | None = None) -> Timeline:
        """Nothing is active: at all, of this device, or of this rule."""
        found = self.alarms(device, rule, state="active")
        assert not found, f"at {self.now}: active are {self._active()}"
        return self

    def expect_episodes(self, device: str, rule: str, *episodes: tuple[str, str | None]) -> Timeline:
        """All that ever were, each (raised, cleared or None), the oldest first."""
        found = [(self._shown(one.raised_at), self._shown(one.cleared_at)) for one in self.alarms(device, rule)]
        expected = [
            (self._shown(self.moment(begun)), None if over is None else self._shown(self.moment(over)))
            for begun, over in episodes
        ]
        assert found == expected, f"{rule} of {device}"
        return self

    def expect_tickets(self, number: int) -> Timeline:
        """So many were opened ever."""
        assert len(self.tickets()) == number, f"at {self.now}: {[row.template for row in self.tickets()]}"
        return self

    def _active(self) -> list[str]:
        return [f"{one.device} {one.child} {one.rule}".replace("  ", " ") for one in self.alarms(state="active")]

    def _shown(self, at: datetime | None) -> str | None:
        return None if at is None else f"{at.astimezone(self.zone):%d %H:%M:%S %z}"

    def _rows(self, table: Table) -> list[Row[Any]]:
        with self.database.read() as connection:
            return list(connection.execute(select(table).order_by(table.c.id)).all())


def _in_no_fear_of_power_cuts(connection: Any, _record: object) -> None:
    """A day of minutes is thousands of transactions: a disk that is waited for each time makes a story slow."""
    connection.execute("PRAGMA synchronous=OFF")


def _profile(given: str | DeviceProfile) -> DeviceProfile:
    return given if isinstance(given, DeviceProfile) else DeviceProfile.model_validate(read_yaml(given).data)


def _site_file(zone: str, devices: Mapping[str, str | Mapping[str, Any]], more: Mapping[str, Any]) -> dict[str, Any]:
    entries = [
        {"id": id, "name": {"zh": id, "en": id}, **({"profile": one} if isinstance(one, str) else one)}
        for id, one in devices.items()
    ]
    plain: dict[str, Any] = {
        "site": "yard",
        "name": {"zh": "小院", "en": "The Yard"},
        "timezone": zone,
        "contact": {"zh": "电话 5555", "en": "Call 5555"},
        "buildings": [{"id": "1", "units": [{"id": "1", "households": 20}]}],
        "devices": entries,
        "recipients": [
            {"id": "eng", "audience": "engineers", "channel": "webhook", "to": "https://e.example/hook", "lang": "en"}
        ],
    }
    return {**plain, **more}
