"""Programs are kept running, ended in order, and never outlive the stack, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from services.stack.supervisor import Program, ProgramFailed, Supervisor
from tests.stack.running import born


def program(folder: Path, name: str, code: str, *, restarts: bool = True, stop_seconds: float = 5) -> Program:
    return Program(
        name,
        (sys.executable, "-S", "-c", code),
        {"PATH": os.environ["PATH"]},
        folder / f"{name}.log",
        restarts,
        stop_seconds=stop_seconds,
    )


def until(true: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_what_ends_by_itself_is_started_again_and_said(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        supervisor.start(program(tmp_path, "pump", "import time; time.sleep(60)"))
        first = supervisor.pids()["pump"]
        os.kill(first, signal.SIGKILL)
        said: list[str] = []
        until(lambda: said.extend(supervisor.watch()) or said)
        assert said == ["pump ended with -9"]
        assert not supervisor.is_running("pump"), "not at once: who fails at the start would spin"
        until(lambda: supervisor.watch() or supervisor.is_running("pump"))
        assert supervisor.pids()["pump"] != first


def test_who_fails_again_and_again_waits_longer_each_time(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        began = time.monotonic()
        supervisor.start(program(tmp_path, "pump", "raise SystemExit(3)"))
        ends = 0
        while ends < 3:
            ends += len(supervisor.watch())
            assert time.monotonic() < began + 60
            time.sleep(0.02)
        assert time.monotonic() - began > 1 + 2, "pauses of one and two seconds between three starts"


def test_what_runs_once_must_succeed_in_time(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        supervisor.run(program(tmp_path, "fine", "print('done')"), 60)
        with pytest.raises(ProgramFailed, match=r"(?s)wrong ended with 4.*no such table"):
            supervisor.run(program(tmp_path, "wrong", "print('no such table'); raise SystemExit(4)"), 60)
        with pytest.raises(ProgramFailed, match=r"slow did not end within 0 s.*is empty"):
            supervisor.run(program(tmp_path, "slow", "import time; time.sleep(60)"), 0.3)


def test_everything_ends_with_it_the_last_started_first(tmp_path: Path) -> None:
    note = tmp_path / "order"
    code = "import signal, sys, time, pathlib\n"
    code += "signal.signal(signal.SIGTERM, lambda *_: (open({note!r}, 'a').write({name!r} + ' '), sys.exit(0)))\n"
    code += "print('here', flush=True)\ntime.sleep(60)"
    with Supervisor() as supervisor:
        for name in ("first", "second"):
            supervisor.start(program(tmp_path, name, code.format(note=str(note), name=name), stop_seconds=60))
            until(lambda name=name: (tmp_path / f"{name}.log").read_text())
        born_at = {pid: born(pid) for pid in supervisor.pids().values()}
    assert note.read_text() == "second first "
    assert all(born_at.values()) and not any(born(pid) == at for pid, at in born_at.items())


def test_who_does_not_listen_is_killed(tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(60)"
    )
    with Supervisor() as supervisor:
        supervisor.start(program(tmp_path, "deaf", deaf, stop_seconds=0.2))
        until(lambda: (tmp_path / "deaf.log").read_text())
        pid = supervisor.pids()["deaf"]
        born_at = born(pid)
    assert born_at and born(pid) != born_at


def test_nothing_outlives_a_stack_that_was_killed(tmp_path: Path) -> None:
    """kill -9 runs none of our code; the reaper hears its pipe close."""
    code = f"""
import sys, time
from pathlib import Path
from services.stack.supervisor import Program, Supervisor
with Supervisor() as supervisor:
    sleeping = (sys.executable, "-S", "-c", "import time; time.sleep(60)")
    supervisor.start(Program("pump", sleeping, {{}}, Path({str(tmp_path / "log")!r})))
    print(supervisor.pids()["pump"], flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as stack:
        assert stack.stdout is not None
        child = int(stack.stdout.readline())
        assert is_alive(child)
        stack.kill()
    until(lambda: not is_alive(child))


def test_without_its_reaper_it_still_ends_everything(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        for name in ("pump", "gate", "lamp"):
            supervisor.start(program(tmp_path, name, "import time; time.sleep(60)"))
        born_at = {pid: born(pid) for pid in supervisor.pids().values()}
        assert supervisor._reaper is not None
        supervisor._reaper.kill()
        supervisor._reaper.wait()
        assert supervisor.watch() == []
    assert all(born_at.values()) and not any(born(pid) == at for pid, at in born_at.items())
