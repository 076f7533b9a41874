"""Rule books in SQL: versions of every site, each whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Row, and_, delete, func, insert, select, update

from device_profiles.expression import stretch_text
from device_profiles.schema import parse_duration
from services.rules.book import RuleBook
from services.scope import Scope, in_scope
from services.tables import rule_books, sites

VERSIONS_KEPT = 100
"""Of a site, however old they are: so far one can always go back."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of a site's rule book. Version 0 is the empty book that every site begins with."""

    site: str
    version: int
    at: datetime | None
    who: str
    note: str
    content: Mapping[str, Any]
    preview: dict[str, Any] | None
    """What the backtest said before it was shipped, or the reason why it was shipped without."""

    @property
    def book(self) -> RuleBook:
        return read_content(self.content)[0]


class BookMoved(Exception):
    """Somebody else has shipped a newer version."""

    def __init__(self, site: str, expected: int, newest: Version) -> None:
        who = f" by {newest.who}" if newest.who else ""
        super().__init__(
            f"The rule book of {site!r} is at version {newest.version}{who}, "
            f"and this change began with version {expected}."
        )
        self.expected, self.newest = expected, newest


def empty(site: str) -> Version:
    return Version(site=site, version=0, at=None, who="", note="", content={}, preview=None)


def read_content(content: Mapping[str, Any]) -> tuple[RuleBook, str]:
    """The book, or an empty one and what is wrong with what is stored (written by another version of Courtyard)."""
    try:
        return RuleBook.model_validate(content), ""
    except ValidationError as error:
        one = error.errors()[0]
        return RuleBook(), f"{'.'.join(map(str, one['loc']))}: {one['msg']}"


def content_of(book: RuleBook) -> dict[str, Any]:
    """As JSON, and without what says nothing."""
    content = book.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    rules = {profile: changes for profile, changes in content.get("rules", {}).items() if changes}
    params = {profile: values for profile, values in content.get("params", {}).items() if values}
    devices = {device: change for device, change in content.get("devices", {}).items() if change}
    found = {"rules": rules, "params": params, "devices": devices}
    return {name: _in_words(part) for name, part in found.items() if part}


_LENGTHS = frozenset({"for", "clear_for", "acknowledge_within", "after", "within"})


def _in_words(part: Any) -> Any:
    """Delays as people write them: 10m, not 600s."""
    if isinstance(part, list):
        return [_in_words(one) for one in part]
    if not isinstance(part, dict):
        return part
    return {
        name: stretch_text(parse_duration(one).total_seconds())
        if name in _LENGTHS and isinstance(one, str)
        else _in_words(one)
        for name, one in part.items()
    }


def newest(connection: Connection, site: str) -> Version:
    """The version that is in force; version 0 where nothing was ever changed."""
    query = select(rule_books).where(rule_books.c.site == site).order_by(rule_books.c.version.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return empty(site) if row is None else _version(row)


def newest_of_all(connection: Connection, scope: Scope = None) -> dict[str, Version]:
    """Site -> the version in force, of the sites that have changed anything."""
    last = select(rule_books.c.site, func.max(rule_books.c.version).label("version")).group_by(rule_books.c.site)
    newest_ones = last.subquery()
    query = (
        select(rule_books)
        .join(
            newest_ones,
            and_(rule_books.c.site == newest_ones.c.site, rule_books.c.version == newest_ones.c.version),
        )
        .where(in_scope(rule_books.c.site, scope))
    )
    return {row.site: _version(row) for row in connection.execute(query)}


def get_version(connection: Connection, site: str, version: int) -> Version | None:
    """One version; None where there is none."""
    if version == 0:
        return empty(site)
    query = select(rule_books).where(rule_books.c.site == site, rule_books.c.version == version)
    row = connection.execute(query).one_or_none()
    return None if row is None else _version(row)


def list_versions(connection: Connection, site: str, *, limit: int = 100, before: int | None = None) -> list[Version]:
    """Newest first; `before` is the last number of the page before."""
    query = select(rule_books).where(rule_books.c.site == site).order_by(rule_books.c.version.desc()).limit(limit)
    if before is not None:
        query = query.where(rule_books.c.version < before)
    return [_version(row) for row in connection.execute(query)]


def append(
    connection: Connection,
    *,
    site: str,
    began_with: int,
    content: Mapping[str, Any],
    who: str,
    note: str,
    preview: Mapping[str, Any] | None,
    now: datetime,
) -> Version:
    """The next version, in the caller's transaction; whoever holds this site in memory takes its rules anew.

    Raises BookMoved when the newest is not the one that the change began with.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(sites.c.id).where(sites.c.id == site).with_for_update())  # one writer per site
    found = newest(connection, site)
    if found.version != began_with:
        raise BookMoved(site, began_with, found)
    row: dict[str, Any] = {
        "site": site,
        "version": found.version + 1,
        "at": now,
        "who": who,
        "note": note[:500],
        "content": dict(content),
        "preview": None if preview is None else dict(preview),
    }
    connection.execute(insert(rule_books).values(**row))
    # By this other processes see that they must take the rules of the site anew.
    connection.execute(update(sites).where(sites.c.id == site).values(book_version=found.version + 1))
    return Version(**row)


def expire(connection: Connection, before: datetime) -> int:
    """Forget versions that were in force no more by then, but for the newest of each site; how many they were."""
    later, newest_one = rule_books.alias("later"), rule_books.alias("newest_one")
    last = select(func.max(newest_one.c.version)).where(newest_one.c.site == rule_books.c.site).scalar_subquery()
    replaced = select(later.c.version).where(
        later.c.site == rule_books.c.site, later.c.version == rule_books.c.version + 1, later.c.at < before
    )
    old = rule_books.c.version <= last - VERSIONS_KEPT
    return connection.execute(delete(rule_books).where(old, replaced.exists())).rowcount


def site_params(connection: Connection) -> dict[str, dict[str, dict[str, Any]]]:
    """Site -> profile -> param -> value, as the site files say."""
    return {row.id: row.params or {} for row in connection.execute(select(sites.c.id, sites.c.params))}


def _version(row: Row[Any]) -> Version:
    return Version(
        site=row.site,
        version=row.version,
        at=row.at,
        who=row.who,
        note=row.note,
        content=row.content or {},
        preview=row.preview,
    )
