"""A gateway's token that was made elsewhere, such as a secret file that services and gateway share."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import insert, select, update

from services.accounts import audit
from services.accounts.desk import AccountMistake
from services.accounts.passwords import fingerprint
from services.accounts.policy import ANYWHERE, Role
from services.database import Database
from services.ids import new_id
from services.tables import tokens

SHORTEST = 32
"""Characters. A password somebody thought up is not a token."""


class Enrolled(StrEnum):
    NEW = "new"
    KNOWN = "known"
    REPLACED = "replaced"
    """The gateway had another token, which is revoked now."""


def enrol_gateway(database: Database, *, name: str, secret: str, now: datetime) -> Enrolled:
    """Make `secret` the one token of the gateway `name`. Enrolling again changes nothing. Raises AccountMistake."""
    if len(secret) < SHORTEST:
        raise AccountMistake(f"A gateway's token has at least {SHORTEST} characters.")
    mine = (tokens.c.name == name, tokens.c.role == Role.GATEWAY.value, tokens.c.revoked_at.is_(None))
    with database.write() as connection:
        held = connection.execute(select(tokens.c.id, tokens.c.token_hash, tokens.c.revoked_at).where(*mine)).all()
        hashed = fingerprint(secret)
        if any(row.token_hash == hashed for row in held):
            return Enrolled.KNOWN
        if connection.execute(select(tokens.c.id).where(tokens.c.token_hash == hashed)).first():
            raise AccountMistake("This token was revoked, or belongs to somebody else. Make another one.")
        connection.execute(update(tokens).where(*mine).values(revoked_at=now))
        token = new_id(now)
        connection.execute(
            insert(tokens).values(
                id=token, token_hash=hashed, name=name, role=Role.GATEWAY.value, site=ANYWHERE, created_at=now
            )
        )
        audit.append(connection, now=now, who=None, action="token.enrolled", subject=token, data={"name": name})
    return Enrolled.REPLACED if held else Enrolled.NEW
