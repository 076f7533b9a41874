"""Site stories: what happened in a community, told as a timeline, run through the real intake and a real database.

    site.keeps_saying("pumps", "pump:1", run="running")
    site.at("00:05").says("pumps", "pump:1", run="fault")
    site.at("00:06").expect_outage("water-low", "degraded", buildings=["1", "2"])

Between two moments the gateway reports its progress and services tick, as they do in the product.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from device_profiles.schema import DeviceProfile
from device_profiles.yaml_lines import read_yaml
from gateway.reading import Batch, GatewayStatus, Presence, Quality, Reading, Value
from services.changes import Changes
from services.clock import to_millis
from services.database import Database
from services.intake import Intake
from services.outages.store import Outage, list_outages
from services.rules.store import Alarm, list_alarms
from services.scope import EVERYWHERE
from services.sites.importer import import_site
from services.sites.store import Device, get_device
from services.tables import notices
from services.tickets.desk import Desk
from services.tickets.store import Ticket, get_ticket, list_tickets
from tests.migrated import opened as opened

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
STEP = timedelta(seconds=10)

PUMPS = """
profile: pumps
family: water_pump
name: {zh: 泵组, en: Pump set}
params:
  low: {default: 0.3, uom: MPa, min: 0, max: 2}
  pumps: {type: integer, default: 2, min: 1, max: 8}
children:
  pump: {name: {zh: 泵, en: Pump}, count: pumps}
  zone: {name: {zh: 区, en: Zone}, count: 1}
metrics:
  pressure: {name: {zh: 压力, en: Pressure}, uom: MPa, range: [0, 3], period: 20s}
  current: {name: {zh: 电流, en: Current}, scope: pump, uom: A, range: [0, 100], period: 20s}
states:
  run:
    name: {zh: 运行, en: Running}
    scope: pump
    values: {running: {zh: 运行, en: running, tone: ok}, fault: {zh: 故障, en: fault, tone: bad}}
  room: {name: {zh: 泵房, en: Room}, values: {dry: {zh: 干, en: dry, tone: ok}, wet: {zh: 湿, en: wet, tone: bad}}}
availability: {period: 20s, missed: 3, offline_after: 5m}
bindings: [{id: t, topic: "p/{address}", decode: [{json: true}], fields: {pressure: p}}]
rules:
  - id: low
    name: {zh: 压力低, en: Pressure low}
    when: pressure < low
    for: 60s
    clear: {when: pressure >= low + 0.05 MPa, for: 30s}
    severity: critical
    source: {kind: judgement}
    ticket: restore
    residents: none_left
  - id: pump_fault
    name: {zh: 泵故障, en: Pump failed}
    scope: pump
    when: run == fault
    clear: {for: 30s}
    severity: major
    source: {kind: judgement}
    ticket: repair
    residents: weak
  - id: dry
    name: {zh: 干转, en: Runs dry}
    scope: pump
    when: run == running and parent.pressure < 0.1 MPa
    for: 30s
    clear: {for: 0s}
    severity: minor
    source: {kind: judgement}
  - id: wet
    name: {zh: 进水, en: Room wet}
    when: room == wet
    clear: {for: 0s}
    severity: warning
    source: {kind: judgement}
  - id: gone
    name: {zh: 失联, en: Offline}
    when: presence == offline
    clear: {for: 0s}
    severity: major
    needs: any
    source: {kind: judgement}
    ticket: reconnect
  - id: pressure_missing
    name: {zh: 无压力数据, en: No pressure values}
    when: age(pressure) > 3m
    clear: {for: 0s}
    severity: minor
    source: {kind: judgement}
tickets:
  restore:
    title: {zh: 恢复压力, en: Restore the pressure}
    trade: plumbing
    priority: P1
    due: 2h
    steps: [{zh: 看, en: Look}, {zh: 修, en: Mend}]
  repair: {title: {zh: 修泵, en: Repair the pump}, trade: plumbing, priority: P2, due: 24h}
  reconnect: {title: {zh: 恢复通信, en: Bring it back online}, trade: network, priority: P3, due: 24h}
residents:
  none_left:
    service: water
    what: {zh: 没有水。, en: There is no water.}
    instead: {zh: 东门取水。, en: Fetch water at the east gate.}
    restored: {zh: 来水了。, en: Water is back.}
    next_news: 1h
  weak: {service: water, loss: degraded, what: {zh: 水小。, en: Water runs weaker.}, next_news: 4h}
"""

GATE = """
profile: gate
family: access_gate
name: {zh: 门, en: Gate}
states:
  door:
    name: {zh: 门, en: Door}
    values:
      closed: {zh: 关, en: closed, tone: ok}
      open: {zh: 开, en: open, tone: active}
      forced: {zh: 强开, en: forced, tone: bad}
availability: {period: 30s, missed: 2}
bindings: [{id: t, topic: "g/{address}", decode: [{json: true}], fields: {door: d}}]
rules:
  - id: held
    name: {zh: 未关, en: Held open}
    when: door == open
    for: 2m
    clear: {when: door == closed}
    severity: minor
    source: {kind: judgement}
  - id: forced
    name: {zh: 强开, en: Forced}
    when: door == forced
    clear: {when: door == closed}
    severity: critical
    source: {kind: judgement}
    ticket: look
    residents: broken
tickets: {look: {title: {zh: 看门, en: Look at the door}, trade: access, priority: P1, due: 15m}}
residents: {broken: {service: access, what: {zh: 门坏了。, en: The door is broken.}}}
"""

YARD = """
site: yard
name: {zh: 小院, en: The Yard}
timezone: Asia/Shanghai
contact: {zh: "电话 5555", en: "Call 5555"}
buildings:
  - {id: 1, units: [{id: 1, households: 20}, {id: 2, households: 22}]}
  - {id: 2, units: [{id: 1, households: 18}]}
  - {id: 3, units: [{id: 1, households: 10}]}
devices:
  - {id: pumps, profile: pumps, name: {zh: 泵房, en: Pump room}, building: 1, place: {zh: 地下, en: Basement}}
  - {id: gate-1, profile: gate, name: {zh: 南门, en: South gate}, building: 2}
supplies:
  - id: water-low
    service: water
    needs: 2
    members: [{device: pumps, child: "pump:*"}]
    buildings: [1]
    units: [{building: 2, unit: 1}]
  - {id: door-2, service: access, members: [{device: gate-1}], buildings: [2]}
recipients:
  - {id: eng, audience: engineers, channel: webhook, to: "https://e.example/hook", lang: en}
  - {id: crew, audience: crew, channel: apprise, to: "env:CREW", min_severity: critical}
  - {id: flats, audience: residents, channel: email, to: r@example.com, lang: en}
  - {id: flats-3, audience: residents, channel: email, to: three@example.com, buildings: [3]}
"""


def profile(text: str) -> DeviceProfile:
    return DeviceProfile.model_validate(read_yaml(text).data)


LIBRARY = {one.id: one for one in (profile(PUMPS), profile(GATE))}


class StoryClock:
    def __init__(self) -> None:
        self.time = MIDNIGHT

    def now(self) -> datetime:
        return self.time


@dataclass
class Story:
    """One site, one gateway, and a clock that only the story moves."""

    database: Database
    text: str = YARD
    library: dict[str, DeviceProfile] = field(default_factory=lambda: dict(LIBRARY))
    gateway: str = "gw"

    def __post_init__(self) -> None:
        self.clock = StoryClock()
        self.changes = Changes()
        self.seq = 0
        self.connected = True
        self.uplink = True
        self.waiting: list[Reading] = []
        self.said: dict[tuple[str, str], dict[str, Value]] = {}
        import_site(self.database, self.text, self.library, MIDNIGHT)
        self.restart()

    def restart(self) -> Story:
        """Services start anew, with nothing but the database."""
        self.intake = Intake(self.database, self.library, self.clock, self.changes, public_url="http://c.example")
        self.intake.start()
        return self

    @property
    def desk(self) -> Desk:
        return Desk(database=self.database, changes=self.changes, public_url="http://c.example")

    # --- time -----------------------------------------------------------------------------------------------------

    def at(self, clock: str) -> Story:
        """Time passes until then ("00:05", "00:05:30"), tick by tick."""
        hours, minutes, *seconds = (int(part) for part in clock.split(":"))
        until = MIDNIGHT + timedelta(hours=hours, minutes=minutes, seconds=seconds[0] if seconds else 0)
        assert until >= self.clock.time, "a story goes forward"
        while self.clock.time < until:
            self.clock.time = min(self.clock.time + STEP, until)
            self._repeat()
            self._deliver([])
            self.intake.tick(self.clock.time)
        return self

    def keeps_saying(self, device: str, child: str = "", **values: Value) -> Story:
        """Every step from now on, until it `falls_silent`."""
        self.said[device, child] = values
        return self.says(device, child, **values)

    def falls_silent(self, device: str) -> Story:
        self.said = {key: values for key, values in self.said.items() if key[0] != device}
        return self

    def _repeat(self) -> None:
        readings = [self.reading(device, child, values) for (device, child), values in self.said.items()]
        if readings:
            self._deliver(readings)

    # --- the gateway ------------------------------------------------------------------------------------------------

    def says(self, device: str, child: str = "", **values: Value) -> Story:
        """One message now; also what it keeps saying, if it does."""
        if (device, child) in self.said:
            self.said[device, child] = {**self.said[device, child], **values}
        return self._deliver([self.reading(device, child, values)])

    def reading(
        self,
        device: str,
        child: str = "",
        values: dict[str, Value] | None = None,
        *,
        at: datetime | None = None,
        quality: Quality = Quality.GOOD,
        flags: dict[str, Quality] | None = None,
        presence: Presence = Presence.UNSAID,
        profile: str = "pumps",
        **more: Any,
    ) -> Reading:
        now = to_millis(self.clock.time)
        return Reading(
            device=device,
            child=child,
            measured_at=now if at is None else to_millis(at),
            received_at=now,
            binding="t",
            values=values or {},
            quality=quality,
            flags=flags or {},
            presence=presence,
            profile=profile,
            **more,
        )

    def deliver(self, *readings: Reading) -> Story:
        return self._deliver(list(readings))

    def loses_uplink(self) -> Story:
        """The gateway goes on collecting; services hear nothing."""
        self.uplink = False
        return self

    def finds_uplink(self) -> Story:
        self.uplink = True
        return self._deliver([])

    def loses_broker(self) -> Story:
        self.connected = False
        return self._deliver([])

    def finds_broker(self) -> Story:
        self.connected = True
        return self._deliver([])

    def _deliver(self, readings: list[Reading]) -> Story:
        self.waiting += readings
        if not self.uplink:
            return self
        batch = self.batch(self.waiting)
        self.waiting = []
        assert self.intake.take(batch) == self.seq
        return self

    def batch(self, readings: list[Reading]) -> Batch:
        first = self.seq + 1 if readings else self.seq
        self.seq += len(readings)
        return Batch(
            gateway=self.gateway,
            first_seq=first,
            last_seq=self.seq,
            progress_at=to_millis(self.clock.time),
            readings=readings,
            status=status(connected=self.connected),
        )

    # --- what there is ------------------------------------------------------------------------------------------------

    def alarms(self, state: str | None = "active", **where: Any) -> list[Alarm]:
        with self.database.read() as connection:
            return list_alarms(connection, EVERYWHERE, state=state, **where)

    def tickets(self, **where: Any) -> list[Ticket]:
        with self.database.read() as connection:
            return list_tickets(connection, EVERYWHERE, **where)

    def ticket(self, id: str) -> Ticket:
        with self.database.read() as connection:
            found = get_ticket(connection, EVERYWHERE, id)
        assert found is not None
        return found

    def outages(self, state: str | None = "ongoing") -> list[Outage]:
        with self.database.read() as connection:
            return list_outages(connection, EVERYWHERE, state=state)

    def device(self, id: str) -> Device:
        with self.database.read() as connection:
            found = get_device(connection, EVERYWHERE, id)
        assert found is not None
        return found

    def notices(self, recipient: str | None = None) -> list[Any]:
        with self.database.read() as connection:
            rows = connection.execute(select(notices).order_by(notices.c.id)).all()
        return [row for row in rows if recipient is None or row.recipient == f"yard:{recipient}"]

    # --- what must be -------------------------------------------------------------------------------------------------

    def expect_alarms(self, *rules: str) -> Story:
        """Exactly these are active: "rule" or "rule@child"."""
        found = sorted(alarm.rule + (f"@{alarm.child}" if alarm.child else "") for alarm in self.alarms())
        assert found == sorted(rules), f"at {self.clock.time:%H:%M:%S}"
        return self

    def expect_tickets(self, count: int) -> Story:
        assert len(self.tickets()) == count, f"at {self.clock.time:%H:%M:%S}: {self.tickets()}"
        return self

    def expect_outage(self, supply: str, loss: str, *, buildings: list[str] | None = None) -> Story:
        found = {outage.supply: outage for outage in self.outages()}
        assert supply in found, f"at {self.clock.time:%H:%M:%S}: {sorted(found)}"
        assert found[supply].loss == loss
        if buildings is not None:
            assert list(found[supply].buildings) == buildings
        return self

    def expect_no_outage(self) -> Story:
        assert self.outages() == []
        return self

    def expect_presence(self, device: str, presence: str) -> Story:
        assert self.device(device).latest.presence == presence, f"at {self.clock.time:%H:%M:%S}"
        return self


def status(*, connected: bool = True) -> GatewayStatus:
    return GatewayStatus(
        connected=connected,
        journal_bytes=0,
        journal_max_bytes=1,
        journal_entries=0,
        oldest_entry_at=None,
        received=0,
        quarantined=0,
        quarantine_entries=0,
        shed=0,
        messages_per_second=0.0,
    )
