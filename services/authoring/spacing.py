"""How often a device speaks, told from the times of its messages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median

from services.authoring.capture import Message
from services.authoring.sheet import BindingDraft, Sheet

_LEAST_PERIOD = 10.0
_PERIODS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


def set_periods(sheet: Sheet, topics: Sequence[str], heard: Mapping[str, list[Message]]) -> None:
    """How often a device speaks: the usual gap on its busiest topic, rounded up to what people say."""
    gaps = [gap for topic in topics if (gap := _gap(heard.get(topic, []))) is not None]
    if not gaps:
        sheet.availability = {"period": "5m"}
        sheet.availability_notes = ["the period: the capture is too short to tell"]
        return
    # Who is silent for a second or two is not gone.
    sheet.availability = {"period": spoken(max(min(gaps), _LEAST_PERIOD))}
    sheet.availability_notes = [f"from the spacing of the messages, {min(gaps):.0f} s on the busiest topic"]
    slowest = {
        binding.topic: gap for binding in sheet.bindings if (gap := _slowest(binding, topics, heard)) is not None
    }
    for binding in sheet.bindings:
        if binding.topic in slowest and not binding.presence:
            for name in [*binding.fields, *(name for each in binding.each for name in each.fields)]:
                if name in sheet.metrics and not sheet.metrics[name].period:
                    sheet.metrics[name].period = spoken(slowest[binding.topic])


def _slowest(binding: BindingDraft, topics: Sequence[str], heard: Mapping[str, list[Message]]) -> float | None:
    pattern = re.compile(
        "/".join(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(level)) for level in binding.topic.split("/"))
    )
    gaps = [gap for topic in topics if pattern.fullmatch(topic) and (gap := _gap(heard.get(topic, []))) is not None]
    return max(gaps) if gaps else None


def _gap(messages: Sequence[Message]) -> float | None:
    """Seconds between messages on one topic; None where there are too few to tell."""
    times = sorted(message.received_at for message in messages if not message.retained)
    gaps = [(b - a) / 1000 for a, b in pairwise(times)]
    return median(gaps) if len(gaps) >= 2 else None


def spoken(seconds: float) -> str:
    """The next round time: 9.8 -> `10s`, 61 -> `1m`, 290 -> `5m`."""
    rounded = next((one for one in _PERIODS if seconds <= one * 1.1), _PERIODS[-1])
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if rounded % size == 0:
            return f"{rounded // size}{unit}"
    return f"{rounded}s"
