"""Tickets and how well they were kept: what is open and due, what came and went, who is quick and what comes again."""

from __future__ import annotations

from dashboards import sql
from dashboards.frame import Json, finished, frame, site_by_name, with_tables
from dashboards.heads import heads
from dashboards.panels import chart, column, counted, linked, listing, numbers, tile_colours, worded
from dashboards.sdk import GraphDrawStyle, dashboard, stat, table, timeseries
from dashboards.tables import since
from dashboards.targets import TABLES, SqlQuery
from dashboards.words import PRIORITIES, TICKET_STATES, TRADES
from device_profiles.schema import Text

TICKET_PAGE = "${courtyard}/tickets/${__data.fields.id}"
_TITLES = {
    "tickets": Text(zh="工单与时限", en="Tickets and time limits"),
    "now": Text(zh="现在", en="Now"),
    "kept": Text(zh="所选时间内关闭", en="Closed in the chosen time"),
    "due": Text(zh="未关闭工单", en="Open tickets"),
    "moved": Text(zh="新开与关闭", en="Opened and closed"),
    "trade": Text(zh="按工种", en="By trade"),
    "site": Text(zh="按小区", en="By site"),
    "device": Text(zh="工单最多的设备", en="Devices with most tickets"),
    "what": Text(zh="最常见的工单", en="What comes most often"),
}


def build(language: str) -> Json:
    made = frame(
        title=_TITLES["tickets"].in_(language), uid="tickets", tags=["tickets"], language=language, since="now-30d"
    )
    with_tables(made, language)
    made.with_variable(site_by_name(language).include_all(True).current(_every()))
    made.with_panel(_now(language)).with_panel(_kept(language))
    made.with_panel(_due(language)).with_panel(_moved(language))
    known = heads(language)
    made.with_panel(_by("trade", known["trade"], language))
    made.with_panel(
        _by("site", known["site"], language, join="JOIN sites st ON st.id = t.site", shown=f"st.name_{language}")
    )
    made.with_panel(
        _by(
            "device",
            known["device"],
            language,
            join="LEFT JOIN devices d ON d.id = t.device",
            shown=f"coalesce(d.name_{language}, t.device)",
        )
    )
    made.with_panel(_by("what", known["what"], language, shown=f"t.title_{language}"))
    return finished(made)


def _every() -> dashboard.VariableOption:
    return dashboard.VariableOption(text="All", value="$__all")


def _now(language: str) -> stat.Panel:
    known = heads(language)
    panel = numbers(_TITLES["now"].in_(language), sql.work_now(known))
    colours = {"open": "orange", "due": "orange", "nobody": "orange", "overdue": "red", "outages": "red"}
    return tile_colours(panel, {known[name]: colour for name, colour in colours.items()} | {known["households"]: "red"})


def _kept(language: str) -> stat.Panel:
    known = heads(language)
    panel = numbers(_TITLES["kept"].in_(language), sql.service_kept(known))
    tile_colours(panel, {known["closed"]: "blue", known["median"]: "blue", known["slow"]: "blue"})
    for name in ("median", "slow"):
        panel.override_by_name(known[name], [dashboard.DynamicConfigValue("unit", "s")])
    steps = [{"value": None, "color": "red"}, {"value": 80, "color": "orange"}, {"value": 95, "color": "green"}]
    in_time = [
        dashboard.DynamicConfigValue("unit", "percent"),
        dashboard.DynamicConfigValue("decimals", 0),
        dashboard.DynamicConfigValue("thresholds", {"mode": "absolute", "steps": steps}),
    ]
    return panel.override_by_name(known["in_time"], in_time)


def _due(language: str) -> table.Panel:
    known = heads(language)
    panel = listing(_TITLES["due"].in_(language), sql.tickets_due(language, known), hidden=("id",)).height(11)
    for name, looks in (("priority", PRIORITIES), ("state", TICKET_STATES)):
        worded(panel, known[name], looks, language)
    column(panel, known["trade"], {"mappings": [_words_only(language)]})
    for name in ("ticket", "what"):
        linked(panel, known[name], TICKET_PAGE, known["ticket"])
    # Negative is overdue; the sign says so besides the colour.
    steps = [
        {"value": None, "color": "red"},
        {"value": 0, "color": "orange"},
        {"value": 86_400, "color": "transparent"},
    ]
    look = {"type": "color-background", "mode": "basic"}
    limits = {"mode": "absolute", "steps": steps}
    column(panel, known["left"], {"unit": "dtdurations", "thresholds": limits, "custom.cellOptions": look})
    return since(panel, known["opened"])


def _words_only(language: str) -> dict[str, object]:
    options = {
        name: dashboard.ValueMappingResult(text=look.text.in_(language)).to_json() for name, look in TRADES.items()
    }
    return {"type": "value", "options": options}


def _moved(language: str) -> timeseries.Panel:
    known = heads(language)
    panel = chart(_TITLES["moved"].in_(language), "short", 0).datasource(TABLES).interval("1h").span(24)
    panel.draw_style(GraphDrawStyle.BARS).fill_opacity(60)
    return panel.with_target(SqlQuery("A", sql.tickets_over_time(known), "time_series"))


def _by(title: str, head: str, language: str, *, join: str = "", shown: str = "") -> table.Panel:
    known = heads(language)
    query = sql.tickets_by(title, head, known, join=join, shown=shown)
    panel = listing(_TITLES[title].in_(language), query).span(12)
    counted(panel, known["overdue"], "red")
    column(panel, known["median"], {"unit": "s"})
    if title == "trade":
        column(panel, head, {"mappings": [_words_only(language)]})
    return panel
