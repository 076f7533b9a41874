"""What decoding remembers is written with the batch that changed it, or not at all."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gateway.journal import Journal, JournalFull, NewEntry, open_journal
from gateway.journal.memory import LARGEST_VALUE, MemoryRows
from gateway.reading import Event, Reading

NOW = 1_800_000_000_000


def opened(folder: Path, **more: int) -> Journal:
    journal = Journal(folder / "journal.db", consumers=("services",), **more)
    journal.start()
    return journal


def remembered(folder: Path) -> dict[tuple[str, ...], object]:
    journal = opened(folder)
    try:
        return dict(journal.memory)
    finally:
        journal.close()


def event(n: int, size: int = 10) -> NewEntry:
    return NewEntry(NOW + n, n, [Reading("d", "", NOW + n, NOW + n, "b", {"t": "x" * size}, (Event("e"),))])


def test_values_come_back_after_a_restart_the_last_change_last(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append([event(1)], memory={("a", "1"): [1.5, None, {"x": b"\x00"}], ("a", "2"): "word"})
    journal.append([], memory={("a", "1"): {"k": [1]}, ("a", "2"): "word", ("a", "3"): 0})
    journal.append([], memory={("a", "2"): None, ("a", "1"): 7})
    journal.close()
    journal = opened(tmp_path)
    assert journal.memory == [(("a", "3"), 0), (("a", "1"), 7)]
    journal.close()


def test_what_the_journal_refuses_is_not_remembered_either(tmp_path: Path) -> None:
    journal = opened(tmp_path, max_bytes=2000)
    journal.append([event(1)], memory={("a", "1"): 1})
    with pytest.raises(JournalFull):
        journal.append([event(2, 5000)], memory={("a", "1"): 2})
    journal.close()
    assert remembered(tmp_path) == {("a", "1"): 1}


def test_a_damaged_row_is_dropped_and_the_others_stay(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append([], memory={("a", str(n)): [n] for n in range(5)})
    journal.close()
    db = sqlite3.connect(tmp_path / "journal.db")
    db.execute("UPDATE memory SET value = x'c1' WHERE rowid = 2")
    db.execute("UPDATE memory SET value = x'9107' WHERE rowid = 4")  # readable, and not what was written
    db.commit()
    db.close()
    assert remembered(tmp_path) == {("a", "0"): [0], ("a", "2"): [2], ("a", "4"): [4]}
    assert len(remembered(tmp_path)) == 3


def test_what_cannot_be_stored_costs_nothing_else(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append([event(1)], memory={("a", "1"): object(), ("a", "2"): "y" * (LARGEST_VALUE + 1), ("a", "3"): 3})
    journal.close()
    journal = opened(tmp_path)
    assert dict(journal.memory) == {("a", "3"): 3}
    reader = journal.reader()
    assert len(reader.after(0)) == 1
    reader.close()
    journal.close()


def test_all_rows_together_are_bounded(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.close()
    db = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    rows = MemoryRows(db, most_bytes=5000)
    for n in range(20):
        rows.write({("a", str(n)): "z" * 1000, ("a", "0"): str(n) * 1000})
    kept = {key for key, _ in rows.load()}
    db.close()
    assert ("a", "0") in kept, "it changed last"
    assert ("a", "19") in kept
    assert ("a", "1") not in kept
    assert 3 <= len(kept) <= 5


def test_a_repaired_journal_still_remembers(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append([event(n, 3000) for n in range(40)], memory={("a", "1"): 1})
    journal.close()
    path = tmp_path / "journal.db"
    db = sqlite3.connect(path)
    (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'quarantine'").fetchone()
    db.close()
    raw = bytearray(path.read_bytes())
    raw[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    path.write_bytes(raw)
    journal = open_journal(path, consumers=("services",), max_bytes=10**8)
    assert dict(journal.memory) == {("a", "1"): 1}
    journal.close()
