"""What an archive says about itself. It is the last thing written and the first thing read. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

import msgspec

FORMAT: Final = 1
"""Raised when an older Courtyard could no longer read what this one writes."""
NAME: Final = "manifest.json"
_NO_MANIFEST = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class BackupUnusable(ValueError):
    """The file is no backup, is damaged, or was made by a newer Courtyard; its text says which, and what to do."""


class Member(msgspec.Struct, frozen=True):
    """One file of the archive."""

    bytes: int
    sha256: str


class DatabasePart(msgspec.Struct, frozen=True):
    """The SQL database: one member `sql/<table>.jsonl` for each table."""

    engine: str
    """Which one it came from: sqlite or postgresql. Either can take it."""
    revision: str
    rows: dict[str, int]


class JournalPart(msgspec.Struct, frozen=True):
    """A journal of a gateway, or another small database file of the data folder."""

    name: str
    """Its path in the data folder."""
    gateway: str = ""
    """Whose journal it is, where services know it by its numbers."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    version: str
    """Of the Courtyard that made it."""
    made_at: datetime
    database: DatabasePart | None = None
    journals: list[JournalPart] = []
    telemetry: bool = False
    secrets: bool = False
    sites: list[str] = []
    left_out: list[str] = []
    """What was there and is not in the archive, in words."""
    members: dict[str, Member]


def encode(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1)


def decode(text: bytes) -> Manifest:
    """Raises BackupUnusable."""
    try:
        head = msgspec.json.decode(text, type=_Head)
    except _NO_MANIFEST as error:
        raise BackupUnusable(
            f"its {NAME} is none of Courtyard's ({error}); expected a file of `courtyard backup`"
        ) from error
    if head.format > FORMAT:
        raise BackupUnusable(
            f"it was made by Courtyard {head.version} in format {head.format}, and this one reads up to {FORMAT}; "
            f"install Courtyard {head.version} or newer"
        )
    try:
        return msgspec.json.decode(text, type=Manifest)
    except _NO_MANIFEST as error:
        raise BackupUnusable(f"its {NAME} cannot be read ({error}); take another backup") from error


class _Head(msgspec.Struct, frozen=True):
    """What every format says."""

    format: int
    version: str


def check_revision(manifest: Manifest, known: Collection[str], version: str) -> None:
    """Refuse a database that this Courtyard has never heard of. Raises BackupUnusable."""
    if manifest.database is not None and manifest.database.revision not in known:
        raise BackupUnusable(
            f"its database has revision {manifest.database.revision}, which Courtyard {version} does not know; it was "
            f"made by Courtyard {manifest.version}: install that version or a newer one"
        )


def missing_members(manifest: Manifest, found: Mapping[str, int]) -> list[str]:
    """Names in the manifest that the archive does not have."""
    return sorted(name for name in manifest.members if name not in found)
