"""The day is played once, for all tests that ask about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import psycopg
import pytest

from dashboards.answerers import Influx, Tables
from services.database import Database
from services.stack.reader import let_read
from tests.dashboards.day import Played, play
from tests.fixtures_influxdb import influxdb, installed
from tests.needs import missing


class Day(NamedTuple):
    played: Played
    influx: Influx
    tables: Tables
    influx_url: str
    database_url: str


@pytest.fixture(scope="session")
def day(tmp_path_factory: pytest.TempPathFactory, postgresql_server: str) -> Iterator[Day]:
    if not installed():
        missing("influxd is not installed; on Debian: apt-get install influxdb")
    host = dict(part.split("=", 1) for part in postgresql_server.split())["host"]
    with psycopg.connect(f"{postgresql_server} dbname=postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE dashboards_day")
    url = f"postgresql://courtyard@/dashboards_day?host={host}"
    with influxdb(tmp_path_factory.mktemp("influxdb")) as client:
        played = play(client, url)
        asking = _as_grafana(url)
        influx, tables = Influx(str(client.base_url)), Tables(asking)
        yield Day(played, influx, tables, str(client.base_url), asking)
        influx.close()
        tables.close()


def _as_grafana(url: str) -> str:
    """Dashboards ask as a role that may read what `courtyard migrate --reader` lets it, and nothing else."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE ROLE dashboards_reader LOGIN")
    database = Database(url)
    database.start()
    let_read(database, "dashboards_reader")
    database.close()
    return url.replace("courtyard@", "dashboards_reader@")
