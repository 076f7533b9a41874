"""Keeps programs running: starts, watches, starts again, ends them in the reverse order."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
_STEADY_SECONDS = 30.0
"""Who ran that long begins again with the shortest pause."""


@dataclass(frozen=True)
class Program:
    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    restarts: bool = True
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 15.0


class ProgramFailed(OSError):
    """A program ended that was to go on, or to succeed; the text holds the end of its log."""


@dataclass
class _Running:
    program: Program
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    next_start: float = 0.0
    pause: float = _SHORTEST_PAUSE
    restarts: int = field(default=0)


class Supervisor:
    """From one thread. `with Supervisor() as supervisor:` ends everything at the end, also when this process dies."""

    def __init__(self) -> None:
        self._running: dict[str, _Running] = {}
        self._reaper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Supervisor:
        self._reaper = subprocess.Popen(
            [sys.executable, "-S", "-m", "services.stack.reaper"],
            stdin=subprocess.PIPE,
            start_new_session=True,
            cwd=Path(__file__).parents[2],
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._reaper is not None and self._reaper.stdin is not None:
            with suppress(BrokenPipeError):
                self._reaper.stdin.close()
            self._reaper.wait(15)

    def start(self, program: Program) -> None:
        self._running[program.name] = one = _Running(program)
        self._launch(one, time.monotonic())

    def run(self, program: Program, seconds: float) -> None:
        """To its end. Raises ProgramFailed where that is not success, or does not come in time."""
        process = self._popen(program)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise ProgramFailed(f"{program.name} did not end within {seconds:.0f} s{tail(program.log)}") from None
        finally:
            self._tell("-", process.pid)
        if code != 0:
            raise ProgramFailed(f"{program.name} ended with {code}{tail(program.log)}")

    def watch(self) -> list[str]:
        """Start again what has ended and whose pause is over; which ended since the last look."""
        now = time.monotonic()
        ended = []
        for one in self._running.values():
            if one.process is not None and one.process.poll() is not None:
                ended.append(f"{one.program.name} ended with {one.process.returncode}")
                self._tell("-", one.process.pid)
                self._plan_restart(one, now)
            elif one.process is None and now >= one.next_start and one.program.restarts:
                one.restarts += 1
                self._launch(one, now)
        return ended

    def is_running(self, name: str) -> bool:
        one = self._running.get(name)
        return one is not None and one.process is not None and one.process.poll() is None

    def tell(self, name: str, what: signal.Signals) -> None:
        """A signal to a program; nothing where it does not run just now."""
        one = self._running.get(name)
        if one is not None and one.process is not None:
            one.process.send_signal(what)

    def pids(self) -> dict[str, int]:
        return {name: one.process.pid for name, one in self._running.items() if one.process is not None}

    def stop(self) -> None:
        """End everything, the last started first."""
        for one in reversed(self._running.values()):
            if one.process is not None:
                _end(one.process, one.program)
                self._tell("-", one.process.pid)
        self._running.clear()

    def _launch(self, one: _Running, now: float) -> None:
        one.process = self._popen(one.program)
        one.started = now

    def _plan_restart(self, one: _Running, now: float) -> None:
        steady = now - one.started >= _STEADY_SECONDS
        one.pause = _SHORTEST_PAUSE if steady else min(one.pause * 2, _LONGEST_PAUSE)
        one.process, one.next_start = None, now + one.pause

    def _popen(self, program: Program) -> subprocess.Popen[bytes]:
        with program.log.open("ab") as log:
            process = subprocess.Popen(
                program.argv,
                env=dict(program.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=program.user,
                cwd="/",
                start_new_session=True,  # ctrl-C in a terminal is for us alone: we end them in order
            )
        self._tell("+", process.pid)
        return process

    def _tell(self, what: str, pid: int) -> None:
        if self._reaper is not None and self._reaper.stdin is not None and not self._reaper.stdin.closed:
            # Without it everything still ends with us, but for kill -9.
            with suppress(BrokenPipeError):
                self._reaper.stdin.write(f"{what}{pid}\n".encode())
                self._reaper.stdin.flush()


def tail(log: Path, size: int = 1500) -> str:
    """The end of a log, for messages."""
    if not log.exists() or not log.stat().st_size:
        return f"; its log {log} is empty"
    return f"; its log {log} ends:\n{log.read_text(errors='replace')[-size:].strip()}"


def _end(process: subprocess.Popen[bytes], program: Program) -> None:
    process.send_signal(program.stop_signal)
    try:
        process.wait(program.stop_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
