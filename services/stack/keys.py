"""The folder of secrets: makes what is missing, keeps what is there, replaces what is asked for."""

from __future__ import annotations

import fcntl
import os
import secrets
import string
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from services.stack import passwords
from services.stack.catalogue import CATALOGUE, MOSQUITTO, OWNERS, PASSWORDS, TLS_FILES, Secret, SecretFile, find

_LETTERS = string.ascii_letters + string.digits
_LENGTH = 40
_MAY_BE_THERE = frozenset({*OWNERS, *TLS_FILES, ".gitignore"})


class Done(StrEnum):
    MADE = "made"
    KEPT = "kept"
    REPLACED = "replaced"


class Outcome(NamedTuple):
    secret: Secret
    done: Done


class HalfThere(ValueError):
    """Files that tell one password to two programs, and only one of them is there."""


def word() -> str:
    """238 bits, in letters that need no quoting in a URL, a shell or a YAML file."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder, there, closed to others, and written by nobody else meanwhile: of two that make the same secret at
    once each would leave a half. Raises ValueError for a folder that is open because it is for something else."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    others = sorted({entry.name for entry in folder.iterdir()} - _MAY_BE_THERE)
    if others and folder.stat().st_mode & 0o077:
        raise ValueError(
            f"{folder} is open to others and holds other things ({', '.join(others[:3])}); expected a folder for "
            "secrets alone, which is closed: name another with --dir"
        )
    folder.chmod(0o700)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


class Keys:
    """A folder of secrets. Nothing is ever overwritten but by `rotate`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self) -> Iterator[Outcome]:
        """Make what is missing. Raises HalfThere before anything of that secret is touched."""
        with held(self.folder):
            for secret in CATALOGUE:
                if self._is_there(secret):
                    yield Outcome(secret, Done.KEPT)
                else:
                    self._write(secret)
                    yield Outcome(secret, Done.MADE)

    def rotate(self, name: str) -> Outcome:
        """A new word for one secret. Raises ValueError for a name that is none."""
        secret = find(name)
        with held(self.folder):
            self._write(secret)
        return Outcome(secret, Done.REPLACED)

    def add_device(self, name: str) -> str:
        """An account for one device; its password is told this once. Raises ValueError where it has one."""
        passwords.checked_name(name)
        with held(self.folder):
            if name in self.accounts():
                raise ValueError(f"{name} has an account. Take it away first: courtyard secrets device {name} --remove")
            password = word()
            self._set_account(name, password)
            return password

    def remove_device(self, name: str) -> None:
        """Raises ValueError where there is none, and for the accounts that the stack itself needs."""
        with held(self.folder):
            self._remove(name, self.accounts())

    def _remove(self, name: str, accounts: dict[str, str]) -> None:
        if name in {secret.account for secret in CATALOGUE}:
            raise ValueError(f"{name} is an account of the stack itself")
        if name not in accounts:
            raise ValueError(f"{name} has no account; there are: {', '.join(accounts) or 'none'}")
        del accounts[name]
        self._put(PASSWORDS, passwords.written(accounts))

    def accounts(self) -> dict[str, str]:
        """Hash by account at Mosquitto."""
        path = self.folder / PASSWORDS
        return passwords.read(path.read_text(encoding="utf-8")) if path.exists() else {}

    def read(self, name: str) -> str:
        """What stands in one file."""
        return (self.folder / name).read_text(encoding="utf-8").strip()

    def _is_there(self, secret: Secret) -> bool:
        there = {file.name: (self.folder / file.name).exists() for file in secret.files}
        if secret.account:
            there[PASSWORDS] = secret.account in self.accounts()
        if len(set(there.values())) > 1:
            missing = ", ".join(name for name, found in there.items() if not found)
            raise HalfThere(
                f"{self.folder} holds only a part of {secret.name}: it is missing in {missing}. Bring that back, or "
                f"make it anew: courtyard secrets init --dir {self.folder} --rotate {secret.name}. "
                f"Then, in containers: {secret.after}"
            )
        return all(there.values())

    def _write(self, secret: Secret) -> None:
        new = word()
        if secret.account:
            self._set_account(secret.account, new)
        for file in secret.files:
            self._put(file.name, _text(file, new))

    def _set_account(self, name: str, password: str) -> None:
        line = passwords.hashed(password, secrets.token_bytes(passwords.SALT_BYTES))
        self._put(PASSWORDS, passwords.written(self.accounts() | {name: line}))

    def _put(self, name: str, text: str) -> None:
        """In place: a running container has mounted this very file, and would not see another one in its stead."""
        path = self.folder / name
        handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        _own(path, OWNERS.get(name, MOSQUITTO))


def _text(file: SecretFile, new: str) -> str:
    return file.text.format(word=new) + "\n"


def _own(path: Path, owner: int) -> None:
    """Root gives the file to its reader. Others cannot: then the file is open, and the folder keeps others out."""
    if os.geteuid() == 0:
        os.chown(path, owner, owner)
        path.chmod(0o600)
    else:
        path.chmod(0o644)
