"""Server-sent events: which things have changed, at most about once a second. Pages fetch the fragments they show."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse

from services.accounts.policy import Role, Scope, covers
from services.changes import Change, Changes
from services.context import Context
from services.web.security import Principal, get_context, identify, requires

router = APIRouter(include_in_schema=False)

PAUSE_SECONDS = 1.0
"""After a message, changes gather for this long."""
LOOK_SECONDS = 5.0
"""Who has signed out, was disabled or has lost a site hears no more after this."""
BEAT_SECONDS = 10.0
"""Without changes a beat tells the page that what it shows is still true."""


@router.get("/live")
async def live(
    request: Request,
    principal: Annotated[Principal, Depends(requires(Role.CREW))],
    context: Annotated[Context, Depends(get_context)],
    site: Annotated[str, Query(max_length=64)] = "",
    since: Annotated[int | None, Query()] = None,
) -> StreamingResponse:
    """`changes`: {kind: [id, …]} or {"reload": true}; `beat`: nothing new. `since`: what the page has seen."""

    async def look() -> Principal | None:
        now = await identify(request)
        return None if now is None else now.narrowed(Role.CREW)

    stream = _stream(gathered(context.changes, since), principal, site, look)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def _stream(
    source: AsyncGenerator[list[Change] | None, None],
    principal: Principal,
    site: str,
    look: Callable[[], Awaitable[Principal | None]],
) -> AsyncIterator[str]:
    yield event("beat", {})  # the page is live before anything changes
    scope, looked = principal.scope, time.monotonic()
    async with aclosing(source) as batches:
        async for batch in batches:
            if time.monotonic() - looked >= LOOK_SECONDS:
                current = await look()
                if current is None or current.scope == frozenset():
                    return
                scope, looked = current.scope, time.monotonic()
            seen = None if batch is None else within(batch, scope, site)
            message = {"reload": True} if seen is None else by_kind(seen)
            yield event("changes" if message else "beat", message)


async def gathered(
    changes: Changes, since: int | None = None, *, pause: float = PAUSE_SECONDS, beat: float = BEAT_SECONDS
) -> AsyncGenerator[list[Change] | None, None]:
    """Batches of changes with at least `pause` between them; an empty one after `beat` of silence; None: reload."""
    source = changes.subscribe(since)
    following = asyncio.ensure_future(anext(source))
    try:
        while True:
            batch: list[Change] | None = []
            done, _ = await asyncio.wait({following}, timeout=beat)
            while done and batch is not None:
                taken = following.result()
                following = asyncio.ensure_future(anext(source))
                batch = None if taken is None else batch + taken
                done, _ = await asyncio.wait({following}, timeout=0)
            yield batch
            await asyncio.sleep(pause)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await source.aclose()


def within(batch: Iterable[Change], scope: Scope, site: str) -> list[Change]:
    """What this principal may hear of; gateways belong to no site."""
    return [
        change
        for change in batch
        if (not change.site or covers(scope, change.site)) and (not site or change.site in ("", site))
    ]


def by_kind(batch: Iterable[Change]) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {}
    for change in batch:
        found.setdefault(change.kind, {})[change.id] = None
    return {kind: list(ids) for kind, ids in found.items()}


def event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
