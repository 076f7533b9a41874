"""Is it well: one word for everybody, the reasons for engineers."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from services.database import Database
from services.holding import owner_of
from services.notices.steps import Gap, steps_of
from services.rulebook.problems import RuleProblem, problems_of
from services.sites.store import list_gateways, open_counts
from services.tables import notices
from services.web.problems import Problem
from services.web.security import Anybody, ContextOf, Engineer

router = APIRouter(tags=["health"])


class Health(BaseModel):
    status: Literal["ok"] = "ok"
    version: str = Field(examples=["0.1.0"])


class GatewayHealth(BaseModel):
    id: str
    cursor: int = Field(description="Last journal sequence committed here.")
    progress_at: datetime | None = Field(description="How far the gateway has seen time pass.")
    heard_at: datetime | None
    silent_seconds: float | None
    status: dict[str, Any] = Field(description="What the gateway last said about itself.")


class DatabaseHolder(BaseModel):
    """The process that judges by the database; what it could not be asked for is empty."""

    host: str
    pid: int
    since: datetime | None


class HealthDetail(Health):
    now: datetime
    database_held_by: DatabaseHolder | None = Field(
        description="Which Courtyard holds the database; null: none does, so that a second one could start."
    )
    gateways: list[GatewayHealth]
    open: dict[str, Any] = Field(description="What is open within your sites.")
    notices: dict[str, int] = Field(description="Notices of your sites by state: queued, delivered, failed.")
    rules_not_evaluated: list[RuleProblem] = Field(
        description="What keeps rules of your sites from being evaluated. `never_sent` may be a sensor they lack."
    )
    steps_with_nobody: list[Gap] = Field(
        description="Steps on which nobody of your sites hears of alarms that nobody acknowledged."
    )
    unmatched_answers: int = Field(description="Answers of devices to commands that are not ours, since the start.")


@router.get("/health", summary="Whether Courtyard answers and its database does")
def health(context: ContextOf, _: Anybody) -> Health:
    """For load balancers and watchdogs: 200 when the database answers, else 503."""
    try:
        with context.database.read() as connection:
            connection.execute(select(1))
    except SQLAlchemyError as error:
        raise Problem(503, "database", "The database does not answer.", "Run `courtyard doctor`.") from error
    return Health(version=version("courtyard"))


@router.get("/health/detail", summary="Gateways, their backlog, and what is open")
def health_detail(context: ContextOf, principal: Engineer) -> HealthDetail:
    now = context.clock.now()
    sent = select(notices.c.state, func.count()).group_by(notices.c.state)
    if principal.scope is not None:
        sent = sent.where(notices.c.site.in_(sorted(principal.scope)))
    with context.database.read() as connection:
        gateways = [
            GatewayHealth(**asdict(row), silent_seconds=(now - row.heard_at).total_seconds() if row.heard_at else None)
            for row in list_gateways(connection)
        ]
        counts = open_counts(connection, principal.scope)
        silent = problems_of(connection, context.library, principal.scope, context.intake.benched)
        steps = steps_of(connection, principal.scope)
        states = {row[0]: row[1] for row in connection.execute(sent)}
    return HealthDetail(
        version=version("courtyard"),
        now=now,
        database_held_by=_holder(context.database),
        gateways=gateways,
        open=asdict(counts),
        notices=states,
        rules_not_evaluated=silent,
        steps_with_nobody=list(steps.gaps),
        unmatched_answers=context.intake.unmatched_answers,
    )


def _holder(database: Database) -> DatabaseHolder | None:
    owner = owner_of(database)
    return None if owner is None else DatabaseHolder(host=owner.host, pid=owner.pid, since=owner.since)
