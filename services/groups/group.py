"""One rule for one place: whom it counts by what is known of them, and what the engine is told of it."""

from __future__ import annotations

from collections import Counter
from zoneinfo import ZoneInfo

from gateway.presence import Liveness
from gateway.reading import Millis, Value
from services.clock import from_millis
from services.groups.counting import NOBODY, Count, Counted
from services.groups.rule import SITE_RULES, GroupRule
from services.rules.members import Tally, keys_beside, last_heard_of, values_of_tally
from services.rules.state import DeviceState

_NAMED_WHOLE = 64
"""Up to so many members those are known by name that do not meet a condition."""

Key = tuple[str, str]
"""(place, rule)"""


class _Names:
    """The members of one function of a rule, by what is known of them, in the order in which they came to it."""

    __slots__ = ("met", "other", "others", "unknown")

    def __init__(self) -> None:
        self.met: dict[str, None] = {}
        self.unknown: dict[str, None] = {}
        self.other: dict[str, None] = {}
        """Only kept of few members."""
        self.others = 0

    def exchange(self, before: Count, after: Count, *, few: bool) -> None:
        _exchange(self.met, before.met, after.met)
        _exchange(self.unknown, before.unknown, after.unknown)
        self.others += len(after.other) - len(before.other)
        if few:
            _exchange(self.other, before.other, after.other)

    @property
    def tally(self) -> Tally:
        known = len(self.met) + self.others
        return Tally(len(self.met), known, known + len(self.unknown))


def _exchange(names: dict[str, None], before: tuple[str, ...], after: tuple[str, ...]) -> None:
    if before == after:
        return
    for name in before:
        if name not in after:
            del names[name]
    for name in after:
        names[name] = None


class Group:
    """One rule for one place: its counts, and the state in which the engine keeps its alarm."""

    def __init__(self, rule: GroupRule, place: str, zone: str) -> None:
        self.rule = rule
        self.key: Key = (place, rule.rule.id)
        self.state = DeviceState(
            id=place,
            site=rule.site,
            profile_id=SITE_RULES,
            profile=rule.profile,
            params={},
            zone=zone,
            liveness=Liveness.ONLINE.value,
            looked_at=True,
        )
        self.at: Millis | None = None
        """Time up to which it was judged."""
        self.moved_at: Millis | None = None
        """Since when its counts are others than it was told."""
        self._devices: list[DeviceState] = []
        self._names = tuple(_Names() for _ in rule.functions)
        self._nobody = (NOBODY,) * len(rule.functions)
        self.gateways: Counter[str] = Counter()

    def add(self, device: DeviceState) -> None:
        """One more is counted."""
        self._devices.append(device)

    @property
    def restless(self) -> bool:
        """Time alone can move it."""
        state = self.state
        return bool(state.marks or state.past) or self.rule.compiled.timetable is not None

    def exchange(self, before: Counted | None, after: Counted) -> None:
        few = len(self._devices) <= _NAMED_WHOLE
        for names, old, new in zip(self._names, before.counts if before else self._nobody, after.counts, strict=True):
            if old != new:
                names.exchange(old, new, few=few)

    def told(self) -> dict[str, Value]:
        """What the rule reads, and who it was; None where it is unknown."""
        found = self.unknown()
        least = self.rule.rule.known_at_least
        for (key, function), names in zip(self.rule.functions, self._names, strict=True):
            found |= values_of_tally(key, function, names.tally, names.met, names.unknown, names.other, least)
            if key in self.rule.by_silence and len(self._devices) <= _NAMED_WHOLE:
                found[last_heard_of(key)] = self._last_heard()
        return found

    def _last_heard(self) -> str | None:
        """Who of them was, and when on the clock of the site."""
        heard = [(one.heard_at, one.id) for one in self._devices if one.heard_at is not None]
        if not heard:
            return None
        at, device = max(heard)
        return f"{from_millis(at).astimezone(ZoneInfo(self.state.zone)):%H:%M:%S} {device}"

    def unknown(self) -> dict[str, Value]:
        return {name: None for key, _ in self.rule.functions for name in (key, *keys_beside(key))}

    def tallies(self) -> dict[str, Tally]:
        """By function."""
        return {key: one.tally for (key, _), one in zip(self.rule.functions, self._names, strict=True)}
