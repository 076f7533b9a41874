"""A folder of backups: how each is called, and which go."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

_NAMED = re.compile(r"courtyard-\d{8}T\d{6}Z\.zip")


def in_folder(folder: Path, now: datetime) -> Path:
    return folder / f"courtyard-{now:%Y%m%dT%H%M%SZ}.zip"


def remove_older(folder: Path, keep: int) -> list[Path]:
    """Remove all but the newest `keep` of those that were named here; other files are nobody's business."""
    named = sorted(file for file in folder.iterdir() if _NAMED.fullmatch(file.name))
    gone = named[:-keep]
    for file in gone:
        file.unlink()
    return gone
