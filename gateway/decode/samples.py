"""A profile proves itself: each of its samples must become the readings it says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from device_profiles.schema import DeviceProfile, Earlier, Sample, Scalar
from gateway.decode.decoder import Decoder
from gateway.decode.errors import DecodeError
from gateway.decode.routes import Device
from gateway.decode.times import millis
from gateway.reading import DeviceEntry, Event, Reading, Registry, provisional_address, provisional_id

SAMPLE_RECEIVED_AT = 1_900_000_000_000
"""Samples carry times of the past; they are received in 2030, so that no clock looks as if it ran ahead."""
_NEAR = 1e-6
_PARTS = frozenset({"events", "replies"})


def check_samples(profile: DeviceProfile) -> list[str]:
    """What failed, in words; empty when every sample becomes what the profile says."""
    try:
        strangers = Decoder([profile], Registry("samples", _entries(profile)))
    except ValueError as error:
        return [f"expected bindings that compile, found: {error}"]
    out: list[str] = []
    for sample in profile.samples:
        if sample.said is not None:
            continue  # a command: gateway.commands.samples
        registered = sample.registered or bool(sample.params)
        decoder = _Registered(profile, sample.params) if registered else strangers
        out += [f"sample {sample.name!r}: {failure}" for failure in _failures(decoder, sample)]
    return out


class _Registered(Decoder):
    """A gateway on which every device of the profile stands in a site file, with these params."""

    def __init__(self, profile: DeviceProfile, params: Mapping[str, Scalar]) -> None:
        self._params = {**{name: param.default for name, param in profile.params.items()}, **params}
        super().__init__([profile], Registry("samples", []))

    def known_device(self, profile: str, address: str) -> Device | None:
        return Device(provisional_id(profile, address), UTC, True, self._params)


def _entries(profile: DeviceProfile) -> list[DeviceEntry]:
    """Bindings that take registered devices only: those that the samples name stand in a site file."""
    if not any(binding.registered_only for binding in profile.bindings):
        return []
    named = {expected.get("address") for sample in profile.samples for expected in sample.expect}
    return [
        DeviceEntry(provisional_id(profile.id, one), profile.id, one, "samples")
        for one in named
        if isinstance(one, str)
    ]


def sample_payload(sample: Sample | Earlier) -> bytes:
    """The bytes of a sample; raises ValueError."""
    if (sample.text is None) == (sample.hex is None):
        raise ValueError("expected text or hex, found " + ("neither" if sample.text is None else "both"))
    return sample.text.encode() if sample.text is not None else bytes.fromhex(sample.hex or "")


def sample_readings(decoder: Decoder, sample: Sample) -> list[Reading]:
    """What a sample becomes after what came before it, a second apart, on a decoder that remembers nothing else.
    Raises DecodeError, and ValueError for a sample that is none."""
    decoder.forget()
    for i, earlier in enumerate(sample.before):
        received_at = SAMPLE_RECEIVED_AT - 1000 * (len(sample.before) - i)
        try:
            decoder.decode(earlier.topic, sample_payload(earlier), received_at, earlier.retained)
        except DecodeError as error:
            raise ValueError(f"expected a message before it that can be decoded, found the error {error}") from error
    return decoder.decode(sample.topic, sample_payload(sample), SAMPLE_RECEIVED_AT, sample.retained)


def _failures(decoder: Decoder, sample: Sample) -> list[str]:
    try:
        readings = sample_readings(decoder, sample)
    except ValueError as error:
        return [str(error)]
    except DecodeError as error:
        if sample.error is None:
            return [f"found the error {error}, expected {len(sample.expect)} readings"]
        return [] if sample.error in str(error) else [f"found the error {error}, expected one with {sample.error!r}"]
    if sample.error is not None:
        return [f"found {len(readings)} readings, expected an error with {sample.error!r}"]
    if len(readings) != len(sample.expect):
        return [f"found {len(readings)} readings ({_names(readings)}), expected {len(sample.expect)}"]
    return [
        f"reading {i + 1} ({reading.child or 'device'}): {failure}"
        for i, (reading, expected) in enumerate(zip(readings, sample.expect, strict=True))
        for failure in _differences(facts(reading), expected)
    ]


def facts(reading: Reading) -> dict[str, Any]:
    """A reading as samples speak of it."""
    named = provisional_address(reading.device)
    return {
        "address": reading.device if named is None else named[1],
        "child": reading.child,
        "measured_at": reading.measured_at,
        "binding": reading.binding,
        "values": dict(reading.values),
        "events": [_event(event) for event in reading.events],
        "quality": reading.quality.value,
        "flags": {name: quality.value for name, quality in reading.flags.items()},
        "presence": reading.presence.value,
        "retained": reading.retained,
        "replies": [
            {"command": reply.command, "correlation": reply.correlation, "ok": reply.ok, "result": reply.result}
            for reply in reading.replies
        ],
    }


def _event(event: Event) -> dict[str, Any]:
    lasts = {"phase": event.phase, "key": event.key}
    return {"id": event.id, "data": dict(event.data), **{name: word for name, word in lasts.items() if word}}


def _differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    out: list[str] = []
    for key, wanted in expected.items():
        if key not in found:
            out.append(f"expected one of {', '.join(found)}, found the key {key!r}")
        elif not (_same_parts if key in _PARTS else _same)(found[key], _readable(key, wanted)):
            out += _told_apart(key, found[key], wanted)
    return out


def _told_apart(key: str, found: Any, wanted: Any) -> list[str]:
    """What differs; of values and flags only those that do, for there may be dozens."""
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        same = {name for name in found.keys() & wanted.keys() if _same(found[name], wanted[name])}
        found, wanted = ({name: one for name, one in some.items() if name not in same} for some in (found, wanted))
    return [f"{key}: found {found!r}, expected {wanted!r}"]


def _readable(key: str, wanted: Any) -> Any:
    """Samples may write an event as its id alone, and a time as people write it."""
    if key == "events" and isinstance(wanted, list | tuple):
        return [{"id": event} if isinstance(event, str) else event for event in wanted]
    if key == "measured_at" and isinstance(wanted, str):
        wanted = datetime.fromisoformat(wanted)
    if key == "measured_at" and isinstance(wanted, datetime):
        return millis(wanted if wanted.tzinfo else wanted.replace(tzinfo=UTC))
    return wanted


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, bool) or isinstance(found, bool):
        return found is wanted
    if isinstance(wanted, int | float) and isinstance(found, int | float):
        return math.isclose(found, wanted, rel_tol=_NEAR, abs_tol=_NEAR)
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return _same_mapping(found, wanted)
    if isinstance(wanted, Sequence) and isinstance(found, Sequence) and not isinstance(wanted, str):
        return len(found) == len(wanted) and all(_same(f, w) for f, w in zip(found, wanted, strict=True))
    return bool(found == wanted)


def _same_parts(found: Any, wanted: Any) -> bool:
    """Events and replies: all of them, of each what is said."""
    if not isinstance(wanted, list | tuple) or len(found) != len(wanted):
        return False
    return all(
        isinstance(w, Mapping) and all(key in f and _same(f[key], value) for key, value in w.items())
        for f, w in zip(found, wanted, strict=True)
    )


def _same_mapping(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Values and flags must be complete."""
    return found.keys() == wanted.keys() and all(_same(found[key], wanted[key]) for key in wanted)


def _names(readings: Sequence[Reading]) -> str:
    return ", ".join(reading.child or "device" for reading in readings)
