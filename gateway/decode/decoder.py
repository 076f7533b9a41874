"""The decoder: topic and bytes in, readings out; or one DecodeError that says what was found and what was expected."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from device_profiles.schema import DeviceProfile
from gateway.decode.compile import CompiledBinding
from gateway.decode.errors import DecodeError, shown
from gateway.decode.frames import Suspect
from gateway.decode.scope import Scope
from gateway.decode.slowclocks import SlowClocks
from gateway.decode.templates import check_address
from gateway.decode.topics import TopicTree, fewest_filters
from gateway.reading import Millis, Quality, Reading, Registry

LARGEST_PAYLOAD = 1 << 20
"""A larger payload is refused before anything looks at it."""
_MOST_ROUTES = 20_000
_LONGEST_ROUTE = 256
MOST_STRANGERS = 5_000
"""Devices in no site file that are taken per day. Addresses come off the wire, and each becomes a device, a route and a
series: who makes them up must not fill the disk. Those beyond go to the quarantine, and can be replayed."""
_STRANGERS_ANEW: Millis = 24 * 3600 * 1000
_MOST_STAMPS = 200_000
_CLOCK_WENT_BACK: Millis = 60_000
_UNDECODED: Any = object()


class Device:
    """A device as the decoder needs it: what readings carry, and the zone that naive times are meant in."""

    __slots__ = ("id", "known", "zone")

    def __init__(self, id: str, zone: tzinfo, known: bool) -> None:
        self.id = id
        self.zone = zone
        self.known = known


class _Candidate:
    """A binding that takes a topic, with its captures, and the device where the topic alone names it."""

    __slots__ = ("binding", "captures", "device")

    def __init__(self, binding: CompiledBinding, captures: dict[str, str], device: Device | None) -> None:
        self.binding = binding
        self.captures = captures
        self.device = device


class Decoder:
    """Turns messages into readings, for all profiles of a gateway and the devices it serves.

    Not thread-safe: one thread owns it. `stamps` holds the last `received_at` given out per device; hand it to the next
    decoder when the registry changes, so that stamps stay strictly increasing. `zone` is what times without one mean
    on devices that are not in the registry.
    """

    def __init__(
        self,
        profiles: Iterable[DeviceProfile],
        registry: Registry,
        stamps: dict[str, Millis] | None = None,
        *,
        zone: tzinfo = UTC,
    ) -> None:
        self._zone = zone
        self.stamps: dict[str, Millis] = {} if stamps is None else stamps
        self.registry_version = registry.version
        bindings = [_compiled(profile, i) for profile in profiles for i in range(len(profile.bindings))]
        self._tree = TopicTree([(binding.pattern, binding) for binding in bindings])
        self.filters: tuple[str, ...] = fewest_filters(binding.pattern for binding in bindings)
        self._devices = {
            (entry.profile, entry.address): Device(entry.id, _zone(entry.timezone), True) for entry in registry.devices
        }
        self._slow_clocks = SlowClocks()
        self._strangers: dict[tuple[str, str], Device] = {}
        self._strangers_since: Millis = 0
        self._now: Millis = 0
        self._routes: dict[str, list[_Candidate]] = {}

    def decode(self, topic: str, payload: bytes, received_at: Millis, retained: bool = False) -> list[Reading]:
        """The readings of one message; [] when the profile ignores it on purpose; raises only DecodeError."""
        binding = ""
        try:
            if type(payload) is not bytes:
                payload = bytes(payload)
            if len(payload) > LARGEST_PAYLOAD:
                raise DecodeError(
                    "too_large", found=f"{len(payload)} bytes", expected=f"at most {LARGEST_PAYLOAD} bytes"
                )
            candidates = self._routes.get(topic) or self._route(topic, received_at)
            first = candidates[0]
            if len(candidates) == 1 and first.device is not None and not first.binding.conditions:
                chosen, device, root = first, first.device, _UNDECODED
            else:
                self._now = received_at
                chosen, device, root = self._choose(candidates, payload)
            taken = chosen.binding
            binding = taken.id
            if taken.ignore:
                return []
            if root is _UNDECODED:
                root = taken.root(payload) if taken.needs_decoding else None
            stamp = self._stamp(device.id, received_at)
            readings = taken.readings(root, payload, chosen.captures, device.id, device.zone, stamp, retained)
            if readings and readings[0].quality is Quality.LATE and not retained:
                return self._slow_clocks.judge(device.id, readings)
            return readings
        except DecodeError as error:
            error.topic = topic
            error.binding = error.binding or binding
            raise
        except (OverflowError, RecursionError) as error:
            raise DecodeError(
                "wrong_type", topic, binding, found=type(error).__name__, expected="numbers within reach"
            ) from error
        except Exception as error:  # whatever a payload provokes belongs into the quarantine, never into the loop
            raise DecodeError("internal", topic, binding, found=repr(error)[:200], expected="no error") from error

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

    # --- which binding, which device ---------------------------------------------------------------------------------

    def _route(self, topic: str, now: Millis) -> list[_Candidate]:
        """The candidates for a topic, those whose device is registered first; remembered per topic."""
        self._now = now
        if not topic.isprintable():
            raise DecodeError("no_binding", topic, found=shown(topic), expected="a printable topic")
        candidates: list[_Candidate] = []
        refused: DecodeError | None = None
        for match in self._tree.find(topic):
            try:
                candidates.append(self._candidate(match.item, match.captures))
            except DecodeError as error:
                error.binding = match.item.id
                refused = refused or error
        if not candidates:
            raise refused or DecodeError(
                "no_binding", topic, found=shown(topic), expected="a topic that some device profile binds"
            )
        candidates.sort(key=lambda candidate: candidate.device is None or not candidate.device.known)
        if len(topic) <= _LONGEST_ROUTE:
            if len(self._routes) >= _MOST_ROUTES:
                self._routes.clear()
            self._routes[topic] = candidates
        return candidates

    def _candidate(self, binding: CompiledBinding, captures: dict[str, str]) -> _Candidate:
        if not binding.address_in_topic:
            return _Candidate(binding, captures, None)
        return _Candidate(binding, captures, self._device(binding, Scope(None, None, captures)))

    def _device(self, binding: CompiledBinding, scope: Scope) -> Device:
        address = binding.address(scope)
        return (
            self._devices.get((binding.profile, address))
            or self._strangers.get((binding.profile, address))
            or self._stranger(binding, address)
        )

    def _stranger(self, binding: CompiledBinding, address: str) -> Device:
        check_address(address, levels_allowed=binding.address_levels)
        if not 0 <= self._now - self._strangers_since < _STRANGERS_ANEW:
            self._strangers_since = self._now
            self._strangers.clear()
        if len(self._strangers) >= MOST_STRANGERS:
            raise DecodeError(
                "too_many",
                field="address",
                found=f"{shown(address)}, one more device that stands in no site file",
                expected=f"at most {MOST_STRANGERS} of them a day",
            )
        device = Device(f"{binding.profile}:{address.replace('/', '.')}", self._zone, False)
        self._strangers[binding.profile, address] = device
        return device

    def _choose(self, candidates: list[_Candidate], payload: bytes) -> tuple[_Candidate, Device, Any]:
        """The first candidate that takes the message; one of a registered device comes before all others."""
        decoded: dict[tuple[str, ...], Any] = {}
        fallback: tuple[_Candidate, Device, Any] | None = None
        refused: DecodeError | None = None
        for candidate in candidates:
            test = candidate.binding.only_test
            if test is not None and not test(payload):
                continue
            try:
                taken = self._take(candidate, payload, decoded)
            except DecodeError as error:
                error.binding = error.binding or candidate.binding.id
                refused = refused or error
                continue
            if taken is None:
                continue
            if taken[1].known:
                return taken
            fallback = fallback or taken
        if fallback is not None:
            return fallback
        raise refused or DecodeError(
            "no_match",
            binding=",".join(candidate.binding.id for candidate in candidates)[:200],
            found=shown(payload),
            expected="a message that the `when` of one binding takes",
        )

    def _take(
        self, candidate: _Candidate, payload: bytes, decoded: dict[tuple[str, ...], Any]
    ) -> tuple[_Candidate, Device, Any] | None:
        binding = candidate.binding
        root: Any = _UNDECODED
        if binding.conditions and binding.only_test is None:
            for condition in binding.conditions:
                if condition.raw is not None and not condition.raw(payload):
                    continue
                if condition.scoped is None:
                    break
                if condition.needs_decoding and root is _UNDECODED:
                    root = self._root(binding, payload, decoded)
                if condition.scoped(_scope(root, candidate.captures)):
                    break
            else:
                return None
        device = candidate.device
        if device is None:
            if root is _UNDECODED:
                root = self._root(binding, payload, decoded)
            device = self._device(binding, _scope(root, candidate.captures))
        return candidate, device, root

    @staticmethod
    def _root(binding: CompiledBinding, payload: bytes, decoded: dict[tuple[str, ...], Any]) -> Any:
        if binding.codec_key not in decoded:
            decoded[binding.codec_key] = binding.root(payload)
        return decoded[binding.codec_key]


def _scope(root: Any, captures: dict[str, str]) -> Scope:
    if root is _UNDECODED:
        root = None
    elif type(root) is Suspect:
        root = root.value
    return Scope(root, root, captures)


def _compiled(profile: DeviceProfile, index: int) -> CompiledBinding:
    binding = profile.bindings[index]
    try:
        return CompiledBinding(profile, binding)
    except ValueError as error:
        raise ValueError(f"{profile.id}: bindings[{index}] ({binding.id}): {error}") from error


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC
