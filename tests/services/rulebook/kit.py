"""A yard with a history, an application over it, and people of every kind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from gateway.reading import Reading
from gateway.telemetry.sqlite import SqliteTelemetry
from services.accounts import store
from services.accounts.policy import Grant, Role
from services.backtest.jobs import Jobs
from services.backtest.recipe import run_here
from services.clock import to_millis
from services.context import Context
from services.database import Database
from services.rules.effective import Effective
from services.rules.in_force import effective_rules
from services.settings import Settings
from services.web.app import create_app
from tests.stories.site import MIDNIGHT, Story, opened

PROMPTLY = 60.0


class Yard:
    """`get`, `put` and `post` ask as the engineer chen.yu; `api(who)` as others."""

    def __init__(self, folder: Path, site: Story, telemetry: SqliteTelemetry) -> None:
        self.site = site
        self.telemetry = telemetry
        self.context = Context(
            settings=Settings(data_dir=folder),
            database=site.database,
            library=site.library,
            telemetry=telemetry,
            changes=site.changes,
            clock=site.clock,
            intake=site.intake,
            jobs=Jobs(run_here),
        )
        self.tokens: dict[str, str] = {}
        with site.database.write() as connection:
            for name, role, where in (
                ("engineer", Role.ENGINEER, "yard"),
                ("crew", Role.CREW, "yard"),
                ("elsewhere", Role.ADMIN, "other"),
            ):
                _, self.tokens[name] = store.add_token(connection, name=name, role=role, site=where, now=MIDNIGHT)
            store.add_person(
                connection, login="chen.yu", password_hash="-", grants=[Grant("yard", Role.ENGINEER)], now=MIDNIGHT
            )

    @cached_property
    def app(self) -> FastAPI:
        """Made when somebody asks: it takes most of a second."""
        return create_app(self.context)

    def api(self, who: str = "engineer") -> TestClient:
        return TestClient(self.app, headers={"Authorization": f"Bearer {self.tokens[who]}"}, follow_redirects=False)

    def get(self, path: str, **query: Any) -> Any:
        answer = self.api().get(f"/api/v1/sites/yard{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def put(self, book: dict[str, Any], **said: Any) -> Any:
        """Ship it, untried unless a preview is named."""
        untried = {} if "preview" in said else {"without_preview": True, "reason": "a test"}
        return self.api().put("/api/v1/sites/yard/rule-book", json={"book": book, "version": 0, **untried, **said})

    def preview(self, book: dict[str, Any], start: datetime, end: datetime, version: int = 0) -> dict[str, Any]:
        """Ask for a backtest and wait until it is over."""
        asked = {"book": book, "version": version, "start": start.isoformat(), "end": end.isoformat()}
        answer = self.api().post("/api/v1/sites/yard/rule-book/previews", json=asked)
        assert answer.status_code == 202, answer.text
        deadline = time.monotonic() + PROMPTLY
        while True:
            found: dict[str, Any] = self.get(f"/rule-book/previews/{answer.json()['id']}")
            if found["state"] in ("done", "failed"):
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.01)

    def effective(self) -> Effective:
        with self.site.database.read() as connection:
            return effective_rules(connection, self.site.library)

    def history(self, values: Iterator[tuple[datetime, float]]) -> None:
        """Pressures of the pumps, into the time series alone."""
        self.telemetry.write(
            [
                Reading("pumps", "", to_millis(at), to_millis(at), "t", {"pressure": pressure}, profile="pumps")
                for at, pressure in values
            ]
        )


def dips(start: datetime, lengths: list[timedelta], every: timedelta) -> Iterator[tuple[datetime, float]]:
    """The pressure is fine, and low for each of these lengths, one after the other."""
    step = timedelta(seconds=20)
    for number, length in enumerate(lengths):
        begin = start + every * number
        for index in range(int(every / step)):
            at = begin + step * index
            yield at, 0.2 if at - begin < length else 0.5


def migrated(folder: Path) -> Path:
    """A database with all tables and nothing in them: tests take copies."""
    opened(f"sqlite:///{folder / 'courtyard.db'}").close()
    return folder / "courtyard.db"


@contextmanager
def yard_in(folder: Path) -> Iterator[Yard]:
    """In a folder that `migrated` has filled."""
    database = Database.sqlite(folder / "courtyard.db")
    database.start()
    telemetry = SqliteTelemetry(folder / "telemetry.db")
    telemetry.start()
    yield Yard(folder, Story(database), telemetry)
    telemetry.close()
    database.close()
