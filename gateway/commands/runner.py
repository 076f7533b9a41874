"""The thread that sends commands: it asks services for orders, says each one once and in time, and reports.

What is sent when is decided by `Waiting`, which is pure; this thread does what it says.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import structlog

from device_profiles.schema import DeviceProfile
from gateway.commands.encode import CommandMistake, encode_command
from gateway.commands.sent import SentCommands
from gateway.commands.waiting import Waiting
from gateway.mqtt_once import OncePublisher, Said, Word
from gateway.reading import DeviceEntry, Millis, Registry
from gateway.uplink import CommandOrder, CommandUplink, UplinkRejected, UplinkUnavailable

log = structlog.get_logger("courtyard.commands")

_ACKNOWLEDGED_WITHIN_SECONDS = 5.0
_WHILE_ORDERS_WAIT_SECONDS = 0.1
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0
_FORGET_EVERY: Millis = 3600 * 1000


@dataclass
class CommandCounters:
    """Attempts since the start, by what became of them."""

    sent: int = 0
    unsure: int = 0
    failed: int = 0
    expired: int = 0
    failures: int = 0
    """Things that happened to the runner itself, and that it does not know how to wait for."""


class CommandRunner:
    """`start()` and `stop()`; everything else happens on its own thread."""

    def __init__(
        self,
        *,
        uplink: CommandUplink,
        gateway: str,
        profiles: Iterable[DeviceProfile],
        registry: Callable[[], Registry],
        captures_of: Callable[[str], Mapping[str, str]],
        publisher: OncePublisher,
        folder: Path,
        now_millis: Callable[[], Millis],
        wait_seconds: float,
    ) -> None:
        self.counters = CommandCounters()
        self.error = ""
        self._uplink = uplink
        self._gateway = gateway
        self._profiles = {profile.id: profile for profile in profiles}
        self._registry = registry
        self._captures_of = captures_of
        self._publisher = publisher
        self._sent = SentCommands(folder / "commands.db")
        self._now = now_millis
        self._wait_seconds = wait_seconds
        self._waiting = Waiting()
        self._fresh = True
        self._unsettled = False
        """Something went wrong while an order was being said: what became of it has not been noted."""
        self._known: tuple[Registry | None, dict[str, DeviceEntry]] = (None, {})
        self._forget_at: Millis = 0
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="commands", daemon=True)

    def start(self) -> None:
        self._sent.open()
        self._sent.settle_interrupted()
        self._waiting.said = self._sent.last_said()
        self._thread.start()

    def stop(self, timeout_seconds: float = 1.5) -> None:
        """A wait at services that has long to go is left to end by itself."""
        self._stopping.set()
        self._thread.join(timeout_seconds)

    @property
    def waiting(self) -> int:
        """Orders that have been fetched and not been said yet."""
        return len(self._waiting)

    # --- the loop -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        try:
            while not self._stopping.is_set():
                try:
                    self._round()
                    self.error, pause = "", _FIRST_PAUSE_SECONDS
                except Exception as error:  # a loop's edge: counted, shown, tried again
                    self._failed(error)
                    self._meanwhile(pause * random.uniform(0.75, 1.25))
                    pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        finally:
            self._sent.close()

    def _round(self) -> None:
        self._report()
        self._accept(self._uplink.orders(self._gateway, self._patience()))
        self._fresh = False
        self._send_due()
        self._report()
        if self._now() >= self._forget_at:
            self._sent.forget_old(self._now())
            self._forget_at = self._now() + _FORGET_EVERY

    def _patience(self) -> float:
        if self._fresh:
            return 0  # also what the run before had fetched
        return _WHILE_ORDERS_WAIT_SECONDS if len(self._waiting) else self._wait_seconds

    def _meanwhile(self, seconds: float) -> None:
        """Services are away; what has been fetched is said all the same."""
        slices = max(1, round(seconds / _WHILE_ORDERS_WAIT_SECONDS))
        for _ in range(slices):
            if self._stopping.wait(_WHILE_ORDERS_WAIT_SECONDS):
                return
            try:
                self._send_due()
            except Exception as error:  # a loop's edge, like the one around it: the thread must go on
                self._failed(error)

    def _failed(self, error: Exception) -> None:
        self._fresh = True
        expected = isinstance(error, UplinkUnavailable | UplinkRejected)
        if self._stopping.is_set():
            return
        if not expected:
            self.counters.failures += 1
        if str(error) != self.error:
            (log.warning if expected else log.exception)("commands_wait", reason=str(error))
        self.error = str(error) or type(error).__name__

    def _accept(self, orders: Iterable[CommandOrder]) -> None:
        for order in orders:
            if self._sent.knows(order):
                self._sent.ask_again(order)
            else:
                self._waiting.add(order)
                for overtaken in self._waiting.take_overtaken(order):
                    if not self._sent.knows(overtaken):  # otherwise it may have been said
                        self._settle(overtaken, "expired", "a critical alarm has ordered something else meanwhile")

    def _report(self) -> None:
        while outcomes := self._sent.unreported():
            self._uplink.report(self._gateway, outcomes)
            self._sent.reported(outcomes)

    # --- sending ------------------------------------------------------------------------------------------------------

    def _send_due(self) -> None:
        if self._unsettled:
            self._sent.settle_interrupted()
            self._waiting.said = self._sent.last_said()
            self._unsettled = False
        now = self._now()
        for order in self._waiting.take_expired(now):
            if not self._sent.knows(order):  # otherwise it may have been said
                self._settle(order, "expired", self._why_waiting(order))
        for order in self._waiting.due(now, self._least_interval):
            if self._stopping.is_set():
                return
            self._send(order)

    def _send(self, order: CommandOrder) -> None:
        entry = self._entry(order.device)
        if entry is None or not self._publisher.is_connected:
            return  # it waits, and expires if need be
        try:
            topic, payload = self._message(order, entry)
        except CommandMistake as error:
            self._settle(order, "failed", str(error))
            return
        left = (order.expires_at - self._now()) / 1000
        if left <= 0:
            return  # those before it took their time; it is too late for this one
        if not self._sent.begin(order, self._now()):
            self._waiting.remove(order)
            return
        self._unsettled = True
        patience = min(left, _ACKNOWLEDGED_WITHIN_SECONDS)
        word = self._publisher.say(topic, payload, timeout_seconds=patience, expires_seconds=left)
        self._said(order, topic, word)
        self._unsettled = False

    def _said(self, order: CommandOrder, topic: str, word: Word) -> None:
        if word.said is Said.NOT_SAID:
            self._sent.withdraw(order)
        elif word.said is Said.ACKNOWLEDGED:
            self._settle(order, "sent", "")
        elif word.said is Said.UNHEARD:
            self._settle(order, "sent", topic, broker="unheard")
        elif word.said is Said.REFUSED:
            log.warning("command_refused_by_broker", id=order.id, device=order.device, topic=topic, reason=word.reason)
            self._settle(order, "failed", f"{word.reason}: {topic}", broker="refused")
        else:
            self._settle(order, "unsure", "the broker did not acknowledge it, and it is not sent again")

    def _settle(self, order: CommandOrder, status: str, reason: str, broker: str = "") -> None:
        now = self._now()
        self._sent.end(order, status, now, reason, broker)
        self._waiting.remove(order)
        if status in ("sent", "unsure"):
            self._waiting.note_said(order, now)
        setattr(self.counters, status, getattr(self.counters, status) + 1)
        log.info("command_settled", id=order.id, attempt=order.attempt, device=order.device, status=status)

    def _message(self, order: CommandOrder, entry: DeviceEntry) -> tuple[str, bytes]:
        profile = self._profiles.get(entry.profile)
        if profile is None:
            raise CommandMistake(f"found the profile {entry.profile!r}, expected one that this gateway has")
        return encode_command(
            profile,
            order.command,
            entry,
            order.child,
            order.params,
            id=order.id,
            nonce=order.nonce,
            captures=self._captures_of(order.device),
            now=self._now(),
        )

    def _entry(self, device: str) -> DeviceEntry | None:
        registry = self._registry()
        if registry is not self._known[0]:
            self._known = registry, {entry.id: entry for entry in registry.devices}
        return self._known[1].get(device)

    def _least_interval(self, order: CommandOrder) -> Millis:
        entry = self._entry(order.device)
        profile = self._profiles.get(entry.profile) if entry is not None else None
        command = profile.commands.get(order.command) if profile is not None else None
        return 0 if command is None else round(command.least_interval.total_seconds() * 1000)

    def _why_waiting(self, order: CommandOrder) -> str:
        if self._entry(order.device) is None:
            return "the gateway did not have this device in its list in time"
        if not self._publisher.is_connected:
            return f"the broker was not connected: {self._publisher.last_error or 'no answer'}"
        return "other commands were in the way: those to one device are spaced by its least interval"
