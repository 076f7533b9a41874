"""What stands in the database: what is open, what waits to be sent, which gateways are silent."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from device_profiles.schema import Priority, Severity
from gateway.measure import Collector, Metric, Sample
from gateway.presence import Liveness
from gateway.reading import Millis
from services.clock import Clock, from_millis
from services.database import KINDS, Database
from services.ids import lowest_id
from services.metrics.calm import held_back
from services.metrics.parts import CHANNELS
from services.sites.store import GatewayRow, list_gateways, open_counts
from services.tables import commands, notices, outages, tickets

DATABASE_UP = Metric("courtyard_database_up", "gauge", "1 while the database answers.")
DATABASE_ERRORS = Metric(
    "courtyard_database_errors_total",
    "counter",
    "Statements that failed: operational (away, locked, full), integrity, data, other.",
    ("kind",),
)
DATABASE_SECONDS = Metric(
    "courtyard_database_read_seconds", "gauge", "How long it last took to read the figures of the database."
)
DEVICES = Metric("courtyard_devices", "gauge", "Devices of the sites, by presence.", ("presence",))
UNCLAIMED = Metric("courtyard_devices_unclaimed", "gauge", "Devices that were heard and stand in no site.")
ALARMS = Metric("courtyard_alarms_active", "gauge", "Active alarms, by severity.", ("severity",))
TICKETS = Metric("courtyard_tickets_open", "gauge", "Tickets that are not closed, by priority.", ("priority",))
OVERDUE = Metric("courtyard_tickets_overdue", "gauge", "Of these, those past their due time.")
OUTAGES = Metric("courtyard_outages_ongoing", "gauge", "Outages that residents have now, by loss.", ("loss",))
QUEUED = Metric("courtyard_outbox_queued", "gauge", "Notices that wait to be sent.", ("channel",))
OLDEST = Metric("courtyard_outbox_oldest_seconds", "gauge", "How long the oldest of them waits; 0: none.", ("channel",))
FAILED = Metric("courtyard_outbox_failed", "gauge", "Notices on record that could not be delivered.", ("channel",))
COMMANDS = Metric(
    "courtyard_commands_last_hour", "gauge", "Commands asked for within the last hour, by their state now.", ("state",)
)
SILENT = Metric(
    "courtyard_gateway_silent_seconds", "gauge", "How long services have not heard this gateway.", ("gateway",)
)
BROKER = Metric(
    "courtyard_gateway_broker_connected", "gauge", "1 where it last said that it has its broker.", ("gateway",)
)
BEHIND = Metric(
    "courtyard_gateway_backlog_seconds",
    "gauge",
    "Age of the oldest reading that it had not handed over when it last spoke.",
    ("gateway",),
)
JOURNAL_RATIO = Metric(
    "courtyard_gateway_journal_ratio",
    "gauge",
    "How full its journal was when it last spoke: 1 is its cap.",
    ("gateway",),
)
SHED = Metric(
    "courtyard_gateway_shed_readings_total", "counter", "Readings its journal has given up, as it says.", ("gateway",)
)

METRICS = (
    DATABASE_UP, DATABASE_ERRORS, DATABASE_SECONDS, DEVICES, UNCLAIMED, ALARMS, TICKETS, OVERDUE, OUTAGES, QUEUED,
    OLDEST, FAILED, COMMANDS, SILENT, BROKER, BEHIND, JOURNAL_RATIO, SHED,
)  # fmt: skip

_STATES = ("queued", "sent", "acknowledged", "done", "failed", "expired", "cancelled")
_LIVE_TICKETS = ("open", "assigned", "in_progress")
_LOSSES = ("full", "degraded")
_FRESH_SECONDS = 2.0
_MOST_GATEWAYS = 500


class StateFigures:
    """Collects from the database, at most every two seconds, one reader at a time.

    A database that hangs holds up one scrape; the others say at once that it does not answer.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._reading = Lock()
        self._read_at: float | None = None
        self._found: list[Sample] = []

    def __call__(self) -> Iterable[Sample]:
        yield from self._state()
        for kind in KINDS:
            yield DATABASE_ERRORS.at(self._database.errors[kind], kind)

    def _state(self) -> list[Sample]:
        if not self._reading.acquire(timeout=1.0):
            return [DATABASE_UP.at(0)]
        try:
            return self._fresh()
        finally:
            self._reading.release()

    def _fresh(self) -> list[Sample]:
        began = time.monotonic()
        if self._read_at is None or began - self._read_at >= _FRESH_SECONDS:
            try:
                with self._database.read() as connection:
                    found = list(samples(connection, self._clock.now()))
            except SQLAlchemyError:
                self._read_at = None
                return [DATABASE_UP.at(0)]
            self._read_at = time.monotonic()
            self._found = [DATABASE_UP.at(1), DATABASE_SECONDS.at(self._read_at - began), *found]
        return self._found


def of_state(database: Database, clock: Clock) -> Collector:
    return StateFigures(database, clock)


def samples(connection: Connection, now: datetime) -> Iterator[Sample]:
    """Everything that is open, over all sites."""
    counts = open_counts(connection, None)
    yield from _each(DEVICES, tuple(Liveness), counts.devices_by_presence)
    yield UNCLAIMED.at(counts.unclaimed)
    yield from _each(ALARMS, tuple(Severity), counts.alarms_by_severity)
    yield from held_back(connection, now)
    yield from _tickets(connection, now)
    loss = select(outages.c.loss, func.count()).where(outages.c.state == "ongoing").group_by(outages.c.loss)
    yield from _each(OUTAGES, _LOSSES, _counted(connection, loss))
    yield from _outbox(connection, now)
    recent = select(commands.c.state, func.count()).where(commands.c.id >= lowest_id(now - timedelta(hours=1)))
    yield from _each(COMMANDS, _STATES, _counted(connection, recent.group_by(commands.c.state)))
    for row in list_gateways(connection)[:_MOST_GATEWAYS]:
        yield from _gateway(row, now)


def _tickets(connection: Connection, now: datetime) -> Iterator[Sample]:
    live = tickets.c.state.in_(_LIVE_TICKETS)
    query = select(tickets.c.priority, func.count()).where(live).group_by(tickets.c.priority)
    yield from _each(TICKETS, tuple(Priority), _counted(connection, query))
    late = select(func.count()).select_from(tickets).where(live, tickets.c.due_at < now)
    yield OVERDUE.at(connection.scalar(late) or 0)


def _outbox(connection: Connection, now: datetime) -> Iterator[Sample]:
    query = (
        select(notices.c.state, notices.c.channel, func.count(), func.min(notices.c.created_at))
        .where(notices.c.state.in_(("queued", "failed")))
        .group_by(notices.c.state, notices.c.channel)
    )
    queued: dict[str, float] = {}
    oldest: dict[str, float] = {}
    failed: dict[str, float] = {}
    for state, channel, count, since in connection.execute(query):
        if state == "failed":
            failed[channel] = count
            continue
        queued[channel] = count
        oldest[channel] = max(0.0, (now - since).total_seconds())
    yield from _each(QUEUED, CHANNELS, queued)
    yield from _each(OLDEST, CHANNELS, oldest)
    yield from _each(FAILED, CHANNELS, failed)


def _gateway(row: GatewayRow, now: datetime) -> Iterator[Sample]:
    if row.heard_at is not None:
        yield SILENT.at(max(0.0, (now - row.heard_at).total_seconds()), row.id)
    status: dict[str, Any] = row.status
    if not status:
        return
    yield BROKER.at(int(bool(status.get("connected"))), row.id)
    yield BEHIND.at(_behind(status.get("oldest_entry_at"), row.heard_at), row.id)
    cap = status.get("journal_max_bytes") or 0
    yield JOURNAL_RATIO.at(status.get("journal_bytes", 0) / cap if cap else 0.0, row.id)
    yield SHED.at(status.get("shed", 0), row.id)


def _behind(oldest: Millis | None, heard_at: datetime | None) -> float:
    if oldest is None or heard_at is None:
        return 0.0
    return max(0.0, (heard_at - from_millis(oldest)).total_seconds())


def _counted(connection: Connection, query: Any) -> dict[str, float]:
    return {row[0]: row[1] for row in connection.execute(query)}


def _each(metric: Metric, known: Iterable[str], found: dict[str, float] | dict[str, int]) -> Iterator[Sample]:
    """One sample per known word, 0 where there is none, and whatever else was found."""
    for word, value in (dict.fromkeys(map(str, known), 0.0) | found).items():
        yield metric.at(value, word)
