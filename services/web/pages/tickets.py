"""Tickets, for a crew on a phone: the list, and one to work through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from device_profiles.schema import DeviceProfile
from services.accounts import store as accounts
from services.accounts.policy import Role, covers, scope_of
from services.context import Context
from services.sites import store as sites
from services.tickets import store
from services.tickets.api import desk_of
from services.tickets.desk import StepMissing, VersionConflict
from services.tickets.lifecycle import Action, IllegalTransition, TicketState, possible
from services.web.i18n import N_
from services.web.pages import words
from services.web.pages.render import Reader, reader_of, render, zone_of, zones_of
from services.web.problems import not_found
from services.web.security import ContextOf, Crew, Principal
from services.web.views import board

router = APIRouter(include_in_schema=False)
_PAGE = 50
_DONE = ("closed", "cancelled")
Version = Annotated[int, Form(ge=1, le=2**31 - 1)]
Note = Annotated[str, Form(max_length=4000)]

CHANGED_MEANWHILE = N_("Somebody changed this ticket meanwhile. Look at it again; nothing of yours has been done yet.")
NOT_NOW = N_("That cannot be done with the ticket as it is now.")
NOBODY = N_("Choose somebody who works at this site.")


@router.get("/tickets")
def tickets(
    request: Request,
    context: ContextOf,
    principal: Crew,
    show: Literal["mine", "open", "done", "all"] = "open",
    trade: Annotated[str, Query(max_length=32)] = "",
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> Response:
    """Open ones by urgency, done ones newest first."""
    reader = reader_of(request, principal)
    states = {"mine": words.LIVE_TICKETS, "open": words.LIVE_TICKETS, "done": _DONE, "all": ()}[show]
    live = show in ("mine", "open")
    with context.database.read() as connection:
        found = store.list_tickets(
            connection,
            principal.scope,
            state=states,
            assignee=principal.login if show == "mine" else None,
            limit=500 if live else _PAGE + 1,
            before=before,
        )
        places = sites.list_sites(connection, principal.scope)
        names = board.names_of(connection)
    more = found[_PAGE - 1].number if not live and len(found) > _PAGE else None
    if live:
        found.sort(key=lambda ticket: (ticket.priority, ticket.due_at or ticket.opened_at))
    else:
        found = found[:_PAGE]
    return render(
        request,
        "tickets.html",
        reader,
        tickets=[ticket for ticket in found if not trade or ticket.trade == trade],
        more=more,
        show=show,
        trade=trade,
        names=names,
        parts=board.labels_of(found, context.library, reader.language),
        sites={site.id: site for site in places},
        zones=zones_of(places),
    )


@router.get("/tickets/{ticket}")
def ticket(request: Request, context: ContextOf, principal: Crew, ticket: str) -> Response:
    return _page(request, context, principal, ticket)


@router.post("/tickets/{ticket}/assign")
def assign(
    request: Request,
    context: ContextOf,
    principal: Crew,
    ticket: str,
    version: Version,
    to: Annotated[str, Form(max_length=64)],
) -> Response:
    """To oneself (`to` is one's own login) or to another who works there."""

    def act(common: dict[str, Any]) -> None:
        desk_of(context).assign(principal.scope, ticket, to=to, **common)

    if to not in _crew(context, _find(context, principal, ticket).site):
        return _page(request, context, principal, ticket, mistake=NOBODY, status=422)
    return _do(request, context, principal, ticket, version, "", act)


@router.post("/tickets/{ticket}/move/{action}")
def move(
    request: Request,
    context: ContextOf,
    principal: Crew,
    ticket: str,
    action: Literal["unassign", "start", "close", "cancel", "reopen"],
    version: Version,
    note: Note = "",
) -> Response:
    desk = desk_of(context)
    acts: dict[str, Callable[..., object]] = {
        "unassign": desk.unassign,
        "start": desk.start,
        "close": desk.close,
        "cancel": desk.cancel,
        "reopen": desk.reopen,
    }

    def act(common: dict[str, Any]) -> None:
        acts[action](principal.scope, ticket, note=note, **common)

    return _do(request, context, principal, ticket, version, note, act)


@router.post("/tickets/{ticket}/note")
def add_note(context: ContextOf, principal: Crew, ticket: str, note: Note = "") -> Response:
    if note.strip():
        now = context.clock.now()
        desk_of(context).add_note(principal.scope, ticket, text=note.strip(), by=principal.login, now=now)
    return RedirectResponse(f"/tickets/{ticket}#timeline", status_code=303)


@router.post("/tickets/{ticket}/step/{step}")
def step(
    request: Request,
    context: ContextOf,
    principal: Crew,
    ticket: str,
    step: int,
    version: Version,
    done: Annotated[Literal["yes", "no"], Form()],
) -> Response:
    def act(common: dict[str, Any]) -> None:
        desk = desk_of(context)
        mark = desk.tick_step if done == "yes" else desk.untick_step
        mark(principal.scope, ticket, step=step, **common)

    return _do(request, context, principal, ticket, version, "", act)


def _do(
    request: Request,
    context: Context,
    principal: Principal,
    ticket: str,
    version: int,
    note: str,
    act: Callable[[dict[str, Any]], None],
) -> Response:
    """Act and show the ticket again; if somebody was faster, say so and keep what was typed."""
    try:
        act({"by": principal.login, "version": version, "now": context.clock.now()})
    except VersionConflict:
        return _page(request, context, principal, ticket, mistake=CHANGED_MEANWHILE, note=note, status=409)
    except (IllegalTransition, StepMissing):
        return _page(request, context, principal, ticket, mistake=NOT_NOW, note=note, status=409)
    return RedirectResponse(f"/tickets/{ticket}", status_code=303)


def _find(context: Context, principal: Principal, ticket: str) -> store.Ticket:
    with context.database.read() as connection:
        found = store.get_ticket(connection, principal.scope, ticket)
    if found is None:
        raise not_found("ticket", ticket)
    return found


def _crew(context: Context, site: str) -> dict[str, str]:
    """Login -> name of those who may work on tickets of a site."""
    with context.database.read() as connection:
        people = accounts.list_people(connection, limit=500)
    return {
        person.login: person.name or person.login
        for person in people
        if not person.disabled and covers(scope_of(person.grants, Role.CREW), site)
    }


def _page(
    request: Request,
    context: Context,
    principal: Principal,
    ticket: str,
    *,
    mistake: str = "",
    note: str = "",
    status: int = 200,
) -> Response:
    reader: Reader = reader_of(request, principal)
    found = _find(context, principal, ticket)
    with context.database.read() as connection:
        site = sites.get_site(connection, principal.scope, found.site)
        names = board.names_of(connection)
    zone_name = site.timezone if site else "UTC"
    profile: DeviceProfile | None = context.library.get(found.profile)
    return render(
        request,
        "ticket.html",
        reader,
        status=status,
        ticket=found,
        site=site,
        place=_place(found, site, reader),
        part=board.label_of(profile.id if profile else "", found.child, context.library, reader.language),
        zone=zone_of(zone_name),
        zone_name=zone_name,
        names=names,
        crew=_crew(context, found.site),
        can=set(possible(TicketState(found.state))),
        Action=Action,
        mistake=mistake,
        note=note,
        working=found.state in words.LIVE_TICKETS,
    )


def _place(ticket: store.Ticket, site: sites.Site | None, reader: Reader) -> str:
    building = next((one for one in site.buildings if one.id == ticket.building), None) if site else None
    names = (building.name if building else None, ticket.place)
    return " · ".join(name.in_(reader.language) for name in names if name and name.in_(reader.language))
