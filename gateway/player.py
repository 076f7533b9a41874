"""One device played from the `simulator` section of its profile: the file that decodes its messages also plays them.

Pure: given a seed and the times it is asked for, a player always says the same.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from device_profiles.children import children_of
from device_profiles.schema import Binding, DeviceProfile, Fault, Obedience, Play, Scalar, Signal
from gateway.commands.encode import fill, filled
from gateway.commands.recognise import Heard, recognise
from gateway.decode.encode import encode
from gateway.reading import DeviceEntry, Millis, Presence, Value, child_kind

_FIRST_WORDS = timedelta(seconds=4)
_RAMP_STEP_MS = 2_000
_JITTER = 0.05


class Outgoing(NamedTuple):
    """One message to publish."""

    topic: str
    payload: bytes
    retain: bool = False
    qos: int = 1


class UnknownFault(ValueError):
    """No such fault, device or child; the text says what there is."""


@dataclass
class _Track:
    """One signal of one device or child as it goes along."""

    signal: Signal
    counter: bool
    value: float | int | str | bool
    at: Millis
    next_word_at: Millis


@dataclass(frozen=True)
class _Active:
    """A fault while it lasts."""

    fault: Fault
    since: Millis
    from_: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Obeyed:
    """A value that a command has set."""

    value: Value
    since: Millis
    until: Millis | None


class Player:
    """One device. Times are milliseconds since 1970 and only ever go forward."""

    def __init__(self, profile: DeviceProfile, entry: DeviceEntry, seed: int, started_at: Millis) -> None:
        self.entry = entry
        self.profile = profile
        self._dice = random.Random(f"{seed}/{entry.id}")
        self._zone = ZoneInfo(entry.timezone)
        self.children: tuple[str, ...] = tuple(children_of(profile, entry.params))
        self._tracks = {
            (child, name): self._track(profile, name, signal, started_at)
            for name, signal in profile.simulator.signals.items()
            for child in self._instances(_scope_of(profile, name))
        }
        self._active: dict[tuple[str, str], _Active] = {}
        self._obeyed: dict[tuple[str, str], _Obeyed] = {}
        self._due: list[tuple[Millis, int]] = []
        for i, play in enumerate(profile.simulator.plays):
            first = min(play.every, _FIRST_WORDS)
            heapq.heappush(self._due, (started_at + round(self._dice.random() * _ms(first)), i))
        self._spread: set[int] = set()
        self._born = False

    @property
    def next_at(self) -> Millis | None:
        """When it will say something next; None for a device that has nothing to say."""
        return self._due[0][0] if self._due else None

    @property
    def faults(self) -> Mapping[str, Fault]:
        return self.profile.simulator.faults

    # --- faults ------------------------------------------------------------------------------------------------------

    def inject(self, fault: str, child: str = "", *, now: Millis) -> list[Outgoing]:
        """Begin a fault, on the device or on one child (the first of its kind when none is named).

        The device reports the change at once; where it falls silent, its last will speaks. Raises UnknownFault.
        """
        found, child = self.find_fault(fault, child)
        from_ = {name: _number(self._value(child, name, now)) for name in found.ramp}
        before = self._silent
        self._active[(fault, child)] = _Active(found, now, from_)
        self._hasten(now)
        if found.silent:
            return [] if before else self._status(Presence.OFFLINE, now)
        return [] if before else self._push(found, child, now)

    def heal(self, fault: str, child: str = "", *, now: Millis) -> list[Outgoing]:
        """End a fault; healing one that is not there changes nothing. Raises UnknownFault."""
        found, child = self.find_fault(fault, child)
        self._active.pop((fault, child), None)
        self._hasten(now)
        return self._status(Presence.ONLINE, now) if found.silent and not self._silent else []

    def _push(self, fault: Fault, child: str, now: Millis) -> list[Outgoing]:
        """What no regular message carries (an alarm frame) is pushed once, by the binding that does carry it."""
        wanted = {*fault.set, *fault.ramp}
        kind = child_kind(child)
        regular = {play.binding for play in self.profile.simulator.plays}
        carried = [(binding.id, _carries(binding, kind)) for binding in self.profile.bindings]
        wanted -= {name for id, names in carried if id in regular for name in names}
        pusher = next((id for id, names in carried if wanted and wanted <= names), None)
        if pusher is None:
            return []
        return self._encoded(pusher, {child: {name: self._value(child, name, now) for name in wanted}}, now)

    @property
    def _silent(self) -> bool:
        return any(active.fault.silent for active in self._active.values())

    def find_fault(self, name: str, child: str = "") -> tuple[Fault, str]:
        """A fault of this device and the child it falls on. Raises UnknownFault."""
        fault = self.faults.get(name)
        if fault is None:
            known = ", ".join(self.faults) or "none"
            raise UnknownFault(f"{self.entry.id}: expected a fault of {self.profile.id} ({known}), found {name!r}")
        possible = self._instances(fault.scope)
        child = child or (possible[0] if possible else "")
        if child not in possible:
            known = ", ".join(possible) or "no child"
            raise UnknownFault(f"{self.entry.id}: expected {known} for {name}, found {child!r}")
        return fault, child

    def _hasten(self, now: Millis) -> None:
        """Equipment reports on change: whatever was due later is due now."""
        self._due = [(min(at, now), i) for at, i in self._due]
        heapq.heapify(self._due)

    # --- commands ----------------------------------------------------------------------------------------------------

    def obey(self, topic: str, payload: bytes, now: Millis, *, stamp: Millis | None = None) -> list[Outgoing] | None:
        """What it says to a command that is meant for it; None where it is not. A silent device does nothing."""
        heard = recognise(self.profile, topic, payload)
        if heard is None or not self._is_meant(heard):
            return None
        obedience = self.profile.simulator.commands.get(heard.command)
        if obedience is None or self._silent:
            return []
        if not any(active.fault.disobeys for (_, on), active in self._active.items() if on in ("", heard.child)):
            until = None if obedience.lasting is None else now + _ms(obedience.lasting)
            for name, value in obedience.set.items():
                child = heard.child if _scope_of(self.profile, name) else ""
                self._obeyed[child, name] = _Obeyed(_settled(value, heard.params), now, until)
        self._hasten(now)
        return [] if obedience.reply is None else self._answer(obedience, heard, now if stamp is None else stamp)

    def _is_meant(self, heard: Heard) -> bool:
        if heard.child and heard.child not in self.children:
            return False
        return str(heard.slots.get("address", self.entry.address)) == self.entry.address

    def _answer(self, obedience: Obedience, heard: Heard, stamp: Millis) -> list[Outgoing]:
        """The answer carries what the command said: its nonce, its part, its params."""
        values = {"address": self.entry.address, **heard.params, **heard.slots}
        play = Play(binding=obedience.reply or "", every=timedelta(0), raw=filled(obedience.raw, values))
        return self._encoded(play.binding, {"": {}, **({heard.child: {}} if heard.child else {})}, stamp, play)

    # --- messages ----------------------------------------------------------------------------------------------------

    def advance(self, now: Millis, *, stamp: Millis | None = None) -> list[Outgoing]:
        """Everything due by `now`, with `stamp` (default: `now`) as the time on the device's clock."""
        out = [] if self._born else self._status(Presence.ONLINE, now)
        self._born = True
        while self._due and self._due[0][0] <= now:
            _, i = heapq.heappop(self._due)
            play = self.profile.simulator.plays[i]
            if not self._silent:
                out += self._say(play, now, now if stamp is None else stamp)
            heapq.heappush(self._due, (now + self._pause(i, play, now), i))
        return out

    def _pause(self, i: int, play: Play, now: Millis) -> int:
        # Everything speaks in its first seconds; after that a site's devices spread over their periods.
        share = 1 + self._dice.uniform(-_JITTER, _JITTER) if i in self._spread else self._dice.uniform(0.3, 1)
        self._spread.add(i)
        usual = max(1, round(_ms(play.every) * share))
        return min(usual, _RAMP_STEP_MS) if self._ramping(now) else usual

    def _ramping(self, now: Millis) -> bool:
        """While values run away a device reports more often."""
        return any(
            now < active.since + _ms(duration)
            for active in self._active.values()
            for _, duration in active.fault.ramp.values()
        )

    def _say(self, play: Play, now: Millis, stamp: Millis) -> list[Outgoing]:
        values: dict[str, dict[str, Value]] = {child: {} for child in ("", *self.children)}
        for child, name in self._tracks:
            values[child][name] = self._value(child, name, now)
        for _, child in self._active:
            for name in self._forced(child):
                values[child][name] = self._value(child, name, now)
        return self._encoded(play.binding, values, stamp, play)

    def _encoded(
        self,
        binding: str,
        values: Mapping[str, Mapping[str, Value]],
        stamp: Millis,
        play: Play | None = None,
        presence: Presence = Presence.UNSAID,
    ) -> list[Outgoing]:
        messages = encode(
            self.profile,
            binding,
            self.entry.address,
            values,
            at=stamp,
            zone=self._zone,
            captures={"site": self.entry.site, **(play.captures if play else {})},
            raw=play.raw if play else {},
            presence=presence,
        )
        return [Outgoing(topic, payload, retain=presence is not Presence.UNSAID) for topic, payload in messages]

    def _status(self, presence: Presence, now: Millis) -> list[Outgoing]:
        """What its status topic (or the broker, as its last will) says; nothing where the profile has none."""
        for binding in self.profile.bindings:
            if not binding.presence or binding.each or presence.value not in binding.presence.values():
                continue
            try:
                return self._encoded(binding.id, {}, now, presence=presence)
            except ValueError:
                continue  # this one speaks for another kind of address
        return []

    # --- values ------------------------------------------------------------------------------------------------------

    def _instances(self, scope: str | None) -> list[str]:
        return [""] if scope is None else [child for child in self.children if child_kind(child) == scope]

    def _track(self, profile: DeviceProfile, name: str, signal: Signal, at: Millis) -> _Track:
        counter = name in profile.metrics and profile.metrics[name].kind == "counter"
        value = signal.start
        if signal.wander and not isinstance(value, str | bool):
            value = _within(signal, value + self._dice.uniform(-3, 3) * signal.wander)
        if signal.cycle:
            value = self._dice.choice(signal.cycle)
        return _Track(signal, counter, value, at, at + round(self._dice.random() * _ms(signal.hold)))

    def _forced(self, child: str) -> set[str]:
        return {
            name
            for (_, on), active in self._active.items()
            if on == child
            for name in (*active.fault.set, *active.fault.ramp)
        }

    def _value(self, child: str, name: str, now: Millis) -> Value:
        """What a metric or state is now: as the last command or fault has it, else where its signal has got to."""
        obeyed = self._obeyed.get((child, name))
        if obeyed is not None and obeyed.until is not None and now >= obeyed.until:
            obeyed = None
        for (_, on), active in reversed(self._active.items()):
            if on != child or (obeyed is not None and active.since <= obeyed.since):
                continue
            if name in active.fault.set:
                return active.fault.set[name]
            if name in active.fault.ramp:
                target, duration = active.fault.ramp[name]
                done = min(1.0, max(0.0, (now - active.since) / max(1, _ms(duration))))
                return round(active.from_[name] + (target - active.from_[name]) * done, 4)
        if obeyed is not None:
            return obeyed.value
        track = self._tracks.get((child, name))
        return None if track is None else self._signal_value(child, track, now)

    def _signal_value(self, child: str, track: _Track, now: Millis) -> Value:
        playing = self._playing(child, track.signal, now)
        if now > track.at:
            if playing:
                self._step(track, now)
            track.at = now
        if not playing and not track.counter:
            return track.signal.otherwise
        return round(track.value, 4) if isinstance(track.value, float) else track.value

    def _playing(self, child: str, signal: Signal, now: Millis) -> bool:
        for state, words in signal.while_.items():
            on = child if (child, state) in self._tracks else ""
            if self._value(on, state, now) not in words:
                return False
        return True

    def _step(self, track: _Track, now: Millis) -> None:
        signal = track.signal
        if signal.cycle:
            if now >= track.next_word_at:
                track.value = self._dice.choice(signal.cycle)
                track.next_word_at = now + _ms(signal.hold)
        elif not isinstance(track.value, str | bool):
            moved = track.value + signal.rate * (now - track.at) / 1000
            if signal.wander:
                moved += self._dice.uniform(-signal.wander, signal.wander)
            track.value = _within(signal, moved)


def _carries(binding: Binding, kind: str) -> set[str]:
    """The metrics and states of a device ("") or of a kind of child that a binding can carry."""
    if binding.ignore:
        return set()
    return (
        {name for each in binding.each if each.child == kind for name in each.fields} if kind else set(binding.fields)
    )


def _scope_of(profile: DeviceProfile, name: str) -> str | None:
    found = profile.metrics.get(name) or profile.states.get(name)
    if found is None:
        raise ValueError(f"{profile.id}: expected a metric or a state in simulator.signals, found {name!r}")
    return found.scope


def _within(signal: Signal, value: float) -> float:
    low = value if signal.min is None else max(value, signal.min)
    return low if signal.max is None else min(low, signal.max)


def _settled(value: Scalar, params: Mapping[str, Scalar]) -> Value:
    return fill(value, params) if isinstance(value, str) else value


def _number(value: Value) -> float:
    return 0.0 if value is None or isinstance(value, str) else float(value)


def _ms(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)
