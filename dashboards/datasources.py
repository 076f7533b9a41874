"""What Grafana asks for data: the time series, the tickets, and the product's own metrics. Pure.

One description of each, written either as Grafana's API takes it or as its file provisioning does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dashboards.capabilities import Capabilities
from device_profiles.telemetry import DATABASE

INFLUXDB = "courtyard-influxdb"
POSTGRESQL = "courtyard-postgresql"
PROMETHEUS = "courtyard-prometheus"


@dataclass(frozen=True)
class Datasource:
    uid: str
    name: str
    kind: str
    """Grafana's plugin, as its newest versions call it; see Capabilities.plugin."""
    url: str
    user: str = ""
    database: str = ""
    """Named outside of the options as well, where Grafana before 9.5 looks for InfluxDB's."""
    basic_auth_user: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Grafana's jsonData."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Grafana's secureJsonData: it takes them and never shows them again."""


def influxdb(url: str, token: str) -> Datasource:
    """InfluxDB in InfluxQL. `token`: of InfluxDB 2, or USER:PASSWORD of InfluxDB 1 or of InfluxDB 2's `influx v1 auth`,
    or "" where none is asked."""
    options: dict[str, Any] = {"version": "InfluxQL", "dbName": DATABASE, "httpMode": "POST"}
    user, colon, password = token.partition(":")
    if colon:
        return Datasource(
            INFLUXDB,
            "Courtyard InfluxDB",
            "influxdb",
            url.rstrip("/"),
            database=DATABASE,
            basic_auth_user=user,
            options=options,
            secrets={"basicAuthPassword": password},
        )
    secrets = {"httpHeaderValue1": f"Token {token}"} if token else {}
    if token:
        options["httpHeaderName1"] = "Authorization"
    return Datasource(
        INFLUXDB,
        "Courtyard InfluxDB",
        "influxdb",
        url.rstrip("/"),
        database=DATABASE,
        options=options,
        secrets=secrets,
    )


_SSL_MODES = ("disable", "require", "verify-ca", "verify-full")
"""Those that Grafana knows."""


def postgresql(url: str, password: str) -> Datasource:
    """Tickets, alarms and outages, read by a role that may only read.

    `url`: postgresql://USER@HOST[:PORT]/DATABASE[?sslmode=…], without TLS unless it says so. Raises ValueError where a
    part is missing, or the password is in it.
    """
    parts = urlsplit(url)
    database = parts.path.strip("/")
    if parts.scheme not in ("postgres", "postgresql") or not (parts.hostname and parts.username and database):
        raise ValueError(f"expected postgresql://USER@HOST[:PORT]/DATABASE, found {_without_password(url)!r}")
    if parts.password:
        raise ValueError("the password does not belong in the address: give it as a file")
    sslmode = parse_qs(parts.query).get("sslmode", ["disable"])[-1]
    if sslmode not in _SSL_MODES:
        raise ValueError(f"expected sslmode={'|'.join(_SSL_MODES)}, found {sslmode!r}")
    address = f"{parts.hostname}:{parts.port or 5432}"
    return postgresql_at(address, database=database, user=parts.username, password=password, sslmode=sslmode)


def postgresql_at(address: str, *, database: str, user: str, password: str, sslmode: str = "disable") -> Datasource:
    return Datasource(
        POSTGRESQL,
        "Courtyard PostgreSQL",
        "grafana-postgresql-datasource",
        address,
        user=user,
        options={
            # At the root it is a place that newer versions no longer read.
            "database": database,
            "sslmode": sslmode,
            "postgresVersion": 1500,
            "maxOpenConns": 10,
            "maxIdleConns": 2,
            "connMaxLifetime": 14400,
            "timescaledb": False,
        },
        secrets={"password": password},
    )


def prometheus(url: str) -> Datasource:
    """Courtyard's own metrics."""
    return Datasource(PROMETHEUS, "Courtyard Prometheus", "prometheus", url.rstrip("/"), options={"httpMethod": "POST"})


def for_api(source: Datasource, grafana: Capabilities) -> dict[str, Any]:
    """What POST /api/datasources takes, without the secrets."""
    # Only where it is read: newer ones may move it into the options, and each run would find a difference.
    database = {"database": source.database} if source.database and grafana.database_outside_options else {}
    return database | {
        "uid": source.uid,
        "name": source.name,
        "type": grafana.plugin(source.kind),
        "access": "proxy",
        "url": source.url,
        "user": source.user,
        "basicAuth": bool(source.basic_auth_user),
        "basicAuthUser": source.basic_auth_user,
        "jsonData": dict(source.options),
    }


def for_files(source: Datasource, grafana: Capabilities, *, default: bool) -> dict[str, Any]:
    """One entry of a provisioning file; secrets are written as they are, so give $__file{…} here."""
    entry: dict[str, Any] = {
        "name": source.name,
        "uid": source.uid,
        "type": grafana.plugin(source.kind),
        "access": "proxy",
        "url": source.url,
        "isDefault": default,
        "editable": False,
        "jsonData": dict(source.options),
    }
    if source.database:
        entry["database"] = source.database
    if source.user:
        entry["user"] = source.user
    if source.basic_auth_user:
        entry |= {"basicAuth": True, "basicAuthUser": source.basic_auth_user}
    if source.secrets:
        entry["secureJsonData"] = dict(source.secrets)
    return entry


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"{head.rpartition(':')[0]}:…@{tail}" if at and head.count(":") > 1 else url
