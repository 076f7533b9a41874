"""Which answer is to which command, and what has been measured since one was sent. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gateway.reading import Millis, Value
from services.clock import to_millis
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
    after = to_millis(since)
    has_clock = device.last_measured != device.last_received

    def newer(state: Any) -> dict[str, Value]:
        if state is None:
            return {}
        return {
            name: value
            for name, value in state.values.items()
            if _end_of(state.times.get(name, 0), has_clock) > after and name not in state.flags
        }

    found = values_since(watched.names, newer(own), newer(top))
    if "presence" in watched.names:
        found["presence"] = device.presence_of(live.child)
    return found


def _end_of(measured: Millis, has_clock: bool) -> Millis:
    """The latest that it may have been. Many devices tell whole seconds: it may be newer by the rest of that second."""
    return measured + 999 if has_clock and measured % 1000 == 0 else measured


def effect_shown(live: Live, device: DeviceState, since: datetime) -> dict[str, Any] | None:
    """What shows the effect, of what has been measured since; None where nothing does. Shapes as in `told`."""
    watched = live.watched
    if watched is None:
        return None
    seen = measured_after(live, watched, device, since)
    if not seen.keys() - {"presence"}:
        return None  # it has not said anything since
    holds = watched.condition({**device.params, **live.params, **seen}, lambda _: None)
    return told(seen) if holds is True else None


def told(values: Mapping[str, Value]) -> dict[str, Any]:
    """What is known of it, for the history."""
    return {name: value for name, value in values.items() if value is not None}
