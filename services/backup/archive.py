"""The file itself: a zip whose members are hashed as they are written, and checked before they are believed."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from services.backup import manifest as manifests
from services.backup.manifest import BackupUnusable, Manifest, Member

Told = Callable[[int], None]
"""Called with the bytes that have just been dealt with."""
_CHUNK = 1024**2
_LARGEST_MANIFEST = 16 * 1024**2
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError, struct.error)
"""What zipfile raises over a file that is damaged, or made to look so: RuntimeError for what is encrypted."""


class Writer:
    """Writes beside the target under a temporary name, readable by this user alone; `finish` gives it its name.

    Without `finish` nothing of it stays.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.members: dict[str, Member] = {}
        self._path = Path()
        self._file: IO[bytes]
        self._zip: zipfile.ZipFile

    def __enter__(self) -> Self:
        handle, name = tempfile.mkstemp(prefix=f".{self.target.name}.", suffix=".partial", dir=self.target.parent)
        self._path = Path(name)  # mkstemp gives it mode 0600
        self._file = os.fdopen(handle, "w+b")
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED, compresslevel=3)
        return self

    @contextmanager
    def member(self, name: str) -> Iterator[IO[bytes]]:
        """A member to write into; hashed on the way."""
        with self._zip.open(name, "w", force_zip64=True) as into:
            counted = _Counted(into)
            yield counted  # type: ignore[misc]  # only write() is used
        self.members[name] = counted.member()

    def add(self, name: str, content: bytes) -> None:
        with self.member(name) as into:
            into.write(content)

    def add_file(self, name: str, path: Path, told: Told = lambda _: None) -> None:
        with self.member(name) as into, path.open("rb") as source:
            while chunk := source.read(_CHUNK):
                into.write(chunk)
                told(len(chunk))

    def finish(self, manifest: Manifest) -> None:
        """Durable, under its own name. Raises FileExistsError rather than overwrite."""
        self._zip.writestr(manifests.NAME, manifests.encode(manifest))
        self._zip.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        if self.target.exists():
            raise FileExistsError(f"{self.target} has appeared meanwhile and is not overwritten; choose another name")
        self._path.rename(self.target)
        _sync_folder(self.target.parent)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError, ValueError):  # a full disk, most likely; the file goes anyway
            self._zip.close()
        with suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)


class _Counted:
    def __init__(self, into: IO[bytes]) -> None:
        self._into = into
        self._digest = hashlib.sha256()
        self._bytes = 0

    def write(self, content: bytes) -> int:
        self._digest.update(content)
        self._bytes += len(content)
        return self._into.write(content)

    def member(self) -> Member:
        return Member(self._bytes, self._digest.hexdigest())


class Reader:
    """An archive whose manifest could be read. `verify` before anything else of it is used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: Manifest
        self._zip: zipfile.ZipFile

    def __enter__(self) -> Self:
        """Raises BackupUnusable, OSError."""
        try:
            self._zip = zipfile.ZipFile(self.path)
        except (FileNotFoundError, PermissionError, IsADirectoryError):
            raise
        except _DAMAGE as error:
            raise BackupUnusable(
                f"{self.path} is no backup, or was cut short ({error}); expected a file of `courtyard backup`"
            ) from error
        try:
            self.manifest = self._read_manifest()
        except BackupUnusable as error:
            self._zip.close()
            raise BackupUnusable(f"{self.path}: {error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def _read_manifest(self) -> Manifest:
        try:
            info = self._zip.getinfo(manifests.NAME)
        except KeyError as error:
            raise BackupUnusable(
                f"found a zip without {manifests.NAME}; expected a file of `courtyard backup`"
            ) from error
        if info.file_size > _LARGEST_MANIFEST:
            raise BackupUnusable(
                f"its {manifests.NAME} has {info.file_size} bytes; expected a file of `courtyard backup`"
            )
        _check_packing(info)
        try:
            text = self._zip.read(info)
        except _DAMAGE as error:
            raise BackupUnusable(f"its {manifests.NAME} is damaged ({error}); take another backup") from error
        return manifests.decode(text)

    def verify(self, told: Told = lambda _: None) -> None:
        """Every byte against its checksum. Raises BackupUnusable with the member that differs."""
        for info in self._zip.infolist():
            _check_packing(info)
        sizes = {info.filename: info.file_size for info in self._zip.infolist()}
        missing = manifests.missing_members(self.manifest, sizes)
        if missing:
            raise BackupUnusable(f"{self.path}: {', '.join(missing)} is missing; take another backup")
        for name, expected in self.manifest.members.items():
            found = self._hashed(name, expected.bytes, told)
            if found != expected:
                raise BackupUnusable(
                    f"{self.path}: {name} is damaged: found {found.bytes} bytes with SHA-256 {found.sha256[:12]}…, "
                    f"expected {expected.bytes} with {expected.sha256[:12]}…; take another backup"
                )

    def _hashed(self, name: str, most: int, told: Told) -> Member:
        digest, size = hashlib.sha256(), 0
        try:
            with self._zip.open(name) as source:
                while (chunk := source.read(_CHUNK)) and size <= most:
                    digest.update(chunk)
                    size += len(chunk)
                    told(len(chunk))
        except _DAMAGE as error:
            raise BackupUnusable(f"{self.path}: {name} is damaged ({error}); take another backup") from error
        return Member(size, digest.hexdigest())

    def names(self, folder: str) -> list[str]:
        """Members below a folder of the archive, in order."""
        return sorted(name for name in self.manifest.members if name.startswith(f"{folder}/"))

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        with self._zip.open(name) as source:
            yield source

    def read(self, name: str) -> bytes:
        return self._zip.read(name)

    def extract(self, name: str, target: Path, told: Told = lambda _: None) -> None:
        """Into a new file of this user alone. Raises FileExistsError."""
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as into, self._zip.open(name) as source:
            while chunk := source.read(_CHUNK):
                into.write(chunk)
                told(len(chunk))
            into.flush()
            os.fsync(into.fileno())


def _check_packing(info: zipfile.ZipInfo) -> None:
    """Raises BackupUnusable for what no backup is packed with."""
    if info.compress_type not in _PACKED or info.flag_bits & 0x1:
        raise BackupUnusable(f"its {info.filename!r} is packed otherwise than a file of `courtyard backup`")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free
