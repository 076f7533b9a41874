"""A site's rules and its rule book: looked at, tried, shipped, compared, rolled back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import BaseModel, Field

from services.context import Context
from services.ids import new_id
from services.rulebook.desk import RuleBookDesk, Shipping
from services.rulebook.diff import Difference, compare
from services.rulebook.previews import Preview
from services.rulebook.rules import SiteRule, SiteRules, rules_of
from services.rules import book_store
from services.rules.book import RuleBook
from services.rules.book_store import Version
from services.rules.effective import SITE_RULES
from services.scope import NotFound
from services.sites.store import get_site
from services.web.pagination import Limit, Number, Page, page_of
from services.web.problems import Problem, not_found
from services.web.security import ContextOf, Crew, Engineer, Principal

if TYPE_CHECKING:
    from services.backtest.recipe import Recipe

router = APIRouter(prefix="/sites/{site}")
Id = Annotated[str, Path(max_length=64)]
VersionNumber = Annotated[int, Path(ge=0, le=2**31 - 1)]
IfMatch = Annotated[str | None, Header(description='The version you looked at, such as `"3"`.', max_length=40)]
_TAG: list[str | Enum] = ["rules"]
USUAL_PREVIEW = timedelta(days=7)


class VersionHead(BaseModel):
    """One version, without what it says."""

    version: int
    at: datetime | None
    who: str
    note: str
    preview: dict[str, Any] | None = Field(
        description="What the backtest said: counts under the old rules and the new; or `without` and the reason; or "
        "the version that a `rollback` went back to."
    )


class BookBody(VersionHead):
    site: str
    book: dict[str, Any] = Field(description="Changes by profile and rule, params by profile, and both by device.")


class Shipped(BaseModel):
    """The whole book as it is to be. What it leaves out is as the profiles say."""

    book: RuleBook
    version: int | None = Field(None, ge=0, description="The version you looked at; or the header If-Match.")
    note: str = Field("", max_length=500, description="Why, for those who read it next.")
    preview: str = Field("", max_length=64, description="Of a backtest of this very change.")
    without_preview: bool = Field(False, description="Ship it untried; then `reason` says why, and it is recorded.")
    reason: str = Field("", max_length=500)


class PreviewAsked(BaseModel):
    book: RuleBook
    version: int | None = Field(None, ge=0)
    start: datetime | None = Field(None, description="Default: seven days ago.")
    end: datetime | None = Field(None, description="Default: now.")


class PreviewBody(BaseModel):
    id: str
    site: str
    version: int
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    share: float = Field(description="How much of it is done: 0 to 1.")
    readings: int = Field(description="Replayed so far.")
    start: datetime
    end: datetime
    error: str
    report: dict[str, Any] | None


class RolledBack(BaseModel):
    to: int = Field(ge=0, le=2**31 - 1, description="The version to go back to; 0 is as the profiles say.")
    version: int | None = Field(None, ge=0, description="The newest version you looked at; or the header If-Match.")
    note: str = Field("", max_length=500)


class RulesBody(BaseModel):
    site: str
    version: int
    rules: list[dict[str, Any]]
    several: list[dict[str, Any]] = Field(description="Those over several devices, which stand in the site file.")
    problems: list[dict[str, Any]] = Field(description="What keeps rules from being evaluated.")


def desk_of(context: Context) -> RuleBookDesk:
    return RuleBookDesk(
        database=context.database, library=context.library, intake=context.intake, changes=context.changes
    )


def site_rules(context: Context, principal: Principal, site: str) -> SiteRules:
    """Raises NotFound where the site is not in scope."""
    with context.database.read() as connection:
        if get_site(connection, principal.scope, site) is None:
            raise NotFound("site", site)
        return rules_of(connection, context.library, site, context.clock.now(), context.intake.benched)


@router.get("/rules", tags=_TAG, summary="The rules that run at a site")
def list_rules(
    context: ContextOf,
    principal: Crew,
    site: Id,
    profile: Annotated[str | None, Query(max_length=64)] = None,
    problems: Annotated[bool, Query(description="Only those that something is wrong with.")] = False,
) -> RulesBody:
    """With thresholds, mode, how often each raised within seven days, and what keeps it from being evaluated."""
    found = site_rules(context, principal, site)
    rules = [one for one in found.rules if profile in (None, one.profile) and (one.problems or not problems)]
    return RulesBody(
        site=site,
        version=found.version,
        rules=[rule_json(one) for one in rules],
        several=[
            {**asdict(one), "id": one.id}
            for one in found.several
            if profile in (None, SITE_RULES) and (one.problems or not problems)
        ],
        problems=[asdict(one) for one in found.problems],
    )


def rule_json(rule: SiteRule) -> dict[str, Any]:
    return {**asdict(rule), "id": rule.id}


@router.get("/rule-book", tags=_TAG, summary="What a site changes about the rules of its profiles")
def get_book(context: ContextOf, principal: Crew, site: Id, response: Response) -> BookBody:
    """The version in force; its number stands in `ETag` too. Version 0 is the empty book."""
    found = desk_of(context).newest(principal.scope, site)
    response.headers["ETag"] = f'"{found.version}"'
    return _body(found)


@router.put("/rule-book", tags=_TAG, summary="Ship a change: the next version of the rule book")
def put_book(
    context: ContextOf, principal: Engineer, site: Id, said: Shipped, response: Response, if_match: IfMatch = None
) -> BookBody:
    """Needs the version you looked at, and the `preview` of this very change. It is in force from the next reading on.
    A newer version is answered with 409, a change that does not fit with 422; nothing has changed then."""
    shipping = Shipping(
        began_with=_began_with(said.version, if_match),
        book=said.book,
        note=said.note,
        preview=_preview(context, site, said.preview) if said.preview else None,
        without_preview=_reason(said),
    )
    found = desk_of(context).ship(principal.scope, site, shipping, by=principal.login, now=context.clock.now())
    response.headers["ETag"] = f'"{found.version}"'
    return _body(found)


@router.get("/rule-book/versions", tags=_TAG, summary="Every version: who, when, why")
def list_versions(
    context: ContextOf, principal: Crew, site: Id, limit: Limit = 100, cursor: Number = None
) -> Page[VersionHead]:
    """Newest first."""
    found = desk_of(context).versions(principal.scope, site, limit=limit + 1, before=cursor)
    return page_of([_head(one) for one in found], limit, lambda one: one.version)


@router.get("/rule-book/versions/{version}", tags=_TAG, summary="One version, whole")
def get_version(context: ContextOf, principal: Crew, site: Id, version: VersionNumber) -> BookBody:
    return _body(desk_of(context).version(principal.scope, site, version))


@router.get("/rule-book/versions/{version}/diff", tags=_TAG, summary="What a version changed")
def get_diff(
    context: ContextOf,
    principal: Crew,
    site: Id,
    version: VersionNumber,
    against: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Default: the version before it.")] = None,
) -> list[Difference]:
    """null: the book says nothing there, and the profile's own word stands."""
    desk = desk_of(context)
    after = desk.version(principal.scope, site, version)
    before = desk.version(principal.scope, site, max(0, version - 1) if against is None else against)
    return compare(before.book, after.book)


@router.post("/rule-book/previews", tags=_TAG, summary="Try a change on the past", status_code=202)
def ask_preview(context: ContextOf, principal: Engineer, site: Id, said: PreviewAsked) -> PreviewBody:
    """A backtest of the book you send against the one in force. Ask again with its id until `state` is done."""
    began_with = desk_of(context).newest(principal.scope, site).version if said.version is None else said.version
    return preview_body(start_preview(context, principal, site, began_with, said.book, said.start, said.end))


@router.get("/rule-book/previews/{preview}", tags=_TAG, summary="How a backtest fares, and what it found")
def get_preview(
    context: ContextOf, principal: Engineer, site: Id, preview: Annotated[str, Path(max_length=64)]
) -> PreviewBody:
    desk_of(context).newest(principal.scope, site)
    return preview_body(_preview(context, site, preview))


@router.delete("/rule-book/previews/{preview}", tags=_TAG, summary="Cancel a backtest of a change")
def cancel_preview(
    context: ContextOf, principal: Engineer, site: Id, preview: Annotated[str, Path(max_length=64)]
) -> PreviewBody:
    """It ends at its next step. One that is over stays as it is."""
    desk_of(context).newest(principal.scope, site)
    found = _preview(context, site, preview)
    context.jobs.cancel(found.id)
    return preview_body(found)


@router.post("/rule-book/rollback", tags=_TAG, summary="Go back to an older version")
def rollback(
    context: ContextOf, principal: Engineer, site: Id, said: RolledBack, response: Response, if_match: IfMatch = None
) -> BookBody:
    """What stood there becomes the next version; nothing is lost."""
    found = desk_of(context).rollback(
        principal.scope,
        site,
        said.to,
        began_with=_began_with(said.version, if_match),
        note=said.note,
        by=principal.login,
        now=context.clock.now(),
    )
    response.headers["ETag"] = f'"{found.version}"'
    return _body(found)


# --- shared with the pages ------------------------------------------------------------------------------------------


def start_preview(
    context: Context,
    principal: Principal,
    site: str,
    began_with: int,
    book: RuleBook,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Preview:
    """Raises NotFound, BookMoved, BookMistakes, TooManyJobs, or Problem for a stretch that cannot be tried."""
    # Imported here: the engine and its processes are of no use to who only looks at a page.
    from services.backtest.asking import LONGEST, check_stretch

    before = desk_of(context).check(principal.scope, site, began_with, book)
    now = context.clock.now()
    until = end or now
    since = start or until - USUAL_PREVIEW
    if since.tzinfo is None or until.tzinfo is None:
        raise Problem(422, "not-valid", "A time without a zone.", "Say the zone, such as 2026-03-01T00:00:00+08:00.")
    try:
        check_stretch(since, until)
    except ValueError as refused:
        next_step = f"`end` must be after `start`, by at most {LONGEST.days} days."
        raise Problem(422, "not-valid", str(refused), next_step) from refused
    asked = Preview(
        id=new_id(now),
        site=site,
        began_with=began_with,
        content=book_store.content_of(book),
        start=since,
        end=until,
        by=principal.login,
        asked_at=now,
    )
    return context.jobs.start(asked, _recipe(context, asked, before.book, book))


def _recipe(context: Context, asked: Preview, old: RuleBook, new: RuleBook) -> Recipe:
    # Imported here: the engine and its processes are of no use to who only looks at a page.
    from services.backtest.asking import devices_at
    from services.backtest.lanes import Focus, Variant
    from services.backtest.recipe import recipe_of

    return recipe_of(
        context,
        site=asked.site,
        there=devices_at(context, asked.site),
        old=Variant(context.library, old),
        new=Variant(context.library, new),
        start=asked.start,
        end=asked.end,
        focus=Focus("affected"),
    )


def preview_body(found: Preview) -> PreviewBody:
    return PreviewBody(
        id=found.id,
        site=found.site,
        version=found.began_with,
        state=found.state,
        share=round(found.share, 3),
        readings=found.readings,
        start=found.start,
        end=found.end,
        error=found.error,
        report=found.report.to_json() if found.report is not None else None,
    )


def _preview(context: Context, site: str, id: str) -> Preview:
    found = context.jobs.get(id, Preview)
    if found is None or found.site != site:
        raise not_found("preview", id)
    return found


def _reason(said: Shipped) -> str:
    if said.without_preview and not said.reason.strip():
        raise Problem(422, "not-valid", "`without_preview` without a reason.", "Say in `reason` why it is not tried.")
    return said.reason if said.without_preview else ""


def _began_with(version: int | None, if_match: str | None) -> int:
    if version is not None:
        return version
    tag = (if_match or "").strip().removeprefix("W/").strip('"')
    if not tag.isdecimal() or len(tag) > 9:
        raise Problem(
            428,
            "version-needed",
            "It does not say which version it began with.",
            "Send `version`, or If-Match with the ETag of the rule book you looked at.",
        )
    return int(tag)


def _head(found: Version) -> VersionHead:
    return VersionHead(version=found.version, at=found.at, who=found.who, note=found.note, preview=found.preview)


def _body(found: Version) -> BookBody:
    content: Mapping[str, Any] = found.content
    return BookBody(**_head(found).model_dump(), site=found.site, book=dict(content))
