"""A draft proves itself: it loads, it decodes what was captured, and its samples are taken from that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from device_profiles.library import load_text
from device_profiles.schema import DeviceProfile, Sample
from gateway.decode import DecodeError, Decoder
from gateway.decode.samples import SAMPLE_RECEIVED_AT, check_samples, facts
from gateway.reading import Reading, Registry
from services.authoring import sparkplug
from services.authoring.capture import Message, plain_text
from services.authoring.sheet import SampleDraft, Sheet
from services.authoring.yaml_out import written

_LARGEST_SAMPLE = 6000
_SAMPLES_EACH = 2


def prove(sheet: Sheet, messages: Sequence[Message]) -> tuple[str, DeviceProfile, int, int]:
    """Load the draft, let it decode what was captured, and take samples from that.

    Returns (YAML, what it loads as, how many messages decode, how many of these say nothing but that they came);
    why others do not is said in the sheet.
    """
    profile = load_text(written(sheet), Path(f"{sheet.profile}.yaml"))
    decoder = Decoder([profile], Registry("draft", []))
    taken: Counter[str] = Counter()
    faces: set[tuple[str, str]] = set()
    understood = silent = 0
    births: dict[str, Message] = {}
    for message in messages:
        try:
            readings = decoder.decode(message.topic, message.payload, message.received_at, message.retained)
        except DecodeError as error:
            if message not in sheet.misfits:
                _say_why(sheet, message, error)
            continue
        understood += 1
        silent += not any(one.values or one.events or one.presence.value for one in readings)
        if sparkplug.is_birth(message.topic):
            births[sparkplug.node_of(message.topic)] = message
        if (
            readings
            and (face := _face(readings)) not in faces
            and taken[readings[0].binding] < _most(sheet, readings[0])
        ):
            before = (
                births.get(sparkplug.node_of(message.topic)) if message.topic.startswith(sparkplug.NAMESPACE) else None
            )
            if (sample := _sample(sheet, profile, message, taken[readings[0].binding], before)) is not None:
                sheet.samples.append(sample)
                faces.add(face)
                taken[readings[0].binding] += 1
    text = written(sheet)
    return text, load_text(text, Path(f"{sheet.profile}.yaml")), understood, silent


def _most(sheet: Sheet, reading: Reading) -> int:
    binding = next((one for one in sheet.bindings if one.id == reading.binding), None)
    return len(binding.events) or _SAMPLES_EACH if binding else _SAMPLES_EACH


def _face(readings: Sequence[Reading]) -> tuple[str, str]:
    """Messages that give the same names of values in the same number of readings look alike."""
    first = readings[0]
    names = sorted({name for reading in readings for name in reading.values})
    events = sorted({event.id for reading in readings for event in reading.events})
    return first.binding, f"{len(readings)} {names} {first.presence.value} {events}"


def _say_why(sheet: Sheet, message: Message, error: DecodeError) -> None:
    why = f"{error.code}, found {error.found[:80]}, expected {error.expected[:80]}"
    where = f"binding {error.binding}" if error.binding else message.topic
    if sum(one.startswith(where) for one in sheet.left_out) < 3:
        sheet.leave_out(f"{where}: a message did not decode: {why}")


def _sample(
    sheet: Sheet, profile: DeviceProfile, message: Message, number: int, before: Message | None
) -> SampleDraft | None:
    """The message with what the draft makes of it; None where it does not become the same when it is tried again."""
    if len(message.payload) > _LARGEST_SAMPLE:
        return None
    earlier = [_body(before)] if before is not None and before is not message else []
    body = _body(message)
    bare = Sample.model_validate({"name": "x", **body, "before": earlier})
    decoder = Decoder([profile], Registry("draft", []))
    try:
        for one in earlier:
            raw = bytes.fromhex(one["hex"]) if "hex" in one else str(one["text"]).encode()
            decoder.decode(one["topic"], raw, SAMPLE_RECEIVED_AT - 1000, False)
        readings = decoder.decode(message.topic, message.payload, SAMPLE_RECEIVED_AT, message.retained)
    except DecodeError:
        return None
    if not readings:
        return None
    binding = next(one for one in sheet.bindings if one.id == readings[0].binding)
    expect = [_expected(reading, timed=binding.time is not None, first=i == 0) for i, reading in enumerate(readings)]
    name = f"{binding.id}" if number == 0 else f"{binding.id}, another"
    name = name if number < 2 else f"{binding.id}, number {number + 1}"
    proof = bare.model_copy(update={"expect": tuple(expect)})
    if check_samples(profile.model_copy(update={"samples": (proof,)})):
        return None
    text = body.get("text")
    return SampleDraft(name, message.topic, text, body.get("hex"), message.retained, expect, earlier)


def _body(message: Message) -> dict[str, Any]:
    text = plain_text(message.payload)
    said: dict[str, Any] = {"topic": message.topic}
    said |= {"hex": message.payload.hex()} if text is None or not text else {"text": text}
    return said | ({"retained": True} if message.retained else {})


def _expected(reading: Reading, *, timed: bool, first: bool) -> dict[str, Any]:
    said = facts(reading)
    out: dict[str, Any] = {"address": said["address"]} if first else {}
    out["child"] = said["child"]
    if first:
        out["binding"] = said["binding"]
        if timed:
            out["measured_at"] = said["measured_at"]
    for key in ("values", "flags", "presence"):
        if said[key] or (key == "values" and not reading.events and not said["presence"]):
            out[key] = said[key]
    if said["events"]:
        out["events"] = [{"id": one["id"], "data": one["data"]} for one in said["events"]]
    return out
