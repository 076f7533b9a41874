"""The whole web application over a realistic site, served on a loopback port."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from playwright.sync_api import expect

from gateway.decode import Decoder
from gateway.journal import NewQuarantine, open_journal
from gateway.quarantine import QuarantineEntry, replay
from gateway.reading import GatewayStatus, Registry
from services.accounts import store as accounts
from services.bootstrap import Core, start_core
from services.clock import SystemClock, to_millis
from services.context import Context
from services.settings import Settings
from services.web.app import create_app
from services.web.security import COOKIE
from services.web.server import Server
from tests.migrated import place
from tests.web.seed import seed

# A busy machine may take its time; what does not come fails all the same.
expect.set_options(timeout=60_000)


class SetAside:
    """A gateway's quarantine without its broker: the real journal, decoder and replay."""

    def __init__(self, core: Core, folder: Path) -> None:
        self.journal = open_journal(folder / "set-aside.db", consumers=("services",), max_bytes=10_000_000)
        self.decoder = Decoder(core.library.values(), Registry(version="", devices=[]))

    def fill(self, now: int) -> None:
        messages = [
            NewQuarantine(now - 9000, 1, "somewhere/else", b'{"a": 1}', False, "no_binding", "no binding takes it"),
            NewQuarantine(
                now - 8000, 2, "courtyard/x/sumps/s1/telemetry", b"\xff\x00<script>", True, "malformed", "not JSON"
            ),
            NewQuarantine(
                now - 7000, 3, "courtyard/x/sumps/s1/status", b"online", False, "no_binding", "no binding took it then"
            ),
        ]
        self.journal.append([], messages)

    def status(self) -> GatewayStatus:
        raise AssertionError("pages read what the gateway reported, not the gateway")

    def quarantine_list(self, *, limit: int = 100, before: int | None = None) -> list[QuarantineEntry]:
        reader = self.journal.reader()
        try:
            return reader.quarantine(limit=limit, before=before)
        finally:
            reader.close()

    def quarantine_replay(self, ids: list[int] | None = None) -> tuple[int, int]:
        return replay(self.journal, self.decoder, ids)


@dataclass(frozen=True)
class Courtyard:
    context: Context
    app: FastAPI
    people: dict[str, str]

    def session(self, login: str) -> tuple[str, str]:
        """A signed-in session: its cookie and its CSRF token."""
        with self.context.database.write() as connection:
            return accounts.open_session(connection, self.people[login], datetime.now(UTC))

    def client(self, login: str = "", language: str = "en") -> TestClient:
        client = TestClient(self.app, follow_redirects=False)
        client.headers.update({"Accept": "text/html", "Accept-Language": language})
        if login:
            secret, csrf = self.session(login)
            client.cookies.set(COOKIE, secret)
            client.headers["X-CSRF-Token"] = csrf
        return client


def build(stack: ExitStack, folder: Path) -> Courtyard:
    place(folder / "courtyard.db")
    core = start_core(stack, Settings(data_dir=folder), SystemClock())
    people = seed(core.database, core.telemetry, datetime.now(UTC))
    gateway = SetAside(core, folder)
    stack.callback(gateway.journal.close)
    gateway.fill(to_millis(datetime.now(UTC)))
    context = replace(core.context, gateway=gateway)
    stack.callback(context.jobs.close)
    return Courtyard(context, create_app(context), people)


@pytest.fixture
def courtyard(tmp_path: Path) -> Iterator[Courtyard]:
    """Its own site for a test that changes something."""
    with ExitStack() as stack:
        yield build(stack, tmp_path)


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Courtyard]:
    """One site for all tests that only look."""
    with ExitStack() as stack:
        yield build(stack, tmp_path_factory.mktemp("standing"))


@contextmanager
def serving(courtyard: Courtyard, port: int = 0) -> Iterator[Server]:
    """Its pages over HTTP; afterwards nothing of the server is left that a later test could meet."""
    before = set(threading.enumerate())
    server = Server(courtyard.app, "127.0.0.1", port)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        for thread in set(threading.enumerate()) - before:
            if thread.name == "web":
                thread.join(60)


@pytest.fixture(scope="session")
def served(standing: Courtyard) -> Iterator[str]:
    """Its address."""
    with serving(standing) as server:
        yield server.url
