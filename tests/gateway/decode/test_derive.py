"""Metrics that are computed when a message is decoded."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.reading import DeviceEntry, Quality, Reading
from tests.gateway.decode.mini import NOW, decoder, flat, named

METRICS = {
    "distance": {"name": named("distance"), "uom": "m"},
    "tank_level": {"name": named("level"), "uom": "m", "derive": "depth - distance", "range": [0, 10]},
    "share": {"name": named("share"), "uom": "%", "derive": "tank_level / depth * 100"},
    "port_power": {"name": named("power"), "scope": "port", "uom": "W"},
    "port_load": {"name": named("load"), "scope": "port", "derive": "port_power / rated * 100"},
}
PARAMS = {"depth": {"default": 3.0, "uom": "m"}, "rated": {"default": 500, "uom": "W"}}
CHILDREN = {"port": {"name": named("port")}}


def decoded(binding: dict[str, Any], payload: bytes, **params: float) -> list[Reading]:
    entry = DeviceEntry("tank", "mini", "d", "yard", params=dict(params))
    made = decoder(binding, entries=(entry,), metrics=METRICS, params=PARAMS, children=CHILDREN, states={}, events={})
    return made.decode("t/d", payload, NOW)


def test_from_a_value_and_a_param_one_from_another() -> None:
    (reading,) = decoded(flat(distance="x"), b'{"x": 1}', depth=2.0)
    assert reading.values == {"distance": 1, "tank_level": 1, "share": 50}


def test_the_default_of_a_param_counts_where_the_device_has_none() -> None:
    (reading,) = decoded(flat(distance="x"), b'{"x": 1.5}')
    assert reading.values == {"distance": 1.5, "tank_level": 1.5, "share": 50}


def test_nothing_follows_from_nothing() -> None:
    (reading,) = decoded(flat(distance="x", share="s"), b'{"s": 7}')
    assert reading.values == {"share": 7}


def test_what_the_device_says_itself_stays() -> None:
    (reading,) = decoded(flat(distance="x", tank_level="l"), b'{"x": 1, "l": 2.5}')
    assert reading.values["tank_level"] == 2.5


def test_the_range_holds_for_it_too() -> None:
    (reading,) = decoded(flat(distance="x"), b'{"x": 4}')
    assert reading.values == {"distance": 4}
    assert reading.flags == {"tank_level": Quality.IMPOSSIBLE}


def test_it_is_erased_with_what_it_follows_from() -> None:
    (reading,) = decoded(flat(distance={"path": "x", "when_missing": "erase"}), b'{"x": null}')
    assert reading.values == {"distance": None, "tank_level": None, "share": None}


def test_each_child_has_its_own() -> None:
    each = {"child": "port", "over": "ports", "key": "{index+1}", "fields": {"port_power": "w"}}
    readings = decoded({**flat(), "each": [each]}, b'{"ports": [{"w": 100}, {"w": 250}]}')
    assert [r.values for r in readings] == [
        {"port_power": 100, "port_load": 20},
        {"port_power": 250, "port_load": 50},
    ]


@pytest.mark.parametrize(
    ("derive", "problem"),
    [
        ("distanse * 2", "derive of tank_level"),
        ("rate(distance, 1m)", "derive of tank_level"),
        ("share * 2", "do not depend on themselves"),
        ("distance > 2", "derive of tank_level"),
    ],
)
def test_what_cannot_be_computed_is_refused_when_it_is_loaded(derive: str, problem: str) -> None:
    metrics = {**METRICS, "tank_level": {"name": named("level"), "uom": "", "derive": derive}}
    with pytest.raises(ValueError, match=problem):
        decoder(flat(distance="x"), metrics=metrics, params=PARAMS, children=CHILDREN, states={}, events={})


AC = {
    "voltage": {"name": named("voltage"), "uom": "V"},
    "amps": {"name": named("amps"), "uom": "A"},
    "mains": {"name": named("mains"), "uom": "V", "derive": "voltage * 1.0"},
    "port_current": {"name": named("current"), "scope": "port", "uom": "A"},
    "port_va": {"name": named("load"), "scope": "port", "derive": "port_current * parent.mains"},
    "port_cap": {"name": named("cap"), "scope": "port", "derive": "parent.voltage * 16"},
}
SOCKETS = {"child": "port", "over": "ports", "key": "{index+1}", "fields": {"port_current": "i"}}


def sockets(payload: str, **more: Any) -> list[Reading]:
    binding = {
        **flat(voltage={"path": "u", "when_missing": more.pop("when_missing", "skip")}),
        "each": [SOCKETS],
        **more,
    }
    made = decoder(binding, metrics=AC, params={}, children=CHILDREN, states={}, events={})
    return made.decode("t/d", payload.encode(), NOW)


def test_a_child_sees_what_the_same_message_says_of_its_device() -> None:
    own, first, second = sockets('{"u": 220, "ports": [{"i": 2}, {"i": 0.5}]}')
    assert own.values == {"voltage": 220, "mains": 220}
    assert first.values == {"port_current": 2, "port_va": 440, "port_cap": 3520}
    assert second.values == {"port_current": 0.5, "port_va": 110, "port_cap": 3520}


def test_a_child_sees_nothing_of_other_messages() -> None:
    assert [r.values for r in sockets('{"ports": [{"i": 2}]}')] == [{"port_current": 2}]
    erased = sockets('{"u": null, "ports": [{"i": 2}]}', when_missing="erase")[1]
    assert erased.values == {"port_current": 2, "port_va": None, "port_cap": None}
    # Nor of another point of the same message.
    points = '[{"t": 1763740000000, "u": 220, "ports": []}, {"t": 1763740001000, "ports": [{"i": 2}]}]'
    found = sockets(points, split=[{"over": ""}], time={"path": "t"})
    assert [r.values for r in found] == [{"voltage": 220, "mains": 220}, {"port_current": 2}]


def test_a_device_does_not_see_its_children() -> None:
    metrics = {**AC, "mains": {"name": named("mains"), "derive": "port_current * 2"}}
    with pytest.raises(ValueError, match="port_current is one of port"):
        decoder(flat(voltage="u"), metrics=metrics, params={}, children=CHILDREN, states={}, events={})
    metrics = {**AC, "port_va": {"name": named("va"), "scope": "port", "derive": "voltage * 2"}}
    with pytest.raises(ValueError, match=r"parent\.voltage"):
        decoder(
            {**flat(voltage="u"), "each": [SOCKETS]},
            metrics=metrics,
            params={},
            children=CHILDREN,
            states={},
            events={},
        )
