"""Tickets: what people do with them. Every change carries the version that was looked at; an older one gets 409."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from services.accounts import store as accounts
from services.accounts.policy import Role, covers, scope_of
from services.context import Context
from services.tickets import store
from services.tickets.desk import Desk
from services.tickets.lifecycle import TicketState
from services.tickets.store import Ticket
from services.web.pagination import Limit, Number, Page, page_of
from services.web.problems import Problem, not_found
from services.web.security import ContextOf, Crew, Principal

router = APIRouter(prefix="/tickets", tags=["tickets"])

Id = Annotated[str | None, Query(max_length=200)]


class Change(BaseModel):
    """A change to the ticket as it was looked at."""

    version: int = Field(ge=1, le=2**31 - 1, description="`version` of the ticket you saw.", examples=[3])
    note: str = Field("", max_length=4000, description="Goes into the ticket's history.")


class Assign(Change):
    to: str = Field(min_length=1, max_length=64, description="Login of who works on it.", examples=["li.wei"])


class Note(BaseModel):
    text: str = Field(min_length=1, max_length=4000)


class StepDone(BaseModel):
    version: int = Field(ge=1, le=2**31 - 1)
    done: bool = Field(True, description="false takes the mark back.")


@router.get("", summary="Tickets, newest first")
def list_tickets(
    context: ContextOf,
    principal: Crew,
    site: Id = None,
    state: Annotated[list[TicketState] | None, Query(max_length=10)] = None,
    assignee: Id = None,
    device: Id = None,
    limit: Limit = 100,
    cursor: Number = None,
) -> Page[Ticket]:
    with context.database.read() as connection:
        found = store.list_tickets(
            connection,
            principal.scope,
            site=site,
            state=state or (),
            assignee=assignee,
            device=device,
            limit=limit + 1,
            before=cursor,
        )
    return page_of(found, limit, lambda ticket: ticket.number)


@router.get("/{ticket}", summary="One ticket with its history")
def get_ticket(context: ContextOf, principal: Crew, ticket: str) -> Ticket:
    with context.database.read() as connection:
        found = store.get_ticket(connection, principal.scope, ticket)
    if found is None:
        raise not_found("ticket", ticket)
    return found


@router.post("/{ticket}/assign", summary="Give it to somebody")
def assign(context: ContextOf, principal: Crew, ticket: str, change: Assign) -> Ticket:
    _check_assignee(context, principal, ticket, change.to)
    return desk_of(context).assign(principal.scope, ticket, to=change.to, **_common(context, principal, change))


@router.post("/{ticket}/unassign", summary="Give it back")
def unassign(context: ContextOf, principal: Crew, ticket: str, change: Change) -> Ticket:
    return desk_of(context).unassign(principal.scope, ticket, **_common(context, principal, change))


@router.post("/{ticket}/start", summary="Start the work")
def start(context: ContextOf, principal: Crew, ticket: str, change: Change) -> Ticket:
    return desk_of(context).start(principal.scope, ticket, **_common(context, principal, change))


@router.post("/{ticket}/close", summary="The work is done")
def close(context: ContextOf, principal: Crew, ticket: str, change: Change) -> Ticket:
    return desk_of(context).close(principal.scope, ticket, **_common(context, principal, change))


@router.post("/{ticket}/cancel", summary="It needs no work after all")
def cancel(context: ContextOf, principal: Crew, ticket: str, change: Change) -> Ticket:
    return desk_of(context).cancel(principal.scope, ticket, **_common(context, principal, change))


@router.post("/{ticket}/reopen", summary="It was not done")
def reopen(context: ContextOf, principal: Crew, ticket: str, change: Change) -> Ticket:
    return desk_of(context).reopen(principal.scope, ticket, **_common(context, principal, change))


@router.post("/{ticket}/notes", summary="Write something into its history")
def add_note(context: ContextOf, principal: Crew, ticket: str, note: Note) -> Ticket:
    return desk_of(context).add_note(
        principal.scope, ticket, text=note.text, by=principal.login, now=context.clock.now()
    )


@router.post("/{ticket}/steps/{step}", summary="Tick a step of the checklist (from 0)")
def step_done(context: ContextOf, principal: Crew, ticket: str, step: int, mark: StepDone) -> Ticket:
    desk = desk_of(context)
    act = desk.tick_step if mark.done else desk.untick_step
    return act(principal.scope, ticket, step=step, by=principal.login, version=mark.version, now=context.clock.now())


def desk_of(context: Context) -> Desk:
    return Desk(database=context.database, changes=context.changes, public_url=context.settings.effective_public_url)


def _common(context: Context, principal: Principal, change: Change) -> dict[str, Any]:
    return {"by": principal.login, "version": change.version, "now": context.clock.now(), "note": change.note}


def _check_assignee(context: Context, principal: Principal, ticket: str, login: str) -> None:
    """A ticket goes to somebody who can see it."""
    with context.database.read() as connection:
        found = store.get_ticket(connection, principal.scope, ticket)
        known = accounts.person_by_login(connection, login)
    if found is None:
        raise not_found("ticket", ticket)
    if known is None or known[0].disabled or not covers(scope_of(known[0].grants, Role.CREW), found.site):
        detail = f"{login!r} cannot work on tickets of this site."
        raise Problem(422, "not-valid", detail, "Choose somebody with the role crew at this site.")
