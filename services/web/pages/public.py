"""The page residents read: what works, what does not, since when, and when the next news comes."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from services.web.pages.render import reader_of, render, zone_of
from services.web.problems import not_found
from services.web.security import Anybody, ContextOf
from services.web.views.public import public_page

router = APIRouter(include_in_schema=False)


@router.get("/public/{site}")
def outages(request: Request, context: ContextOf, _: Anybody, site: str) -> Response:
    """The same for everybody, signed in or not, so that it may be cached."""
    reader = reader_of(request)
    with context.database.read() as connection:
        page = public_page(connection, site, reader.t, reader.now)
    if page is None:
        raise not_found("site", site)
    response = render(
        request,
        "public.html",
        reader,
        page=page,
        zone=zone_of(page.site.timezone),
        zone_name=page.site.timezone,
    )
    if "set-cookie" not in response.headers:  # a cache must not hand one reader's language to the next
        response.headers["Cache-Control"] = "public, max-age=15"
    return response
