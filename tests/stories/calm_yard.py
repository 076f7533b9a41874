"""A yard of charging stations with ports, and a meter that hangs on one: for stories of what belongs together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from services.database import Database
from services.rules.store import Alarm
from services.tables import alarm_events, alarms, shadow_episodes, ticket_events
from tests.stories.site import Story, profile

STATION = """
profile: station
family: ebike_charger
name: {zh: 充电站, en: Station}
params: {ports: {type: integer, default: 2, min: 1, max: 10}}
children: {port: {name: {zh: 口, en: Port}, count: ports}}
metrics: {voltage: {name: {zh: 电压, en: Voltage}, uom: V, range: [0, 500], period: 20s}}
states:
  state:
    name: {zh: 状态, en: State}
    scope: port
    values: {idle: {zh: 空闲, en: idle, tone: ok}, fault: {zh: 故障, en: fault, tone: bad}}
  smoke:
    name: {zh: 烟, en: Smoke}
    values: {clear: {zh: 无, en: clear, tone: ok}, seen: {zh: 有, en: seen, tone: bad}}
availability: {period: 20s, missed: 3, offline_after: 3m}
bindings: [{id: t, topic: "s/{address}", decode: [{json: true}], fields: {voltage: v}}]
rules:
  - id: mains_lost
    name: {zh: 停电, en: No mains}
    when: voltage < 100 V
    clear: {when: voltage > 180 V, for: 0s}
    severity: major
    source: {kind: judgement}
    ticket: mains
  - id: port_fault
    name: {zh: 口故障, en: Port failed}
    scope: port
    when: state == fault
    clear: {for: 0s}
    severity: minor
    suppressed_by: [mains_lost]
    source: {kind: judgement}
    ticket: port
    residents: no_port
  - id: smoke
    name: {zh: 烟雾, en: Smoke}
    when: smoke == seen
    clear: {for: 0s}
    severity: critical
    source: {kind: judgement}
    ticket: smoke
tickets:
  mains: {title: {zh: 恢复供电, en: Bring the mains back}, trade: electrical, priority: P2, due: 4h}
  port: {title: {zh: 修口, en: Repair the port}, trade: electrical, priority: P3, due: 24h}
  smoke: {title: {zh: 看烟, en: Look for the smoke}, trade: fire, priority: P1, due: 15m}
residents: {no_port: {service: charging, loss: degraded, what: {zh: 部分不能充。, en: Some ports are out.}}}
"""
METER = """
profile: meter
family: meter
name: {zh: 电表, en: Meter}
metrics: {energy: {name: {zh: 电量, en: Energy}, uom: kWh, period: 20s}}
availability: {period: 20s, missed: 3, offline_after: 2m}
bindings: [{id: t, topic: "m/{address}", decode: [{json: true}], fields: {energy: e}}]
rules:
  - id: gone
    name: {zh: 失联, en: Not heard}
    when: presence == offline
    clear: {for: 0s}
    severity: major
    suppressed_by: [mains_lost]
    source: {kind: judgement}
    ticket: go
tickets: {go: {title: {zh: 去看, en: Go and look}, trade: electrical, priority: P3, due: 24h}}
"""
LIBRARY = {one.id: one for one in (profile(STATION), profile(METER))}


def yard(stations: int) -> str:
    """Stations "s0", "s1", …, and a meter "m0" that hangs on the first."""
    rows = "".join(
        f"  - {{id: s{n}, profile: station, name: {{zh: 站{n}, en: Station {n}}}, building: 1}}\n"
        for n in range(stations)
    )
    return f"""
site: yard
name: {{zh: 小院, en: The Yard}}
timezone: Asia/Shanghai
buildings: [{{id: 1, units: [{{id: 1, households: 20}}]}}]
devices:
{rows}  - {{id: m0, profile: meter, name: {{zh: 表, en: Meter}}, building: 1, parent: s0}}
supplies:
  - {{id: charging, service: charging, members: [{{device: s0, child: "port:*"}}], needs: 2, buildings: [1]}}
recipients:
  - {{id: eng, audience: engineers, channel: webhook, to: "https://e.example/hook", lang: en, about: [alarm]}}
  - {{id: boss, audience: engineers, channel: email, to: b@example.com, about: [alarm], min_severity: critical}}
"""


def story(database: Database, stations: int = 1, **more: Any) -> Story:
    return Story(database, text=yard(stations), library=dict(LIBRARY), **more)


def decisions(site: Story, alarm: Alarm) -> list[str]:
    """What was decided about an alarm, in order, each with its reason where it has one."""
    query = select(alarm_events).where(alarm_events.c.alarm == alarm.id).order_by(alarm_events.c.id)
    with site.database.read() as connection:
        rows = connection.execute(query).all()
    return [f"{row.kind}:{row.data['why']}" if row.data.get("why") else row.kind for row in rows]


def everything(site: Story) -> list[Any]:
    """All that people can see of alarms and tickets, without the ids, which differ from run to run."""
    with site.database.read() as connection:
        names = {row.id: (row.device, row.child, row.rule, row.raised_at) for row in connection.execute(select(alarms))}
        found: list[Any] = [
            (names[row.id], row.state, row.severity, row.cleared_at, names.get(row.parent), row.flaps)
            for row in connection.execute(select(alarms))
        ]
        events = connection.execute(select(alarm_events)).all()
        found += [(names[row.alarm], row.kind, row.at, row.data.get("why")) for row in events]
        trials = connection.execute(select(shadow_episodes)).all()
        found += [(row.device, row.rule, row.raised_at, row.cleared_at) for row in trials]
        found += [(row.at, row.what, row.data.get("count")) for row in connection.execute(select(ticket_events))]
    found += [(one.number, one.title.en, one.device, one.child, one.state) for one in site.tickets()]
    found += [(one.recipient, one.event, one.title) for one in site.notices()]
    found += [(one.supply, one.loss, one.started_at, one.state) for one in site.outages(None)]
    return sorted(found, key=repr)


def rules_of(found: Sequence[Alarm]) -> list[str]:
    return sorted(f"{one.device} {one.child} {one.rule}".replace("  ", " ") for one in found)
