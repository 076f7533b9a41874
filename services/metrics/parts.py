"""Figures of the parts of services: intake, clockwork, outbox."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from gateway.measure import Collector, Metric, Sample
from services.backtest.jobs import ENDINGS, Jobs
from services.intake import Intake
from services.notices.outbox import Outbox
from services.ticker import Ticker

CHANNELS = ("webhook", "email", "apprise")
OUTCOMES = ("delivered", "retry", "rejected", "given_up")

TAKEN = Metric("courtyard_intake_readings_total", "counter", "Readings that services have taken in.")
GAPS = Metric(
    "courtyard_intake_gaps_total",
    "counter",
    "Batches that did not follow the one before: a gateway's journal had to give readings up.",
)
SET_ASIDE = Metric(
    "courtyard_intake_set_aside_total",
    "counter",
    "Readings that could not be judged, and devices that cannot be when time passes.",
)
REFUSED = Metric(
    "courtyard_intake_refused_total",
    "counter",
    "Readings beyond a bound: of unclaimed devices, of one device's children.",
    ("why",),
)
TICK_FAILURES = Metric(
    "courtyard_tick_failures_total", "counter", "Breaks or commands that could not be judged when time passed."
)
CATCH_UP_FAILURES = Metric(
    "courtyard_catch_up_failures_total",
    "counter",
    "Shipped rules or maintenance windows that could not be taken up by themselves: everything was read again.",
)
UNMATCHED = Metric(
    "courtyard_unmatched_answers_total", "counter", "Answers of devices to commands that are not Courtyard's."
)
RULE_SECONDS = Metric(
    "courtyard_rules_batch_seconds",
    "histogram",
    "Judging one batch of readings: presence, rules, and what follows from them, without the database.",
)
INTAKE_SECONDS = Metric(
    "courtyard_intake_batch_seconds", "histogram", "Taking one batch of readings in, until it is committed."
)
TICK_SECONDS = Metric("courtyard_tick_seconds", "histogram", "Judging all devices as time passes, each second.")

CHORE_RUNS = Metric("courtyard_chore_runs_total", "counter", "How often a regular chore was begun.", ("chore",))
CHORE_FAILURES = Metric("courtyard_chore_failures_total", "counter", "How often it failed.", ("chore",))
CHORE_SECONDS = Metric("courtyard_chore_last_seconds", "gauge", "How long it took when it last ran.", ("chore",))
CHORE_DONE = Metric(
    "courtyard_chore_last_success_timestamp_seconds",
    "gauge",
    "When it was last done, in seconds since 1970; 0: not yet.",
    ("chore",),
)

ATTEMPTS = Metric(
    "courtyard_notice_attempts_total",
    "counter",
    "Attempts to send a notice: delivered, retry (failed, comes again), rejected (for good), given_up (too often).",
    ("channel", "outcome"),
)
OUTBOX_FAILURES = Metric(
    "courtyard_outbox_failures_total", "counter", "Failures of the outbox itself, such as a database that is away."
)

BACKTESTS = Metric(
    "courtyard_backtests_total",
    "counter",
    "Backtests that have ended: done, cancelled, refused, unavailable (no time series), no_room (a disk is full), "
    "stalled (no progress for too long), died (its process was killed), broke (a mistake of the program).",
    ("outcome",),
)

METRICS = (
    TAKEN, GAPS, SET_ASIDE, REFUSED, TICK_FAILURES, CATCH_UP_FAILURES, UNMATCHED, RULE_SECONDS, INTAKE_SECONDS,
    TICK_SECONDS, CHORE_RUNS, CHORE_FAILURES, CHORE_SECONDS, CHORE_DONE, ATTEMPTS, OUTBOX_FAILURES, BACKTESTS,
)  # fmt: skip


def of_intake(intake: Intake) -> Collector:
    def collect() -> Iterable[Sample]:
        yield TAKEN.at(intake.readings)
        yield GAPS.at(intake.gaps)
        yield SET_ASIDE.at(intake.set_aside)
        yield REFUSED.at(intake.refused_unclaimed, "unclaimed")
        yield REFUSED.at(intake.refused_children, "children")
        yield TICK_FAILURES.at(intake.tick_failures)
        yield CATCH_UP_FAILURES.at(intake.catch_up_failures)
        yield UNMATCHED.at(intake.unmatched_answers)
        yield RULE_SECONDS.at(intake.rule_seconds.read())
        yield INTAKE_SECONDS.at(intake.batch_seconds.read())
        yield TICK_SECONDS.at(intake.tick_seconds.read())

    return collect


def of_ticker(ticker: Ticker) -> Collector:
    def collect() -> Iterable[Sample]:
        for chore in ticker.chores:
            yield CHORE_RUNS.at(chore.runs, chore.name)
            yield CHORE_FAILURES.at(chore.failures, chore.name)
            yield CHORE_SECONDS.at(chore.last_seconds, chore.name)
            yield CHORE_DONE.at(_seconds(chore.done_at), chore.name)

    return collect


def of_outbox(outbox: Outbox) -> Collector:
    def collect() -> Iterable[Sample]:
        counts = outbox.outcomes
        for channel in CHANNELS:
            for outcome in OUTCOMES:
                yield ATTEMPTS.at(counts.get((channel, outcome), 0), channel, outcome)
        yield OUTBOX_FAILURES.at(outbox.errors)

    return collect


def of_backtests(jobs: Jobs) -> Collector:
    def collect() -> Iterable[Sample]:
        for ending in ENDINGS:
            yield BACKTESTS.at(jobs.ends[ending], ending)

    return collect


def _seconds(at: datetime | None) -> float:
    return 0.0 if at is None else at.timestamp()
