"""Drafting for Sparkplug B: births name the metrics, so that data need no guessing of topics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from services.authoring import payloads
from services.authoring.capture import Message
from services.authoring.fill import Filler
from services.authoring.sheet import BindingDraft, Sheet

NAMESPACE = "spBv1.0/"
_NODE, _DEVICE = "spBv1.0/{group}/{type}/{address}", "spBv1.0/{group}/{type}/{node}/{address}"


def is_birth(topic: str) -> bool:
    return topic.startswith(NAMESPACE) and topic.split("/")[2:3] == ["NBIRTH"]


def node_of(topic: str) -> str:
    """The edge node of a topic."""
    levels = topic.split("/")
    return f"{levels[1]}/{levels[3]}" if len(levels) > 3 else topic


def draft_bindings(sheet: Sheet, messages: Sequence[Message]) -> None:
    """Deaths, and births with data, of the edge node and of the devices behind it."""
    heard: dict[int, list[Message]] = defaultdict(list)
    for message in sorted(messages, key=lambda one: one.received_at):
        levels = message.topic.split("/")
        if len(levels) in (4, 5) and levels[2][1:] in ("BIRTH", "DATA", "DEATH"):
            heard[len(levels)].append(message)
        else:
            sheet.leave_out(f"{message.topic}: a command, or the state of a host")
    everything = [one for length in sorted(heard) for one in heard[length]]
    for length, topic, letter in ((4, _NODE, "N"), (5, _DEVICE, "D")):
        if heard[length]:
            _level(sheet, topic, letter, heard[length], everything)


def _level(sheet: Sheet, topic: str, letter: str, messages: list[Message], everything: list[Message]) -> None:
    what = "node" if letter == "N" else "device"
    node: dict[str, Any] = {"node": "{group}/{address}"} if letter == "N" else {"device": "{address}"}
    steps: list[payloads.Step] = [{"sparkplug_b": node}]
    death = BindingDraft(f"{what}_death", topic, steps, says="offline")
    death.when = [{"capture": "type", "equals": f"{letter}DEATH"}]
    sheet.bindings.append(death)
    data = BindingDraft(f"{what}_data", topic, steps, time={"path": "timestamp", "format": "unix_ms"})
    data.when = [{"capture": "type", "one_of": [f"{letter}BIRTH", f"{letter}DATA"]}]
    captures = {one.topic: _captures(one.topic, letter) for one in messages}
    living = [one for one in messages if not one.topic.split("/")[2].endswith("DEATH")]
    roots = [root for root in payloads.run(steps, living, captures) or [] if isinstance(root, dict)]
    values = [{"values": root["values"]} for root in roots if isinstance(root.get("values"), dict)]
    if not values and living:
        sheet.leave_out(f"{topic}: {len(living)} payloads that are no Sparkplug B")
    Filler(sheet, data, {one.topic for one in everything}, "value", frozenset()).fill(values, None, data.fields)
    if not data.fields:
        data.keepalive = True
    sheet.bindings.append(data)


def _captures(topic: str, letter: str) -> dict[str, str]:
    _, group, type_, node, *device = topic.split("/")
    if letter == "N":
        return {"group": group, "type": type_, "address": node}
    return {"group": group, "type": type_, "node": node, "address": device[0] if device else ""}
