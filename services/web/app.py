"""The web application: the API under /api/v1 and the pages, behind one door."""

from __future__ import annotations

from functools import cache
from importlib import import_module, resources
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRouter
from fastapi.staticfiles import StaticFiles
from starlette.routing import BaseRoute

from services.context import Context
from services.metrics.web import CountRequests, WebFigures
from services.web import api, intake_api, problems, security, session_routes
from services.web.headers import BodyCap, SecurityHeaders
from services.web.pages.errors import install as install_error_pages

BODY_CAP = 256 * 1024
"""Bytes a request may carry; the intake of readings has its own cap."""


def create_app(context: Context) -> FastAPI:
    """All routes over this context. Raises UndeclaredRoute when one says neither its role nor that it is public."""
    app = FastAPI(
        title="Courtyard",
        version=api.VERSION,
        description=api.DESCRIPTION,
        openapi_url=None,  # served as routes of our own, which declare their access like all others
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        routes=list(_routes()),
    )
    app.state.context = context
    problems.install(app)
    install_error_pages(app)
    static = resources.files("services.web") / "static"
    app.mount("/static", StaticFiles(directory=str(static)), name="static")
    security.refuse_undeclared(app)
    api.describe_access(app)
    app.add_middleware(BodyCap, cap=BODY_CAP, larger={f"{api.PREFIX}/intake": intake_api.BATCH_CAP})
    app.add_middleware(SecurityHeaders)
    figures = WebFigures(app)
    app.add_middleware(CountRequests, figures=figures)  # around all others: what they refuse is counted as well
    context.metrics.watch("web", figures)
    return app


@cache
def _routes() -> tuple[BaseRoute, ...]:
    """Made once in a process: they hold no context, and what FastAPI works out about them takes most of the time that
    an application needs to start. Tests start hundreds."""
    everything = APIRouter()
    everything.include_router(api.router)
    everything.include_router(session_routes.router)
    for module in ("services.web.pages", "services.web.live", "services.metrics.api"):
        router: Any = getattr(import_module(module), "router", None)
        if isinstance(router, APIRouter):
            everything.include_router(router)
    return tuple(everything.routes)
