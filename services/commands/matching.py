"""Which answer is to which command, and what has been measured since one was sent. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gateway.reading import Value
from services.commands.lifecycle import State
from services.commands.outstanding import Live, Watched, values_since
from services.rules.state import DeviceState


def is_meant(live: Live, correlation: str) -> bool:
    """Whether an answer that names this is to this command."""
    if correlation == live.id:
        return True
    return correlation.isascii() and correlation.isdigit() and len(correlation) < 7 and int(correlation) == live.nonce


def was_fetched(live: Live) -> bool:
    """Whether it may have been said: numbers can be guessed, and others count their commands too."""
    return live.life.state is not State.QUEUED or live.life.handed_at is not None or live.life.attempt > 1


def awaits_answer(live: Live) -> bool:
    """Whether an answer that names nothing can be to it."""
    handed = live.life.state is State.QUEUED and live.life.handed_at is not None
    return handed or live.life.state is State.SENT


def measured_after(live: Live, watched: Watched, device: DeviceState, since: datetime) -> dict[str, Value]:
    """The watched values that are newer and can be trusted."""
    own, top = device.children.get(live.child), device.children[""]
    after = since.timestamp() * 1000

    def newer(state: Any) -> dict[str, Value]:
        if state is None:
            return {}
        return {
            name: value
            for name, value in state.values.items()
            if state.times.get(name, 0) > after and name not in state.flags
        }

    found = values_since(watched.names, newer(own), newer(top))
    if "presence" in watched.names:
        found["presence"] = device.presence_of(live.child)
    return found


def told(values: Mapping[str, Value]) -> dict[str, Any]:
    """What is known of it, for the history."""
    return {name: value for name, value in values.items() if value is not None}
