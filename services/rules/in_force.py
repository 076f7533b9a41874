"""The rules that run, as they stand in the database."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from device_profiles.schema import DeviceProfile
from services.rules import book_store
from services.rules.effective import BookInForce, Effective

Library = Mapping[str, DeviceProfile]


def book_in_force(connection: Connection, site: str) -> BookInForce:
    """The newest rule book of a site."""
    found = book_store.newest(connection, site)
    return BookInForce(found.version, *book_store.read_content(found.content))


def effective_rules(connection: Connection, library: Library) -> Effective:
    """The rules that run: profiles, rule books and the params of the site files, as they stand in the database."""
    books = {
        site: BookInForce(found.version, *book_store.read_content(found.content))
        for site, found in book_store.newest_of_all(connection).items()
    }
    return Effective(library, books, book_store.site_params(connection))
