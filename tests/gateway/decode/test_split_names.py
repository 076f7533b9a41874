"""Elements that are captured by what stands in them."""

from __future__ import annotations

import json
from typing import Any

from tests.gateway.decode.mini import NOW, decoder

BATCH: dict[str, Any] = {
    "id": "telemetry",
    "topic": "up/{box}",
    "address": "{device}.{service}",
    "split": [
        {"over": "devices", "capture": "device", "named": "ids.id"},
        {"over": "services", "capture": "service", "named": "service_id"},
    ],
    "fields": {"power": "properties.power"},
}


def found(devices: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    readings = decoder(BATCH).decode("up/box", json.dumps({"devices": devices}).encode(), NOW)
    return [(reading.device, reading.values["power"]) for reading in readings]


def test_both_levels_name_the_address() -> None:
    services = [{"service_id": "a", "properties": {"power": 1}}, {"service_id": "b", "properties": {"power": 2}}]
    assert found([{"ids": {"id": "d1"}, "services": services}, {"ids": {"id": 7}, "services": services[:1]}]) == [
        ("mini:d1.a", 1),
        ("mini:d1.b", 2),
        ("mini:7.a", 1),
    ]


def test_without_a_name_it_is_the_position() -> None:
    services = [{"properties": {"power": 1}}, {"service_id": None, "properties": {"power": 2}}]
    assert found([{"ids": {}, "services": services}]) == [("mini:0.0", 1), ("mini:0.1", 2)]
