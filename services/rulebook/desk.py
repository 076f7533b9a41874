"""How a site's rule book is changed: checked, tried on the past, shipped as the next version, rolled back.

Each call is one transaction with its audit row, and what runs is read again afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, select

from services.accounts import audit
from services.changes import Change, Changes
from services.database import Database
from services.intake import Intake
from services.rulebook.previews import Preview, summary_of
from services.rules import book_store
from services.rules.book import Misfit, RuleBook
from services.rules.book_store import Version
from services.rules.effective import BookInForce, Effective, Library
from services.scope import NotFound, Scope, in_scope
from services.tables import devices, sites

T = TypeVar("T")


class BookMistakes(Exception):
    """The book would change what cannot be changed so; nothing has been shipped."""

    def __init__(self, misfits: list[Misfit]) -> None:
        self.misfits = misfits
        super().__init__("; ".join(where_of(one) + ": " + one.found for one in misfits))


class PreviewNeeded(Exception):
    """A change is shipped after a backtest of this very change."""


@dataclass(frozen=True, kw_only=True)
class Shipping:
    """What is to become the next version."""

    began_with: int
    """The version that was looked at."""
    book: RuleBook
    note: str
    preview: Preview | None = None
    without_preview: str = ""
    """Why there was no backtest; recorded."""


def where_of(misfit: Misfit) -> str:
    """Where in the book it stands, as its path: rules.booster_set.suction_low."""
    if misfit.device:
        return ".".join(part for part in ("devices", misfit.device, *_inner(misfit)) if part)
    if misfit.param:
        return f"params.{misfit.profile}.{misfit.param}"
    return ".".join(part for part in ("rules", misfit.profile, misfit.rule) if part) if misfit.profile else "book"


def _inner(misfit: Misfit) -> tuple[str, ...]:
    return ("params", misfit.param) if misfit.param else ("rules", misfit.rule) if misfit.rule else ()


def misfit_said(misfit: Misfit) -> str:
    """Where, and what was found."""
    where = "/".join(part for part in (misfit.profile, misfit.rule or misfit.param, misfit.device) if part)
    return f"{where}: {misfit.found}" if where else misfit.found


class RuleBookDesk:
    """Calls raise NotFound, BookMoved, BookMistakes or PreviewNeeded, and then nothing has changed.

    `intake` is None where services run elsewhere or not at all: they see by the site's stamp that it has changed.
    """

    def __init__(
        self, *, database: Database, library: Library, intake: Intake | None = None, changes: Changes | None = None
    ) -> None:
        self._database = database
        self._library = library
        self._intake = intake
        self._changes = changes

    def newest(self, scope: Scope, site: str) -> Version:
        with self._database.read() as connection:
            _site(connection, scope, site)
            return book_store.newest(connection, site)

    def version(self, scope: Scope, site: str, version: int) -> Version:
        with self._database.read() as connection:
            _site(connection, scope, site)
            return _version(connection, site, version)

    def versions(self, scope: Scope, site: str, *, limit: int = 100, before: int | None = None) -> list[Version]:
        """Newest first."""
        with self._database.read() as connection:
            _site(connection, scope, site)
            return book_store.list_versions(connection, site, limit=limit, before=before)

    def check(self, scope: Scope, site: str, began_with: int, book: RuleBook) -> Version:
        """The version in force, where this book could follow it."""
        with self._database.read() as connection:
            _site(connection, scope, site)
            return self._checked(connection, site, began_with, book)

    def ship(self, scope: Scope, site: str, shipping: Shipping, *, by: str, now: datetime) -> Version:
        """Make it the next version; from the next reading on it is in force."""

        def work(connection: Connection) -> Version:
            _site(connection, scope, site)
            self._checked(connection, site, shipping.began_with, shipping.book)
            content = book_store.content_of(shipping.book)
            return self._append(
                connection,
                site,
                shipping.began_with,
                content,
                shipping.note,
                tried=_tried(site, shipping, content),
                what="rules.shipped",
                by=by,
                now=now,
            )

        return self._done(work, site)

    def rollback(
        self, scope: Scope, site: str, to: int, *, began_with: int, note: str, by: str, now: datetime
    ) -> Version:
        """What stood in an older version becomes the next one. It was in force before, so it needs no backtest; what
        no longer fits, because profiles have changed since, is kept with it as `misfits`, and is seen among the rules
        that cannot be evaluated."""

        def work(connection: Connection) -> Version:
            _site(connection, scope, site)
            older = _version(connection, site, to)
            _, misfits = self._misfits(connection, site, began_with, older.book)
            tried: dict[str, Any] = {"rollback": to}
            return self._append(
                connection,
                site,
                began_with,
                older.content,
                note or f"Back to version {to}",
                tried=tried | ({"misfits": list(map(misfit_said, misfits))} if misfits else {}),
                what="rules.rolled_back",
                by=by,
                now=now,
            )

        return self._done(work, site)

    def _checked(self, connection: Connection, site: str, began_with: int, book: RuleBook) -> Version:
        found, mistakes = self._misfits(connection, site, began_with, book)
        if mistakes:
            raise BookMistakes(mistakes)
        return found

    def _misfits(
        self, connection: Connection, site: str, began_with: int, book: RuleBook
    ) -> tuple[Version, list[Misfit]]:
        """The version in force, and what of a book that is to follow it does not fit."""
        found = book_store.newest(connection, site)
        if found.version != began_with:
            raise book_store.BookMoved(site, began_with, found)
        params = book_store.site_params(connection)
        by_device = _devices(connection, site)
        before = Effective(self._library, {site: BookInForce(found.version, found.book)}, params)
        after = Effective(self._library, {site: BookInForce(found.version + 1, book)}, params)
        # What did not fit before is no fault of this change: a profile may have changed since.
        known = set(before.misfits(site, by_device))
        return found, [one for one in after.misfits(site, by_device) if one not in known]

    def _append(
        self,
        connection: Connection,
        site: str,
        began_with: int,
        content: Mapping[str, Any],
        note: str,
        *,
        tried: Mapping[str, Any],
        what: str,
        by: str,
        now: datetime,
    ) -> Version:
        shipped = book_store.append(
            connection,
            site=site,
            began_with=began_with,
            content=content,
            who=by,
            note=note,
            preview=tried,
            now=now,
        )
        data = {"version": shipped.version, "note": shipped.note, **_why(tried)}
        audit.append(connection, now=now, who=by, action=what, subject=site, data=data)
        return shipped

    def _done(self, work: Callable[[Connection], T], site: str) -> T:
        if self._intake is not None:
            found = self._intake.change_rules(work)
        else:
            with self._database.write() as connection:
                found = work(connection)
        if self._changes is not None:
            self._changes.publish([Change("site", site, site)])
        return found


def _tried(site: str, shipping: Shipping, content: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of the backtest; raises PreviewNeeded where there was none of this change."""
    tried = shipping.preview
    if tried is None:
        if not shipping.without_preview.strip():
            raise PreviewNeeded("A change is shipped after a backtest of it, or with a reason why there was none.")
        return {"without": shipping.without_preview.strip()[:500]}
    if tried.state != "done":
        raise PreviewNeeded(f"The backtest is {tried.state}{f': {tried.error}' if tried.error else ''}.")
    if (tried.site, tried.began_with, tried.content) != (site, shipping.began_with, content):
        raise PreviewNeeded("The backtest was of another change: this one has not been tried yet.")
    return summary_of(tried)


def _why(tried: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tried[name] for name in ("id", "without", "rollback") if name in tried}


def _site(connection: Connection, scope: Scope, site: str) -> None:
    if connection.scalar(select(sites.c.id).where(sites.c.id == site, in_scope(sites.c.id, scope))) is None:
        raise NotFound("site", site)


def _version(connection: Connection, site: str, version: int) -> Version:
    found = book_store.get_version(connection, site, version)
    if found is None:
        raise NotFound("version of the rule book", str(version))
    return found


def _devices(connection: Connection, site: str) -> dict[str, str]:
    query = select(devices.c.id, devices.c.profile).where(devices.c.site == site, devices.c.retired_at.is_(None))
    return {row.id: row.profile for row in connection.execute(query)}
