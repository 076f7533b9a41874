"""Checks across the sections of a profile: every name that is used is declared, and fits where it is used."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from device_profiles.expression import FUNCTIONS, PRESENCE_WORDS, ExpressionError, Names, names_of, parse
from device_profiles.mistakes import Mistake, nearest, one_of, shown
from device_profiles.schema import Binding, Codec, DeviceProfile, Each, EventMap, FieldMap, Scalar, parse_duration
from device_profiles.shape import STAND_IN, where
from device_profiles.yaml_source import Document, Step

_GRAMMAR = {"and", "or", "not", "in", "true", "false", "parent"}
RESERVED = frozenset(_GRAMMAR | FUNCTIONS | {"presence", "silence"})
SAMPLE_KEYS = frozenset(
    {"address", "child", "measured_at", "binding", "values", "events", "quality", "flags", "presence", "retained"}
)
_CAPTURE = re.compile(r"\{([a-z][a-z0-9_]*)\+?\}")


def check(profile: DeviceProfile, document: Document, left_out: frozenset[str] = frozenset()) -> list[Mistake]:
    """Every mistake across sections. `left_out` are names that had a mistake of their own: nothing is said of them."""
    return [one for one in _Checks(profile, document, left_out).all() if repr(STAND_IN) not in one.found]


class _Checks:
    def __init__(self, profile: DeviceProfile, document: Document, left_out: frozenset[str]) -> None:
        self._profile = profile
        self._document = document
        self._left_out = left_out
        self._measured: Mapping[str, Any] = {**profile.metrics, **profile.states}

    def all(self) -> Iterator[Mistake]:
        yield from self._names()
        yield from self._scopes()
        yield from self._children()
        yield from self._params()
        yield from self._metrics()
        yield from self._bindings()
        yield from self._rules()
        yield from self._dashboard()
        yield from self._simulator()
        yield from self._samples()

    # what is shared

    def _mistake(self, path: tuple[Step, ...], found: str, expected: str) -> Mistake:
        return Mistake(self._document.file, self._document.line(*path), where(self._document, path), found, expected)

    def _known(self, path: tuple[Step, ...], word: object, known: Iterable[object], what: str) -> Iterator[Mistake]:
        words = list(known)
        if word not in words and str(word) not in self._left_out:
            yield self._mistake(path, f"the unknown {what} {word!r}", f"{one_of(words)}{nearest(word, words)}")

    def _twice(self, section: str, ids: Iterable[str]) -> Iterator[Mistake]:
        listed = list(ids)
        for i, one in enumerate(listed):
            if one in listed[:i]:
                yield self._mistake((section, i, "id"), f"{one!r} twice", "each id once")

    def _fits(self, path: tuple[Step, ...], name: str, value: Scalar) -> Iterator[Mistake]:
        """A value that is set on a metric or state must be one it can have."""
        if (state := self._profile.states.get(name)) is not None:
            if value not in state.values:
                yield from self._known(path, value, state.values, f"word of the state {name}")
        elif isinstance(value, str | bool):
            yield self._mistake(path, shown(value), f"a number: {name} is a metric")

    # sections

    def _names(self) -> Iterator[Mistake]:
        for section in ("params", "metrics", "states"):
            for name in getattr(self._profile, section):
                if name in RESERVED:
                    yield self._mistake((section, name), f"the reserved word {name!r}", "another name")
        for name in self._profile.params:
            if name in self._measured:
                yield self._mistake(("params", name), f"{name!r} also as a metric or state", "a name of its own")

    def _scopes(self) -> Iterator[Mistake]:
        for section in ("metrics", "states", "events"):
            for name, part in getattr(self._profile, section).items():
                if part.scope is not None:
                    yield from self._known((section, name, "scope"), part.scope, self._profile.children, "child kind")
        for name, state in self._profile.states.items():
            if not state.values and name not in self._left_out:
                yield self._mistake(("states", name), "no words", "at least one word in values")

    def _children(self) -> Iterator[Mistake]:
        for kind, child in self._profile.children.items():
            for key, wanted in (("count", ("integer", "number")), ("keys", ("text",))):
                param = getattr(child, key)
                if not isinstance(param, str):
                    continue
                yield from self._known(("children", kind, key), param, self._profile.params, "param")
                declared = self._profile.params.get(param)
                if declared is not None and declared.type not in wanted:
                    expected = f"one of type {wanted[0]}"
                    yield self._mistake(("children", kind, key), f"the param {param} of type {declared.type}", expected)

    def _params(self) -> Iterator[Mistake]:
        kinds: dict[str, tuple[type, ...]] = {
            "number": (int, float),
            "integer": (int,),
            "text": (str,),
            "boolean": (bool,),
        }
        for name, param in self._profile.params.items():
            path: tuple[Step, ...] = ("params", name, "default")
            # The plain value: pydantic may have turned `8` into 8.0 on its way into the model.
            default = self._document.at(*path)
            fits = isinstance(default, kinds[param.type]) and (param.type == "boolean") == isinstance(default, bool)
            if not fits:
                yield self._mistake(path, shown(default), f"a default of type {param.type}")
            elif isinstance(default, int | float) and not isinstance(default, bool):
                if param.min is not None and default < param.min:
                    yield self._mistake(path, shown(default), f"a default of at least {param.min:g}")
                if param.max is not None and default > param.max:
                    yield self._mistake(path, shown(default), f"a default of at most {param.max:g}")

    def _metrics(self) -> Iterator[Mistake]:
        for name, metric in self._profile.metrics.items():
            if metric.range is not None and not metric.range[0] < metric.range[1]:
                yield self._mistake(("metrics", name, "range"), shown(metric.range), "the lower bound first")

    # bindings

    def _bindings(self) -> Iterator[Mistake]:
        yield from self._twice("bindings", (binding.id for binding in self._profile.bindings))
        for i, binding in enumerate(self._profile.bindings):
            yield from self._binding(binding, ("bindings", i))

    def _binding(self, binding: Binding, path: tuple[Step, ...]) -> Iterator[Mistake]:
        captures = {match[1] for match in _CAPTURE.finditer(binding.topic)}
        if binding.address is None and "address" not in captures and not binding.ignore:
            yield self._mistake((*path, "topic"), shown(binding.topic), "the capture {address}, or the key address")
        for j, codec in enumerate(binding.decode):
            yield from self._codec(codec, (*path, "decode", j))
        yield from self._fields(binding.fields, None, captures, (*path, "fields"))
        yield from self._event_maps(binding.events, None, captures, (*path, "events"))
        for j, each in enumerate(binding.each):
            yield from self._each(each, captures, (*path, "each", j))
        for j, when in enumerate(binding.when):
            if when.capture is not None:
                yield from self._known((*path, "when", j, "capture"), when.capture, captures, "topic capture")

    def _codec(self, codec: Codec, path: tuple[Step, ...]) -> Iterator[Mistake]:
        given = [name for name in type(codec).model_fields if getattr(codec, name)]
        if len(given) != 1:
            yield self._mistake(path, f"{len(given)} steps in one", "exactly one of json, text, hex, base64, struct")

    def _each(self, each: Each, captures: set[str], path: tuple[Step, ...]) -> Iterator[Mistake]:
        yield from self._known((*path, "child"), each.child, self._profile.children, "child kind")
        if each.over is not None and each.zip:
            yield self._mistake(path, "over and zip", "one of them")
        if each.child in self._profile.children:
            yield from self._fields(each.fields, each.child, captures, (*path, "fields"))
            yield from self._event_maps(each.events, each.child, captures, (*path, "events"))

    def _event_maps(
        self, maps: tuple[EventMap, ...], scope: str | None, captures: set[str], path: tuple[Step, ...]
    ) -> Iterator[Mistake]:
        for i, event in enumerate(maps):
            here = (*path, i)
            yield from self._known((*here, "event"), event.event, self._profile.events, "event")
            declared = self._profile.events.get(event.event)
            if declared is not None:
                yield from self._scope((*here, "event"), event.event, declared.scope, scope)
            for name, field in event.fields.items():
                yield from self._field_source(field, captures, (*here, "fields", name))

    def _scope(self, path: tuple[Step, ...], name: str, owner: str | None, here: str | None) -> Iterator[Mistake]:
        if owner != here:
            found = f"{name} of {owner or 'the device'}"
            yield self._mistake(path, found, f"a name with scope: {here}" if here else "a name without scope")

    def _fields(
        self, fields: Mapping[str, FieldMap], scope: str | None, captures: set[str], path: tuple[Step, ...]
    ) -> Iterator[Mistake]:
        for name, field in fields.items():
            here = (*path, name)
            yield from self._known(here, name, self._measured, "metric or state")
            if name in self._measured:
                yield from self._scope(here, name, self._measured[name].scope, scope)
                for key, word in (field.map or {}).items():
                    yield from self._fits((*here, "map", key), name, word)
                for key in ("default", "const"):
                    if getattr(field, key) is not None:
                        yield from self._fits((*here, key), name, getattr(field, key))
            yield from self._field_source(field, captures, here)

    def _field_source(self, field: FieldMap, captures: set[str], path: tuple[Step, ...]) -> Iterator[Mistake]:
        given = [key for key in ("path", "capture", "const") if getattr(field, key) is not None]
        if len(given) != 1:
            yield self._mistake(path, " and ".join(given) or "nothing", "exactly one of path, capture, const")
        if field.capture is not None:
            yield from self._known((*path, "capture"), field.capture, captures, "topic capture")

    # rules

    def _rules(self) -> Iterator[Mistake]:
        yield from self._twice("rules", (rule.id for rule in self._profile.rules))
        for i, rule in enumerate(self._profile.rules):
            path: tuple[Step, ...] = ("rules", i)
            if rule.ticket is not None:
                yield from self._known((*path, "ticket"), rule.ticket, self._profile.tickets, "ticket")
            if rule.residents is not None:
                yield from self._known((*path, "residents"), rule.residents, self._profile.residents, "wording")
            if rule.source.kind != "judgement" and not rule.source.ref:
                yield self._mistake((*path, "source"), "no ref", f"the {rule.source.kind} that says so")
            if rule.scope is not None and rule.scope not in self._profile.children:
                yield from self._known((*path, "scope"), rule.scope, self._profile.children, "child kind")
                continue
            names = names_of(self._profile, rule.scope)
            yield from self._expression(rule.when, names, (*path, "when"))
            if rule.clear.when is not None:
                yield from self._expression(rule.clear.when, names, (*path, "clear", "when"))
            for j, test in enumerate(rule.tests):
                for k, step in enumerate(test.given):
                    yield from self._test_step(step, names, (*path, "tests", j, "given", k))

    def _expression(self, text: str, names: Names, path: tuple[Step, ...]) -> Iterator[Mistake]:
        try:
            parse(text, names)
        except ExpressionError as error:
            if not self._left_out.intersection(re.findall(r"\w+", text)):
                yield self._mistake(path, f"{error.found} at column {error.column} of {text!r}", error.expected)

    def _test_step(self, step: Mapping[str, Any], names: Names, path: tuple[Step, ...]) -> Iterator[Mistake]:
        for name, value in step.items():
            here = (*path, name)
            if name == "hold":
                try:
                    parse_duration(value)
                except ValueError:
                    yield self._mistake(here, shown(value), "a duration such as 30s or 5m")
                continue
            yield from self._known(here, name, names.types, "name")
            type_ = names.types.get(name)
            if type_ is None or value is None:
                continue
            if type_.kind == "state" and value not in type_.words:
                yield from self._known(here, value, type_.words, f"word of the state {name}")
            if type_.kind == "number" and (isinstance(value, bool) or not isinstance(value, int | float)):
                yield self._mistake(here, shown(value), "a number")
        if "hold" not in step:
            yield self._mistake(path, "no hold", "how long these values hold, e.g. hold: 1m")

    # dashboard, simulator, samples

    def _dashboard(self) -> Iterator[Mistake]:
        for i, name in enumerate(self._profile.dashboard.headline):
            yield from self._known(("dashboard", "headline", i), name, self._measured, "metric or state")
        for i, group in enumerate(self._profile.dashboard.charts):
            for j, name in enumerate(group):
                yield from self._known(("dashboard", "charts", i, j), name, self._profile.metrics, "metric")

    def _simulator(self) -> Iterator[Mistake]:
        simulator = self._profile.simulator
        bindings = [binding.id for binding in self._profile.bindings]
        for i, play in enumerate(simulator.plays):
            yield from self._known(("simulator", "plays", i, "binding"), play.binding, bindings, "binding")
        for name, signal in simulator.signals.items():
            path: tuple[Step, ...] = ("simulator", "signals", name)
            yield from self._known(path, name, self._measured, "metric or state")
            if name not in self._measured:
                continue
            yield from self._fits((*path, "start"), name, signal.start)
            for i, word in enumerate(signal.cycle):
                yield from self._fits((*path, "cycle", i), name, word)
            for state, words in signal.while_.items():
                here = (*path, "while", state)
                yield from self._known(here, state, self._profile.states, "state")
                for i, word in enumerate(words if state in self._profile.states else ()):
                    yield from self._fits((*here, i), state, word)
        yield from self._faults()

    def _faults(self) -> Iterator[Mistake]:
        for name, fault in self._profile.simulator.faults.items():
            path: tuple[Step, ...] = ("simulator", "faults", name)
            if fault.scope is not None:
                yield from self._known((*path, "scope"), fault.scope, self._profile.children, "child kind")
            for key, value in fault.set.items():
                yield from self._faulted((*path, "set", key), key, fault.scope)
                if key in self._measured:
                    yield from self._fits((*path, "set", key), key, value)
            for key in fault.ramp:
                yield from self._faulted((*path, "ramp", key), key, fault.scope)
                if key in self._profile.states:
                    yield self._mistake((*path, "ramp", key), f"the state {key}", "a metric; states are set")
            if not (fault.set or fault.ramp or fault.silent):
                yield self._mistake(path, "a fault that does nothing", "one of set, ramp, silent")

    def _faulted(self, path: tuple[Step, ...], name: str, scope: str | None) -> Iterator[Mistake]:
        yield from self._known(path, name, self._measured, "metric or state")
        if name in self._measured:
            yield from self._scope(path, name, self._measured[name].scope, scope)

    def _samples(self) -> Iterator[Mistake]:
        for name, times in Counter(sample.name for sample in self._profile.samples).items():
            if times > 1:
                yield self._mistake(("samples",), f"{times} samples named {name!r}", "each name once")
        for i, sample in enumerate(self._profile.samples):
            path: tuple[Step, ...] = ("samples", i)
            if (sample.text is None) == (sample.hex is None):
                found = "neither text nor hex" if sample.text is None else "text and hex"
                yield self._mistake(path, found, "one of text, hex")
            if sample.hex is not None and not re.fullmatch(r"(?:[0-9a-fA-F]{2}\s*)*", sample.hex):
                yield self._mistake((*path, "hex"), shown(sample.hex), "pairs of hex digits")
            for j, expected in enumerate(sample.expect):
                for key in expected:
                    yield from self._known((*path, "expect", j, key), key, SAMPLE_KEYS, "key")
                if expected.get("presence") not in (None, "", *PRESENCE_WORDS):
                    here = (*path, "expect", j, "presence")
                    yield from self._known(here, expected["presence"], ("online", "offline"), "word")
                for name, value in _mapping(expected.get("values")).items():
                    here = (*path, "expect", j, "values", name)
                    yield from self._known(here, name, self._measured, "metric or state")
                    if name in self._measured and value is not None:
                        yield from self._fits(here, name, value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
