"""What differs between Grafana 10, 11, 12 and 13 where it matters here. Pure.

Facts, each from Grafana's release notes or its issues: PostgreSQL's plugin is grafana-postgresql-datasource since
10.2.3, before it was postgres; folders in folders need a feature toggle in 10 and are there by default since 11; the
list of a dashboard's versions is wrapped in an object since 11.6; numeric ids of datasources answer no more since 13
(only uids are used here); dashboards of the second schema are refused by /api/dashboards/db (the classic one is used
here); until 10.0.1 two titles are one where their Latin letters and digits are the same, so that most Chinese ones are
taken for one another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

OLDEST, NEWEST = (10, 0, 2), (13, 99, 99)
CURRENT = (13, 2, 3)
"""What docker-compose.yml runs; files are provisioned for it unless told otherwise."""
_POSTGRESQL_RENAMED = (10, 2, 3)
_NESTED_FOLDERS = (11, 0, 0)
_DATABASE_IN_OPTIONS = (9, 5, 0)

Version = tuple[int, int, int]


@dataclass(frozen=True)
class Capabilities:
    version: Version | None
    """None: this Grafana does not tell."""

    @property
    def nested_folders(self) -> bool:
        return self._at_least(_NESTED_FOLDERS)

    @property
    def database_outside_options(self) -> bool:
        """Whether the plugin of InfluxDB looks for its database beside the options, not in them."""
        return not self._at_least(_DATABASE_IN_OPTIONS)

    def plugin(self, kind: str) -> str:
        """What this version calls the plugin."""
        if kind == "grafana-postgresql-datasource" and not self._at_least(_POSTGRESQL_RENAMED):
            return "postgres"
        return kind

    @property
    def cannot(self) -> tuple[str, ...]:
        """What is not to be had there, in words."""
        notes = []
        if self.version is None:
            notes.append("It does not tell its version; taken for a current one.")
            return tuple(notes)
        if self.version < OLDEST:
            notes.append(
                f"{self} is older than 10.0.2: titles in Chinese are taken for one another, and dashboards refused or "
                "overwritten. Update it, or use --language en; dashboards of schema 42 may not be shown in full."
            )
        if self.version > NEWEST:
            notes.append(f"{self} is newer than what this Courtyard knows (10 to 13).")
        if not self.nested_folders:
            notes.append("No folders in folders before Grafana 11: the folders of sites stand beside each other.")
        return tuple(notes)

    def __str__(self) -> str:
        return "Grafana " + (".".join(map(str, self.version)) if self.version else "(version not told)")

    def _at_least(self, version: Version) -> bool:
        return self.version is None or self.version >= version


def capabilities(version: str | None) -> Capabilities:
    """From what Grafana says of itself: "11.6.0", "13.2.3+security-01", "9.4.0-pre"; nothing where it is hidden."""
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version or "")
    if found is None:
        return Capabilities(None)
    major, minor, patch = found.groups(default="0")
    return Capabilities((int(major), int(minor), int(patch)))
