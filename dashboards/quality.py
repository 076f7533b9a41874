"""How far the data can be trusted, and how the gateways fare that bring it."""

from __future__ import annotations

from dashboards import influxql, sql
from dashboards.families import bad_readings
from dashboards.frame import Json, annotated, chosen, finished, frame, summed, with_all, with_series, with_tables
from dashboards.heads import heads
from dashboards.panels import chart, column, counted, listing, worded
from dashboards.sdk import boards, table
from dashboards.targets import SERIES, InfluxQuery
from dashboards.words import PRESENCE, TRUTH
from device_profiles.schema import Text

_TITLES = {
    "quality": Text(zh="数据质量与网关", en="Data quality and gateways"),
    "gateways": Text(zh="网关", en="Gateways"),
    "devices": Text(zh="各网关的设备", en="Devices behind each gateway"),
    "data": Text(zh="数据", en="Data"),
    "rate": Text(zh="每分钟读数（按类别）", en="Readings per minute, by family"),
    "delay": Text(zh="最长传输延迟（按类别）", en="Longest delay, by family"),
    "worst": Text(zh="质量异常最多的设备", en="Devices with most readings that are not good"),
}


def build(language: str) -> Json:
    made = frame(title=_TITLES["quality"].in_(language), uid="quality", tags=["site", "quality"], language=language)
    with_tables(with_series(made, language), language)
    made.with_variable(chosen("site", influxql.sites(), language))
    made.with_variable(with_all(chosen("device", _ALL_DEVICES, language)))
    annotated(made.with_variable(summed(language)), language)
    made.with_row(boards.Row(_TITLES["gateways"].in_(language)))
    made.with_panel(_gateways(language)).with_panel(_behind(language))
    made.with_row(boards.Row(_TITLES["data"].in_(language)))
    rate = chart(_TITLES["rate"].in_(language), "short").interval("5m")
    made.with_panel(
        rate.with_target(InfluxQuery("A", influxql.readings_per_minute(influxql.EVERYTHING), influxql.ITS_MEASUREMENT))
    )
    delay = chart(_TITLES["delay"].in_(language), "s").interval("1m")
    made.with_panel(delay.with_target(InfluxQuery("A", influxql.delay(influxql.EVERYTHING), influxql.ITS_MEASUREMENT)))
    made.with_panel(bad_readings(influxql.EVERYTHING, language, by=influxql.ITS_MEASUREMENT))
    made.with_panel(_worst(language))
    return finished(made)


_ALL_DEVICES = f'SHOW TAG VALUES WITH KEY = "device" WHERE {influxql.AT_SITE}'


def _gateways(language: str) -> table.Panel:
    known = heads(language)
    panel = listing(_TITLES["gateways"].in_(language), sql.gateways(known))
    worded(panel, known["connected"], TRUTH, language)
    for name, limit in (("silent", 60), ("behind", 60)):
        _limited(panel, known[name], "s", limit)
    _limited(panel, known["full"], "percent", 80)
    column(panel, known["bytes"], {"unit": "bytes"})
    for name in ("quarantine", "shed"):
        counted(panel, known[name], "orange")
    return panel


def _limited(panel: table.Panel, name: str, uom: str, limit: float) -> None:
    steps = [{"value": None, "color": "transparent"}, {"value": limit, "color": "red"}]
    look = {"type": "color-background", "mode": "basic"}
    limits = {"mode": "absolute", "steps": steps}
    column(panel, name, {"unit": uom, "decimals": 0, "thresholds": limits, "custom.cellOptions": look})


def _behind(language: str) -> table.Panel:
    known = heads(language)
    words = {name: look.text.in_(language) for name, look in PRESENCE.items()}
    panel = listing(_TITLES["devices"].in_(language), sql.devices_by_gateway(known, words)).height(6)
    for name in ("offline", "stale", "unknown"):
        counted(panel, words[name], PRESENCE[name].colour)
    return panel


def _worst(language: str) -> table.Panel:
    panel = table.Panel().title(_TITLES["worst"].in_(language)).datasource(SERIES).height(8).span(12)
    return panel.with_target(InfluxQuery("A", influxql.worst_devices(influxql.EVERYTHING), "", "table"))
