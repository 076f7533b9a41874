"""From captured messages to a draft profile that loads."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from device_profiles.schema import DeviceProfile
from services.authoring import identity, ids, payloads, sparkplug
from services.authoring.bindings import draft_pattern
from services.authoring.capture import Message
from services.authoring.discovery import announced
from services.authoring.proof import prove
from services.authoring.shapes import Shape, clusters, name_slots, shapes_of
from services.authoring.sheet import Sheet
from services.authoring.spacing import set_periods


class Wanted(NamedTuple):
    """What the person has said; empty is left to the capture."""

    profile: str = ""
    family: str = ""
    zh: str = ""
    en: str = ""
    source: str = ""


@dataclass(frozen=True)
class Draft:
    """A drafted profile: its YAML, what it loads as, and what was made of the capture."""

    text: str
    profile: DeviceProfile
    sheet: Sheet
    understood: int
    """Messages of the drafted kind that decode."""
    silent: int
    """Of these, how many give no value, event or presence."""
    heard: int
    """Messages of the drafted kind."""
    others: dict[str, int]
    """Topics of other kinds of devices in the capture -> how many messages; each wants a profile of its own."""


class NothingToDraft(ValueError):
    """The capture holds nothing that a profile could be made of."""


def draft(messages: Sequence[Message], wanted: Wanted) -> Draft:
    """Draft a profile of the kind of device that says most. Raises NothingToDraft."""
    said = announced(messages)
    heard: dict[str, list[Message]] = defaultdict(list)
    for message in messages:
        if message.topic not in said.topics and not _is_command(message.topic):
            heard[message.topic].append(message)
    leaves = {topic: payloads.leaf_of([one.payload for one in of]) for topic, of in heard.items()}
    leaves |= {entity.topic: frozenset({"text"}) for entity in said.entities if entity.topic not in leaves}
    if not leaves:
        raise NothingToDraft("the capture has no message that a device said about itself")
    groups = sorted(
        clusters(shapes_of(leaves, identity.named_in_payloads(heard))), key=lambda group: -_weight(group, heard)
    )
    sheet = _sheet(wanted, groups[0], messages)
    sheet.announced = said
    for topic in sorted({message.topic for message in messages if _is_command(message.topic)})[:10]:
        sheet.leave_out(f"{topic}: said to the device, not by it (see `commands`)")
    _draft_bindings(sheet, groups[0], heard)
    others = {_example(group): _weight(group, heard) for group in groups[1:]}
    mine = sorted(
        (one for topic in _topics(groups[0]) for one in heard.get(topic, [])), key=lambda one: one.received_at
    )
    if not sheet.bindings:
        raise NothingToDraft(
            f"nothing in the capture could be understood: {'; '.join(sheet.left_out) or 'it is empty'}"
        )
    sheet.tell_apart()
    text, profile, understood, silent = prove(sheet, mine)
    return Draft(text, profile, sheet, understood, silent, len(mine), others)


def _is_command(topic: str) -> bool:
    levels = topic.lower().split("/")
    return levels[-1] in ids.SAID_TO_DEVICES or levels[0] in ids.SAID_TO_DEVICES


def _topics(group: Sequence[Shape]) -> list[str]:
    return sorted(topic for shape in group for topic in shape.topics)


def _weight(group: Sequence[Shape], heard: Mapping[str, Sequence[Message]]) -> int:
    return sum(len(heard.get(topic, ())) for topic in _topics(group))


def _example(group: Sequence[Shape]) -> str:
    """A filter that hears these topics: their common beginning."""
    levels = [shape.levels for shape in group]
    common: list[str] = []
    for column in zip(*levels, strict=False):
        if len(set(map(str, column))) > 1 or not isinstance(column[0], str):
            break
        common.append(column[0])
    whole = len(group) == 1 and len(common) == len(levels[0])
    return "/".join(common if whole else [*common, "#"])


# --- names ----------------------------------------------------------------------------------------------------------

_FAMILIES = (
    ("water_pump", "pump pumps booster outlet inlet"),
    ("ebike_charger", "charger charging evcs ebike chargepoint port"),
    ("access_gate", "gate gates door doors access lock"), ("camera", "camera cameras frigate onvif"),
    ("sump_pump", "sump drain"), ("lift", "lift lifts elevator elevators"), ("barrier", "barrier parking"),
    ("meter", "meter meters energy emeter kwh"), ("environment", "temperature humidity sensor env climate"),
    ("switch", "switch relay plug light"),
)  # fmt: skip


def _sheet(wanted: Wanted, group: Sequence[Shape], messages: Sequence[Message]) -> Sheet:
    topics = [pattern.topic for pattern in name_slots(group)]
    levels = [level.partition("{")[0].rstrip("-_:") for topic in topics for level in topic.split("/")]
    literals = [level for level in levels if level and level != "$state"]
    words = Counter(word for level in literals for word in ids.identifier(level, "").split("_"))
    family = wanted.family or next((name for name, known in _FAMILIES if set(words) & set(known.split())), "device")
    own = [level for level in literals if level.lower() not in ids.WORDS]
    profile = wanted.profile or ids.identifier(f"{own[0]}_{family}" if own else f"my_{family}", "my_device")
    en = wanted.en or profile.replace("_", " ").capitalize()
    day = datetime.fromtimestamp(messages[0].received_at / 1000, UTC).date()
    many = "one message" if len(messages) == 1 else f"{len(messages)} messages"
    source = wanted.source or f"drafted from {many} captured on {day}"
    return Sheet(profile, ids.identifier(family, "device"), wanted.zh or wanted.en or en, en, source=source)


def _draft_bindings(sheet: Sheet, group: Sequence[Shape], heard: Mapping[str, list[Message]]) -> None:
    topics = _topics(group)
    if topics[0].startswith(sparkplug.NAMESPACE):
        sparkplug.draft_bindings(sheet, [one for topic in topics for one in heard.get(topic, [])])
    else:
        mine = {topic: heard[topic] for topic in topics if topic in heard}
        patterns = name_slots(group, in_payload=len(mine) == len(topics) and identity.only_in_payloads(mine))
        for pattern in sorted(patterns, key=lambda pattern: pattern.topic):
            draft_pattern(sheet, pattern, heard)
    sheet.bindings.sort(key=lambda binding: not (binding.presence or binding.says))
    if sheet.announced.makers:
        sheet.vendor = sheet.announced.makers[0][:80]
    for template in sheet.announced.not_understood():
        sheet.leave_out(f"the value template {template}")
    set_periods(sheet, topics, heard)
