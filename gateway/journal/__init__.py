"""The journal: what the gateway has promised the broker to keep."""

from gateway.journal.entries import (
    Entry,
    JournalFull,
    JournalStats,
    JournalUnwritable,
    NewEntry,
    NewQuarantine,
    QuarantineEntry,
    Refusal,
)
from gateway.journal.journal import Journal
from gateway.journal.listening import Stretch
from gateway.journal.reader import JournalReader
from gateway.journal.repair import open_journal

__all__ = [
    "Entry",
    "Journal",
    "JournalFull",
    "JournalReader",
    "JournalStats",
    "JournalUnwritable",
    "NewEntry",
    "NewQuarantine",
    "QuarantineEntry",
    "Refusal",
    "Stretch",
    "open_journal",
]
