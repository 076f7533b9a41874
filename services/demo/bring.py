"""Brings the demo site in, and never over what somebody made of it.

`courtyard up --demo` calls it at every start; the compose file's profile `demo` as a process of its own:

    python -m services.demo.bring
"""

from __future__ import annotations

import hashlib
import logging
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ruamel.yaml import YAML
from sqlalchemy import select

from services.database import Database
from services.demo import SITE, SITE_ID
from services.sites.export import export_site
from services.sites.importer import Library, import_site, would_change
from services.sites.mistakes import SiteMistakes
from services.sites.model import SiteFile
from services.tables import sites

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Bringing:
    """What is needed of this installation and of this release."""

    database: Database
    library: Library
    folder: Path
    """The data folder: what the demo brought is remembered there."""
    file: Path = SITE

    @property
    def brought(self) -> Path:
        return self.folder / "demo-site.sha256"


def bring(demo: Bringing, now: datetime) -> str:
    """Bring the demo in where it is not there, or still is what an earlier release brought. Else leave it.

    Returns one line for people where it was left, and "" otherwise. Raises SiteMistakes where it never came in, because
    another site has its devices.
    """
    stands = _fingerprint(demo.database)
    if stands is not None and not _is_out_of_date(demo, now):
        _remember(demo, stands)
        return ""
    if stands is None or stands == _remembered(demo):
        import_site(demo.database, demo.file, demo.library, now)
        _remember(demo, _fingerprint(demo.database) or "")
        return ""
    return f"Your changes to {SITE_ID} are kept; courtyard site import {demo.file} brings the demo's back."


def _is_out_of_date(demo: Bringing, now: datetime) -> bool:
    """The demo's file would change something. One that can no longer be imported does: a person has built on it."""
    try:
        return would_change(demo.database, demo.file, demo.library, now)
    except SiteMistakes as mistakes:
        _log.info("the demo's site file cannot be imported any more: %s", mistakes)
        return True


def _fingerprint(database: Database) -> str | None:
    """Of the site as its file would say it now, whatever release wrote it; None where it is not there."""
    with database.read() as connection:
        if connection.scalar(select(sites.c.id).where(sites.c.id == SITE_ID)) is None:
            return None
        text = export_site(connection, SITE_ID)
    said = SiteFile.model_validate(YAML(typ="safe").load(text))
    # Defaults are left out, so that a key that a later release adds does not look like a person's change.
    return hashlib.sha256(said.model_dump_json(exclude_defaults=True).encode()).hexdigest()


def _remembered(demo: Bringing) -> str:
    try:
        return demo.brought.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""


def _remember(demo: Bringing, fingerprint: str) -> None:
    if _remembered(demo) != fingerprint:
        demo.brought.write_text(fingerprint + "\n", encoding="ascii")


def main() -> None:
    """Once, with the settings of the environment."""
    from services.bootstrap import open_database
    from services.clock import SystemClock
    from services.profiles import load_library
    from services.settings import Settings

    settings = Settings()
    with ExitStack() as stack:
        demo = Bringing(
            database=open_database(stack, settings), library=load_library(settings), folder=settings.data_dir
        )
        sys.stdout.write(bring(demo, SystemClock().now()) or f"The site {SITE_ID} is the demo's.")
        sys.stdout.write("\n")


if __name__ == "__main__":
    main()
