"""A web application over two sites, with people and programs of every role at each."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Connection, insert

from gateway.quarantine import QuarantineEntry
from gateway.reading import GatewayStatus, Reading
from gateway.telemetry.sqlite import SqliteTelemetry
from services import tables as t
from services.accounts import store
from services.accounts.passwords import hash_password
from services.accounts.policy import Grant, Role
from services.changes import Changes
from services.clock import to_millis
from services.context import Context
from services.database import Database, metadata
from services.intake import Intake
from services.settings import Settings
from services.web.app import create_app

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
PASSWORD = "correct-horse-battery"
SITES = ("east", "west")


class StoppedClock:
    """Goes only when told to."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at

    def go(self, **span: float) -> None:
        self.at += timedelta(**span)


@dataclass
class RecordingGateway:
    """Stands where a gateway would run in this process, and remembers what it was asked."""

    entries: list[QuarantineEntry] = field(default_factory=list)
    replayed: list[list[int] | None] = field(default_factory=list)

    def status(self) -> GatewayStatus:
        raise NotImplementedError

    def quarantine_list(self, *, limit: int = 100, before: int | None = None) -> list[QuarantineEntry]:
        return [entry for entry in self.entries if before is None or entry.id < before][:limit]

    def quarantine_replay(self, ids: list[int] | None = None) -> tuple[int, int]:
        self.replayed.append(ids)
        return len(ids or self.entries), 0


@dataclass
class World:
    context: Context
    clock: StoppedClock
    app: FastAPI
    tokens: dict[str, str] = field(default_factory=dict)

    def client(self, who: str = "", **headers: str) -> TestClient:
        """A program with the token of `who` ("crew@east"), or nobody."""
        if who:
            headers["Authorization"] = f"Bearer {self.tokens[who]}"
        return TestClient(self.app, headers=headers, follow_redirects=False)

    def browser(self, login: str, password: str = PASSWORD) -> TestClient:
        """Somebody signed in, whose requests carry the session's token."""
        client = TestClient(self.app, follow_redirects=False)
        answer = client.post("/login", data={"login": login, "password": password})
        assert answer.status_code == 303, answer.text
        client.headers["X-CSRF-Token"] = client.get("/api/v1/me").json()["csrf"]
        return client


def prepare(folder: Path) -> dict[str, str]:
    """Fill a database and a telemetry store once; every test gets a copy. Returns the tokens' secrets."""
    database = _opened(folder)
    metadata.create_all(database.engine)
    telemetry = SqliteTelemetry(folder / "telemetry.db")
    telemetry.start()
    with database.write() as connection:
        for site in SITES:
            _fill(connection, site)
        tokens = _people(connection)
    at = to_millis(NOW) - 1000
    telemetry.write([Reading(f"{site}-pump", "", at, at, "b", {"pressure": 0.4}) for site in SITES])
    telemetry.close()
    database.close()
    return tokens


def build(folder: Path, tokens: dict[str, str], **changes: Any) -> World:
    """The application over what `prepare` left in this folder."""
    database = _opened(folder)
    telemetry = SqliteTelemetry(folder / "telemetry.db")
    telemetry.start()
    clock, notifier = StoppedClock(), Changes()
    intake = Intake(database, {}, clock, notifier)
    intake.start()
    context = Context(
        settings=Settings(data_dir=folder),
        database=database,
        library={},
        telemetry=telemetry,
        changes=notifier,
        clock=clock,
        intake=intake,
        **changes,
    )
    return World(context, clock, create_app(context), tokens)


def _opened(folder: Path) -> Database:
    database = Database.sqlite(folder / "courtyard.db")
    database.start()
    return database


def _people(connection: Connection) -> dict[str, str]:
    tokens, password_hash = {}, hash_password(PASSWORD)
    for role in Role:
        for site in (*SITES, "*"):
            name = f"{role.value}@{site}"
            tokens[name] = store.add_token(connection, name=name, role=role, site=site, now=NOW)[1]
            if role is not Role.GATEWAY:
                login, grants = f"{role.value}.{'all' if site == '*' else site}", [Grant(site, role)]
                store.add_person(connection, login=login, password_hash=password_hash, grants=grants, now=NOW)
    return tokens


def _fill(connection: Connection, site: str) -> None:
    """One of each thing, with an id that names its site."""
    at = {"zh": "x", "en": f"{site} thing"}
    rows: list[tuple[Any, dict[str, Any]]] = [
        (t.sites, {"id": site, "name_zh": site, "name_en": site, "timezone": "Asia/Shanghai", "updated_at": NOW}),
        (
            t.devices,
            {
                "id": f"{site}-pump",
                "site": site,
                "profile": "pump",
                "address": f"{site}-1",
                "name_zh": "泵",
                "name_en": f"{site} pump",
                "params": {},
            },
        ),
        (
            t.alarms,
            {
                "id": f"{site}-alarm",
                "site": site,
                "device": f"{site}-pump",
                "rule": "low",
                "profile": "pump",
                "severity": "major",
                "state": "active",
                "reason": {"name": at},
                "raised_at": NOW,
            },
        ),
        (
            t.tickets,
            {
                "id": f"{site}-ticket",
                "number": SITES.index(site) + 1,
                "site": site,
                "alarm": f"{site}-alarm",
                "device": f"{site}-pump",
                "title_zh": "低压",
                "title_en": "Low pressure",
                "trade": "water",
                "priority": "P2",
                "state": "open",
                "steps": [{"zh": "看", "en": "Look", "done_at": None, "done_by": None}],
                "opened_at": NOW,
            },
        ),
        (
            t.outages,
            {
                "id": f"{site}-outage",
                "site": site,
                "supply": "water",
                "service": "water",
                "state": "ongoing",
                "loss": "full",
                "alarms": [],
                "impact": {"buildings": ["1"], "units": ["1/1"], "households": 12},
                "what_zh": "停水",
                "what_en": "No water",
                "started_at": NOW,
            },
        ),
        (
            t.commands,
            {
                "id": f"{site}-command",
                "site": site,
                "device": f"{site}-pump",
                "profile": "pump",
                "command": "stop",
                "params": {},
                "terms": {"answers": False, "timeout_seconds": 5, "retries": 0, "effect": None, "within_seconds": 0},
                "nonce": 1,
                "by": "li.wei",
                "state": "done",
                "reason": "broker",
                "asked_at": NOW,
                "expires_at": NOW,
                "ended_at": NOW,
                "moved_at": NOW,
            },
        ),
        (
            t.notices,
            {
                "id": f"{site}-notice",
                "key": f"{site}-key",
                "site": site,
                "recipient": "r",
                "channel": "webhook",
                "target": f"https://hooks.example.org/{site}-secret",
                "subject_kind": "alarm",
                "subject_id": f"{site}-alarm",
                "event": "raised",
                "title": "t",
                "body": "b",
                "state": "failed",
                "created_at": NOW,
                "last_error": "410",
            },
        ),
    ]
    for table, row in rows:
        connection.execute(insert(table).values(**row))
