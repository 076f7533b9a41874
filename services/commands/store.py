"""Commands in SQL: one row each, and its history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from device_profiles.schema import DeviceProfile
from gateway.reading import Value
from services.accounts import audit
from services.clock import to_millis
from services.commands.evidence import Evidence, load_evidence, watch
from services.commands.lifecycle import Life, Reason, State, Terms
from services.commands.outstanding import Live, Outstanding
from services.ids import new_id
from services.scope import Scope, in_scope
from services.tables import command_events, commands

Library = Mapping[str, DeviceProfile]
LATE_ANSWERS_FOR = timedelta(days=1)
"""How long after its end an answer may still belong to a command."""
MOST_LATE_ANSWERS = 10
"""In one command's history: a device that repeats itself all day must not fill it."""


@dataclass(frozen=True, kw_only=True)
class CommandEvent:
    """One step of a command's way."""

    at: datetime
    what: str
    who: str | None
    data: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class CommandRecord:
    """One command and how it fares. Times are UTC; `sent_at` and `acknowledged_at` are on the gateway's clock."""

    id: str
    site: str
    device: str
    child: str
    profile: str
    command: str
    params: dict[str, Value]
    state: str
    reason: str
    detail: dict[str, Any]
    attempt: int
    by: str | None
    alarm: str | None
    gateway: str | None
    asked_at: datetime
    expires_at: datetime
    handed_at: datetime | None
    sent_at: datetime | None
    acknowledged_at: datetime | None
    ended_at: datetime | None
    events: list[CommandEvent] = field(default_factory=list)

    @property
    def is_cancellable(self) -> bool:
        waits = self.state == State.QUEUED.value and self.handed_at is None and self.attempt == 1
        return waits and "ordered_by" not in self.detail


@dataclass
class CommandWork:
    """What one transaction changes about commands."""

    new: dict[str, dict[str, Any]] = field(default_factory=dict)
    changed: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    audited: list[dict[str, Any]] = field(default_factory=list)
    late: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    """(device, correlation, what it says): answers to what may be over already."""

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.events or self.audited or self.late)


def flush(connection: Connection, work: CommandWork, now: datetime) -> None:
    """Within the caller's transaction."""
    # Those that ended make room in the unique indexes for those that begin.
    for id, row in work.changed.items():
        connection.execute(update(commands).where(commands.c.id == id).values(**row))
    if work.new:
        connection.execute(insert(commands), list(work.new.values()))
    if work.events:
        connection.execute(insert(command_events), work.events)
    for entry in work.audited:
        audit.append(connection, now=now, **entry)
    for device, correlation, said in work.late:
        _note_late_answer(connection, device, correlation, said, now)


def _note_late_answer(
    connection: Connection, device: str, correlation: str, said: Mapping[str, Any], now: datetime
) -> None:
    """Into the history of the command it was meant for; nothing else changes."""
    id = _ended_with(connection, device, correlation, now - LATE_ANSWERS_FOR)
    if id is not None and _late_answers(connection, id) < MOST_LATE_ANSWERS:
        row = {"id": new_id(now), "command": id, "at": now, "what": "late_answer", "who": None, "data": dict(said)}
        connection.execute(insert(command_events), row)


def _late_answers(connection: Connection, id: str) -> int:
    query = select(func.count()).where(command_events.c.command == id, command_events.c.what == "late_answer")
    return int(connection.execute(query).scalar_one())


def life_columns(life: Life) -> dict[str, Any]:
    return {
        "state": life.state.value,
        "reason": life.reason.value,
        "detail": dict(life.detail),
        "attempt": life.attempt,
        "handed_at": life.handed_at,
        "sent_at": life.sent_at,
        "acknowledged_at": life.acknowledged_at,
        "ended_at": life.ended_at,
        "moved_at": life.moved_at,
        "expires_at": life.expires_at,
    }


def dump_terms(terms: Terms) -> dict[str, Any]:
    return {
        "answers": terms.answers,
        "timeout_seconds": terms.timeout.total_seconds(),
        "retries": terms.retries,
        "effect": terms.effect,
        "within_seconds": terms.within.total_seconds(),
        "last_word": terms.last_word,
        "answers_count_from": terms.answers_count_from.isoformat() if terms.answers_count_from else None,
    }


def _load_terms(kept: Mapping[str, Any]) -> Terms:
    answers_from = kept.get("answers_count_from")
    return Terms(
        answers=kept["answers"],
        timeout=timedelta(seconds=kept["timeout_seconds"]),
        retries=kept["retries"],
        effect=kept["effect"],
        within=timedelta(seconds=kept["within_seconds"]),
        last_word=kept.get("last_word", False),  # those of older versions do not say
        answers_count_from=datetime.fromisoformat(answers_from) if answers_from else None,
    )


# --- under way --------------------------------------------------------------------------------------------------------


def load_outstanding(connection: Connection, library: Library) -> Outstanding:
    """Those under way, in the order in which they were asked for."""
    found = Outstanding()
    newest = select(func.max(commands.c.id)).group_by(commands.c.device)
    for row in connection.execute(select(commands.c.device, commands.c.nonce).where(commands.c.id.in_(newest))):
        found.last_nonce[row.device] = row.nonce
    under_way = select(commands).where(commands.c.ended_at.is_(None)).order_by(commands.c.id)
    for row in connection.execute(under_way):
        found.add(_live(row, library))
    return found


def _live(row: Any, library: Library) -> Live:
    terms = _load_terms(row.terms)
    return Live(
        id=row.id,
        site=row.site,
        device=row.device,
        child=row.child,
        profile=row.profile,
        command=row.command,
        params=row.params,
        gateway=row.gateway,
        nonce=row.nonce,
        asked_at=row.asked_at,
        terms=terms,
        life=Life(
            state=State(row.state),
            reason=Reason(row.reason),
            detail=row.detail,
            attempt=row.attempt,
            expires_at=row.expires_at,
            moved_at=row.moved_at,
            handed_at=row.handed_at,
            sent_at=row.sent_at,
            acknowledged_at=row.acknowledged_at,
            ended_at=row.ended_at,
        ),
        watched=watch(library.get(row.profile), row.command, terms.effect),
        by=row.by,
        evidence=_evidence(row),
    )


def _evidence(row: Any) -> Evidence:
    if row.evidence is not None:
        return load_evidence(row.evidence)
    # Of an older version: that it was said is all that is known.
    return Evidence(began=None if row.sent_at is None else to_millis(row.sent_at))


def _ended_with(connection: Connection, device: str, correlation: str, since: datetime) -> str | None:
    """The newest command of a device that is over and that an answer could still be meant for."""
    meant = commands.c.id == correlation
    if correlation.isascii() and correlation.isdigit() and len(correlation) < 7:
        meant = meant | (commands.c.nonce == int(correlation))
    query = (
        select(commands.c.id)
        .where(commands.c.device == device, commands.c.ended_at >= since, meant)
        .order_by(commands.c.id.desc())
        .limit(1)
    )
    return connection.execute(query).scalar()


def expire(connection: Connection, before: datetime) -> int:
    """Forget commands that ended before then, with their histories; how many. The audit log keeps who asked."""
    old = select(commands.c.id).where(commands.c.ended_at < before)
    connection.execute(delete(command_events).where(command_events.c.command.in_(old)))
    return connection.execute(delete(commands).where(commands.c.ended_at < before)).rowcount


# --- to look at -------------------------------------------------------------------------------------------------------


def list_commands(
    connection: Connection,
    scope: Scope,
    *,
    site: str | None = None,
    device: str | None = None,
    state: Iterable[str] = (),
    limit: int = 100,
    before: str | None = None,
) -> list[CommandRecord]:
    """Newest first, without their histories; `before` is the last id of the page before."""
    query = _select(scope).order_by(commands.c.id.desc()).limit(limit)
    for column, wanted in ((commands.c.site, site), (commands.c.device, device)):
        if wanted is not None:
            query = query.where(column == wanted)
    if states := list(state):
        query = query.where(commands.c.state.in_(states))
    if before is not None:
        query = query.where(commands.c.id < before)
    return [_record(row, []) for row in connection.execute(query)]


def get_command(connection: Connection, scope: Scope, id: str) -> CommandRecord | None:
    """One with its history, oldest step first."""
    row = connection.execute(_select(scope).where(commands.c.id == id)).one_or_none()
    return None if row is None else _record(row, _events(connection, id))


def find_by_key(connection: Connection, key: str) -> str | None:
    return connection.execute(select(commands.c.id).where(commands.c.key == key)).scalar()


def _events(connection: Connection, id: str) -> list[CommandEvent]:
    query = select(command_events).where(command_events.c.command == id).order_by(command_events.c.id)
    return [CommandEvent(at=row.at, what=row.what, who=row.who, data=row.data) for row in connection.execute(query)]


def _select(scope: Scope) -> Select[Any]:
    return select(commands).where(in_scope(commands.c.site, scope))


def _record(row: Row[Any], events: list[CommandEvent]) -> CommandRecord:
    names = [name for name in CommandRecord.__dataclass_fields__ if name != "events"]
    return CommandRecord(**{name: row._mapping[name] for name in names}, events=events)
