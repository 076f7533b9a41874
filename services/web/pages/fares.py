"""How Courtyard itself fares: every failure has a place to be seen, also without Prometheus."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from gateway.telemetry.spool import SpooledTelemetry
from services.accounts.policy import Role, scope_of
from services.presence.forgetting import forgetting_of
from services.scope import NotFound
from services.sites.store import list_gateways
from services.web.pages.render import reader_of, render
from services.web.security import ContextOf, GlobalAdmin, Principal, requires_everywhere
from services.web.views.fares import Figures, forgettable_of, sections, worst

router = APIRouter(include_in_schema=False)
# What is counted is counted over all sites.
GlobalEngineer = Annotated[Principal, Depends(requires_everywhere(Role.ENGINEER))]


@router.get("/health")
def fares(request: Request, context: ContextOf, principal: GlobalEngineer) -> Response:
    """The figures of this process, and what gateways last said about themselves."""
    reader = reader_of(request, principal)
    with context.database.read() as connection:
        gateways = list_gateways(connection)
    silent_after = context.settings.gateway_silent_after
    telemetry = context.telemetry
    found = sections(
        Figures(context.metrics.collect()),
        gateways,
        reader.now,
        reader.t,
        silent_after=silent_after,
        telemetry_error=telemetry.error if isinstance(telemetry, SpooledTelemetry) else "",
    )
    is_admin = scope_of(principal.grants, Role.ADMIN) is None
    return render(
        request,
        "fares.html",
        reader,
        sections=found,
        worst=worst(found),
        version=version("courtyard"),
        forgettable=forgettable_of(gateways, reader.now, silent_after) if is_admin else (),
    )


@router.post("/health/gateways/{gateway}/forget")
def forget(context: ContextOf, principal: GlobalAdmin, gateway: str) -> Response:
    """A gateway that was taken down for good."""
    with suppress(NotFound):  # somebody was faster, as the page shows
        forgetting_of(context).forget(gateway, who=principal.login, now=context.clock.now())
    return RedirectResponse("/health", status_code=303)
