"""A backtest in a process of its own, so that the one that judges alarms goes on judging them.

Over one pipe come progress and result, and goes the word to stop. The process ends with the one that started it.
"""

from __future__ import annotations

import atexit
import multiprocessing
import traceback
from contextlib import suppress
from datetime import timedelta
from multiprocessing.connection import Connection
from threading import Event
from time import monotonic
from typing import Any

from gateway.telemetry import TelemetryUnavailable
from services.backtest.parallel import WorkerDied
from services.backtest.process import end_with_parent, give_way
from services.backtest.recipe import Recipe, Told
from services.backtest.report import Cancelled, NoRoom, Progress, Report
from services.backtest.stalling import Silence, Stalled

_LOOK_SECONDS = 0.1
_TELL_SECONDS = 0.2
_STOP_SECONDS = 3.0
"""So long it may take to stop of itself."""
_STOP = "stop"


class BacktestBroke(Exception):
    """Ended by what nobody had thought of; says all that is known, for the log."""


def run_apart(recipe: Recipe, told: Told, stopping: Event, stalled_after: timedelta) -> Report:
    """Raises Cancelled soon after `stopping` is set, Stalled where it says nothing for so long, ValueError,
    TelemetryUnavailable, NoRoom, WorkerDied, BacktestBroke."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(recipe, theirs), name="backtest")
    process.start()
    theirs.close()
    # It has processes of its own and so is none that Python ends by itself; without this it would be waited for.
    atexit.register(process.kill)
    try:
        return _followed(process, ours, told, stopping, stalled_after)
    finally:
        ours.close()
        process.join(_STOP_SECONDS)
        process.kill()
        process.join(_STOP_SECONDS)
        # Where its disk hangs not even a kill ends it before the disk answers; those that wait need not wait for that.
        if process.exitcode is not None:
            atexit.unregister(process.kill)
            process.close()


def _followed(process: Any, ours: Connection, told: Told, stopping: Event, stalled_after: timedelta) -> Report:
    asked_at: float | None = None
    silence = Silence(stalled_after)
    while True:
        if stopping.is_set() and asked_at is None:
            asked_at = monotonic()
            with suppress(OSError):  # it has just ended: what it said last is read below
                ours.send(_STOP)
        if asked_at is not None and monotonic() - asked_at > _STOP_SECONDS:
            raise Cancelled
        if not ours.poll(_LOOK_SECONDS):
            if silence.went_on(_LOOK_SECONDS):
                raise Stalled(stalled_after)
            continue
        silence.ended()
        try:
            kind, content = ours.recv()
        except (EOFError, OSError):
            if stopping.is_set():
                raise Cancelled from None
            process.join(_STOP_SECONDS)
            raise WorkerDied(f"the process of the backtest ended in the middle, exit code {process.exitcode}") from None
        if kind == "progress":
            told(content)
        else:
            return _ended(kind, content)


def _ended(kind: str, content: Any) -> Report:
    if kind == "done":
        assert isinstance(content, Report)
        return content
    raise _ENDS[kind](content)


_ENDS: dict[str, type[Exception]] = {
    "cancelled": Cancelled,
    "refused": ValueError,
    "unavailable": TelemetryUnavailable,
    "no_room": NoRoom,
    "died": WorkerDied,
    "broke": BacktestBroke,
}


def _work(recipe: Recipe, pipe: Connection) -> None:
    """In the other process."""
    end_with_parent()
    give_way()
    kind, content = _done(recipe, pipe)
    with suppress(BrokenPipeError, ConnectionResetError):  # whoever asked has gone
        pipe.send((kind, content))


def _done(recipe: Recipe, pipe: Connection) -> tuple[str, Any]:
    next_at = monotonic()

    def told(progress: Progress) -> None:
        nonlocal next_at
        if monotonic() < next_at:
            return
        next_at = monotonic() + _TELL_SECONDS
        if pipe.poll():
            raise Cancelled
        pipe.send(("progress", progress))

    try:
        return "done", recipe.run(told)
    except Cancelled:
        return "cancelled", ""
    except TelemetryUnavailable as error:
        return "unavailable", str(error)
    except NoRoom as error:
        return "no_room", str(error)
    except ValueError as error:  # BacktestRefused, NoSuchSite: they say what was expected
        return "refused", str(error)
    except (WorkerDied, MemoryError) as error:
        return "died", str(error)
    except Exception as error:  # the edge of a process; whoever asked counts and logs it
        return "broke", "".join(traceback.format_exception(error))
