"""One device profile as one dashboard: charts in the profile's order, one panel per further metric, one timeline per
state, limits from plain rules."""

from __future__ import annotations

from collections.abc import Iterator

from dashboards import influxql
from dashboards.frame import Json, annotated, finished, frame, of_devices, short
from dashboards.panels import chart, letter, timeline, with_band, with_limits
from dashboards.sdk import boards, statetimeline, timeseries
from dashboards.targets import InfluxQuery
from dashboards.thresholds import limit_of
from dashboards.units import unit
from device_profiles.schema import DeviceProfile, Metric, Rule, State, Text

_RULES = Text(zh="规则", en="Rules")
_DEVICE_PAGE = Text(zh="设备页面", en="Device page")


def build(profile: DeviceProfile, language: str) -> Json:
    """The dashboard as plain data."""
    made = frame(title=profile.name.in_(language), uid=profile.id, tags=[profile.family, "profile"], language=language)
    annotated(of_devices(made, profile.family, language), language)
    for scope in (None, *profile.children):
        panels = list(_panels(profile, scope, language))
        if panels:
            title = profile.children[scope].name if scope else profile.name
            made.with_row(boards.Row(title.in_(language)))
        for panel in panels:
            made.with_panel(panel)
    return finished(made)


def uid(profile: DeviceProfile, language: str) -> str:
    return short(profile.id, language)


def is_drawn(profile: DeviceProfile) -> bool:
    """Whether there is anything to draw: a button that only sends events has no curves."""
    return bool(profile.metrics or profile.states)


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
    title = " / ".join(metric.name.in_(language) for metric in metrics.values())
    panel = with_limits(chart(title, unit(first.uom), first.decimals), limits)
    panel.description(_about(rules, metrics, language))
    panel.data_links([_to_device(language)])
    if all(metric.period for metric in metrics.values()):
        # Two periods a bucket: one without a value is a gap, and drawn as one.
        longest = max(metric.period.total_seconds() for metric in metrics.values() if metric.period)
        panel.interval(f"{round(2 * longest)}s")
    for number, (name, metric) in enumerate(metrics.items()):
        label = metric.name.in_(language) if len(metrics) > 1 else ""
        panel.with_target(_query(profile, number, name, metric, label))
    if any(metric.kind == "gauge" for metric in metrics.values()):
        with_band(panel, language)
    return panel


def _query(profile: DeviceProfile, number: int, name: str, metric: Metric, label: str) -> InfluxQuery:
    fill = "null" if metric.period else "none"
    if metric.kind == "gauge":
        query, column = influxql.gauge(profile.family, name, metric.scope, fill=fill), "$col"
    else:
        query, column = influxql.last(profile.family, name, metric.scope, fill=fill), ""
    return InfluxQuery(letter(number), query, _alias(metric.scope, column, label))


def _alias(scope: str | None, *more: str) -> str:
    return " ".join(["$tag_device", *(["$tag_child"] if scope else []), *(part for part in more if part)])


def _timeline(profile: DeviceProfile, name: str, state: State, language: str) -> statetimeline.Panel:
    rules = [rule for rule in profile.rules if rule.scope == state.scope and _speaks_of(name, rule.when)]
    panel = timeline(state.name.in_(language), [state], language).description(_listed(rules, language))
    panel.data_links([_to_device(language)])
    query = influxql.last(profile.family, name, state.scope)
    return panel.with_target(InfluxQuery("A", query, _alias(state.scope)))


def _to_device(language: str) -> boards.DashboardLink:
    """The device's own page in Courtyard; the tag is Grafana's name for the series clicked on."""
    made = boards.DashboardLink(_DEVICE_PAGE.in_(language)).target_blank(True)
    return made.url("${courtyard}/devices/${__field.labels.device}")


def _about(rules: list[Rule], metrics: dict[str, Metric], language: str) -> str:
    return _listed([rule for rule in rules if any(_speaks_of(name, rule.when) for name in metrics)], language)


def _listed(rules: list[Rule], language: str) -> str:
    lines = [f"- {rule.name.in_(language)}: `{rule.when}`{_delay(rule)} ({rule.severity})" for rule in rules]
    return "\n".join([f"{_RULES.in_(language)}:", *lines]) if lines else ""


def _delay(rule: Rule) -> str:
    seconds = rule.for_.total_seconds()
    return f", {seconds:g} s" if seconds else ""


def _speaks_of(name: str, expression: str) -> bool:
    """Whether the expression speaks of this name."""
    return name in expression.replace("(", " ").replace(")", " ").replace(",", " ").split()
