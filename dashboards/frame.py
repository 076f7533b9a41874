"""What every dashboard has: variables, links into Courtyard, annotations; and a rendering that stays the same."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from typing import Any

from dashboards import influxql, sql
from dashboards.sdk import JSONEncoder, boards, common, dashboard
from dashboards.targets import SERIES, TABLES, SqlQuery
from device_profiles.schema import Text
from device_profiles.telemetry import LEVELS, RAW

Json = dict[str, Any]
PUBLIC_URL = "http://127.0.0.1:8080"
_LEVEL_WORDS = {
    "autogen": Text(zh="原始", en="as measured"),
    "5m": Text(zh="5 分钟", en="5 minutes"),
    "1h": Text(zh="1 小时", en="1 hour"),
}
_WORDS = {
    "datasource": Text(zh="时序库", en="Time series"),
    "database": Text(zh="业务库", en="Tables"),
    "site": Text(zh="小区", en="Site"),
    "device": Text(zh="设备", en="Device"),
    "family": Text(zh="类别", en="Family"),
    "resolution": Text(zh="精度", en="Resolution"),
    "summed": Text(zh="汇总", en="Summed up per"),
    "courtyard": Text(zh="Courtyard 网址", en="Courtyard's address"),
    "board": Text(zh="设施总览", en="Board"),
    "tickets": Text(zh="工单", en="Tickets"),
    "alarms": Text(zh="告警", en="Alarms"),
    "outages": Text(zh="停用", en="Outages"),
    "other": Text(zh="其他面板", en="Dashboards"),
}


def word(name: str, language: str) -> str:
    return _WORDS[name].in_(language)


def frame(*, title: str, uid: str, tags: Iterable[str], language: str, since: str = "now-6h") -> boards.Dashboard:
    """An empty dashboard with the links that all have. `tags`: besides `courtyard` and the language."""
    made = (
        boards.Dashboard(title)
        .uid(short(uid, language))
        .tags(["courtyard", *tags, language])
        .readonly()
        .timezone("browser")
        .time(since, "now")
        .refresh("30s")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
    )
    for name, path in (("board", "/"), ("alarms", "/alarms"), ("tickets", "/tickets")):
        made.link(_link(word(name, language)).url(f"${{courtyard}}{path}").target_blank(True))
    others = boards.DashboardLink(word("other", language)).type(dashboard.DashboardLinkType.DASHBOARDS)
    made.link(others.tags(["courtyard", language]).as_dropdown(True).include_vars(True).keep_time(True))
    return made


def short(uid: str, language: str) -> str:
    """Grafana takes 40 characters."""
    return f"cy-{uid}"[:37] + f"-{language}"


def _link(title: str) -> boards.DashboardLink:
    return boards.DashboardLink(title).type(dashboard.DashboardLinkType.LINK).icon("external link")


# --- variables ------------------------------------------------------------------------------------------------------


def with_series(made: boards.Dashboard, language: str) -> boards.Dashboard:
    """The InfluxDB that is asked."""
    return made.with_variable(
        boards.DatasourceVariable("datasource").type("influxdb").label(word("datasource", language))
    )


def with_tables(made: boards.Dashboard, language: str) -> boards.Dashboard:
    """The PostgreSQL that is asked, and Courtyard's own address for links."""
    made.with_variable(boards.DatasourceVariable("database").type("postgres").label(word("database", language)))
    return with_address(made, language)


def with_address(made: boards.Dashboard, language: str) -> boards.Dashboard:
    """Courtyard's own address, for links."""
    address = boards.TextBoxVariable("courtyard").label(word("courtyard", language)).default_value(PUBLIC_URL)
    address.current(dashboard.VariableOption(text=PUBLIC_URL, value=PUBLIC_URL))
    address.hide(dashboard.VariableHide.HIDE_VARIABLE)
    return made.with_variable(address)


def chosen(name: str, query: str, language: str, *, source: common.DataSourceRef = SERIES) -> boards.QueryVariable:
    """A variable whose values a database tells: several may be chosen, at first the first."""
    return (
        boards.QueryVariable(name)
        .label(word(name, language))
        .datasource(source)
        .query(query)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.NATURAL_ASC)
        .multi(True)
    )


def with_all(variable: boards.QueryVariable) -> boards.QueryVariable:
    everything = dashboard.VariableOption(text="All", value="$__all")
    return variable.include_all(True).all_value(".*").current(everything)


def levels(language: str) -> boards.CustomVariable:
    """`$resolution`: long ranges ask a summed-up level."""
    return _levels("resolution", [level.name for level in LEVELS], language)


def summed(language: str) -> boards.CustomVariable:
    return _levels("summed", [level.name for level in LEVELS if level != RAW], language)


def _levels(name: str, values: list[str], language: str) -> boards.CustomVariable:
    options = [dashboard.VariableOption(text=_LEVEL_WORDS[one].in_(language), value=one) for one in values]
    spelled = ",".join(f"{option.text} : {option.value}" for option in options)
    return boards.CustomVariable(name).label(word(name, language)).values(spelled).options(options).current(options[0])


def of_devices(made: boards.Dashboard, family: str, language: str) -> boards.Dashboard:
    """The variables of a dashboard about devices of one family. Not all sites at once: 10,000 lines show nothing."""
    with_tables(with_series(made, language), language)
    made.with_variable(chosen("site", influxql.sites(family), language))
    made.with_variable(with_all(chosen("device", influxql.devices(family), language)))
    return made.with_variable(levels(language))


def site_by_name(language: str) -> boards.QueryVariable:
    return chosen("site", sql.sites(language), language, source=TABLES).sort(dashboard.VariableSort.DISABLED)


# --- annotations ----------------------------------------------------------------------------------------------------


def annotated(made: boards.Dashboard, language: str) -> boards.Dashboard:
    """Alarm episodes, outages and work on tickets as regions, of the chosen sites."""
    for name, colour, query in (
        ("alarms", "red", sql.alarm_regions(language)),
        ("outages", "purple", sql.outage_regions(language)),
        ("tickets", "blue", sql.ticket_regions(language)),
    ):
        made.annotation(
            boards.AnnotationQuery()
            .name(word(name, language))
            .datasource(TABLES)
            .enable(True)
            .hide(False)
            .icon_color(colour)
            .target(SqlQuery("Anno", query))
        )
    return made


def without_tables(board: Json) -> Json:
    """For a Grafana without PostgreSQL: the same without annotations and variables that would ask it.

    Raises ValueError where a panel does.
    """
    if any(_asks_tables(target) for panel in board["panels"] for target in panel.get("targets", ())):
        raise ValueError(f"{board['uid']}: its panels ask PostgreSQL; it is of no use without one")
    bare = copy.deepcopy(board)
    listed = bare.get("annotations", {}).get("list", [])
    listed[:] = [one for one in listed if one.get("datasource") != TABLES.to_json()]
    variables = bare["templating"]["list"]
    variables[:] = [one for one in variables if one["name"] != "database"]
    return bare


def _asks_tables(target: Json) -> bool:
    return bool(target.get("datasource", {}).get("type") == TABLES.type_val)


# --- rendering ------------------------------------------------------------------------------------------------------


def finished(made: boards.Dashboard) -> Json:
    """Plain data with panels numbered from 1, those inside closed rows too."""
    board: Json = json.loads(json.dumps(made.build(), cls=JSONEncoder))
    number = 0
    for panel in board["panels"]:
        for one in (panel, *panel.get("panels", ())):
            number += 1
            one["id"] = number
    return board


def rendered(board: Json) -> str:
    """As text for a file."""
    return json.dumps(board, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
