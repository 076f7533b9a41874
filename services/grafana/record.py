"""How the annotations fare, in a small file: whoever asks, in whatever process, sees it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

_FILE = "grafana-annotations.json"


@dataclass(frozen=True)
class Record:
    tried_at: str
    """ISO 8601, UTC, as the other times."""
    succeeded_at: str = ""
    failures: int = 0
    """In a row; 0 after a round that went well."""
    error: str = ""
    written: int = 0
    """By all rounds of this process."""
    waiting: int = 0
    """Episodes that this round had no more room for."""

    def in_words(self) -> str:
        since = f"last success {self.succeeded_at}" if self.succeeded_at else "no success yet"
        if self.failures:
            return f"failing, {self.failures} times in a row ({since}): {self.error}"
        waiting = f", {self.waiting} still to be written" if self.waiting else ""
        refused = f"; one was refused: {self.error}" if self.error else ""
        return f"up to date at {self.succeeded_at}{waiting}{refused}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def read(data_dir: Path) -> Record | None:
    """None: nothing was ever sent from this data folder, or what is there cannot be read."""
    try:
        return Record(**json.loads((data_dir / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write(data_dir: Path, record: Record) -> None:
    draft = data_dir / f".{_FILE}.new"
    draft.write_text(json.dumps(asdict(record)), encoding="utf-8")
    draft.replace(data_dir / _FILE)


def words_of(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
