"""Database files that cannot be read any more are moved aside, never deleted: somebody may want to look."""

from __future__ import annotations

from pathlib import Path

_MARK = ".damaged-"


def set_aside(path: Path) -> Path:
    """Rename the file and its log files; returns the new name of the file."""
    number = 1
    while (aside := path.with_name(f"{path.stem}{_MARK}{number}{path.suffix}")).exists():
        number += 1
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside


def files_set_aside(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{_MARK}*.db"))
