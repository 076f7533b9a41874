"""How long one message takes to decode, through the whole decoder, for each family of codecs."""

from __future__ import annotations

import gc
import struct
import time
from collections.abc import Iterable, Sequence
from typing import Any

from device_profiles.library import SHIPPED, load_text
from device_profiles.schema import DeviceProfile
from gateway.decode import Decoder
from gateway.reading import DeviceEntry, Registry

_START = 1_760_000_000_000
_DEVICES = 200
_FIELDS = ("voltage", "current", "power", "energy", "temperature", "humidity", "leakage", "rssi")
_KEYS = {"0175": "battery", "0367": "temperature", "0468": "humidity", "0382": "distance", "037b": "pressure"}
_PUMPS = tuple(f"Pump/{name}" for name in ("InletPressure", "OutletPressure", "Flow", "Speed", "Current"))
_CHARGER = SHIPPED / "ebike_charger" / "ap3000.yaml"
# AP3000 device protocol V8.6: a charging port's power, and the heartbeat of a station of two ports.
PORT_POWER = (
    "444e5932003b37ab040a00060101100e300001e803b0042003e803201909011800001300303801020304050100e8039808c7015500da08"
)
HEARTBEAT = "444e5910003b37ab0401002198080200000905ee02"
# A Milesight frame of five keys: battery, temperature, humidity, distance, pressure.
_TLV = "01755c" + "03673401" + "046865" + "03824408" + "037b0a00"

Message = tuple[str, bytes]


def _named(word: str) -> dict[str, str]:
    return {"zh": word, "en": word}


def _profile(id: str, metrics: Iterable[str], *bindings: dict[str, Any]) -> DeviceProfile:
    """A profile of plain metrics, each with its range."""
    return DeviceProfile.model_validate(
        {
            "profile": id,
            "family": "bench",
            "name": _named("bench"),
            "availability": {"period": "30s"},
            "metrics": {name: {"name": _named(name), "range": [-1000, 100000]} for name in metrics},
            "bindings": bindings,
        }
    )


def json_profile() -> DeviceProfile:
    """Eight flat numbers with ranges, and the device's own time."""
    return _profile(
        "bench_json",
        _FIELDS,
        {
            "id": "telemetry",
            "topic": "bench/{address}/telemetry",
            "decode": [{"json": True}],
            "time": {"path": "ts", "format": "unix_ms"},
            "fields": {name: name for name in _FIELDS},
        },
    )


def charger_profile() -> DeviceProfile:
    """The shipped AP3000 profile: a dozen bindings on one topic, the address inside the frame."""
    return load_text(_CHARGER.read_text(encoding="utf-8"), _CHARGER)


def tlv_profile() -> DeviceProfile:
    """A sensor of five keys, two of them signed and scaled."""
    types = {"battery": "u8", "humidity": "u8", "temperature": "i16"}
    entries = {key: {"fields": [{"name": name, "type": types.get(name, "u16")}]} for key, name in _KEYS.items()}
    fields: dict[str, Any] = {name: name for name in _KEYS.values()}
    fields |= {"temperature": {"path": "temperature", "scale": 0.1}, "humidity": {"path": "humidity", "scale": 0.5}}
    return _profile(
        "bench_tlv",
        _KEYS.values(),
        {"id": "uplink", "topic": "bench/{address}/tlv", "decode": [{"tlv": {"entries": entries}}], "fields": fields},
    )


def sparkplug_profile() -> DeviceProfile:
    """An edge node that names five metrics at its birth, and sends them by alias."""
    fields = {_metric(name): f'values."{name}"' for name in _PUMPS}
    return _profile(
        "bench_sparkplug",
        fields,
        {
            "id": "node",
            "topic": "spBv1.0/bench/{type}/{address}",
            "decode": [{"sparkplug_b": {"node": "bench/{address}"}}],
            "time": {"path": "timestamp", "format": "unix_ms"},
            "fields": fields,
        },
    )


def _metric(name: str) -> str:
    return name.replace("/", "_").lower()


# --- messages --------------------------------------------------------------------------------------------------------


def json_messages(count: int) -> list[Message]:
    return [
        (
            f"bench/{i % _DEVICES:08d}/telemetry",
            b'{"ts":%d,"voltage":220.%d,"current":1.25,"power":275.5,"energy":1042.7,"temperature":31.5,'
            b'"humidity":61,"leakage":0.4,"rssi":-67}' % (_START + i, i % 10),
        )
        for i in range(count)
    ]


def tlv_messages(count: int) -> list[Message]:
    return [(f"bench/{i % _DEVICES:08d}/tlv", bytes.fromhex(_TLV)) for i in range(count)]


def charger_messages(count: int, frame: str) -> list[Message]:
    """The frame as each station would send it: its own physical id, and the sum that belongs to it."""
    made = []
    for i in range(_DEVICES):
        body = bytearray.fromhex(frame)[:-2]
        body[5:9] = struct.pack("<I", int(_station(i), 16))
        made.append((f"ap3000/{_station(i)}/up", bytes(body) + struct.pack("<H", sum(body) & 0xFFFF)))
    return [made[i % _DEVICES] for i in range(count)]


def _station(i: int) -> str:
    return f"04AB{i:04X}"


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _sparkplug(metrics: Iterable[bytes], seq: int, at: int) -> bytes:
    """A Sparkplug B payload: timestamp (1), metrics (2), seq (3)."""
    body = b"".join(b"\x12" + _varint(len(metric)) + metric for metric in metrics)
    return b"\x08" + _varint(at) + body + b"\x18" + _varint(seq)


def births() -> list[Message]:
    """name (1), alias (2), datatype (4) Float, float_value (12) of each metric."""
    metrics = [
        b"\x0a" + _varint(len(name)) + name.encode() + b"\x10" + _varint(alias) + b"\x20\x09\x65" + struct.pack("<f", 0)
        for alias, name in enumerate(_PUMPS, 1)
    ]
    return [(f"spBv1.0/bench/NBIRTH/{i:08d}", _sparkplug(metrics, 0, _START)) for i in range(_DEVICES)]


def sparkplug_messages(count: int) -> list[Message]:
    """alias (2), timestamp (3), float_value (12) of each metric."""
    messages = []
    for i in range(count):
        at = _START + i
        metrics = [
            b"\x10" + _varint(alias) + b"\x18" + _varint(at) + b"\x65" + struct.pack("<f", alias + i % 10)
            for alias in range(1, len(_PUMPS) + 1)
        ]
        seq = (i // _DEVICES + 1) % 256
        messages.append((f"spBv1.0/bench/NDATA/{i % _DEVICES:08d}", _sparkplug(metrics, seq, at)))
    return messages


# --- measuring -------------------------------------------------------------------------------------------------------


def _decoder(profile: DeviceProfile, addresses: Iterable[str]) -> Decoder:
    devices = [DeviceEntry(f"d{a}", profile.id, a, "bench", "Asia/Shanghai") for a in addresses]
    return Decoder([profile], Registry("bench", devices))


def _best_us(decoder: Decoder, messages: Sequence[Message], rounds: int) -> float:
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
        decoder.memory.commit()  # as the gateway does with each batch
    return round(best, 2)


def measure(messages: int = 5_000, rounds: int = 40) -> dict[str, float]:
    """CPU microseconds per message: `json_us`, `struct_us`, `heartbeat_us`, `tlv_us`, `sparkplug_us`."""
    numbered, stations = [f"{i:08d}" for i in range(_DEVICES)], [_station(i) for i in range(_DEVICES)]
    charger = _decoder(charger_profile(), stations)
    node = _decoder(sparkplug_profile(), numbered)
    for topic, payload in births():
        node.decode(topic, payload, _START)
    return {
        "json_us": _best_us(_decoder(json_profile(), numbered), json_messages(messages), rounds),
        "struct_us": _best_us(charger, charger_messages(messages, PORT_POWER), rounds),
        "heartbeat_us": _best_us(charger, charger_messages(messages, HEARTBEAT), rounds),
        "tlv_us": _best_us(_decoder(tlv_profile(), numbered), tlv_messages(messages), rounds),
        "sparkplug_us": _best_us(node, sparkplug_messages(messages), rounds),
    }
