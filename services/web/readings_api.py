"""The history of a device's metrics, from the telemetry store."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field

from gateway.reading import Value, child_kind
from services.clock import from_millis, to_millis
from services.context import Context
from services.sites.store import get_device
from services.web.problems import Problem, not_found
from services.web.security import ContextOf, Crew

router = APIRouter(tags=["readings"])

_DEFAULT_SPAN = timedelta(hours=24)
_EARLIEST, _LATEST = from_millis(0), from_millis(253_402_300_799_000)


class ReadingPoint(BaseModel):
    at: datetime
    value: Value = Field(description="A number, a state's word, or null where the device erased the value.")


class Readings(BaseModel):
    """Points per metric, oldest first. A gap is a gap: nothing is filled in."""

    device: str
    child: str = Field(examples=["port:3"])
    start: datetime
    end: datetime
    metrics: dict[str, list[ReadingPoint]] = Field(
        examples=[{"power": [{"at": "2026-03-01T08:00:00Z", "value": 412.5}]}]
    )


@router.get("/readings", summary="What a device measured")
def readings(
    context: ContextOf,
    principal: Crew,
    device: Annotated[str, Query(min_length=1, max_length=200)],
    child: Annotated[str, Query(max_length=64, description='"" for the device itself, else like "port:3".')] = "",
    metrics: Annotated[
        list[Annotated[str, Field(max_length=64)]] | None,
        Query(max_length=50, description="Which metrics and states; all of the profile when left out."),
    ] = None,
    start: Annotated[AwareDatetime | None, Query(alias="from", description="Default: 24 hours before `to`.")] = None,
    end: Annotated[AwareDatetime | None, Query(alias="to", description="Default: now.")] = None,
    limit: Annotated[int, Query(ge=2, le=20_000, description="Points per metric; more are thinned.")] = 2000,
) -> Readings:
    """Points with from <= at < to. Where there are more than `limit`, the lowest and highest of each stretch stay."""
    with context.database.read() as connection:
        found = get_device(connection, principal.scope, device)
    if found is None:
        raise not_found("device", device)
    end = _within(end or context.clock.now())
    start = _within(start) if start else max(_EARLIEST, end - _DEFAULT_SPAN)
    if start >= end:
        raise Problem(422, "not-valid", "`from` is not before `to`.", "Ask for a span of time that is not empty.")
    points = context.telemetry.range(
        device=device,
        child=child,
        metrics=metrics or _all_metrics(context, found.profile, child),
        start=to_millis(start),
        end=to_millis(end),
        limit=limit,
    )
    shown = {
        metric: [ReadingPoint(at=from_millis(point.at), value=point.value) for point in of_metric]
        for metric, of_metric in points.items()
    }
    return Readings(device=device, child=child, start=start, end=end, metrics=shown)


def _all_metrics(context: Context, profile: str, child: str) -> list[str]:
    found = context.library.get(profile)
    if found is None:
        return []
    scope = child_kind(child) or None
    metrics = [name for name, metric in found.metrics.items() if metric.scope == scope]
    return metrics + [name for name, state in found.states.items() if state.scope == scope]


def _within(at: datetime) -> datetime:
    return min(max(at, _EARLIEST), _LATEST)
