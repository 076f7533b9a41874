"""What has been heard of a command's effect since its gateway fetched it, and whether that shows the effect. Pure.

The newest values of a device do not say when they were received, nor whether a broker had merely kept them. So what
counts is noted here, reading by reading, and kept with the command: a restart of services loses none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from device_profiles.expression import Condition, ExpressionError, names_of_effect, parse
from device_profiles.schema import DeviceProfile
from gateway.reading import Millis, Quality, Reading, Value
from services.rules.state import DeviceState

_TRUSTED = frozenset({Quality.GOOD, Quality.SKEWED})
_MOST_KEPT = 8


@dataclass(frozen=True)
class Watched:
    """A command's effect, compiled."""

    condition: Condition
    names: frozenset[str]
    """Of metrics, states and events; params are not watched."""

    def holds(self, known: Mapping[str, Value]) -> bool:
        return self.condition(known, lambda _: None) is True


def watch(profile: DeviceProfile | None, command: str, effect: str | None) -> Watched | None:
    """The effect to look for; None where there is none, or where the profile does not know its names any more."""
    known = profile.commands.get(command) if profile is not None else None
    if profile is None or known is None or effect is None:
        return None
    try:
        expression = parse(effect, names_of_effect(profile, known))
    except ExpressionError:
        return None
    measured = expression.names - profile.params.keys() - known.params.keys()
    return Watched(expression.compile(), frozenset(measured))


class Heard(NamedTuple):
    """One value: `measured` on the device's clock, `received` on the gateway's."""

    value: Value
    measured: Millis
    received: Millis


Picture = dict[str, Heard]
"""The newest of each watched name, at one moment."""


@dataclass
class Evidence:
    ahead: Millis | None = None
    """How far the device's clock is ahead of the gateway's; below 0 where it is behind. None: nobody can tell yet."""
    began: Millis | None = None
    """When the gateway began to say it for the first time, on its own clock. None: it has not told yet."""
    pictures: list[Picture] = field(default_factory=list)
    """The newest last; of those before it the ones that may yet turn out to show the effect."""

    def note(self, watched: Watched, child: str, device: DeviceState, reading: Reading) -> bool:
        """What a live reading says of the effect is added as a new picture; False where it says nothing of it."""
        before = self.pictures[-1] if self.pictures else {}
        now = dict(before)
        for name in watched.names:
            key = name.removeprefix("parent.")
            if reading.child == (child if key == name else ""):
                _note(now, name, key, reading)
        if "presence" in watched.names and reading.child in (child, ""):
            now["presence"] = Heard(device.presence_of(child), reading.measured_at, reading.received_at)
        if now == before:
            return False
        self._compare_clocks(reading)
        self.pictures.append(now)
        return True

    def _compare_clocks(self, reading: Reading) -> None:
        """A message may have been under way for long: the quickest shows best how the clocks differ. What is stamped on
        arrival says nothing of the device's clock."""
        ahead = reading.measured_at - reading.received_at
        if ahead:
            self.ahead = ahead if self.ahead is None else max(self.ahead, ahead)

    def shown(self, watched: Watched, known: Mapping[str, Value], began: Millis) -> Picture | None:
        """The newest picture that shows the effect by what is later than `began` alone."""
        for picture in reversed(self.pictures):
            later = self.later(picture, began)
            if later and watched.holds({**known, **_values(later)}):
                return later
        return None

    def later(self, picture: Picture, began: Millis) -> Picture:
        """What of it is of later than that moment of the gateway's clock."""
        return {name: one for name, one in picture.items() if _is_later(one, began, self.ahead or 0)}

    def tidy(self, watched: Watched, known: Mapping[str, Value]) -> None:
        """Forget older pictures that cannot show the effect, whenever it was said."""
        older = [one for one in self.pictures[:-1] if watched.holds({**known, **_values(one)})]
        self.pictures = [*older[-_MOST_KEPT:], *self.pictures[-1:]]

    def rewind(self, to: Millis) -> None:
        """The gateway's clock had been ahead and was put right: what it stamped later than `to` happened by then."""
        self.ahead = None
        self.began = None if self.began is None else min(self.began, to)
        self.pictures = [
            {name: Heard(one.value, min(one.measured, to), min(one.received, to)) for name, one in picture.items()}
            for picture in self.pictures
        ]

    def dump(self) -> dict[str, Any]:
        pictures = [{name: list(one) for name, one in picture.items()} for picture in self.pictures]
        return {"ahead": self.ahead, "began": self.began, "pictures": pictures}


def load_evidence(kept: Mapping[str, Any]) -> Evidence:
    pictures = [{name: Heard(*one) for name, one in picture.items()} for picture in kept["pictures"]]
    return Evidence(ahead=kept["ahead"], began=kept["began"], pictures=pictures)


def told(picture: Picture) -> dict[str, Any]:
    """What is known of it, for the history."""
    return {name: one.value for name, one in picture.items() if one.value is not None}


def _note(picture: Picture, name: str, key: str, reading: Reading) -> None:
    if key not in reading.values and key not in reading.flags:
        return
    before = picture.get(name)
    if before is not None and before.measured > reading.measured_at:
        return  # it has been overtaken
    if key in reading.values and key not in reading.flags and reading.quality in _TRUSTED:
        picture[name] = Heard(reading.values[key], reading.measured_at, reading.received_at)
    else:
        picture.pop(name, None)


def _values(picture: Picture) -> dict[str, Value]:
    return {name: one.value for name, one in picture.items()}


def _is_later(one: Heard, began: Millis, ahead: Millis) -> bool:
    """Nothing that was received before is. What has the device's own time must be measured later as well: a message may
    have been under way while it was said."""
    if one.received <= began:
        return False
    return one.measured == one.received or _end_of(one.measured) > began + ahead


def _end_of(measured: Millis) -> Millis:
    """The latest that it may have been. Many devices tell whole seconds: it may be newer by the rest of that second."""
    return measured + 999 if measured % 1000 == 0 else measured
