"""One gateway: the ingest thread, the journal, and a forwarder per consumer."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TypeVar

import structlog

from device_profiles.schema import DeviceProfile
from gateway.commands.runner import CommandCounters, CommandRunner
from gateway.decode import Decoder
from gateway.decode.memory import Memory
from gateway.decode.modbus import remember_request
from gateway.forward import TELEMETRY_BATCH, Forwarder, Signal, TelemetryConsumer, UplinkConsumer
from gateway.ingest import Ingest
from gateway.journal import Journal, JournalFull, JournalReader, JournalUnwritable, open_journal
from gateway.metrics import GatewayFigures, journal_figures
from gateway.mqtt import BrokerAddress, MqttSession, MqttUnavailable
from gateway.mqtt_once import OncePublisher
from gateway.polling import PollCounters, Poller, Request
from gateway.quarantine import QuarantineEntry, Replay
from gateway.reading import GatewayStatus, Millis, Registry, adopted_names
from gateway.registry import RegistryWatch
from gateway.subscriptions import Subscriptions, change
from gateway.telemetry import TelemetryStore
from gateway.uplink import CommandUplink, Uplink

T = TypeVar("T")
log = structlog.get_logger("courtyard.gateway")

_SLICE_SECONDS = 0.2
_HOUSEKEEPING_SECONDS = 1.0
_FIRST_REGISTRY_SECONDS = 3.0
_LONGEST_PAUSE_SECONDS = 30.0
_SHORTEST_PAUSE_SECONDS = 0.25
_TICK_SECONDS = 1.0
_SETTLE_SECONDS = 10.0
"""After a connect, what was said meanwhile comes first: nothing counts as unsaid before the socket has been empty once,
or so long under traffic that never ends."""
_STOP_SECONDS = 3.0
"""How long, at the end, what is on its way to services and to the time series may take to arrive."""
_STEADY_SECONDS = 5.0
"""A connection that lasts so long is a good one."""


@dataclass(frozen=True, kw_only=True)
class GatewayConfig:
    id: str
    data_dir: Path
    mqtt_url: str
    client_id: str
    journal_max_bytes: int
    command_wait_seconds: float = 20.0
    """How long one question to services for orders may wait for an answer."""


class Gateway:
    """See the module's text. `start()` returns when the journal is open; broker and services may come later.

    Without a telemetry store of its own it delivers to services only, which store the readings they take.
    """

    def __init__(
        self,
        *,
        config: GatewayConfig,
        profiles: Iterable[DeviceProfile],
        uplink: Uplink,
        telemetry: TelemetryStore | None,
        now_millis: Callable[[], Millis],
        commands: CommandUplink | None = None,
    ) -> None:
        self._config = config
        self._commands = commands
        self._profiles = tuple(profiles)
        self._uplink = uplink
        self._telemetry = telemetry
        self._now = now_millis
        self._address = BrokerAddress.parse(config.mqtt_url)
        self._signal = Signal()
        self._stopping = Event()
        self._calls: SimpleQueue[tuple[Callable[[], object], Future[object]]] = SimpleQueue()
        self._thread = Thread(target=self._run, name="ingest", daemon=True)
        self._connected = False
        self._error = ""
        self._seen_until: Millis = 0
        self._started_at: Millis | None = None
        self._rate = Rate()
        self._next_housekeeping = 0.0
        self._next_tick = 0.0
        self._session: MqttSession | None = None
        self._subscriptions = Subscriptions(config.data_dir / "filters.json")
        self._registry = RegistryWatch(uplink, config.data_dir / "registry.json")
        self._runner: CommandRunner | None = None
        self._poller: Poller | None = None
        self._publisher: OncePublisher | None = None
        self.failures = 0
        """How often the ingest thread met something it does not know how to wait for."""
        self._journal: Journal
        self._ingest: Ingest
        self._forwarders: list[Forwarder]
        self._reader: JournalReader

    # --- life ----------------------------------------

    def start(self) -> None:
        config = self._config
        self._journal = open_journal(
            config.data_dir / "journal.db",
            consumers=("services",) if self._telemetry is None else ("services", "telemetry"),
            max_bytes=config.journal_max_bytes,
            # Microseconds outrun any message rate: a new journal on a new disk numbers on behind the lost one,
            # so services, which remember the last number they took, never take new readings for old ones.
            first_seq=self._now() * 1000,
        )
        self._reader = self._journal.reader()
        self._registry.start()
        memory = Memory(self._journal.memory)
        memory.rename(adopted_names(self._registry.latest.devices))  # the last run may have ended before it did that
        memory.keep()
        self._ingest = Ingest(
            decoder=Decoder(self._profiles, self._registry.latest, memory=memory),
            journal=self._journal,
            now_millis=self._now,
            on_commit=self._signal.notify,
        )
        self._begin()
        self._forwarders = self._make_forwarders()
        for forwarder in self._forwarders:
            forwarder.start()
        self._thread.start()
        self._start_commands()

    def _begin(self) -> None:
        """Say that it was off until now. On a full disk that is said once there is room, and until then no time has
        passed."""
        journal, now = self._journal, self._now()
        self._started_at = now
        self._seen_until = max(journal.last_received_at, journal.listened_until or now)
        with suppress(JournalUnwritable):
            self._say_it_was_off()
            # Not the last message alone: after a quiet hour that would tell services that the clock went back an hour.
            self._seen_until = max(journal.last_received_at, now)

    def _say_it_was_off(self) -> None:
        if self._started_at is not None:
            self._journal.listen(self._started_at, "gateway")
            self._started_at = None

    def _start_commands(self) -> None:
        """What the gateway says itself: commands of services, and requests to devices that wait to be asked."""
        config = self._config
        self._publisher = OncePublisher(config.mqtt_url, f"{config.client_id}-commands")
        self._poller = Poller(
            profiles=self._profiles,
            registry=lambda: self._registry.latest,
            captures_of=self._captures_of,
            remember=self._remember_request,
            heard_at=lambda device: self._ingest.decoder.stamps.get(device, 0),
            publisher=self._publisher,
            now_millis=self._now,
        )
        if self._commands is None and not self._poller.has_work:
            return
        self._publisher.start()
        self._poller.start()
        if self._commands is None:
            return
        self._runner = CommandRunner(
            uplink=self._commands,
            gateway=config.id,
            profiles=self._profiles,
            registry=lambda: self._registry.latest,
            captures_of=self._captures_of,
            publisher=self._publisher,
            folder=config.data_dir,
            now_millis=self._now,
            wait_seconds=config.command_wait_seconds,
        )
        self._runner.start()

    def _captures_of(self, device: str) -> Mapping[str, str]:
        return self._on_ingest_thread(lambda: self._ingest.decoder.captures_of(device))

    def _remember_request(self, request: Request, at: Millis) -> None:
        """The decoder's memory belongs to the ingest thread; what is noted there is stored with the next batch."""

        def note() -> None:
            remember_request(self._ingest.decoder.memory, request.line, request.frame, at, crc=request.crc)

        self._on_ingest_thread(note)

    def _make_forwarders(self) -> list[Forwarder]:
        store = self._telemetry
        uplink = UplinkConsumer(
            self._uplink,
            self._config.id,
            progress_at=lambda: self._seen_until,
            status=self.status,
            stretches=lambda: self._journal.stretches,
            stored=store is not None,
        )
        forwarders = [Forwarder(self._journal, uplink, self._signal)]
        if store is not None:
            consumer = TelemetryConsumer(store)
            forwarders.append(Forwarder(self._journal, consumer, self._signal, batch=TELEMETRY_BATCH))
        return forwarders

    def stop(self) -> None:
        """Take nothing more, hand over what is journaled if that goes quickly, close. The rest waits on disk."""
        self._stopping.set()
        if self._poller is not None:
            self._poller.stop()
        if self._runner is not None:
            self._runner.stop()
        if self._publisher is not None:
            self._publisher.close(0)
        self._thread.join(5)
        self._registry.stop()
        deadline = time.monotonic() + _STOP_SECONDS
        for forwarder in self._forwarders:
            forwarder.stop(0)
        for forwarder in self._forwarders:
            forwarder.stop(max(0.0, deadline - time.monotonic()))
        self._reader.close()
        self._journal.close()

    # --- what others may ask ----------------------------------------

    def status(self) -> GatewayStatus:
        stats = self._journal.stats()
        counters = self._ingest.counters
        runner, polls = self._runner, self._poller.counters if self._poller else PollCounters()
        connected = self._connected  # before the reason, which is there by the time it is not
        errors = [self._error, *(forwarder.error for forwarder in self._forwarders)]
        if runner is not None and runner.error:
            errors.append(f"commands: {runner.error}")
        return GatewayStatus(
            connected=connected,
            journal_bytes=stats.bytes,
            journal_max_bytes=stats.max_bytes,
            journal_entries=max(stats.entries_waiting.values()),
            oldest_entry_at=self._reader.oldest_after(self._journal.cursor("services")),
            received=counters.received,
            quarantined=counters.quarantined,
            quarantine_entries=stats.quarantine_entries,
            shed=sum(stats.shed.values()),
            messages_per_second=self._rate.per_second,
            last_error="; ".join(error for error in errors if error),
            commands_sent=runner.counters.sent if runner else 0,
            commands_waiting=runner.waiting if runner else 0,
            commands_failed=runner.counters.failed + runner.counters.expired + runner.counters.unsure if runner else 0,
            polls_sent=polls.sent,
            polls_unanswered=polls.unanswered,
            telemetry_waiting=stats.entries_waiting.get("telemetry", 0),
            telemetry_refused=self._telemetry.refused if self._telemetry is not None else 0,
        )

    def figures(self) -> GatewayFigures:
        """What metrics show of it; from any thread."""
        runner, poller = self._runner, self._poller
        return GatewayFigures(
            connected=self._connected,
            counters=self._ingest.counters,
            ingest_failures=self.failures,
            decode_seconds=self._ingest.decode_seconds.read(),
            commit_seconds=self._ingest.commit_seconds.read(),
            registry_failures=self._registry.failures,
            journal=journal_figures(self._journal, self._reader, self._forwarders),
            commands=runner.counters if runner else CommandCounters(),
            commands_waiting=runner.waiting if runner else 0,
            polls=poller.counters if poller else PollCounters(),
        )

    @property
    def registry(self) -> Registry:
        """The devices it serves, as it knows them now."""
        return self._registry.latest

    def quarantine_list(self, *, limit: int = 100, before: int | None = None) -> list[QuarantineEntry]:
        """Newest first."""
        return self._reader.quarantine(limit=limit, before=before)

    def quarantine_replay(self, ids: list[int] | None = None) -> tuple[int, int]:
        """Decode set-aside messages again, oldest first: (taken in, still refused). Between two chunks of them the
        gateway takes in what is live."""
        run = Replay(self._journal, ids)
        try:
            while self._on_ingest_thread(lambda: run.step(self._ingest.decoder)):
                self._signal.notify()
        finally:
            run.close()
        return run.taken, run.refused

    def _on_ingest_thread(self, work: Callable[[], T]) -> T:
        future: Future[T] = Future()
        self._calls.put((work, future))  # type: ignore[arg-type]
        return future.result(timeout=60)

    # --- the ingest thread ----------------------------------------

    def _run(self) -> None:
        pause, short_lived = _SHORTEST_PAUSE_SECONDS, 0
        while not self._stopping.is_set():
            try:
                session = self._connect()
            except Exception as error:  # the loop's edge, like the one below
                self._failed(error)
                self._idle(pause * random.uniform(0.5, 1.5))
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                continue
            connected_at = time.monotonic()
            try:
                self._serve(session)
            except MqttUnavailable as error:
                short_lived += 1
                if time.monotonic() - connected_at >= _STEADY_SECONDS:
                    pause, short_lived = _SHORTEST_PAUSE_SECONDS, 0
                self._failed(self._thrown_out(error) if short_lived > 2 else error)
                # Two gateways with one client id throw each other out, and would do so hundreds of times a second.
                self._idle(pause * random.uniform(0.5, 1.5))
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            except Exception as error:  # the loop's edge: the gateway must go on, and must say so
                # Nothing of the batch is stored, so nothing may be acknowledged: the broker will deliver it again.
                session.abandon()
                self._failed(error)
                self._idle(1.0)
            else:
                session.close()
            self._session = None
            self._connected = False

    def _thrown_out(self, error: MqttUnavailable) -> MqttUnavailable:
        return MqttUnavailable(f"{error} again and again: is another gateway there as {self._config.client_id!r}?")

    def _connect(self) -> MqttSession:
        self._journal.probe()
        self._say_it_was_off()
        # Without the list a device's first readings would be filed under its address instead of its id.
        self._registry.wait_asked(_FIRST_REGISTRY_SECONDS)
        self._adopt_registry()
        filters = self._ingest.decoder.filters
        session = MqttSession(self._address, client_id=self._config.client_id, filters=filters)
        session.connect()
        session.unsubscribe(change(self._subscriptions.held, filters).gone)
        self._subscriptions.keep(filters)
        self._session = session
        self._ingest.connection_opened()
        log.info("broker_connected", broker=str(self._address), filters=len(self._ingest.decoder.filters))
        return session

    def _serve(self, session: MqttSession) -> None:
        settled_at = time.monotonic() + _SETTLE_SECONDS
        self._ingest.after = "broker"
        while not self._stopping.is_set():
            before = self._now()
            messages = session.read(_SLICE_SECONDS)
            heard_at = self._now()
            if messages:
                self._ingest.take(messages, session)
                self._rate.add(len(messages))
            self._listens(heard_at)
            if not messages:
                self._seen_until = before
                settled_at = 0.0
            if time.monotonic() >= max(settled_at, self._next_tick):
                self._next_tick = time.monotonic() + _TICK_SECONDS
                self._ingest.tick(before)
            self._housekeeping()

    def _listens(self, at: Millis) -> None:
        """Only who can store what comes does: of what a full journal refused, nothing was heard."""
        if self._journal.listen(at, self._ingest.after or "gateway"):
            self._signal.notify()
        self._ingest.after = "gateway"  # from now on only if it stands still, and so does time for all it can say
        self._error = ""
        self._connected = True

    def _idle(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopping.is_set() and time.monotonic() < until:
            try:
                self._housekeeping()
            except Exception as error:  # what fails here would otherwise end the thread, and with it all collecting
                self._failed(error)
            self._stopping.wait(min(_SLICE_SECONDS, max(0.0, until - time.monotonic())))

    def _housekeeping(self) -> None:
        self._run_calls()
        now = time.monotonic()
        self._adopt_registry()
        if now >= self._next_housekeeping:
            self._next_housekeeping = now + _HOUSEKEEPING_SECONDS
            self._rate.tick(now)
            self._journal.maintain()

    def _run_calls(self) -> None:
        while True:
            try:
                work, future = self._calls.get_nowait()
            except Empty:
                return
            try:
                future.set_result(work())
            except Exception as error:  # the caller's to handle
                future.set_exception(error)

    def _adopt_registry(self) -> None:
        """Decode by the newest device list, and hear what its profiles need."""
        registry, before = self._registry.latest, self._ingest.decoder
        if registry.version == before.registry_version:
            return
        decoder = Decoder(self._profiles, registry, before.stamps, memory=before.memory)
        self._ingest.adopt(decoder, registry.devices)
        if self._session is not None and decoder.filters != before.filters:
            new, gone = change(before.filters, decoder.filters)
            self._session.subscribe(new)
            self._session.unsubscribe(gone)
            self._subscriptions.keep(decoder.filters)
            log.info("subscriptions_changed", new=list(new), gone=list(gone))

    def _failed(self, error: Exception) -> None:
        # The reason first: who sees that it is not connected finds why.
        before, self._error = self._error, str(error) or type(error).__name__
        self._connected = False
        if not isinstance(error, MqttUnavailable | JournalFull | JournalUnwritable):
            self.failures += 1
            log.exception("ingest_failed", exc_info=error)
        elif before != self._error:
            log.warning("gateway_waits", reason=self._error)


class Rate:
    """Messages per second over the last few seconds."""

    def __init__(self) -> None:
        self.per_second = 0.0
        self._count = 0
        self._since = time.monotonic()

    def add(self, count: int) -> None:
        self._count += count

    def tick(self, now: float) -> None:
        elapsed = now - self._since
        if elapsed >= 1:
            self.per_second = round(0.5 * self.per_second + 0.5 * self._count / elapsed, 1)
            self._count, self._since = 0, now
