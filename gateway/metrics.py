"""The gateway's own figures: what came in, what waits in its journal, what its sinks refuse.

Nothing here names a device, a topic or a person: labels have a handful of values each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from gateway.commands.runner import CommandCounters
from gateway.forward import Forwarder
from gateway.ingest import IngestCounters
from gateway.journal import Journal, JournalReader, JournalStats
from gateway.measure import Collector, Distribution, Metric, Sample
from gateway.polling import PollCounters
from gateway.reading import Millis
from gateway.telemetry import TelemetryStore
from gateway.telemetry.spool import SpooledTelemetry
from gateway.telemetry.sqlite import SqliteTelemetry

DECODE_CODES = (
    "no_binding", "no_match", "too_large", "malformed", "truncated", "integrity", "constant", "wrong_type",
    "unknown_word", "unknown_key", "unknown_alias", "unknown_poll", "missing", "nothing_known", "bad_time",
    "bad_address", "not_registered", "too_many", "internal",
)  # fmt: skip
"""Codes of gateway.decode.DecodeError; shown from the start, so that the first error of a kind is an increase."""

CONNECTED = Metric("courtyard_gateway_connected", "gauge", "1 while the gateway has a session with its broker.")
RECEIVED = Metric("courtyard_messages_received_total", "counter", "Messages that the broker has handed over.")
IGNORED = Metric("courtyard_messages_ignored_total", "counter", "Messages that were understood and hold nothing new.")
REDELIVERED = Metric(
    "courtyard_messages_redelivered_total",
    "counter",
    "Messages that the broker sent again although they were in the journal; not stored twice.",
)
READINGS = Metric("courtyard_readings_decoded_total", "counter", "Readings that messages became.")
DECODE_ERRORS = Metric(
    "courtyard_decode_errors_total", "counter", "Messages set aside in the quarantine, by the reason's code.", ("code",)
)
QUARANTINE = Metric("courtyard_quarantine_entries", "gauge", "Messages that wait in the quarantine to be replayed.")
QUARANTINE_DROPPED = Metric(
    "courtyard_quarantine_dropped_total",
    "counter",
    "Messages that left the quarantine to make room, kept over restarts.",
)
INGEST_FAILURES = Metric(
    "courtyard_ingest_failures_total", "counter", "Failures of the ingest thread that it does not know how to wait for."
)
DECODE_SECONDS = Metric(
    "courtyard_decode_batch_seconds",
    "histogram",
    "Decoding one batch of messages: what lay at the socket, 500 at most.",
)
COMMIT_SECONDS = Metric(
    "courtyard_journal_commit_seconds", "histogram", "Writing one batch to the journal, until the disk has it."
)
REGISTRY_FAILURES = Metric(
    "courtyard_registry_failures_total", "counter", "Attempts to ask services for the device list that failed."
)
SAID = Metric(
    "courtyard_commands_said_total",
    "counter",
    "Attempts to tell devices something: sent, unsure (perhaps lost), failed, expired (too late to be said).",
    ("outcome",),
)
ORDERS_WAITING = Metric("courtyard_commands_waiting", "gauge", "Commands fetched from services and not said yet.")
COMMAND_FAILURES = Metric(
    "courtyard_command_failures_total", "counter", "Failures of the thread that says commands, such as services away."
)
POLLS = Metric(
    "courtyard_polls_total",
    "counter",
    "Requests to devices that wait to be asked: sent, answered, unanswered, refused (could not be made).",
    ("outcome",),
)
POLL_FAILURES = Metric("courtyard_poll_failures_total", "counter", "Failures of the thread that asks devices.")

JOURNAL_BYTES = Metric("courtyard_journal_bytes", "gauge", "Bytes of the entries in the journal.", ("journal",))
JOURNAL_MAX_BYTES = Metric("courtyard_journal_max_bytes", "gauge", "Cap of the journal.", ("journal",))
BACKLOG_ENTRIES = Metric(
    "courtyard_journal_backlog_entries", "gauge", "Entries that this consumer has not taken.", ("journal", "consumer")
)
BACKLOG_BYTES = Metric(
    "courtyard_journal_backlog_bytes",
    "gauge",
    "Bytes that this consumer has not taken, from the mean of the oldest 500 entries that wait.",
    ("journal", "consumer"),
)
BACKLOG_AGE = Metric(
    "courtyard_journal_backlog_age_seconds",
    "gauge",
    "How long the oldest entry waits for this consumer; 0: nothing waits.",
    ("journal", "consumer"),
)
SHED = Metric(
    "courtyard_journal_shed_readings_total",
    "counter",
    "Readings given up at the journal's cap before this consumer had them.",
    ("journal", "consumer"),
)
SINK_FAILURES = Metric(
    "courtyard_sink_failures_total", "counter", "Attempts to hand a batch over that failed.", ("journal", "consumer")
)
SINK_FAILING = Metric(
    "courtyard_sink_failing", "gauge", "1 from a failed attempt until the next success.", ("journal", "consumer")
)
TELEMETRY_REFUSED = Metric(
    "courtyard_telemetry_refused_total",
    "counter",
    "Values or readings that the time series will never take; InfluxDB's refusals are counted over restarts.",
)
POINTS = Metric(
    "courtyard_telemetry_points_written_total", "counter", "Points written to InfluxDB, those written again included."
)
TELEMETRY_GIVEN_UP = Metric(
    "courtyard_telemetry_given_up_total",
    "counter",
    "Readings deleted before their time by the cap of the embedded time series.",
)

METRICS = (
    CONNECTED, RECEIVED, IGNORED, REDELIVERED, READINGS, DECODE_ERRORS, QUARANTINE, QUARANTINE_DROPPED,
    INGEST_FAILURES, DECODE_SECONDS,
    COMMIT_SECONDS, REGISTRY_FAILURES, SAID, ORDERS_WAITING, COMMAND_FAILURES, POLLS, POLL_FAILURES, JOURNAL_BYTES,
    JOURNAL_MAX_BYTES, BACKLOG_ENTRIES, BACKLOG_BYTES, BACKLOG_AGE, SHED, SINK_FAILURES, SINK_FAILING,
    TELEMETRY_REFUSED, POINTS, TELEMETRY_GIVEN_UP,
)  # fmt: skip


@dataclass(frozen=True)
class SinkFigures:
    """One consumer of a journal, and the thread that feeds it."""

    consumer: str
    failures: int
    failing: bool


@dataclass(frozen=True)
class JournalFigures:
    """A journal and what waits in it, per consumer."""

    stats: JournalStats
    backlog_bytes: Mapping[str, int]
    oldest_at: Mapping[str, Millis | None]
    """received_at of the oldest entry that waits; None: nothing waits."""
    sinks: tuple[SinkFigures, ...]


@dataclass(frozen=True)
class GatewayFigures:
    """What a gateway knows about itself at one moment; counters since its start."""

    connected: bool
    counters: IngestCounters
    ingest_failures: int
    decode_seconds: Distribution
    commit_seconds: Distribution
    registry_failures: int
    journal: JournalFigures
    commands: CommandCounters = field(default_factory=CommandCounters)
    commands_waiting: int = 0
    polls: PollCounters = field(default_factory=PollCounters)


def journal_figures(journal: Journal, reader: JournalReader, forwarders: Iterable[Forwarder]) -> JournalFigures:
    """What waits in an open journal, and how those fare who take from it."""
    stats = journal.stats()
    cursors = {consumer: journal.cursor(consumer) for consumer in stats.entries_waiting}
    return JournalFigures(
        stats=stats,
        backlog_bytes={
            consumer: round(stats.entries_waiting[consumer] * reader.mean_size_after(cursor))
            for consumer, cursor in cursors.items()
        },
        oldest_at={consumer: reader.oldest_after(cursor) for consumer, cursor in cursors.items()},
        sinks=tuple(SinkFigures(one.consumer, one.failures, bool(one.error)) for one in forwarders),
    )


@runtime_checkable
class CountsPoints(Protocol):
    """A store that says how many points it has written; only databases of their own do."""

    points_written: int


class HasFigures(Protocol):
    def figures(self) -> GatewayFigures: ...


class Clock(Protocol):
    def __call__(self) -> Millis: ...


def of_gateway(gateway: HasFigures, now_millis: Clock) -> Collector:
    """Collects from a gateway in this process."""

    def collect() -> Iterable[Sample]:
        figures = gateway.figures()
        yield from gateway_samples(figures)
        yield from journal_samples("gateway", figures.journal, now_millis())

    return collect


def of_telemetry(store: TelemetryStore, now_millis: Clock) -> Collector:
    """Collects from a time series, and from the journal in front of it where there is one."""

    def collect() -> Iterable[Sample]:
        yield TELEMETRY_REFUSED.at(store.refused)
        database = store
        if isinstance(store, SpooledTelemetry):
            database = store.store
            figures = journal_figures(store.journal, store.reader, [store.forwarder])
            yield from journal_samples("services", figures, now_millis())
        if isinstance(database, CountsPoints):
            yield POINTS.at(database.points_written)
        if isinstance(database, SqliteTelemetry):
            yield TELEMETRY_GIVEN_UP.at(database.given_up)

    return collect


def gateway_samples(figures: GatewayFigures) -> Iterator[Sample]:
    counters, commands, polls = figures.counters, figures.commands, figures.polls
    yield CONNECTED.at(int(figures.connected))
    yield RECEIVED.at(counters.received)
    yield IGNORED.at(counters.ignored)
    yield REDELIVERED.at(counters.redelivered)
    yield READINGS.at(counters.readings)
    for code, count in (dict.fromkeys(DECODE_CODES, 0) | counters.by_code).items():
        yield DECODE_ERRORS.at(count, code)
    yield QUARANTINE.at(figures.journal.stats.quarantine_entries)
    yield QUARANTINE_DROPPED.at(figures.journal.stats.quarantine_dropped)
    yield INGEST_FAILURES.at(figures.ingest_failures)
    yield DECODE_SECONDS.at(figures.decode_seconds)
    yield COMMIT_SECONDS.at(figures.commit_seconds)
    yield REGISTRY_FAILURES.at(figures.registry_failures)
    for outcome in ("sent", "unsure", "failed", "expired"):
        yield SAID.at(getattr(commands, outcome), outcome)
    yield ORDERS_WAITING.at(figures.commands_waiting)
    yield COMMAND_FAILURES.at(commands.failures)
    for outcome in ("sent", "answered", "unanswered", "refused"):
        yield POLLS.at(getattr(polls, outcome), outcome)
    yield POLL_FAILURES.at(polls.failures)


def journal_samples(journal: str, figures: JournalFigures, now: Millis) -> Iterator[Sample]:
    """A journal under its name: "gateway", or "services" for that of services without a gateway of their own."""
    stats = figures.stats
    yield JOURNAL_BYTES.at(stats.bytes, journal)
    yield JOURNAL_MAX_BYTES.at(stats.max_bytes, journal)
    for consumer, waiting in stats.entries_waiting.items():
        oldest = figures.oldest_at.get(consumer)
        yield BACKLOG_ENTRIES.at(waiting, journal, consumer)
        yield BACKLOG_BYTES.at(figures.backlog_bytes.get(consumer, 0), journal, consumer)
        yield BACKLOG_AGE.at(max(0.0, (now - oldest) / 1000) if oldest is not None else 0.0, journal, consumer)
        yield SHED.at(stats.shed.get(consumer, 0), journal, consumer)
    for sink in figures.sinks:
        yield SINK_FAILURES.at(sink.failures, journal, sink.consumer)
        yield SINK_FAILING.at(int(sink.failing), journal, sink.consumer)
