"""`python -m services.stack.reaper`: ends the stack's programs when the stack itself was killed.

It hears process ids on its stdin, `+PID` when one starts and `-PID` when one has ended. When stdin closes, which is
also what happens when the stack is killed with -9, it ends what is left, the youngest first.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

_PATIENCE_SECONDS = 10.0


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends with its stdin
    alive: list[int] = []
    for line in sys.stdin:
        pid = int(line[1:])
        if line.startswith("+"):
            alive.append(pid)
        elif pid in alive:
            alive.remove(pid)
    end(alive[::-1])


def end(pids: list[int]) -> None:
    """SIGINT, which every program here takes for an orderly end, and SIGKILL for who does not end."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while pids and time.monotonic() < deadline:
        pids = [pid for pid in pids if Path(f"/proc/{pid}").exists() and not _is_dead(pid)]
        time.sleep(0.1)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


if __name__ == "__main__":
    main()
