"""People and tokens, for those who are admin of every site; and who am I, for everybody who is signed in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from services.accounts import audit, desk, store
from services.accounts.policy import ANYWHERE, Grant, Role
from services.accounts.store import Token
from services.web.pagination import Cursor, Limit, Page, page_of
from services.web.problems import Problem, not_found
from services.web.security import ContextOf, Crew, GlobalAdmin

router = APIRouter(tags=["accounts"])

SiteOrAll = Annotated[
    str, Field(min_length=1, max_length=64, description='A site id, or "*" for every site.', examples=["lotus"])
]
Password = Annotated[str, Field(max_length=200, json_schema_extra={"format": "password"})]


class GrantBody(BaseModel):
    site: SiteOrAll
    role: Literal[Role.ADMIN, Role.ENGINEER, Role.CREW]


class Me(BaseModel):
    kind: str
    login: str
    name: str
    grants: list[GrantBody]
    csrf: str = Field(description="Send it as X-CSRF-Token with requests that change something; empty for tokens.")


class PersonBody(BaseModel):
    id: str
    login: str
    name: str
    language: str
    disabled: bool
    created_at: datetime
    grants: list[GrantBody]


class NewPerson(BaseModel):
    login: str = Field(max_length=64, examples=["li.wei"])
    password: Password
    name: str = Field("", max_length=200, examples=["Li Wei"])
    language: Literal["", "zh", "en"] = ""
    grants: list[GrantBody] = Field(min_length=1, max_length=200)


class PersonChange(BaseModel):
    """What to change; the rest stays."""

    name: str | None = Field(None, max_length=200)
    language: Literal["", "zh", "en"] | None = None
    disabled: bool | None = None
    grants: list[GrantBody] | None = Field(None, max_length=200)


class NewPassword(BaseModel):
    password: Password


class OwnPassword(NewPassword):
    current: Password


class NewToken(BaseModel):
    name: str = Field(max_length=64, description="A gateway's token carries the gateway's id.", examples=["gateway-2"])
    role: Role
    site: SiteOrAll = ANYWHERE


class NewTokenMade(BaseModel):
    token: Token
    secret: str = Field(description="Shown once: only its hash is kept.")


class AuditState(BaseModel):
    intact: bool
    rows: int
    head: str = Field(description="Hash of the last row: note it elsewhere to prove later that nothing was cut off.")
    broken_at: int | None = None
    reason: str = ""


@router.get("/me", summary="Who I am")
def me(principal: Crew) -> Me:
    return Me(
        kind=principal.kind,
        login=principal.login,
        name=principal.name,
        grants=[_plain(grant) for grant in principal.grants],
        csrf=principal.csrf,
    )


@router.post("/me/password", status_code=204, summary="Change my password")
def change_own_password(request: Request, context: ContextOf, principal: Crew, wanted: OwnPassword) -> None:
    """Needs the current one. Ends all my sessions, this one too."""
    if principal.kind != "person":
        raise Problem(403, "forbidden", "A token has no password.", "Sign in as a person.")
    refused = desk.confirm_password(
        context.database,
        login=principal.login,
        password=wanted.current,
        address=request.client.host if request.client else "",
        now=context.clock.now(),
    )
    if refused is not None and refused.wait:
        seconds = int(refused.wait.total_seconds()) + 1
        next_step = f"Wait {seconds} seconds, then try again."
        raise Problem(429, "too-many", "Too many wrong passwords.", next_step, {"Retry-After": str(seconds)})
    if refused is not None:
        raise Problem(403, "forbidden", "The current password is not right.", "Try again, or ask an admin.")
    desk.set_password(context.database, principal.id, wanted.password, now=context.clock.now(), who=principal.id)


@router.get("/people", summary="People and their roles, by login")
def list_people(context: ContextOf, _: GlobalAdmin, limit: Limit = 100, cursor: Cursor = None) -> Page[PersonBody]:
    with context.database.read() as connection:
        found = store.list_people(connection, after=cursor or "", limit=limit + 1)
    page = page_of(found, limit, lambda person: person.login)
    return Page(items=[_body(person) for person in page.items], next=page.next)


@router.post("/people", status_code=201, summary="Add somebody")
def add_person(context: ContextOf, principal: GlobalAdmin, new: NewPerson) -> PersonBody:
    person = desk.add_person(
        context.database,
        login=new.login,
        password=new.password,
        grants=_grants(new.grants),
        name=new.name,
        language=new.language,
        now=context.clock.now(),
        who=principal.id,
    )
    return _body(person)


@router.patch("/people/{person}", summary="Change name, language, roles; disable")
def change_person(context: ContextOf, principal: GlobalAdmin, person: str, change: PersonChange) -> PersonBody:
    """Whoever is disabled or gets other roles is signed out everywhere."""
    found = desk.change_person(
        context.database,
        person,
        now=context.clock.now(),
        who=principal.id,
        name=change.name,
        language=change.language,
        disabled=change.disabled,
        grants=_grants(change.grants) if change.grants is not None else None,
    )
    if found is None:
        raise not_found("person", person)
    return _body(found)


@router.post("/people/{person}/password", status_code=204, summary="Set somebody's password")
def set_password(context: ContextOf, principal: GlobalAdmin, person: str, wanted: NewPassword) -> None:
    """Ends all sessions of that person."""
    if not desk.set_password(context.database, person, wanted.password, now=context.clock.now(), who=principal.id):
        raise not_found("person", person)


@router.get("/tokens", summary="Tokens of programs, without their secrets")
def list_tokens(context: ContextOf, _: GlobalAdmin) -> list[Token]:
    with context.database.read() as connection:
        return store.list_tokens(connection)


@router.post("/tokens", status_code=201, summary="Make a token; its secret is shown once")
def add_token(context: ContextOf, principal: GlobalAdmin, new: NewToken) -> NewTokenMade:
    token, secret = desk.add_token(
        context.database, name=new.name, role=new.role, site=new.site, now=context.clock.now(), who=principal.id
    )
    return NewTokenMade(token=token, secret=secret)


@router.delete("/tokens/{token}", status_code=204, summary="Revoke a token, at once and for good")
def revoke_token(context: ContextOf, principal: GlobalAdmin, token: str) -> None:
    if not desk.revoke_token(context.database, token, now=context.clock.now(), who=principal.id):
        raise not_found("token", token)


@router.get("/audit/state", summary="Whether the audit log is intact")
def audit_state(context: ContextOf, _: GlobalAdmin) -> AuditState:
    """Walks the whole chain of hashes."""
    found = audit.verify(context.database)
    if isinstance(found, audit.Broken):
        return AuditState(intact=False, rows=found.seq - 1, head="", broken_at=found.seq, reason=found.reason)
    return AuditState(intact=True, rows=found.rows, head=found.head)


def _grants(wanted: list[GrantBody]) -> list[Grant]:
    return [Grant(grant.site, grant.role) for grant in wanted]


def _plain(grant: Grant) -> GrantBody:
    return GrantBody.model_validate({"site": grant.site, "role": grant.role})


def _body(person: store.Person) -> PersonBody:
    return PersonBody(
        id=person.id,
        login=person.login,
        name=person.name,
        language=person.language,
        disabled=person.disabled,
        created_at=person.created_at,
        grants=[_plain(grant) for grant in person.grants],
    )
