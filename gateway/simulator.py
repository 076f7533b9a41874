"""A whole site played from its devices' profiles, faults included.

`Simulation` is pure; `run_simulation` plays it in real time over anything that can publish.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from threading import Event
from typing import Protocol

from device_profiles.schema import DeviceProfile
from gateway.commands.recognise import filters_of
from gateway.player import Outgoing, Player, UnknownFault
from gateway.reading import DeviceEntry, Millis

__all__ = ["Outgoing", "Player", "Publisher", "Script", "ScriptedFault", "Simulation", "UnknownFault", "run_simulation"]


class Hears(Protocol):
    """Whatever brings commands to the devices; gateway.ears has one for MQTT."""

    def take(self) -> Sequence[tuple[str, bytes]]: ...


class Publisher(Protocol):
    """Whatever carries the messages away; gateway.mqtt_client has one for MQTT."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> None: ...


@dataclass(frozen=True)
class ScriptedFault:
    """A fault that begins `after` the start of the simulation; without `lasting` it stays."""

    device: str
    fault: str
    child: str = ""
    after: timedelta = timedelta(0)
    lasting: timedelta | None = None


Script = Sequence[ScriptedFault]
_LISTENING_PAUSE_SECONDS = 0.1


class Simulation:
    """Many players and a script. Pure as well: `advance` says what is to be published by a time."""

    def __init__(
        self,
        entries: Iterable[DeviceEntry],
        library: Mapping[str, DeviceProfile],
        script: Script,
        *,
        seed: int,
        started_at: Millis,
    ) -> None:
        self.players = {
            entry.id: Player(library[entry.profile], entry, seed, started_at)
            for entry in entries
            if library[entry.profile].simulator.plays
        }
        self._scheduled: dict[str, Millis] = {}
        self._due: list[tuple[Millis, str]] = []
        for device in self.players:
            self._schedule(device, started_at)
        steps: list[tuple[Millis, bool, ScriptedFault]] = []
        for scripted in script:
            self._player(scripted.device).find_fault(scripted.fault, scripted.child)
            begin = started_at + _millis(scripted.after)
            steps.append((begin, True, scripted))
            if scripted.lasting is not None:
                steps.append((begin + _millis(scripted.lasting), False, scripted))
        self._steps = sorted(steps, key=lambda step: step[0], reverse=True)

    @property
    def next_at(self) -> Millis | None:
        """When something is to be said or broken next."""
        times = [self._due[0][0]] if self._due else []
        if self._steps:
            times.append(self._steps[-1][0])
        return min(times, default=None)

    def advance(self, now: Millis, *, stamp: Millis | None = None) -> list[Outgoing]:
        """Everything to publish by `now`, oldest first."""
        out: list[Outgoing] = []
        while self._steps and self._steps[-1][0] <= now:
            _, begins, scripted = self._steps.pop()
            out += self.inject(scripted, now) if begins else self.heal(scripted, now)
        while self._due and self._due[0][0] <= now:
            at, device = heapq.heappop(self._due)
            if self._scheduled.get(device) != at:
                continue  # it was called sooner since
            player = self.players[device]
            out += player.advance(now, stamp=stamp)
            if player.next_at is not None:
                self._schedule(device, max(player.next_at, now + 1))
        return out

    def hear(self, topic: str, payload: bytes, now: Millis, *, stamp: Millis | None = None) -> list[Outgoing]:
        """A command arrives: what the device that it is meant for says. Others are not moved by it."""
        for device, player in self.players.items():
            said = player.obey(topic, payload, now, stamp=stamp)
            if said is not None:
                self._schedule(device, now)
                return said
        return []

    def _schedule(self, device: str, at: Millis) -> None:
        self._scheduled[device] = at
        heapq.heappush(self._due, (at, device))

    def inject(self, scripted: ScriptedFault, now: Millis) -> list[Outgoing]:
        """Begin a fault now. Raises UnknownFault."""
        out = self._player(scripted.device).inject(scripted.fault, scripted.child, now=now)
        self._schedule(scripted.device, now)
        return out

    def heal(self, scripted: ScriptedFault, now: Millis) -> list[Outgoing]:
        """End it. Raises UnknownFault."""
        out = self._player(scripted.device).heal(scripted.fault, scripted.child, now=now)
        self._schedule(scripted.device, now)
        return out

    def _player(self, device: str) -> Player:
        if device not in self.players:
            raise UnknownFault(f"expected a simulated device ({', '.join(self.players)}), found {device!r}")
        return self.players[device]


def run_simulation(
    entries: Iterable[DeviceEntry],
    library: Mapping[str, DeviceProfile],
    publisher: Publisher,
    script: Script,
    seed: int,
    stop_event: Event,
    *,
    clock: Callable[[], Millis],
    speed: float = 1.0,
    ears: Hears | None = None,
) -> None:
    """Play until `stop_event` is set. At `speed` 10 ten minutes pass in one; messages carry the real time all the same.

    With `ears` the devices obey commands. Raises UnknownFault for a script that names what is not there, before
    anything is published.
    """
    began = clock()
    simulation = Simulation(entries, library, script, seed=seed, started_at=began)
    while not stop_event.is_set():
        real = clock()
        now = began + round((real - began) * speed)
        said = [one for order in (ears.take() if ears else ()) for one in simulation.hear(*order, now, stamp=real)]
        for message in [*said, *simulation.advance(now, stamp=real)]:
            publisher.publish(message.topic, message.payload, retain=message.retain, qos=message.qos)
        due = simulation.next_at
        pause = 1.0 if due is None else (due - now) / 1000 / speed
        stop_event.wait(min(max(pause, 0.005), 1.0 if ears is None else _LISTENING_PAUSE_SECONDS))


def filters_for(entries: Iterable[DeviceEntry], library: Mapping[str, DeviceProfile]) -> list[str]:
    """Where these devices hear their commands."""
    found = {one for entry in entries for one in filters_of(library[entry.profile], entry.address)}
    return sorted(found)


def _millis(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)
