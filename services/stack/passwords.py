"""Mosquitto's password file: one line per account, `name:$7$ITERATIONS$SALT$HASH` (PBKDF2 with SHA-512). Pure.

The same lines that `mosquitto_passwd` of 2.0 writes (its `pw_sha512_pbkdf2`: 12 bytes of salt, 64 of hash, base64), so
that no password has to stand anywhere in the clear and the broker needs no script to start.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

ITERATIONS = 101
"""Mosquitto's own number. Our passwords are 40 random characters, which no number of tries finds; the broker hashes at
every connect, and ten thousand devices come back at once after a restart."""
SALT_BYTES = 12
_HASH_BYTES = 64


def hashed(password: str, salt: bytes, *, iterations: int = ITERATIONS) -> str:
    """The part of a line behind the name."""
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations, _HASH_BYTES)
    return f"$7${iterations}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


def fits(password: str, line: str) -> bool:
    """Whether the password is that of `$7$…`. Raises ValueError for another kind of hash."""
    parts = line.split("$")
    if len(parts) != 5 or parts[1] != "7":
        raise ValueError(f"expected a hash $7$ITERATIONS$SALT$HASH, found {line[:12]!r}…")
    again = hashed(password, base64.b64decode(parts[3]), iterations=int(parts[2]))
    return hmac.compare_digest(again, line)


def read(text: str) -> dict[str, str]:
    """Hash by account, in the file's order. Raises ValueError that names the line."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, colon, rest = line.partition(":")
        if line.strip() and not (name and colon and rest):
            raise ValueError(f"line {number} of the password file: expected NAME:HASH, found {line[:40]!r}")
        if line.strip():
            found[name] = rest
    return found


def written(accounts: Mapping[str, str]) -> str:
    """The file of these accounts."""
    return "".join(f"{name}:{line}\n" for name, line in accounts.items())


def checked_name(name: str) -> str:
    """An account name that can stand in the file and in a topic. Raises ValueError."""
    bad = sorted(set(name) & set("+#/:$ \t\r\n\0")) or ([name[:1]] if not name.isprintable() else [])
    if not name or bad or len(name) > 128:
        raise ValueError(
            f"expected the name that the device uses in its topics, 1 to 128 characters without + # / : $ and spaces, "
            f"found {name!r}"
        )
    return name
