"""Figures of the web: requests by route and status, how long they take, pages that listen for changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from time import perf_counter

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.measure import Metric, Sample, Timing

REQUESTS = Metric(
    "courtyard_http_requests_total",
    "counter",
    "Requests answered, by route as the API names it; what no route knows is `other`.",
    ("method", "route", "status"),
)
REQUEST_SECONDS = Metric(
    "courtyard_http_request_seconds", "histogram", "Answering one request; without pages that listen and long waits."
)
IN_PROGRESS = Metric("courtyard_http_requests_in_progress", "gauge", "Requests that are being answered.")
LIVE_PAGES = Metric("courtyard_live_pages_open", "gauge", "Pages that are open somewhere and listen for changes.")
HTTP_FAILURES = Metric(
    "courtyard_http_failures_total", "counter", "Requests that failed in a way nobody foresaw; the log says why."
)

METRICS = (REQUESTS, REQUEST_SECONDS, IN_PROGRESS, LIVE_PAGES, HTTP_FAILURES)

LIVE = "/live"
_WAITING = (LIVE, "/api/v1/intake/orders")
"""Paths that are answered when something happens; how long that takes says nothing about us."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class WebFigures:
    """What the middleware notes, all on the web server's thread; any thread may collect."""

    def __init__(self, app: FastAPI) -> None:
        """`app` with all its routes."""
        # Of a request the framework tells only the innermost route, whose path lacks the prefixes around it.
        self._paths = {id(route.original_route): route.path for route in iter_route_contexts(app.routes)}
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.seconds = Timing()
        self.in_progress = 0
        self.live_pages = 0
        self.failures = 0

    def __call__(self) -> Iterable[Sample]:
        for (method, route, status), count in sorted(self.requests.copy().items()):
            yield REQUESTS.at(count, method, route, status)
        yield REQUEST_SECONDS.at(self.seconds.read())
        yield IN_PROGRESS.at(self.in_progress)
        yield LIVE_PAGES.at(self.live_pages)
        yield HTTP_FAILURES.at(self.failures)

    def route_of(self, scope: Scope) -> str:
        """The route's pattern, such as `/devices/{device}`: never the path, which names things and has no end."""
        if scope["path"].startswith("/static/"):
            return "/static"
        return self._paths.get(id(scope.get("route"))) or "other"


class CountRequests:
    """Plain ASGI, so that server-sent events stream through untouched."""

    def __init__(self, app: ASGIApp, *, figures: WebFigures) -> None:
        self.app = app
        self._figures = figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        figures, path, began, status = self._figures, scope["path"], perf_counter(), 0
        figures.in_progress += 1
        figures.live_pages += path == LIVE

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except Exception:
            figures.failures += 1
            raise
        finally:
            figures.in_progress -= 1
            figures.live_pages -= path == LIVE
            figures.requests[_method(scope), figures.route_of(scope), str(status) if status else "none"] += 1
            if path not in _WAITING:
                figures.seconds.note(perf_counter() - began)


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "other"
