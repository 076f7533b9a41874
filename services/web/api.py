"""/api/v1: the routes of all features under one roof, the OpenAPI document, and a page that lists it."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse
from markupsafe import Markup, escape

from services.accounts import api as accounts
from services.adoption import api as adoption
from services.backtest import api as backtest
from services.commands import api as commands
from services.events import api as events
from services.maintenance import api as maintenance
from services.notices import api as notices
from services.outages import api as outages
from services.presence import api as presence
from services.rulebook import api as rulebook
from services.rulebook import explain_api as explanations
from services.rules import api as alarms
from services.sites import api as sites
from services.tickets import api as tickets
from services.web import health_api, intake_api, quarantine_api, readings_api, try_api
from services.web.problems import ProblemBody
from services.web.security import Access, Anybody, declared_routes

VERSION = version("courtyard")
PREFIX = "/api/v1"
DESCRIPTION = """\
Devices, readings, alarms, tickets and outages of residential communities.

Sign in with a session (pages) or send `Authorization: Bearer <token>`; `courtyard token create` makes tokens.
Every operation says in `x-access` which role it needs; what you see is limited to the sites where you have that role,
and anything elsewhere is answered as if it did not exist. Requests that change something and come with a session
carry its token in `X-CSRF-Token`. Errors are `application/problem+json` and say in `next_step` what to do.
Times are RFC 3339 in UTC. Lists come in pages: `limit`, and `cursor` = `next` of the page before."""

_docs = APIRouter()


@_docs.get("/openapi.json", tags=["about"], summary="This document", response_class=JSONResponse)
def openapi(request: Request, _: Anybody) -> JSONResponse:
    """The API as OpenAPI 3.1."""
    return JSONResponse(request.app.openapi())


@_docs.get("/docs", tags=["about"], summary="The API on one page", response_class=HTMLResponse)
def docs(request: Request, _: Anybody) -> HTMLResponse:
    """What operations there are, without anything from another server."""
    return HTMLResponse(_docs_page(request.app.openapi()))


router = APIRouter(prefix=PREFIX)
for part in (
    health_api.router,
    sites.router,
    adoption.router,
    presence.router,
    readings_api.router,
    events.router,
    alarms.router,
    maintenance.router,
    rulebook.router,
    explanations.router,
    backtest.router,
    commands.router,
    tickets.router,
    outages.router,
    notices.router,
    quarantine_api.router,
    try_api.router,
    intake_api.router,
    accounts.router,
    _docs,
):
    router.include_router(part)


def describe_access(app: FastAPI) -> None:
    """Let the OpenAPI document say of each operation what it needs and how it refuses."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = schema.setdefault("components", {})
    models = components.setdefault("schemas", {})
    models["Problem"] = ProblemBody.model_json_schema()
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": "courtyard_session"},
    }
    needs = {(route.path, method.lower()): route.access for route in declared_routes(app) for method in route.methods}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            _describe(operation, needs[path, method])
    models.pop("HTTPValidationError", None)
    models.pop("ValidationError", None)
    return schema


def _describe(operation: dict[str, Any], access: Access) -> None:
    operation["x-access"] = str(access)
    operation["security"] = [] if access.role is None else [{"token": []}, {"session": []}]
    operation["responses"].pop("422", None)
    operation["responses"]["default"] = {
        "description": "Refused; the problem says why and what to do.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _docs_page(schema: dict[str, Any]) -> str:
    rows = Markup("").join(
        Markup("<tr><td><code>{} {}</code></td><td>{}</td><td>{}</td></tr>").format(
            method.upper(), path, operation.get("summary", ""), operation["x-access"]
        )
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
    )
    intro = Markup("<br>").join(escape(schema["info"]["description"]).split("\n"))
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Courtyard API</title>"
        "<meta name='viewport' content='width=device-width'></head><body>"
        f"<h1>Courtyard API {escape(schema['info']['version'])}</h1><p>{intro}</p>"
        f"<p><a href='{PREFIX}/openapi.json'>openapi.json</a></p>"
        f"<table><tr><th>operation</th><th>what</th><th>needs</th></tr>{rows}</table></body></html>"
    )
