"""A realistic site, straight into the tables: nine buildings, chargers, gates, cameras, pumps, and some trouble."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert

from gateway.reading import Reading
from gateway.telemetry import TelemetryStore
from services.accounts import desk
from services.accounts.policy import ANYWHERE, Grant, Role
from services.clock import to_millis
from services.database import Database
from services.tables import (
    alarms,
    buildings,
    device_states,
    devices,
    gateways,
    notices,
    outage_updates,
    outages,
    recipients,
    sites,
    supplies,
    ticket_events,
    tickets,
    units,
)

SITE = "willow-court"
PASSWORD = "walking-on-willow-lane-7"


def seed(database: Database, telemetry: TelemetryStore, now: datetime) -> dict[str, str]:
    """Everything; gives the ids of the people by login."""
    with database.write() as connection:
        _place(connection, now)
        _devices(connection, now)
        _trouble(connection, now)
        _notices(connection, now)
        _gateway(connection, now)
    _history(telemetry, now)
    return _people(database, now)


def _people(database: Database, now: datetime) -> dict[str, str]:
    found = {}
    for login, name, role, site in (
        ("chen.yu", "陈宇", Role.ADMIN, ANYWHERE),
        ("li.wei", "李伟", Role.CREW, SITE),
    ):
        person = desk.add_person(
            database, login=login, password=PASSWORD, grants=[Grant(site, role)], now=now, who=None, name=name
        )
        found[login] = person.id
    return found


def _place(connection: Connection, now: datetime) -> None:
    connection.execute(
        insert(sites),
        [
            {
                "id": SITE,
                "name_zh": "柳岸花园",
                "name_en": "Willow Court",
                "timezone": "Asia/Shanghai",
                "contact_zh": "物业服务中心 24 小时：021-5550 1234",
                "contact_en": "Service desk, day and night: 021-5550 1234",
                "updated_at": now,
            },
            {
                "id": "north-gate",
                "name_zh": "北门小院",
                "name_en": "North Gate Yard",
                "timezone": "Asia/Shanghai",
                "contact_zh": "",
                "contact_en": "",
                "updated_at": now,
            },
        ],
    )
    connection.execute(
        insert(buildings),
        [
            {"site": SITE, "id": str(n), "name_zh": f"{n} 号楼", "name_en": f"Building {n}", "position": n}
            for n in range(1, 10)
        ],
    )
    connection.execute(
        insert(units),
        [
            {
                "site": SITE,
                "building": str(n),
                "id": str(u),
                "name_zh": f"{u} 单元",
                "name_en": f"Unit {u}",
                "households": 24,
            }
            for n in range(1, 10)
            for u in (1, 2)
        ],
    )
    everywhere = [{"building": str(n), "unit": None} for n in range(1, 10)]
    connection.execute(
        insert(supplies),
        [
            _supply("water-high", "water", [{"device": "pumps-1", "child": ""}], everywhere),
            _supply("charging", "charging", [{"device": f"pile-{n}", "child": ""} for n in range(1, 9)], everywhere),
            _supply("doors", "access", [{"device": f"gate-{n}", "child": ""} for n in range(1, 19)], everywhere),
            _supply("cameras", "video", [{"device": "nvr-1", "child": ""}], everywhere),
        ],
    )


def _supply(id: str, service: str, members: list[dict[str, Any]], scope: list[dict[str, Any]]) -> dict[str, Any]:
    return {"site": SITE, "id": id, "service": service, "needs": 1, "members": members, "scope": scope}


def _device(id: str, profile: str, zh: str, en: str, building: str | None, **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "site": SITE,
        "profile": profile,
        "address": id,
        "name_zh": zh,
        "name_en": en,
        "building": building,
        "place_zh": "",
        "place_en": "",
        "params": {},
        "parent": None,
        **more,
    }


def _devices(connection: Connection, now: datetime) -> None:
    rows = [
        _device(
            f"pile-{n}",
            "ebike_charger_json",
            f"{n} 号充电站",
            f"Charging station {n}",
            str(n),
            place_zh="车棚",
            place_en="bike shed",
        )
        for n in range(1, 9)
    ]
    rows += [
        _device(
            f"gate-{n}",
            "access_gate_json",
            f"{(n + 1) // 2} 号楼 {2 - n % 2} 单元门",
            f"Door {(n + 1) // 2}-{2 - n % 2}",
            str((n + 1) // 2),
        )
        for n in range(1, 19)
    ]
    names = ",".join(f"cam_{n}" for n in range(1, 21))
    rows.append(_device("nvr-1", "camera_frigate", "监控主机", "Camera recorder", None, params={"cameras": names}))
    rows += [_device(f"pumps-{n}", "booster_set", f"{n} 号泵组", f"Booster set {n}", str(n * 3)) for n in (1, 2)]
    rows += [_device(f"sump-{n}", "sump_pump_json", f"车库 {n} 号集水坑", f"Garage sump {n}", None) for n in (1, 2, 3)]
    connection.execute(insert(devices), rows)
    states = [state for row in rows for state in _states(row["id"], now)]
    connection.execute(insert(device_states), states)


def _state(
    device: str, now: datetime, values: dict[str, Any], child: str = "", presence: str = "online", heard: float = 7
) -> dict[str, Any]:
    at = now - timedelta(seconds=heard)
    return {
        "device": device,
        "child": child,
        "presence": presence,
        "last_heard_at": at,
        "measured_at": at,
        "values": values,
        "value_times": {name: to_millis(at) for name in values},
        "flags": {"supply_voltage": "suspect"} if device == "gate-3" else {},
    }


def _states(device: str, now: datetime) -> list[dict[str, Any]]:
    kind, _, number = device.partition("-")
    n = int(number)
    if kind == "pile":
        if n == 8:
            return [_state(device, now, {"cabinet_temp": 22.0}, presence="offline", heard=1900)]
        own = _state(
            device,
            now,
            {"supply_voltage": 220.4 + n, "cabinet_temp": 27.0 + n, "leakage": 3.2, "smoke": "clear", "water": "dry"},
            heard=3 + n,
        )
        return [own, *(_port(device, n, port, now) for port in range(1, 9))]
    if kind == "gate":
        presence, heard = {5: ("stale", 190.0), 11: ("unknown", 4000.0)}.get(n, ("online", 12.0 + n))
        door = {2: "open", 9: "held_open"}.get(n, "closed")
        values = {"door": door, "lock": "locked", "supply_voltage": 12.1, "openings": 1200 + n, "reader": "ok"}
        return [_state(device, now, values, presence=presence, heard=heard)]
    if kind == "nvr":
        own = _state(device, now, {"uptime": 812345, "recordings_used": 700000.0, "recordings_total": 1000000.0})
        return [own, *(_camera(device, camera, now) for camera in range(1, 21))]
    if kind == "pumps":
        pressure, second = (0.28, "fault") if n == 1 else (0.42, "stopped")
        return [
            _state(device, now, {"tank_level": 71.0, "inlet_pressure": 0.24, "room_temp": 18.0, "room_flood": "dry"}),
            _state(device, now, {"outlet_pressure": pressure, "setpoint": 0.42}, "zone:1"),
            _state(device, now, {"run": "running", "current": 9.8, "energy": 18234.5}, "pump:1"),
            _state(device, now, {"run": second, "current": 0.0, "energy": 17002.1}, "pump:2"),
        ]
    values = {"level": 34.0 + n, "current": 0.0, "starts": 5120, "run": "stopped", "float_switch": "down"}
    return [_state(device, now, values)]


def _port(device: str, n: int, port: int, now: datetime) -> dict[str, Any]:
    word = ("charging", "idle", "idle", "charging", "full", "plugged", "charging", "idle")[(port + n) % 8]
    hot = device == "pile-3" and port == 5
    if device == "pile-6" and port == 2:
        word = "stuck"
    power = 412.5 if word == "charging" else 0.0
    values = {"port_state": "charging" if hot else word, "port_power": power, "port_temp": 86.0 if hot else 31.0}
    return _state(device, now, {**values, "port_current": power / 220, "port_energy": 1834.2}, f"port:{port}")


def _camera(device: str, camera: int, now: datetime) -> dict[str, Any]:
    values = {"fps": 0.0 if camera == 13 else 5.0, "recording": "off" if camera == 13 else "on", "motion": "still"}
    return _state(device, now, values, f"camera:cam_{camera}")


# id, device, child, rule, name, severity, condition, values, minutes since raised, source
_ALARMS: tuple[tuple[Any, ...], ...] = (
    ("a-hot", "pile-3", "port:5", "port_hot", "充电口过热", "Port too hot", "critical", "port_temp >= 80 °C",
     {"port_temp": 86.0}, 4, {"kind": "vendor", "ref": "AP3000 V8.6: 80 °C for 30 s"}),
    ("a-pump", "pumps-1", "pump:2", "pump_fault", "水泵故障", "Pump faulty", "major", "run == fault",
     {"run": "fault"}, 38, {"kind": "judgement", "ref": "says so itself"}),
    ("a-offline", "pile-8", "", "offline", "充电站失联", "Station offline", "major", "presence == offline",
     {"presence": "offline"}, 27, {"kind": "judgement", "ref": "offline for 5 minutes"}),
    ("a-stuck", "pile-6", "port:2", "port_fault", "充电口故障", "Port faulty", "major",
     "port_state in (stuck, contact_fault, fault)", {"port_state": "stuck"}, 190,
     {"kind": "vendor", "ref": "AP3000 V8.6: port states 6 to 0x10"}),
    ("a-held", "gate-9", "", "held_open", "门长时间未关", "Door held open", "warning", "door == held_open",
     {"door": "held_open"}, 11, {"kind": "judgement", "ref": "30 s"}),
)  # fmt: skip


_PROFILES = {"pile": "ebike_charger_json", "pumps": "booster_set", "gate": "access_gate_json"}


def _trouble(connection: Connection, now: datetime) -> None:
    rows = []
    for id, device, child, rule, zh, en, severity, condition, values, minutes, source in _ALARMS:
        raised = now - timedelta(minutes=minutes)
        since = raised - timedelta(seconds=30)
        rows.append(
            {
                "id": id,
                "site": SITE,
                "device": device,
                "child": child,
                "rule": rule,
                "profile": _PROFILES[device.partition("-")[0]],
                "severity": severity,
                "state": "active",
                "reason": {
                    "name": {"zh": zh, "en": en},
                    "condition": condition,
                    "values": values,
                    "since": since.isoformat(),
                    "measured_at": raised.isoformat(),
                    "for_seconds": 30.0,
                    "clear": f"not ({condition})",
                    "source": source,
                },
                "pending_since": since,
                "raised_at": raised,
                "cleared_at": None,
                "acknowledged_at": None,
            }
        )
    rows.append({**rows[0], "id": "a-past", "device": "pile-3", "child": "port:2", "state": "cleared",
                 "raised_at": now - timedelta(days=2), "cleared_at": now - timedelta(days=2, minutes=-42)})  # fmt: skip
    connection.execute(insert(alarms), rows)
    _tickets(connection, now)
    _outages(connection, now)


# number, id, alarm, device/child, title, trade, priority, state, who, minutes since opened, minutes until due
_TICKETS: tuple[tuple[Any, ...], ...] = (
    (101, "t-old", None, "sump-1", ("清理集水坑", "Clean the sump"), "plumbing", "P4", "closed", "li.wei", 2880, 0),
    (102, "t-stuck", "a-stuck", "pile-6/port:2", ("检修充电口", "Repair the port"), "electrical", "P3", "assigned",
     "li.wei", 190, 1250),
    (103, "t-pump", "a-pump", "pumps-1/pump:2", ("检修水泵", "Repair the pump"), "plumbing", "P2", "in_progress",
     "li.wei", 38, -8),
    (104, "t-offline", "a-offline", "pile-8", ("恢复充电站通讯", "Bring the station back online"), "network", "P3",
     "open", None, 27, 1400),
    (105, "t-hot", "a-hot", "pile-3/port:5", ("充电口过热", "Port too hot"), "electrical", "P1", "open", None, 4, 56),
)  # fmt: skip


def _tickets(connection: Connection, now: datetime) -> None:
    steps = [
        {"zh": "现场确认已断电", "en": "See on site that the power is cut"},
        {
            "zh": "检查触点、接线端子有无松动、变色、熔化",
            "en": "Look at contacts and terminals: loose or molten",
        },
        {"zh": "更换后测试，带载 30 分钟", "en": "Replace, then test under load for 30 minutes"},
    ]
    rows = []
    for number, id, alarm, where, titles, trade, priority, state, who, minutes, due in _TICKETS:
        device, _, child = where.partition("/")
        rows.append(
            {
                "id": id,
                "number": number,
                "site": SITE,
                "alarm": alarm,
                "device": device,
                "child": child,
                "profile": _PROFILES.get(device.partition("-")[0], ""),
                "template": "",
                "title_zh": titles[0],
                "title_en": titles[1],
                "trade": trade,
                "priority": priority,
                "state": state,
                "assignee": who,
                "steps": [{**step, "done_at": None, "done_by": None} for step in steps],
                "opened_at": now - timedelta(minutes=minutes),
                "due_at": now + timedelta(minutes=due),
                "closed_at": now - timedelta(minutes=2700) if state == "closed" else None,
                "version": 1,
            }
        )
    connection.execute(insert(tickets), rows)
    connection.execute(
        insert(ticket_events),
        [
            {"id": f"{row['id']}-0", "ticket": row["id"], "at": row["opened_at"], "who": None, "what": "opened",
             "note": "", "data": {}}
            for row in rows
        ]
        + [
            {"id": "t-pump-1", "ticket": "t-pump", "at": now - timedelta(minutes=30), "who": "li.wei",
             "what": "started", "note": "", "data": {}},
            {"id": "t-pump-2", "ticket": "t-pump", "at": now - timedelta(minutes=22), "who": "li.wei", "what": "note",
             "note": "2 号泵机械密封漏水，已切到 1 号泵。\n备件下午到。", "data": {}},
        ],
    )  # fmt: skip


def _outages(connection: Connection, now: datetime) -> None:
    started = now - timedelta(minutes=38)
    base = {
        "site": SITE, "supply": "water-high", "service": "water", "state": "ongoing", "loss": "degraded",
        "alarms": ["a-pump"], "impact": {"buildings": ["2", "3", "4", "5"], "units": ["5/1"], "households": 168},
        "what_zh": "供水正常，但早晚用水高峰时水可能偏小。",
        "what_en": "You still have water, but it may run weaker in the busy morning and evening hours.",
        "instead_zh": "请错峰用水；急用水请联系物业服务中心。",
        "instead_en": "Please avoid the busy hours; if you need water urgently, ask the service desk.",
        "started_at": started, "restored_at": None, "next_news_at": now + timedelta(minutes=82),
    }  # fmt: skip
    past = {
        **base, "id": "o-2", "supply": "charging", "service": "charging", "state": "restored", "loss": "full",
        "impact": {"buildings": ["1"], "units": [], "households": 48},
        "what_zh": "1 号楼车棚的充电站暂停使用。", "what_en": "The charging station at building 1 cannot be used.",
        "instead_zh": "", "instead_en": "", "started_at": now - timedelta(days=2),
        "restored_at": now - timedelta(days=2, hours=-3), "next_news_at": None,
    }  # fmt: skip
    connection.execute(insert(outages), [{**base, "id": "o-1"}, past])
    updates = (
        ("o-1", 38, "started", "degraded", base["what_zh"], base["what_en"]),
        ("o-1", 20, "news", "degraded", "维修人员已到现场，备件预计下午送到。",
         "The crew is on site; the part is expected this afternoon."),
        ("o-2", 2880, "started", "full", past["what_zh"], past["what_en"]),
        ("o-2", 2700, "restored", "full", "充电站已经修好。", "The charging station works again."),
    )  # fmt: skip
    connection.execute(
        insert(outage_updates),
        [
            {"id": f"u-{n}", "outage": outage, "at": now - timedelta(minutes=minutes), "kind": kind, "loss": loss,
             "text_zh": zh, "text_en": en}
            for n, (outage, minutes, kind, loss, zh, en) in enumerate(updates)
        ],
    )  # fmt: skip


def _notices(connection: Connection, now: datetime) -> None:
    connection.execute(
        insert(recipients),
        [
            {"id": "r-1", "site": SITE, "name": "值班工程师", "audience": "engineers", "channel": "email",
             "target": "duty@example.org", "language": "zh"},
            {"id": "r-2", "site": SITE, "name": "Maintenance system", "audience": "crew", "channel": "webhook",
             "target": "https://hooks.example.org/courtyard", "language": "en"},
        ],
    )  # fmt: skip
    rows = []
    for n, (recipient, state, kind, subject, event, title, error, attempts) in enumerate(
        (
            ("r-1", "delivered", "alarm", "a-hot", "raised", "【紧急】充电口过热 · 3 号充电站", "", 1),
            ("r-2", "queued", "ticket", "t-hot", "opened", "Ticket 105: Port too hot", "HTTP 503", 2),
            ("r-1", "failed", "alarm", "a-held", "raised", "【提醒】门长时间未关", "550 mailbox unavailable", 5),
        )
    ):
        rows.append(
            {"id": f"n-{n}", "key": f"k-{n}", "site": SITE, "recipient": recipient,
             "channel": "email" if recipient == "r-1" else "webhook", "target": "…", "subject_kind": kind,
             "subject_id": subject, "event": event, "title": title, "body": title, "data": {}, "state": state,
             "attempts": attempts, "created_at": now - timedelta(minutes=4 + n), "last_error": error,
             "next_attempt_at": now + timedelta(minutes=2) if state == "queued" else None,
             "delivered_at": now - timedelta(minutes=4) if state == "delivered" else None}
        )  # fmt: skip
    connection.execute(insert(notices), rows)


def _gateway(connection: Connection, now: datetime) -> None:
    status = {
        "connected": True, "journal_bytes": 48_300_000, "journal_max_bytes": 2 * 1024**3, "journal_entries": 42,
        "oldest_entry_at": to_millis(now - timedelta(seconds=3)), "received": 812_345, "quarantined": 2,
        "quarantine_entries": 2, "shed": 0, "messages_per_second": 38.4, "last_error": "",
    }  # fmt: skip
    row = {"id": "gateway-1", "cursor": 100, "progress_at": now, "heard_at": now, "status": status}
    connection.execute(insert(gateways), [row])


def _history(telemetry: TelemetryStore, now: datetime) -> None:
    """Two days of a port's temperature and an hour of a pressure, with a gap."""
    readings = []
    for minutes in range(0, 2880, 5):
        at = to_millis(now - timedelta(minutes=minutes))
        if 600 < minutes < 720:
            continue
        heat = 55 * math.exp(-minutes / 10)
        values = {"port_temp": round(31 + heat + 3 * math.sin(minutes / 90), 1), "port_power": 410.0 + minutes % 7}
        readings.append(_reading("pile-3", "port:5", at, values))
        readings.append(_reading("pile-3", "", at, {"cabinet_temp": 27.0 + math.sin(minutes / 200) * 4}))
    for seconds in range(0, 7200, 30):
        at = to_millis(now - timedelta(seconds=seconds))
        pressure = 0.28 + 0.005 * math.sin(seconds / 60) if seconds < 38 * 60 else 0.42 + 0.004 * math.sin(seconds / 90)
        readings.append(_reading("pumps-1", "zone:1", at, {"outlet_pressure": round(pressure, 3), "setpoint": 0.42}))
    telemetry.write(readings)


def _reading(device: str, child: str, at: int, values: dict[str, Any]) -> Reading:
    return Reading(device=device, child=child, measured_at=at, received_at=at, binding="telemetry", values=values)
