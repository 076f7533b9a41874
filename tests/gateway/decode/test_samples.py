"""Profiles prove themselves by their samples, and a sample that lies is named."""

from __future__ import annotations

from typing import Any

import pytest

from device_profiles.library import load
from device_profiles.schema import DeviceProfile
from gateway.decode.samples import SAMPLE_RECEIVED_AT, check_samples
from tests.gateway.decode.mini import flat, named, profile

_SHIPPED = load()


@pytest.mark.parametrize("shipped", _SHIPPED.values(), ids=list(_SHIPPED))
def test_every_shipped_profile_proves_itself(shipped: DeviceProfile) -> None:
    assert shipped.samples
    assert check_samples(shipped) == []


@pytest.mark.parametrize("shipped", _SHIPPED.values(), ids=list(_SHIPPED))
def test_every_message_shape_of_a_shipped_profile_has_a_sample(shipped: DeviceProfile) -> None:
    played = {expected.get("binding") for sample in shipped.samples for expected in sample.expect}
    assert played - {None}


_SAMPLE = {"name": "one", "topic": "t/d1", "text": '{"p": 5, "s": "busy", "t": 500}'}
_TRUE = {"address": "d1", "child": "", "values": {"power": 5, "state": "busy"}, "flags": {"temp": "impossible"}}


def _check(**sample: Any) -> list[str]:
    return check_samples(profile(flat(power="p", state="s", temp="t"), samples=[{**_SAMPLE, **sample}]))


def test_a_sample_that_tells_the_truth() -> None:
    assert _check(expect=[_TRUE]) == []
    assert _check(expect=[{"values": {"power": 5.0000001, "state": "busy"}}]) == []
    assert _check(text="{", expect=[], error="malformed") == []
    assert _check(text=None, hex="7b7d", expect=[], error="nothing_known") == []


@pytest.mark.parametrize(
    ("sample", "says"),
    [
        (
            {"expect": [{**_TRUE, "values": {"power": 6, "state": "busy"}}]},
            "values: found {'power': 5.0}, expected {'power': 6}",
        ),
        ({"expect": [{**_TRUE, "values": {"power": 5}}]}, "values: found"),
        ({"expect": [{**_TRUE, "values": {"power": True, "state": "busy"}}]}, "values: found"),
        ({"expect": [{**_TRUE, "flags": {}}]}, "flags: found {'temp': 'impossible'}, expected {}"),
        ({"expect": [{**_TRUE, "address": "d2"}]}, "address: found 'd1', expected 'd2'"),
        ({"expect": [{**_TRUE, "colour": "red"}]}, "found the key 'colour'"),
        ({"expect": [_TRUE, _TRUE]}, "found 1 readings (device), expected 2"),
        ({"expect": []}, "found 1 readings (device), expected 0"),
        ({"expect": [], "error": "malformed"}, "expected an error with 'malformed'"),
        ({"text": "{", "expect": [_TRUE]}, "found the error malformed"),
        ({"text": "{", "error": "integrity"}, "expected one with 'integrity'"),
        ({"hex": "00"}, "found both"),
        ({"text": None}, "found neither"),
    ],
)
def test_a_sample_that_lies_is_named(sample: dict[str, Any], says: str) -> None:
    failures = _check(**sample)
    assert len(failures) == 1
    assert "sample 'one'" in failures[0]
    assert says in failures[0]


def test_bindings_that_do_not_compile_are_a_failure_too() -> None:
    assert "expected a metric or a state" in check_samples(profile(flat(nonsense="p")))[0]


def test_a_sample_may_say_what_came_before_it() -> None:
    """A counter's rate, an edge, the end of what began: each sample on a decoder that remembers nothing else."""
    metrics = {
        "energy": {"name": named("energy"), "kind": "counter", "counter": {"rate": {"metric": "power", "per": "1h"}}},
        "power": {"name": named("power")},
    }
    edge = {"event": "leak", "when": {"path": "e"}, "key": "{e}", "phase": "begin"}
    binding = {**flat(energy="e"), "events": [edge]}
    samples = [
        {
            "name": "a second later",
            "topic": "t/d",
            "text": '{"e": 2}',
            "before": [{"topic": "t/d", "text": '{"e": 1}'}],
            "expect": [
                {
                    "values": {"energy": 2, "power": 3600, "leak": True},
                    "events": [{"id": "leak", "phase": "begin", "key": "2"}],
                }
            ],
        },
        {
            "name": "the first",
            "topic": "t/d",
            "text": '{"e": 5}',
            "expect": [{"values": {"energy": 5, "leak": True}, "events": ["leak"], "measured_at": SAMPLE_RECEIVED_AT}],
        },
        {
            "name": "nonsense before it",
            "topic": "t/d",
            "text": '{"e": 5}',
            "before": [{"topic": "t/d", "text": "nonsense"}],
        },
    ]
    parts: dict[str, Any] = {
        "metrics": metrics,
        "states": {},
        "children": {},
        "events": {"leak": {"name": named("l"), "lasting": True}},
    }
    (failure,) = check_samples(profile(binding, samples=samples, **parts))
    assert failure.startswith("sample 'nonsense before it': expected a message before it that can be decoded")


def test_the_devices_of_a_sample_may_be_registered_and_have_params() -> None:
    metrics = {"depth": {"name": named("d"), "derive": "bottom - distance"}, "distance": {"name": named("x")}}
    parts: dict[str, Any] = {
        "metrics": metrics,
        "params": {"bottom": {"default": 3}},
        "states": {},
        "children": {},
        "events": {},
    }
    binding = {**flat(distance="x"), "registered_only": True}
    sample = {"name": "s", "topic": "t/d", "text": '{"x": 1}', "expect": [{"values": {"distance": 1, "depth": 2}}]}
    five = {**sample, "params": {"bottom": 5}, "expect": [{"address": "d", "values": {"distance": 1, "depth": 4}}]}
    of = profile(binding, samples=[{**sample, "registered": True}, five], **parts)
    assert check_samples(of) == []
    (failure,) = check_samples(profile(binding, samples=[sample], **parts))
    assert "not_registered" in failure


def test_replies_and_phases_are_compared() -> None:
    commands = {"go": {"name": named("go"), "topic": "do/{address}", "text": "go"}}
    binding = {
        "id": "b",
        "topic": "t/{address}",
        "reply": {"command": "go", "correlation": "{id}", "result": "r", "ok": [0]},
    }
    sample = {"name": "s", "topic": "t/d", "text": '{"id": 4, "r": 1}'}

    def failures(*replies: dict[str, Any]) -> list[str]:
        return check_samples(
            profile(binding, commands=commands, samples=[{**sample, "expect": [{"replies": replies}]}])
        )

    assert failures({"command": "go", "correlation": "4", "ok": False}) == []
    assert len(failures({"command": "go", "ok": True})) == 1
    assert len(failures()) == 1
