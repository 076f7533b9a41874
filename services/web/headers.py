"""Around every route: headers that let nothing from elsewhere run here, and a cap on what a request may carry."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.web.problems import Problem, respond

POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": with it browsers send `Origin: null` with forms, and the sign-in form checks its origin.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class SecurityHeaders:
    """Plain ASGI, so that server-sent events stream through untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if not scope["path"].startswith("/static/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class BodyCap:
    """Refuses a body beyond the cap before anything reads it, announced or not, with a problem as its answer."""

    def __init__(self, app: ASGIApp, *, cap: int, larger: Mapping[str, int]) -> None:
        """`larger` names paths that may carry more."""
        self.app = app
        self._cap = cap
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        cap, taken = self._larger.get(scope["path"], self._cap), 0
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and (len(announced) > 15 or int(announced) > cap):
            await respond(Request(scope), _too_large(cap))(scope, receive, send)
            return

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > cap:
                problem = _too_large(cap)
                # FastAPI takes what reading a body raises for bad JSON, unless it is an HTTPException.
                raise HTTPException(problem.status, problem.detail)
            return message

        await self.app(scope, counted, send)


def _too_large(cap: int) -> Problem:
    return Problem(413, "too-large", f"A request here carries at most {cap} bytes.", "Send less at once.")
