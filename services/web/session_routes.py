"""Signing in and out by form."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from services.accounts import desk
from services.context import Context
from services.web.problems import Problem
from services.web.security import (
    COOKIE,
    Anybody,
    ContextOf,
    Crew,
    clear_session_cookie,
    safe_next,
    set_session_cookie,
)

router = APIRouter(include_in_schema=False)


@router.post("/login")
def login(
    request: Request,
    context: ContextOf,
    _: Anybody,
    login: Annotated[str, Form(max_length=200)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
    next: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    """Sign in; back to `next`, or to the form with `error=wrong` or `error=wait&seconds=…`."""
    _refuse_other_sites(request, context)
    outcome = desk.sign_in(
        context.database,
        login=login.strip(),
        password=password,
        address=request.client.host if request.client else "",
        now=context.clock.now(),
        old_secret=request.cookies.get(COOKIE),
    )
    target = safe_next(next)
    if isinstance(outcome, desk.Refused):
        seconds = int(outcome.wait.total_seconds()) + 1
        error = f"wait&seconds={seconds}" if outcome.wait else "wrong"
        return RedirectResponse(f"/login?error={error}&next={quote(target, safe='/')}", status_code=303)
    response = RedirectResponse(target, status_code=303)
    set_session_cookie(response, context, outcome.secret)
    return response


@router.post("/logout")
def logout(request: Request, context: ContextOf, principal: Crew) -> Response:
    """Sign out: the session ends on the server, not only in the browser."""
    secret = request.cookies.get(COOKIE)
    if secret and principal.kind == "person":
        desk.sign_out(context.database, secret, who=principal.id, now=context.clock.now())
    response = RedirectResponse("/login", status_code=303)
    clear_session_cookie(response)
    return response


def _refuse_other_sites(request: Request, context: Context) -> None:
    """No session protects the sign-in form yet, so another web site must not be able to send it for somebody."""
    where = request.headers.get("sec-fetch-site")
    if where is not None:
        foreign = where not in ("same-origin", "none")
    else:
        ours = {request.headers.get("host"), urlsplit(context.settings.effective_public_url).netloc}
        origin = request.headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc not in ours
    if foreign:
        raise Problem(403, "csrf", "The sign-in form came from another web site.", "Sign in at Courtyard's own page.")
