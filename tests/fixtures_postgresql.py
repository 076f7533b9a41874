"""A real PostgreSQL: a private cluster in a temporary folder, on a Unix socket, for the whole test session."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from tests.needs import missing

__all__ = ["postgresql_server", "postgresql_url"]

_TRIES = 600
_numbers = count(1)


def _binaries() -> Path | None:
    """The newest installed server; Debian keeps it out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


def _server_user() -> str | None:
    """PostgreSQL refuses to run as root; another user must own the cluster then."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            pwd.getpwnam(name)
            return name
    return None


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Connection settings of the cluster's superuser, as keywords for psycopg."""
    binaries = _binaries()
    if binaries is None:
        missing("PostgreSQL is not installed (apt-get install postgresql)")
        return
    # A short path: a Unix socket's may not be longer than about 100 characters.
    folder = Path(tempfile.mkdtemp(prefix="cy-pg-"))
    user = _server_user()
    if user is not None:
        shutil.chown(folder, user)
    try:
        yield from _serve(binaries, folder, user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _serve(binaries: Path, folder: Path, user: str | None) -> Iterator[str]:
    data = folder / "data"
    initdb = [binaries / "initdb", "-D", data, "-U", "courtyard", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(
        [*map(str, initdb), "--locale=C"], check=True, user=user, capture_output=True, cwd=folder, timeout=300
    )
    options = {"listen_addresses": "", "unix_socket_directories": str(folder), "max_connections": "40"}
    options |= dict.fromkeys(("fsync", "full_page_writes", "autovacuum"), "off")  # it lives for one run
    settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(binaries / "postgres"), "-D", str(data), *settings], user=user, stdout=log, stderr=log, cwd=folder
        )
        try:
            where = f"host={folder} user=courtyard"
            _wait_until_it_answers(f"{where} dbname=postgres", server, folder / "log")
            yield where
        finally:
            server.send_signal(signal.SIGINT)  # at once: on SIGTERM it would wait for everybody to leave
            server.wait(60)


def _wait_until_it_answers(where: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(_TRIES):
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(where, connect_timeout=20):
            return
        if server.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text(errors='replace')[-2000:]}")


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """URL of an empty database of its own."""
    name = f"courtyard_{next(_numbers)}"
    execute = _executor(f"{postgresql_server} dbname=postgres")
    execute(f"CREATE DATABASE {name}")
    host = dict(part.split("=", 1) for part in postgresql_server.split())["host"]
    yield f"postgresql://courtyard@/{name}?host={host}"
    execute(f"DROP DATABASE {name} WITH (FORCE)")


def _executor(where: str) -> Callable[[str], None]:
    def execute(statement: str) -> None:
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(statement.encode())

    return execute
