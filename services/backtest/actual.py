"""What really happened in a stretch of time, as the database has it, in the words of a backtest."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, func, or_, select

from device_profiles.schema import Severity
from services.backtest.report import Episode, Side
from services.clock import to_millis
from services.tables import alarm_events, alarms, notices, rule_corrections, shadow_episodes, tickets

_RANK = {severity.value: rank for rank, severity in enumerate(reversed(Severity))}
_BY_ITSELF = {"ticket": ("opened",), "outage": ("started", "worse", "better", "restored")}
"""Notices that nobody has to do anything for, besides those about alarms."""
_AT_ONCE = 500


class Record(NamedTuple):
    """One episode and what its row says besides."""

    episode: Episode
    condition: str
    """Of the rule that raised it, as it was then."""
    ended_because: str
    """Why it was ended, where its condition did not clear it (its rule was switched off, …)."""
    decided: bool
    """What was decided about it is still on record."""


class Actual(NamedTuple):
    records: tuple[Record, ...]
    outage_notices: int

    @property
    def side(self) -> Side:
        return Side([one.episode for one in self.records], self.outage_notices)


class _Grown(NamedTuple):
    """What its decisions say of an alarm, up to the end of the stretch."""

    worst: str = ""
    was_held: bool = False


def read_actual(connection: Connection, site: str, start: datetime, end: datetime) -> Actual:
    rows = connection.execute(
        select(alarms).where(
            alarms.c.site == site,
            or_(alarms.c.raised_at < end, alarms.c.pending_since < end),
            or_(alarms.c.cleared_at.is_(None), alarms.c.cleared_at >= start),
        )
    ).all()
    ids = [row.id for row in rows]
    decided = _decided(connection, ids, end)
    with_ticket = _tickets(connection, ids)
    told = _notices(connection, site, start, end)
    found = []
    for row in rows:
        grown = decided.get(row.id, _Grown())
        if row.raised_at >= end and not grown.was_held:
            continue  # its delay ran; it was raised later
        count = told["alarm", row.id] + told["ticket", with_ticket.get(row.id, "")]
        episode = _episode(row, grown, start, end, ticket=row.id in with_ticket, notices=count)
        found.append(Record(episode, str(row.reason.get("condition", "")), _ended_because(row), row.id in decided))
    about_outages = sum(count for (kind, _), count in told.items() if kind == "outage")
    found += [Record(one, "", "", True) for one in _trials(connection, site, start, end)]
    ordered = sorted(found, key=lambda one: (one.episode.raised_at, one.episode.key))
    return Actual(tuple(ordered), about_outages)


def _episode(row: Row[Any], grown: _Grown, start: datetime, end: datetime, *, ticket: bool, notices: int) -> Episode:
    over = row.cleared_at is not None and row.cleared_at < end
    held = row.suppressed_by is not None or row.raised_at >= end
    raised = row.pending_since if row.raised_at >= end else row.raised_at
    kind = "" if row.suppressed_by is None else str(row.suppressed_by["kind"])
    return Episode(
        device=row.device,
        child=row.child,
        profile=row.profile,
        rule=row.rule,
        severity=max(grown.worst or row.severity, row.severity, key=lambda one: _RANK[one]),
        raised_at=to_millis(raised),
        cleared_at=to_millis(row.cleared_at) if over else None,
        ticket=ticket and not held,
        notices=notices,
        flaps=row.flaps or 0,
        suppressed_by=(kind or "cause") if held else "",
        folded=row.parent is not None,
        carried=raised < start,
    )


def _ended_because(row: Row[Any]) -> str:
    cleared = row.reason.get("cleared") or {}
    return str(cleared.get("reason") or "")


def _decided(connection: Connection, ids: Iterable[str], end: datetime) -> dict[str, _Grown]:
    found: dict[str, _Grown] = defaultdict(_Grown)
    for some in _parts(ids):
        query = select(alarm_events).where(
            alarm_events.c.alarm.in_(some),
            alarm_events.c.kind.in_(("raised", "folded", "severity", "suppressed")),
            alarm_events.c.at < end,
        )
        for row in connection.execute(query):
            before = found[row.alarm]
            if row.kind == "suppressed":
                found[row.alarm] = before._replace(was_held=True)
            if row.kind != "severity":
                continue
            said = [one for one in (before.worst, row.data.get("from"), row.data.get("to")) if one in _RANK]
            found[row.alarm] = before._replace(worst=max(said, key=lambda one: _RANK[one], default=""))
    return found


def _tickets(connection: Connection, ids: Iterable[str]) -> dict[str, str]:
    """Alarm -> the ticket that it opened."""
    found: dict[str, str] = {}
    for some in _parts(ids):
        query = select(tickets.c.alarm, tickets.c.id).where(tickets.c.alarm.in_(some))
        found |= {row.alarm: row.id for row in connection.execute(query)}
    return found


def _notices(connection: Connection, site: str, start: datetime, end: datetime) -> Counter[tuple[str, str]]:
    """(kind, subject) -> how many were made in that time by themselves."""
    table = notices
    query = select(table.c.subject_kind, table.c.subject_id, table.c.event).where(
        table.c.site == site, table.c.created_at >= start, table.c.created_at < end
    )
    found: Counter[tuple[str, str]] = Counter()
    for row in connection.execute(query):
        if row.event in _BY_ITSELF.get(row.subject_kind, (row.event,)):
            found[row.subject_kind, row.subject_id] += 1
    return found


def late_readings(connection: Connection, site: str, start: datetime, end: datetime) -> dict[str, list[int]]:
    """Device -> when readings were measured that came late and would have moved a rule."""
    table = rule_corrections
    query = select(table.c.device, table.c.measured_at).where(
        table.c.site == site, table.c.measured_at >= start, table.c.measured_at < end
    )
    found: dict[str, list[int]] = defaultdict(list)
    for row in connection.execute(query):
        found[row.device].append(to_millis(row.measured_at))
    return found


def oldest_notice(connection: Connection, site: str) -> datetime | None:
    found: datetime | None = connection.scalar(select(func.min(notices.c.created_at)).where(notices.c.site == site))
    return found


def _trials(connection: Connection, site: str, start: datetime, end: datetime) -> Iterator[Episode]:
    table = shadow_episodes
    query = select(table).where(
        table.c.site == site, table.c.raised_at < end, or_(table.c.cleared_at.is_(None), table.c.cleared_at >= start)
    )
    for row in connection.execute(query):
        over = row.cleared_at is not None and row.cleared_at < end
        yield Episode(
            device=row.device,
            child=row.child,
            profile=row.profile,
            rule=row.rule,
            severity=row.severity,
            raised_at=to_millis(row.raised_at),
            cleared_at=to_millis(row.cleared_at) if over else None,
            shadow=True,
            carried=row.raised_at < start,
        )


def _parts(ids: Iterable[str]) -> Iterator[list[str]]:
    source = iter(ids)
    while some := list(islice(source, _AT_ONCE)):
        yield some
