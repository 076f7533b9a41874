"""Whatever comes, in whatever order: only DecodeErrors, nothing half remembered, and bounded work."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.decode import DecodeError, Decoder
from gateway.decode.memory import Memory
from gateway.reading import Registry
from tests.gateway.decode.bounds import least_seconds
from tests.gateway.decode.mini import NOW, named, profile

POLL = {"id": "p", "slave": 1, "start": 0, "count": 1, "registers": [{"name": "t", "at": 0}]}
RICH = profile(
    {
        "id": "points",
        "topic": "points/{box}",
        "address": "{who}",
        "split": [{"over": "", "capture": "who"}, {"over": "list", "older_is_history": True}],
        "time": {"path": "ts"},
        "fields": {"energy": "e", "temp": "t"},
        "events": [{"event": "alarm", "edge": {"path": "a"}}],
        "each": [
            {
                "child": "port",
                "over": "ports",
                "key": "{index+1}",
                "when": {"path": "ok", "kind": "boolean"},
                "fields": {"port_power": "w"},
            }
        ],
    },
    {
        "id": "single",
        "topic": "single/{address}",
        "mode": "full",
        "history": {"path": "old", "equals": True},
        "sequence": {"path": "n", "event": "passed"},
        "fields": {"energy": "e", "temp": "t"},
        "events": [
            {"event": "leak", "key": "{a}", "phase_path": "p", "phases": {"b": "begin", "u": "update", "e": "end"}},
            {"event": "once", "when": {"path": "a"}, "key": "{a}"},
        ],
    },
    {
        "id": "plug",
        "topic": "sp/{group}/{type}/{node}/{device}",
        "address": "{device}",
        "decode": [{"sparkplug_b": {"type": "{type}", "node": "{group}/{node}", "device": "{device}"}}],
        "fields": {"temp": "values.t"},
    },
    {
        "id": "line",
        "topic": "line/{address}",
        "decode": [{"modbus": {"polls": [POLL]}}],
        "fields": {"temp": "t"},
    },
    metrics={
        "energy": {
            "name": named("energy"),
            "counter": {"largest_step": 100, "wrap": 16, "rate": {"metric": "power"}, "total": "whole"},
        },
        "power": {"name": named("power")},
        "whole": {"name": named("whole")},
        "temp": {"name": named("temp"), "range": [-40, 120]},
        "far": {"name": named("far"), "derive": "temp / energy + ports"},
        "port_power": {"name": named("power"), "scope": "port"},
    },
    states={},
    events={
        "alarm": {"name": named("alarm")},
        "passed": {"name": named("passed")},
        "once": {"name": named("once"), "dedupe": "1h"},
        "leak": {"name": named("leak"), "lasting": True, "auto_clear": "10s"},
    },
)  # fmt: skip

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(max_size=5),
    st.sampled_from(["b", "u", "e", 0, 1, 255, NOW, NOW - 60_000, 1e308, -1]),
)  # fmt: skip
KEYS = st.sampled_from(["e", "t", "a", "p", "n", "ts", "old", "list", "ports", "w", "ok", "x"])
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=6)),
    max_leaves=20,
)
TOPICS = st.sampled_from(
    ["points/b", "single/d", "single/d2", "sp/g/NBIRTH/n/d", "sp/g/DDATA/n/d", "sp/g/DBIRTH/n/d", "line/d"]
)
PAYLOADS = st.one_of(JSON.map(lambda value: json.dumps(value).encode()), st.binary(max_size=40))


def content(memory: Memory) -> dict[Any, Any]:
    return {key: value for kind in list(memory._kinds) for key, value in memory.of_kind(kind)}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(TOPICS, PAYLOADS, st.booleans(), st.integers(-5000, 20_000)), min_size=1, max_size=8))
def test_only_decode_errors_and_nothing_half_remembered(said: list[tuple[str, bytes, bool, int]]) -> None:
    decoder = Decoder([RICH], Registry("1", []))
    now = NOW
    for topic, payload, retained, step in said:
        before = content(decoder.memory)
        now += step
        try:
            readings = decoder.decode(topic, payload, now, retained)
        except DecodeError as error:
            assert error.code != "internal", error
            assert content(decoder.memory) == before
            continue
        identities = [(r.device, r.child, r.measured_at, r.binding) for r in readings]
        assert len(set(identities)) == len(identities)
        assert not any(r.events for r in readings if r.retained)
        msgspec.msgpack.encode(readings)
        decoder.tick(now)
    stored = {k: msgspec.msgpack.decode(msgspec.msgpack.encode(v)) for k, v in decoder.memory.changes().items()}
    assert {key: value for key, value in stored.items() if value is not None} == content(decoder.memory)


@pytest.mark.parametrize(
    "payload",
    [
        {f"d{n}": {"list": [{"e": 1, "t": 2}]} for n in range(2040)},
        {"d": {"list": [{"e": n, "ts": NOW - 5} for n in range(2040)]}},
        {"d": {"list": [{"ports": [{"ok": True, "w": 1}] * 45}] * 45}},
        {"d": {"list": [[[]]] * 2040}},
    ],
    ids=["devices", "points of one time", "children", "nothing"],
)
def test_a_large_fan_out_is_refused_or_quick(payload: Any) -> None:
    raw = json.dumps(payload).encode()

    def attempt() -> None:
        try:
            Decoder([RICH], Registry("1", [])).decode("points/b", raw, NOW)
        except DecodeError as error:
            assert error.code in {"too_many", "nothing_known", "wrong_type"}

    assert least_seconds(attempt, enough=0.4) < 0.4, "50 ms on an idle machine"
