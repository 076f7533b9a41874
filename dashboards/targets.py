"""What panels ask: the SDK knows neither InfluxDB nor SQL, so these are the queries as Grafana's own plugins take them.

A datasource is always a variable, so that a dashboard works in every Grafana.
"""

from __future__ import annotations

from dataclasses import dataclass

from dashboards.sdk import Dataquery, cog, common

SERIES = common.DataSourceRef(type_val="influxdb", uid="${datasource}")
TABLES = common.DataSourceRef(type_val="postgres", uid="${database}")


@dataclass(frozen=True)
class InfluxQuery(Dataquery, cog.Builder["InfluxQuery"]):
    """A raw InfluxQL query; `alias` names its series."""

    ref_id: str
    query: str
    alias: str
    result: str = "time_series"

    def build(self) -> InfluxQuery:
        return self

    def to_json(self) -> dict[str, object]:
        return {
            "refId": self.ref_id,
            "datasource": SERIES.to_json(),
            "rawQuery": True,
            "resultFormat": self.result,
            "query": self.query,
            "alias": self.alias,
        }


@dataclass(frozen=True)
class SqlQuery(Dataquery, cog.Builder["SqlQuery"]):
    """One SELECT over the product's own tables on PostgreSQL. `result`: "table" or "time_series"."""

    ref_id: str
    query: str
    result: str = "table"

    def build(self) -> SqlQuery:
        return self

    def to_json(self) -> dict[str, object]:
        return {
            "refId": self.ref_id,
            "datasource": TABLES.to_json(),
            "rawQuery": True,
            "editorMode": "code",
            "format": self.result,
            "rawSql": self.query,
        }
