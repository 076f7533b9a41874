"""Whatever comes off the wire: readings that can be journalled, or a DecodeError. Nothing else leaves the decoder."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from device_profiles.library import load
from gateway.decode import LARGEST_PAYLOAD, DecodeError, Decoder
from gateway.reading import Reading, Registry
from tests.gateway.decode.mini import NOW, flat, profile

_STRANGE: dict[str, Any] = {
    **flat(
        power="p",
        temp={"path": "a.b[0].c", "scale": 0.1, "offset": -65, "sentinel": [0]},
        level={"path": "l", "cast": "integer", "strip": "%"},
        noise={"path": "n", "linear": [4, 20, 0, 1]},
        state={"path": "s", "map": {"1": "busy", "true": "idle"}},
    ),
    "topic": "all/{address}",
    "time": {"path": "t", "format": "unix_s"},
    "each": [
        {"child": "port", "over": "ports", "key": "{no+1}", "fields": {"port_temp": "t", "port_state": "s"}},
        {"child": "port", "zip": ["x", "y"], "key": "z{index}", "fields": {"port_temp": "x", "port_power": "y"}},
    ],
    "events": [{"event": "alarm", "when": {"path": "s", "equals": 1}, "fields": {"p": "p", "s": "s"}}],
}
_FRAME: dict[str, Any] = {
    "id": "frame",
    "topic": "raw/{module}",
    "address": "{id}",
    "decode": [
        {
            "struct": {
                "tail": "ignore",
                "fields": [
                    {"name": "id", "type": "ascii", "size": 2},
                    {"name": "n", "type": "u8"},
                    {"name": "w", "type": "f64", "count": "n"},
                    {"name": "no", "type": "bcd", "size": 1, "optional": True},
                    {"name": "g", "type": "group", "count": "*", "fields": [{"name": "v", "type": "i16"}]},
                ],
            }
        }
    ],
    "fields": {"power": "no"},
    "each": [{"child": "port", "over": "w", "key": "{index+1}", "fields": {"port_power": "$"}}],
}
_TEXT: dict[str, Any] = {
    "id": "text",
    "topic": "text/{address}",
    "decode": [{"text": True}],
    "when": [{"text": "x"}, {"min_length": 1}],
    "fields": {"power": {"path": "$", "when_missing": "erase"}},
}
_MINI = profile(_STRANGE, _FRAME, _TEXT)
_TOPICS = ("all/d1", "raw/m", "text/d1")


def _survives(decoder: Decoder, topic: str, payload: bytes) -> list[Reading] | DecodeError:
    try:
        readings = decoder.decode(topic, payload, NOW)
    except DecodeError as error:
        assert error.topic == topic
        assert error.code
        assert error.code != "internal", error
        assert len(str(error)) < 1000
        str(error).encode()
        return error
    for reading in readings:
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(reading), type=Reading) == reading
        assert all(
            value == value and abs(value) != float("inf") for value in reading.values.values() if type(value) is float
        )
    return readings


_DEEP = b'{"a":' * 100_000
_HOSTILE = [
    b"",
    b"\x00",
    b"\xff\xfe\xfd",
    b'"\xed\xa0\x80"',
    b'{"p": "\\ud800"}',
    b'{"p": NaN}',
    b'{"p": 1e400}',
    b'{"p": ' + b"9" * 5000 + b"}",
    b'{"p": ' + b"9" * 400 + b"}",
    b'{"a": {"b": [{"c": ' + b"9" * 400 + b"}]}}",
    b'{"l": ' + b"9" * 400 + b', "n": ' + b"9" * 400 + b', "s": ' + b"9" * 400 + b"}",
    b'{"t": ' + b"9" * 400 + b', "p": 1}',
    b'{"t": 1e308, "p": 1}',
    b'{"ports": [{"no": ' + b"9" * 400 + b"}]}",
    b'{"x": [1], "y": [' + b"9" * 400 + b"]}",
    _DEEP,
    b"[" * 900 + b"]" * 900,
    b'{"p":' * 900 + b"1" + b"}" * 900,
    b'{"p": 1} {"p": 2}',
    b'{"ports": [' + b"{}," * 5000 + b"{}]}",
    b'{"ports": {"a": {"no": true}}}',
    b'{"ports": ["x"]}',
    b'{"p": 1, "p": [1], "p": {"p": 2}}',
    b'{"' + b"k" * 100_000 + b'": 1}',
    b"1" * LARGEST_PAYLOAD,
    b'"' + b"a" * (LARGEST_PAYLOAD - 2) + b'"',
    b"[" + b"1," * 500_000 + b"1]",
    b"a" * (LARGEST_PAYLOAD + 1),
    "\u202e\u0000".encode(),
]


@pytest.mark.parametrize("payload", _HOSTILE, ids=range(len(_HOSTILE)))
def test_hostile_payloads(payload: bytes) -> None:
    decoder = Decoder([_MINI], Registry("1", []))
    for topic in _TOPICS:
        _survives(decoder, topic, payload)
    assert decoder.decode("all/d1", b'{"p": 1}', NOW)[0].values == {"power": 1.0}


@pytest.mark.parametrize(
    "topic", ["", "/", "all/", "all/\udcff", "all/\x00", "all/+", "all/#", "$SYS/x", "all/" + "x" * 65000]
)
def test_hostile_topics(topic: str) -> None:
    with pytest.raises(DecodeError):
        Decoder([_MINI], Registry("1", [])).decode(topic, b'{"p": 1}', NOW)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(_TOPICS), st.binary(max_size=300))
@example("raw/m", b"ab\x01" + b"\xff" * 8)
@example("raw/m", b"ab\x00\x99")
def test_any_bytes(topic: str, payload: bytes) -> None:
    _survives(Decoder([_MINI], Registry("1", [])), topic, payload)


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(["NaN", "null", "12.5", "on", "1", "", "--", "2025-11-21T16:03:20Z"]),
)


def _objects(keys: list[str]) -> st.SearchStrategy[Any]:
    """JSON as a device might send it by mistake: the right keys, anything in them."""
    names = st.sampled_from(keys)
    return st.recursive(
        _SCALARS,
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=8)),
        max_leaves=20,
    )


@settings(max_examples=600, deadline=None)
@given(_objects(["p", "a", "b", "c", "l", "n", "s", "t", "ports", "no", "x", "y"]))
def test_any_json_under_the_right_keys(value: Any) -> None:
    _survives(Decoder([_MINI], Registry("1", [])), "all/d1", json.dumps(value, ensure_ascii=False).encode())


_SHIPPED = list(load().values())
_DECODER = Decoder(_SHIPPED, Registry("1", []))


def _keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for inner in value.values() for key in _keys(inner)}
    return {key for inner in value for key in _keys(inner)} if isinstance(value, list) else set()


_SAMPLES = [(sample.topic, sample.text) for shipped in _SHIPPED for sample in shipped.samples if sample.text]
_WORDS = sorted({key for _, text in _SAMPLES if text.startswith("{") for key in _keys(json.loads(text))})


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted({topic for topic, _ in _SAMPLES})), _objects(_WORDS))
def test_shipped_profiles_take_any_json(topic: str, value: Any) -> None:
    _survives(_DECODER, topic, json.dumps(value, ensure_ascii=False).encode())


_FRAMES = [
    (sample.topic, bytes.fromhex(sample.hex)) for shipped in _SHIPPED for sample in shipped.samples if sample.hex
]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(_FRAMES), st.integers(0, 80), st.binary(min_size=1, max_size=4), st.integers(0, 80))
def test_shipped_frames_cut_and_bent(frame: tuple[str, bytes], at: int, put: bytes, cut: int) -> None:
    topic, raw = frame
    bent = (raw[:at] + put + raw[at + len(put) :])[: max(0, len(raw) - cut // 8)]
    mended = bent[:-2] + (sum(bent[:-2]) & 0xFFFF).to_bytes(2, "little")
    for payload in (bent, mended):
        _survives(_DECODER, topic, payload)
