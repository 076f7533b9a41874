"""Modbus polls of devices that do not speak by themselves: which request goes out next, one at a time on each line.

`PollPlan` decides and is pure; `Poller` is the thread that asks. Only devices of a site file are polled: what strangers
name on the wire must not make the gateway talk.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from threading import Event, Thread
from typing import NamedTuple

import structlog

from device_profiles.schema import Binding, DeviceProfile, ModbusLayout, ModbusPoll
from gateway.commands.encode import CommandMistake, fill
from gateway.decode.modbus import line_of, poll_frame
from gateway.decode.topics import parse_topic
from gateway.mqtt_once import OncePublisher, Said
from gateway.reading import DeviceEntry, Millis, Registry

log = structlog.get_logger("courtyard.polls")

ANSWER_WITHIN: Millis = 1_000
"""How long a line waits for an answer before the next request goes out on it."""
_LOOK_SECONDS = 0.05
_REST_SECONDS = 0.5
_MOST_BACKOFF = 8


@dataclass
class PollCounters:
    sent: int = 0
    """Requests said since start; likewise the others."""
    answered: int = 0
    unanswered: int = 0
    """Requests that nothing came back on in time."""
    refused: int = 0
    """Requests that could not be made: a capture that is not known, a topic that is none."""
    failures: int = 0
    """Things that happened to the poller itself, and that it does not know how to wait for."""


class Request(NamedTuple):
    """One poll of one device."""

    device: str
    topic: str
    line: str
    """As the decoder calls it."""
    frame: bytes
    crc: bool
    every: Millis


class PollPlan:
    """When each request is due. A device that does not answer is asked less and less often, down to an eighth."""

    def __init__(self) -> None:
        self._due: dict[Request, Millis] = {}
        self._misses: dict[Request, int] = {}
        self._busy: dict[str, tuple[Request, Millis]] = {}

    def __len__(self) -> int:
        return len(self._due)

    def replace(self, requests: Iterable[Request], now: Millis, dice: random.Random) -> None:
        """What is to be polled from now on; what goes on keeps its times, what is new is spread over its period."""
        wanted = list(requests)
        self._due = {one: self._due.get(one, now + round(dice.random() * one.every)) for one in wanted}
        self._misses = {one: self._misses[one] for one in wanted if one in self._misses}

    def next(self, now: Millis) -> Request | None:
        """The request that has been due longest on a line that is free; it occupies its line."""
        free = [one for one, at in self._due.items() if at <= now and one.line not in self._busy]
        if not free:
            return None
        chosen = min(free, key=lambda one: self._due[one])
        self._busy[chosen.line] = (chosen, now)
        self._due[chosen] = now + chosen.every
        return chosen

    def asked(self) -> list[tuple[Request, Millis]]:
        """Requests under way, and when they went out."""
        return list(self._busy.values())

    def answered(self, request: Request) -> None:
        self._busy.pop(request.line, None)
        self._misses.pop(request, None)

    def unanswered(self, request: Request, now: Millis) -> None:
        self._busy.pop(request.line, None)
        misses = self._misses[request] = self._misses.get(request, 0) + 1
        if request in self._due:
            self._due[request] = now + request.every * min(_MOST_BACKOFF, 2 ** max(0, misses - 3))


def polled(profile: DeviceProfile) -> Iterator[tuple[Binding, ModbusLayout, ModbusPoll]]:
    """The polls of a profile that the gateway sends itself."""
    for binding in profile.bindings:
        for codec in binding.decode:
            if codec.modbus is not None and codec.modbus.request_topic is not None:
                for poll in codec.modbus.polls:
                    if poll.every is not None:
                        yield binding, codec.modbus, poll


def requests_of(profile: DeviceProfile, device: DeviceEntry, captures: Mapping[str, str]) -> Iterator[Request]:
    """What to ask one device. Raises ValueError where a template names what is not known (yet)."""
    known = {"site": device.site, "address": device.address, **captures}
    for binding, layout, poll in polled(profile):
        assert layout.request_topic is not None and poll.every is not None
        topic = str(fill(layout.request_topic, known))
        if not topic.isprintable() or not {"+", "#"}.isdisjoint(topic):
            raise CommandMistake(f"found the topic {topic[:80]!r}, expected one without wildcards")
        every = max(ANSWER_WITHIN, round(poll.every.total_seconds() * 1000))
        line = line_of(_spoken(binding, known))
        yield Request(device.id, topic, line, poll_frame(layout, poll), layout.crc, every)


def _spoken(binding: Binding, known: Mapping[str, str]) -> dict[str, str]:
    """What the topic of the answers will hold."""
    names = parse_topic(binding.topic).captures
    missing = sorted(names - known.keys())
    if missing:
        raise CommandMistake(
            f"found nothing for {{{missing[0]}}} of {binding.topic}, expected the device to have spoken on this topic "
            f"once, or a topic that names it by address alone"
        )
    return {name: known[name] for name in names}


class Poller:
    """The thread that asks. Nothing starts where no profile has polls."""

    def __init__(
        self,
        *,
        profiles: Iterable[DeviceProfile],
        registry: Callable[[], Registry],
        captures_of: Callable[[str], Mapping[str, str]],
        remember: Callable[[Request, Millis], None],
        heard_at: Callable[[str], Millis],
        publisher: OncePublisher,
        now_millis: Callable[[], Millis],
    ) -> None:
        """`remember` notes a request for the decoder before it goes out; `heard_at` says when a device last spoke."""
        self.counters = PollCounters()
        self._profiles = {profile.id: profile for profile in profiles if any(polled(profile))}
        self._registry = registry
        self._captures_of = captures_of
        self._remember = remember
        self._heard_at = heard_at
        self._publisher = publisher
        self._now = now_millis
        self._plan = PollPlan()
        self._dice = random.Random()
        self._refused: dict[str, str] = {}
        self._look_again = 0.0
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="polls", daemon=True)

    @property
    def has_work(self) -> bool:
        return bool(self._profiles)

    def start(self) -> None:
        if self._profiles:
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._look()
                busy = self._round()
            except Exception:  # a loop's edge: counted, said, tried again
                self.counters.failures += 1
                log.exception("polls_failed")
                busy = False
            self._stopping.wait(_LOOK_SECONDS if busy else _REST_SECONDS)

    def _look(self) -> None:
        """Which devices there are, and by what names their lines go: now and then, because both change."""
        if time.monotonic() < self._look_again:
            return
        self._look_again = time.monotonic() + 10.0
        devices = [entry for entry in self._registry().devices if entry.profile in self._profiles]
        self._plan.replace([one for entry in devices for one in self._requests(entry)], self._now(), self._dice)

    def _requests(self, entry: DeviceEntry) -> list[Request]:
        try:
            found = list(requests_of(self._profiles[entry.profile], entry, self._captures_of(entry.id)))
        except ValueError as error:
            self.counters.refused += 1
            if self._refused.get(entry.id) != str(error):
                self._refused[entry.id] = str(error)
                log.warning("not_polled", device=entry.id, reason=str(error))
            return []
        self._refused.pop(entry.id, None)
        return found

    def _round(self) -> bool:
        """Answers, time-outs, and what goes out now; whether something is under way."""
        now = self._now()
        for asked, at in self._plan.asked():
            if self._heard_at(asked.device) >= at:
                self.counters.answered += 1
                self._plan.answered(asked)
            elif now - at >= ANSWER_WITHIN or now < at:
                self.counters.unanswered += 1
                self._plan.unanswered(asked, now)
        # The time anew for each: to ask takes a while, and the last one has as long to answer as the first.
        while self._publisher.is_connected and (due := self._plan.next(now := self._now())) is not None:
            self._ask(due, now)
        return bool(self._plan.asked())

    def _ask(self, request: Request, now: Millis) -> None:
        self._remember(request, now)
        patience = ANSWER_WITHIN / 1000  # a line that was away must not be asked everything when it is back
        word = self._publisher.say(request.topic, request.frame, timeout_seconds=patience, expires_seconds=patience)
        if word.said in (Said.ACKNOWLEDGED, Said.UNHEARD):
            self.counters.sent += 1
        else:
            self._plan.unanswered(request, self._now())
