"""The same without the API: a folder that Grafana reads when it starts (its file provisioning).

    <out>/datasources/courtyard.yaml    where the data is; secrets come from files that only Grafana reads
    <out>/dashboards/courtyard.yaml     where the dashboards are
    <out>/boards/<folder>/*.json        the dashboards; each folder becomes one in Grafana

Values such as ${INFLUX_URL} and $__file{/run/secrets/…} are filled in by Grafana itself, when it starts. It looks for
variables in what it read from a file, too: a secret that holds a `$` would be mangled. Those of `courtyard secrets
init` hold none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from dashboards.capabilities import CURRENT, Capabilities
from dashboards.datasources import Datasource, for_files, influxdb, postgresql_at, prometheus
from dashboards.places import OURS, ROOTS

SHIPPED = Path(__file__).with_name("provisioning")
BOARDS_MOUNT = "/etc/courtyard/boards"
"""Where a container finds the shipped dashboards, each language in a folder below it."""
INFLUX_USER = "grafana"
"""Made by deploy/influxdb/reader.sh. InfluxDB 2 knows such accounts by basic authentication only, not as a token."""
INFLUX_PASSWORD_FILE = "/run/secrets/influx_grafana_password"  # noqa: S105  it is a path
POSTGRESQL_PASSWORD_FILE = "/run/secrets/postgres_grafana_password"  # noqa: S105  it is a path
_HEAD = "# Written by `courtyard grafana provision`; Grafana fills in ${…} and $__file{…} when it starts.\n"


def shipped_datasources() -> list[Datasource]:
    """For docker-compose.yml: addresses from the environment of Grafana's container, secrets from its secret files."""
    return [
        influxdb("${INFLUX_URL}", f"{INFLUX_USER}:$__file{{{INFLUX_PASSWORD_FILE}}}"),
        postgresql_at(
            "${POSTGRES_ADDRESS}",
            database="${POSTGRES_DB}",
            user="${POSTGRES_USER}",
            password=f"$__file{{{POSTGRESQL_PASSWORD_FILE}}}",
        ),
    ]


def with_prometheus(sources: Sequence[Datasource], url: str) -> list[Datasource]:
    return [*sources, prometheus(url)]


def datasources_yaml(sources: Iterable[Datasource], grafana: Capabilities | None = None) -> str:
    known = grafana or Capabilities(CURRENT)
    entries = [for_files(source, known, default=number == 0) for number, source in enumerate(sources)]
    return _written({"apiVersion": 1, "datasources": entries})


def providers_yaml(boards: str | None = None) -> str:
    """`boards`: what write_boards() wrote, one folder below it per folder in Grafana; None: the shipped dashboards."""
    if boards is not None:
        providers = [_provider("courtyard", boards) | {"options": {"path": boards, "foldersFromFilesStructure": True}}]
    else:
        # Of folders in folders Grafana takes the innermost name alone: `families` of both languages would be one.
        providers = [
            {
                **_provider(f"courtyard-{language}", f"{BOARDS_MOUNT}/{language}"),
                "folder": title,
                "folderUid": f"{OURS}-{language}",
            }
            for language, title in ROOTS.items()
        ]
    return _written({"apiVersion": 1, "providers": providers})


def _provider(name: str, path: str) -> dict[str, Any]:
    return {
        "name": name,
        "orgId": 1,
        "type": "file",
        # What is no longer in the folder goes; what people make themselves is never of a provider.
        "disableDeletion": False,
        "allowUiUpdates": False,
        "updateIntervalSeconds": 60,
        "options": {"path": path},
    }


def _written(content: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    return _HEAD + text


def write_files(
    out: Path, sources: Iterable[Datasource], *, boards: str | None = None, grafana: Capabilities | None = None
) -> list[Path]:
    """The two YAML files. `boards`: where Grafana will find the dashboards; None: as docker-compose.yml mounts them."""
    contents = {
        out / "datasources" / "courtyard.yaml": datasources_yaml(sources, grafana),
        out / "dashboards" / "courtyard.yaml": providers_yaml(boards),
    }
    for file, text in contents.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return list(contents)


def write_boards(out: Path, folders: dict[str, list[dict[str, Any]]]) -> list[Path]:
    """`{folder: dashboards}` as files; those of an earlier run that are no longer wanted are removed."""
    wanted = {
        out / "boards" / _file_name(folder) / f"{board['uid']}.json": json.dumps(board, ensure_ascii=False, indent=1)
        for folder, boards in folders.items()
        for board in boards
    }
    for file, text in wanted.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n", encoding="utf-8")
    for old in (out / "boards").glob("*/cy-*.json"):
        if old not in wanted:
            old.unlink()
    return list(wanted)


def _file_name(title: str) -> str:
    """A folder's title as the name of a folder on disk."""
    return title.replace("/", "∕").replace("\0", "").strip(". ") or "Courtyard"
