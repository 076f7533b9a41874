"""People, grants, sessions and tokens in SQL. Each function works in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from services.accounts.passwords import fingerprint, random_secret
from services.accounts.policy import FORGOTTEN_AFTER, Failures, Grant, Role, session_end, session_renewal, token_login
from services.ids import new_id
from services.tables import grants, login_attempts, people, sessions, tokens


class LoginTaken(Exception):
    """Somebody already has this login."""


@dataclass(frozen=True)
class Person:
    id: str
    login: str
    name: str
    language: str
    disabled: bool
    created_at: datetime
    grants: tuple[Grant, ...]


@dataclass(frozen=True)
class Session:
    """A signed-in browser: whose, and the token its forms must carry."""

    person: Person
    csrf: str
    renew_until: datetime | None
    """Where the stored end should move to; None when it is near enough."""


@dataclass(frozen=True)
class Token:
    """A program's key, without the key: only its hash is kept."""

    id: str
    name: str
    role: Role
    site: str
    created_at: datetime
    revoked_at: datetime | None


# --- people ---------------------------------------------------------------------------------------------------------


def add_person(
    connection: Connection,
    *,
    login: str,
    password_hash: str,
    grants: Sequence[Grant],
    now: datetime,
    name: str = "",
    language: str = "",
) -> Person:
    """Raises LoginTaken."""
    if connection.execute(select(people.c.id).where(people.c.login == login)).first():
        raise LoginTaken(login)
    person = new_id(now)
    row = {"id": person, "login": login, "name": name, "language": language, "disabled": False, "created_at": now}
    connection.execute(insert(people).values(**row, password_hash=password_hash))
    set_grants(connection, person, grants)
    return Person(person, login, name, language, disabled=False, created_at=now, grants=tuple(grants))


def set_grants(connection: Connection, person: str, wanted: Iterable[Grant]) -> None:
    connection.execute(delete(grants).where(grants.c.person == person))
    for grant in dict.fromkeys(wanted):
        connection.execute(insert(grants).values(person=person, site=grant.site, role=grant.role.value))


def anybody(connection: Connection) -> bool:
    return connection.execute(select(people.c.id).limit(1)).first() is not None


def list_people(connection: Connection, *, after: str = "", limit: int = 100) -> list[Person]:
    """People by login, those after the login `after`."""
    rows = connection.execute(select(people).where(people.c.login > after).order_by(people.c.login).limit(limit))
    return [_person(connection, row) for row in rows.all()]


def person_by_id(connection: Connection, person: str) -> Person | None:
    row = connection.execute(select(people).where(people.c.id == person)).first()
    return _person(connection, row) if row else None


def person_by_login(connection: Connection, login: str) -> tuple[Person, str] | None:
    """The person and the password hash."""
    row = connection.execute(select(people).where(people.c.login == login)).first()
    return (_person(connection, row), str(row.password_hash)) if row else None


def change_person(connection: Connection, person: str, **changes: Any) -> None:
    """Change `name`, `language`, `disabled` or `password_hash`."""
    if changes:
        connection.execute(update(people).where(people.c.id == person).values(**changes))


def everywhere_admins(connection: Connection) -> set[str]:
    """Who may still administer everything: enabled people with the admin role at every site."""
    statement = (
        select(people.c.id)
        .join(grants, grants.c.person == people.c.id)
        .where(grants.c.site == "*", grants.c.role == Role.ADMIN.value, people.c.disabled.is_(False))
    )
    return set(connection.execute(statement).scalars())


def _person(connection: Connection, row: Row[Any]) -> Person:
    return Person(
        id=row.id,
        login=row.login,
        name=row.name,
        language=row.language,
        disabled=row.disabled,
        created_at=row.created_at,
        grants=_grants_of(connection, row.id),
    )


def _grants_of(connection: Connection, person: str) -> tuple[Grant, ...]:
    rows = connection.execute(select(grants).where(grants.c.person == person).order_by(grants.c.site, grants.c.role))
    return tuple(Grant(row.site, Role(row.role)) for row in rows)


# --- sessions -------------------------------------------------------------------------------------------------------


def open_session(connection: Connection, person: str, now: datetime) -> tuple[str, str]:
    """A new session: (the secret for the cookie, the CSRF token). Only the secret's hash is stored."""
    secret, csrf = random_secret(), random_secret()
    connection.execute(delete(sessions).where(sessions.c.expires_at <= now))
    connection.execute(
        insert(sessions).values(
            id_hash=fingerprint(secret), person=person, csrf=csrf, created_at=now, expires_at=session_end(now, now)
        )
    )
    return secret, csrf


def find_session(connection: Connection, secret: str, now: datetime) -> Session | None:
    row = connection.execute(
        select(sessions).where(sessions.c.id_hash == fingerprint(secret), sessions.c.expires_at > now)
    ).first()
    person = person_by_id(connection, row.person) if row else None
    if row is None or person is None or person.disabled:
        return None
    return Session(person, row.csrf, session_renewal(row.created_at, row.expires_at, now))


def renew_session(connection: Connection, secret: str, until: datetime) -> None:
    connection.execute(update(sessions).where(sessions.c.id_hash == fingerprint(secret)).values(expires_at=until))


def close_session(connection: Connection, secret: str) -> None:
    connection.execute(delete(sessions).where(sessions.c.id_hash == fingerprint(secret)))


def close_sessions_of(connection: Connection, person: str) -> None:
    connection.execute(delete(sessions).where(sessions.c.person == person))


# --- tokens ---------------------------------------------------------------------------------------------------------


def add_token(connection: Connection, *, name: str, role: Role, now: datetime, site: str = "*") -> tuple[Token, str]:
    """A new token and its secret. The secret is shown once: only its hash is stored."""
    secret = f"courtyard_{random_secret()}"
    token = Token(new_id(now), name, role, site, now, None)
    connection.execute(
        insert(tokens).values(
            id=token.id, token_hash=fingerprint(secret), name=name, role=role.value, site=site, created_at=now
        )
    )
    return token, secret


def find_token(connection: Connection, secret: str) -> Token | None:
    row = connection.execute(
        select(tokens).where(tokens.c.token_hash == fingerprint(secret), tokens.c.revoked_at.is_(None))
    ).first()
    return _token(row) if row else None


def list_tokens(connection: Connection) -> list[Token]:
    return [_token(row) for row in connection.execute(select(tokens).order_by(tokens.c.created_at, tokens.c.id))]


def revoke_token(connection: Connection, token: str, now: datetime) -> bool:
    """False when there is no such token in use."""
    statement = update(tokens).where(tokens.c.id == token, tokens.c.revoked_at.is_(None)).values(revoked_at=now)
    return connection.execute(statement).rowcount == 1


# --- what somebody may do now ----------------------------------------------------------------------------------------


def grants_now(connection: Connection, logins: Iterable[str]) -> dict[str, tuple[Grant, ...]]:
    """Login (or `token:<name>`) -> what it may do now; nothing for a disabled person, a revoked token, and nobody."""
    wanted = set(logins)
    found: dict[str, tuple[Grant, ...]] = dict.fromkeys(wanted, ())
    enabled = select(people.c.id, people.c.login).where(
        people.c.login.in_(sorted(wanted)), people.c.disabled.is_(False)
    )
    for row in connection.execute(enabled).all():
        found[row.login] = _grants_of(connection, row.id)
    if any(login.startswith("token:") for login in wanted):
        for token in connection.execute(select(tokens).where(tokens.c.revoked_at.is_(None))):
            login = token_login(token.name)
            if login in wanted:
                found[login] += (Grant(token.site, Role(token.role)),)
    return found


def _token(row: Row[Any]) -> Token:
    return Token(row.id, row.name, Role(row.role), row.site, row.created_at, row.revoked_at)


# --- failed sign-ins ------------------------------------------------------------------------------------------------


def failures(connection: Connection, keys: Sequence[str]) -> list[Failures]:
    """Read to be changed: until the transaction ends nobody else changes these, so guesses in parallel all count."""
    if connection.dialect.name == "postgresql":
        for key in sorted(keys):  # in order: two sign-ins never wait for each other crosswise
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(key))))
    rows = connection.execute(select(login_attempts).where(login_attempts.c.key.in_(keys)))
    return [Failures(row.key, row.failures, row.at) for row in rows]


def save_failures(connection: Connection, entry: Failures) -> None:
    connection.execute(delete(login_attempts).where(login_attempts.c.key == entry.key))
    connection.execute(insert(login_attempts).values(key=entry.key, failures=entry.count, at=entry.at))


def forget_failures(connection: Connection, key: str) -> None:
    connection.execute(delete(login_attempts).where(login_attempts.c.key == key))


def drop_old_failures(connection: Connection, now: datetime) -> None:
    """Keeps the table as small as the last day was busy."""
    connection.execute(delete(login_attempts).where(login_attempts.c.at < now - FORGOTTEN_AFTER))
