"""Taking a database for this process, and watching that it stays so."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from threading import Event, Thread

import structlog
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from services.database import Database
from services.holding import file, server
from services.holding.keeper import Keeper
from services.holding.owner import DatabaseInUse, Owner, this_process

log = structlog.get_logger("courtyard.holding")

TRY_SECONDS = 0.5
"""Between two tries while another holds it."""
LOOK_SECONDS = 1.0
"""Between two looks whether it is still ours."""
SAY_SECONDS = 60.0
"""Between two words about waiting."""
HOLDER_FIRST_SECONDS = 5.0
"""After a server came back, for who had the database and is at work: who waits would often be quicker otherwise."""
_END_SECONDS = 2.0


class Hold:
    """A database that is held by this process until `let_go`."""

    def __init__(self, keeper: Keeper, where: str, stopping: Event) -> None:
        self.failures = 0
        """How often it could not be taken again for a reason that nobody foresaw; the log says which."""
        self._keeper = keeper
        self._where = where
        self._stopping = stopping
        self._ending = Event()
        self._thread: Thread | None = None
        self._lost: DatabaseInUse | None = None
        self._waits_for = ""

    def check(self) -> None:
        """Raises DatabaseInUse where another has taken it: then this process must end, and was told to stop."""
        if self._lost is not None:
            raise self._lost

    def watch(self, stack: ExitStack, taken_again: Callable[[], None], *, every_seconds: float = LOOK_SECONDS) -> None:
        """Until the stack closes: take it again where the session was lost, and stop this process where another was
        quicker. `taken_again` is called whenever it was: others may have written meanwhile."""
        self._thread = Thread(target=self._watch, args=(taken_again, every_seconds), name="holding", daemon=True)
        self._thread.start()
        stack.callback(self._end_watch)

    def let_go(self) -> None:
        # A watch that waits for a server that hangs has the session in its hands; it ends with this process.
        if self._thread is None or not self._thread.is_alive():
            self._keeper.let_go()

    def _end_watch(self) -> None:
        self._ending.set()
        if self._thread is not None:
            self._thread.join(_END_SECONDS)

    def _watch(self, taken_again: Callable[[], None], every_seconds: float) -> None:
        ours = True
        while self._lost is None and not self._ending.wait(every_seconds):
            try:
                ours = (ours and self._is_ours()) or self._taken_again(taken_again)
            except (SQLAlchemyError, OSError) as error:
                self._keeper.let_go()  # it does not answer yet
                ours = False
                self._say(_words(error))
            except Exception:  # the loop's edge: without the watch two could judge, and nobody would know
                self.failures += 1
                log.exception("database_hold_failed", database=self._where)
                self._keeper.let_go()
                ours = False

    def _is_ours(self) -> bool:
        if self._keeper.is_ours():
            return True
        log.warning("database_hold_lost", database=self._where, next_step="it is taken again")
        return False

    def _taken_again(self, taken_again: Callable[[], None]) -> bool:
        owner = self._keeper.try_to_take()
        if owner is not None:
            self._stop_for(owner)
            return False
        taken_again()
        log.info("database_held_again", database=self._where)
        self._waits_for = ""
        return True

    def _say(self, reason: str) -> None:
        if reason != self._waits_for:  # once: it is tried each second
            log.warning("database_hold_waits", database=self._where, reason=reason)
        self._waits_for = reason

    def _stop_for(self, owner: Owner) -> None:
        self._lost = DatabaseInUse(self._where, owner)
        log.error("database_taken_by_another", database=self._where, owner=str(owner), next_step="this one stops")
        self._stopping.set()


def hold(stack: ExitStack, url: str, now: datetime, *, wait_seconds: float, stopping: Event | None = None) -> Hold:
    """Hold the database at `url` until the stack closes or this process dies in any way.

    Where another holds it this waits for so long that it lets go, and no longer than `stopping` is unset. Raises
    DatabaseInUse, and SQLAlchemyError or OSError where the database cannot be reached.
    """
    stopping = stopping or Event()
    keeper, where = _keeper(url, this_process(now))
    found = Hold(keeper, where, stopping)
    stack.callback(found.let_go)
    wait_for(keeper, where, wait_seconds, stopping)
    return found


def owner_of(database: Database) -> Owner | None:
    """Who holds a database that is started; None: nobody. Raises SQLAlchemyError."""
    if database.is_sqlite:
        path = _path(database.url)
        return None if path is None else file.owner_of(path)
    with database.read() as connection:
        return server.owner_on(connection)


def _keeper(url: str, me: Owner) -> tuple[Keeper, str]:
    path = _path(url)
    if path is not None:
        return file.FileKeeper(path, me), str(path)
    found = make_url(url)
    return server.ServerKeeper(url, me), f"{found.database or ''} on {found.host or 'this machine'}"


def _path(url: str) -> Path | None:
    found = make_url(url)
    return Path(found.database or "") if found.get_backend_name() == "sqlite" else None


def wait_for(keeper: Keeper, where: str, wait_seconds: float, stopping: Event) -> None:
    """As `hold` does."""
    began = say_at = time.monotonic()
    owner = keeper.try_to_take()
    while owner is not None:
        now = time.monotonic()
        if now - began >= wait_seconds or stopping.is_set():
            raise DatabaseInUse(where, owner)
        if now >= say_at:
            log.warning("database_held", database=where, owner=str(owner), waiting_seconds=wait_seconds)
            say_at = now + SAY_SECONDS
        stopping.wait(TRY_SECONDS)
        owner = _try_again(keeper, owner, stopping, began + wait_seconds)
    if say_at > began:
        log.info("database_let_go", database=where, after_seconds=round(time.monotonic() - began, 1))


def _try_again(keeper: Keeper, owner: Owner, stopping: Event, until: float) -> Owner | None:
    """A standby waits for months, and a server that restarts meanwhile is no reason to give up."""
    try:
        return owner if stopping.is_set() else keeper.try_to_take()
    except SQLAlchemyError as error:
        keeper.let_go()
        log.warning("database_away", reason=_words(error), next_step="it is waited for")
        _wait_until_reached(keeper, stopping, until)
        return owner


def _wait_until_reached(keeper: Keeper, stopping: Event, until: float) -> None:
    while time.monotonic() < until and not stopping.wait(TRY_SECONDS):
        with suppress(SQLAlchemyError):
            keeper.reach()
            stopping.wait(HOLDER_FIRST_SECONDS)
            return


def _words(error: Exception) -> str:
    """The server's own, without the statement."""
    return str(getattr(error, "orig", None) or error).strip()
