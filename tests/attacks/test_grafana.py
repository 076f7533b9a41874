"""What answers at Grafana's address is not Grafana, or not only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from dashboards.capabilities import capabilities
from dashboards.grafana import Grafana, GrafanaRefused
from dashboards.plan import Wanted
from dashboards.sync import health, look

TOKEN = "glsa_a_secret_token"


class Answers(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, status: int, body: bytes, location: str = "") -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.status, self.body, self.location = status, body, location
        self.heard: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Asked(BaseHTTPRequestHandler):
    server: Answers

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.heard.append(self.command)
        self.send_response(self.server.status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(self.server.body)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def answering(status: int, body: bytes, location: str = "") -> Iterator[Answers]:
    with Answers(status, body, location) as server:
        serving = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        serving.start()
        try:
            yield server
        finally:
            server.shutdown()
            serving.join()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_what_leads_elsewhere_is_not_followed(status: int) -> None:
    """A POST that becomes a GET at the new address would count as done; a body with secrets would go along."""
    with (
        answering(200, b"{}") as elsewhere,
        answering(status, b"", f"{elsewhere.url}/api/annotations") as server,
        Grafana(server.url, TOKEN) as grafana,
    ):
        with pytest.raises(GrafanaRefused, match="leads to another address") as refused:
            grafana.post("/annotations", {"text": "an alarm"})
        assert TOKEN not in str(refused.value)
        with pytest.raises(GrafanaRefused, match="leads to another address"):
            grafana.capabilities()
        assert elsewhere.heard == []


STRANGE: list[object] = [None, 5, "x", [], {}, [5], [None], ["x"], [{}], {"dashboard": 5}, [{"uid": 5}], {"teams": []}]


@pytest.mark.parametrize("strange", STRANGE, ids=json.dumps)
def test_answers_that_are_built_otherwise_are_refused_in_words(strange: object) -> None:
    with answering(200, json.dumps(strange).encode()) as server, Grafana(server.url, TOKEN) as grafana:
        abilities = capabilities("12.0.0")
        for ask in (lambda: look(grafana, Wanted((), ()), abilities), lambda: health(grafana), grafana.capabilities):
            with suppress(GrafanaRefused):
                ask()


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("body", [b"[" * 100_000, b"<html>", b"", b"\xff\xfe\x00", b'{"message": {"a": 1}}'])
def test_answers_that_are_none(body: bytes, status: int) -> None:
    with answering(status, body) as server, Grafana(server.url, TOKEN) as grafana:
        with pytest.raises(GrafanaRefused) as refused:
            grafana.capabilities()
        assert TOKEN not in str(refused.value)
