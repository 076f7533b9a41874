"""How a process of a backtest behaves: alarms of today come before those of last week, and nobody outlives who asked.

Processes are started anew (spawn): the one that asks has threads, whose locks a copy would keep for ever.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread

NICENESS = 10
"""Of the process that replays; those that help it are nicer still."""
_FIRST_TO_GO = 500
"""Where memory ends, Linux ends this process before it ends the one that judges alarms."""
_OUT_OF_MEMORY = Path("/proc/self/oom_score_adj")


def give_way(niceness: int = NICENESS) -> None:
    """Take what processor and memory others leave. Ctrl-C is for who asked; that one ends this."""
    os.nice(niceness)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):  # not on Linux, or not allowed here
        _OUT_OF_MEMORY.write_text(str(_FIRST_TO_GO), encoding="ascii")


def end_with_parent() -> None:
    """From now on this process ends as soon as the one that started it has, even by kill -9."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a process that was started by another has one to end with"
    Thread(target=_follow, args=(parent.sentinel,), name="ends with its parent", daemon=True).start()


def _follow(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
