"""Which secrets the stack has: what each is for, in which files it stands, and who reads them. Pure.

Compose hands a secret file to a container as it is, with its owner. So every file has one reader, and belongs to the
user that this reader's image runs as; what two programs must know stands in two files that are made together.
"""

from __future__ import annotations

from dataclasses import dataclass

COURTYARD, MOSQUITTO, POSTGRES, INFLUXDB, GRAFANA, PROXY = 10001, 1883, 70, 1000, 472, 101
"""User ids inside the images: ours (Dockerfile), and those of the others as their makers publish them."""
PASSWORDS = "mqtt_passwords"
"""Mosquitto's password file; `courtyard secrets device` adds to it."""
TLS_FILES = CA, CA_KEY, CERTIFICATE, KEY = "tls_ca.crt", "tls_ca.key", "tls.crt", "tls.key"
"""Made by `courtyard secrets tls`, or put there from a real authority."""


@dataclass(frozen=True)
class SecretFile:
    name: str
    owner: int
    text: str = "{word}"
    """What stands in it; `{word}` is the random part."""


@dataclass(frozen=True)
class Secret:
    """One random word."""

    name: str
    purpose: str
    files: tuple[SecretFile, ...]
    after: str
    """What makes a new word take effect."""
    account: str = ""
    """Its account in Mosquitto's password file."""


_RESTART = "docker compose up -d --force-recreate"
CATALOGUE = (
    Secret(
        "mqtt-gateway",
        "the gateway's account at Mosquitto",
        (SecretFile("courtyard_mqtt", COURTYARD, "mqtt://gateway:{word}@mosquitto:1883"),),
        f"{_RESTART} mosquitto gateway",
        account="gateway",
    ),
    Secret(
        "mqtt-client-id",
        "the name of the gateway's session: who does not know it cannot take the session over",
        (SecretFile("courtyard_mqtt_client_id", COURTYARD, "courtyard-gateway-{word}"),),
        f"{_RESTART} gateway (what Mosquitto keeps for the old session is not delivered: stop the gateway last)",
    ),
    Secret(
        "mqtt-devices",
        "the account for equipment that cannot have its own, and for the demo's",
        (SecretFile("equipment_mqtt", COURTYARD, "mqtt://devices:{word}@mosquitto:1883"),),
        f"{_RESTART} mosquitto, and the new password into the equipment",
        account="devices",
    ),
    Secret(
        "gateway-token",
        "shown by the gateway to services",
        (SecretFile("gateway_token", COURTYARD),),
        f"{_RESTART} enrol services gateway",
    ),
    Secret(
        "postgres-admin",
        "PostgreSQL's superuser, for you alone",
        (SecretFile("postgres_password", POSTGRES),),
        "docker compose exec postgres psql -U postgres -c '\\password postgres'",
    ),
    Secret(
        "postgres-app",
        "the product's own role in PostgreSQL",
        (
            SecretFile("postgres_app_password", POSTGRES),
            SecretFile("courtyard_database_url", COURTYARD, "postgresql://courtyard:{word}@postgres:5432/courtyard"),
        ),
        f"docker compose exec postgres sh /docker-entrypoint-initdb.d/roles.sh, then {_RESTART} services",
    ),
    Secret(
        "postgres-reader",
        "Grafana's role in PostgreSQL: reads alarms, tickets and outages, nothing else",
        (SecretFile("postgres_reader_password", POSTGRES), SecretFile("postgres_grafana_password", GRAFANA)),
        f"docker compose exec postgres sh /docker-entrypoint-initdb.d/roles.sh, then {_RESTART} grafana",
    ),
    Secret(
        "influx-admin",
        "InfluxDB's own pages, for you alone",
        (SecretFile("influxdb_admin_password", INFLUXDB),),
        "docker compose exec influxdb influx user password -n admin",
    ),
    Secret(
        "influx-token",
        "gateway and services write and read time series with it",
        (SecretFile("influxdb_admin_token", INFLUXDB), SecretFile("courtyard_influx_token", COURTYARD)),
        "InfluxDB takes it only when it is first set up: make another with `influx auth create --operator` and write "
        "it into both files",
    ),
    Secret(
        "influx-reader",
        "Grafana reads time series with it, and writes none",
        (
            SecretFile("influxdb_reader_password", INFLUXDB),
            SecretFile("influx_grafana_password", GRAFANA),
        ),
        f"docker compose exec influxdb sh /docker-entrypoint-initdb.d/reader.sh, then {_RESTART} grafana",
    ),
    Secret(
        "grafana-admin",
        "Grafana's user admin",
        (SecretFile("grafana_admin_password", GRAFANA),),
        "docker compose exec grafana grafana cli admin reset-admin-password --password-from-stdin",
    ),
)
OWNERS = {file.name: file.owner for secret in CATALOGUE for file in secret.files} | {PASSWORDS: MOSQUITTO}


def find(name: str) -> Secret:
    """By its name, or by that of one of its files. Raises ValueError that says which there are."""
    for secret in CATALOGUE:
        if name == secret.name or name in {file.name for file in secret.files}:
            return secret
    raise ValueError(f"expected one of {', '.join(one.name for one in CATALOGUE)}, found {name!r}")
