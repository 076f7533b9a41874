"""The decoder: topic and bytes in, readings out; or one DecodeError that says what was found and what was expected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, tzinfo
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from device_profiles.schema import DeviceProfile
from gateway.decode.compile import CompiledBinding, Timed
from gateway.decode.compiled import compiled_bindings
from gateway.decode.consequences import Owner
from gateway.decode.context import NOTHING, Context
from gateway.decode.elements import check_count
from gateway.decode.errors import DecodeError
from gateway.decode.events import Lapse, end_what_lapsed
from gateway.decode.frames import Suspect
from gateway.decode.memory import Key, Memory
from gateway.decode.routes import UNDECODED, Device, Router
from gateway.decode.scope import Scope
from gateway.decode.slowclocks import SlowClocks
from gateway.decode.split import MOST_LOOKING_BACK, joined
from gateway.decode.topics import fewest_filters
from gateway.reading import DeviceEntry, Event, Millis, Presence, Quality, Reading, Registry, provisional_id

LARGEST_PAYLOAD = 1 << 20
"""A larger payload is refused before anything looks at it."""
_MOST_STAMPS = 200_000
_CLOCK_WENT_BACK: Millis = 60_000
MOST_NAMED_IN_FILTERS = 20
"""Devices of a profile that are subscribed to one by one."""
_WILDCARDS = frozenset("+#")
_LATE = Quality.LATE


class _Incoming(NamedTuple):
    """A message whose binding is known and whose payload is decoded."""

    taken: CompiledBinding
    device: Device | None
    scope: Scope
    payload: bytes
    received_at: Millis
    retained: bool
    quality: Quality


class _Part(NamedTuple):
    """An element of a message that is split."""

    place: Scope
    owner: Device
    timed: Timed


class Decoder:
    """Turns messages into readings, for all profiles of a gateway and the devices it serves.

    Not thread-safe: one thread owns it. `stamps` holds the last `received_at` given out per device; hand it to the next
    decoder when the registry changes, so that stamps stay strictly increasing, and `memory` with it. `zone` is what
    times without one mean on devices that are not in the registry.

    What a batch changed in `memory` must be stored with its readings: see gateway.decode.memory.
    """

    def __init__(
        self,
        profiles: Iterable[DeviceProfile],
        registry: Registry,
        stamps: dict[str, Millis] | None = None,
        *,
        zone: tzinfo = UTC,
        memory: Memory | None = None,
    ) -> None:
        self.stamps: dict[str, Millis] = {} if stamps is None else stamps
        _hand_on(self.stamps, registry.devices)
        self.memory = Memory() if memory is None else memory
        self.registry_version = registry.version
        profiles = tuple(profiles)
        self._defaults = {
            profile.id: {name: param.default for name, param in profile.params.items()} for profile in profiles
        }
        self._devices = {(entry.profile, entry.address): self._registered(entry) for entry in registry.devices}
        bindings = [binding for profile in profiles for binding in compiled_bindings(profile)]
        self._router = Router(bindings, known=self.known_device, defaults=self._defaults, zone=zone, decode=self._root)
        self._routes = self._router.routes
        used: dict[str, list[str]] = {}
        for entry in registry.devices:
            used.setdefault(entry.profile, []).append(entry.address)
        self.filters: tuple[str, ...] = fewest_filters(
            heard for binding in bindings for heard in _heard(binding, used.get(binding.profile, []))
        )
        self._auto_clear = {
            (profile.id, name): round(event.auto_clear.total_seconds() * 1000)
            for profile in profiles
            for name, event in profile.events.items()
            if event.auto_clear is not None
        }
        self._slow_clocks = SlowClocks()
        self._now: Millis = 0
        self._quality = Quality.GOOD

    def _registered(self, entry: DeviceEntry) -> Device:
        params = {**self._defaults.get(entry.profile, {}), **entry.params}
        return Device(entry.id, _zone(entry.timezone), True, params)

    def forget(self) -> None:
        """Nothing was ever heard: for samples, which stand each for itself."""
        self.memory, self.stamps, self._slow_clocks = Memory(), {}, SlowClocks()

    def known_device(self, profile: str, address: str) -> Device | None:
        """The registered device of this profile and address."""
        return self._devices.get((profile, address))

    def registered(self) -> dict[tuple[str, str], str]:
        """The ids of the registered devices, by profile and address."""
        return {place: device.id for place, device in self._devices.items()}

    def hand_on(self, names: Mapping[str, str]) -> None:
        """Stamps of devices that are called otherwise now go on from where they were. `names`: old id -> new id."""
        stamps = self.stamps
        for old, new in names.items() if stamps else ():
            if old in stamps:
                stamps[new] = max(stamps[old], stamps.get(new, 0))

    # --- one message -------------------------------------------------------------------------------------------------

    def decode(self, topic: str, payload: bytes, received_at: Millis, retained: bool = False) -> list[Reading]:
        """The readings of one message; [] when it says nothing, or the profile ignores it on purpose; raises only
        DecodeError, and then leaves nothing in `memory`."""
        binding = ""
        device: Device | None
        mark = self.memory.mark()
        try:
            if type(payload) is not bytes:
                payload = bytes(payload)
            if len(payload) > LARGEST_PAYLOAD:
                raise DecodeError(
                    "too_large", found=f"{len(payload)} bytes", expected=f"at most {LARGEST_PAYLOAD} bytes"
                )
            route = self._routes.get(topic) or self._router.find(topic, received_at)
            self._now = received_at
            chosen = route.only
            if chosen is not None:
                device, root = chosen.device, UNDECODED
            else:
                self._router.now = received_at
                chosen, device, root = self._router.choose(route, payload, self.memory)
            taken = chosen.binding
            binding = taken.id
            if taken.ignore:
                return []
            if root is UNDECODED:
                root = self._root(taken, payload, chosen.captures) if taken.needs_decoding else None
            if root is NOTHING:
                return []
            quality = self._quality
            if type(root) is Suspect:
                root = root.value
                if quality is Quality.GOOD:
                    quality = Quality.SUSPECT
            scope = Scope(root, root, chosen.captures)
            if taken.unusual:
                return self._unusual(_Incoming(taken, device, scope, payload, received_at, retained, quality))
            assert device is not None
            return self._readings(taken, device, scope, payload, received_at, retained, quality)
        except DecodeError as error:
            self.memory.undo(mark)
            error.topic = topic
            error.binding = error.binding or binding
            raise
        except (OverflowError, RecursionError) as error:
            self.memory.undo(mark)
            raise DecodeError(
                "wrong_type", topic, binding, found=type(error).__name__, expected="numbers within reach"
            ) from error
        except Exception as error:  # whatever a payload provokes belongs into the quarantine, never into the loop
            self.memory.undo(mark)
            raise DecodeError("internal", topic, binding, found=repr(error)[:200], expected="no error") from error

    def decode_as_history(
        self, topic: str, payload: bytes, received_at: Millis, retained: bool, memory: Memory
    ) -> list[Reading]:
        """The same for a message of the past: its readings are historic, and `memory` is what it may look at and
        change."""
        own, self.memory, self._quality = self.memory, memory, Quality.HISTORIC
        self._router.replaying = True
        try:
            return self.decode(topic, payload, received_at, retained)
        finally:
            self.memory, self._quality = own, Quality.GOOD
            self._router.replaying = False

    def captures_of(self, device: str) -> dict[str, str]:
        """What the topics held that the device last spoke on, as far as commands and polls need it."""
        return dict(self.memory.get(("captures", device), {}))

    # --- time --------------------------------------------------------------------------------------------------------

    def tick(self, now: Millis) -> list[Reading]:
        """What follows from nothing having been said: lasting events that were not repeated end. `now` is how far the
        gateway has seen time pass, and must not be ahead of messages that wait to be decoded."""
        if not self._auto_clear:
            return []
        return [self._ended(lapse, now) for lapse in end_what_lapsed(self.memory, self._auto_clear, now)]

    def _ended(self, lapse: Lapse, now: Millis) -> Reading:
        return Reading(
            lapse.device,
            lapse.child,
            lapse.ended_at,
            self._stamp(lapse.device, now),
            # A binding of its own: a message may have been measured at that very time.
            f"{lapse.binding}.auto_clear",
            {lapse.event: lapse.still},
            (Event(lapse.event, {}, "end", lapse.key),),
            profile=lapse.profile,
        )

    def _readings(
        self,
        taken: CompiledBinding,
        device: Device,
        scope: Scope,
        payload: bytes,
        received_at: Millis,
        retained: bool,
        quality: Quality,
    ) -> list[Reading]:
        stamp = self._stamp(device.id, received_at)
        readings = taken.readings(payload, scope, device.id, device.zone, stamp, retained, quality, self.memory)
        if readings[0].quality is _LATE and not retained:
            readings = self._slow_clocks.judge(device.id, readings)
        if taken.completes:
            self._complete(taken, device, scope.captures, readings)
        return readings

    # --- messages with more to them ----------------------------------------------------------------------------------

    def _unusual(self, message: _Incoming) -> list[Reading]:
        taken, device, scope, payload, received_at, retained, quality = message
        if taken.past_when_retained and retained:
            return []
        if not payload and taken.empty is not None:
            return self._empty(message)
        if taken.split is not None:
            return self._split(message)
        assert device is not None
        return self._readings(taken, device, scope, payload, received_at, retained, quality)

    def _complete(
        self, taken: CompiledBinding, device: Device, captures: dict[str, str], readings: list[Reading]
    ) -> None:
        if taken.consequences is not None:
            taken.consequences.follow(readings, Owner(device.params, device.zone, self.memory))
        if taken.captures_kept:
            where: Key = ("captures", device.id)
            held = self.memory.get(where) or {}
            for name in taken.captures_kept:  # nearly always as before
                if held.get(name) != captures[name]:
                    spoken = {name: captures[name] for name in taken.captures_kept}
                    self.memory.put(where, {**held, **spoken})
                    break

    def _empty(self, message: _Incoming) -> list[Reading]:
        taken, device, scope, payload, received_at, retained, _ = message
        if taken.empty == "ignore":
            return []
        if taken.empty == "reject" or device is None:
            raise DecodeError("malformed", found="an empty payload", expected="a message")
        stamp = self._stamp(device.id, received_at)
        if taken.empty == "offline":
            return [taken.bare(device.id, stamp, retained, Presence.OFFLINE)]
        return taken.erased(payload, scope, device.id, stamp, retained, self.memory)

    def _split(self, message: _Incoming) -> list[Reading]:
        """Element by element in the order of time, so that counters and edges see one thing after the other."""
        taken, device, scope, _, received_at, retained, _ = message
        parts = self._parts(taken, device, scope, received_at)
        if not parts:
            if device is None:
                return []
            return [taken.bare(device.id, self._stamp(device.id, received_at), retained, Presence.UNSAID)]
        if taken.looks_back and len(parts) > MOST_LOOKING_BACK:
            raise DecodeError(
                "too_many",
                field="split",
                found=f"{len(parts)} elements that each look at the whole message",
                expected=f"at most {MOST_LOOKING_BACK}",
            )
        newest = {part.owner.id: part.timed[0] for part in parts}
        stamps: dict[str, Millis] = {}
        arrived: set[str] = set()
        readings: dict[str, list[Reading]] = {}
        count = 0
        for part in parts:
            found = self._part(message, part, stamps, arrived, newest[part.owner.id])
            check_count("split", count := count + len(found))
            if len(parts) == 1 and found[0].quality is Quality.LATE and not retained:
                found = self._slow_clocks.judge(part.owner.id, found)
            readings.setdefault(part.owner.id, []).extend(found)
        owners = {part.owner.id: part.owner for part in parts}
        out: list[Reading] = []
        for id, found in readings.items():
            whole = joined(found) if len(found) > 1 else found
            self._complete(taken, owners[id], scope.captures, whole)
            out += whole
        return out

    def _part(
        self, message: _Incoming, part: _Part, stamps: dict[str, Millis], arrived: set[str], newest: Millis
    ) -> list[Reading]:
        """One element as a message of its own. Those with a time of their own share the stamp of the message; of the
        others each has one, or they would overwrite each other."""
        taken, _, _, payload, received_at, retained, quality = message
        place, owner, (measured_at, trust) = part
        if taken.older_is_history and measured_at < newest:
            quality = Quality.HISTORIC
        on_arrival = measured_at == received_at
        if owner.id not in stamps or (on_arrival and owner.id in arrived):
            stamps[owner.id] = self._stamp(owner.id, received_at)
        if on_arrival:
            arrived.add(owner.id)
        stamp = stamps[owner.id]
        timed = stamp if on_arrival else measured_at, trust
        return taken.readings(payload, place, owner.id, owner.zone, stamp, retained, quality, self.memory, timed)

    def _parts(self, taken: CompiledBinding, device: Device | None, scope: Scope, received_at: Millis) -> list[_Part]:
        """The elements of a message with the device and the time of each: devices as they come, the oldest first."""
        assert taken.split is not None
        parts: list[_Part] = []
        refused: DecodeError | None = None
        for place in taken.split(scope):
            owner = device
            if owner is None:
                try:
                    owner = self._router.device(taken, place)
                except DecodeError as error:
                    if error.code != "not_registered":
                        raise
                    refused = error  # devices of others in the batch of a gateway that serves many
                    continue
            parts.append(_Part(place, owner, taken.timed(place, owner.zone, received_at)))
        if refused is not None and not parts:
            raise refused
        place_of = {id: i for i, id in enumerate(dict.fromkeys(part.owner.id for part in parts))}
        parts.sort(key=lambda part: (place_of[part.owner.id], part.timed[0]))
        return parts

    def _stamp(self, device: str, received_at: Millis) -> Millis:
        """Strictly increasing per device: two readings in one millisecond must not overwrite each other."""
        stamps = self.stamps
        last = stamps.get(device)
        if last is not None:
            # A stamp far ahead is of a clock that was wrong and has been put right: time goes on from there.
            if last >= received_at > last - _CLOCK_WENT_BACK:
                received_at = last + 1
        elif len(stamps) >= _MOST_STAMPS:
            self._forget_stamps(received_at)
        stamps[device] = received_at
        return received_at

    def _forget_stamps(self, now: Millis) -> None:
        """Addresses come off the wire: bound what they can fill. A stamp of the past holds nothing back any more."""
        ahead = {device: at for device, at in self.stamps.items() if at >= now}
        self.stamps.clear()
        if len(ahead) < _MOST_STAMPS:
            self.stamps.update(ahead)

    def _root(self, binding: CompiledBinding, payload: bytes, captures: dict[str, str], begun: Any = UNDECODED) -> Any:
        if begun is not UNDECODED and binding.go_on is not None:
            return binding.go_on(begun, Context(captures, self.memory, self._now))
        if binding.context_decode is None:
            return binding.root(payload)
        return binding.root_in(payload, Context(captures, self.memory, self._now))


def _hand_on(stamps: dict[str, Millis], devices: Iterable[DeviceEntry]) -> None:
    """The stamps of devices that were heard before they stood in a site file go on under their own ids."""
    for entry in devices if stamps else ():
        last = stamps.get(provisional_id(entry.profile, entry.address))
        if last is not None:
            stamps.setdefault(entry.id, last)


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def _heard(binding: CompiledBinding, addresses: list[str]) -> list[str]:
    """What is subscribed to for a binding. One that is for registered devices alone hears the topics of these, while
    they are few: its wildcards may be so wide that the messages of everybody else would come along."""
    if binding.discovery and not binding.registered_only:
        return [binding.pattern.filter]
    plain = all(_WILDCARDS.isdisjoint(address) for address in addresses)
    if not binding.address_is_capture or len(addresses) > MOST_NAMED_IN_FILTERS or not plain:
        return [binding.pattern.filter] if addresses else []
    return [binding.pattern.filter_for("address", address) for address in addresses]
