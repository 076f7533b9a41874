"""Bindings run backwards: what is encoded decodes to what it was."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_profiles.children import children_of
from device_profiles.library import load
from device_profiles.schema import Binding, DeviceProfile, FieldMap
from gateway.decode import Decoder
from gateway.decode.encode import encode
from gateway.decode.memory import Memory
from gateway.decode.pipeline import factors
from gateway.decode.templates import parse_template
from gateway.reading import DeviceEntry, Presence, Registry, Value, child_kind
from tests.gateway.decode.mini import NOW, decoder, profile

_SHIPPED = load()
_PLAYS = [(shipped, play) for shipped in _SHIPPED.values() for play in shipped.simulator.plays]
_ADDRESS = {"ebike_charger_ap3000": "04AB373B"}
_KEYS = {"cameras": "gate,yard"}


def _binding(of: DeviceProfile, id: str) -> Binding:
    return next(binding for binding in of.bindings if binding.id == id)


def _values(of: DeviceProfile, name: str, field: FieldMap, *, framed: bool) -> st.SearchStrategy[Value]:
    """Values that this field can carry over the wire."""
    if (state := of.states.get(name)) is not None:
        words = list(field.map.values()) if field.map else list(state.values)
        return st.sampled_from(sorted({str(word) for word in words}))
    low, high = of.metrics[name].range or (0, 1000)
    low, high = max(low, -1000.0), min(high, 60000.0)
    multiply, divide = factors(field.scale)
    raw_low, raw_high = (low - field.offset) * divide / multiply, (high - field.offset) * divide / multiply
    marks = {float(mark) for mark in field.sentinel if isinstance(mark, int | float)}
    top = 255 if framed and abs(field.offset) + len(marks) else 65535
    raws = st.integers(math.ceil(max(raw_low, 0 if framed else raw_low)), math.floor(min(raw_high, top)))
    return raws.filter(lambda raw: raw not in marks).map(lambda raw: raw * multiply / divide + field.offset)


@st.composite
def _messages(draw: st.DrawFn, of: DeviceProfile, binding: Binding) -> dict[str, dict[str, Value]]:
    framed = any(codec.struct for codec in binding.decode)

    def drawn(fields: dict[str, FieldMap]) -> dict[str, Value]:
        return {
            name: draw(_values(of, name, field, framed=framed)) for name, field in fields.items() if field.const is None
        }

    values = {"": drawn(dict(binding.fields))}
    children = list(children_of(of, _KEYS))
    for each in binding.each:
        for child in children:
            if child_kind(child) == each.child:
                values[child] = drawn(dict(each.fields))
    return values


def _address(of: DeviceProfile, binding: Binding) -> str:
    """One that the binding's template can have come to."""
    template = parse_template(binding.address or "{address}")
    return _ADDRESS.get(of.id, "dev-1") if template.slots else template.text


def _said(of: DeviceProfile, values: Mapping[str, Any]) -> dict[str, Any]:
    """What the message says, without what follows from it."""
    counters = [metric.counter for metric in of.metrics.values() if metric.counter is not None]
    follows = {counter.total for counter in counters} | {c.rate.metric for c in counters if c.rate is not None}
    follows |= {name for name, metric in of.metrics.items() if metric.derive is not None} | of.events.keys()
    return {name: value for name, value in values.items() if name not in follows}


@pytest.mark.parametrize(("shipped", "play"), _PLAYS, ids=[f"{p.id}-{play.binding}" for p, play in _PLAYS])
def test_what_a_shipped_play_says_decodes_to_what_was_meant(shipped: DeviceProfile, play: Any) -> None:
    address = _address(shipped, _binding(shipped, play.binding))
    entry = DeviceEntry("d1", shipped.id, address, "yard", "Asia/Shanghai", dict(_KEYS))
    made = Decoder(_SHIPPED.values(), Registry("1", [entry]))
    binding = _binding(shipped, play.binding)

    fields = [binding.fields, *(each.fields for each in binding.each)]
    may_be_unsaid = {
        name for own in fields for name, field in own.items() if field.when is not None or field.unlisted == "skip"
    }

    may_be_faulty = {name for own in fields for name, field in own.items() if field.faulty_when or field.suspect_when}

    @settings(max_examples=60, deadline=None)
    @given(_messages(shipped, binding))
    def check(meant: dict[str, dict[str, Value]]) -> None:
        made.memory = Memory()  # a counter of the example before would make a spike of this one
        sent = encode(shipped, play.binding, address, meant, at=NOW, raw=play.raw, captures=play.captures)
        readings = [r for topic, payload in sent for r in made.decode(topic, payload, NOW + 500)]
        assert {r.binding for r in readings} <= {play.binding}
        assert {r.device for r in readings} <= {"d1"}
        if binding.time is not None:
            assert {r.measured_at for r in readings} == {NOW}
        for reading in readings:
            # Any values at all are drawn: what follows from them may be impossible, and some stand for "faulty".
            assert _said(shipped, reading.flags).keys() <= may_be_faulty
            said, wanted = _said(shipped, reading.values), meant[reading.child]
            assert said == pytest.approx({name: wanted[name] for name in said})
            assert wanted.keys() - said.keys() <= may_be_unsaid | reading.flags.keys()
        if meant[""]:
            assert "" in {r.child for r in readings}
        for child in meant.keys() - {""}:
            assert not meant[child] or child in {r.child for r in readings}

    check()


def test_one_message_with_nested_paths_zips_objects_and_time() -> None:
    binding: dict[str, Any] = {
        "id": "b",
        "topic": "{site}/{address}/{what}",
        "when": [{"path": "head.type", "equals": "full"}],
        "time": {"path": "head.at", "format": "iso"},
        "fields": {
            "power": {"path": 'a."x:0".w', "scale": 0.1},
            "temp": {"path": "list[1]", "offset": -65},
            "level": {"path": "pct", "strip": "%"},
            "noise": {"path": "ma", "linear": [4, 20, 0, 10]},
            "state": {"capture": "what"},
        },
        "each": [
            {"child": "port", "over": "p.ports", "key": "{key}", "fields": {"port_temp": "t"}},
            {"child": "port", "zip": ["z.s"], "key": "{index}", "fields": {"port_state": "z.s"}},
        ],
    }
    mini = profile(binding)
    meant: dict[str, dict[str, Value]] = {
        "": {"power": 12.3, "temp": 20.0, "level": 55.0, "noise": 2.5, "state": "busy"},
        "port:0": {"port_temp": 31.0, "port_state": "idle"},
        "port:1": {"port_temp": 32.0, "port_state": "busy"},
    }
    [(topic, payload)] = encode(mini, "b", "d1", meant, at=NOW, captures={"site": "yard"})
    assert topic == "yard/d1/busy"
    found: dict[str, dict[str, Value]] = {}
    for reading in decoder(binding).decode(topic, payload, NOW):
        found.setdefault(reading.child, {}).update(reading.values)
        assert reading.measured_at == NOW
    assert {child: pytest.approx(values) for child, values in meant.items()} == found


def test_words_of_a_status_topic() -> None:
    binding = {"id": "s", "topic": "t/{address}/status", "presence": {"up": "online", "gone": "offline"}}
    made = decoder(binding)
    for presence in (Presence.ONLINE, Presence.OFFLINE):
        [(topic, payload)] = encode(profile(binding), "s", "d1", {}, at=NOW, presence=presence)
        assert made.decode(topic, payload, NOW)[0].presence is presence


def test_what_has_no_way_back_says_so() -> None:
    binding = {"id": "b", "topic": "t/{address}", "fields": {"state": {"path": "s", "map": {"1": "busy"}}}}
    with pytest.raises(ValueError, match="expected a value that the map of state gives, found 'idle'"):
        encode(profile(binding), "b", "d1", {"": {"state": "idle"}}, at=NOW)
    with pytest.raises(ValueError, match="expected a binding of mini"):
        encode(profile(binding), "c", "d1", {}, at=NOW)
    with pytest.raises(ValueError, match="form"):
        encode(profile({**binding, "address": "pile-{n}"}), "b", "d1", {}, at=NOW)
