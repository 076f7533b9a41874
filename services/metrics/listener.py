"""A plain listener for Prometheus, without a password: for the same machine, or a network where only it can reach."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6, SHUT_RDWR, socket
from threading import BoundedSemaphore, Thread
from time import monotonic
from typing import Any

import structlog

from services.metrics import Metrics

log = structlog.get_logger("courtyard.metrics")

PATH = "/metrics"
_TIMEOUT_SECONDS = 10.0
"""Without a word."""
_WHOLE_SECONDS = 30.0
"""For a question and its answer together: who says a letter now and then would else hold a place for days."""
_AT_ONCE = 8
"""Scrapes under way; who comes on top is told to come again, so that nobody can pile up threads here."""


class MetricsAddressTaken(OSError):
    """Somebody else listens there."""


class Listener:
    """`start()` returns once it answers; `stop()` ends it. Raises MetricsAddressTaken."""

    def __init__(self, metrics: Metrics, host: str, port: int) -> None:
        """Port 0 takes a free one; `port` tells which."""
        self.host, self.port = host, port
        self._metrics = metrics
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}{PATH}"

    def start(self) -> None:
        try:
            self._server = _Server(self._metrics, self.host, self.port)
        except OSError as error:
            raise MetricsAddressTaken(
                f"{self.host}:{self.port} cannot be listened on for metrics: {error.strerror or error}. "
                "Choose another with COURTYARD_METRICS=HOST:PORT"
            ) from error
        self.port = self._server.server_address[1]
        Thread(target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def start_listener(stack: ExitStack, metrics: Metrics, address: tuple[str, int] | None) -> Listener | None:
    """A listener that ends with the stack; None where no address is set."""
    if address is None:
        return None
    listener = Listener(metrics, *address)
    listener.start()
    stack.callback(listener.stop)
    log.info("metrics_listening", url=listener.url)
    return listener


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, metrics: Metrics, host: str, port: int) -> None:
        from services.metrics.exposition import exposed  # prometheus-client takes a tenth of a second to import

        self.address_family = AF_INET6 if ":" in host else AF_INET
        self.exposed: Callable[[str], tuple[bytes, str]] = lambda accept: exposed(metrics, accept)
        self.places = BoundedSemaphore(_AT_ONCE)
        self._since: dict[socket, float] = {}
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self.places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        self._since[request] = monotonic()
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Called between connections, ten times a second."""
        for request, since in list(self._since.items()):
            if monotonic() - since > _WHOLE_SECONDS:
                with suppress(OSError):
                    request.shutdown(SHUT_RDWR)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._since.pop(request, None)
            self.places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A scraper that hangs up is no failure of ours."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _TIMEOUT_SECONDS
    server_version = "Courtyard"
    sys_version = ""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != PATH:
            self._answer(404, b"There is only /metrics here.\n", [("Content-Type", "text/plain; charset=utf-8")])
            return
        body, media_type = self.server.exposed(self.headers.get("Accept", ""))
        self._answer(200, body, [("Content-Type", media_type)])

    def _answer(self, status: int, body: bytes, headers: Iterable[tuple[str, str]]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are no events."""
