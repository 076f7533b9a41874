"""A backup that somebody has tampered with: it may be refused, and must never write elsewhere or end in a traceback."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services import migrations
from services.backup import sql
from services.backup.manifest import BackupUnusable
from services.backup.restore import check, restore
from services.settings import Settings

NOW = datetime(2026, 7, 1, tzinfo=UTC)


class Silent:
    def step(self, what: str, total: int) -> Callable[[int], None]:
        return lambda done: None


def archive(
    file: Path, members: Mapping[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED, **more: object
) -> Path:
    """Made with every checksum in order, as who tampers would."""
    said = {name: {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()} for name, body in members.items()}
    manifest = {"format": 1, "version": "0.1.0", "made_at": NOW.isoformat(), "members": said, **more}
    with zipfile.ZipFile(file, "w", compression) as made:
        for name, body in members.items():
            made.writestr(name, body)
        made.writestr("manifest.json", json.dumps(manifest))
    return file


def restored(file: Path, folder: Path) -> None:
    restore(file, Settings(data_dir=folder), NOW, Silent(), replace=False)


@pytest.mark.parametrize("below", ["files/", "config/", "config/profiles/", "files/./", "config/a/./"])
def test_a_member_with_two_slashes_does_not_lead_to_the_root(tmp_path: Path, below: str) -> None:
    outside = tmp_path / "outside.json"
    file = archive(tmp_path / "b.zip", {f"{below}{outside}": b"{}"})
    with pytest.raises(BackupUnusable, match="leads elsewhere"):
        restored(file, tmp_path / "new")
    assert not outside.exists()


def test_a_link_in_it_becomes_a_plain_file(tmp_path: Path) -> None:
    target = tmp_path / "outside"
    target.mkdir()
    body = str(target).encode()
    file = archive(tmp_path / "b.zip", {"files/a.json": body, "config/settings.json": b"{}"})
    with zipfile.ZipFile(file) as read:
        parts = {info.filename: read.read(info) for info in read.infolist()}
    with zipfile.ZipFile(file, "w") as made:
        for name, content in parts.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o120777 if name == "files/a.json" else 0o104777) << 16  # a link; and set-user-id
            made.writestr(info, content)
    restored(file, tmp_path / "new")
    put = tmp_path / "new" / "a.json"
    assert not put.is_symlink()
    assert put.read_bytes() == body
    assert (tmp_path / "new" / "restored" / "settings.json").stat().st_mode & 0o7777 == 0o600


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_what_courtyard_writes_is_unpacked(tmp_path: Path, compression: int) -> None:
    file = archive(tmp_path / "b.zip", {"files/a.json": b"{}" * 999}, compression=compression)
    with pytest.raises(BackupUnusable, match="is packed otherwise"):
        check(file, Silent())


def test_a_file_full_of_damage_is_refused_in_words(tmp_path: Path) -> None:
    """Cut at many places, and with bytes changed all over it."""
    whole = archive(tmp_path / "b.zip", {"files/a.json": b"{}", "config/settings.json": b'{"a": 1}' * 50}).read_bytes()
    directory = whole.rindex(b"PK\x05\x06")
    (begins,) = struct.unpack("<I", whole[directory + 16 : directory + 20])
    hostile = [whole[:cut] for cut in range(0, len(whole), 41)]
    for at in [*range(60), *range(begins, len(whole))]:
        hostile += [whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :] for flip in (0x01, 0xFF)]
    file = tmp_path / "hostile.zip"
    for content in hostile:
        file.write_bytes(content)
        with suppress(BackupUnusable):
            check(file, Silent())


@pytest.mark.parametrize("manifest", [b"[" * 100_000, b'{"format":1,"version":"1","x":' + b"[" * 50_000, b"", b"\xff"])
def test_a_manifest_that_is_none(tmp_path: Path, manifest: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as made:
        made.writestr("manifest.json", manifest)
    with pytest.raises(BackupUnusable, match=r"manifest\.json"):
        check(tmp_path / "b.zip", Silent())


@pytest.mark.parametrize(
    "lines",
    [
        b'5\n["a"]\n',
        b'[["id"]]\n[1]\n',
        b"",
        b'["id"]\n' + b"[" * 100_000 + b"\n",
        b'["id"]\n7\n',
        b'["id"]\n{"id": 1}\n',
        b'["id","at"]\n["x",5]\n',
        b'["id"]\n["\xff"]\n',
        b'["id"]\n[{"a":1}]\n',
        b'["id"]\n["' + b"x" * (sql.LONGEST_LINE + 10) + b'"]\n',
    ],
)
def test_rows_that_are_none(tmp_path: Path, lines: bytes) -> None:
    revision = migrations.newest()
    database = {"engine": "sqlite", "revision": revision, "rows": {"audit": 1}}
    file = archive(tmp_path / "b.zip", {"sql/audit.jsonl": lines}, database=database)
    with pytest.raises(BackupUnusable, match="table audit"):
        restored(file, tmp_path / "new")
    assert not (tmp_path / "new" / "courtyard.db").exists()


def test_a_bomb_is_measured_by_what_it_says_of_itself(tmp_path: Path) -> None:
    """Much smaller than what it unpacks to: unpacking ends where the manifest's own size does."""
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as made:
        with made.open("files/a.json", "w") as into:
            for _ in range(16):
                into.write(bytes(1024**2))
        manifest = {"format": 1, "version": "0.1.0", "made_at": NOW.isoformat()}
        small = {"files/a.json": {"bytes": 10, "sha256": "0" * 64}}
        made.writestr("manifest.json", json.dumps({**manifest, "members": small}))
    file = tmp_path / "b.zip"
    file.write_bytes(bomb.getvalue())
    unpacked: list[int] = []

    class Counting:
        def step(self, what: str, total: int) -> Callable[[int], None]:
            return unpacked.append

    with pytest.raises(BackupUnusable, match="is damaged"):
        check(file, Counting())
    assert sum(unpacked) <= 2 * 1024**2
