"""A data folder has one owner, and a dead one leaves it free."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.folder import FolderInUse, RunningNote, claim, describe, running

_HOLD = """
import sys
from contextlib import ExitStack
from pathlib import Path
from services.folder import claim
with ExitStack() as stack:
    claim(stack, Path(sys.argv[1]))
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_owner_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with ExitStack() as stack, pytest.raises(FolderInUse, match=f"process {process.pid}; stop it"):
            claim(stack, tmp_path)
        found = running(tmp_path)
        assert found is not None
        assert found.pid == process.pid
        process.communicate("")
    assert running(tmp_path) is None


def test_a_killed_owner_leaves_the_folder_free(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    with ExitStack() as stack:
        claim(stack, tmp_path)


def test_the_owner_says_how_it_is_reached(tmp_path: Path) -> None:
    with ExitStack() as stack:
        claim(stack, tmp_path / "new")
        note = RunningNote(pid=os.getpid(), http="127.0.0.1:9000", mqtt="mqtt://127.0.0.1:1884")
        describe(tmp_path / "new", note)
        assert running(tmp_path / "new") == note
    assert running(tmp_path / "new") is None
    assert running(tmp_path / "never") is None
