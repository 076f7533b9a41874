"""A whole site on one screen (for a kiosk as well), and all sites of a district."""

from __future__ import annotations

from dashboards import influxql, sql, tables
from dashboards.families import by_family, headline_metrics
from dashboards.frame import (
    Json,
    annotated,
    chosen,
    finished,
    frame,
    levels,
    short,
    site_by_name,
    with_series,
    with_tables,
)
from dashboards.heads import heads
from dashboards.panels import chart, column, counted, linked, listing, worded
from dashboards.sdk import boards, dashboard, table, timeseries
from dashboards.tables import Profiles
from dashboards.targets import InfluxQuery
from dashboards.units import unit
from dashboards.words import PRESENCE, SEVERITY
from device_profiles.schema import Text

EVERYWHERE = "true"
KEY_VALUES_PER_FAMILY = 2
_TITLES = {
    "site": Text(zh="小区总览", en="Site overview"),
    "district": Text(zh="片区总览", en="District overview"),
    "devices": Text(zh="全部设备", en="Every device"),
    "buildings": Text(zh="各楼栋", en="Buildings"),
    "sites": Text(zh="各小区", en="Sites"),
    "key": Text(zh="主要指标：$family", en="Key values: $family"),
}


def site(profiles: Profiles, language: str) -> Json:
    """What is wrong now, what residents lack, each device in words and colours, each building, key curves."""
    made = frame(title=_TITLES["site"].in_(language), uid="site", tags=["site"], language=language)
    with_tables(with_series(made, language), language)
    made.with_variable(site_by_name(language).multi(False))
    made.with_variable(_families(language)).with_variable(levels(language))
    annotated(made, language)
    for panel in (tables.open_alarms(language), tables.presence(language), tables.work(language)):
        made.with_panel(panel)
    made.with_panel(tables.wrong(profiles, language))
    made.with_panel(tables.missing(language))
    made.with_panel(_buildings(language)).with_panel(_devices(profiles, language))
    made.with_row(boards.Row(_TITLES["key"].in_(language)).repeat("family"))
    made.with_panel(_key_values(profiles, language))
    return finished(made)


def _families(language: str) -> boards.QueryVariable:
    """Which kinds of device stand at the site: a row of curves for each."""
    every = dashboard.VariableOption(text="All", value="$__all")
    return (
        chosen("family", influxql.families(), language)
        .include_all(True)
        .current(every)
        .hide(dashboard.VariableHide.HIDE_VARIABLE)
    )


def _buildings(language: str) -> table.Panel:
    known = heads(language)
    panel = listing(_TITLES["buildings"].in_(language), sql.buildings_now(language, known)).span(10).height(12)
    for name, colour in (("away", "orange"), ("alarms", "red"), ("outages", "red")):
        counted(panel, known[name], colour)
    return panel


def _devices(profiles: Profiles, language: str) -> table.Panel:
    known = heads(language)
    panel = listing(_TITLES["devices"].in_(language), sql.devices_now(language, known), hidden=("device_id",))
    worded(panel, known["presence"], PRESENCE, language)
    worded(panel, known["severity"], SEVERITY, language)
    column(panel, known["kind"], {"mappings": [tables.profile_names(profiles, language)]})
    linked(panel, known["device"], tables.DEVICE_PAGE, known["device"])
    for name in ("heard", "since"):
        tables.since(panel, known[name])
    return panel.span(14).height(12)


def _key_values(profiles: Profiles, language: str) -> timeseries.Panel:
    """The first gauges of each family's headline, each with its name and unit; repeated for each family there."""
    gauges = {
        name: metric
        for _, members in by_family(profiles).items()
        for name, metric in [one for one in headline_metrics(members) if one[1].kind == "gauge"][:KEY_VALUES_PER_FAMILY]
    }
    panel = chart("$family", "short").span(24).interval("1m")
    for name, metric in sorted(gauges.items()):
        unit_of = dashboard.DynamicConfigValue("unit", unit(metric.uom))
        panel.override_by_regexp(f"/ mean_{name}$/", [unit_of])
        shown = {"regex": f"^(.*) mean_{name}$", "renamePattern": f"$1 {metric.name.in_(language)}"}
        panel.with_transformation(dashboard.DataTransformerConfig("renameByRegex", options=shown))
    return panel.with_target(InfluxQuery("A", influxql.key_values(sorted(gauges)), "$tag_device $tag_child $col"))


def district(profiles: Profiles, language: str) -> Json:
    """All sites: devices by presence, open alarms by severity, tickets due, outages; the worst site first."""
    made = frame(
        title=_TITLES["district"].in_(language), uid="district", tags=["district"], language=language, since="now-24h"
    )
    with_tables(made, language)
    made.with_panel(tables.open_alarms(language, where=EVERYWHERE))
    made.with_panel(tables.presence(language, where="d.site IS NOT NULL"))
    made.with_panel(tables.work(language, where=EVERYWHERE))
    made.with_panel(_sites(language))
    made.with_panel(tables.wrong(profiles, language, where="a.severity IN ('critical', 'major')"))
    made.with_panel(tables.missing(language, where=EVERYWHERE))
    made.with_panel(tables.raised(language, where=EVERYWHERE))
    return finished(made)


def _sites(language: str) -> table.Panel:
    known = heads(language)
    panel = listing(_TITLES["sites"].in_(language), sql.sites_now(language, known), hidden=("site_id",)).height(10)
    for name in ("critical", "outages", "overdue"):
        counted(panel, known[name], "red")
    for name in ("alarms", "tickets", "offline", "stale"):
        counted(panel, known[name], "orange")
    counted(panel, known["unknown"], "#5f6368")
    board = f"/d/{short('site', language)}?var-site=${{__data.fields.site_id}}&kiosk"
    return linked(panel, known["site"], board, _TITLES["site"].in_(language))
