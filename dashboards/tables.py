"""The tables and tiles that more than one dashboard shows: what is wrong, what residents lack, who is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from dashboards import sql
from dashboards.heads import heads
from dashboards.panels import chart, column, linked, listing, numbers, tile_colours, worded
from dashboards.sdk import GraphDrawStyle, StackingConfig, boards, common, dashboard, stat, table, timeseries
from dashboards.targets import TABLES, SqlQuery
from dashboards.words import LOSS, PRESENCE, SERVICES, SEVERITY, TRUTH, Look
from device_profiles.schema import DeviceProfile, Text

Profiles = Mapping[str, DeviceProfile]
_TITLES = {
    "alarms": Text(zh="当前告警", en="Open alarms"),
    "presence": Text(zh="设备在线", en="Devices"),
    "work": Text(zh="工单与停用", en="Tickets and outages"),
    "wrong": Text(zh="当前问题", en="What is wrong now"),
    "missing": Text(zh="居民缺少的服务", en="What residents lack now"),
    "raised": Text(zh="新告警", en="Alarms raised"),
}
_OWN_RULES = {
    "courtyard_breaks/uplink_cut": Text(zh="网关失联", en="Gateway silent"),
    "courtyard_breaks/broker_down": Text(zh="网关与 MQTT 代理断开", en="Gateway without its broker"),
    "courtyard_breaks/parent_down": Text(zh="上级设备失联", en="Device that others hang on is gone"),
}
ALARM_PAGE = "${courtyard}/alarms/${__data.fields.id}"
TICKET_PAGE = "${courtyard}/tickets/${__data.fields.ticket_id}"
DEVICE_PAGE = "${courtyard}/devices/${__data.fields.device_id}"


def open_alarms(language: str, *, where: str = f"site {sql.MINE}") -> stat.Panel:
    words = _in(SEVERITY, language)
    panel = numbers(_TITLES["alarms"].in_(language), sql.alarms_by_severity(words, where=where))
    colours = {words[name]: look.colour for name, look in SEVERITY.items()}
    tile_colours(panel, colours)
    return panel.links([_out(_TITLES["alarms"].in_(language), "${courtyard}/alarms")])


def presence(language: str, *, where: str = f"d.site {sql.MINE}") -> stat.Panel:
    words = _in(PRESENCE, language)
    panel = numbers(_TITLES["presence"].in_(language), sql.devices_by_presence(words, where=where))
    tile_colours(panel, {words[name]: look.colour for name, look in PRESENCE.items()})
    return panel.links([_out(_TITLES["presence"].in_(language), "${courtyard}/")])


def work(language: str, *, where: str = f"site {sql.MINE}") -> stat.Panel:
    known = heads(language)
    panel = numbers(_TITLES["work"].in_(language), sql.work_now(known, where=where)).span(24)
    warn = {known[name]: "orange" for name in ("open", "due", "nobody")}
    bad = {known[name]: "red" for name in ("overdue", "outages", "households")}
    tile_colours(panel, warn | bad)
    return panel.links([_out(known["tickets"], "${courtyard}/tickets")])


def wrong(profiles: Profiles, language: str, *, where: str = f"a.site {sql.MINE}") -> table.Panel:
    known = heads(language)
    query = sql.wrong_now(language, known, where=where)
    panel = listing(_TITLES["wrong"].in_(language), query, hidden=("id", "device_id", "ticket_id"))
    worded(panel, known["severity"], SEVERITY, language)
    worded(panel, known["acknowledged"], TRUTH, language)
    rules = [one.to_json() for one in rule_names(profiles, language)]
    column(panel, known["what"], {"mappings": rules, "links": [_cell_link(ALARM_PAGE, known["alarms"])]})
    linked(panel, known["device"], DEVICE_PAGE, known["device"])
    linked(panel, known["ticket"], TICKET_PAGE, known["ticket"])
    return since(panel, known["since"])


def missing(language: str, *, where: str = f"o.site {sql.MINE}") -> table.Panel:
    known = heads(language)
    panel = listing(_TITLES["missing"].in_(language), sql.missing_now(language, known, where=where)).height(6)
    worded(panel, known["loss"], LOSS, language)
    column(panel, known["service"], {"mappings": [mapping_of(SERVICES, language)]})
    since(panel, known["since"])
    return column(panel, known["news"], {"unit": "dateTimeFromNow"})


def raised(language: str, *, where: str) -> timeseries.Panel:
    words = _in(SEVERITY, language)
    panel = chart(_TITLES["raised"].in_(language), "short", 0).datasource(TABLES).interval("1h").span(24)
    panel.draw_style(GraphDrawStyle.BARS).fill_opacity(80)
    panel.stacking(StackingConfig().mode(common.StackingMode.NORMAL))
    for name, look in SEVERITY.items():
        colour = {"mode": "fixed", "fixedColor": look.colour}
        panel.override_by_name(words[name], [dashboard.DynamicConfigValue("color", colour)])
    return panel.with_target(SqlQuery("A", sql.raised_over_time(words, where=where), "time_series"))


def rule_names(profiles: Profiles, language: str) -> list[dashboard.ValueMap | dashboard.RegexMap]:
    """`profile/rule` as people call it: what most profiles call a rule by its id, and first those that differ."""
    named = [
        (profile.id, rule.id, rule.name.in_(language))
        for _, profile in sorted(profiles.items())
        for rule in profile.rules
    ]
    usual = {
        rule: Counter(name for _, other, name in named if other == rule).most_common(1)[0][0]
        for rule in sorted({rule for _, rule, _ in named})
    }
    exact = {f"{profile}/{rule}": name for profile, rule, name in named if name != usual[rule]}
    exact |= {key: text.in_(language) for key, text in _OWN_RULES.items()}
    found: list[dashboard.ValueMap | dashboard.RegexMap] = [
        dashboard.ValueMap(
            options={key: dashboard.ValueMappingResult(text=name) for key, name in sorted(exact.items())}
        )
    ]
    for rule, name in usual.items():
        result = dashboard.ValueMappingResult(text=name)
        options = dashboard.DashboardRegexMapOptions(pattern=f"^[^/]+/{rule}$", result=result)
        found.append(dashboard.RegexMap(options=options))
    return found


def profile_names(profiles: Profiles, language: str) -> dict[str, object]:
    options = {
        id_: dashboard.ValueMappingResult(text=profile.name.in_(language)).to_json()
        for id_, profile in sorted(profiles.items())
    }
    return {"type": "value", "options": options}


def mapping_of(looks: Mapping[str, Look], language: str) -> dict[str, object]:
    """Words without colours."""
    options = {
        name: dashboard.ValueMappingResult(text=look.text.in_(language)).to_json() for name, look in looks.items()
    }
    return {"type": "value", "options": options}


def since(panel: table.Panel, name: str) -> table.Panel:
    return column(panel, name, {"unit": "dateTimeFromNow"})


def _cell_link(url: str, title: str) -> dict[str, object]:
    return {"title": title, "url": url, "targetBlank": True}


def _out(title: str, url: str) -> boards.DashboardLink:
    return boards.DashboardLink(title).url(url).target_blank(True)


def _in(looks: Mapping[str, Look], language: str) -> dict[str, str]:
    return {name: look.text.in_(language) for name, look in looks.items()}
