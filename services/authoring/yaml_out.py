"""A draft as YAML: readable, in the order of the shipped profiles, each guess with a comment."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from services.authoring.sheet import BindingDraft, EachDraft, EventDraft, FieldDraft, MetricDraft, Sheet, StateDraft
from services.authoring.values import WORDS

_PLAIN = re.compile(r"[A-Za-z_\u4e00-\u9fff°$/][\w\u4e00-\u9fff °%³/+*.()-]*(?<! )")
_TOPIC = re.compile(r"[A-Za-z_/][\w/{}+.$:-]*")
_DURATION = re.compile(r"\d+(?:ms|s|m|h|d)")
_NOT_PLAIN = frozenset({"null", "true", "false", "~"})
_WIDE = 110
_BEYOND_ALL = 1e12


def scalar(value: object) -> str:
    """One value as YAML writes it inside braces."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e15 and float(f"{value:g}") == value else repr(value)
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if _DURATION.fullmatch(text):
        return text
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_PLAIN and not text.endswith(":"):
        return text
    return _quoted(text)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=not all(sign.isprintable() for sign in text))


def flow(value: Any) -> str:
    """A mapping or list on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(one) for one in value) + "]"
    return scalar(value)


def written(sheet: Sheet) -> str:
    """The whole file."""
    parts = [
        _head(sheet),
        _children(sheet),
        _section("metrics", (_metric(name, metric) for name, metric in sheet.metrics.items())),
        _section("states", (line for name, state in sheet.states.items() for line in _state(name, state))),
        _section(
            "events", (f"  {name}: {{name: {flow({'zh': zh, 'en': en})}}}" for name, (zh, en) in sheet.events.items())
        ),
        _availability(sheet),
        _section("bindings", (line for binding in sheet.bindings for line in _binding(binding))),
        _next_steps(sheet),
        _headline(sheet),
        _section("samples", _samples(sheet)),
    ]
    return "\n".join(part for part in parts if part)


def _section(name: str, lines: Iterable[str]) -> str:
    body = list(lines)
    return "\n".join([f"{name}:", *body, ""]) if body else ""


def _comment(notes: Iterable[str]) -> str:
    """A guess, said at the end of the line."""
    said = "; ".join(_one_line(note) for note in notes if note)
    return f"  # guessed: {said}" if said else ""


def _head(sheet: Sheet) -> str:
    lines = ["# A draft, made from captured messages. Look at every line that says `guessed`, then remove the word."]
    if sheet.left_out:
        lines += ["#", "# In the capture, and not understood or not taken:"]
        lines += [f"#   - {_one_line(one)}" for one in sheet.left_out]
    lines += [
        f"profile: {sheet.profile}",
        "version: 1",
        f"family: {sheet.family}",
        f"name: {flow({'zh': sheet.zh, 'en': sheet.en})}",
    ]
    lines += [f"vendor: {scalar(sheet.vendor)}"] if sheet.vendor else []
    lines += [f"source: {_quoted(sheet.source)}"] if sheet.source else []
    if not sheet.discovery:
        lines.append("discovery: false  # its topics name nobody: only devices of a site file are taken")
    return "\n".join([*lines, ""])


def _one_line(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:200]


def _children(sheet: Sheet) -> str:
    return _section(
        "children", (f"  {kind}: {{name: {flow({'zh': zh, 'en': en})}}}" for kind, (zh, en) in sheet.children.items())
    )


def _metric(name: str, metric: MetricDraft) -> str:
    entry: dict[str, Any] = {"name": {"zh": metric.zh, "en": metric.en}}
    if metric.uom:
        entry["uom"] = metric.uom
    if metric.scope:
        entry["scope"] = metric.scope
    if metric.kind != "gauge":
        entry["kind"] = metric.kind
    if metric.range is not None:
        entry["range"] = list(metric.range)
    if metric.period:
        entry["period"] = metric.period
    if metric.decimals is not None:
        entry["decimals"] = metric.decimals
    return f"  {name}: {flow(entry)}{_comment(metric.notes)}"


def _state(name: str, state: StateDraft) -> Iterator[str]:
    yield f"  {name}:{_comment(state.notes)}"
    yield f"    name: {flow({'zh': state.zh, 'en': state.en})}"
    if state.scope:
        yield f"    scope: {state.scope}"
    yield "    values:"
    for word in state.words:
        known = WORDS.get(word)
        zh, en, tone = known or (word.replace("_", " "), word.replace("_", " "), "unknown")
        yield f"      {scalar(word)}: {flow({'zh': zh, 'en': en, 'tone': tone})}" + (
            "" if known else "  # guessed: what it means; its tone"
        )


def _availability(sheet: Sheet) -> str:
    return f"availability: {flow(sheet.availability)}{_comment(sheet.availability_notes)}\n"


def _binding(binding: BindingDraft) -> Iterator[str]:
    for note in binding.notes:
        yield f"  # guessed: {_one_line(note)}"
    yield f"  - id: {binding.id}"
    yield f"    topic: {_plain_topic(binding.topic)}"
    if binding.when:
        yield f"    when: {flow(binding.when)}"
    yield from _steps(binding)
    for key in ("address", "mode", "presence_path", "says"):
        if getattr(binding, key):
            yield f"    {key}: {scalar(getattr(binding, key))}"
    if binding.split:
        yield f"    split: {flow([binding.split])}"
    if binding.time:
        yield f"    time: {flow(binding.time)}"
    if binding.presence:
        yield f"    presence: {flow(binding.presence)}"
    if binding.keepalive:
        yield "    keepalive: true"
    if binding.fields:
        yield "    fields:"
        yield from (_field(name, field, 6) for name, field in binding.fields.items())
    if binding.each:
        yield "    each:"
        for each in binding.each:
            yield from _each(each)
    if binding.events:
        yield "    events:"
        yield from (f"      - {flow(_event(event))}" for event in binding.events)


def _steps(binding: BindingDraft) -> Iterator[str]:
    line = f"    decode: {flow(binding.steps)}"
    if len(line) <= _WIDE or not any("modbus" in step or "struct" in step for step in binding.steps):
        if binding.steps:
            yield line
        return
    yield "    decode:"
    for step in binding.steps:
        kind, body = next(iter(step.items()))
        if not isinstance(body, dict):
            yield f"      - {flow(step)}"
            continue
        yield f"      - {kind}:"
        for key, value in body.items():
            yield from _long(key, value, 10)


def _long(key: str, value: Any, indent: int) -> Iterator[str]:
    pad = " " * indent
    if not (isinstance(value, list) and value and isinstance(value[0], dict)):
        yield f"{pad}{key}: {flow(value)}"
        return
    yield f"{pad}{key}:"
    for one in value:
        if len(flow(one)) + indent <= _WIDE:
            yield f"{pad}  - {flow(one)}"
            continue
        first, *rest = one.items()
        yield f"{pad}  - {first[0]}: {flow(first[1])}"
        for inner, content in rest:
            yield from _long(inner, content, indent + 4)


def _field(name: str, field: FieldDraft, indent: int) -> str:
    entry = {"path": field.path, **field.entry} if field.entry else field.path
    return f"{' ' * indent}{name}: {flow(entry)}{_comment(field.notes)}"


def _plain_topic(topic: str) -> str:
    """On a line of its own a topic needs no quotes, but where it could be taken for something else."""
    plain = _TOPIC.fullmatch(topic) and not topic.endswith(":") and topic.lower() not in _NOT_PLAIN
    return topic if plain else _quoted(topic)


def _each(each: EachDraft) -> Iterator[str]:
    head: dict[str, Any] = {"child": each.child}
    if each.over is not None:
        head["over"] = each.over
    if each.elements:
        head["elements"] = each.elements
    head["key"] = each.key
    for i, (key, value) in enumerate(head.items()):
        mark = "-" if i == 0 else " "
        yield f"      {mark} {key}: {_quoted(value) if key == 'key' else scalar(value)}" + (
            _comment(each.notes) if i == 0 else ""
        )
    yield "        fields:"
    yield from (_field(name, field, 10) for name, field in each.fields.items())


def _event(event: EventDraft) -> dict[str, Any]:
    entry: dict[str, Any] = {"event": event.event}
    if event.when:
        entry["when"] = event.when
    if event.fields:
        entry["fields"] = event.fields
    return entry


def _thresholds(metric: MetricDraft) -> tuple[float, float, float]:
    """(a usual value, a threshold above all that was seen, a value beyond it), all within the metric's range."""
    usual = 0.0 if metric.largest is None else max(-_BEYOND_ALL, min(metric.largest, _BEYOND_ALL))
    if metric.range is not None and usual >= metric.range[1]:
        usual = (metric.range[0] + metric.range[1]) / 2
    step = _round(abs(usual) * 0.1) or 1.0
    limit, beyond = (_tidy(usual + times * step) for times in (2, 3))
    if metric.range is not None and beyond > metric.range[1]:  # nothing can lie above: then between it and the end
        limit, beyond = _tidy((usual + metric.range[1]) / 2), _tidy(metric.range[1])
    return _tidy(usual), limit, beyond


def _round(value: float) -> float:
    return float(f"{value:.0e}")


def _tidy(value: float) -> float:
    """Without the tail of an addition, and whole numbers as such."""
    short = float(f"{value:.6g}")
    return int(short) if short == int(short) else short


def _next_steps(sheet: Sheet) -> str:
    """How a rule is written, on a name of this very profile."""
    gauges = [name for name, metric in sheet.metrics.items() if metric.kind == "gauge"]
    name = next(iter([*gauges, *sheet.metrics]), None)
    if name is None:
        return ""
    metric = sheet.metrics[name]
    scope = f"\n#     scope: {metric.scope}" if metric.scope else ""
    usual, limit, beyond = _thresholds(metric)
    return (
        "# Next: say when it is unwell, and what then is to be done. A rule looks like this:\n"
        "# rules:\n"
        f"#   - id: {name}_high\n"
        f"#     name: {flow({'zh': f'{metric.zh}过高', 'en': f'{metric.en} too high'})}{scope}\n"
        f"#     when: {name} > {scalar(limit)}\n"
        "#     for: 1m\n"
        "#     severity: major\n"
        "#     source: {kind: judgement, ref: say where the threshold comes from}\n"
        "#     tests:\n"
        f"#       - {{given: [{{{name}: {scalar(beyond)}, hold: 2m}}], expect: raised}}\n"
        f"#       - {{given: [{{{name}: {scalar(usual)}, hold: 1h}}], expect: quiet}}\n"
    )


def _headline(sheet: Sheet) -> str:
    names = [*list(sheet.states)[:2], *list(sheet.metrics)[:3]]
    if not names:
        return ""
    charts = [[name] for name in list(sheet.metrics)[:6]]
    return f"dashboard:\n  headline: {flow(names)}\n" + (f"  charts: {flow(charts)}\n" if charts else "")


def _samples(sheet: Sheet) -> Iterator[str]:
    if sheet.samples:
        yield "  # guessed: what they become is what the draft makes of them. Compare it with what the device showed."
    for sample in sheet.samples:
        yield f"  - name: {scalar(sample.name)}"
        yield f"    topic: {_plain_topic(sample.topic)}"
        yield f"    text: {_single(sample.text)}" if sample.text is not None else f'    hex: "{sample.hex}"'
        if sample.retained:
            yield "    retained: true"
        if sample.before:
            yield f"    before: {flow(sample.before)}"
        yield "    source: captured"
        yield "    expect:" if sample.expect else "    expect: []"
        for one in sample.expect:
            yield f"      - {flow(one)}"


def _single(text: str) -> str:
    """JSON reads best in single quotes."""
    if text.isprintable() and text and "'" not in text:
        return f"'{text}'"
    return _quoted(text)
