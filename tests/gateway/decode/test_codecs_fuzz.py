"""Whatever bytes, texts or objects a codec is given: a value or a DecodeError, and nothing else."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from device_profiles.schema import Codec, Time, When
from gateway.decode.codecs import chain
from gateway.decode.conditions import Condition
from gateway.decode.errors import DecodeError
from gateway.decode.scope import Scope
from gateway.decode.times import time_reader

_NOW = 1_763_741_000_000
_STEPS: tuple[dict[str, Any], ...] = (
    {"json": True},
    {"json_scalar": True},
    {"json_string": True},
    {"text": True},
    {"hex": True},
    {"base64": True},
    {"xml": {"lists": ["a"]}},
    {"csv": {"columns": ["a", None, "b"]}},
    {"csv": {"rows": True, "header": True, "separator": ";"}},
    {"csv": {"rows": True, "quote": '"'}},
    {"fixed": [{"name": "a", "start": 0, "end": 2}, {"name": "b", "start": 2}]},
    {"pairs": {"between": ",; ", "nest": "-"}},
    {"regex": {"pattern": "(?P<a>[a-z温]*)=?(?P<b>\\d+)?.*", "search": True}},
    {"pivot": {"name": "a", "value": "b"}},
    {"check": {"kind": "sum8", "on_failure": "accept_flagged"}},
    {"check": {"kind": "crc16_modbus", "written": "hex", "at": -4}},
    {"struct": {"fields": [{"name": "a", "type": "u8"}], "tail": "ignore"}},
    {"tlv": {"key_bytes": 1, "entries": {"61": {"fields": [{"name": "a", "type": "u8"}]}}}},
)
_PLACES = (None, "a", "a.b", "[0]", "a[?b==1].a", "a[-1]")
_MARKUP = ("<a>", "</a>", "<a b='1'>", "<!DOCTYPE a [", "&amp;", "{", "}", "[", "]", '"')
_PIECES = ("a=1,", "a-b=2;", ",", ";", "=", "-", "\n", " ", "a", "null", "1e400", "0x61", "61", "YQ==")
_SNIPPETS = st.sampled_from((*_MARKUP, *_PIECES, "\ud800", "\0", "温", "\u2028"))
_TEXTS = st.one_of(st.text(max_size=60), st.lists(_SNIPPETS, max_size=20).map("".join))
_CHAINS = st.lists(st.tuples(st.sampled_from(_STEPS), st.sampled_from(_PLACES)), min_size=1, max_size=4)


def _run(steps: list[tuple[dict[str, Any], str | None]], payload: bytes) -> None:
    codecs = tuple(Codec.model_validate({**step, "at": place}) for step, place in steps)
    try:
        chain(codecs)(payload)
    except DecodeError as error:
        str(error).encode()
        assert len(str(error)) < 1000


@settings(max_examples=1500, deadline=None)
@given(_CHAINS, st.one_of(st.binary(max_size=80), _TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass"))))
@example([({"json": True}, None), ({"xml": True}, "a")], b'{"a": "<a>\\ud800</a>"}')
@example([({"json": True}, None), ({"regex": {"pattern": "(?P<a>.*)"}}, "a")], b'{"a": "\\ud800"}')
@example([({"text": True}, None), ({"hex": True}, None)], "١٢".encode())
def test_any_bytes_through_any_chain(steps: list[tuple[dict[str, Any], str | None]], payload: bytes) -> None:
    _run(steps, payload)


_OBJECTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), _TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(["a", "b", "name"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=800, deadline=None)
@given(_OBJECTS, _CHAINS)
def test_any_object_under_any_step(value: Any, steps: list[tuple[dict[str, Any], str | None]]) -> None:
    payload = json.dumps(value, allow_nan=True).encode()
    _run([({"json": True}, None), *steps], payload)


_WHENS = (
    {"path": "a[?b==1].a", "equals": 1},
    {"path": "a.b", "kind": "number", "absent": "b"},
    {"path": "a", "regex": "[a-z]+"},
    {"kind": "object", "all_of": [{"path": "a[0]"}, {"regex": ".*"}]},
)
_TIMES = (
    {"path": "a", "format": "iso"},
    {"path": "a.b", "format": "%Y-%m-%d %H:%M:%S.%f %Z", "zones": {"PDT": "-07:00"}},
    {"path": "a", "format": "unix_ns"},
    {"join": ["a", "b"], "format": "%d %b %y"},
    {"path": "a[0]", "format": "seconds_ago"},
)


@settings(max_examples=500, deadline=None)
@given(_OBJECTS, st.sampled_from(_WHENS), st.sampled_from(_TIMES))
@example({"a": "0001-01-01T00:00:00+14:00"}, _WHENS[0], _TIMES[0])
@example({"a": "9999-12-31T23:59:59-14:00"}, _WHENS[0], _TIMES[0])
def test_any_object_under_conditions_and_times(value: Any, when: dict[str, Any], time: dict[str, Any]) -> None:
    from zoneinfo import ZoneInfo

    scope = Scope(value, value, {})
    assert Condition(When.model_validate(when)).holds(json.dumps(value).encode(), scope) in (True, False)
    try:
        said = time_reader(Time.model_validate(time)).judge(scope, ZoneInfo("America/New_York"), _NOW)
    except DecodeError as error:
        assert error.code in ("bad_time", "wrong_type")
    else:
        assert type(said[0]) is int
