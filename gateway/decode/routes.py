"""Which binding takes a message, and which device it comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import tzinfo
from typing import Any

import msgspec

from device_profiles.schema import Scalar
from gateway.decode.compile import CompiledBinding
from gateway.decode.context import NOTHING
from gateway.decode.dispatch import ByteTable, byte_table
from gateway.decode.errors import DecodeError, shown
from gateway.decode.frames import Suspect
from gateway.decode.memory import Memory
from gateway.decode.scope import Scope
from gateway.decode.templates import check_address
from gateway.decode.topics import TopicTree
from gateway.reading import Millis, provisional_id

_MOST_ROUTES = 20_000
_LONGEST_ROUTE = 256
MOST_STRANGERS = 5_000
"""Devices in no site file that are taken per day. Addresses come off the wire, and each becomes a device, a route and a
series: who makes them up must not fill the disk. Those beyond go to the quarantine, and can be replayed."""
_STRANGERS_ANEW: Millis = 24 * 3600 * 1000
_SHORTER = -1
"""Instead of a byte: the payload ends before it."""
UNDECODED: Any = object()

Decode = Callable[[CompiledBinding, bytes, dict[str, str], Any], Any]
"""A payload by the codecs of a binding; last what its first codec has made of it already, or UNDECODED."""


class Device:
    """A device as the decoder needs it: what readings carry, the zone that naive times are meant in, its params."""

    __slots__ = ("id", "known", "params", "zone")

    def __init__(self, id: str, zone: tzinfo, known: bool, params: Mapping[str, Scalar]) -> None:
        self.id = id
        self.zone = zone
        self.known = known
        self.params = params


class Candidate:
    """A binding that takes a topic, with its captures, and the device where the topic alone names it."""

    __slots__ = ("binding", "captures", "device")

    def __init__(self, binding: CompiledBinding, captures: dict[str, str], device: Device | None) -> None:
        self.binding = binding
        self.captures = captures
        self.device = device


class Route:
    """Candidates on one topic, and how to tell them apart."""

    __slots__ = ("_branches", "_offset", "_table", "_tables", "candidates", "only")

    def __init__(self, candidates: list[Candidate], tables: Tables) -> None:
        self.candidates = candidates
        first = candidates[0] if candidates else None
        alone = first is not None and first.device is not None and len(candidates) == 1 and not first.binding.conditions
        self.only = first if alone else None
        """The only candidate, where nothing is to be asked."""
        self._tables = tables
        self._table = tables.of(tuple(candidate.binding for candidate in candidates))
        self._offset = -1 if self._table is None else self._table.offset
        self._branches: dict[int, Route] = {}

    def taking(self, payload: bytes) -> list[Candidate]:
        """Those whose conditions may hold, in their order."""
        place = self
        while (offset := place._offset) >= 0:
            byte = payload[offset] if len(payload) > offset else _SHORTER
            place = place._branches.get(byte) or place._branch(byte)
        return place.candidates

    def _branch(self, byte: int) -> Route:
        assert self._table is not None
        positions = self._table.shorter if byte == _SHORTER else self._table.by_byte[byte]
        self._branches[byte] = branch = Route([self.candidates[i] for i in positions], self._tables)
        return branch


class Tables:
    """Byte tables by the bindings they tell apart: those come in few combinations, and on many topics."""

    def __init__(self) -> None:
        self._made: dict[tuple[CompiledBinding, ...], ByteTable | None] = {}

    def of(self, bindings: tuple[CompiledBinding, ...]) -> ByteTable | None:
        if bindings not in self._made:
            self._made[bindings] = byte_table([binding.when for binding in bindings])
        return self._made[bindings]


class Choice(msgspec.Struct, frozen=True, eq=False):
    """A binding that takes a message."""

    candidate: Candidate
    device: Device | None
    """None where only the elements of the message name devices, or nobody needs to know."""
    root: Any
    """The decoded payload, or UNDECODED."""
    known: bool
    """Whether it comes from a registered device."""


class Router:
    """Finds the binding and the device of a message. `known` looks up a registered device, `defaults` are the params of
    those that are not; `decode` decodes a payload by the codecs of a binding."""

    def __init__(
        self,
        bindings: Iterable[CompiledBinding],
        *,
        known: Callable[[str, str], Device | None],
        defaults: Mapping[str, Mapping[str, Scalar]],
        zone: tzinfo,
        decode: Decode,
    ) -> None:
        self._tree = TopicTree([(binding.pattern, binding) for binding in bindings])
        self._known = known
        self._defaults = defaults
        self._zone = zone
        self._decode = decode
        self._strangers: dict[tuple[str, str], Device] = {}
        self._strangers_since: Millis = 0
        self.now: Millis = 0
        """When the message in hand was received."""
        self.replaying = False
        """It is a message of the past: its time says nothing about today."""
        self._tables = Tables()
        self.routes: dict[str, Route] = {}
        """By topic, as found before."""

    def find(self, topic: str, now: Millis) -> Route:
        """The candidates for a topic, those whose device is registered first; remembered per topic."""
        self.now = now
        if not topic.isprintable():
            raise DecodeError("no_binding", topic, found=shown(topic), expected="a printable topic")
        candidates: list[Candidate] = []
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
        candidates.sort(key=_rank)
        route = Route(candidates, self._tables)
        if len(topic) <= _LONGEST_ROUTE:
            if len(self.routes) >= _MOST_ROUTES:
                self.routes.clear()
            self.routes[topic] = route
        return route

    def _candidate(self, binding: CompiledBinding, captures: dict[str, str]) -> Candidate:
        if not binding.address_in_topic:
            return Candidate(binding, captures, None)  # who speaks stands in the payload
        return Candidate(binding, captures, self.device(binding, Scope(None, None, captures)))

    def device(self, binding: CompiledBinding, scope: Scope) -> Device:
        """The device that the message names; raises DecodeError where it may not speak."""
        address = binding.address(scope)
        device = self._known(binding.profile, address)
        if device is not None:
            return device
        if binding.registered_only:
            check_address(address, levels_allowed=binding.address_levels)
            raise DecodeError(
                "not_registered",
                field="address",
                found=shown(address),
                expected=f"a device of the profile {binding.profile} that stands in a site file",
            )
        return self._strangers.get((binding.profile, address)) or self._stranger(binding, address)

    def _stranger(self, binding: CompiledBinding, address: str) -> Device:
        check_address(address, levels_allowed=binding.address_levels)
        # A clock that goes back begins a new day; a message of the past that is replayed does not.
        if not self.replaying and not 0 <= self.now - self._strangers_since < _STRANGERS_ANEW:
            self._strangers_since = self.now
            self._strangers.clear()
        if len(self._strangers) >= MOST_STRANGERS:
            raise DecodeError(
                "too_many",
                field="address",
                found=f"{shown(address)}, one more device that stands in no site file",
                expected=f"at most {MOST_STRANGERS} of them a day",
            )
        params = self._defaults.get(binding.profile, {})
        device = Device(provisional_id(binding.profile, address), self._zone, False, params)
        self._strangers[binding.profile, address] = device
        return device

    def choose(self, route: Route, payload: bytes, memory: Memory) -> tuple[Candidate, Device | None, Any]:
        """The first candidate that takes the message, its device and the decoded payload, as in a Choice; one of a
        registered device comes before all others. What the others changed in the memory is taken back."""
        taking = route.taking(payload)
        if len(taking) == 1 and (only := taking[0].binding).plain:
            test = only.only_test
            if test is None or test(payload):
                return self._only(taking[0], payload)
        candidates = [one for one in taking if (test := one.binding.only_test) is None or test(payload)]
        if len(candidates) == 1 and candidates[0].binding.plain:
            return self._only(candidates[0], payload)
        choice = self._best(route, candidates, payload, memory)
        return choice.candidate, choice.device, choice.root

    def _only(self, candidate: Candidate, payload: bytes) -> tuple[Candidate, Device | None, Any]:
        """The one candidate that takes the message: nothing is to be weighed."""
        binding, device = candidate.binding, candidate.device
        try:
            root = binding.decode(payload) if payload and binding.decode is not None else binding.root(payload)
            if device is None and type(root) is dict:
                address = root.get(binding.address_key)
                if type(address) is str:
                    device = self._known(binding.profile, address)
            if device is None:
                device = self.device(binding, _scope(root, candidate.captures))
        except DecodeError as error:
            error.binding = error.binding or binding.id
            raise
        return candidate, device, root

    def _best(self, route: Route, candidates: list[Candidate], payload: bytes, memory: Memory) -> Choice:
        decoded = _Decoded(payload, self._decode)
        fallback: Choice | None = None
        refused: DecodeError | None = None
        mark = memory.mark()
        taught: list[Candidate] = []
        for candidate in candidates:
            if fallback is not None and fallback.root is not NOTHING and memory.mark() > mark:
                # The next one must not see what this one has learnt; it learns it anew if it is the one in the end.
                memory.undo(mark)
                taught.clear()
                fallback = msgspec.structs.replace(fallback, root=UNDECODED)
            before = memory.mark()
            try:
                taken = self._take(candidate, payload, decoded, alone=len(candidates) == 1)
            except DecodeError as error:
                memory.undo(before)
                error.binding = error.binding or candidate.binding.id
                refused = refused or error
                continue
            if taken is None:
                memory.undo(before)
                continue
            if memory.mark() > before:
                taught.append(candidate)
            if taken.known:
                return _settled(taken, taught, memory, mark)
            # A request on a line of several profiles says nothing to each of them.
            fallback = taken if fallback is None or fallback.root is NOTHING else fallback
        if fallback is not None:
            return _settled(fallback, taught, memory, mark)
        raise refused or DecodeError(
            "no_match",
            binding=",".join(candidate.binding.id for candidate in route.candidates)[:200],
            found=shown(payload),
            expected="a message that the `when` of one binding takes",
        )

    def _take(self, candidate: Candidate, payload: bytes, decoded: _Decoded, *, alone: bool) -> Choice | None:
        binding = candidate.binding
        root: Any = UNDECODED
        if binding.conditions and binding.only_test is None:
            for condition in binding.conditions:
                if condition.raw is not None and not condition.raw(payload):
                    continue
                if condition.by_bytes:
                    break
                if condition.needs_decoding and root is UNDECODED:
                    root = decoded.by(candidate)
                    if root is NOTHING:
                        return Choice(candidate, candidate.device, root, False)
                if condition.holds_decoded(payload, _scope(root, candidate.captures)):
                    break
            else:
                return None
        device = candidate.device
        if device is not None or binding.ignore:
            return Choice(candidate, device, root, device is not None and device.known)
        if root is UNDECODED:
            root = decoded.by(candidate)
        if root is NOTHING:
            return Choice(candidate, None, root, False)
        scope = _scope(root, candidate.captures)
        if binding.split is None or not payload:
            device = self.device(binding, scope)
            return Choice(candidate, device, root, device.known)
        known = not alone and any(self.device(binding, place).known for place in binding.split(scope))
        return Choice(candidate, None, root, known)


class _Decoded:
    """One payload as several bindings decode it. What is the same for some of them, the whole chain or its first codec,
    is done once: a topic may have dozens, and a payload a mebibyte."""

    def __init__(self, payload: bytes, decode: Decode) -> None:
        self._payload = payload
        self._decode = decode
        self._made: dict[tuple[str, ...], Any] = {}

    def by(self, candidate: Candidate) -> Any:
        binding = candidate.binding
        key = binding.codec_key
        if key not in self._made:
            self._made[key] = self._kept(lambda: self._whole(candidate))
        return self._said(key)

    def _whole(self, candidate: Candidate) -> Any:
        binding = candidate.binding
        begun = UNDECODED
        if self._payload and (begin := binding.begin) is not None:
            first = binding.codec_key[:1]
            if first not in self._made:
                self._made[first] = self._kept(lambda: begin(self._payload))
            begun = self._said(first)
        return self._decode(binding, self._payload, candidate.captures, begun)

    def _kept(self, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except DecodeError as error:
            return error

    def _said(self, key: tuple[str, ...]) -> Any:
        found = self._made[key]
        if type(found) is DecodeError:
            raise found
        return found


def _settled(choice: Choice, taught: list[Candidate], memory: Memory, mark: int) -> Choice:
    """The choice without what decoding by other bindings has put into the memory."""
    if choice.root is NOTHING or all(one is choice.candidate for one in taught):
        return choice
    memory.undo(mark)
    return msgspec.structs.replace(choice, root=UNDECODED)


def _rank(candidate: Candidate) -> tuple[bool, bool]:
    """Registered devices first, then profiles that are heard before a device of theirs is registered."""
    return candidate.device is None or not candidate.device.known, not candidate.binding.discovery


def _scope(root: Any, captures: dict[str, str]) -> Scope:
    if root is UNDECODED:
        root = None
    elif type(root) is Suspect:
        root = root.value
    return Scope(root, root, captures)
