"""The outbox, as engineers see it: what was sent, what waits, and what failed and why."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from services.changes import Change
from services.notices import sending
from services.web.pagination import Cursor, Limit, Page, page_of
from services.web.problems import not_found
from services.web.security import ContextOf, Engineer

router = APIRouter(prefix="/notices", tags=["notices"])

Id = Annotated[str | None, Query(max_length=200)]


class NoticeBody(BaseModel):
    """One message to one recipient. The target is masked: it may be a phone number or hold a secret."""

    id: str
    site: str
    recipient: str
    channel: str
    target: str = Field(examples=["https://hooks.example.org/…"])
    subject_kind: str
    subject_id: str
    event: str
    title: str
    body: str
    state: str = Field(description="queued, delivered or failed")
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    last_error: str = Field(description="Why the last attempt failed, and whose move it is.")


@router.get("", summary="Notices, newest first")
def list_notices(
    context: ContextOf,
    principal: Engineer,
    site: Id = None,
    state: Literal["queued", "delivered", "failed"] | None = None,
    subject_id: Id = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[NoticeBody]:
    with context.database.read() as connection:
        found = sending.list_notices(
            connection,
            principal.scope,
            site=site,
            state=state,
            subject_id=subject_id,
            limit=limit + 1,
            before=cursor,
        )
    return page_of([_body(row) for row in found], limit, lambda notice: notice.id)


@router.post("/{notice}/retry", summary="Send a failed one again")
def retry(context: ContextOf, principal: Engineer, notice: str) -> NoticeBody:
    """Under the same idempotency key, so a receiver that had it after all can tell."""
    with context.database.write() as connection:
        found = sending.requeue(connection, principal.scope, notice, now=context.clock.now())
    if found is None:
        raise not_found("failed notice", notice)
    context.changes.publish([Change("notice", found["id"], found["site"])])
    return _body(found)


def _body(row: dict[str, Any]) -> NoticeBody:
    return NoticeBody(**{**row, "target": sending.masked(row["target"])})
