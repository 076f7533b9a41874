"""The data folder belongs to one running Courtyard at a time: two writers of one journal would lose its order.

`running.json` in it is locked while the product runs, and says how it can be reached.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack
from pathlib import Path

import msgspec

_NAME = "running.json"


class FolderInUse(OSError):
    """Another Courtyard runs on this folder."""


class Damaged(OSError):
    """A database file in the folder cannot be read."""

    def __init__(self, file: Path, problem: str) -> None:
        super().__init__(
            f"{file} is damaged ({problem}); put a backup in its place, or move it away to begin with an empty one"
        )


class RunningNote(msgspec.Struct, frozen=True):
    pid: int
    http: str = ""
    mqtt: str = ""
    mailbox: str = ""
    """Where the demo's notices go."""


def make(folder: Path) -> None:
    """The data folder, for this user only: journal and databases say who went where. One that exists stays as it is."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def claim(stack: ExitStack, folder: Path) -> None:
    """Hold the folder until the stack closes, or the process dies in any way. Raises FolderInUse."""
    make(folder)
    file = stack.enter_context((folder / _NAME).open("a+"))
    os.fchmod(file.fileno(), 0o600)  # the broker's URL in it may hold a password
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        note = _read(folder / _NAME)
        who = f"Courtyard, process {note.pid}" if note else "another Courtyard"
        raise FolderInUse(f"{folder} is in use by {who}; stop it, or choose another folder with --data") from error
    stack.callback(file.truncate, 0)
    describe(folder, RunningNote(pid=os.getpid()))


def describe(folder: Path, note: RunningNote) -> None:
    """Say how the running product can be reached. Only for who holds the folder."""
    # In place: another file in its stead would not carry the lock.
    with (folder / _NAME).open("r+b") as file:
        file.truncate(0)
        file.write(msgspec.json.encode(note))


def running(folder: Path) -> RunningNote | None:
    """What runs on the folder now; None when nothing does."""
    path = folder / _NAME
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path)
    except OSError:
        return None
    return None


def _read(path: Path) -> RunningNote | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunningNote)
    except (OSError, msgspec.MsgspecError):
        return None
