"""One Courtyard at a time holds a database; a dead one leaves it free, on both engines."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Timer
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from services import bootstrap
from services.clock import SystemClock
from services.database import Database
from services.holding import DatabaseInUse, Hold, Owner, hold, owner_of
from services.holding.hold import wait_for
from services.holding.owner import this_process
from services.holding.server import NotNoticedYet, ServerKeeper
from services.settings import Settings
from services.tables import gateways
from tests.gateway.kit import until
from tests.stories.site import opened

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
LONG = 240.0
_HOLD = """
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from services.holding import hold
with ExitStack() as stack:
    hold(stack, sys.argv[1], datetime(2026, 3, 2, 8, tzinfo=UTC), wait_seconds=0)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    on_sqlite = request.param == "sqlite"
    return f"sqlite:///{tmp_path / 'courtyard.db'}" if on_sqlite else request.getfixturevalue("postgresql_url")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as ends:
        yield ends


def owner(url: str) -> Owner | None:
    database = Database(url)
    database.start()
    try:
        return owner_of(database)
    finally:
        database.close()


def end_session(url: str) -> None:
    """As an administrator would, or a restart of the server."""
    database = Database(url)
    database.start()
    with database.read() as connection:
        ended = text(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        assert connection.execute(ended).scalars().all() == [True]
    database.close()


def test_a_killed_owner_leaves_it_to_the_one_that_waits(url: str, stack: ExitStack) -> None:
    command = [sys.executable, "-c", _HOLD, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "held\n"
            with pytest.raises(DatabaseInUse) as refused:
                hold(stack, url, NOW, wait_seconds=0)
            held = refused.value.owner
            assert (held.pid, held.host) == (process.pid, socket.gethostname())
            assert held.since is not None and held.since.tzinfo is UTC
            assert f"process {process.pid} on {socket.gethostname()}, since 20" in str(refused.value)
            assert "stop that one and start this again" in str(refused.value)
            assert owner(url) == held
            timer = Timer(0.1, process.send_signal, [signal.SIGKILL])
            timer.start()
            hold(stack, url, NOW, wait_seconds=LONG)
            timer.join()
        finally:
            process.kill()
    now_held = owner(url)
    assert now_held is not None and now_held.pid == os.getpid()


def test_who_is_told_to_stop_does_not_go_on_waiting(url: str, stack: ExitStack) -> None:
    hold(stack, url, NOW, wait_seconds=0)
    stopping = Event()
    stopping.set()
    with pytest.raises(DatabaseInUse):
        hold(stack, url, NOW, wait_seconds=LONG, stopping=stopping)


def test_it_is_free_once_let_go(url: str) -> None:
    for _ in range(2):
        with ExitStack() as stack:
            hold(stack, url, NOW, wait_seconds=0)
            assert owner(url) is not None
        until(lambda: owner(url) is None, LONG, "nobody holds it")  # a server sees a moment later that a session ended


def test_sqlite_is_the_same_by_any_name_and_is_not_touched(tmp_path: Path, stack: ExitStack) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    hold(stack, f"sqlite:///{tmp_path / 'courtyard.db'}", NOW, wait_seconds=0)
    with pytest.raises(DatabaseInUse, match="since 2026-03-02 08:00:00 UTC"):
        hold(stack, f"sqlite:///{tmp_path / 'link' / 'courtyard.db'}", NOW, wait_seconds=0)
    held = tmp_path / "courtyard.db.held"
    assert held.stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "courtyard.db").exists()


@pytest.mark.postgresql
def test_a_session_that_is_lost_is_taken_again_also_when_the_server_is_away(
    postgresql_url: str, stack: ExitStack
) -> None:
    """No connection is let in for a while, as while a server restarts."""
    refused = Event()

    class Watched(ServerKeeper):
        def try_to_take(self) -> Owner | None:
            try:
                return super().try_to_take()
            except SQLAlchemyError:
                refused.set()
                raise

    again, stopping = Event(), Event()
    keeper = Watched(postgresql_url, this_process(NOW))
    assert keeper.try_to_take() is None
    held = Hold(keeper, "here", stopping)
    stack.callback(held.let_go)
    name = urlsplit(postgresql_url).path.removeprefix("/")
    server = postgresql_url.replace(f"/{name}", "/postgres", 1)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false".encode())
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        held.watch(stack, again.set, every_seconds=0.05)
        assert refused.wait(LONG)
        assert not again.is_set()
        connection.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true".encode())
    assert again.wait(LONG)
    until(lambda: owner(postgresql_url) is not None, LONG, "it is held again")
    held.check()
    assert not stopping.is_set()
    assert held.failures == 0


@pytest.mark.postgresql
def test_who_lost_it_to_another_stops(postgresql_url: str, stack: ExitStack) -> None:
    stopping = Event()
    first = hold(stack, postgresql_url, NOW, wait_seconds=0, stopping=stopping)
    end_session(postgresql_url)
    hold(stack, postgresql_url, NOW, wait_seconds=LONG)
    first.check()
    first.watch(stack, lambda: pytest.fail("nothing was taken again"), every_seconds=0.05)
    assert stopping.wait(LONG)
    with pytest.raises(DatabaseInUse, match="held by another Courtyard: process"):
        first.check()


@pytest.mark.postgresql
def test_nobody_stops_for_a_session_of_its_own_that_the_server_goes_on_with(
    postgresql_url: str, stack: ExitStack
) -> None:
    """A line that was cut for a while: the client gave the session up, and the server does not know yet."""
    tried = Event()

    class Cut(ServerKeeper):
        cut = False

        def is_ours(self) -> bool:
            if not self.cut:
                self.cut, self.before, self._connection = True, self._connection, None
            return super().is_ours()

        def try_to_take(self) -> Owner | None:
            try:
                return super().try_to_take()
            except NotNoticedYet:
                tried.set()
                raise

    again, stopping = Event(), Event()
    keeper = Cut(postgresql_url, this_process(NOW))
    assert keeper.try_to_take() is None
    held = Hold(keeper, "here", stopping)
    stack.callback(held.let_go)
    held.watch(stack, again.set, every_seconds=0.05)
    assert tried.wait(LONG)
    assert not stopping.is_set() and not again.is_set()
    assert keeper.before is not None
    keeper.before.close()
    assert again.wait(LONG)
    held.check()
    assert held.failures == 0


@pytest.mark.postgresql
def test_who_waits_outlives_a_restart_of_the_server(
    postgresql_url: str, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sessions end; the one that waited takes it, as the other does not come back."""
    monkeypatch.setattr(sys.modules[wait_for.__module__], "HOLDER_FIRST_SECONDS", 0.0)
    first = ExitStack()
    hold(first, postgresql_url, NOW, wait_seconds=0)
    name = urlsplit(postgresql_url).path.removeprefix("/")
    server = postgresql_url.replace(f"/{name}", "/postgres", 1)
    tries = 0
    # The newest first, each until it is gone: none may find the other gone and itself still there.
    ended = (
        "SELECT pg_terminate_backend(pid, 60000) FROM "
        "(SELECT pid FROM pg_stat_activity WHERE datname = %s ORDER BY backend_start DESC OFFSET 0) AS sessions"
    )

    class Waits(ServerKeeper):
        def try_to_take(self) -> Owner | None:
            nonlocal tries
            tries += 1
            if tries == 2:
                connection.execute(ended, [name])
            return super().try_to_take()

    waiting = Waits(postgresql_url, this_process(NOW))
    stack.callback(waiting.let_go)
    with psycopg.connect(server, autocommit=True) as connection:
        wait_for(waiting, "here", LONG, Event())
    assert tries >= 3, "the second one failed"
    assert waiting.is_ours()
    first.close()


def test_after_a_restart_of_the_server_the_holder_is_the_first_to_take_it_again() -> None:
    """Who waits reaches the server first, and lets the other one go before."""
    told: list[str] = []

    class Stopping(Event):
        def wait(self, timeout: float | None = None) -> bool:
            told.append(f"waits {timeout:g}")
            return False

    class Keeps:
        tries = 0

        def try_to_take(self) -> Owner | None:
            self.tries += 1
            told.append("tries")
            if self.tries == 2:
                raise OperationalError("SELECT", {}, Exception("the server is shutting down"))
            return None if self.tries == 3 else Owner("gate", 7)

        def reach(self) -> None:
            told.append("reaches")
            if told.count("reaches") == 1:
                raise OperationalError("SELECT", {}, Exception("no server is there"))

        def is_ours(self) -> bool:
            return True

        def let_go(self) -> None:
            told.append("lets go")

    wait_for(Keeps(), "here", LONG, Stopping())
    again = ["waits 0.5", "reaches"]
    assert told == ["tries", "waits 0.5", "tries", "lets go", *again, *again, "waits 5", "waits 0.5", "tries"]


@pytest.mark.postgresql
def test_a_server_that_ends_idle_sessions_does_not_end_this_one(postgresql_url: str, stack: ExitStack) -> None:
    name = urlsplit(postgresql_url).path.removeprefix("/")
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET idle_session_timeout = '1h'".encode())
    keeper = ServerKeeper(postgresql_url, this_process(NOW))
    stack.callback(keeper.let_go)
    assert keeper.try_to_take() is None
    assert keeper._connection is not None
    assert keeper._connection.scalar(text("SHOW idle_session_timeout")) == "0"


def test_a_file_that_was_removed_is_made_again(tmp_path: Path, stack: ExitStack) -> None:
    """By somebody who takes it for a leftover: who starts next would lock another file, and both would judge."""
    again, stopping = Event(), Event()
    url, file = f"sqlite:///{tmp_path / 'courtyard.db'}", tmp_path / "courtyard.db.held"
    held = hold(stack, url, NOW, wait_seconds=0, stopping=stopping)
    held.watch(stack, again.set, every_seconds=0.05)
    file.unlink()
    assert again.wait(LONG)
    with pytest.raises(DatabaseInUse):
        hold(stack, url, NOW, wait_seconds=0)
    assert not stopping.is_set()


def test_who_found_the_file_gone_stops_where_another_was_quicker(tmp_path: Path, stack: ExitStack) -> None:
    stopping = Event()
    url = f"sqlite:///{tmp_path / 'courtyard.db'}"
    first = hold(stack, url, NOW, wait_seconds=0, stopping=stopping)
    (tmp_path / "courtyard.db.held").unlink()
    hold(stack, url, NOW, wait_seconds=0)
    first.watch(stack, lambda: pytest.fail("nothing was taken again"), every_seconds=0.05)
    assert stopping.wait(LONG)
    with pytest.raises(DatabaseInUse):
        first.check()


@pytest.mark.postgresql
def test_what_others_wrote_while_it_was_lost_is_read(
    postgresql_url: str, tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "load_library", lambda _: {})  # no profile matters here, and all take seconds
    opened(postgresql_url).close()
    settings = Settings(data_dir=tmp_path, database_url=postgresql_url)
    core = bootstrap.start_core(stack, settings, SystemClock())
    assert core.intake.cursor("far") == 0
    with core.database.write() as connection:
        connection.execute(insert(gateways).values(id="far", cursor=500, status={}))
    assert core.intake.cursor("far") == 0
    end_session(postgresql_url)
    until(lambda: core.intake.cursor("far") == 500, LONG, "the memory is read again")


def test_an_owner_says_what_is_known_of_it() -> None:
    assert str(Owner("gate", 7, NOW)) == "process 7 on gate, since 2026-03-02 08:00:00 UTC"
    assert str(Owner("gate", 7, None)) == "process 7 on gate"
    assert str(Owner("", 0, NOW + timedelta(hours=1))).startswith("a program that does not say its name, since 2026")
