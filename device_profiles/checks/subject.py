"""What every check works on: the profile, the file it came from, and how a mistake is said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from device_profiles.mistakes import Mistake, nearest, one_of, shown
from device_profiles.schema import DeviceProfile, Metric, Param, Scalar, State
from device_profiles.shape import where
from device_profiles.yaml_source import Document, Step

Path = tuple[Step, ...]
Mistakes = Iterator[Mistake]

_KINDS: dict[str, tuple[type, ...]] = {
    "number": (int, float),
    "integer": (int,),
    "text": (str,),
    "boolean": (bool,),
}


class Subject:
    """One profile under examination."""

    def __init__(self, profile: DeviceProfile, document: Document, left_out: frozenset[str]) -> None:
        self.profile = profile
        self.document = document
        self.left_out = left_out
        self.measured: Mapping[str, Metric | State] = {**profile.metrics, **profile.states}
        self.unsaid = Mistake(document.file, 0, "", "", "")
        """Stands for a mistake about a part that is itself only standing in for one that was mistaken."""

    def mistake(self, path: Path, found: str, expected: str) -> Mistake:
        if self.document.stands_in(*path):
            return self.unsaid
        return Mistake(self.document.file, self.document.line(*path), where(self.document, path), found, expected)

    def known(self, path: Path, word: object, known: Iterable[object], what: str) -> Mistakes:
        """The word must be one of these."""
        words = list(known)
        if word not in words and str(word) not in self.left_out:
            yield self.mistake(path, f"the unknown {what} {word!r}", f"{one_of(words)}{nearest(word, words)}")

    def each_once(self, path: Path, ids: Iterable[str | None], key: str = "id") -> Mistakes:
        """Of a list of parts: no two have one name."""
        seen: set[str] = set()
        for i, one in enumerate(ids):
            if one is not None and one in seen:
                yield self.mistake((*path, i, key), f"{one!r} twice", f"each {key} once")
            seen.add(one or "")

    def exactly_one(self, path: Path, part: Any, keys: tuple[str, ...]) -> Mistakes:
        """Of these keys of a part, one is given."""
        given = [key for key in keys if getattr(part, key) not in (None, ())]
        if len(given) != 1:
            yield self.mistake(path, " and ".join(given) or "nothing", f"exactly one of {', '.join(keys)}")

    def scope(self, path: Path, name: str, owner: str | None, here: str | None) -> Mistakes:
        """A name of the device, or of this child kind."""
        if owner != here:
            found = f"{name} of {owner or 'the device'}"
            yield self.mistake(path, found, f"a name with scope: {here}" if here else "a name without scope")

    def fits(self, path: Path, name: str, value: Scalar | None) -> Mistakes:
        """A value that is set on a metric or state must be one it can have."""
        if (state := self.profile.states.get(name)) is not None:
            if value not in state.values:
                yield from self.known(path, value, state.values, f"word of the state {name}")
        elif isinstance(value, str | bool):
            yield self.mistake(path, shown(value), f"a number: {name} is a metric")

    def param_value(self, path: Path, param: Param, what: str) -> Mistakes:
        """What stands at this path must be a value of the param. The plain value is looked at: pydantic may have turned
        `8` into 8.0 on its way into the model."""
        value = self.document.at(*path)
        if not isinstance(value, _KINDS[param.type]) or (param.type == "boolean") != isinstance(value, bool):
            yield self.mistake(path, shown(value), f"{what} of type {param.type}")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            if param.min is not None and value < param.min:
                yield self.mistake(path, shown(value), f"{what} of at least {param.min:g}")
            if param.max is not None and value > param.max:
                yield self.mistake(path, shown(value), f"{what} of at most {param.max:g}")
