"""Every setting of the product, from the environment (`COURTYARD_…`), read once in bootstrap."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_SECRETS = Path(os.environ.get("COURTYARD_SECRETS_DIR") or "/run/secrets")
"""Where containers find secrets as files: `courtyard_mqtt` holds the setting COURTYARD_MQTT, and so on."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="COURTYARD_",
        env_file=None,
        secrets_dir=_SECRETS if _SECRETS.is_dir() else None,
        extra="ignore",
        frozen=True,
    )

    data_dir: Path = Field(Path("courtyard-data"), description="Where journal, databases and secrets are kept.")
    profiles_dir: Path | None = Field(
        None, description="A folder of your own device profiles, beside the shipped ones."
    )
    http: str = Field("127.0.0.1:8080", description="HOST:PORT of the pages and the API.")
    public_url: str = Field(
        "", description="How people reach the pages; used in links of notices. Default: http://HTTP."
    )
    mqtt: str = Field("embedded", description='"embedded", or mqtt://[user:password@]host[:port], mqtts://… for TLS.')
    mqtt_client_id: str = Field("courtyard-gateway", description="Client id of the persistent MQTT session.")
    gateway_id: str = Field("gateway-1", description="Name of this gateway towards services.")
    services_url: str = Field("", description="Where a separate gateway finds services; empty: in process.")
    gateway_token_file: Path | None = Field(
        None, description="File with the token a separate gateway shows to services."
    )
    database_url: str = Field("", description="postgresql://…; empty: SQLite in the data folder.")
    database_wait: float = Field(
        10,
        ge=0,
        description="Seconds that a start waits for another Courtyard to let go of the database, before it refuses; "
        "many of them make a standby.",
    )
    journal_max_bytes: int = Field(2 * 1024**3, ge=1024**2, description="Cap of the journal on disk.")
    commands: Literal["on", "off"] = Field(
        "on", description='"off": nothing is sent to any device, by no person and by no rule. For maintenance.'
    )
    influx_url: str = Field(
        "", description="http://HOST:8086 of InfluxDB 1 or 2 for the time series; empty: the embedded store."
    )
    influx_token: str = Field(
        "", description="Its token (InfluxDB 2) or USER:PASSWORD (InfluxDB 1); may be a secret file."
    )
    influx_org: str = Field("courtyard", description="InfluxDB 2's organisation.")
    influx_gzip: bool = Field(
        False, description="Compress what is written to InfluxDB: costs ten times the CPU, worth it over a thin line."
    )
    influx_raw_days: int = Field(30, ge=1, description="How long InfluxDB keeps readings as measured.")
    influx_5m_days: int = Field(400, ge=1, description="How long InfluxDB keeps means of five minutes.")
    influx_1h_days: int = Field(1830, ge=1, description="How long InfluxDB keeps means of an hour.")
    metrics: str = Field(
        "", description="HOST:PORT of a plain listener for Prometheus at /metrics, without a password; empty: none."
    )
    grafana_url: str = Field("", description="http://HOST:3000 of Grafana, for `courtyard grafana`.")
    grafana_token: str = Field("", description="Token of a Grafana service account; may be a secret file.")
    grafana_language: Literal["zh", "en"] = Field(
        "zh", description="The language of annotations, and of dashboards unless told otherwise."
    )
    telemetry_days: int = Field(90, ge=1, description="How long the embedded telemetry store keeps readings.")
    telemetry_max_bytes: int = Field(
        0, ge=0, description="Cap of the embedded telemetry store; the oldest readings go first. 0: none."
    )
    event_days: int = Field(
        90,
        ge=1,
        description="How long events of devices are kept, of each device the newest 20,000 at most; and what rules on "
        "trial and late data would have said.",
    )
    notice_days: int = Field(400, ge=1, description="How long notices that were delivered or failed are kept.")
    gateway_silent_after: float = Field(
        60, ge=10, description="Seconds without a word from a gateway after which its devices are unknown."
    )
    break_alarm_after: float = Field(
        180,
        ge=0,
        description="Seconds that a gateway, its broker, or a device that others hang on may be gone before an alarm.",
    )
    backtest_stalled_after: float = Field(
        600, ge=1, description="Seconds without progress after which a backtest is ended, so that the next can run."
    )
    command_days: int = Field(400, ge=1, description="How long commands that are over are kept, with their histories.")
    decision_days: int = Field(
        400,
        ge=1,
        description="How long decisions about alarms are kept once these are over. Alarms themselves stay.",
    )
    smtp_url: str = Field("", description="smtp://[user:password@]host[:port] or smtps://…; empty: no e-mail.")
    smtp_from: str = Field("courtyard@localhost", description="Sender address of e-mails.")
    webhook_allow_private: bool = Field(
        False, description="Let webhooks go to private and loopback addresses (a ticket system in the same network)."
    )
    log_level: str = Field("info", description="debug, info, warning or error.")

    @field_validator("http", "metrics")
    @classmethod
    def _host_and_port(cls, value: str, field: ValidationInfo) -> str:
        if not value and field.field_name == "metrics":
            return value
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"expected HOST:PORT such as 127.0.0.1:8080, found {value!r}")
        return value

    @field_validator("database_url")
    @classmethod
    def _database_we_know(cls, value: str) -> str:
        if value and not value.startswith(("postgresql://", "postgresql+psycopg://", "sqlite:///")):
            # What was found may hold a password.
            raise ValueError("expected postgresql://USER:PASSWORD@HOST[:PORT]/NAME, found another kind of address")
        return value

    @property
    def http_address(self) -> tuple[str, int]:
        return _address(self.http)

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """None: no listener of its own."""
        return _address(self.metrics) if self.metrics else None

    @property
    def effective_public_url(self) -> str:
        return (self.public_url or f"http://{self.http}").rstrip("/")

    @property
    def effective_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir / 'courtyard.db'}"


def _address(value: str) -> tuple[str, int]:
    host, _, port = value.rpartition(":")
    return host.strip("[]"), int(port)
