"""Messages that could not be decoded: what they were, why, and decoding them again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from services.accounts.policy import Role
from services.clock import from_millis
from services.intake.set_aside import list_set_aside
from services.sites.store import unclaimed_devices
from services.web.pages.quarantine_words import reason_of
from services.web.pages.render import reader_of, render, zone_of
from services.web.problems import Problem
from services.web.security import ContextOf, Principal, requires_everywhere

router = APIRouter(include_in_schema=False)
# A message nobody could decode belongs to no site yet, so only those who see every site may look at it.
GlobalEngineer = Annotated[Principal, Depends(requires_everywhere(Role.ENGINEER))]
Count = Annotated[int | None, Query(ge=0, le=2**31 - 1)]
_PAGE = 50
_SHOWN = 2048


@router.get("/quarantine")
def quarantine(
    request: Request,
    context: ContextOf,
    principal: GlobalEngineer,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    taken: Count = None,
    refused: Count = None,
    nothing: bool = False,
) -> Response:
    """Newest first; after a replay with its result."""
    reader = reader_of(request, principal)
    found = context.gateway.quarantine_list(limit=_PAGE + 1, before=before) if context.gateway else []
    with context.database.read() as connection:
        set_aside = list_set_aside(connection, limit=_PAGE)
        unclaimed = unclaimed_devices(connection, limit=_PAGE)
    return render(
        request,
        "quarantine.html",
        reader,
        here=context.gateway is not None,
        entries=[
            {
                "id": entry.id,
                "topic": entry.topic,
                "code": entry.code,
                "why": reason_of(entry.code),
                "details": entry.reason.removeprefix(entry.code).lstrip(": "),
                "retained": entry.retained,
                "received_at": from_millis(entry.received_at),
                "size": len(entry.payload),
                "payload": entry.payload[:_SHOWN],
                "text": readable(entry.payload[:_SHOWN]),
                "cut": len(entry.payload) > _SHOWN,
            }
            for entry in found[:_PAGE]
        ],
        more=found[_PAGE - 1].id if len(found) > _PAGE else None,
        set_aside=set_aside,
        unclaimed=unclaimed,
        nothing_selected=nothing,
        taken=taken,
        refused=refused,
        zone=zone_of("UTC"),
    )


@router.post("/quarantine/replay")
def replay(
    context: ContextOf,
    _: GlobalEngineer,
    which: Annotated[str, Form(max_length=8)] = "selected",
    id: Annotated[list[int] | None, Form(max_length=1000)] = None,
) -> Response:
    """Decode the selected ones again, or all."""
    if context.gateway is None:
        raise Problem(409, "no-gateway-here", "No gateway runs in this process.", "Replay on the gateway's machine.")
    if which == "selected" and not id:
        return RedirectResponse("/quarantine?nothing=1", status_code=303)
    taken, refused = context.gateway.quarantine_replay(None if which == "all" else id)
    return RedirectResponse(f"/quarantine?taken={taken}&refused={refused}", status_code=303)


def readable(payload: bytes) -> str | None:
    """The payload as text where it is text, with control characters made visible; else None."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return None
    if any(ord(sign) < 32 and sign not in "\t\r\n" for sign in text):
        return None
    return text
