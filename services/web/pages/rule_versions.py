"""The rule book of a site: its versions, what differs between them, back to an older one."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import RedirectResponse, Response

from services.accounts.policy import Role
from services.context import Context
from services.rulebook.api import desk_of
from services.rulebook.desk import BookMistakes
from services.rulebook.diff import compare
from services.rules.book_store import BookMoved
from services.web.pages.render import reader_of, render, zone_of
from services.web.pages.rule_place import SHOWN, SiteId, differences_at, place_of
from services.web.security import ContextOf, Crew, Engineer, Principal
from services.web.views import board
from services.web.views.mistake_words import mistake_said

router = APIRouter(prefix="/rules", include_in_schema=False)
Shipped = Annotated[int | None, Query(ge=0, le=2**31 - 1)]
"""A version that has just become the newest."""
VersionNumber = Annotated[int, Path(ge=0, le=2**31 - 1)]


@router.get("/versions")
def versions(
    request: Request,
    context: ContextOf,
    principal: Crew,
    site: SiteId = "",
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    shipped: Shipped = None,
) -> Response:
    reader = reader_of(request, principal)
    place, _ = place_of(context, principal, site)
    found = desk_of(context).versions(principal.scope, place.id, limit=SHOWN + 1, before=before)
    with context.database.read() as connection:
        names = board.names_of(connection)
    return render(
        request,
        "rule_versions.html",
        reader,
        site=place,
        zone=zone_of(place.timezone),
        versions=found[:SHOWN],
        newest=(newest := desk_of(context).newest(principal.scope, place.id)).version,
        shipped=newest if newest.version == shipped else None,
        may_edit=principal.may(Role.ENGINEER, place.id),
        more=found[SHOWN - 1].version if len(found) > SHOWN else 0,
        names=names,
    )


@router.get("/versions/{version}")
def version(
    request: Request,
    context: ContextOf,
    principal: Crew,
    version: VersionNumber,
    site: SiteId = "",
    against: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
    moved: Shipped = None,
) -> Response:
    """What it changed, or how it differs from any other."""
    return _version_page(request, context, principal, site, version, against, moved=moved or 0)


@router.post("/versions/{version}/rollback")
def rollback(
    request: Request,
    context: ContextOf,
    principal: Engineer,
    version: VersionNumber,
    began_with: Annotated[int, Form(ge=0, le=2**31 - 1)],
    site: SiteId = "",
    note: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    try:
        found = desk_of(context).rollback(
            principal.scope,
            site,
            version,
            began_with=began_with,
            note=note,
            by=principal.login,
            now=context.clock.now(),
        )
    except BookMoved as moved:
        said = urlencode({"site": site, "moved": moved.newest.version})
        return RedirectResponse(f"/rules/versions/{version}?{said}", status_code=303)
    except BookMistakes as error:
        return _version_page(request, context, principal, site, version, None, mistake=str(error))
    return RedirectResponse(f"/rules/versions?{urlencode({'site': site, 'shipped': found.version})}", status_code=303)


def _version_page(
    request: Request,
    context: Context,
    principal: Principal,
    site: str,
    version: int,
    against: int | None,
    mistake: str = "",
    moved: int = 0,
) -> Response:
    reader = reader_of(request, principal)
    place, _ = place_of(context, principal, site)
    desk = desk_of(context)
    after = desk.version(principal.scope, place.id, version)
    newest = desk.newest(principal.scope, place.id)
    if against is None:  # nothing stands before version 0: there the question is what has become of it
        against = version - 1 if version else newest.version
    before = desk.version(principal.scope, place.id, against)
    with context.database.read() as connection:
        names = board.names_of(connection)
    found = compare(before.book, after.book)
    return render(
        request,
        "rule_version.html",
        reader,
        status=409 if mistake else 200,
        site=place,
        zone=zone_of(place.timezone),
        version=after,
        against=before,
        newest=newest.version,
        in_force=newest.content,
        names=names,
        mistake=mistake_said(mistake, reader.t),
        moved=moved,
        differences=differences_at(context, place, before.book, after.book, found, reader),
        may_edit=principal.may(Role.ENGINEER, place.id),
    )
