"""A site file into the database: read it, say every mistake at once with its line, make the tables agree with it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy import Connection

from device_profiles.schema import (
    DeviceProfile,
)
from device_profiles.yaml_lines import Document, YamlMistake, read_yaml
from gateway.reading import DeviceEntry
from services.database import Database
from services.sites.checks import Check
from services.sites.members import expanded_members
from services.sites.mistakes import SiteMistake, SiteMistakes, by_line, known_one, shape_mistake, words
from services.sites.model import (
    SiteFile,
)
from services.sites.sync import ImportReport, adopted_ids, foreign_owners, sync

Library = Mapping[str, DeviceProfile]


def import_site(database: Database, path_or_text: Path | str, library: Library, now: datetime) -> ImportReport:
    """Bring one site up to its file, in one transaction; a second import of the same file changes nothing.

    A device that is gone from the file is retired: it leaves the pages and keeps its history. Raises SiteMistakes.
    """
    file, text = _source(path_or_text)
    document = _parse(file, text)
    site = _checked(file, document, library)
    with database.write() as connection:
        return _synced(connection, Check(file, document, library, site), site, library, now)


def would_change(database: Database, path_or_text: Path | str, library: Library, now: datetime) -> bool:
    """Whether importing this file would change anything; nothing is written. Raises SiteMistakes."""
    file, text = _source(path_or_text)
    document = _parse(file, text)
    site = _checked(file, document, library)
    # What an import would do is what it does, taken back.
    with database.write() as connection, connection.begin_nested() as trial:
        report = _synced(connection, Check(file, document, library, site), site, library, now)
        trial.rollback()
    return not report.is_unchanged


def _synced(connection: Connection, check: Check, site: SiteFile, library: Library, now: datetime) -> ImportReport:
    taken = check.taken(foreign_owners(connection, site)) + check.renamed(adopted_ids(connection, site))
    if taken:
        raise SiteMistakes(taken)
    return sync(connection, site, expanded_members(site, library), now)


def read_site(path_or_text: Path | str, library: Library) -> SiteFile:
    """Read and check a site file without a database; raises SiteMistakes with every mistake at once.

    A text of one line is taken for a path.
    """
    file, text = _source(path_or_text)
    return _checked(file, _parse(file, text), library)


def device_entries(site: SiteFile) -> list[DeviceEntry]:
    """The devices as a gateway (or the simulator) must know them."""
    return [
        DeviceEntry(
            id=device.id,
            profile=device.profile,
            address=device.wire_address,
            site=site.site,
            timezone=site.timezone,
            params=site.params_of(device),
            parent=device.parent or "",
            building=device.building or "",
        )
        for device in site.devices
    ]


def _source(path_or_text: Path | str) -> tuple[str, str]:
    if isinstance(path_or_text, str) and "\n" in path_or_text:
        return "site.yaml", path_or_text
    try:
        return str(path_or_text), Path(path_or_text).read_text(encoding="utf-8")
    except OSError as error:
        problem = error.strerror or str(error)
        raise SiteMistakes([SiteMistake(str(path_or_text), 1, "file", problem.lower(), "a readable file")]) from None
    except UnicodeDecodeError:
        raise SiteMistakes([SiteMistake(str(path_or_text), 1, "file", "other bytes", "UTF-8 text")]) from None


def _parse(file: str, text: str) -> Document:
    try:
        document = read_yaml(text)
    except YamlMistake as mistake:
        raise SiteMistakes([SiteMistake(file, mistake.line, "YAML", mistake.problem, mistake.expected)]) from None
    if not isinstance(document.data, dict):
        raise SiteMistakes([SiteMistake(file, 1, "file", "no keys", "a site file that begins with `site:`")])
    return document


def _checked(file: str, document: Document, library: Library) -> SiteFile:
    try:
        site = SiteFile.model_validate(document.data)
    except ValidationError as error:
        shape = [shape_mistake(file, document, one) for one in error.errors()]
        raise SiteMistakes(by_line(shape + _early_words(file, document, library))) from None
    mistakes = Check(file, document, library, site).mistakes()
    if mistakes:
        raise SiteMistakes(mistakes)
    return site


def _early_words(file: str, document: Document, library: Library) -> list[SiteMistake]:
    """Unknown profiles, said also where the file's shape is wrong elsewhere: every mistake at once."""
    devices = document.data.get("devices")
    found = []
    for number, device in enumerate(devices if isinstance(devices, list) else []):
        name = device.get("profile") if isinstance(device, dict) else None
        if isinstance(name, str) and name not in library:
            where = ("devices", number, "profile")
            found.append(SiteMistake(file, document.line(where), words(where), repr(name), known_one(name, library)))
    return found
