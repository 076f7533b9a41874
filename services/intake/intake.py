"""Readings -> presence, alarms, tickets, outages, notices and the cursor: together, or not at all.

Memory is a copy of what is committed. A failed transaction throws it away; the next call reads it again. Batches are
known by their sequence numbers, so the same one twice changes nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from contextlib import contextmanager
from datetime import datetime
from threading import RLock
from typing import TYPE_CHECKING

import msgspec
import structlog

from device_profiles.schema import Text
from gateway.reading import Batch, Reading, Registry
from services.changes import Changes
from services.clock import Clock
from services.database import Database
from services.intake.consequences import Consequences
from services.intake.memory import Card, GatewayState, Library, Memory, load, read_stamp
from services.intake.work import Work, flush
from services.rules import engine
from services.rules.engine import Firing
from services.rules.state import DeviceState
from services.sites.store import device_entries

if TYPE_CHECKING:
    from collections.abc import Iterator

log = structlog.get_logger("courtyard.intake")

GATEWAY_SILENT_AFTER_SECONDS = 60.0
"""A gateway says something every few seconds; after this its devices are unknown."""
_LISTENING_GAP_MILLIS = 60_000
_MOST_UNCLAIMED = 5_000
_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")
_LONGEST_KEY = 64


class BatchRefused(Exception):
    """The batch begins within what was taken already and cannot be cut: ask for the cursor and send from there."""


class Intake:
    """`start()` reads the state; `take`, `tick` and `reload` may come from any thread, one works at a time."""

    def __init__(
        self,
        database: Database,
        library: Library,
        clock: Clock,
        changes: Changes,
        *,
        public_url: str = "",
    ) -> None:
        self._database = database
        self._library = library
        self._clock = clock
        self._changes = changes
        self._public_url = public_url
        self._lock = RLock()
        self._memory: Memory | None = None
        self.readings = 0
        """Taken since start."""
        self.gaps = 0
        """Batches that did not follow the one before: the gateway's journal had to give readings up."""
        self.refused_unclaimed = 0
        """Readings of unclaimed devices beyond the number that is kept."""

    def start(self) -> None:
        self.reload()

    def reload(self) -> None:
        """Read everything again: after a site import, or when the database was changed by others."""
        with self._lock:
            self._memory = None
            with self._transaction(self._clock.now()):
                pass

    def cursor(self, gateway: str) -> int:
        """The last journal sequence committed for this gateway; 0 when none."""
        with self._lock:
            state = self._loaded(self._clock.now()).gateways.get(gateway)
            return state.cursor if state is not None else 0

    def registry(self) -> Registry:
        """The devices a gateway serves, with a version that changes whenever they do."""
        with self._database.read() as connection:
            entries = device_entries(connection)
        return Registry(version=hashlib.sha256(msgspec.msgpack.encode(entries)).hexdigest()[:16], devices=entries)

    # --- readings --------------------------------------------------------------------------------------------

    def take(self, batch: Batch) -> int:
        """Take a batch in; the cursor that is committed now. Raises BatchRefused."""
        now = self._clock.now()
        with self._lock:
            with self._transaction(now) as (memory, work, consequences):
                gateway = self._gateway(memory, batch.gateway, now)
                work.gateway, work.gateway_cursor_before = gateway, gateway.cursor
                readings = self._new_readings(batch, gateway)
                _note_gateway(gateway, batch, readings, now)
                for reading in readings:
                    # A backlog is judged by the time it was heard, not by the time it is handed over.
                    gateway.progress = max(gateway.progress or 0, reading.received_at)
                    self._take_one(reading, gateway, memory, work, consequences)
                gateway.progress = max(gateway.progress or 0, batch.progress_at)
                work.change("gateway", gateway.id, "")
            self.readings += len(readings)
            return gateway.cursor

    def _gateway(self, memory: Memory, id: str, now: datetime) -> GatewayState:
        found = memory.gateways.get(id)
        if found is None:
            found = memory.gateways[id] = GatewayState(id=id, heard_at=now)
        return found

    def _new_readings(self, batch: Batch, gateway: GatewayState) -> list[Reading]:
        """Those behind the cursor, which moves to the end of the batch."""
        before = gateway.cursor
        gateway.cursor = max(before, batch.last_seq)
        if not batch.readings or batch.last_seq <= before:
            return []
        if batch.first_seq > before:
            if before and batch.first_seq > before + 1:
                self.gaps += 1
                log.warning("batch_gap", gateway=gateway.id, cursor=before, first_seq=batch.first_seq)
            return batch.readings
        if len(batch.readings) != batch.last_seq - batch.first_seq + 1:
            raise BatchRefused(
                f"batch {batch.first_seq}..{batch.last_seq} begins within what gateway {gateway.id} has handed over "
                f"already (cursor {before}); it must begin at {before + 1}"
            )
        return batch.readings[before - batch.first_seq + 1 :]

    def _take_one(
        self, reading: Reading, gateway: GatewayState, memory: Memory, work: Work, consequences: Consequences
    ) -> None:
        device = memory.devices.get(reading.device) or self._unknown(reading, memory, work)
        if device is None:
            return
        if len(reading.child) > _LONGEST_KEY or _UNWRITABLE.search(reading.child):
            reading = msgspec.structs.replace(reading, child=_writable(reading.child))
        device.gateway = gateway.id
        liveness = device.liveness
        view = memory.view(gateway.id, work.now, GATEWAY_SILENT_AFTER_SECONDS)
        fired = engine.take(device, reading, view)
        work.touched.add((device.id, reading.child))
        work.touched.add((device.id, ""))
        if device.liveness != liveness:
            work.touch(device)
        work.change("device", device.id, device.site or "")
        self._follow(device, fired, work, consequences)

    def _follow(self, device: DeviceState, fired: Iterable[Firing], work: Work, consequences: Consequences) -> None:
        for firing in fired:
            consequences.follow(firing)
        if device.moved:
            work.moved[device.id] = device

    def _unknown(self, reading: Reading, memory: Memory, work: Work) -> DeviceState | None:
        """A device that no site file names (yet): its values are kept, nothing is judged.

        The gateway names it "<profile>:<address>"; one that was claimed meanwhile is found by that.
        """
        _, _, address = reading.device.partition(":")
        claimed = memory.by_address.get((reading.profile, address))
        if claimed is not None:
            return memory.devices[claimed]
        id = _writable(reading.device)
        if id in memory.devices:
            return memory.devices[id]
        if id in memory.retired:
            return None
        if memory.unclaimed >= _MOST_UNCLAIMED:
            self.refused_unclaimed += 1
            return None
        memory.unclaimed += 1
        address = _writable(address or reading.device)
        profile = _writable(reading.profile)
        memory.devices[id] = DeviceState(id=id, site=None, profile_id=profile, profile=None, params={})
        memory.cards[id] = Card(name=Text(zh=id, en=id), place=Text(zh="", en=""), building=None)
        memory.by_address[profile, address] = id
        work.new_devices.append(
            {
                "id": id,
                "site": None,
                "profile": profile,
                "address": address,
                "name_zh": id,
                "name_en": id,
                "building": None,
                "params": {},
                "parent": None,
                "retired_at": None,
            }
        )
        return memory.devices[id]

    # --- time ------------------------------------------------------------------------------------------------

    def tick(self, now: datetime) -> None:
        """Time has passed: silence, ages and delays, each judged against its gateway's progress."""
        with self._lock:
            self._reload_if_imported()
            with self._transaction(now) as (memory, work, consequences):
                ids = (None, *memory.gateways)
                views = {id: memory.view(id, now, GATEWAY_SILENT_AFTER_SECONDS) for id in ids}
                for device in memory.devices.values():
                    self._tick_one(device, views.get(device.gateway, views[None]), work, consequences)

    def _tick_one(self, device: DeviceState, view: engine.GatewayView, work: Work, consequences: Consequences) -> None:
        liveness = device.liveness
        fired = engine.tick(device, view)
        if device.liveness != liveness:
            work.touch(device)
            work.change("device", device.id, device.site or "")
        if fired or device.moved:
            self._follow(device, fired, work, consequences)

    def _reload_if_imported(self) -> None:
        """A site file may be imported by another process."""
        if self._memory is None:
            return
        with self._database.read() as connection:
            if read_stamp(connection) != self._memory.stamp:
                self._memory = None

    # --- all or nothing --------------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self, now: datetime) -> Iterator[tuple[Memory, Work, Consequences]]:
        try:
            memory = self._loaded(now)
            work = Work(now)
            yield memory, work, self._consequences(memory, work)
            if work.is_empty:
                return
            with self._database.write() as connection:
                flush(connection, work, memory)
        except BaseException:
            self._memory = None
            raise
        self._changes.publish(work.changes)

    def _consequences(self, memory: Memory, work: Work) -> Consequences:
        return Consequences(memory=memory, work=work, library=self._library, public_url=self._public_url)

    def _loaded(self, now: datetime) -> Memory:
        if self._memory is None:
            with self._database.read() as connection:
                memory = load(connection, self._library, now)
            self._put_right(memory, now)
            self._memory = memory
        return self._memory

    def _put_right(self, memory: Memory, now: datetime) -> None:
        """What a changed site file or profile means for alarms and outages that were there before it."""
        work = Work(now)
        consequences = self._consequences(memory, work)
        for alarm in memory.orphans:
            consequences.end(alarm, now, {"values": {}, "why": "the device or its rule is no longer in service"}, None)
        memory.orphans.clear()
        consequences.reassess_all(now)
        work.moved = {device.id: device for device in memory.devices.values() if device.moved}
        if not work.is_empty:
            with self._database.write() as connection:
                flush(connection, work, memory)
            self._changes.publish(work.changes)


def _note_gateway(gateway: GatewayState, batch: Batch, readings: list[Reading], now: datetime) -> None:
    """What a batch says about the gateway itself: how far it has seen time pass, and whether it was listening."""
    connected = batch.status.connected if batch.status is not None else True
    begins = readings[0].received_at if readings else batch.progress_at
    came_back = connected and not gateway.connected
    was_away = gateway.progress is not None and begins - gateway.progress > _LISTENING_GAP_MILLIS
    if came_back or was_away:
        # What its devices said meanwhile it could not hear: their silence counts from now on.
        gateway.watching_since = max(batch.progress_at if came_back else begins, gateway.progress or 0)
    gateway.heard_at = now
    gateway.connected = connected
    if batch.status is not None:
        gateway.status = msgspec.to_builtins(batch.status)


def _writable(key: str) -> str:
    """A name off the wire as a database takes it: short, and without NUL and half characters."""
    key = _UNWRITABLE.sub("?", key)
    if len(key) <= _LONGEST_KEY:
        return key
    return f"{key[:47]}~{hashlib.sha256(key.encode()).hexdigest()[:16]}"
