"""Outages: what residents miss, since when, and what they have been told."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from services.outages import store
from services.outages.store import Outage
from services.web.pagination import Cursor, Limit, Page, page_of
from services.web.problems import not_found
from services.web.security import ContextOf, Crew

router = APIRouter(prefix="/outages", tags=["outages"])


@router.get("", summary="Outages, newest first, with their updates")
def list_outages(
    context: ContextOf,
    principal: Crew,
    site: Annotated[str | None, Query(max_length=64)] = None,
    state: Literal["ongoing", "restored"] | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Outage]:
    with context.database.read() as connection:
        found = store.list_outages(connection, principal.scope, site=site, state=state, limit=limit + 1, before=cursor)
    return page_of(found, limit, lambda outage: outage.id)


@router.get("/{outage}", summary="One outage with its updates")
def get_outage(context: ContextOf, principal: Crew, outage: str) -> Outage:
    with context.database.read() as connection:
        found = store.get_outage(connection, principal.scope, outage)
    if found is None:
        raise not_found("outage", outage)
    return found
