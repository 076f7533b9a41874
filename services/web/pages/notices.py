"""The outbox: what was delivered, what waits, what failed and why."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import select

from services.changes import Change
from services.notices import sending
from services.scope import in_scope
from services.sites import store as sites
from services.tables import recipients
from services.web.pages.render import reader_of, render, zones_of
from services.web.problems import not_found
from services.web.security import ContextOf, Engineer

router = APIRouter(include_in_schema=False)
_PAGE = 50


@router.get("/notices")
def notices(
    request: Request,
    context: ContextOf,
    principal: Engineer,
    state: Literal["all", "queued", "delivered", "failed"] = "all",
    before: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    reader = reader_of(request, principal)
    with context.database.read() as connection:
        found = sending.list_notices(
            connection,
            principal.scope,
            state=None if state == "all" else state,
            before=before or None,
            limit=_PAGE + 1,
        )
        known = select(recipients.c.site, recipients.c.id, recipients.c.name).where(
            in_scope(recipients.c.site, principal.scope)
        )
        names = {(row.site, row.id): row.name or row.id for row in connection.execute(known)}
        places = sites.list_sites(connection, principal.scope)
    return render(
        request,
        "notices.html",
        reader,
        notices=found[:_PAGE],
        more=found[_PAGE - 1]["id"] if len(found) > _PAGE else "",
        state=state,
        recipients=names,
        zones=zones_of(places),
    )


@router.post("/notices/{notice}/retry")
def retry(context: ContextOf, principal: Engineer, notice: str) -> Response:
    """Send a failed one again, under the same idempotency key."""
    with context.database.write() as connection:
        found = sending.requeue(connection, principal.scope, notice, now=context.clock.now())
    if found is None:
        raise not_found("failed notice", notice)
    context.changes.publish([Change("notice", found["id"], found["site"])])
    return RedirectResponse("/notices", status_code=303)
