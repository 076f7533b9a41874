"""A small profile to try one matter at a time."""

from __future__ import annotations

from typing import Any

from device_profiles.schema import DeviceProfile
from gateway.decode import DecodeError, Decoder
from gateway.reading import DeviceEntry, Reading, Registry

NOW = 1_763_741_000_000
"""2025-11-21T16:03:20Z"""


def named(word: str) -> dict[str, str]:
    return {"zh": word, "en": word}


def profile(*bindings: dict[str, Any], id: str = "mini", **more: Any) -> DeviceProfile:
    """Metrics power, temp (-40..120, dropped), level (0..100, clamped), noise (0..10, flagged); ports with port_temp;
    states state and mode; events passed and alarm."""
    return DeviceProfile.model_validate(
        {
            "profile": id,
            "family": "mini",
            "name": named("mini"),
            "availability": {"period": "1m"},
            "params": {"ports": {"type": "integer", "default": 2}},
            "children": {"port": {"name": named("port"), "count": "ports"}},
            "metrics": {
                "power": {"name": named("power")},
                "energy": {"name": named("energy"), "kind": "counter"},
                "temp": {"name": named("temp"), "range": [-40, 120]},
                "level": {"name": named("level"), "range": [0, 100], "out_of_range": "clamp"},
                "noise": {"name": named("noise"), "range": [0, 10], "out_of_range": "flag"},
                "port_temp": {"name": named("port_temp"), "scope": "port", "range": [-40, 120]},
                "port_power": {"name": named("port_power"), "scope": "port"},
            },
            "states": {
                "state": {"name": named("state"), "values": {w: named(w) for w in ("idle", "busy", "broken")}},
                "port_state": {
                    "name": named("port_state"),
                    "scope": "port",
                    "values": {w: named(w) for w in ("idle", "busy")},
                },
            },
            "events": {"passed": {"name": named("passed")}, "alarm": {"name": named("alarm")}},
            "bindings": bindings,
            **more,
        }
    )


def flat(**fields: Any) -> dict[str, Any]:
    """A JSON binding on `t/{address}` with these fields."""
    return {"id": "telemetry", "topic": "t/{address}", "decode": [{"json": True}], "fields": fields}


def text(**fields: Any) -> dict[str, Any]:
    return {"id": "telemetry", "topic": "t/{address}", "decode": [{"text": True}], "fields": fields}


def frame(fields: list[dict[str, Any]], *, into: dict[str, Any], **layout: Any) -> dict[str, Any]:
    return {
        "id": "frame",
        "topic": "t/{address}",
        "decode": [{"struct": {"fields": fields, **layout}}],
        "fields": into,
    }


def decoder(*bindings: dict[str, Any], entries: tuple[DeviceEntry, ...] = (), **more: Any) -> Decoder:
    return Decoder([profile(*bindings, **more)], Registry("1", list(entries)))


def one(binding: dict[str, Any], payload: bytes | str, *, topic: str = "t/d1", now: int = NOW) -> Reading:
    """The only reading that the payload becomes."""
    raw = payload.encode() if isinstance(payload, str) else payload
    readings = decoder(binding).decode(topic, raw, now)
    assert len(readings) == 1, readings
    return readings[0]


def error(binding: dict[str, Any], payload: bytes | str, *, topic: str = "t/d1") -> DecodeError:
    """The error that the payload must give."""
    raw = payload.encode() if isinstance(payload, str) else payload
    try:
        readings = decoder(binding).decode(topic, raw, NOW)
    except DecodeError as found:
        return found
    raise AssertionError(f"expected a DecodeError, found {readings}")
