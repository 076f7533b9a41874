"""What `courtyard grafana` is to make: which Grafana, and which dashboards, folders and datasources belong there."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from services.cli.console import Console
from services.cli.installed import open_installed

if TYPE_CHECKING:
    from dashboards.capabilities import Capabilities
    from dashboards.datasources import Datasource
    from dashboards.grafana import Grafana
    from dashboards.places import Board, Place
    from dashboards.plan import Step, Wanted
    from services.settings import Settings


class Language(StrEnum):
    ZH = "zh"
    EN = "en"
    BOTH = "both"

    @property
    def codes(self) -> tuple[str, ...]:
        return ("zh", "en") if self is Language.BOTH else (self.value,)


def planned(
    settings: Settings,
    connected: Grafana,
    language: Language,
    boards: Path | None,
    sources: list[Datasource],
    *,
    renew_secrets: bool,
    teams: bool,
) -> tuple[Capabilities, list[Step]]:
    from dashboards.plan import plan
    from dashboards.sync import look
    from dashboards.teams import team_steps

    abilities = connected.capabilities()
    wanted = _wanted(settings, language, boards, sources, abilities, apart=teams)
    with Console(stderr=True).status("Looking at what is there …"):
        found = look(connected, wanted, abilities)
        kept_apart = team_steps(connected, [shelf.folder for shelf in wanted.shelves])
    return abilities, [*plan(wanted, found, abilities, renew_secrets=renew_secrets), *kept_apart]


def _wanted(
    settings: Settings,
    language: Language,
    boards: Path | None,
    sources: list[Datasource],
    abilities: Capabilities,
    *,
    apart: bool,
) -> Wanted:
    from dashboards.places import arrange
    from dashboards.plan import Wanted

    shelves = arrange(
        boards_of(settings, boards, language), places_of(settings), language.codes, abilities, apart=apart
    )
    return Wanted(tuple(sources), tuple(shelves))


def boards_of(settings: Settings, folder: Path | None, language: Language) -> list[Board]:
    """From a folder, or the shipped ones; with profiles of one's own they are built now."""
    from dashboards.build import GENERATED, write_all
    from dashboards.places import addressed, read_boards
    from services.profiles import load_library

    with tempfile.TemporaryDirectory(prefix="courtyard-boards-") as built:
        if folder is None and settings.profiles_dir is not None:
            folder = Path(built)
            write_all(load_library(settings), folder)
        found = read_boards(folder or GENERATED, language.codes)
    return [addressed(board, settings.effective_public_url) for board in found]


def places_of(settings: Settings) -> list[Place]:
    from services.grafana.places import places
    from services.profiles import load_library

    with ExitStack() as stack:
        database = open_installed(stack, settings)
        with database.read() as connection:
            return places(connection, load_library(settings))


def wanted_datasources(
    settings: Settings,
    influx_url: str | None,
    influx_token_file: Path | None,
    postgres_url: str | None,
    postgres_password_file: Path | None,
    prometheus_url: str | None,
) -> list[Datasource]:
    from dashboards.datasources import influxdb, postgresql, prometheus

    found = []
    if address := influx_url or settings.influx_url:
        found.append(influxdb(address, _secret(influx_token_file) or settings.influx_token))
    if postgres_url:
        if postgres_password_file is None:
            raise ValueError("--postgres-url needs --postgres-password-file, the password of a role that may only read")
        found.append(postgresql(postgres_url, _secret(postgres_password_file)))
    if prometheus_url:
        found.append(prometheus(prometheus_url))
    return found


def connect(settings: Settings, url: str | None, token_file: Path | None) -> Grafana:
    from dashboards.grafana import Grafana

    return Grafana(url_of(settings, url), token_of(settings, token_file))


def token_of(settings: Settings, file: Path | None) -> str:
    secret = _secret(file) or settings.grafana_token.strip()
    if not secret:
        raise ValueError(
            "no token for Grafana: set COURTYARD_GRAFANA_TOKEN or give --token-file; make one: courtyard grafana token"
        )
    return secret


def language_of(settings: Settings, asked: Language | None) -> Language:
    return asked or Language(settings.grafana_language)


def url_of(settings: Settings, url: str | None) -> str:
    address = url or settings.grafana_url
    if not address:
        raise ValueError("which Grafana? Set COURTYARD_GRAFANA_URL or give --url http://HOST:3000")
    return address


def _secret(file: Path | None) -> str:
    if file is None:
        return ""
    secret = file.read_text(encoding="utf-8").strip()
    if not secret:
        raise ValueError(f"{file} is empty")
    return secret
