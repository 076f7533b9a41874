"""What a journal file holds, and how a reading is put into it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

import msgspec

from gateway.reading import Millis, Reading

KEEP_FOR_REPLAY = 2000
"""Newest entries that stay although every consumer has them: their tokens recognise redelivered messages."""
_KEEP_MORE = 20_000
_BYTES_PER_KEPT = 4096


def keep_for_replay(max_bytes: int) -> int:
    """How many stay in a journal of this cap: services that were restored from a backup ask for them once more. They
    take a small share of the cap, so that nothing is given up for them."""
    return max(KEEP_FOR_REPLAY, min(_KEEP_MORE, max_bytes // _BYTES_PER_KEPT))


SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  received_at INTEGER NOT NULL,
  kept INTEGER NOT NULL,          -- 1: carries an event or presence, never shed
  readings INTEGER NOT NULL,
  token INTEGER NOT NULL,         -- packet id and digest of the message
  body BLOB NOT NULL              -- msgpack of its readings
);
CREATE TABLE IF NOT EXISTS cursors (consumer TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quarantine (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  received_at INTEGER NOT NULL,
  topic TEXT NOT NULL,
  payload BLOB NOT NULL,
  retained INTEGER NOT NULL,
  code TEXT NOT NULL,
  reason TEXT NOT NULL,
  token INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS memory (  -- what decoding remembers, as msgpack
  key BLOB PRIMARY KEY,
  value BLOB NOT NULL,
  digest INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS listening (  -- stretches of time; each begins with an entry that holds no reading
  seq INTEGER PRIMARY KEY,
  begins INTEGER NOT NULL,
  until INTEGER NOT NULL,
  after TEXT NOT NULL
);
"""
ROW_OVERHEAD = 48
"""Bytes a row costs beside its body: header, columns, its share of the page."""

QUARANTINE_SIZE = f"LENGTH(payload) + LENGTH(CAST(topic || reason AS BLOB)) + {ROW_OVERHEAD}"
"""Bytes a message set aside takes, in SQL: a topic alone can have 64 kB, and a flood of empty payloads adds up."""

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(list[Reading]).decode


class JournalFull(Exception):
    """The cap is reached and nothing may be shed."""


class JournalUnwritable(Exception):
    """The disk refuses: full, read-only, or failing."""


class Entry(NamedTuple):
    """One message's readings, with its place in the order. Without any, time in which the gateway listens begins."""

    seq: int
    readings: list[Reading]


class NewEntry(NamedTuple):
    received_at: Millis
    token: int
    readings: list[Reading]


class NewQuarantine(NamedTuple):
    received_at: Millis
    token: int
    topic: str
    payload: bytes
    retained: bool
    code: str
    reason: str


class Refusal(NamedTuple):
    """Why a message that was set aside still cannot be decoded."""

    id: int
    code: str
    reason: str


class QuarantineEntry(msgspec.Struct, frozen=True):
    """A message that could not be decoded."""

    id: int
    received_at: Millis
    topic: str
    payload: bytes
    retained: bool
    code: str
    """The DecodeError's code, such as "no_binding" or "bad_value"."""
    reason: str
    """The DecodeError in one line."""


class JournalStats(NamedTuple):
    bytes: int
    max_bytes: int
    entries_waiting: dict[str, int]
    shed: dict[str, int]
    quarantine_entries: int
    quarantine_dropped: int = 0
    """Messages that made room for newer ones in the quarantine, ever."""


def connect(path: Path, *, synchronous: str = "FULL") -> sqlite3.Connection:
    """A connection with the journal's settings; autocommit, so that transactions are said aloud."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    return connection


def quarantine_size(item: NewQuarantine) -> int:
    """The same as QUARANTINE_SIZE, of a message not yet written."""
    return len(item.payload) + len(item.topic.encode()) + len(item.reason.encode()) + ROW_OVERHEAD


def is_kept(readings: list[Reading]) -> int:
    for reading in readings:
        if reading.events or reading.presence:
            return 1
    return 0
