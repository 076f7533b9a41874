"""How Courtyard itself fares: every failure has a place to be seen, also without Prometheus."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from gateway.telemetry.spool import SpooledTelemetry
from services.accounts.policy import Role
from services.sites.store import list_gateways
from services.web.pages.render import reader_of, render
from services.web.security import ContextOf, Principal, requires_everywhere
from services.web.views.fares import Figures, sections, worst

router = APIRouter(include_in_schema=False)
# What is counted is counted over all sites.
GlobalEngineer = Annotated[Principal, Depends(requires_everywhere(Role.ENGINEER))]


@router.get("/health")
def fares(request: Request, context: ContextOf, principal: GlobalEngineer) -> Response:
    """The figures of this process, and what gateways last said about themselves."""
    reader = reader_of(request, principal)
    with context.database.read() as connection:
        gateways = list_gateways(connection)
    telemetry = context.telemetry
    found = sections(
        Figures(context.metrics.collect()),
        gateways,
        reader.now,
        reader.t,
        silent_after=context.settings.gateway_silent_after,
        telemetry_error=telemetry.error if isinstance(telemetry, SpooledTelemetry) else "",
    )
    return render(request, "fares.html", reader, sections=found, worst=worst(found), version=version("courtyard"))
