"""Sends what the outbox holds: at least once, each recipient in a lane of its own, failures on record."""

from __future__ import annotations

import math
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError

from services.changes import Change
from services.context import Context
from services.notices import sending
from services.notices.channels import Channel, Delivered, Message, Outcome, Rejected, RetryLater
from services.notices.channels.apprise import AppriseChannel
from services.notices.channels.email import Email
from services.notices.channels.webhook import Webhook
from services.notices.sending import Due, Lane
from services.settings import Settings

log = structlog.get_logger()

# --- decisions: pure ------------------------------------------------------------------------------------------------

ATTEMPTS = 20
"""With `backoff` that is about a day; then the notice has failed, and the API shows why."""
_FIRST_PAUSE = timedelta(seconds=2)
_LONGEST_PAUSE = timedelta(hours=4)
LEASE = timedelta(minutes=2)
"""Longer than any attempt of any channel takes."""


def backoff(attempts: int, dice: float) -> timedelta:
    """The pause after so many attempts, doubled each time; `dice` (0 to 1) spreads it so that crowds do not return."""
    pause = _FIRST_PAUSE * (2.0 ** min(attempts - 1, 30))
    return min(pause, _LONGEST_PAUSE) * (0.5 + dice / 2)


@dataclass
class Bucket:
    """A token bucket: `burst` at once, then one each `every`."""

    burst: int
    every: timedelta
    tokens: float = field(init=False)
    at: datetime | None = None

    def __post_init__(self) -> None:
        self.tokens = float(self.burst)

    def take(self, wanted: int, now: datetime) -> int:
        """How many of `wanted` may go now."""
        if self.at is not None and now > self.at:
            self.tokens = min(float(self.burst), self.tokens + (now - self.at) / self.every)
        self.at = now
        taken = min(wanted, math.floor(self.tokens + 1e-9))
        self.tokens -= taken
        return taken


LIMITS: Mapping[str, tuple[int, timedelta]] = {
    "apprise": (10, timedelta(seconds=3.2)),  # DingTalk and WeCom bots take 20 a minute
    "email": (60, timedelta(seconds=1)),
    "webhook": (500, timedelta(milliseconds=10)),
}
_OTHERS = (60, timedelta(seconds=1))


# --- the worker -----------------------------------------------------------------------------------------------------

_LOOK_EVERY = 1.0
_AT_ONCE = 16  # lanes with an attempt under way; a hanging recipient costs one of them for some seconds
_PAGE = 25
_LONGEST_REST = timedelta(minutes=1)


def channels_of(settings: Settings) -> dict[str, Channel]:
    """Every channel by the name that recipients use."""
    return {
        "webhook": Webhook(allow_private=settings.webhook_allow_private),
        "email": Email(smtp_url=settings.smtp_url, sender=settings.smtp_from),
        "apprise": AppriseChannel(),
    }


@dataclass(frozen=True)
class _Rest:
    """A lane whose last attempts failed, and until when it is left alone."""

    failures: int
    until: datetime


class TargetMissing(Exception):
    """The environment has no such variable."""


def resolve_target(target: str, environment: Mapping[str, str] = os.environ) -> str:
    """`env:NAME` is the value of NAME, read when it is needed and kept nowhere. Raises TargetMissing."""
    if not target.startswith("env:"):
        return target
    name = target.removeprefix("env:")
    if not environment.get(name):
        raise TargetMissing(f"the environment variable {name} is not set")
    return environment[name]


class Outbox:
    """Claims due notices, sends them, records what came of it. `start()` and `stop()` once each.

    A claim is a lease: when this process dies, the notice is due again after `LEASE`, under the same key. So each is
    sent at least once, and at most once more per crash.
    """

    def __init__(
        self,
        context: Context,
        *,
        channels: Mapping[str, Channel] | None = None,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._database = context.database
        self._channels = channels_of(context.settings) if channels is None else channels
        self._clock = context.clock
        self._changes = context.changes
        self._dice = dice
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._busy: dict[Lane, threading.Thread] = {}
        self._buckets: dict[Lane, Bucket] = {}
        self._rests: dict[Lane, _Rest] = {}
        self._abandoned = False
        self._thread: threading.Thread | None = None
        self._forget_changes: Callable[[], None] | None = None
        self.errors = 0
        """How often the loop itself failed, such as when the database did not answer."""
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """(channel, what came of an attempt): delivered, retry, rejected or given_up."""

    def start(self) -> None:
        self._forget_changes = self._changes.listen(self._on_changes)
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 1.8) -> None:
        """Begin nothing new; let attempts under way end within `timeout`. Others are due again after their lease."""
        deadline = time.monotonic() + timeout
        if self._forget_changes:
            self._forget_changes()
            self._forget_changes = None
        self._stopping.set()
        self._wake.set()
        with self._lock:
            threads = [*self._busy.values()]
        for thread in (*threads, *([self._thread] if self._thread else [])):
            thread.join(max(0.0, deadline - time.monotonic()))
        self._abandoned = True
        for channel in self._channels.values():
            channel.close()

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    def _on_changes(self, batch: Iterable[Change]) -> None:
        if any(change.kind in ("alarm", "ticket", "outage") for change in batch):
            self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                self._start_lanes()
            except Exception as error:  # the loop's edge: without it one failure would silence every notice
                self._failed(error)
            self._wake.wait(_LOOK_EVERY)

    def _failed(self, error: Exception, **about: str) -> None:
        self.errors += 1
        expected = isinstance(error, SQLAlchemyError)
        (log.warning if expected else log.exception)("outbox.failed", error=_words_of(error), **about)

    def _start_lanes(self) -> None:
        now = self._clock.now()
        with self._database.read() as connection:
            lanes = sending.due_lanes(connection, now)
        for lane in lanes:
            # A rest further off than any lasts is of a clock that has gone back since.
            if lane in self._rests and now < self._rests[lane].until <= now + _LONGEST_REST:
                continue
            with self._lock:
                if self._stopping.is_set() or len(self._busy) >= _AT_ONCE:
                    return
                if lane in self._busy:
                    continue
                thread = threading.Thread(target=self._work, args=(lane,), name="outbox-lane", daemon=True)
                thread.start()  # the lane takes itself off the list, for which it waits for this lock
                self._busy[lane] = thread

    # One lane: all of this runs on the lane's own thread.

    def _work(self, lane: Lane) -> None:
        worked = False
        try:
            while claimed := self._claim(lane):
                worked = True
                if not self._send_all(lane, claimed):
                    return
        except Exception as error:  # the lane's edge: what it had claimed is due again after the lease
            self._failed(error, channel=lane.channel)
        finally:
            with self._lock:
                self._busy.pop(lane, None)
            if worked:
                self._wake.set()  # there is room for another lane, and this one may have got more meanwhile

    def _claim(self, lane: Lane) -> list[Due]:
        now = self._clock.now()
        burst, every = LIMITS.get(lane.channel, _OTHERS)
        allowed = self._buckets.setdefault(lane, Bucket(burst, every)).take(_PAGE, now)
        if self._stopping.is_set() or not allowed:
            return []
        with self._database.write() as connection:
            claimed = sending.claim(connection, lane, now=now, lease=LEASE, limit=allowed)
        self._buckets[lane].tokens += allowed - len(claimed)
        return claimed

    def _send_all(self, lane: Lane, claimed: list[Due]) -> bool:
        """Whether the lane goes on. After a failed attempt it rests a little; then the others get their turn first."""
        for position, due in enumerate(claimed):
            if self._stopping.is_set():
                self._give_back(claimed[position:])
                return False
            outcome = self.attempt(due)
            if isinstance(outcome, RetryLater):
                self._rest(lane)  # before the record: its pause counts from the attempt
                self._record(due, outcome)
                self._give_back(claimed[position + 1 :])
                return False
            self._record(due, outcome)
            self._rests.pop(lane, None)
        return True

    def attempt(self, due: Due) -> Outcome:
        """One try, whatever comes of it; a target out of the environment never shows in the reason."""
        channel = self._channels.get(due.channel)
        if channel is None:
            return Rejected(f"there is no channel {due.channel!r}; there are {', '.join(self._channels)}")
        try:
            target = resolve_target(due.target)
        except TargetMissing as error:
            return Rejected(str(error))
        message = Message(key=due.key, target=target, title=due.title, body=due.body, data=due.data)
        try:
            outcome = channel.send(message)
        except Exception as error:  # a channel's mistake costs one attempt, never the lane
            self.errors += 1
            log.error("outbox.channel_failed", channel=due.channel, notice=due.id, error=type(error).__name__)
            outcome = RetryLater(f"the channel failed: {type(error).__name__}")
        return without_secrets(outcome, target)

    def _rest(self, lane: Lane) -> None:
        failures = self._rests[lane].failures + 1 if lane in self._rests else 1
        pause = min(backoff(failures, self._dice()), _LONGEST_REST)
        self._rests[lane] = _Rest(failures, self._clock.now() + pause)

    def _give_back(self, rest: list[Due]) -> None:
        if rest:
            with self._database.write() as connection:
                sending.give_back(connection, [due.id for due in rest], now=self._clock.now())

    def _record(self, due: Due, outcome: Outcome) -> None:
        if self._abandoned:
            return  # stopped meanwhile; the lease brings it back
        now = self._clock.now()
        with self._database.write() as connection:
            if isinstance(outcome, Delivered):
                what = "delivered"
                sending.record_delivered(connection, due.id, now)
            elif isinstance(outcome, RetryLater) and due.attempts < ATTEMPTS:
                what = "retry"
                pause = max(backoff(due.attempts, self._dice()), outcome.after or timedelta(0))
                sending.record_retry(connection, due.id, at=now + pause, error=outcome.reason)
            else:
                what = "rejected" if isinstance(outcome, Rejected) else "given_up"
                reason = outcome.reason if isinstance(outcome, Rejected) else f"given up: {outcome.reason}"
                sending.record_failed(connection, due.id, error=reason)
                log.warning("notice.failed", notice=due.id, channel=due.channel, reason=reason)
        with self._lock:
            self.outcomes[due.channel, what] += 1
        self._changes.publish([Change("notice", due.id, due.site)])


def _words_of(error: Exception) -> str:
    """The database's own words, without the statement and its values: these may hold a target."""
    return str(getattr(error, "orig", None) or (error if isinstance(error, SQLAlchemyError) else type(error).__name__))


def without_secrets(outcome: Outcome, target: str) -> Outcome:
    """Reasons are shown and logged; a target may hold a secret."""
    if isinstance(outcome, Delivered):
        return outcome
    reason = outcome.reason.replace(target, "…")
    return Rejected(reason) if isinstance(outcome, Rejected) else RetryLater(reason, outcome.after)
