"""The two databases that dashboards ask, over their own protocols: for checking dashboards without a Grafana."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg

from dashboards import influxql, macros
from dashboards.check import Refused
from dashboards.macros import Chosen
from device_profiles.telemetry import DATABASE

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Influx:
    """InfluxDB's `/query`. `token`: of InfluxDB 2, or USER:PASSWORD of InfluxDB 1, or ""."""

    def __init__(self, url: str, token: str = "", *, timeout_seconds: float = 60.0) -> None:
        user, colon, password = token.partition(":")
        headers = {"Authorization": f"Token {token}"} if token and not colon else {}
        auth = httpx.BasicAuth(user, password) if colon else None
        # Proxies of the environment are for the world outside; this is a neighbour.
        self._client = httpx.Client(base_url=url, headers=headers, auth=auth, timeout=timeout_seconds, trust_env=False)

    def close(self) -> None:
        self._client.close()

    def series(self, query: str) -> list[dict[str, Any]]:
        """Raises Refused with InfluxDB's words."""
        try:
            answer = self._client.post("/query", params={"db": DATABASE, "epoch": "ms"}, data={"q": query})
        except httpx.HTTPError as error:
            raise Refused(f"InfluxDB does not answer: {error}") from error
        if answer.status_code != 200:
            raise Refused(f"HTTP {answer.status_code}: {answer.text.strip()}")
        (result,) = json.loads(answer.content)["results"]
        if "error" in result:
            raise Refused(str(result["error"]))
        return list(result.get("series", []))

    def rows(self, query: str) -> int:
        """Rows with at least one value besides the time."""
        return sum(_has_value(one["columns"], row) for one in self.series(query) for row in one.get("values", ()))

    def sites(self) -> list[str]:
        found = {str(row[1]) for one in self.series(influxql.sites()) for row in one["values"]}
        return sorted(found)

    def family(self, sites: Sequence[str]) -> str:
        """One of the families that stand there; "" where nothing does."""
        everything = Chosen(start=_LONG_AGO, end=_LONG_AGO, values={"site": sites})
        found = [
            str(row[0])
            for one in self.series(macros.influxql(influxql.families(), everything))
            for row in one["values"]
        ]
        return min(found, default="")


def _has_value(columns: list[str], row: list[Any]) -> bool:
    return any(value is not None for name, value in zip(columns, row, strict=True) if name != "time")


class Tables:
    """PostgreSQL; nothing that is asked can change anything."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True, options="-c default_transaction_read_only=on")

    def close(self) -> None:
        self._connection.close()

    def values(self, query: str) -> list[tuple[Any, ...]]:
        """Raises Refused with PostgreSQL's words."""
        try:
            with self._connection.cursor() as cursor:
                return cursor.execute(query.encode()).fetchall()
        except psycopg.Error as error:
            raise Refused(str(error).strip()) from error

    def sites(self) -> list[str]:
        return [str(value) for (value,) in self.values("SELECT id FROM sites ORDER BY id")]

    def rows(self, query: str) -> int:
        """Rows with at least one value."""
        return sum(any(value is not None for value in row) for row in self.values(query))
