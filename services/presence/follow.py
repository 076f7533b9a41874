"""What readings and verdicts do to a device's presence as services remember it. No clock, no SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.presence import Contact, Liveness, PresenceState, Voices, hear_child, is_down
from gateway.presence import hear as hear_word
from gateway.reading import Millis, Presence, Reading, child_kind

if TYPE_CHECKING:
    from services.rules.state import ChildState, DeviceState

_NOBODY = Voices()


def hear(device: DeviceState, state: ChildState, reading: Reading) -> None:
    """A reading's words and signs of life, for the device and for its child; a child's word is not its device's."""
    received, said = reading.received_at, reading.presence
    if said is Presence.UNSAID and not device.said:
        _sign_of_life(device, state, reading)  # nearly every message
        return
    voices = device.profile.voices if device.profile is not None else _NOBODY
    if not reading.child:
        before = Contact(device.heard_at, device.said)
        device.heard_at, device.said = hear_word(before, reading, received, voices.standing)
        state.heard_at = device.heard_at
        return
    if said is not Presence.UNSAID:
        state.said = hear_child(state.said, reading, voices.farewells.get(child_kind(reading.child), ()))
    if said is Presence.OFFLINE:
        return  # a child that goes is no word about its device's own session
    _sign_of_life(device, state, reading)
    if device.said and not reading.retained:
        # Its device speaks with it; the child's own word stays with the child.
        gone = Presence.OFFLINE
        device.said = {one: word for one, word in device.said.items() if word is not gone or one in voices.standing}


def _sign_of_life(device: DeviceState, state: ChildState, reading: Reading) -> None:
    if reading.retained:
        return
    received = reading.received_at
    if device.heard_at is None or received > device.heard_at:
        device.heard_at = received
    if state.heard_at is None or received > state.heard_at:
        state.heard_at = received


def settle(device: DeviceState, found: PresenceState, progress: Millis | None) -> bool:
    """Keep a verdict; whether the liveness has changed, and with it what rules see."""
    if found.liveness == device.liveness and found.reason == device.reason:
        return False
    changed = found.liveness != device.liveness
    was_down, down = device.down_since is not None, is_down(found)
    if down and not was_down:
        device.down_since = progress
    elif was_down and found.liveness in (Liveness.ONLINE, Liveness.STALE):
        device.down_since, device.back_since = None, progress
    device.liveness, device.reason, device.since = found.liveness.value, found.reason.value, progress
    return changed


def rewind(device: DeviceState, to: Millis) -> None:
    """The gateway's clock was put right: nothing that is remembered happened later than `to`."""
    for name in ("since", "down_since", "back_since"):
        at: Millis | None = getattr(device, name)
        if at is not None:
            setattr(device, name, min(at, to))
