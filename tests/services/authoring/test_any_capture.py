"""Whatever was captured: the draft loads and its samples hold, or it is said that there is nothing to draft."""

from __future__ import annotations

import contextlib
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.decode.samples import check_samples
from services.authoring.capture import Message
from services.authoring.draft import NothingToDraft, Wanted, draft

_LEVELS = """
pumps BX-01 BX-02 state status LWT SENSOR 1 2 switch:0 switch:1 $state 0x1234 data online events homie spBv1.0 a1b2c3d4
homeassistant config sensor zigbee2mqtt bridge Küche 温度 x y set
"""
_KEYS = "temp voltage ts time id deviceId state pumps ports switch:0 1 2 value name type wendu 压力 a.b kwh rssi"
LEVELS = st.one_of(
    st.sampled_from(_LEVELS.split()), st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=6)
)
TOPICS = st.lists(LEVELS, min_size=1, max_size=5).map("/".join).filter(bool)
KEYS = st.one_of(st.sampled_from(_KEYS.split()), st.text(max_size=5))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["on", "OFF", "online", "21.5 °C", "NaN", "1763741000000", "2026-03-01T08:00:00Z", "AXVcA2c0AQ==", ""]
    ),
    st.text(max_size=8),
)
VALUES = st.recursive(
    SCALARS, lambda one: st.lists(one, max_size=4) | st.dictionaries(KEYS, one, max_size=5), max_leaves=14
)
PAYLOADS = st.one_of(
    VALUES.map(lambda value: json.dumps(value).encode()),
    SCALARS.map(lambda value: str(value).encode("utf-8", "replace")),
    st.binary(max_size=24),
    st.sampled_from(
        [
            b"<a><b>1</b></a>",
            b"k=1;l=2",
            b"1,2,3",
            b"01030200023985",
            bytes.fromhex("01030200023985"),
            b"a" * 40,
            b"##0001",
        ]
    ),
)
MESSAGES = st.lists(st.tuples(TOPICS, PAYLOADS, st.booleans()), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(MESSAGES)
def test_a_draft_always_loads(messages: list[tuple[str, bytes, bool]]) -> None:
    captured = [Message(1_772_352_000_000 + i * 10_000, *one) for i, one in enumerate(messages)]
    with contextlib.suppress(NothingToDraft):
        drafted = draft(captured, Wanted())
        assert check_samples(drafted.profile) == []
        assert drafted.understood <= drafted.heard
