"""Signing in, and looking after people and tokens: store, policy and audit joined, each act in one transaction."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from services.accounts import audit, store
from services.accounts.passwords import hash_password, password_matches, random_password
from services.accounts.policy import (
    ANYWHERE,
    LONGEST_PASSWORD,
    PEOPLE_ROLES,
    Failures,
    Grant,
    Role,
    login_mistake,
    password_mistake,
)
from services.accounts.store import LoginTaken, Person, Token
from services.database import Database

__all__ = ["AccountMistake", "LoginTaken", "Person", "Refused", "SignedIn", "Token"]


class AccountMistake(ValueError):
    """What was asked cannot be; the text says why, for the person who asked."""


@dataclass(frozen=True)
class SignedIn:
    """`secret` goes into the cookie and nowhere else."""

    person: Person
    secret: str
    csrf: str


@dataclass(frozen=True)
class Refused:
    """Not signed in. One reason for an unknown login, a wrong password and a disabled account."""

    wait: timedelta = timedelta(0)
    """Greater than zero: too many failures, nothing was checked; try again after this."""


def first_start(database: Database, now: datetime) -> str | None:
    """Create "admin" with a random password when there is nobody yet. The password is returned once, to be printed."""
    password = random_password()
    password_hash = hash_password(password)
    with database.write() as connection:
        if store.anybody(connection):
            return None
        grants = [Grant(ANYWHERE, Role.ADMIN)]
        person = store.add_person(connection, login="admin", password_hash=password_hash, grants=grants, now=now)
        audit.append(connection, now=now, who=None, action="person.added", subject=person.id, data={"login": "admin"})
    return password


# --- signing in -----------------------------------------------------------------------------------------------------


def sign_in(
    database: Database, *, login: str, password: str, address: str, now: datetime, old_secret: str | None = None
) -> SignedIn | Refused:
    """Check the password and open a new session; a session this browser had before (`old_secret`) ends."""
    keys = throttle_keys(login, address)
    with database.write() as connection:
        wait = _reserve_attempt(connection, keys, now)
        found = store.person_by_login(connection, login) if not wait else None
    if wait:
        return Refused(wait)
    # Outside the transaction: argon2 takes its time, and nobody else should wait for the write lock meanwhile.
    person, stored = found if found else (None, None)
    right = password_matches(password[: LONGEST_PASSWORD + 1], stored)
    with database.write() as connection:
        if person is None or not right or person.disabled:
            subject = person.id if person else ""
            audit.append(connection, now=now, who=None, action="signin.refused", subject=subject)
            return Refused()
        _forgive(connection, keys, now)
        if old_secret:
            store.close_session(connection, old_secret)
        secret, csrf = store.open_session(connection, person.id, now)
        audit.append(connection, now=now, who=person.id, action="signin", subject=person.id)
    return SignedIn(person, secret, csrf)


def confirm_password(database: Database, *, login: str, password: str, address: str, now: datetime) -> Refused | None:
    """Whether who is signed in knows the password, guesses counted as in `sign_in`; None when it is right."""
    keys = throttle_keys(login, address)
    with database.write() as connection:
        wait = _reserve_attempt(connection, keys, now)
        found = store.person_by_login(connection, login) if not wait else None
    if wait:
        return Refused(wait)
    if not password_matches(password[: LONGEST_PASSWORD + 1], found[1] if found else None):
        return Refused()
    with database.write() as connection:
        _forgive(connection, keys, now)
    return None


def sign_out(database: Database, secret: str, *, who: str, now: datetime) -> None:
    with database.write() as connection:
        store.close_session(connection, secret)
        audit.append(connection, now=now, who=who, action="signout", subject=who)


def throttle_keys(login: str, address: str) -> tuple[str, str]:
    return f"login:{login.casefold()[:64]}", f"address:{_network(address)}"


def _network(address: str) -> str:
    """One IPv6 customer has a whole /64, so that is one address here."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _reserve_attempt(connection: Connection, keys: Sequence[str], now: datetime) -> timedelta:
    """How long to wait, or zero after counting this attempt as failed: guesses sent in parallel count, too."""
    store.drop_old_failures(connection, now)
    known = {entry.key: entry for entry in store.failures(connection, keys)}
    entries = [known.get(key, Failures(key, 0, now)) for key in keys]
    wait = max(entry.wait(now) for entry in entries)
    if not wait:
        for entry in entries:
            store.save_failures(connection, Failures(entry.key, entry.faded(now).count + 1, now))
    return wait


def _forgive(connection: Connection, keys: tuple[str, str], now: datetime) -> None:
    """A right password clears the login's failures, and takes back its own attempt from the address."""
    login_key, address_key = keys
    for entry in store.failures(connection, keys):
        if entry.key == address_key:
            store.save_failures(connection, Failures(entry.key, max(0.0, entry.faded(now).count - 1), now))
    store.forget_failures(connection, login_key)


# --- people ---------------------------------------------------------------------------------------------------------


def add_person(
    database: Database,
    *,
    login: str,
    password: str,
    grants: Sequence[Grant],
    now: datetime,
    who: str | None,
    name: str = "",
    language: str = "",
) -> Person:
    """Raises AccountMistake, LoginTaken."""
    _refuse(login_mistake(login), password_mistake(password, login), _grant_mistake(grants))
    password_hash = hash_password(password)
    with database.write() as connection:
        person = store.add_person(
            connection, login=login, password_hash=password_hash, grants=grants, now=now, name=name, language=language
        )
        data = {"login": login, "grants": _plain(grants)}
        audit.append(connection, now=now, who=who, action="person.added", subject=person.id, data=data)
    return person


def change_person(
    database: Database,
    person: str,
    *,
    now: datetime,
    who: str | None,
    name: str | None = None,
    language: str | None = None,
    disabled: bool | None = None,
    grants: Sequence[Grant] | None = None,
) -> Person | None:
    """Change what is not None; None when there is no such person. Whoever loses rights is signed out everywhere."""
    _refuse(_grant_mistake(grants) if grants is not None else None)
    changes = {k: v for k, v in {"name": name, "language": language, "disabled": disabled}.items() if v is not None}
    with database.write() as connection:
        if store.person_by_id(connection, person) is None:
            return None
        admins = store.everywhere_admins(connection)
        store.change_person(connection, person, **changes)
        if grants is not None:
            store.set_grants(connection, person, grants)
        if admins and not store.everywhere_admins(connection):
            raise AccountMistake("Somebody must remain who is admin of every site.")
        if disabled or grants is not None:
            store.close_sessions_of(connection, person)
        data = {**changes, **({"grants": _plain(grants)} if grants is not None else {})}
        audit.append(connection, now=now, who=who, action="person.changed", subject=person, data=data)
        return store.person_by_id(connection, person)


def set_password(database: Database, person: str, password: str, *, now: datetime, who: str | None) -> bool:
    """Set a password and end every session of the person. False when there is no such person."""
    with database.read() as connection:
        found = store.person_by_id(connection, person)
    if found is None:
        return False
    _refuse(password_mistake(password, found.login))
    password_hash = hash_password(password)
    with database.write() as connection:
        store.change_person(connection, person, password_hash=password_hash)
        store.close_sessions_of(connection, person)
        store.forget_failures(connection, throttle_keys(found.login, "")[0])
        audit.append(connection, now=now, who=who, action="person.password", subject=person)
    return True


# --- tokens ---------------------------------------------------------------------------------------------------------


def add_token(
    database: Database, *, name: str, role: Role, now: datetime, who: str | None, site: str = ANYWHERE
) -> tuple[Token, str]:
    """A new token and its secret, which is shown once. A gateway's token carries the gateway's name."""
    if not name.strip() or len(name) > 64:
        raise AccountMistake("A token has a name of 1 to 64 characters; a gateway's token has the gateway's name.")
    with database.write() as connection:
        token, secret = store.add_token(connection, name=name, role=role, now=now, site=site)
        data = {"name": name, "role": role.value, "site": site}
        audit.append(connection, now=now, who=who, action="token.added", subject=token.id, data=data)
    return token, secret


def revoke_token(database: Database, token: str, *, now: datetime, who: str | None) -> bool:
    with database.write() as connection:
        revoked = store.revoke_token(connection, token, now)
        if revoked:
            audit.append(connection, now=now, who=who, action="token.revoked", subject=token)
    return revoked


def _grant_mistake(grants: Sequence[Grant]) -> str | None:
    if not grants:
        return "A person has at least one role at one site."
    if any(grant.role not in PEOPLE_ROLES for grant in grants):
        return "A person is admin, engineer or crew; the role gateway is for tokens."
    return None


def _plain(grants: Sequence[Grant]) -> list[list[str]]:
    return [[grant.site, grant.role.value] for grant in grants]


def _refuse(*mistakes: str | None) -> None:
    said = [mistake for mistake in mistakes if mistake]
    if said:
        raise AccountMistake(" ".join(said))
