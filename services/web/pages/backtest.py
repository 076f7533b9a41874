"""Backtests: what other rules would have done. Asked for on a form, followed while they run, then shown with curves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from device_profiles.schema import Text
from device_profiles.yaml_lines import YamlMistake, read_yaml
from services import tables
from services.accounts.policy import Role
from services.backtest.api import JobId, check, job_of, started
from services.backtest.jobs import Backtest
from services.backtest.report import Report
from services.context import Context
from services.groups.rule import SITE_RULES
from services.rulebook.api import desk_of
from services.rulebook.edit import PARAM, Target, edited
from services.rules.book import RuleBook
from services.scope import NotFound
from services.sites import store
from services.sites.store import Site
from services.tables import devices
from services.web.i18n import N_
from services.web.pages.again import shown_again, typed_before
from services.web.pages.render import Reader, reader_of, render, zone_of
from services.web.pages.rule_place import as_in
from services.web.pages.words import Mark
from services.web.problems import Problem
from services.web.security import ContextOf, Engineer, Principal
from services.web.views import backtest as view
from services.web.views.agreement import agreement
from services.web.views.backtest_mistakes import placed
from services.web.views.mistake_words import mistake_said

router = APIRouter(prefix="/rules/backtest", include_in_schema=False)
SPANS = {"24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
Span = Literal["24h", "7d", "30d"]
_FIELDS = ("when", "for", "clear_when", "clear_for", "severity")
T = TypeVar("T")
_LARGEST = 200_000
STATES = {
    "waiting": Mark("waiting", N_("Waits for its turn"), "idle", "clock"),
    "running": Mark("running", N_("Runs"), "active", "clock"),
    "done": Mark("done", N_("Done"), "ok", "ok"),
    "failed": Mark("failed", N_("Failed"), "bad", "octagon"),
    "cancelled": Mark("cancelled", N_("Cancelled"), "idle", "cancel"),
}
Short = Annotated[str, Form(max_length=1000)]


@router.get("")
def form(
    request: Request,
    context: ContextOf,
    principal: Engineer,
    site: Annotated[str, Query(max_length=64)] = "",
    rule: Annotated[str, Query(max_length=120)] = "",
    begin: Annotated[str, Query(alias="from", max_length=40)] = "",
    end: Annotated[str, Query(alias="to", max_length=40)] = "",
) -> Response:
    """What to try, and the backtests that were asked for lately; or what was typed and refused, and why. `from` and
    `to`: on the clock of the site."""
    typed = typed_before(request.query_params)
    if typed:
        return _form(request, context, principal, site, typed, _mistake(context, principal, site, typed))
    return _form(request, context, principal, site, {"rule": rule, "span": "7d", "from": begin, "to": end})


@router.post("")
async def ask(
    request: Request,
    context: ContextOf,
    principal: Engineer,
    site: Annotated[str, Form(max_length=64)],
    span: Annotated[Span, Form()] = "7d",
    begin: Annotated[str, Form(alias="from", max_length=40)] = "",
    end: Annotated[str, Form(alias="to", max_length=40)] = "",
    rule: Annotated[str, Form(max_length=120)] = "",
    when: Short = "",
    for_: Annotated[str, Form(alias="for", max_length=20)] = "",
    clear_when: Short = "",
    clear_for: Annotated[str, Form(max_length=20)] = "",
    severity: Annotated[str, Form(max_length=16)] = "",
    params: Annotated[str, Form(max_length=4000)] = "",
    change: Annotated[str, Form(max_length=_LARGEST)] = "",
) -> Response:
    """Starts it; a mistake of the person is said on the form."""
    fields = dict(zip(_FIELDS, (when, for_, clear_when, clear_for, severity), strict=True))
    values = {**fields, "rule": rule, "span": span, "params": params, "change": change, "from": begin, "to": end}
    try:
        job = await run_in_threadpool(_ask, started, context, principal, site, values)
    except (Problem, ValueError) as refused:
        # A mistake of the moment (too many are under way) is not found again from what was typed.
        again = _mistake(context, principal, site, values) and shown_again("/rules/backtest", {"site": site}, values)
        return again or _form(request, context, principal, site, values, _said(refused))
    return RedirectResponse(f"/rules/backtest/{job.id}", status_code=303)


def _ask(do: Callable[..., T], context: Context, principal: Principal, site: str, values: dict[str, str]) -> T:
    """Raises Problem, ValueError."""
    typed = dict.fromkeys((*_FIELDS, "rule", "span", "params", "change", "from", "to"), "") | values
    start, until = _stretch(context, principal, site, typed["span"], typed["from"], typed["to"])
    fields = {name: typed[name] for name in _FIELDS}
    wanted: Any = typed["change"].replace("\r\n", "\n") or book_of(typed["rule"], fields, typed["params"])
    return do(context, principal, site=site, start=start, end=until, rule=typed["rule"], change=wanted)


def _mistake(context: Context, principal: Principal, site: str, values: dict[str, str]) -> str:
    try:
        _ask(check, context, principal, site, values)
    except (Problem, ValueError) as refused:
        return _said(refused)
    return ""


def _said(refused: Problem | ValueError) -> str:
    return refused.detail if isinstance(refused, Problem) else str(refused)


@router.get("/{backtest}")
def result(request: Request, context: ContextOf, principal: Engineer, backtest: JobId) -> Response:
    """How far it is; then old rules against new ones, and the curves of what differs."""
    job = job_of(context, principal, backtest)
    if job.is_over and "hx-request" in request.headers:
        return Response(headers={"HX-Refresh": "true"})  # the curves need their scripts
    reader = reader_of(request, principal)
    site = _site(context, principal, job.site)
    zone = zone_of(site.timezone)
    return render(
        request,
        "backtest_result.html",
        reader,
        job=job,
        site=site,
        zone=zone,
        zone_name=site.timezone,
        states=STATES,
        ahead=context.jobs.ahead_of(job),
        error=mistake_said(job.error, reader.t),
        **_found(job.report, context, reader),
    )


@router.post("/{backtest}/cancel")
def cancel(context: ContextOf, principal: Engineer, backtest: JobId) -> Response:
    job = job_of(context, principal, backtest)
    context.jobs.cancel(job.id)
    return RedirectResponse(f"/rules/backtest/{job.id}", status_code=303)


def _stretch(
    context: Context, principal: Principal, site: str, span: str, begin: str, end: str
) -> tuple[datetime, datetime]:
    """From where to where; without a beginning as long as `span`, without an end until now. Raises ValueError."""
    zone, now = zone_of(_site(context, principal, site).timezone), context.clock.now()
    until = _moment("to", end, zone) if end else now
    return (_moment("from", begin, zone) if begin else until - SPANS.get(span, SPANS["7d"])), min(until, now)


def _moment(field: str, text: str, zone: ZoneInfo) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{field}: found {text!r}, expected a date and a time such as 2026-03-01T08:00") from None
    try:
        return found.replace(tzinfo=found.tzinfo or zone).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{field}: found {text!r}, expected a date of this age") from None


def book_of(rule: str, fields: dict[str, str], params: str) -> RuleBook:
    """What the form says, as part of a rule book. Raises ValueError."""
    profile, _, id = rule.partition("/")
    said = {name: value.strip() for name, value in fields.items() if value.strip()}
    values = _params(params)
    if (said or values) and not id:
        raise ValueError("choose the rule that is to be changed")
    content: dict[str, Any] = {"rules": {profile: {id: said}} if said else {}}
    content["params"] = {profile: values} if values else {}
    try:
        return RuleBook.model_validate(content)
    except ValidationError as error:
        raise ValueError("; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())) from None


def _params(text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        found = read_yaml(text.replace("\r\n", "\n")).data
    except YamlMistake as mistake:
        raise ValueError(f"params: {mistake}") from None
    if not isinstance(found, dict):
        raise ValueError("params: expected a line such as `low: 0.3` for each")
    return found


def _found(report: Report | None, context: Context, reader: Reader) -> dict[str, Any]:
    if report is None:
        return {"report": None}
    return {
        "report": report,
        "sum": view.lines(report.old, report.new, reader.t),
        "rules": view.rules(report, reader.t, reader.language),
        "notes": [one.text.in_(reader.language) for one in report.notes],
        "drawn": view.drawn(report, context.library, reader.language),
        "actual": agreement(report, reader.t, reader.language),
    }


def _form(
    request: Request, context: Context, principal: Principal, site: str, values: dict[str, str], mistake: str = ""
) -> Response:
    reader = reader_of(request, principal)
    with context.database.read() as connection:
        every = {one.id: one for one in store.list_sites(connection, principal.scope)}
    sites = {id: one for id, one in every.items() if principal.may(Role.ENGINEER, id)}
    found = sites.get(site or next(iter(sites), ""))
    if found is None:
        raise NotFound("site", site)
    return render(
        request,
        "backtest.html",
        reader,
        status=422 if mistake and request.method == "POST" else 200,
        site=found,
        sites=sites,
        zone=zone_of(found.timezone),
        rules=_rules(context, found, reader),
        values=dict.fromkeys((*_FIELDS, "params", "change", "from", "to"), "") | values,
        mistakes=placed(mistake, _of_fields(context, principal, found, values) if mistake else {}, reader.t),
        states=STATES,
        jobs=_lately(context, frozenset(sites)),
    )


def _of_fields(context: Context, principal: Principal, site: Site, values: dict[str, str]) -> dict[str, str]:
    """What the form of the rule itself says of the same words, field by field; nothing where no such rule is chosen."""
    profile, _, rule = values.get("rule", "").partition("/")
    known = context.library.get(profile)
    if values.get("change") or known is None or all(one.id != rule for one in known.rules):
        return {}
    target, newest = Target(profile, rule, ""), desk_of(context).newest(principal.scope, site.id)
    typed = {name: text for name in _FIELDS if (text := values.get(name, "").strip())}
    with suppress(ValueError):  # that they are no params is said as well
        typed |= {f"{PARAM}{name}": str(value) for name, value in _params(values.get("params", "")).items()}
    now = as_in(context, site, newest.book, newest.version, target)
    return dict(edited(newest.book, target, known, typed, now).mistakes)


def _lately(context: Context, sites: frozenset[str]) -> list[Backtest]:
    return context.jobs.of_sites(sites, Backtest)[:10]


def _rules(context: Context, site: Site, reader: Reader) -> dict[str, str]:
    """ "profile/rule" -> what it is called, of the profiles in use there."""
    with context.database.read() as connection:
        here = select(devices.c.profile).where(devices.c.site == site.id, devices.c.retired_at.is_(None)).distinct()
        used = set(connection.scalars(here))
        over_several = connection.scalar(select(tables.sites.c.rules).where(tables.sites.c.id == site.id)) or []
    known = [context.library[profile] for profile in sorted(used) if profile in context.library]
    return {
        f"{profile.id}/{rule.id}": f"{profile.name.in_(reader.language)}: {rule.name.in_(reader.language)}"
        for profile in known
        for rule in profile.rules
    } | {f"{SITE_RULES}/{one['id']}": Text.model_validate(one["name"]).in_(reader.language) for one in over_several}


def _site(context: Context, principal: Principal, site: str) -> Site:
    with context.database.read() as connection:
        found = store.get_site(connection, principal.scope, site)
    if found is None:
        raise NotFound("site", site)
    return found
