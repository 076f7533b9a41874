"""A device profile becomes one Grafana dashboard, in classic JSON (schemaVersion 42), once per language.

Charts in the profile's order, one panel per further metric, one state timeline per state, limits from plain rules.
The result is deterministic: the same profile gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dashboards import influxql
from dashboards.influxql import DATASOURCE, InfluxQuery
from dashboards.sdk import (
    GraphThresholdsStyleConfig,
    JSONEncoder,
    VizLegendOptions,
    VizTooltipOptions,
    boards,
    common,
    dashboard,
    statetimeline,
    timeseries,
)
from dashboards.thresholds import Limit, limit_of, steps
from device_profiles.schema import DeviceProfile, Metric, Rule, State, Text, Tone

LANGUAGES = ("zh", "en")
GENERATED = Path(__file__).with_name("generated")
UNITS = {
    "W": "watt",
    "kW": "kwatt",
    "V": "volt",
    "A": "amp",
    "mA": "mamp",
    "°C": "celsius",
    "%": "percent",
    "kWh": "kwatth",
    "Wh": "watth",
    "s": "s",
    "dBm": "dBm",
    "MB": "decmbytes",
    "Hz": "hertz",
}
TONES = {
    Tone.OK: "green",
    Tone.ACTIVE: "blue",
    Tone.IDLE: "#9aa0a6",
    Tone.WARN: "orange",
    Tone.BAD: "red",
    Tone.UNKNOWN: "#5f6368",
}
_WORDS = {
    "datasource": Text(zh="数据源", en="Data source"),
    "site": Text(zh="小区", en="Site"),
    "device": Text(zh="设备", en="Device"),
    "rules": Text(zh="规则", en="Rules"),
}


def build(profile: DeviceProfile, language: str) -> dict[str, Any]:
    """The dashboard as plain data."""
    board = _frame(profile, language)
    for scope in (None, *profile.children):
        panels = list(_panels(profile, scope, language))
        if panels:
            title = profile.children[scope].name if scope else profile.name
            board.with_row(boards.Row(title.in_(language)))
        for panel in panels:
            board.with_panel(panel)
    made: dict[str, Any] = json.loads(json.dumps(board.build(), cls=JSONEncoder))
    for number, panel_json in enumerate(made["panels"], start=1):
        panel_json["id"] = number
    return made


def render(profile: DeviceProfile, language: str) -> str:
    """The dashboard as text for a file."""
    return json.dumps(build(profile, language), ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def is_drawn(profile: DeviceProfile) -> bool:
    """Whether there is anything to draw: a button that only sends events has no curves."""
    return bool(profile.metrics or profile.states)


def write_all(profiles: Mapping[str, DeviceProfile], folder: Path) -> list[Path]:
    """One file per profile and language: `<folder>/<language>/<profile>.json`."""
    written = []
    for language in LANGUAGES:
        (folder / language).mkdir(parents=True, exist_ok=True)
        for id_, profile in sorted(profiles.items()):
            if not is_drawn(profile):
                continue
            file = folder / language / f"{id_}.json"
            file.write_text(render(profile, language), encoding="utf-8")
            written.append(file)
    return written


def uid(profile: DeviceProfile, language: str) -> str:
    """Grafana takes 40 characters."""
    return f"cy-{profile.id}"[:37] + f"-{language}"


# --- the frame ----------------------------------------------------------------------------------------------------


def _frame(profile: DeviceProfile, language: str) -> boards.Dashboard:
    return (
        boards.Dashboard(profile.name.in_(language))
        .uid(uid(profile, language))
        .tags(["courtyard", profile.family, language])
        .readonly()
        .timezone("browser")
        .time("now-6h", "now")
        .refresh("30s")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .with_variable(boards.DatasourceVariable("datasource").type("influxdb").label(_word("datasource", language)))
        .with_variable(_variable(profile.family, "site", language))
        .with_variable(_variable(profile.family, "device", language))
    )


def _variable(family: str, tag: str, language: str) -> boards.QueryVariable:
    return (
        boards.QueryVariable(tag)
        .label(_word(tag, language))
        .datasource(DATASOURCE)
        .query(influxql.tag_values(family, tag))
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.NATURAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(dashboard.VariableOption(text="All", value="$__all"))
    )


def _word(name: str, language: str) -> str:
    return _WORDS[name].in_(language)


# --- panels -------------------------------------------------------------------------------------------------------


def _panels(
    profile: DeviceProfile, scope: str | None, language: str
) -> Iterator[timeseries.Panel | statetimeline.Panel]:
    """What belongs to the device itself (None) or to one kind of child."""
    charts = list(_charts(profile, scope, language))
    if len(charts) % 2:
        charts[-1].span(24)  # two charts a line; a lone one takes the line, or the next panel would hang over its end
    yield from charts
    for name, state in profile.states.items():
        if state.scope == scope:
            yield _timeline(profile, name, state, language)


def _charts(profile: DeviceProfile, scope: str | None, language: str) -> Iterator[timeseries.Panel]:
    charted: set[str] = set()
    for group in profile.dashboard.charts:
        mine = {name: metric for name in group if (metric := profile.metrics.get(name)) and metric.scope == scope}
        charted |= set(mine)
        yield from _by_unit(profile, mine, scope, language)
    for name, metric in profile.metrics.items():
        if metric.scope == scope and name not in charted:
            yield _chart(profile, {name: metric}, scope, language)


def _by_unit(
    profile: DeviceProfile, metrics: dict[str, Metric], scope: str | None, language: str
) -> Iterator[timeseries.Panel]:
    """Two units do not share an axis."""
    for uom in dict.fromkeys(metric.uom for metric in metrics.values()):
        same = {name: metric for name, metric in metrics.items() if metric.uom == uom}
        yield _chart(profile, same, scope, language)


def _chart(profile: DeviceProfile, metrics: dict[str, Metric], scope: str | None, language: str) -> timeseries.Panel:
    rules = [rule for rule in profile.rules if rule.scope == scope]
    limits = [limit for rule in rules if (limit := limit_of(rule, metrics)) is not None]
    first = next(iter(metrics.values()))
    panel = (
        timeseries.Panel()
        .title(" / ".join(metric.name.in_(language) for metric in metrics.values()))
        .description(_about(rules, metrics, language))
        .datasource(DATASOURCE)
        .unit(unit(first.uom))
        .decimals(first.decimals)
        .height(8)
        .span(12)
        .fill_opacity(0)
        .line_width(1)
        .show_points(common.VisibilityMode.NEVER)
        .span_nulls(False)
        .legend(_legend())
        .tooltip(VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
        .thresholds(_thresholds(limits))
        .thresholds_style(GraphThresholdsStyleConfig().mode(_style(limits)))
    )
    for number, (name, metric) in enumerate(metrics.items()):
        label = metric.name.in_(language) if len(metrics) > 1 else ""
        panel.with_target(_query(profile, number, name, scope, "last" if metric.kind == "counter" else "mean", label))
    return panel


def _timeline(profile: DeviceProfile, name: str, state: State, language: str) -> statetimeline.Panel:
    words = {
        word: dashboard.ValueMappingResult(text=getattr(value, language), color=TONES[value.tone], index=index)
        for index, (word, value) in enumerate(state.values.items())
    }
    rules = [rule for rule in profile.rules if rule.scope == state.scope and _speaks_of(name, rule.when)]
    return (
        statetimeline.Panel()
        .title(state.name.in_(language))
        .description(_listed(rules, language))
        .datasource(DATASOURCE)
        .height(8)
        .span(24)
        .mappings([dashboard.ValueMap(options=words)])
        .color_scheme(boards.FieldColor().mode(dashboard.FieldColorModeId.FIXED).fixed_color(TONES[Tone.UNKNOWN]))
        .merge_values(True)
        .show_value(common.VisibilityMode.AUTO)
        .row_height(0.9)
        .legend(_legend())
        .tooltip(VizTooltipOptions().mode(common.TooltipDisplayMode.SINGLE).sort(common.SortOrder.NONE))
        .with_target(_query(profile, 0, name, state.scope, "last", ""))
    )


def _query(
    profile: DeviceProfile, number: int, field: str, scope: str | None, aggregate: str, label: str
) -> InfluxQuery:
    where = "$tag_device $tag_child" if scope else "$tag_device"
    return InfluxQuery(
        ref_id=chr(ord("A") + number),
        query=influxql.series(profile.family, field, scope, aggregate),
        alias=f"{where} {label}".strip(),
    )


def unit(uom: str) -> str:
    """Grafana's id of a unit; an unknown one is written behind the number as it is."""
    return UNITS.get(uom) or (f"suffix: {uom}" if uom else "short")


def _legend() -> VizLegendOptions:
    below = VizLegendOptions().placement(common.LegendPlacement.BOTTOM)
    return below.display_mode(common.LegendDisplayMode.LIST).show_legend(True)


def _thresholds(limits: list[Limit]) -> boards.ThresholdsConfig:
    marks = [dashboard.Threshold(value=step.value, color=step.colour) for step in steps(limits)]
    return boards.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(marks)


def _style(limits: list[Limit]) -> common.GraphThresholdsStyleMode:
    return common.GraphThresholdsStyleMode.DASHED if limits else common.GraphThresholdsStyleMode.OFF


def _about(rules: list[Rule], metrics: dict[str, Metric], language: str) -> str:
    return _listed([rule for rule in rules if any(_speaks_of(name, rule.when) for name in metrics)], language)


def _listed(rules: list[Rule], language: str) -> str:
    lines = [f"- {rule.name.in_(language)}: `{rule.when}`{_delay(rule)} ({rule.severity})" for rule in rules]
    return "\n".join([f"{_word('rules', language)}:", *lines]) if lines else ""


def _delay(rule: Rule) -> str:
    seconds = rule.for_.total_seconds()
    return f", {seconds:g} s" if seconds else ""


def _speaks_of(name: str, expression: str) -> bool:
    """Whether the expression speaks of this name."""
    return name in expression.replace("(", " ").replace(")", " ").replace(",", " ").split()
