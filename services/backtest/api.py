"""Backtests over the API: ask for one, look how it fares, cancel it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from services.accounts.policy import Role
from services.backtest.jobs import Backtest, TooManyJobs
from services.context import Context
from services.rules.book import RuleBook
from services.scope import NotFound
from services.sites import store as sites
from services.web.problems import Problem, not_found
from services.web.security import ContextOf, Engineer, Principal

T = TypeVar("T")
router = APIRouter(prefix="/backtests", tags=["rules"])
JobId = Annotated[str, Path(max_length=64)]


class Asked(BaseModel):
    """Without a change it says what the live rules would have done."""

    model_config = ConfigDict(extra="forbid")

    site: str = Field(max_length=64)
    start: AwareDatetime = Field(alias="from")
    end: AwareDatetime = Field(alias="to")
    rule: str = Field(
        "", max_length=120, description="PROFILE/RULE: judge this one alone.", examples=["booster_set/pressure_low"]
    )
    change: RuleBook = Field(
        default_factory=RuleBook,
        description="What the site's rule book would say besides what it says.",
        examples=[{"rules": {"booster_set": {"pressure_low": {"for": "5m"}}}}],
    )
    everything: bool = Field(False, description="Judge also rules that the change does not touch.")


class BacktestBody(BaseModel):
    id: str
    site: str
    start: datetime
    end: datetime
    rule: str
    change: str
    asked_by: str
    asked_at: datetime
    state: str = Field(description="waiting, running, done, failed or cancelled")
    progress: float = Field(description="0 to 1")
    readings: int
    error: str
    report: dict[str, Any] | None = Field(
        description="Once it is done: counts per rule and device under the old and the new rules, and what differs."
    )


@router.post("", summary="Try a change on the past", status_code=202)
def ask_backtest(context: ContextOf, principal: Engineer, said: Asked) -> BacktestBody:
    """It runs in the background; ask again with its id until `state` is done. It changes nothing."""
    return _body(
        started(
            context,
            principal,
            site=said.site,
            start=said.start,
            end=said.end,
            rule=said.rule,
            change=said.change,
            everything=said.everything,
        )
    )


@router.get("/{backtest}", summary="How a backtest fares, and what it found")
def get_backtest(context: ContextOf, principal: Engineer, backtest: JobId) -> BacktestBody:
    """Kept until services start again, the newest thirty of a site; fewer where results are large.

    The sums hold everything. Lists are cut: at most 2,000 `differences`, 50 of one rule on one device, and 200 devices
    of a rule besides theirs; `more_differences`, `more_devices` and `agreement.more` say how many are left out. To see
    others, ask about one rule or a shorter time; `courtyard backtest --json` lists all."""
    return _body(job_of(context, principal, backtest))


@router.delete("/{backtest}", summary="Cancel a backtest")
def cancel_backtest(context: ContextOf, principal: Engineer, backtest: JobId) -> BacktestBody:
    """It ends at its next step. One that is over stays as it is."""
    job = job_of(context, principal, backtest)
    context.jobs.cancel(job.id)
    return _body(job)


# --- shared with the pages ----------------------------------------


def job_of(context: Context, principal: Principal, id: str) -> Backtest:
    """Raises a Problem where there is none that this person may see."""
    found = context.jobs.get(id, Backtest)
    if found is None or not principal.may(Role.ENGINEER, found.site):
        raise not_found("backtest", id)
    return found


def started(context: Context, principal: Principal, *, site: str, **asked: Any) -> Backtest:
    """Raises NotFound, or a Problem that says what was expected."""
    # Imported here: the engine and its processes are of no use to who only looks at a page.
    from services.backtest.asking import ask

    return _said_well(ask, context, principal, site=site, **asked)


def check(context: Context, principal: Principal, *, site: str, **asked: Any) -> None:
    """As `started`, and nothing is started."""
    from services.backtest.asking import prepared

    _said_well(prepared, context, principal, site=site, **asked)


def _said_well(ask: Callable[..., T], context: Context, principal: Principal, *, site: str, **asked: Any) -> T:
    from device_profiles.library import ProfileMistakes

    with context.database.read() as connection:
        if sites.get_site(connection, principal.scope, site) is None or not principal.may(Role.ENGINEER, site):
            raise NotFound("site", site)
    try:
        return ask(context, site=site, by=principal.login, **asked)
    except TooManyJobs as full:
        raise Problem(429, "too-many", str(full), "Wait until one of them is done, or cancel one.") from full
    except ProfileMistakes as mistakes:
        raise Problem(
            422, "not-valid", str(mistakes), "Mend the profile: the lines are those of its text."
        ) from mistakes
    except ValueError as refused:
        raise Problem(422, "not-valid", str(refused), "Ask for what was expected.") from refused


def _body(job: Backtest) -> BacktestBody:
    return BacktestBody(
        id=job.id,
        site=job.site,
        start=job.start,
        end=job.end,
        rule=job.rule,
        change=job.change,
        asked_by=job.by,
        asked_at=job.asked_at,
        state=job.state,
        progress=round(job.share, 3),
        readings=job.readings,
        error=job.error,
        report=None if job.report is None else job.report.to_json(),
    )
