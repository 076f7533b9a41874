"""Gathering facts of the rest of the stack. Waits seconds at most, and changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import httpx
from sqlalchemy import Connection, text

from device_profiles.schema import DeviceProfile
from device_profiles.telemetry import DATABASE, RAW
from gateway.journal.inspect import look as look_at_journal
from gateway.mqtt import BrokerAddress
from gateway.subscriptions import Subscriptions
from gateway.telemetry import TelemetryUnavailable, refused
from gateway.telemetry.spool import FILE as SPOOL_FILE
from services.clock import from_millis
from services.doctor.patience import PATIENCE_SECONDS, WHOLE_SECONDS, within
from services.doctor.probes import ask_broker
from services.doctor.stack_facts import (
    BrokerDoorFacts,
    ForwardFacts,
    GrafanaFacts,
    InfluxFacts,
    MetricsFacts,
    PostgresFacts,
    SecretFacts,
    SpaceFacts,
)
from services.settings import Settings

if TYPE_CHECKING:
    from dashboards.grafana import Grafana
    from dashboards.plan import Step

_GRAFANA_SECONDS = 60.0
"""It is asked for every dashboard there is."""
_SERIES_LOOKED_AT = 200
_SHORTEST = 8
_WELL_KNOWN = frozenset(
    {"administrator", "changeme", "change-me", "courtyard", "influxdb", "mosquitto", "password", "password1"}
    | {"postgres", "postgresql", "telemetry", "12345678", "123456789", "1234567890"}
)
SECRETS_FOLDER = Path("deploy/secrets")
"""Where `courtyard secrets init` puts them, seen from a clone."""


# --- time series ----------------------------------------------------------------------------------------------------


def influx(settings: Settings, *, whole_seconds: float = WHOLE_SECONDS) -> InfluxFacts | None:
    """None where none is set."""
    if not settings.influx_url:
        return None
    where = _where(settings.influx_url)
    return within(whole_seconds, lambda: _influx(settings, where), lambda why: InfluxFacts(where, mistake=why))


def _where(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2] or url


def _influx(settings: Settings, where: str) -> InfluxFacts:
    from gateway.telemetry.influxql import InfluxQl
    from gateway.telemetry.retention import look
    from services.rollup import wanted_levels

    url, token, org = settings.influx_url, settings.influx_token.strip(), settings.influx_org
    levels = wanted_levels(settings)
    try:
        with InfluxQl(url, token, org, timeout_seconds=PATIENCE_SECONDS) as ql:
            found = look(ql, url=url, token=token, org=org, levels=levels)
            if RAW not in found.levels:
                return InfluxFacts(where, version=found.version, not_set_up=f"has no database {DATABASE}")
            ql.ask("SHOW MEASUREMENTS LIMIT 1")
        cannot_write, now = _writing(url, token, org)
    except (TelemetryUnavailable, ValueError) as problem:
        return InfluxFacts(where, mistake=str(problem))
    return InfluxFacts(
        where,
        version=found.version,
        cannot_write=cannot_write,
        kept={level.name: kept.keep for level, kept in found.levels.items()},
        to_change=tuple(change.said for change in found.changes),
        now=now,
    )


def _writing(url: str, token: str, org: str) -> tuple[str, datetime | None]:
    """Why nothing may be written, and the server's clock. An empty body is refused after the rights were looked at."""
    params = {"bucket": RAW.bucket, "org": org, "precision": "ms"}
    try:
        answer = httpx.post(
            f"{url.rstrip('/')}/api/v2/write", params=params, headers={"Authorization": f"Token {token or 'none'}"},
            content=b"", timeout=PATIENCE_SECONDS, trust_env=False,
        )  # fmt: skip
    except httpx.HTTPError as error:
        return f"no answer to /api/v2/write: {error!r}", None
    date = answer.headers.get("date")
    now = parsedate_to_datetime(date) if date else None
    said = " ".join(answer.text.split())[:200]
    if answer.status_code in (401, 403):
        return f"HTTP {answer.status_code}: {said}", now
    if answer.status_code == 404:
        return f"HTTP 404 at /api/v2/write: {said}; expected InfluxDB 1.8 or 2", now
    return "", now


def forward(data_dir: Path) -> ForwardFacts:
    """Of this machine's journals, whichever holds readings for the time series."""
    waiting, oldest = 0, None
    for journal in (data_dir / "journal.db", data_dir / SPOOL_FILE):
        if not journal.exists():
            continue
        try:
            found = look_at_journal(journal)
        except (sqlite3.DatabaseError, OSError):
            continue  # told elsewhere
        waiting += found.waiting.get("telemetry", 0)
        if at := found.oldest_waiting.get("telemetry"):
            oldest = min(oldest or at, at)
    file = data_dir / refused.FILE
    return ForwardFacts(
        waiting=waiting,
        oldest_at=from_millis(oldest) if oldest else None,
        refused=refused.total(file),
        refused_last=_last_refused(file),
    )


def _last_refused(file: Path) -> str:
    try:
        found = refused.listing(file, limit=1)
    except sqlite3.DatabaseError:
        return ""
    return f"{found[0].device} {found[0].field}: {found[0].reason}" if found else ""


# --- Grafana --------------------------------------------------------------------------------------------------------


def grafana(
    settings: Settings,
    library: Mapping[str, DeviceProfile],
    connection: Connection | None,
    boards: Path | None = None,
    *,
    whole_seconds: float = _GRAFANA_SECONDS,
) -> GrafanaFacts | None:
    """None where none is set. Without a connection to the database its folders are not compared. `boards`: where the
    dashboards are, other than the shipped ones."""
    if not settings.grafana_url:
        return None
    where = _where(settings.grafana_url)
    return within(
        whole_seconds,
        lambda: _grafana(settings, library, connection, boards, where),
        lambda why: GrafanaFacts(where, mistake=why),
    )


def _grafana(
    settings: Settings,
    library: Mapping[str, DeviceProfile],
    connection: Connection | None,
    boards: Path | None,
    where: str,
) -> GrafanaFacts:
    from dashboards.grafana import Grafana, GrafanaRefused
    from dashboards.sync import health

    token = settings.grafana_token.strip()
    try:
        with Grafana(settings.grafana_url, token or None, timeout_seconds=PATIENCE_SECONDS) as server:
            abilities = server.capabilities()
            if not token:
                return GrafanaFacts(where, mistake="answers, but COURTYARD_GRAFANA_TOKEN is not set")
            sources = health(server)
            steps = differing(server, settings, library, connection, boards) if connection is not None else []
    except GrafanaRefused as refusal:
        return GrafanaFacts(where, mistake=str(refusal))
    return GrafanaFacts(
        where,
        version=str(abilities),
        cannot=abilities.cannot,
        unsound={name: said for name, said in sources.items() if not said.upper().startswith("OK")},
        datasources=len(sources),
        not_as_built=tuple(f"{step.kind} {step.title}" for step in steps if step.do in ("create", "change", "remove")),
        as_built=sum(step.do in ("keep", "leave") and step.kind == "dashboard" for step in steps),
    )


def differing(
    server: Grafana,
    settings: Settings,
    library: Mapping[str, DeviceProfile],
    connection: Connection,
    boards: Path | None = None,
) -> list[Step]:
    """What `courtyard grafana sync` would do. Of profiles of one's own the dashboards are not built for it."""
    from dashboards.build import GENERATED
    from dashboards.places import addressed, arrange, read_boards
    from dashboards.plan import Wanted, plan
    from dashboards.sync import look
    from services.grafana.places import places

    abilities = server.capabilities()
    language = (settings.grafana_language,)
    found = [addressed(board, settings.effective_public_url) for board in read_boards(boards or GENERATED, language)]
    shelves = arrange(found, places(connection, library), language, abilities)
    wanted = Wanted((), tuple(shelves))
    steps = plan(wanted, look(server, wanted, abilities), abilities)
    return [step for step in steps if step.do != "remove" or settings.profiles_dir is None]


# --- PostgreSQL -----------------------------------------------------------------------------------------------------


def postgres(connection: Connection) -> PostgresFacts:
    """Of the server behind this connection."""

    def one(query: str) -> str:
        return str(connection.execute(text(query)).scalar() or "")

    largest = connection.execute(
        text(
            "SELECT relname, pg_total_relation_size(oid) AS size FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace ORDER BY size DESC LIMIT 3"
        )
    ).all()
    return PostgresFacts(
        version=one("SHOW server_version").split(" ")[0],
        version_number=int(one("SHOW server_version_num")),
        bytes=int(one("SELECT pg_database_size(current_database())")),
        largest=tuple((str(name), int(size)) for name, size in largest),
        connections=int(one("SELECT COUNT(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")),
        most_connections=int(one("SHOW max_connections")),
        encrypted=one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == "True",
        local=one("SELECT inet_client_addr() IS NULL OR inet_client_addr() = inet_server_addr()") == "True",
    )


# --- broker, secrets, metrics ---------------------------------------------------------------------------------------


def broker_door(url: str, data_dir: Path) -> BrokerDoorFacts | None:
    """What a broker of one's own lets in; None where it does not let the gateway in, which is told elsewhere."""
    try:
        address = BrokerAddress.parse(url)
    except ValueError:
        return None
    filters = Subscriptions(data_dir / "filters.json").held
    mine = ask_broker(address, filters)
    if not mine.accepted:
        return None
    nobody = BrokerAddress(address.host, address.port, tls=address.tls, user=None, password=None)
    anonymous = address.user is None or ask_broker(nobody).accepted
    return BrokerDoorFacts(str(address), anonymous, mine.refused_filters, len(filters))


def secrets(settings: Settings, folder: Path = SECRETS_FOLDER) -> SecretFacts:
    """Files this installation knows of. In /run/secrets they are the container's own."""
    files = [settings.gateway_token_file] if settings.gateway_token_file is not None else []
    files += sorted(file for file in folder.iterdir() if file.name[0] != ".") if folder.is_dir() else []
    there = [file for file in files if file.is_file() and not file.is_relative_to("/run/secrets")]
    weak = [
        f"COURTYARD_{name.upper()}" for name in ("mqtt", "database_url", "influx_token") if _is_weak(name, settings)
    ]
    return SecretFacts(len(there), tuple(file for file in there if _others_can_read(file)), tuple(weak))


def _others_can_read(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & 0o044) and bool(file.absolute().parent.stat().st_mode & 0o055)
    except OSError:
        return False


def _is_weak(name: str, settings: Settings) -> bool:
    value = str(getattr(settings, name))
    password = _password_of(value) if name != "influx_token" else value.rpartition(":")[2]
    return bool(password) and (len(password) < _SHORTEST or password.lower() in _WELL_KNOWN)


def _password_of(url: str) -> str:
    try:
        return unquote(urlsplit(url).password or "")
    except ValueError:
        return ""


def metrics(address: str, *, whole_seconds: float = WHOLE_SECONDS) -> MetricsFacts | None:
    """None where no listener is set."""
    if not address:
        return None
    return within(whole_seconds, lambda: _metrics(address), lambda why: MetricsFacts(address, mistake=why))


def _metrics(address: str) -> MetricsFacts:
    host, _, port = address.rpartition(":")
    everywhere = host.strip("[]") in ("0.0.0.0", "::", "")  # noqa: S104
    try:
        answer = httpx.get(
            f"http://{'127.0.0.1' if everywhere else host}:{port}/metrics", timeout=PATIENCE_SECONDS, trust_env=False
        )
        answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return MetricsFacts(address, mistake=str(error) or type(error).__name__)
    samples = sum(line.startswith("courtyard_") for line in answer.text.splitlines())
    if not samples:
        return MetricsFacts(address, mistake="something answers there, but with no figures of Courtyard's")
    return MetricsFacts(address, samples=samples, open_to_all=everywhere)


# --- disks ----------------------------------------------------------------------------------------------------------


def space(settings: Settings, free_bytes: int) -> SpaceFacts:
    telemetry = settings.data_dir / "telemetry.db"
    journal = settings.data_dir / "journal.db"
    embedded = not settings.influx_url and telemetry.exists()
    return SpaceFacts(
        free_bytes,
        telemetry_bytes=telemetry.stat().st_size if embedded else 0,
        telemetry_days=_span_days(telemetry) if embedded else 0,
        telemetry_kept_days=settings.telemetry_days,
        telemetry_max_bytes=settings.telemetry_max_bytes,
        journal_bytes=journal.stat().st_size if journal.exists() else 0,
        journal_max_bytes=settings.journal_max_bytes,
    )


def _span_days(telemetry: Path) -> float:
    """From the oldest to the newest reading, of some series: there is no index over all of them."""
    try:
        with closing(sqlite3.connect(f"{telemetry.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as db:
            ends = [
                db.execute("SELECT MIN(at), MAX(at) FROM readings WHERE series = ?", one).fetchone()
                for one in db.execute("SELECT id FROM series ORDER BY id LIMIT ?", (_SERIES_LOOKED_AT,)).fetchall()
            ]
    except sqlite3.DatabaseError:
        return 0
    filled = [(first, last) for first, last in ends if first is not None]
    if not filled:
        return 0
    return float((max(last for _, last in filled) - min(first for first, _ in filled)) / 86_400_000)
