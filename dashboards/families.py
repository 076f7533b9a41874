"""All profiles of one family together: every device's states, the headline metrics, and how good the data is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from dashboards import influxql
from dashboards.frame import Json, annotated, finished, frame, of_devices, summed
from dashboards.panels import asked, chart, timeline, with_band, with_limits
from dashboards.sdk import ReduceDataOptions, StackingConfig, boards, common, dashboard, stat, timeseries
from dashboards.targets import SERIES, InfluxQuery
from dashboards.units import unit
from dashboards.words import QUALITY, family_name
from device_profiles.schema import DeviceProfile, Metric, State, Text

MOST_STATES, MOST_METRICS = 6, 8
"""A headline of thirty profiles is none: the names that most of them have."""
_WORDS = {
    "states": Text(zh="状态", en="States"),
    "values": Text(zh="主要指标", en="Headline metrics"),
    "quality": Text(zh="数据质量", en="Data quality"),
    "heard": Text(zh="有数据的设备", en="Devices heard"),
    "rate": Text(zh="每分钟读数", en="Readings per minute"),
    "bad": Text(zh="质量异常的读数", en="Readings that are not good"),
    "delay": Text(zh="最长传输延迟", en="Longest delay"),
}


def by_family(profiles: Mapping[str, DeviceProfile]) -> dict[str, list[DeviceProfile]]:
    """Families in order, with their profiles in order; those that have anything to draw."""
    drawn = [profile for _, profile in sorted(profiles.items()) if profile.metrics or profile.states]
    drawn.sort(key=lambda profile: profile.family)
    return {family: list(members) for family, members in groupby(drawn, key=lambda profile: profile.family)}


def build(family: str, profiles: list[DeviceProfile], language: str) -> Json:
    made = frame(
        title=family_name(family).in_(language), uid=f"family-{family}", tags=[family, "family"], language=language
    )
    annotated(of_devices(made, family, language).with_variable(summed(language)), language)
    states = list(_headline_states(profiles))
    if states:
        made.with_row(boards.Row(_WORDS["states"].in_(language)))
    for name, found in states:
        panel = timeline(found[0].name.in_(language), found, language)
        query = influxql.of_family(family, name, is_gauge=False)
        made.with_panel(panel.with_target(InfluxQuery("A", query, "$tag_device $tag_child")))
    _with_metrics(made, family, profiles, language)
    _with_quality(made, family, language)
    return finished(made)


def _with_metrics(made: boards.Dashboard, family: str, profiles: list[DeviceProfile], language: str) -> None:
    metrics = list(headline_metrics(profiles))
    if metrics:
        made.with_row(boards.Row(_WORDS["values"].in_(language)))
    for number, (name, metric) in enumerate(metrics, start=1):
        panel = with_limits(chart(metric.name.in_(language), unit(metric.uom), metric.decimals), [])
        is_gauge = metric.kind == "gauge"
        alias = "$tag_device $tag_child $col" if is_gauge else "$tag_device $tag_child"
        panel.with_target(InfluxQuery("A", influxql.of_family(family, name, is_gauge=is_gauge), alias))
        if number == len(metrics) and number % 2:
            panel.span(24)
        made.with_panel(with_band(panel, language) if is_gauge else panel)


def _with_quality(made: boards.Dashboard, family: str, language: str) -> None:
    measurement = f'"{family}"'
    made.with_row(boards.Row(_WORDS["quality"].in_(language)))
    made.with_panel(_heard(measurement, language).span(6))
    rate = chart(_WORDS["rate"].in_(language), "short").span(18).interval("5m")
    rate.with_target(InfluxQuery("A", influxql.readings_per_minute(measurement), _WORDS["rate"].in_(language)))
    made.with_panel(rate)
    made.with_panel(bad_readings(measurement, language))
    delay = chart(_WORDS["delay"].in_(language), "s").interval("1m")
    made.with_panel(delay.with_target(InfluxQuery("A", influxql.delay(measurement), _WORDS["delay"].in_(language))))


def bad_readings(measurement: str, language: str, *, by: str = "") -> timeseries.Panel:
    """Readings that are not good, stacked by why. `by`: what else tells series apart, such as its family."""
    panel = chart(_WORDS["bad"].in_(language), "short").interval("1m")
    panel.stacking(StackingConfig().mode(common.StackingMode.NORMAL)).fill_opacity(40)
    for look in QUALITY.values():
        colour = {"mode": "fixed", "fixedColor": look.colour}
        panel.override_by_regexp(f"/^{look.text.in_(language)}/", [dashboard.DynamicConfigValue("color", colour)])
    queries = [
        (influxql.bad_readings(measurement, quality), f"{look.text.in_(language)} {by}".strip())
        for quality, look in QUALITY.items()
    ]
    return asked(panel, queries)


def _heard(measurement: str, language: str) -> stat.Panel:
    return (
        stat.Panel()
        .title(_WORDS["heard"].in_(language))
        .datasource(SERIES)
        .height(8)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .color_mode(common.BigValueColorMode.NONE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .with_target(InfluxQuery("A", influxql.heard(measurement), _WORDS["heard"].in_(language)))
    )


# --- headlines --------------------------------------------------------------------------------------------------------


def headline_metrics(profiles: Iterable[DeviceProfile]) -> Iterator[tuple[str, Metric]]:
    """Metrics of the headlines, those of most profiles first; of one name the first profile says what it is."""
    found = [
        (name, profile.metrics[name])
        for profile in profiles
        for name in profile.dashboard.headline
        if name in profile.metrics
    ]
    for name in _most_common(name for name, _ in found)[:MOST_METRICS]:
        yield name, next(metric for other, metric in found if other == name)


def _headline_states(profiles: Iterable[DeviceProfile]) -> Iterator[tuple[str, list[State]]]:
    having = list(profiles)
    named = [name for profile in having for name in profile.dashboard.headline if name in profile.states]
    for name in _most_common(named)[:MOST_STATES]:
        yield name, [profile.states[name] for profile in having if name in profile.states]


def _most_common(names: Iterable[str]) -> list[str]:
    listed = list(names)
    return sorted(dict.fromkeys(listed), key=lambda name: -listed.count(name))
