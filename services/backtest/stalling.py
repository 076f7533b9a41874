"""A backtest that gets no further is ended: a disk that hangs must not hold up those that wait, nor a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Thread

_LOOK_SECONDS = 0.5


class Stalled(Exception):
    """It got no further for longer than it may, and was ended."""

    def __init__(self, after: timedelta) -> None:
        super().__init__(
            f"the backtest got no further for {after.total_seconds():g} s and was ended: a disk or a database may hang;"
            " run `courtyard doctor`, then do it again (COURTYARD_BACKTEST_STALLED_AFTER lets it wait longer)"
        )


class Silence:
    """How long nothing was heard, in looks and not on a clock: who was asleep himself has missed nothing."""

    def __init__(self, longest: timedelta) -> None:
        self._longest = longest.total_seconds()
        self._seconds = 0.0

    def went_on(self, seconds: float) -> bool:
        """For so long again; whether that is too long now."""
        self._seconds += seconds
        return self._seconds > self._longest

    def ended(self) -> None:
        self._seconds = 0.0


@contextmanager
def watched(longest: timedelta, end: Callable[[Stalled], None]) -> Iterator[Callable[[], None]]:
    """Gives what is to be called with each step; without a step for so long, `end` is called by another thread."""
    silence, over = Silence(longest), Event()

    def watch() -> None:
        while not over.wait(_LOOK_SECONDS):
            if silence.went_on(_LOOK_SECONDS):
                end(Stalled(longest))
                return

    thread = Thread(target=watch, name="watches a backtest", daemon=True)
    thread.start()
    try:
        yield silence.ended
    finally:
        over.set()
        thread.join()
