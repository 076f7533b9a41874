"""Who may do what, and how long a door stays open. Pure: no database, no clock, no web."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.scope import Scope as Scope

ANYWHERE = "*"
"""The site of a grant that holds at every site."""


class Role(StrEnum):
    """What somebody may do. Each role includes the ones named in `INCLUDES`; gateways are programs, never people."""

    ADMIN = "admin"
    ENGINEER = "engineer"
    CREW = "crew"
    GATEWAY = "gateway"


INCLUDES: dict[Role, frozenset[Role]] = {
    Role.ADMIN: frozenset({Role.ADMIN, Role.ENGINEER, Role.CREW}),
    Role.ENGINEER: frozenset({Role.ENGINEER, Role.CREW}),
    Role.CREW: frozenset({Role.CREW}),
    Role.GATEWAY: frozenset({Role.GATEWAY}),
}
PEOPLE_ROLES = (Role.ADMIN, Role.ENGINEER, Role.CREW)


@dataclass(frozen=True)
class Grant:
    """One role at one site, or at every site (`ANYWHERE`)."""

    site: str
    role: Role


def scope_of(grants: Iterable[Grant], role: Role) -> Scope:
    """The sites at which these grants give `role`: None for every site, an empty set for none."""
    sites = frozenset(grant.site for grant in grants if role in INCLUDES[grant.role])
    return None if ANYWHERE in sites else sites


def may(grants: Iterable[Grant], role: Role, site: str) -> bool:
    """Whether these grants give `role` at a site."""
    return covers(scope_of(grants, role), site)


def token_login(name: str) -> str:
    """What stands as the one who did it where a program did, by the name of its token."""
    return f"token:{name}"[:64]


def covers(scope: Scope, site: str) -> bool:
    return scope is None or site in scope


# --- sessions -------------------------------------------------------------------------------------------------------

SESSION_IDLE = timedelta(hours=12)
"""A session nobody uses ends after this; each use pushes the end back."""
SESSION_LONGEST = timedelta(days=30)
"""However busy, a session ends after this."""
_RENEW_AFTER = timedelta(minutes=10)  # a write per request would cost more than these minutes are worth


def session_end(created_at: datetime, now: datetime) -> datetime:
    """When a session used now ends."""
    return min(now + SESSION_IDLE, created_at + SESSION_LONGEST)


def session_renewal(created_at: datetime, expires_at: datetime, now: datetime) -> datetime | None:
    """The new end of a session used now, or None when the stored one is near enough."""
    end = session_end(created_at, now)
    return end if end - expires_at >= _RENEW_AFTER else None


# --- guessing passwords ---------------------------------------------------------------------------------------------

_FREE_FAILURES = {"login": 5.0, "address": 30.0}  # a whole office may sit behind one address
_FORGET_ONE_EVERY = {"login": timedelta(minutes=3), "address": timedelta(minutes=1)}
_LONGEST_WAIT = timedelta(minutes=1)  # short, so that a stranger cannot lock somebody out for long
FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(frozen=True)
class Failures:
    """Failed sign-ins under one key ("login:…" or "address:…"), as they stood at `at`."""

    key: str
    count: float
    at: datetime

    def faded(self, now: datetime) -> Failures:
        """The same failures now: old ones are forgotten one by one."""
        forgotten = (now - self.at) / _FORGET_ONE_EVERY[self._kind]
        return Failures(self.key, max(0.0, self.count - max(0.0, forgotten)), now)

    def wait(self, now: datetime) -> timedelta:
        """How long the next attempt must still wait; zero when it may come now."""
        excess = self.faded(now).count - _FREE_FAILURES[self._kind]
        if excess < 0:
            return timedelta(0)
        pause = min(_LONGEST_WAIT, timedelta(seconds=2.0 ** min(excess, 10)))
        return max(timedelta(0), self.at + pause - now)

    @property
    def _kind(self) -> str:
        return self.key.partition(":")[0]


# --- what people choose ---------------------------------------------------------------------------------------------

SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 200


def password_mistake(password: str, login: str) -> str | None:
    """What is wrong with a new password, for the person who chose it; None when it will do."""
    if len(password) < SHORTEST_PASSWORD:
        return f"A password has at least {SHORTEST_PASSWORD} characters."
    if len(password) > LONGEST_PASSWORD:
        return f"A password has at most {LONGEST_PASSWORD} characters."
    if len(set(password)) < 4 or login.casefold() in password.casefold():
        return "This password is easy to guess: use several words, and not the login."
    return None


def login_mistake(login: str) -> str | None:
    """What is wrong with a new login name; None when it will do."""
    if not 2 <= len(login) <= 64:
        return "A login has 2 to 64 characters."
    if login != login.strip() or not all(c.isalnum() or c in "._-@" for c in login):
        return "A login has letters, digits and the characters . _ - @ only."
    return None
