"""Outages: what residents miss, since when, and what they have been told."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field

from device_profiles.schema import Text
from services.outages import desk, store
from services.outages.store import Outage
from services.web.pagination import Cursor, Limit, Page, page_of
from services.web.problems import Problem, not_found
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


class News(BaseModel):
    """What residents should know now, in their words: no device ids, no blame."""

    zh: str = Field(min_length=1, max_length=1000, examples=["维修人员已到现场,预计一小时内恢复供水。"])
    en: str = Field(min_length=1, max_length=1000, examples=["The crew is here; water should be back within an hour."])
    next_news_at: AwareDatetime | None = Field(
        None, description="When there will be more to say; two hours from now when left out."
    )


@router.post("/{outage}/news", summary="Tell residents something while it lasts")
def post_news(context: ContextOf, principal: Crew, outage: str, news: News) -> Outage:
    """Stands on the residents' page and goes to those who want outages of their building; renews the promise."""
    now = context.clock.now()
    if news.next_news_at is not None and news.next_news_at <= now:
        raise Problem(422, "not-valid", "`next_news_at` has passed.", "Promise a time that is still to come.")
    return desk.post_news(
        context.database,
        context.changes,
        scope=principal.scope,
        outage=outage,
        text=Text(zh=news.zh, en=news.en),
        by=principal.login,
        now=now,
        next_news_at=news.next_news_at,
        public_url=context.settings.effective_public_url,
    )
