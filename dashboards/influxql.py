"""InfluxQL queries of panels and variables: the one language that InfluxDB 1, 2 and 3 all answer.

Measurement = the profile's family; tags site, building, device, child; fields = metrics and states.
"""

from __future__ import annotations

from dataclasses import dataclass

from dashboards.sdk import Dataquery, cog, common

DATASOURCE = common.DataSourceRef(type_val="influxdb", uid="${datasource}")


@dataclass(frozen=True)
class InfluxQuery(Dataquery, cog.Builder["InfluxQuery"]):
    """The SDK knows no InfluxDB; this is what Grafana's datasource of type influxdb takes, as a raw query."""

    ref_id: str
    query: str
    alias: str

    def build(self) -> InfluxQuery:
        return self

    def to_json(self) -> dict[str, object]:
        return {
            "refId": self.ref_id,
            "datasource": DATASOURCE.to_json(),
            "rawQuery": True,
            "resultFormat": "time_series",
            "query": self.query,
            "alias": self.alias,
        }


def series(family: str, field: str, scope: str | None, aggregate: str) -> str:
    """One field of the chosen devices over time, or of all their children of one kind."""
    group = ', "device", "child"' if scope else ', "device"'
    # Family and field are identifiers by the profile's schema: nothing in them needs quoting.
    return (
        f'SELECT {aggregate}("{field}") FROM "{family}" '  # noqa: S608
        f"WHERE $timeFilter AND {_chosen()} AND {_scope(scope)} "
        f"GROUP BY time($__interval){group} fill(none)"
    )


def tag_values(family: str, tag: str) -> str:
    within = """ WHERE "site" =~ /^$site$/""" if tag != "site" else ""
    return f'SHOW TAG VALUES FROM "{family}" WITH KEY = "{tag}"{within}'


def _chosen() -> str:
    return '"site" =~ /^$site$/ AND "device" =~ /^$device$/'


def _scope(scope: str | None) -> str:
    # A missing tag equals the empty string: the device's own values carry no child.
    return f'"child" =~ /^{scope}:/' if scope else "\"child\" = ''"
