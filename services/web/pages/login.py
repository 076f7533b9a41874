"""The sign-in form. Signing in itself is services.web.session_routes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from services.web.pages.render import reader_of, render
from services.web.security import Anybody, safe_next

router = APIRouter(include_in_schema=False)


@router.get("/login")
def login(
    request: Request,
    principal: Anybody,
    next: Annotated[str, Query(max_length=2000)] = "/",
    error: Annotated[str, Query(max_length=16)] = "",
    seconds: Annotated[int, Query(ge=0, le=86_400)] = 0,
) -> Response:
    if principal is not None:
        return RedirectResponse(safe_next(next), status_code=303)
    return render(request, "login.html", reader_of(request), next=safe_next(next), error=error, seconds=seconds)
