"""Chains of codecs run backwards: what is said decodes to what was meant; what has no way back is refused."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.decode.encode import encode
from gateway.reading import Value
from tests.gateway.decode.mini import NOW, decoder, profile

TLV = {
    "entries": {
        "0175": {"fields": [{"name": "battery", "type": "u8"}]},
        "0367": {"fields": [{"name": "t", "type": "i16"}]},
        "0671": {"into": "ports", "many": True, "fields": [{"name": "n", "type": "u8"}, {"name": "w", "type": "u16"}]},
    },
    "integrity": [{"kind": "crc16_modbus"}],
}
UPLINK = {
    "id": "up",
    "topic": "application/{app}/device/{address}/event/up",
    "decode": [{"json": True}, {"base64": True, "at": "data"}, {"tlv": TLV, "at": "data"}],
    "when": [{"path": "fPort", "equals": 85}],
    "time": {"path": "time", "format": "iso"},
    "fields": {"level": "data.battery", "temp": {"path": "data.t", "scale": 0.1}},
    "each": [{"child": "port", "over": "data.ports", "key": "{n}", "fields": {"port_power": "w"}}],
}
SERVICES = {
    "id": "report",
    "topic": "$oc/devices/{address}/report",
    "time": {"path": "services[?service_id=='Battery'].event_time", "format": "%Y%m%dT%H%M%SZ"},
    "fields": {
        "level": "services[?service_id=='Battery'].properties.level",
        "temp": "services[?service_id=='Temperature'].properties.value",
    },
}
GATEWAY = {
    "id": "gateway",
    "topic": "v1/gateway/telemetry",
    "address": "{device}",
    "split": [{"over": "", "elements": "keys", "capture": "device"}, {"over": ""}],
    "time": {"path": "ts"},
    "fields": {"power": "values.power"},
}
BATCH = {
    "id": "batch",
    "topic": "up",
    "address": "{name}",
    "split": [{"over": "batch", "capture": "name", "named": "device_id"}],
    "time": {"join": ["date", "clock"], "format": "%Y-%m-%d %H:%M:%S"},
    "fields": {"power": "w"},
}
PAIRS = {
    "id": "pairs",
    "topic": "t/{address}",
    "decode": [{"text": True}, {"pairs": {"between": ";", "nest": "-"}}],
    "fields": {"power": "a.Rtd", "temp": "b"},
}
LINE = {
    "id": "line",
    "topic": "t/{address}",
    "decode": [{"csv": {"columns": ["kind", None, "t"]}}],
    "fields": {"temp": "t", "state": "kind"},
}
PIVOT = {
    "id": "pivot",
    "topic": "t/{address}",
    "decode": [{"json": True}, {"pivot": {}, "at": "list"}],
    "fields": {"power": "list.P", "temp": "list.T"},
}


@pytest.mark.parametrize(
    ("binding", "meant"),
    [
        (UPLINK, {"": {"level": 92, "temp": -3.5}, "port:2": {"port_power": 700}, "port:5": {"port_power": 1}}),
        (SERVICES, {"": {"level": 80, "temp": 57}}),
        (GATEWAY, {"": {"power": 4}}),
        (BATCH, {"": {"power": 4}}),
        (PAIRS, {"": {"power": 4, "temp": 5}}),
        (LINE, {"": {"temp": 5, "state": "busy"}}),
        (PIVOT, {"": {"power": 4, "temp": 5}}),
    ],
    ids=lambda value: value.get("id", "") if isinstance(value, dict) else "",
)
def test_what_is_said_decodes_to_what_was_meant(binding: dict[str, Any], meant: dict[str, dict[str, Value]]) -> None:
    at = NOW // 1000 * 1000
    ((topic, payload),) = encode(profile(binding), binding["id"], "d1", meant, at=at)
    readings = decoder(binding).decode(topic, payload, at + 5)
    assert {reading.child: reading.values for reading in readings} == {
        child: pytest.approx(values) for child, values in meant.items()
    }
    assert {reading.device for reading in readings} == {"mini:d1"}
    assert "time" not in binding or {reading.measured_at for reading in readings} == {at}


@pytest.mark.parametrize(
    "more",
    [
        {"decode": [{"xml": True}]},
        {"decode": [{"regex": {"pattern": "(?P<p>.*)"}}]},
        {"fields": {name: {"path": "v", "when": {"path": "k", "equals": name}} for name in ("power", "temp")}},
        {"fields": {"power": "list[?k!='x'].v"}},
    ],
)
def test_what_has_no_way_back_is_refused(more: dict[str, Any]) -> None:
    binding = {"id": "b", "topic": "t/{address}", "fields": {"power": "p"}, **more}
    with pytest.raises(ValueError, match="expected"):
        encode(profile(binding), "b", "d", {"": {"power": 1, "temp": 2}}, at=NOW)
