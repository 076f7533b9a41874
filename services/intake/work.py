"""What one batch or tick changes, collected first and written in one go: SQL in bulk is what makes it cheap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Executable, Table, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from services.changes import Change
from services.clock import from_millis
from services.commands import store as command_store
from services.commands.store import CommandWork
from services.events.store import keep as keep_events
from services.ids import new_id
from services.intake.memory import GatewayState, Memory
from services.notices.plan import Notice
from services.notices.store import queue
from services.rules.state import DeviceState, Key, dump_rule
from services.tables import (
    alarm_events,
    alarms,
    device_states,
    devices,
    gateway_gaps,
    gateways,
    outage_updates,
    outages,
    rule_corrections,
    rule_states,
    shadow_episodes,
    ticket_events,
    tickets,
)
from services.tickets.desk import event_row
from services.tickets.lifecycle import OPEN_STATES, Action, TicketState, next_state

Row = dict[str, Any]
_MOVE_CURSOR = update(gateways).where(gateways.c.id == bindparam("_id"), gateways.c.cursor == bindparam("_before"))


_MOST_ANNOUNCED, _LONGEST_ANNOUNCED = 30, 200
_MOST_NAMES = 500


class CursorMoved(Exception):
    """Another process takes this gateway's readings as well. One site is always computed in one place."""


@dataclass
class Work:
    now: datetime
    touched: set[tuple[str, str]] = field(default_factory=set)
    """(device, child) whose latest values or presence moved."""
    moved: dict[str, DeviceState] = field(default_factory=dict)
    """Devices with automata that the store does not know yet as they are."""
    new_devices: list[Row] = field(default_factory=list)
    announced: dict[str, Row] = field(default_factory=dict)
    """Device -> what it has said about itself."""
    new_alarms: dict[str, Row] = field(default_factory=dict)
    cleared_alarms: list[Row] = field(default_factory=list)
    changed_alarms: dict[str, Row] = field(default_factory=dict)
    """Alarm -> columns that are no longer as they are stored, besides the end of an episode."""
    alarm_events: list[Row] = field(default_factory=list)
    """Every decision about an alarm."""
    new_shadows: dict[str, Row] = field(default_factory=dict)
    """Episodes of rules on trial."""
    ended_shadows: list[Row] = field(default_factory=list)
    corrections: dict[str, Row] = field(default_factory=dict)
    """What late data would have said; what is on record already stays."""
    new_tickets: list[Row] = field(default_factory=list)
    ticket_events: list[Row] = field(default_factory=list)
    ticket_hints: list[Row] = field(default_factory=list)
    """Ticket events that are worth telling only while nobody has taken the ticket."""
    reopened_tickets: list[str] = field(default_factory=list)
    """Tickets whose alarm, which had cleared, goes on: closed ones are open again."""
    new_outages: dict[str, Row] = field(default_factory=dict)
    changed_outages: dict[str, Row] = field(default_factory=dict)
    outage_updates: list[Row] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    """What happened at devices."""
    commands: CommandWork = field(default_factory=CommandWork)
    gaps: list[Row] = field(default_factory=list)
    """Times in which the gateway heard nothing, now that they are over."""
    gateway: GatewayState | None = None
    gateway_cursor_before: int = 0
    changes: dict[Change, None] = field(default_factory=dict)
    """In order, each once."""

    def change(self, kind: Any, id: str, site: str) -> None:
        self.changes[Change(kind, id, site)] = None

    def change_alarm(self, id: str, **columns: Any) -> None:
        """Other columns of an alarm that exists, or is new in this very batch."""
        rows = self.new_alarms if id in self.new_alarms else self.changed_alarms
        rows.setdefault(id, {"id": id}).update(columns)

    def decided(
        self, alarm: str, kind: str, /, *, at: datetime | None = None, who: str | None = None, **data: Any
    ) -> None:
        """What was decided about an alarm goes on its record; `who` None is Courtyard itself, `at` None is now."""
        event = {"id": new_id(self.now), "alarm": alarm, "at": at or self.now, "kind": kind, "data": data, "who": who}
        self.alarm_events.append(event)

    def decisions(self) -> Iterable[tuple[str, str]]:
        """(kind, why) of each. Only what raises or suppresses names its reason by one of a few words."""
        for one in self.alarm_events:
            kind, data = one["kind"], one["data"]
            yield kind, str({"raised": data.get("why"), "suppressed": data.get("by")}.get(kind) or "")

    def touch(self, device: DeviceState) -> None:
        """The presence of a device is also that of its children."""
        self.touched.update((device.id, child) for child in device.children)

    @property
    def is_empty(self) -> bool:
        trials = (self.new_shadows, self.ended_shadows, self.corrections)
        rows = (self.new_devices, self.notices, self.commands, self.changed_alarms, *trials)
        return not (self.touched or self.moved or self.changes or self.gateway or any(rows))


def flush(connection: Connection, work: Work, memory: Memory) -> None:
    """Write it all, within the caller's transaction."""
    _write_gateway(connection, work)
    _insert(connection, gateway_gaps, work.gaps)
    if work.new_devices:
        connection.execute(insert(devices), work.new_devices)
    _write_announced(connection, work)
    _upsert(connection, device_states, ("device", "child"), _state_rows(work, memory))
    _write_marks(connection, work)
    keep_events(connection, work.events)
    # Episodes that ended make room in the unique index for those that began in the same batch.
    _update(connection, alarms, work.cleared_alarms)
    _insert(connection, alarms, work.new_alarms.values())
    _update(connection, alarms, work.changed_alarms.values())
    _insert(connection, alarm_events, work.alarm_events)
    _insert(connection, tickets, work.new_tickets)
    _insert(connection, ticket_events, [*work.ticket_events, *_wanted_hints(connection, work)])
    _reopen_tickets(connection, work)
    _insert(connection, shadow_episodes, work.new_shadows.values())
    _update(connection, shadow_episodes, work.ended_shadows)
    _insert_new(connection, rule_corrections, list(work.corrections.values()))
    _update(connection, outages, work.changed_outages.values())
    _insert(connection, outages, work.new_outages.values())
    _insert(connection, outage_updates, work.outage_updates)
    queue(connection, work.notices, now=work.now)
    command_store.flush(connection, work.commands, work.now)


def _write_gateway(connection: Connection, work: Work) -> None:
    state = work.gateway
    if state is None:
        return
    row = {
        "cursor": state.cursor,
        "progress_at": None if state.progress is None else from_millis(state.progress),
        "heard_at": state.heard_at,
        "status": state.status,
        "broker_lost_at": state.broker_lost_at,
        "watching_since": None if state.watching_since is None else from_millis(state.watching_since),
        "home": state.home,
        "forgotten_at": None,
    }
    if not state.stored:
        connection.execute(insert(gateways), {"id": state.id, **row})
        state.stored = True
        return
    done = connection.execute(_MOVE_CURSOR, {"_id": state.id, "_before": work.gateway_cursor_before, **row})
    if done.rowcount != 1:
        raise CursorMoved(f"gateway {state.id}: the cursor is not at {work.gateway_cursor_before} any more")


def _write_announced(connection: Connection, work: Work) -> None:
    """What a device says of itself adds to what it said before; nearly always it says the same again."""
    ids, known = sorted(work.announced), dict[str, Row]()
    for begin in range(0, len(ids), _MOST_NAMES):
        query = select(devices.c.id, devices.c.announced).where(devices.c.id.in_(ids[begin : begin + _MOST_NAMES]))
        known |= {row.id: row.announced or {} for row in connection.execute(query)}
    said = {id: _short_texts({**before, **work.announced[id]}) for id, before in known.items()}
    _update(connection, devices, [{"id": id, "announced": now} for id, now in said.items() if now != known[id]])


def _short_texts(told: Row) -> Row:
    """It comes off the wire, and from anybody."""
    kept = list(told.items())[:_MOST_ANNOUNCED]
    return {name: _short(value) if isinstance(value, str) else value for name, value in kept}


def _short(text: str) -> str:
    return text[:_LONGEST_ANNOUNCED].replace("\0", "").encode(errors="replace").decode()


def _state_rows(work: Work, memory: Memory) -> list[Row]:
    rows = []
    for id, child in sorted(work.touched):  # in order: two writers never wait for each other crosswise
        device = memory.devices[id]
        state = device.children[child]
        heard = device.heard_at if not child else state.heard_at
        rows.append(
            {
                "device": id,
                "child": child,
                **_presence_columns(device, child),
                "last_heard_at": None if heard is None else from_millis(heard),
                "measured_at": None if state.measured_at is None else from_millis(state.measured_at),
                "values": state.values,
                "value_times": state.times,
                "flags": state.flags,
                "gateway": device.gateway,
            }
        )
    return rows


def _presence_columns(device: DeviceState, child: str) -> Row:
    """How present it is, why, and what of it must outlive a restart."""
    found, own = device.state_of(child), not child
    times = (device.since, device.down_since, device.back_since) if own else (device.since, None, None)
    since, down, back = (None if at is None else from_millis(at) for at in times)
    return {
        "presence": found.liveness.value,
        "reason": found.reason.value,
        "since": since,
        "said": dict(device.said if own else device.children[child].said),
        "down_since": down,
        "back_since": back,
    }


def _write_marks(connection: Connection, work: Work) -> None:
    kept: list[Row] = []
    gone: list[Row] = []
    for device in work.moved.values():
        for key in device.moved:
            _sort_mark(device, key, kept, gone)
        device.moved.clear()
    if gone:
        columns = ("device", "child", "rule")
        matches = [rule_states.c[column] == bindparam(f"_{column}") for column in columns]
        connection.execute(delete(rule_states).where(*matches), gone)
    _upsert(connection, rule_states, ("device", "child", "rule"), kept)


def _sort_mark(device: DeviceState, key: Key, kept: list[Row], gone: list[Row]) -> None:
    child, rule = key
    state = dump_rule(device, key)
    if state is None:
        gone.append({"_device": device.id, "_child": child, "_rule": rule})
    else:
        kept.append({"device": device.id, "child": child, "rule": rule, "state": state})


def _insert(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    # An alarm that has grown worse in the batch that raised it says more than the one beside it.
    for _, some in _alike(rows):
        connection.execute(insert(table), some)


def _alike(rows: Iterable[Row]) -> Iterable[tuple[tuple[str, ...], list[Row]]]:
    """Rows by the columns that they name: one statement takes those that name the same."""
    found: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(sorted(row))].append(row)
    return found.items()


def _wanted_hints(connection: Connection, work: Work) -> list[Row]:
    ids = sorted({row["ticket"] for row in work.ticket_hints})
    wanted: set[str] = set()
    for begin in range(0, len(ids), _MOST_NAMES):
        some = ids[begin : begin + _MOST_NAMES]
        free = tickets.c.id.in_(some), tickets.c.state == "open", tickets.c.assignee.is_(None)
        wanted.update(connection.scalars(select(tickets.c.id).where(*free)))
    return [row for row in work.ticket_hints if row["ticket"] in wanted]


def _reopen_tickets(connection: Connection, work: Work) -> None:
    """The alarm goes on: who closed its ticket could not know. Every one of them says so in its history."""
    for id in work.reopened_tickets:
        if id in {row["id"] for row in work.new_tickets}:
            continue
        state = connection.scalar(select(tickets.c.state).where(tickets.c.id == id).with_for_update())
        over = state is not None and TicketState(state) not in OPEN_STATES
        if over:
            columns = {"closed_at": None, "assignee": None, "version": tickets.c.version + 1}
            again = next_state(TicketState(str(state)), Action.REOPEN)
            connection.execute(update(tickets).where(tickets.c.id == id).values(state=again.value, **columns))
        event = event_row(id, "reopened" if over else "alarm_again", now=work.now, data={"why": "storm_again"})
        connection.execute(insert(ticket_events), event)


def _update(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    """Rows that change the same columns go together: a storm changes thousands."""
    for columns, some in _alike(rows):
        new: dict[str, Any] = {name: bindparam(f"_{name}") for name in columns if name != "id"}
        statement = update(table).where(table.c.id == bindparam("_id")).values(new)
        connection.execute(statement, [{f"_{name}": row[name] for name in columns} for row in some])


def _insert_new(connection: Connection, table: Table, rows: list[Row]) -> None:
    """Those whose id is not there yet."""
    if rows:
        engine: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
        connection.execute(engine.insert(table).on_conflict_do_nothing(index_elements=["id"]), rows)


def _upsert(connection: Connection, table: Table, key: tuple[str, ...], rows: list[Row]) -> None:
    if rows:
        connection.execute(_upsert_statement(connection.dialect.name, table, key), rows)


@cache
def _upsert_statement(dialect: str, table: Table, key: tuple[str, ...]) -> Executable:
    """Built once: building it costs more than running it for a small batch."""
    engine: Any = sqlite if dialect == "sqlite" else postgresql
    statement = engine.insert(table)
    others = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in key}
    upsert: Executable = statement.on_conflict_do_update(index_elements=list(key), set_=others)
    return upsert
