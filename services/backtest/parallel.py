"""Several processes, each with some of the devices. What they find is taken in order of time, as if it were one.

Processes are started anew (spawn): this one may have threads, whose locks a copy would keep for ever.
"""

from __future__ import annotations

import heapq
import multiprocessing
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing.connection import Connection
from operator import attrgetter
from time import monotonic
from typing import Any

from gateway.telemetry import Looked, TelemetryUnavailable
from services.backtest.history import History
from services.backtest.lanes import families
from services.backtest.process import end_with_parent, give_way
from services.backtest.replay import Slot
from services.backtest.report import NoRoom
from services.backtest.task import Task, Worked, replay
from services.room import is_want_of_room

MOST_PROCESSES = 8
_SLOTS_AT_ONCE = 200
_SAYS_SO_SECONDS = 1.0
"""After so long without a word a process that goes on says so."""
_JOIN_SECONDS = 5.0
_NICER = 5
"""Than who started it."""
_now = attrgetter("now")


class WorkerDied(Exception):
    """A process of a backtest has ended in the middle."""


def cores() -> int:
    """How many processes are worth while."""
    return max(1, min(MOST_PROCESSES, len(os.sched_getaffinity(0))))


def split(task: Task, devices: Sequence[str], into: int) -> list[Task]:
    """Devices that look at each other stay together."""
    wanted = frozenset(devices)
    groups = [kept for family in families(task.yard) if (kept := [id for id in family if id in wanted])]
    shares: list[list[str]] = [[] for _ in range(max(1, min(into, len(groups))))]
    for group in sorted(groups, key=len, reverse=True):
        min(shares, key=len).extend(group)
    first = task.gateways
    return [
        replace(task, devices=tuple(share), past=task.past.of(frozenset(share)), gateways=() if i else first)
        for i, share in enumerate(shares)
    ]


def run(tasks: Sequence[Task], history: History, worked: Worked, looked: Looked) -> Generator[Slot, None, None]:
    """Slots of all tasks, in order of time: several of one time follow each other. `looked`: called while a process
    that is waited for goes on without any. Raises TelemetryUnavailable, NoRoom, WorkerDied."""
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        streams = []
        for task in tasks:
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(task, history, theirs), daemon=True)
            process.start()
            theirs.close()
            stack.callback(_end, process, ours)
            streams.append(_received(ours, worked, looked))
        yield from heapq.merge(*streams, key=_now)


def _end(process: Any, ours: Connection) -> None:
    ours.close()
    process.join(0)
    if process.is_alive():
        process.terminate()
    process.join(_JOIN_SECONDS)
    if process.exitcode is not None:  # else its disk hangs, or it waits for a processor; it ends with this one
        process.close()


def _received(pipe: Connection, worked: Worked, looked: Looked) -> Iterator[Slot]:
    while True:
        try:
            kind, content = pipe.recv()
        except EOFError:
            raise WorkerDied("a process of the backtest has ended in the middle; was it short of memory?") from None
        if kind == "done":
            worked.add(content)
            return
        if kind == "goes on":
            looked()
            continue
        if kind == "unavailable":
            raise TelemetryUnavailable(content)
        if kind == "no_room":
            raise NoRoom(f"the disk is full ({content}); make room, then do it again")
        if kind == "refused":
            raise ValueError(content)
        yield from content


def _saying_so(pipe: Connection) -> Looked:
    """To be called with each step."""
    next_at = monotonic() + _SAYS_SO_SECONDS

    def looked() -> None:
        nonlocal next_at
        if monotonic() >= next_at:
            pipe.send(("goes on", None))
            next_at = monotonic() + _SAYS_SO_SECONDS

    return looked


def _work(task: Task, history: History, pipe: Connection) -> None:
    """In the other process."""
    end_with_parent()
    give_way(_NICER)
    worked = Worked()
    with ExitStack() as stack:
        try:
            store = history.open(stack)
            some: list[Slot] = []
            looked = _saying_so(pipe)
            for slot in replay(task, task.lanes(), store, worked, looked):
                looked()
                some.append(slot)
                if len(some) >= _SLOTS_AT_ONCE:
                    pipe.send(("slots", some))
                    some = []
            pipe.send(("slots", some))
            pipe.send(("done", worked))
        except TelemetryUnavailable as error:
            pipe.send(("no_room" if is_want_of_room(error) else "unavailable", str(error)))
        except ValueError as error:
            pipe.send(("refused", str(error)))
        except BrokenPipeError:
            return  # whoever asked has gone: nobody wants the rest
