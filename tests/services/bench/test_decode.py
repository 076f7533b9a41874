"""What `courtyard bench decode` measures is what it says."""

from __future__ import annotations

import struct

from gateway.decode import Decoder
from gateway.reading import Quality, Registry
from services.bench import decode as bench

_AT = 1_760_000_000_000


def test_every_message_becomes_all_that_it_carries() -> None:
    charger = Decoder([bench.charger_profile()], Registry("1", []))
    [own, port] = charger.decode(*bench.charger_messages(1, bench.PORT_POWER)[0], _AT)
    assert own.values == {"cabinet_temp": 20.0}
    assert (port.child, len(port.values)) == ("port:2", 8)
    assert [len(r.values) for r in charger.decode(*bench.charger_messages(1, bench.HEARTBEAT)[0], _AT)] == [2, 1, 1]
    [flat] = Decoder([bench.json_profile()], Registry("1", [])).decode(*bench.json_messages(1)[0], _AT)
    assert len(flat.values) == 8
    [tlv] = Decoder([bench.tlv_profile()], Registry("1", [])).decode(*bench.tlv_messages(1)[0], _AT)
    assert tlv.values == {"battery": 92, "temperature": 30.8, "humidity": 50.5, "distance": 2116, "pressure": 10}


def test_sparkplug_data_is_named_by_the_births_before_it() -> None:
    node = Decoder([bench.sparkplug_profile()], Registry("1", []))
    for topic, payload in bench.births():
        node.decode(topic, payload, _AT)
    for topic, payload in bench.sparkplug_messages(500):
        [reading] = node.decode(topic, payload, _AT)
        assert reading.quality is Quality.GOOD
        assert len(reading.values) == 5
    assert reading.values["pump_flow"] == struct.unpack("<f", struct.pack("<f", 3 + 499 % 10))[0]


def test_the_figures() -> None:
    figures = bench.measure(messages=200, rounds=1)
    assert set(figures) == {"json_us", "struct_us", "heartbeat_us", "tlv_us", "sparkplug_us"}
    assert all(0 < figure < 1_000_000 for figure in figures.values())
