"""Errors as RFC 9457 problems: what happened, and whose move it is (`next_step`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from markupsafe import escape
from pydantic import BaseModel, Field
from sqlalchemy.exc import DataError, OperationalError
from starlette.exceptions import HTTPException

from gateway.telemetry import TelemetryUnavailable
from services.accounts.desk import AccountMistake, LoginTaken
from services.adoption.model import AdoptionConflict, AdoptionMistakes
from services.backtest.jobs import TooManyJobs
from services.intake import BatchRefused, CursorMoved
from services.intake.alarming import SnoozeRefused
from services.maintenance.planning import WindowOver, WindowRefused
from services.outages.desk import OutageOver
from services.presence.forgetting import GatewaySpeaks
from services.rulebook.desk import BookMistakes, PreviewNeeded, where_of
from services.rules.book_store import BookMoved
from services.scope import NotFound
from services.tickets.desk import StepMissing, VersionConflict
from services.tickets.lifecycle import IllegalTransition

__all__ = ["Problem", "ProblemBody", "install", "not_found", "respond", "wants_html"]

log = structlog.get_logger()


class ProblemBody(BaseModel):
    """What every refusal of the API looks like (`application/problem+json`)."""

    type: str = Field(description="What kind of problem, as a stable word.", examples=["not-found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="What happened this time.")
    next_step: str = Field(description="What to do about it.")
    mistakes: list[dict[str, str]] | None = Field(
        None, description="Of a request that is not valid: every mistake, with where it is."
    )


class Problem(Exception):
    """Raise it in a route or a dependency; it becomes a problem+json, or a small page for a browser."""

    def __init__(
        self, status: int, type: str, detail: str, next_step: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.type, self.detail, self.next_step = status, type, detail, next_step
        self.headers = headers or {}


def not_found(what: str, id: object) -> Problem:
    """Also the answer for what exists where this principal may not look: existence is not given away."""
    return Problem(404, "not-found", f"There is no {what} {str(id)[:80]!r}.", f"Look for the {what} in its list.")


def _conflict(error: Exception) -> Problem:
    return Problem(409, "conflict", str(error), "Load it again, look at what has changed, and decide anew.")


def _translator(translate: Callable[[Any], Problem]) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(request: Request, error: Exception) -> Response:
        return respond(request, translate(error))

    return handle


_TRANSLATED: dict[type[Exception], Callable[[Any], Problem]] = {
    NotFound: lambda error: not_found(error.kind, error.id),
    VersionConflict: _conflict,
    IllegalTransition: _conflict,
    StepMissing: lambda error: Problem(404, "not-found", str(error), "Look at the ticket's steps."),
    LoginTaken: lambda error: Problem(409, "conflict", f"The login {error} is taken.", "Choose another login."),
    TelemetryUnavailable: lambda _: Problem(
        503, "telemetry", "The telemetry store does not answer.", "Run `courtyard doctor`."
    ),
    # Such as the character NUL, which PostgreSQL's texts cannot hold.
    DataError: lambda _: Problem(422, "not-valid", "The database cannot hold this value.", "Mend the request."),
    OperationalError: lambda _: Problem(503, "database", "The database does not answer.", "Run `courtyard doctor`."),
    BatchRefused: _conflict,
    WindowOver: _conflict,
    SnoozeRefused: lambda error: Problem(
        409 if error.code == "over" else 422,
        "conflict" if error.code == "over" else "not-valid",
        str(error),
        "Choose another time.",
    ),
    OutageOver: _conflict,
    CursorMoved: _conflict,
    BookMoved: _conflict,
    PreviewNeeded: lambda error: Problem(
        422, "preview-needed", str(error), "Ask for a preview of this very change, and send its id once it is done."
    ),
    GatewaySpeaks: lambda error: Problem(409, "conflict", f"{error}.", "Stop it first, and take its token away."),
    TooManyJobs: lambda error: Problem(429, "too-many", str(error), "Wait until one of them is done, or cancel one."),
    AdoptionConflict: lambda error: Problem(409, "conflict", str(error), error.next_step),
    AccountMistake: lambda error: Problem(422, "not-valid", str(error), "Mend the request."),
}
_NEXT_STEPS = {
    400: ("not-valid", "Send valid JSON; /api/v1/docs says what is expected."),
    404: ("not-found", "Look at /api/v1/docs for what there is."),
    405: ("method-not-allowed", "Look at /api/v1/docs for what can be done here."),
    413: ("too-large", "Send less at once."),
}


def wants_html(request: Request) -> bool:
    """Whether a person looks at a page, rather than a program at the API."""
    return not request.url.path.startswith("/api/") and "text/html" in request.headers.get("accept", "")


def install(app: FastAPI) -> None:
    """Every error of the app leaves as a problem."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    for kind, translate in _TRANSLATED.items():
        app.add_exception_handler(kind, _translator(translate))
    app.add_exception_handler(AdoptionMistakes, _adoption)
    app.add_exception_handler(WindowRefused, _window)
    app.add_exception_handler(BookMistakes, _book)
    app.add_exception_handler(Exception, _unexpected)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return respond(request, error)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if 300 <= error.status_code < 400:
        return RedirectResponse(error.headers["location"] if error.headers else "/", status_code=error.status_code)
    type_, next_step = _NEXT_STEPS.get(error.status_code, ("error", "Look at /api/v1/docs."))
    return respond(request, Problem(error.status_code, type_, str(error.detail), next_step, dict(error.headers or {})))


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    mistakes = [
        {"where": ".".join(str(part) for part in mistake["loc"]), "expected": str(mistake["msg"])}
        for mistake in error.errors()[:20]
    ]
    detail = "; ".join(f"{m['where']}: {m['expected']}" for m in mistakes)
    return respond(
        request, Problem(422, "not-valid", detail, "Mend the request; /api/v1/docs says what is expected."), mistakes
    )


async def _adoption(request: Request, error: Exception) -> Response:
    assert isinstance(error, AdoptionMistakes)
    mistakes = [{"where": one.where, "found": one.found, "expected": one.expected} for one in error.mistakes]
    problem = Problem(422, "not-valid", str(error), "Mend what the mistakes name; nothing has changed.")
    return respond(request, problem, mistakes)


async def _book(request: Request, error: Exception) -> Response:
    assert isinstance(error, BookMistakes)
    mistakes = [{"where": where_of(one), "expected": one.found} for one in error.misfits]
    problem = Problem(422, "not-valid", str(error), "Mend what the mistakes name; nothing has changed.")
    return respond(request, problem, mistakes)


async def _window(request: Request, error: Exception) -> Response:
    assert isinstance(error, WindowRefused)
    mistakes = [{"where": one.field, "found": one.found, "expected": one.expected} for one in error.mistakes]
    problem = Problem(422, "not-valid", str(error), "Mend what the mistakes name; nothing has changed.")
    return respond(request, problem, mistakes)


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("request.failed", method=request.method, path=request.url.path, error=repr(error), exc_info=error)
    return respond(
        request,
        Problem(500, "unexpected", "Courtyard failed to answer.", "Try again; the server's log has the reason."),
    )


def respond(request: Request, problem: Problem, mistakes: list[dict[str, str]] | None = None) -> Response:
    title = HTTPStatus(problem.status).phrase
    if wants_html(request):
        return _page(request, problem, title)
    body: dict[str, Any] = {
        "type": problem.type,
        "title": title,
        "status": problem.status,
        "detail": problem.detail,
        "next_step": problem.next_step,
    }
    if mistakes:
        body["mistakes"] = mistakes
    return JSONResponse(
        body, status_code=problem.status, headers=problem.headers, media_type="application/problem+json"
    )


def _page(request: Request, problem: Problem, title: str) -> Response:
    render = getattr(request.app.state, "error_page", None)  # the pages bring a nicer one
    if render is not None:
        page: Response = render(request, problem, title)
        return page
    html = (
        f"<!doctype html><html><head><meta charset='utf-8'><title>{escape(title)}</title></head><body>"
        f"<h1>{escape(title)}</h1><p>{escape(problem.detail)}</p><p>{escape(problem.next_step)}</p></body></html>"
    )
    return HTMLResponse(html, status_code=problem.status, headers=problem.headers)
