"""Passwords (argon2id) and random secrets. A password is slow to check; a random token needs only one hash."""

from __future__ import annotations

import hashlib
import secrets
import threading
from functools import cache

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

# OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
_hasher = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19_456, parallelism=1),))
# Forty request threads checking passwords at once would take a gigabyte.
_at_once = threading.BoundedSemaphore(4)


def hash_password(password: str) -> str:
    with _at_once:
        return _hasher.hash(password)


def password_matches(password: str, stored: str | None) -> bool:
    """Whether the password fits. `stored` is None for an unknown login: the same work is done, and the answer is no."""
    with _at_once:
        matches = _hasher.verify(password, stored if stored is not None else _nobody())
    return matches and stored is not None


@cache
def _nobody() -> str:
    """The hash of a password that nobody knows."""
    return _hasher.hash(secrets.token_urlsafe(32))


def random_password() -> str:
    """Four groups that survive being read aloud: no 0/O, no 1/l/I."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(5)) for _ in range(4))


def random_secret() -> str:
    return secrets.token_urlsafe(32)


def fingerprint(secret: str) -> str:
    """What is stored instead of a random secret. It has 256 bits, so there is nothing to guess and no need for salt."""
    return hashlib.sha256(secret.encode()).hexdigest()
