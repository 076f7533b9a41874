"""How Courtyard itself fares, in words: what is fine, what is broken now, and what has failed since the start. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway import metrics as gateway
from gateway.measure import Distribution, Metric, Sample
from services.metrics import SCRAPE_FAILURES, calm, parts, process, state, web
from services.sites.store import GatewayRow
from services.web.i18n import N_, Translations
from services.web.pages import format as fmt
from services.web.pages.words import Mark

FINE = Mark("fine", N_("Fine"), "ok", "ok")
NOTED = Mark("noted", N_("Noted"), "idle", "circle")
WATCH = Mark("watch", N_("Keep an eye on it"), "warn", "triangle")
BROKEN = Mark("broken", N_("Broken"), "bad", "octagon")
_WORST_FIRST = (BROKEN, WATCH, NOTED, FINE)

OLD_BACKLOG_SECONDS = 300
OLD_NOTICE_SECONDS = 900
WAITING_NOTICE_SECONDS = 120
TICK_STOPPED_SECONDS = 60
SLOW_TICK_SECONDS = 0.5
_NEARLY_FULL = 0.8
_DISK_NEARLY_FULL, _DISK_FULL = 0.1, 0.02

_CONSUMERS = {"services": N_("To services"), "telemetry": N_("To the time series")}
_CHORES = {
    "tick": N_("Judging delays and silence"),
    "telemetry retention": N_("Forgetting old readings"),
    "telemetry cap": N_("Keeping the time series below its cap"),
    "telemetry levels": N_("Keeping the levels of the time series set up"),
    "telemetry sums": N_("Summing the time series up"),
    "history of adopted devices": N_("Carrying the history of adopted devices along"),
    "unclaimed devices": N_("Forgetting new devices that fell silent"),
    "notices retention": N_("Forgetting old notices"),
    "commands retention": N_("Forgetting old commands"),
    "digests": N_("Sending the daily digests"),
    "events retention": N_("Forgetting old events"),
    "decisions retention": N_("Forgetting old decisions about alarms"),
    "rule trials retention": N_("Forgetting old trials of rules"),
    "gaps of gateways retention": N_("Forgetting when gateways heard nothing"),
    "maintenance retention": N_("Forgetting old maintenance windows"),
    "rule books retention": N_("Forgetting old versions of rule books"),
}
_HELD = {
    "cause": N_("%(n)s by their cause"),
    "maintenance": N_("%(n)s by maintenance"),
    "storm": N_("%(n)s under a storm"),
    "snooze": N_("%(n)s snoozed"),
}
_CHANNELS = {"webhook": N_("By webhook"), "email": N_("By e-mail"), "apprise": N_("By messenger")}


@dataclass(frozen=True)
class Line:
    """One thing: how it is, its figures, and what to do where it is not fine."""

    mark: Mark
    what: str
    figures: tuple[str, ...] = ()
    error: str = ""
    todo: str = ""
    href: str = ""


@dataclass(frozen=True)
class Section:
    title: str
    lines: tuple[Line, ...]


class Figures:
    """Samples by metric and labels."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._found: dict[Metric, dict[tuple[str, ...], float]] = {}
        self._distributions: dict[Metric, Distribution] = {}
        for metric, labels, value in samples:
            if isinstance(value, Distribution):
                self._distributions[metric] = value
            else:
                self._found.setdefault(metric, {})[labels] = value

    def each(self, metric: Metric) -> Mapping[tuple[str, ...], float]:
        return self._found.get(metric, {})

    def one(self, metric: Metric, *labels: str) -> float | None:
        """None where nothing says it in this process."""
        return self.each(metric).get(labels)

    def sum(self, metric: Metric) -> int:
        return round(sum(self.each(metric).values()))

    def mean(self, metric: Metric) -> float | None:
        found = self._distributions.get(metric)
        return found.sum / found.count if found is not None and found.count else None


def worst(sections: Iterable[Section]) -> Mark:
    marks = {line.mark for section in sections for line in section.lines}
    return next((mark for mark in _WORST_FIRST if mark in marks), FINE)


def sections(
    figures: Figures,
    gateways: Iterable[GatewayRow],
    now: datetime,
    t: Translations,
    *,
    silent_after: float,
    telemetry_error: str = "",
) -> list[Section]:
    """What there is in this process: a service without a gateway of its own has no journal to show."""
    made = [
        Section(t.gettext("Gateways"), tuple(_gateway(row, now, t, silent_after) for row in gateways)),
        Section(t.gettext("What waits, and who takes it"), tuple(_sinks(figures, t, telemetry_error))),
        Section(t.gettext("Judging readings"), tuple(_judging(figures, now, t))),
        Section(t.gettext("Telling people"), tuple(_telling(figures, t))),
        Section(t.gettext("Regular chores"), tuple(_chores(figures, now, t))),
        Section(t.gettext("Machine and database"), tuple(_machine(figures, t))),
    ]
    return [section for section in made if section.lines]


# --- gateways -------------------------------------------------------------------------------------------------------


def _gateway(row: GatewayRow, now: datetime, t: Translations, silent_after: float) -> Line:
    said = row.status
    mark, todo = _gateway_mark(row, now, t, silent_after)
    figures = [t.gettext("heard %(age)s", age=fmt.age(row.heard_at, t, now=now))] if row.heard_at else []
    if said:
        figures += [
            t.gettext("%(n)s messages per second", n=f"{said.get('messages_per_second', 0):g}"),
            t.gettext("journal %(share)s full", share=_percent(_ratio(row))),
            t.gettext("%(n)s in quarantine", n=f"{said.get('quarantine_entries', 0):,}"),
        ]
        if said.get("shed"):
            figures.append(_given_up(said["shed"], t))
    return Line(mark, row.id, tuple(figures), str(said.get("last_error", "")), todo)


def _gateway_mark(row: GatewayRow, now: datetime, t: Translations, silent_after: float) -> tuple[Mark, str]:
    if row.heard_at is None or _is_silent(row, now, silent_after):
        return BROKEN, t.gettext("It is not heard. Does it run, and does it reach services?")
    if row.status and not row.status.get("connected", True):
        return BROKEN, t.gettext("It has no broker. Does the broker run, and let it in?")
    if _ratio(row) > _NEARLY_FULL:
        return BROKEN, t.gettext("Its journal is nearly full; then the oldest readings are given up.")
    oldest = row.status.get("oldest_entry_at")
    if oldest is not None and row.heard_at.timestamp() - oldest / 1000 > OLD_BACKLOG_SECONDS:
        return WATCH, t.gettext("What it hands over is old: its line is thin, or was cut.")
    return FINE, ""


def _is_silent(row: GatewayRow, now: datetime, silent_after: float) -> bool:
    return row.heard_at is None or (now - row.heard_at).total_seconds() > silent_after


def forgettable_of(rows: Iterable[GatewayRow], now: datetime, silent_after: float) -> tuple[str, ...]:
    """The gateways that may have been taken down for good."""
    return tuple(row.id for row in rows if _is_silent(row, now, silent_after))


def _ratio(row: GatewayRow) -> float:
    cap = row.status.get("journal_max_bytes") or 0
    return row.status.get("journal_bytes", 0) / cap if cap else 0.0


# --- counts in words ------------------------------------------------------------------------------------------------


def _failures(n: int, t: Translations) -> str:
    return t.ngettext("%(n)s failure since the start", "%(n)s failures since the start", n, n=f"{n:,}")


def _given_up(n: int, t: Translations) -> str:
    return t.ngettext("%(n)s reading given up", "%(n)s readings given up", n, n=f"{n:,}")


def _waiting(n: int, oldest: float, t: Translations) -> str:
    return t.ngettext("%(n)s waits, for %(age)s", "%(n)s wait, the oldest %(age)s", n, n=f"{n:,}", age=_span(oldest, t))


# --- what waits -----------------------------------------------------------------------------------------------------


def _sinks(figures: Figures, t: Translations, telemetry_error: str) -> Iterator[Line]:
    for (journal, consumer), failing in figures.each(gateway.SINK_FAILING).items():
        waiting = round(figures.one(gateway.BACKLOG_ENTRIES, journal, consumer) or 0)
        age = figures.one(gateway.BACKLOG_AGE, journal, consumer) or 0.0
        failures = round(figures.one(gateway.SINK_FAILURES, journal, consumer) or 0)
        shed = round(figures.one(gateway.SHED, journal, consumer) or 0)
        said = [t.gettext("nothing waits")]
        if waiting:
            said = [_waiting(waiting, age, t)]
        if failures:
            said.append(_failures(failures, t))
        if shed:
            said.append(_given_up(shed, t))
        mark = BROKEN if failing else WATCH if age > OLD_BACKLOG_SECONDS else NOTED if shed else FINE
        error = telemetry_error if consumer == "telemetry" and journal == "services" else ""
        todo = t.gettext("Nothing is lost while the journal has room.") if failing else ""
        yield Line(mark, t.gettext(_CONSUMERS.get(consumer, consumer)), tuple(said), error, todo)
    refused = figures.sum(gateway.TELEMETRY_REFUSED)
    if refused:
        said = [t.ngettext("%(n)s value refused", "%(n)s values refused", refused, n=f"{refused:,}")]
        yield Line(NOTED, t.gettext("Values that the time series will not take"), tuple(said))


# --- judging --------------------------------------------------------------------------------------------------------


def _judging(figures: Figures, now: datetime, t: Translations) -> Iterator[Line]:
    done = figures.one(parts.CHORE_DONE, "tick")
    if done is not None:
        yield _time_passes(done, figures.mean(parts.TICK_SECONDS), now, t)
    for metric, what, href in (
        (parts.TICK_FAILURES, N_("Breaks or commands that could not be judged"), ""),
        (parts.SET_ASIDE, N_("Readings that could not be judged"), "/quarantine#set-aside"),
        (parts.REFUSED, N_("Readings beyond a bound"), "/unclaimed"),
        (parts.GAPS, N_("Gaps where a gateway had to give readings up"), ""),
        (gateway.INGEST_FAILURES, N_("Failures of taking messages in"), ""),
        (gateway.QUARANTINE, N_("Messages that could not be decoded"), "/quarantine"),
        (gateway.QUARANTINE_DROPPED, N_("Messages that left a full quarantine"), ""),
    ):
        count = figures.sum(metric)
        if count:
            yield Line(NOTED, t.gettext(what), (f"{count:,}",), href=href)


def _time_passes(done: float, mean: float | None, now: datetime, t: Translations) -> Line:
    what = t.gettext("Time passes: delays and silence are judged")
    if done == 0:
        return Line(NOTED, what, (t.gettext("not yet"),))
    age = now.timestamp() - done
    if age > TICK_STOPPED_SECONDS:
        todo = t.gettext("No delay and no silence is judged. The log says why.")
        return Line(BROKEN, what, (t.gettext("last %(age)s ago", age=_span(age, t)),), todo=todo)
    took = t.gettext("%(n)s ms each second", n=f"{1000 * (mean or 0):.0f}")
    if mean is not None and mean > SLOW_TICK_SECONDS:
        return Line(WATCH, what, (took,), todo=t.gettext("The machine is too small or too busy: alarms come late."))
    return Line(FINE, what, (took,))


# --- telling --------------------------------------------------------------------------------------------------------


def _telling(figures: Figures, t: Translations) -> Iterator[Line]:
    held = {why: round(count) for (why,), count in figures.each(calm.HELD).items()}
    if held:
        by = [t.gettext(_HELD[why], n=f"{count:,}") for why, count in held.items() if count]
        href = "/alarms?state=suppressed" if held["cause"] or held["maintenance"] else "/alarms" if by else ""
        what = t.gettext("Alarms held back now: %(n)s", n=f"{sum(held.values()):,}")
        yield Line(NOTED if by else FINE, what, tuple(by), href=href)
    for (channel,), queued in figures.each(state.QUEUED).items():
        oldest = figures.one(state.OLDEST, channel) or 0.0
        failed = round(figures.one(state.FAILED, channel) or 0)
        said = [t.gettext("nothing waits")]
        if queued:
            said = [_waiting(round(queued), oldest, t)]
        if failed:
            said.append(t.gettext("%(n)s not delivered", n=f"{failed:,}"))
        late = BROKEN if oldest > OLD_NOTICE_SECONDS else WATCH if oldest > WAITING_NOTICE_SECONDS else None
        mark = late or (NOTED if failed else FINE)
        href = "/notices?state=failed" if failed else "/notices?state=queued" if queued else ""
        yield Line(mark, t.gettext(_CHANNELS.get(channel, channel)), tuple(said), href=href)
    failures = figures.sum(parts.OUTBOX_FAILURES)
    if failures:
        yield Line(NOTED, t.gettext("Failures of the outbox itself"), (f"{failures:,}",))


# --- chores ---------------------------------------------------------------------------------------------------------


def _chores(figures: Figures, now: datetime, t: Translations) -> Iterator[Line]:
    for (chore,), done in figures.each(parts.CHORE_DONE).items():
        failures = round(figures.one(parts.CHORE_FAILURES, chore) or 0)
        said = [t.gettext("not yet")]
        if done:
            said = [t.gettext("done %(age)s ago", age=_span(now.timestamp() - done, t))]
        if failures:
            said.append(_failures(failures, t))
        never = failures > 0 and not done
        todo = t.gettext("The log says why.") if failures else ""
        yield Line(
            BROKEN if never else NOTED if failures else FINE,
            t.gettext(_CHORES.get(chore, chore)),
            tuple(said),
            todo=todo,
        )


# --- machine --------------------------------------------------------------------------------------------------------


def _machine(figures: Figures, t: Translations) -> Iterator[Line]:
    free, size = figures.one(process.DISK_FREE), figures.one(process.DISK_SIZE)
    if free is not None and size:
        share = free / size
        mark = BROKEN if share < _DISK_FULL else WATCH if share < _DISK_NEARLY_FULL else FINE
        todo = t.gettext("When it is full no message is taken any more.") if mark is not FINE else ""
        said = t.gettext("%(size)s free, %(share)s", size=fmt.size(round(free)), share=_percent(share))
        yield Line(mark, t.gettext("Disk"), (said,), todo=todo)
    up = figures.one(state.DATABASE_UP)
    if up is not None:
        errors = round(figures.one(state.DATABASE_ERRORS, "operational") or 0)
        said = _failures(errors, t) if errors else t.gettext("answers")
        yield Line(FINE if up and not errors else NOTED if up else BROKEN, t.gettext("Database"), (said,))
    for metric, what in (
        (web.HTTP_FAILURES, N_("Pages that failed")),
        (SCRAPE_FAILURES, N_("Figures that could not be read")),
    ):
        count = figures.sum(metric)
        if count:
            yield Line(NOTED, t.gettext(what), (f"{count:,}",), todo=t.gettext("The log says why."))


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _span(seconds: float, t: Translations) -> str:
    return fmt.duration(timedelta(seconds=max(0.0, seconds)), t)
