"""What a batch says, taken into memory: about its gateway, and reading by reading about devices."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
import structlog

from device_profiles.schema import Text
from gateway.presence import Liveness, announced
from gateway.reading import Batch, Millis, Quality, Reading, provisional_address
from services.clock import to_millis
from services.events.store import rows_of
from services.groups.groups import GatewayTime
from services.intake.consequences import Consequences
from services.intake.memory import Card, GatewayState, Memory
from services.intake.work import Work
from services.presence.gaps import Gap
from services.rules import engine
from services.rules.state import DeviceState
from services.wire_names import LONGEST_ADDRESS, LONGEST_ID, UNWRITABLE, writable

log = structlog.get_logger("courtyard.intake")

_LISTENING_GAP_MILLIS = 60_000
_CLOCK_WENT_BACK_MILLIS = 60_000
_MOST_UNCLAIMED = 5_000
_MOST_CHILDREN = 512
"""Children are named by messages. Each costs a row and its rules at every tick, so a device cannot have any number."""


class Hearing:
    """Takes readings, within the transaction of their batch."""

    def __init__(self, *, silent_after: float) -> None:
        """`silent_after`: seconds after which a gateway says nothing about its devices any more."""
        self._silent_after = silent_after
        self.refused_unclaimed = 0
        """Readings of unclaimed devices beyond the number that is kept."""
        self.refused_children = 0
        """Readings of children beyond the number that is kept per device."""

    def take(
        self, reading: Reading, gateway: GatewayState, memory: Memory, work: Work, consequences: Consequences
    ) -> None:
        device = memory.devices.get(reading.device) or self._unknown(reading, memory, work)
        if device is None:
            return
        if len(reading.child) > LONGEST_ID or UNWRITABLE.search(reading.child):
            reading = msgspec.structs.replace(reading, child=writable(reading.child))
        if reading.child not in device.children and len(device.children) > _MOST_CHILDREN:
            self.refused_children += 1
            # The device has been heard all the same.
            reading = msgspec.structs.replace(reading, child="", values={}, flags={}, events=())
        device.gateway = self._who_hears(device, reading, gateway, memory, work.now)
        gateway.home = device.site or gateway.home
        before = (device.liveness, device.reason)
        view = memory.view(device.gateway, work.now, self._silent_after)
        if device.parent and (device.liveness != Liveness.ONLINE or reading.presence):
            view = memory.branches.view_of(device, view)  # otherwise nobody asks for its presence
        groups = memory.groups
        if device.id in groups:
            groups.pass_to(gateway.id, GatewayTime(gateway.progress, gateway.watching_since))
        fired = engine.take(device, reading, view)
        if device.id in groups:
            groups.heard(device, reading, fired=bool(fired))
        if reading.events:
            work.events += rows_of(reading, device.id, device.site)
        if reading.events and (told := announced(reading)):
            work.announced.setdefault(device.id, {}).update(told)
        work.touched.add((device.id, reading.child))
        work.touched.add((device.id, ""))
        if (device.liveness, device.reason) != before:
            work.touch(device)
        work.change("device", device.id, device.site or "")
        consequences.follow_all(device, fired)
        if reading.replies or memory.commands.by_id:
            consequences.commands.take(device, reading)
            groups.touch([device.id])

    def _who_hears(
        self, device: DeviceState, reading: Reading, gateway: GatewayState, memory: Memory, now: datetime
    ) -> str:
        """The gateway that hears a device. What its broker kept, or what is replayed, makes it none while another one
        is heard: commands would go where the device is not."""
        past = reading.retained or reading.quality is Quality.HISTORIC
        if not past or device.gateway in (None, gateway.id):
            return gateway.id
        elsewhere = memory.view(device.gateway, now, self._silent_after)
        return device.gateway if elsewhere.known and device.gateway in memory.gateways else gateway.id

    def _unknown(self, reading: Reading, memory: Memory, work: Work) -> DeviceState | None:
        """A device that no site file names (yet): its values are kept, nothing is judged.

        The gateway names it "<profile>:<address>"; one that was claimed meanwhile is found by that.
        """
        place = provisional_address(reading.device)
        address = place[1] if place is not None else ""
        claimed = memory.by_address.get((reading.profile, address))
        if claimed is not None:
            return memory.devices[claimed]
        id = writable(reading.device)
        if id in memory.devices:
            return memory.devices[id]
        if id in memory.retired:
            return None
        if memory.unclaimed >= _MOST_UNCLAIMED:
            self.refused_unclaimed += 1
            return None
        memory.unclaimed += 1
        address = writable(address or reading.device, LONGEST_ADDRESS)
        profile = writable(reading.profile)
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
                "first_heard_at": work.now,
            }
        )
        return memory.devices[id]


def gateway_of(memory: Memory, id: str, now: datetime) -> GatewayState:
    """As it is known; one that was forgotten and speaks again is there again, and goes on where it was."""
    if id in memory.forgotten:
        memory.gateways[id] = memory.forgotten.pop(id)
    return memory.gateways.setdefault(id, GatewayState(id=id, heard_at=now))


def rewind(gateway: GatewayState, to: Millis, memory: Memory, work: Work) -> None:
    log.warning("gateway_clock_went_back", gateway=gateway.id, was=gateway.progress, now=to)
    gateway.progress = gateway.watching_since = to
    for device in memory.devices.values():
        if device.gateway == gateway.id:
            engine.rewind(device, to)
            work.touch(device)
            if device.moved:
                work.moved[device.id] = device


def clock_put_right(gateway: GatewayState, batch: Batch, readings: Sequence[Reading]) -> Millis | None:
    """The gateway's time now, where it is well before what it has said already."""
    live = [reading.received_at for reading in readings if reading.quality is not Quality.HISTORIC]
    if gateway.progress is None or (readings and not live):
        return None
    begins = live[0] if live else batch.progress_at
    return begins if begins < gateway.progress - _CLOCK_WENT_BACK_MILLIS else None


def note_gateway(gateway: GatewayState, batch: Batch, readings: Sequence[Reading], now: datetime) -> Gap | None:
    """What a batch says about the gateway itself: how far it has seen time pass, and whether it was listening. The gap
    that it ends, if it does."""
    connected = batch.status.connected if batch.status is not None else True
    begins = _begins(batch, readings)
    came_back = connected and not gateway.connected
    was_away = gateway.progress is not None and begins - gateway.progress > _LISTENING_GAP_MILLIS
    gap = _gap_ended(gateway, batch, begins, now, came_back=came_back, was_away=was_away)
    if came_back or was_away:
        # What its devices said meanwhile it could not hear: their silence counts from now on.
        gateway.watching_since = max(_back_at(gateway, batch) if came_back else begins, gateway.progress or 0)
    gateway.heard_at = gateway.spoke_at = now
    gateway.connected = connected
    gateway.broker_lost_at = None if connected else gateway.broker_lost_at or now
    if batch.status is not None:
        gateway.status = msgspec.to_builtins(batch.status)
    return gap


def _begins(batch: Batch, readings: Sequence[Reading]) -> Millis:
    """Since when the gateway has listened to what it says here; of one that does not tell, from what came first."""
    if batch.listening is not None:
        return batch.listening.since
    return readings[0].received_at if readings else batch.progress_at


def _back_at(gateway: GatewayState, batch: Batch) -> Millis:
    """When a session with the broker was there again. One that was lost for moments only is not told of itself."""
    since = 0 if batch.listening is None else batch.listening.since
    return since if since > (gateway.progress or 0) else batch.progress_at


def _gap_ended(
    gateway: GatewayState, batch: Batch, begins: Millis, now: datetime, *, came_back: bool, was_away: bool
) -> Gap | None:
    """Before the gateway's state is moved."""
    progress, spoke = gateway.progress, gateway.spoke_at or gateway.last_heard_at
    if progress is None:
        return None
    if came_back:
        lost = progress if gateway.broker_lost_at is None else min(progress, to_millis(gateway.broker_lost_at))
        return Gap(gateway.id, "broker", lost, max(_back_at(gateway, batch), progress))
    if was_away:
        return Gap(gateway.id, "gateway" if batch.listening is None else batch.listening.after, progress, begins)
    if spoke is not None and (now - spoke).total_seconds() * 1000 > _LISTENING_GAP_MILLIS:
        return Gap(gateway.id, "uplink", progress, max(batch.progress_at, progress))
    return None
