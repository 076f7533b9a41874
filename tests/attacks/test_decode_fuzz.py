"""Every shipped profile on one gateway, and every sample of theirs spoiled in every way: only DecodeErrors come out.

Deterministic: the dice are seeded. Times are minima of several runs, with room for a busy machine.
"""

from __future__ import annotations

import json
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC
from functools import partial
from typing import Any

import msgspec
import pytest

from device_profiles.library import load
from device_profiles.schema import DeviceProfile
from gateway.decode import LARGEST_PAYLOAD, DecodeError, Decoder
from gateway.decode.routes import MOST_STRANGERS, Device
from gateway.decode.samples import SAMPLE_RECEIVED_AT as NOW
from gateway.decode.samples import sample_payload
from gateway.decode.sparkplug_births import MOST_BYTES, size_of
from gateway.decode.sparkplug_messages import Payload
from gateway.reading import Reading, Registry, provisional_id

MESSAGES = 40_000
"""Spoiled messages of each kind of device: registered, and stranger."""
SLOWEST_SECONDS = 0.05
ROOM = 4
"""A machine that does other things too is so much slower, even at its quickest of several runs."""
MOST_MEMORY = 16 << 20

Message = tuple[str, bytes]


class _Registered(Decoder):
    """Every device stands in a site file."""

    def known_device(self, profile: str, address: str) -> Device | None:
        return Device(provisional_id(profile, address), UTC, True, self._defaults[profile])


class Gateways:
    def __init__(self, profiles: list[DeviceProfile]) -> None:
        self.profiles = {profile.id: profile for profile in profiles}
        self.strangers = Decoder(profiles, Registry("1", []))
        self.registered = _Registered(profiles, Registry("1", []))
        self.samples: list[Message] = [
            (sample.topic, sample_payload(sample))
            for profile in profiles
            for sample in profile.samples
            if sample.text is not None or sample.hex is not None
        ]


@pytest.fixture(scope="module")
def gateways() -> Gateways:
    return Gateways(list(load().values()))


def decoded(decoder: Decoder, message: Message, now: int, retained: bool = False) -> list[Reading] | DecodeError:
    """What comes out; fails for anything but storable readings and DecodeErrors that leave nothing behind."""
    topic, payload = message
    mark = decoder.memory.mark()
    try:
        readings = decoder.decode(topic, payload, now, retained)
    except DecodeError as error:
        assert error.code != "internal", f"{topic} {payload[:500]!r}: {error}"
        assert len(str(error)) < 1000
        str(error).encode()
        assert decoder.memory.mark() == mark, f"{topic} {payload[:500]!r} left something behind"
        return error
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(readings), type=list[Reading]) == readings
    numbers = [value for one in readings for value in one.values.values() if type(value) is float]
    assert all(number - number == 0 for number in numbers), message
    identities = [(one.device, one.child, one.measured_at, one.binding) for one in readings]
    assert len(set(identities)) == len(identities), message
    return readings


# --- spoiling --------------------------------------------------------------------------------------------------------

_STRANGE: list[Any] = [
    None, True, False, 0, -1, 2**63, 2**64 - 1, -(2**63), 10**300, 1e308, -1e308, 5e-324, "", "null", "NaN", "1e999",
    "x" * 1000, "\u202e\u0000", "\ud800", "９", "1_000", " 12 ", "0x10", [], {}, [[]], [{}], {"": None}, "a/b", "+",
    "#", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", 253402300800000, -62135596800, "<b>x",
]  # fmt: skip
_INSERTED = [b"\0", b"\xff" * 4, b"NaN", b'"', b"{", b"9" * 30, b"\xed\xa0\x80", b"-", b",", b"e999", b"\r\n"]
_LEVELS = ["", "x", "{a}", "é", "a b", "__class__", "-1", "9" * 40, "x" * 101, "\u202e", "STATE", "NBIRTH", "DDEATH"]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The value with something else at one place; the value itself stays."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(copy[path[0]], path[1:], new)
    return copy


def spoiled_value(dice: random.Random, value: Any) -> Any:
    ways: list[Any] = [dice.choice(_STRANGE), [value], {"a": value, "value": value, "0": value}, [value, value]]
    if isinstance(value, dict):
        ways += [list(value.values()), dict(zip(value, reversed(list(value.values())), strict=True))]
    elif isinstance(value, list):
        ways += [{str(i): one for i, one in enumerate(value)}, value * 50]
    elif type(value) in (int, float):
        ways += [str(value), value * 1e9, -value]
    return dice.choice(ways)


def spoiled_json(dice: random.Random, value: Any) -> bytes:
    for _ in range(dice.choice([1, 1, 1, 2, 4])):
        spots = list(places(value))
        path = dice.choice(spots)
        parent = at(value, path[:-1])
        if path and isinstance(parent, dict) and dice.random() < 0.2:
            value = put(value, path[:-1], {key: one for key, one in parent.items() if key != path[-1]})
        elif dice.random() < 0.1:
            value = put(value, path, at(value, dice.choice(spots)))
        else:
            value = put(value, path, spoiled_value(dice, at(value, path)))
    return json.dumps(value, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")


def spoiled_bytes(dice: random.Random, payload: bytes) -> bytes:
    raw = bytearray(payload)
    for _ in range(dice.choice([1, 1, 2, 3, 8])):
        place, other = sorted((dice.randrange(len(raw) + 1), dice.randrange(len(raw) + 1)))
        match dice.randrange(6):
            case 0 if raw:
                raw[place % len(raw)] ^= 1 << dice.randrange(8)
            case 1:
                del raw[place:]
            case 2:
                raw[place:place] = raw[place:other]
            case 3:
                raw[place:place] = dice.choice(_INSERTED)
            case 4:
                del raw[place:other]
            case 5 if raw:
                raw[place % len(raw)] = dice.choice([0, 1, 0x7F, 0x80, 0xFF, 0x20])
    return bytes(raw)


def spoiled(dice: random.Random, message: Message) -> Message:
    topic, payload = message
    if dice.random() < 0.1:
        levels = topic.split("/")
        levels[dice.randrange(len(levels))] = dice.choice(_LEVELS)
        topic = "/".join(levels)
    value = _json_of(payload)
    if value is None or dice.random() < 0.25:
        return topic, spoiled_bytes(dice, payload)
    return topic, spoiled_json(dice, value)


def _json_of(payload: bytes) -> Any:
    try:
        value = json.loads(payload)
    except ValueError:
        return None
    return value if isinstance(value, dict | list) else None


@pytest.mark.parametrize("who", ["strangers", "registered"])
def test_spoiled_samples_of_all_profiles(gateways: Gateways, who: str) -> None:
    dice = random.Random(who)  # a text gives the same dice everywhere
    decoder: Decoder = getattr(gateways, who)
    now, taken = NOW, 0
    for i in range(MESSAGES):
        message = spoiled(dice, dice.choice(gateways.samples))
        now += dice.choice([0, 1, 1000, -1000])
        taken += isinstance(decoded(decoder, message, now, dice.random() < 0.1), list)
        if i % 1000 == 0:
            decoder.tick(now)
            msgspec.msgpack.encode(list(decoder.memory.changes().items()))
            decoder.memory.commit()
    assert taken > MESSAGES // 10, "the spoiling spoils too much to find anything"


# --- a mebibyte ------------------------------------------------------------------------------------------------------


def _longest(part: bytes, around: int = 0) -> int:
    return (LARGEST_PAYLOAD - around - 64) // len(part)


Made = Callable[[], bytes]
"""A payload of a mebibyte is made when it is its turn: most are not chosen."""


def swollen_json(value: Any) -> Iterator[Made]:
    """The same message with one of its parts grown to the largest payload there can be, part by part."""
    whole = len(msgspec.json.encode(value))
    for path in list(places(value))[:12]:
        for grow in _growths(at(value, path), whole):
            yield lambda path=path, grow=grow: msgspec.json.encode(put(value, path, grow()))


def _growths(found: Any, whole: int) -> Iterator[Callable[[], Any]]:
    if isinstance(found, dict):
        keys = min(90_000, _longest(b'"k00000":1,', whole))
        yield lambda: {**found, **{f"k{i:05}": 1 for i in range(keys)}}
        yield lambda: [found] * min(2048, _longest(msgspec.json.encode(found) + b",", whole))
    elif isinstance(found, list) and found:
        yield lambda: [found[0]] * min(2048, _longest(msgspec.json.encode(found[0]) + b",", whole))
        yield lambda: [*[{}] * 30_000, *found]
    elif isinstance(found, str):
        yield lambda: found + "9" * (LARGEST_PAYLOAD - whole - 64)
    else:
        yield lambda: [1] * 90_000


def swollen_bytes(payload: bytes) -> Iterator[Made]:
    middle = len(payload) // 2
    for part in (b"\0", b"\xff", b" ", b"\n", b"1,", b"a=1 ", b"<a>", b'"', b"A" * 64, b"\x01"):
        for before, behind in ((payload, b""), (payload[:middle], payload[middle:]), (b"", b"")):
            yield partial(_between, before, part, _longest(part, len(payload)), behind)
    yield lambda: (payload * (LARGEST_PAYLOAD // max(1, len(payload))))[:LARGEST_PAYLOAD]


def _between(before: bytes, part: bytes, count: int, behind: bytes) -> bytes:
    return before + part * count + behind


def quickest(decoder: Decoder, message: Message, enough: float, runs: int = 5) -> float:
    best = float("inf")
    for _ in range(runs):
        mark = decoder.memory.mark()
        begun = time.thread_time()  # what others do on this machine does not count
        try:
            decoder.decode(*message, NOW)
        except DecodeError as error:
            assert error.code != "internal", error
        best = min(best, time.thread_time() - begun)
        decoder.memory.undo(mark)
        if best < enough:
            break
    return best


def test_no_swollen_sample_takes_long(gateways: Gateways) -> None:
    """One sample of each form of topics."""
    dice = random.Random("swollen")
    slow: list[tuple[float, str, bytes]] = []
    seen: set[tuple[str, ...]] = set()
    for topic, payload in dice.sample(gateways.samples, len(gateways.samples)):
        form = (topic.split("/")[0], topic.split("/")[-1], str(len(payload) // 256))
        if form in seen:
            continue
        seen.add(form)
        value = _json_of(payload)
        grown = list(swollen_bytes(payload) if value is None else swollen_json(value))
        for make in dice.sample(grown, min(3, len(grown))):
            large = make()
            spent = quickest(gateways.registered, (topic, large), SLOWEST_SECONDS)
            if spent > SLOWEST_SECONDS * ROOM:
                slow.append((spent, topic, large[:100]))
    assert not slow, sorted(slow)[-5:]


def _points(devices: int, points: int, values: int) -> bytes:
    point = {"ts": NOW, "values": {f"k{i}": 1 for i in range(values)}}
    return msgspec.json.encode({f"P{i}": [point] * points for i in range(devices)})


WORST: dict[str, Message] = {
    "points of many children": ("v1/gateway/telemetry", _points(1, 2048, 40)),
    "devices, points and children": ("v1/gateway/telemetry", _points(40, 20, 80)),
    "children of one point": ("v1/gateway/telemetry", _points(1, 1, 80_000)),
    "bindings that all begin with JSON": (
        "v3/yard@ttn/devices/x/up",
        msgspec.json.encode([{"uplink_message": {"frm_payload": "A4L0AQQAAA==", "rx_metadata": [{}] * 10}}] * 9000),
    ),
    "blanks before XML": ("hik/nvr-2/event", b"\n" * (LARGEST_PAYLOAD - 64)),
    "JSON in JSON": ("tele/x/SENSOR", b'{"a":' * 170_000),
    "quotes": ("tele/x/SENSOR", b'{"a":"' + b'\\"' * 500_000),
    "nan": ("tele/x/SENSOR", b"{" + b'"a":nan,' * 8000 + b"}"),
    "nan without end": ("tele/x/SENSOR", b'{"' + b"nan " * 16_000),
    "numbers": ("tele/x/SENSOR", b"[" + b"1e300," * 90_000 + b"1]"),
}


@pytest.mark.parametrize("name", WORST)
def test_the_worst_that_was_found(gateways: Gateways, name: str) -> None:
    assert len(WORST[name][1]) <= LARGEST_PAYLOAD
    assert quickest(gateways.registered, WORST[name], SLOWEST_SECONDS, runs=8) < SLOWEST_SECONDS * ROOM
    tracemalloc.start()
    try:
        quickest(gateways.registered, WORST[name], 0, runs=1)
        spent = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert spent < MOST_MEMORY


# --- floods ----------------------------------------------------------------------------------------------------------


def test_made_up_addresses_are_counted_out(gateways: Gateways) -> None:
    decoder = Decoder([gateways.profiles["tasmota"]], Registry("1", []))
    codes = [_code(decoder, (f"tele/n{n}/SENSOR", b'{"ENERGY":{"Total":1.5}}')) for n in range(MOST_STRANGERS + 50)]
    assert codes[-50:] == ["too_many"] * 50
    assert len(decoder.memory) <= 4 * MOST_STRANGERS
    assert len(decoder.stamps) == MOST_STRANGERS


def test_births_of_made_up_nodes_take_bounded_memory(gateways: Gateways) -> None:
    """5,000 nodes of 2,000 names each, which is what a day allows, would be gigabytes."""
    birth = Payload(seq=0, timestamp=NOW)
    for i in range(2000):
        birth.metrics.add(name=f"m{i}".ljust(60, "x"), alias=i, datatype=3, int_value=1)
    raw = birth.SerializeToString()
    decoder = Decoder([gateways.profiles["sparkplug_b"]], Registry("1", []))
    for n in range(80):
        assert isinstance(decoder.decode(f"spBv1.0/g/NBIRTH/n{n}", raw, NOW + n), list)
        decoder.memory.commit()
    births = [value for _, value in decoder.memory.of_kind("sparkplug")]
    assert 0 < sum(size_of(one) for one in births) <= MOST_BYTES
    assert len(births) < 80


def _code(decoder: Decoder, message: Message) -> str:
    found = decoded(decoder, message, NOW)
    return found.code if isinstance(found, DecodeError) else ""
