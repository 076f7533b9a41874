"""How long one message takes to decode: 8 flat JSON fields, a binary charging frame, a fan-out."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from typing import Any

from device_profiles.schema import DeviceProfile
from gateway.decode import Decoder
from gateway.reading import DeviceEntry, Registry

_START = 1_760_000_000_000
_DEVICES = 200
_FIELDS = ("voltage", "current", "power", "energy", "temperature", "humidity", "leakage", "rssi")
_FRAME = (
    "444e5932003b37ab040a00060101100e300001e803b0042003e803201909011800001300303801020304050100e8039808c7015500da08"
)


def _named(word: str) -> dict[str, str]:
    return {"zh": word, "en": word}


def json_profile() -> DeviceProfile:
    """Eight flat numbers with ranges, and the device's own time."""
    return DeviceProfile.model_validate(
        {
            "profile": "bench_json",
            "family": "bench",
            "name": _named("bench"),
            "availability": {"period": "30s"},
            "metrics": {name: {"name": _named(name), "range": [-1000, 100000]} for name in _FIELDS},
            "bindings": [
                {
                    "id": "telemetry",
                    "topic": "bench/{address}/telemetry",
                    "decode": [{"json": True}],
                    "time": {"path": "ts", "format": "unix_ms"},
                    "fields": {name: name for name in _FIELDS},
                }
            ],
        }
    )


def _header(command: int) -> list[dict[str, Any]]:
    return [
        {"type": "ascii", "size": 3, "const": "DNY"},
        {"name": "length", "type": "u16"},
        {"name": "physical_id", "type": "hex", "size": 4, "endian": "little"},
        {"name": "message", "type": "u16"},
        {"name": "command", "type": "u8", "const": command},
    ]


def frame_profile() -> DeviceProfile:
    """A charging port's power frame: integrity, an order number, scaled numbers, two temperatures with a sentinel."""
    powers = ("power", "power_max", "power_min", "power_mean")
    names = (
        "power",
        "power_max",
        "power_min",
        "power_mean",
        "energy",
        "duration",
        "voltage",
        "current",
        "room",
        "port",
    )
    fields: list[dict[str, Any]] = [
        *_header(0x06),
        {"name": "port_index", "type": "u8"},
        {"name": "state", "type": "u8"},
        {"name": "duration", "type": "u16"},
        {"name": "energy", "type": "u16"},
        {"name": "mode", "type": "u8"},
        *({"name": name, "type": "u16"} for name in powers),
        {"name": "order", "type": "hex", "size": 16},
        {"type": "skip", "size": 2},
        {"name": "peak", "type": "u16"},
        {"name": "voltage", "type": "u16"},
        {"name": "current", "type": "u16"},
        {"name": "room", "type": "u8"},
        {"name": "port", "type": "u8"},
    ]
    scales = {"energy": 0.01, "current": 0.001, "duration": 1, **dict.fromkeys((*powers, "voltage"), 0.1)}
    mapped: dict[str, Any] = {name: {"path": name, "scale": scale} for name, scale in scales.items()}
    mapped |= {name: {"path": name, "sentinel": [0], "offset": -65} for name in ("room", "port")}
    mapped["state"] = {"path": "state", "map": {"0": "idle", "1": "charging", "3": "full"}}
    words = {word: {"zh": word, "en": word} for word in ("idle", "charging", "full")}
    return DeviceProfile.model_validate(
        {
            "profile": "bench_frame",
            "family": "bench",
            "name": _named("bench"),
            "availability": {"period": "3m"},
            "children": {"port": {"name": _named("port"), "count": 10}},
            "metrics": {name: {"name": _named(name), "scope": "port", "range": [-40, 100000]} for name in names},
            "states": {"state": {"name": _named("state"), "scope": "port", "values": words}},
            "bindings": [
                {
                    "id": "port_power",
                    "topic": "bench/{address}/frame",
                    "when": [{"prefix": "444e59", "at": 11, "byte": 6}],
                    "decode": [
                        {
                            "struct": {
                                "integrity": [{"kind": "sum16"}, {"kind": "length", "at": 3, "counts_from": 5}],
                                "fields": fields,
                            }
                        }
                    ],
                    "each": [{"child": "port", "key": "{port_index+1}", "fields": mapped}],
                }
            ],
        }
    )


def registry_of(profile: DeviceProfile) -> Registry:
    """The devices that the measurement plays."""
    devices = [DeviceEntry(f"d{i}", profile.id, f"{i:08d}", "bench", "Asia/Shanghai") for i in range(_DEVICES)]
    return Registry("bench", devices)


def _best_us(decoder: Decoder, messages: Sequence[tuple[str, bytes]], rounds: int) -> float:
    """The best of some rounds: other programs can only make a round slower."""
    best = float("inf")
    decode = decoder.decode
    for round_ in range(rounds):
        at = _START + round_ * 60_000
        gc.collect()
        began = time.process_time_ns()
        for topic, payload in messages:
            decode(topic, payload, at)
        best = min(best, (time.process_time_ns() - began) / len(messages) / 1000)
    return best


def measure(messages: int = 20_000, rounds: int = 5) -> dict[str, float]:
    """CPU microseconds per message: `json8_us`, `frame_us`."""
    flat, framed = json_profile(), frame_profile()
    json_messages = [
        (
            f"bench/{i % _DEVICES:08d}/telemetry",
            b'{"ts":%d,"voltage":220.%d,"current":1.25,"power":275.5,"energy":1042.7,"temperature":31.5,'
            b'"humidity":61,"leakage":0.4,"rssi":-67}' % (_START + i, i % 10),
        )
        for i in range(messages)
    ]
    frame = bytes.fromhex(_FRAME)
    frames = [(f"bench/{i % _DEVICES:08d}/frame", frame) for i in range(messages)]
    return {
        "json8_us": round(_best_us(Decoder([flat], registry_of(flat)), json_messages, rounds), 2),
        "frame_us": round(_best_us(Decoder([framed], registry_of(framed)), frames, rounds), 2),
    }
