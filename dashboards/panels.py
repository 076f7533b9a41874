"""Panels as all dashboards draw them: curves, timelines of words, numbers, tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dashboards.sdk import (
    GraphThresholdsStyleConfig,
    ReduceDataOptions,
    VizLegendOptions,
    VizTooltipOptions,
    boards,
    common,
    dashboard,
    stat,
    statetimeline,
    table,
    timeseries,
)
from dashboards.targets import SERIES, TABLES, InfluxQuery, SqlQuery
from dashboards.thresholds import Limit, steps
from dashboards.words import GREEN, GREY, TONES, Look
from device_profiles.schema import State, Text

Panel = timeseries.Panel | statetimeline.Panel | stat.Panel | table.Panel
LOWEST = Text(zh="最低", en="lowest")
HIGHEST = Text(zh="最高", en="highest")
_MOST_POINTS = 400
"""So that buckets of 30 days are longer than an hour, and every bucket of the hourly level has a point."""


def letter(number: int) -> str:
    """refId of a panel's n-th query."""
    return chr(ord("A") + number)


# --- curves -----------------------------------------------------------------------------------------------------------


def chart(title: str, uom: str, decimals: int | None = None) -> timeseries.Panel:
    panel = (
        timeseries.Panel()
        .title(title)
        .datasource(SERIES)
        .unit(uom)
        .height(8)
        .span(12)
        .max_data_points(_MOST_POINTS)
        .fill_opacity(0)
        .line_width(1)
        .show_points(common.VisibilityMode.AUTO)
        .span_nulls(False)
        .legend(legend())
        .tooltip(VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
    )
    return panel if decimals is None else panel.decimals(decimals)


def with_band(panel: timeseries.Panel, language: str) -> timeseries.Panel:
    """The lowest and the highest of summed-up levels, thin and dashed beside the mean."""
    lowest, highest = LOWEST.in_(language), HIGHEST.in_(language)
    for found, shown in ((r"^(.*) lowest_\w+(.*)$", lowest), (r"^(.*) highest_\w+(.*)$", highest)):
        panel.with_transformation(_renamed(found, f"$1$2 {shown}"))
    panel.with_transformation(_renamed(r"^(.*) mean( .*)?$", "$1$2"))
    dashed = [
        dashboard.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [4, 6]}),
        dashboard.DynamicConfigValue("custom.hideFrom", {"legend": True, "tooltip": False, "viz": False}),
    ]
    return panel.override_by_regexp(f"/ ({lowest}|{highest})$/", dashed)


def _renamed(found: str, shown: str) -> dashboard.DataTransformerConfig:
    return dashboard.DataTransformerConfig("renameByRegex", options={"regex": found, "renamePattern": shown})


def with_limits(panel: timeseries.Panel, limits: list[Limit]) -> timeseries.Panel:
    """Limits of rules as dashed lines."""
    marks = [dashboard.Threshold(value=step.value, color=step.colour) for step in steps(limits)]
    mode = common.GraphThresholdsStyleMode.DASHED if limits else common.GraphThresholdsStyleMode.OFF
    panel.thresholds(boards.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(marks))
    return panel.thresholds_style(GraphThresholdsStyleConfig().mode(mode))


def legend() -> VizLegendOptions:
    below = VizLegendOptions().placement(common.LegendPlacement.BOTTOM)
    return below.display_mode(common.LegendDisplayMode.LIST).show_legend(True)


# --- words over time --------------------------------------------------------------------------------------------------


def timeline(title: str, states: Iterable[State], language: str) -> statetimeline.Panel:
    """Words with their colours; of several profiles' states of one name the first says how a word looks."""
    looks: dict[str, Look] = {}
    for state in states:
        for name, value in state.values.items():
            looks.setdefault(name, Look(Text(zh=value.zh, en=value.en), TONES[value.tone]))
    return (
        statetimeline.Panel()
        .title(title)
        .datasource(SERIES)
        .height(8)
        .span(24)
        .max_data_points(_MOST_POINTS)
        .mappings([mapping(looks, language)])
        .color_scheme(boards.FieldColor().mode(dashboard.FieldColorModeId.FIXED).fixed_color(GREY))
        .merge_values(True)
        .show_value(common.VisibilityMode.AUTO)
        .row_height(0.9)
        .per_page(20)
        .legend(legend())
        .tooltip(VizTooltipOptions().mode(common.TooltipDisplayMode.SINGLE).sort(common.SortOrder.NONE))
    )


def mapping(looks: Mapping[str, Look], language: str) -> dashboard.ValueMap:
    return dashboard.ValueMap(
        options={
            name: dashboard.ValueMappingResult(text=look.text.in_(language), color=look.colour, index=index)
            for index, (name, look) in enumerate(looks.items())
        }
    )


# --- numbers ----------------------------------------------------------------------------------------------------------


def numbers(title: str, query: str, *, bad: str = "red", uom: str = "short") -> stat.Panel:
    """One tile per column of the answer: green at none, `bad` from one on."""
    marks = [dashboard.Threshold(value=None, color=GREEN), dashboard.Threshold(value=1, color=bad)]
    return (
        stat.Panel()
        .title(title)
        .datasource(TABLES)
        .unit(uom)
        .height(4)
        .span(12)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .color_mode(common.BigValueColorMode.BACKGROUND_SOLID)
        .graph_mode(common.BigValueGraphMode.NONE)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .thresholds(boards.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(marks))
        .with_target(SqlQuery("A", query))
    )


def tile_colours(panel: stat.Panel, colours: Mapping[str, str]) -> stat.Panel:
    """Tiles with colours of their own: grey at none, this from one on."""
    for name, colour in colours.items():
        marks = {
            "mode": "absolute",
            "steps": [{"value": None, "color": GREY}, {"value": 1, "color": colour}],
        }
        panel.override_by_name(name, [dashboard.DynamicConfigValue("thresholds", marks)])
    return panel


# --- tables -----------------------------------------------------------------------------------------------------------


def listing(title: str, query: str, *, hidden: Iterable[str] = ()) -> table.Panel:
    """A table. `hidden`: columns that only links need."""
    panel = table.Panel().title(title).datasource(TABLES).height(8).span(24).no_value("—").filterable(True)
    panel.with_target(SqlQuery("A", query))
    for name in hidden:
        column(panel, name, {"custom.hidden": True})
    return panel


def column(panel: table.Panel, name: str, properties: Mapping[str, Any]) -> table.Panel:
    return panel.override_by_name(name, [dashboard.DynamicConfigValue(id, value) for id, value in properties.items()])


def worded(panel: table.Panel, name: str, looks: Mapping[str, Look], language: str) -> table.Panel:
    """A column whose stored words are shown in the language, on their colours."""
    return column(
        panel,
        name,
        {
            "mappings": [mapping(looks, language).to_json()],
            "custom.cellOptions": {"type": "color-background", "mode": "basic"},
        },
    )


def linked(panel: table.Panel, name: str, url: str, title: str) -> table.Panel:
    """A column that leads somewhere; `${__data.fields.x}` in the URL is a column of the same row."""
    return column(panel, name, {"links": [{"title": title, "url": url, "targetBlank": True}]})


def counted(panel: table.Panel, name: str, colour: str) -> table.Panel:
    """A column of numbers that stands out from one on."""
    steps_ = [{"value": None, "color": "transparent"}, {"value": 1, "color": colour}]
    return column(
        panel,
        name,
        {
            "thresholds": {"mode": "absolute", "steps": steps_},
            "color": {"mode": "thresholds"},
            "custom.cellOptions": {"type": "color-background", "mode": "basic"},
        },
    )


def asked(panel: timeseries.Panel, queries: Iterable[tuple[str, str]]) -> timeseries.Panel:
    """Several InfluxQL queries (query, alias)."""
    for number, (query, alias) in enumerate(queries):
        panel.with_target(InfluxQuery(letter(number), query, alias))
    return panel
