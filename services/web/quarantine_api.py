"""Messages that could not be decoded: look at them, and replay them once the profile is mended."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from gateway.quarantine import QuarantineEntry
from services.accounts.policy import Role
from services.clock import from_millis
from services.context import Context, LocalGateway
from services.intake.set_aside import SetAside, list_set_aside
from services.web.pagination import Cursor, Limit, Number, Page, page_of
from services.web.problems import Problem
from services.web.security import ContextOf, requires_everywhere

# A message nobody could decode belongs to no site yet, so only those who see every site may look at it.
router = APIRouter(
    prefix="/quarantine", tags=["quarantine"], dependencies=[Depends(requires_everywhere(Role.ENGINEER))]
)

_SHOWN = 4096


class Quarantined(BaseModel):
    """A message set aside."""

    id: int
    received_at: datetime
    topic: str
    code: str = Field(description="The kind of mistake.", examples=["no_binding"])
    reason: str = Field(description="What was found and what was expected.")
    bytes: int
    text: str | None = Field(description="The payload's first 4 KB when it is text.")
    base64: str = Field(description="The payload's first 4 KB.")


class Replay(BaseModel):
    ids: list[Annotated[int, Field(ge=0, le=2**63 - 1)]] | None = Field(
        None, max_length=10_000, description="Which; all when left out."
    )


class Replayed(BaseModel):
    taken: int = Field(description="Decoded now, and on their way like any reading.")
    refused: int = Field(description="Still not decodable.")


@router.get("", summary="Messages set aside, newest first")
def list_quarantine(context: ContextOf, limit: Limit = 100, cursor: Number = None) -> Page[Quarantined]:
    entries = _gateway(context).quarantine_list(limit=limit + 1, before=cursor)
    page = page_of(entries, limit, lambda entry: entry.id)
    return Page(items=[_shown(entry) for entry in page.items], next=page.next)


@router.get("/readings", summary="Readings that could not be judged, newest first")
def list_readings(context: ContextOf, limit: Limit = 100, cursor: Cursor = None) -> Page[SetAside]:
    """Understood, and then something in them failed: no alarm came of them. An empty `reading` is a device as such."""
    with context.database.read() as connection:
        found = list_set_aside(connection, limit=limit + 1, before=cursor)
    return page_of(found, limit, lambda one: one.id)


@router.post("/replay", summary="Decode them again")
def replay(context: ContextOf, wanted: Replay) -> Replayed:
    taken, refused = _gateway(context).quarantine_replay(wanted.ids)
    return Replayed(taken=taken, refused=refused)


def _gateway(context: Context) -> LocalGateway:
    if context.gateway is None:
        next_step = "Run `courtyard quarantine` on the gateway's machine."
        raise Problem(409, "no-gateway-here", "No gateway runs in this process.", next_step)
    return context.gateway


def _shown(entry: QuarantineEntry) -> Quarantined:
    head = entry.payload[:_SHOWN]
    try:
        text: str | None = head.decode()
    except UnicodeDecodeError:
        text = None
    return Quarantined(
        id=entry.id,
        received_at=from_millis(entry.received_at),
        topic=entry.topic,
        code=entry.code,
        reason=entry.reason,
        bytes=len(entry.payload),
        text=text,
        base64=base64.b64encode(head).decode(),
    )
