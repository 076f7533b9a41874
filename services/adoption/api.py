"""New devices by the API: look, adopt, leave out, forget; and undo, change or replace what was adopted."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from services.adoption import store
from services.adoption.desk import AdoptionDesk
from services.adoption.model import Adoption, Place, Replacement, Unclaimed
from services.context import Context
from services.sites.store import Device
from services.web.pagination import Cursor, Limit, Page, page_of
from services.web.problems import not_found
from services.web.security import ContextOf, Engineer

router = APIRouter()
Id = Annotated[str, Path(max_length=200)]
_NEW: list[str | Enum] = ["new devices"]


def desk_of(context: Context) -> AdoptionDesk:
    return AdoptionDesk(
        database=context.database,
        intake=context.intake,
        telemetry=context.telemetry,
        changes=context.changes,
        library=context.library,
    )


@router.get("/unclaimed", tags=_NEW, summary="Devices that were heard and have no place yet")
def list_unclaimed(
    context: ContextOf,
    principal: Engineer,
    ignored: Annotated[bool, Query(description="Those that were left out instead.")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Unclaimed]:
    """By id. Who does not see every site sees those that a gateway hears which serves their sites only."""
    with context.database.read() as connection:
        found = store.list_unclaimed(connection, principal.scope, ignored=ignored, limit=limit + 1, after=cursor or "")
    return page_of(found, limit, lambda one: one.id)


@router.get("/unclaimed/{device}", tags=_NEW, summary="One of them, with a suggested place")
def get_unclaimed(context: ContextOf, principal: Engineer, device: Id) -> Unclaimed:
    with context.database.read() as connection:
        found = store.get_unclaimed(connection, principal.scope, device)
    if found is None:
        raise not_found("unclaimed device", device)
    return found


@router.post("/unclaimed/{device}/adopt", tags=_NEW, summary="Give a new device its place")
def adopt(context: ContextOf, principal: Engineer, device: Id, said: Adoption) -> Device:
    """The same again gives the device that it has become. Its latest values and its history go with it; gateways learn
    of it within some seconds."""
    now = context.clock.now()
    return desk_of(context).adopt(principal.scope, device, said, by=principal.login, now=now)


@router.post("/unclaimed/{device}/ignore", tags=_NEW, summary="Leave it out of the list of new devices")
def ignore(context: ContextOf, principal: Engineer, device: Id) -> Unclaimed:
    return desk_of(context).ignore(principal.scope, device, by=principal.login, now=context.clock.now())


@router.post("/unclaimed/{device}/unignore", tags=_NEW, summary="Take it back into the list")
def unignore(context: ContextOf, principal: Engineer, device: Id) -> Unclaimed:
    return desk_of(context).unignore(principal.scope, device, by=principal.login, now=context.clock.now())


@router.delete("/unclaimed/{device}", tags=_NEW, summary="Forget it until it speaks again", status_code=204)
def forget(context: ContextOf, principal: Engineer, device: Id) -> Response:
    desk_of(context).forget(principal.scope, device, by=principal.login, now=context.clock.now())
    return Response(status_code=204)


@router.put("/devices/{device}/place", tags=["devices"], summary="Say anew where an adopted device stands")
def edit(context: ContextOf, principal: Engineer, device: Id, said: Place) -> Device:
    """All of it: what is left out is empty afterwards. Devices of a site file are changed there."""
    return desk_of(context).edit(principal.scope, device, said, by=principal.login, now=context.clock.now())


@router.post("/devices/{device}/replace", tags=["devices"], summary="Another module stands in this device's place")
def replace(context: ContextOf, principal: Engineer, device: Id, said: Replacement) -> Device:
    """Id, history, alarms and tickets go on at the new address."""
    now = context.clock.now()
    return desk_of(context).replace(principal.scope, device, said.address, by=principal.login, now=now)


@router.post("/devices/{device}/unadopt", tags=["devices"], summary="Undo an adoption")
def unadopt(context: ContextOf, principal: Engineer, device: Id) -> Unclaimed:
    """It is a new device again, with its values and its history."""
    return desk_of(context).unadopt(principal.scope, device, by=principal.login, now=context.clock.now())
