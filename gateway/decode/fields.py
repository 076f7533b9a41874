"""A binding's `fields:` compiled to one function that fills a reading's values and flags.

The hot path of the gateway. Plain numbers (scale, offset, range) and plain words (a map) of a flat object go through
two tight loops without a call per field; whatever is unusual falls back to the full pipeline of its field, which also
words the errors. Fields that are looked at, or trusted, only under a condition stand apart from all others.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from device_profiles.schema import DeviceProfile, FieldMap, Metric, paths_of
from gateway.decode.conditions import ScopeTest, value_test
from gateway.decode.errors import DecodeError, shown
from gateway.decode.numbers import MISSING_WORDS
from gateway.decode.paths import Path, parse_path
from gateway.decode.pipeline import (
    Flags,
    Settle,
    Values,
    factors,
    settle_data,
    settle_metric,
    settle_state,
    when_missing,
    wire_word,
)
from gateway.decode.scope import Scope, ScopeGetter, first_getter
from gateway.reading import Quality

Fill = Callable[[Scope, Values, Flags], None]
_ANY = (-sys.float_info.max, sys.float_info.max)
"""The range of a metric that states none."""


_UNREADABLE = frozenset({"wrong_type", "too_large"})
"""Errors over one raw value that no map and no path could have foreseen."""


class _Plain(NamedTuple):
    """A metric that needs no more than its range; a tuple, because the loop unpacks it."""

    name: str
    key: str
    low: float
    high: float
    settle: Settle


class _Scaled(NamedTuple):
    """A metric with scale, offset or sentinels beside its range."""

    name: str
    key: str
    multiply: float
    divide: float
    offset: float
    low: float
    high: float
    drops: bool
    """Whether a value outside the range is left out."""
    sentinels: frozenset[float]
    missing: Callable[[Values], None]
    settle: Settle


class _Word(NamedTuple):
    """A state whose raw text or whole number is looked up in a map."""

    name: str
    key: str
    words: dict[str | int, str]
    settle: Settle


class _Other(NamedTuple):
    name: str
    get: ScopeGetter
    settle: Settle


class _Guarded(NamedTuple):
    """A field with conditions of its own."""

    name: str
    get: ScopeGetter
    settle: Settle
    when: ScopeTest | None
    faulty: ScopeTest | None
    suspect: ScopeTest | None
    lenient: bool
    """Whether a raw value that cannot be read is left out, and flagged."""

    def fill(self, scope: Scope, values: Values, flags: Flags) -> None:
        if self.when is not None and not self.when(scope):
            return
        if self.faulty is not None and self.faulty(scope):
            flags[self.name] = Quality.FAULTY
            return
        try:
            self.settle(self.get(scope), values, flags)
        except DecodeError as error:
            if not self.lenient or error.code not in _UNREADABLE:
                raise
            flags[self.name] = Quality.SUSPECT
        if self.suspect is not None and values.get(self.name) is not None and self.suspect(scope):
            flags[self.name] = Quality.SUSPECT

    def present(self, scope: Scope) -> bool:
        return (self.when is None or self.when(scope)) and _present(self.get, scope)


class Fields:
    """Compiled `fields:`; `fill` runs them. `zipped` are the parallel arrays of `each`, `positions` the words for an
    element's place, `free` an event's fields."""

    def __init__(
        self,
        profile: DeviceProfile,
        fields: Mapping[str, FieldMap],
        *,
        captures: frozenset[str],
        zipped: tuple[str, ...] = (),
        positions: frozenset[str] = frozenset(),
        free: Mapping[str, FieldMap] | None = None,
    ) -> None:
        self._plain: list[_Plain] = []
        self._scaled: list[_Scaled] = []
        self._words: list[_Word] = []
        self._others: list[_Other] = []
        self._guarded: list[_Guarded] = []
        self._required = {name for name, field in fields.items() if field.const is None and field.capture is None}
        self._place = _Place(captures, zipped, positions)
        for name, field in fields.items():
            self._add(profile, name, field)
        for name, field in (free or {}).items():
            get, _ = _source(field, self._place)
            self._add_other(name, field, get, settle_data(name, field))
        unguarded = self._choose()
        self.fill: Fill = self._with_guarded(unguarded) if self._guarded else unguarded

    def any_present(self, scope: Scope) -> bool:
        """Whether the message speaks of any of these fields at all, if only to say null. For the rare empty reading."""
        if not self._required:
            return True
        keys = [key for _, key, _ in self._by_key()]
        if type(scope.node) is dict and any(key in scope.node for key in keys):
            return True
        if scope.node is None or type(scope.node) is str:
            return True
        return any(_present(field.get, scope) for field in self._others) or any(
            field.present(scope) for field in self._guarded
        )

    def _add(self, profile: DeviceProfile, name: str, field: FieldMap) -> None:
        get, key = _source(field, self._place)
        if _is_guarded(field):
            key = None
        if (metric := profile.metrics.get(name)) is not None:
            settle = settle_metric(name, field, metric)
            if _is_plain_number(field):
                if key is not None:
                    self._add_number(name, field, key, metric, settle)
                    return
                settle = settle if field.sentinel else _quick_number(name, field, metric, settle)
        elif (state := profile.states.get(name)) is not None:
            settle = settle_state(name, field, state)
            if _is_plain_word(field):
                words = _quick(field.map if field.map is not None else {word: word for word in state.values})
                if key is not None:
                    self._words.append(_Word(name, key, words, settle))
                    return
                settle = _quick_word(name, words, settle)
        else:
            raise ValueError(f"expected a metric or a state of the profile, found {name!r}")
        self._add_other(name, field, get, settle)

    def _add_number(self, name: str, field: FieldMap, key: str, metric: Metric, settle: Settle) -> None:
        low, high = metric.range or _ANY
        sentinels = frozenset(float(mark) for mark in field.sentinel)
        if field.scale == 1 and field.offset == 0 and not sentinels:
            self._plain.append(_Plain(name, key, low, high, settle))
        else:
            scale = (*factors(field.scale), float(field.offset))
            missing = when_missing(name, field)
            drops = metric.out_of_range == "drop"
            self._scaled.append(_Scaled(name, key, *scale, low, high, drops, sentinels, missing, settle))

    def _add_other(self, name: str, field: FieldMap, get: ScopeGetter, settle: Settle) -> None:
        if not _is_guarded(field):
            self._others.append(_Other(name, get, settle))
            return
        paths = functools.partial(zipped_path, zipped=self._place.zipped)
        when, faulty, suspect = (
            None if given is None else value_test(given, paths, self._place.positions)
            for given in (field.when, field.faulty_when, field.suspect_when)
        )
        self._guarded.append(_Guarded(name, get, settle, when, faulty, suspect, field.unreadable == "skip"))

    def _choose(self) -> Fill:
        keyed = self._plain or self._scaled or self._words
        if self._others and not keyed:
            return _filling_others(tuple(self._others))
        return self._filling_keyed()

    def _with_guarded(self, unguarded: Fill) -> Fill:
        guarded = [field.fill for field in self._guarded]
        alone = not (self._plain or self._scaled or self._words or self._others)

        def fill(scope: Scope, values: Values, flags: Flags) -> None:
            if not alone:
                unguarded(scope, values, flags)
            for fill_one in guarded:
                fill_one(scope, values, flags)

        return fill

    def _filling_keyed(self) -> Fill:
        plain, scaled, words = tuple(self._plain), tuple(self._scaled), tuple(self._words)
        others, fill_strange = tuple(self._others), self._fill_strange
        (lowest, highest), impossible = _ANY, Quality.IMPOSSIBLE

        def fill(scope: Scope, values: Values, flags: Flags) -> None:
            node = scope.node
            if type(node) is not dict:
                fill_strange(scope, values, flags)
            else:
                get = node.get
                for name, key, low, high, settle in plain:
                    raw = get(key)
                    # Exactly float or int: a bool is an int too, and is no number here.
                    if type(raw) is float:
                        if low <= raw <= high:
                            values[name] = raw
                            continue
                    elif type(raw) is int and low <= raw <= high:
                        values[name] = float(raw)
                        continue
                    settle(raw, values, flags)
                for name, key, multiply, divide, offset, low, high, drops, sentinels, missing, settle in scaled:
                    raw = get(key)
                    if type(raw) is int or type(raw) is float:
                        if sentinels and raw in sentinels:
                            missing(values)
                            continue
                        value = raw * multiply / divide + offset
                        if low <= value <= high:
                            values[name] = value
                            continue
                        if drops and lowest <= value <= highest:
                            flags[name] = impossible
                            continue
                    settle(raw, values, flags)
                for name, key, listed, settle in words:
                    raw = get(key)
                    if (type(raw) is str or type(raw) is int) and raw in listed:
                        values[name] = listed[raw]
                    else:
                        settle(raw, values, flags)
            for _, get_from, settle in others:
                settle(get_from(scope), values, flags)

        return fill

    def _fill_strange(self, scope: Scope, values: Values, flags: Flags) -> None:
        """The payload is no object: null means that everything is missing, anything else is another dialect."""
        for name, key, settle in self._by_key():
            if scope.node is not None:
                raise DecodeError("wrong_type", field=name, found=shown(scope.node), expected=f"an object with {key!r}")
            settle(None, values, flags)

    def _by_key(self) -> list[tuple[str, str, Settle]]:
        found = [(plain.name, plain.key, plain.settle) for plain in self._plain]
        found += [(scaled.name, scaled.key, scaled.settle) for scaled in self._scaled]
        return found + [(word.name, word.key, word.settle) for word in self._words]


def _filling_others(others: tuple[_Other, ...]) -> Fill:
    if len(others) == 1:
        _, get, settle_only = others[0]
        return lambda scope, values, flags: settle_only(get(scope), values, flags)

    def fill(scope: Scope, values: Values, flags: Flags) -> None:
        for _, get_from, settle in others:
            settle(get_from(scope), values, flags)

    return fill


def _quick_word(name: str, words: Mapping[str | int, str], settle: Settle) -> Settle:
    """A state of which the raw value stands deeper than in a key: the same short cut."""

    def quick(raw: Any, values: Values, flags: Flags) -> None:
        if (type(raw) is str or type(raw) is int) and raw in words:
            values[name] = words[raw]
        else:
            settle(raw, values, flags)

    return quick


def _quick_number(name: str, field: FieldMap, metric: Metric, settle: Settle) -> Settle:
    low, high = metric.range or _ANY
    multiply, divide = factors(field.scale)
    offset = float(field.offset)

    def quick(raw: Any, values: Values, flags: Flags) -> None:
        if type(raw) is float or type(raw) is int:
            value = raw * multiply / divide + offset
            if low <= value <= high:
                values[name] = value
                return
        settle(raw, values, flags)

    return quick


def _present(get: ScopeGetter, scope: Scope) -> bool:
    try:
        return get(scope) is not None
    except DecodeError:
        return False


class _Place(NamedTuple):
    """What fields may name beside paths."""

    captures: frozenset[str]
    zipped: tuple[str, ...]
    positions: frozenset[str]


def _source(field: FieldMap, place: _Place) -> tuple[ScopeGetter, str | None]:
    """Where the raw value stands, and the plain key when it is one of the node itself."""
    given = [text for text in (field.path, field.capture, field.const) if text is not None]
    if len(given) != 1:
        raise ValueError(f"expected exactly one of path, capture, const in a field, found {len(given)}")
    if field.const is not None:
        const = field.const
        return (lambda _: const), None
    if field.capture is not None:
        return _captured(field.capture, place), None
    paths = [zipped_path(path, place.zipped) for path in paths_of(field.path)]
    only = paths[0] if len(paths) == 1 and len(paths[0].segments) == 1 and not paths[0].absolute else None
    plain = None if only is None else only.segments[0]
    return first_getter(paths), plain if isinstance(plain, str) else None


def _captured(name: str, place: _Place) -> ScopeGetter:
    if name in place.positions:
        return attrgetter(name)
    if name not in place.captures:
        known = ", ".join(sorted(place.captures | place.positions)) or "none"
        raise ValueError(f"expected a capture of the topic ({known}), found {name!r}")
    return lambda scope: scope.captures[name]


def zipped_path(text: str, zipped: tuple[str, ...]) -> Path:
    """Inside `zip`, the path of one of the arrays names this child's element of it."""
    path = parse_path(text)
    for array in zipped:
        inner = parse_path(array).segments
        if not path.absolute and path.segments[: len(inner)] == inner:
            return Path(text, (array, *path.segments[len(inner) :]), False)
    return path


def _is_guarded(field: FieldMap) -> bool:
    conditions = (field.when, field.faulty_when, field.suspect_when)
    return field.unreadable == "skip" or any(when is not None for when in conditions)


def _is_plain_number(field: FieldMap) -> bool:
    return (
        field.linear is None
        and field.map is None
        and field.cast in (None, "number")
        and all(isinstance(mark, int | float) and not isinstance(mark, bool) for mark in field.sentinel)
    )


def _is_plain_word(field: FieldMap) -> bool:
    steps = (field.replace, field.strip, field.cast, field.linear)
    return all(step is None for step in steps) and not field.sentinel and field.scale == 1 and field.offset == 0


def _quick(words: Mapping[str, Any]) -> dict[str | int, str]:
    """A map's table by text and by whole number: the wire may carry 1 or "1"."""
    quick: dict[str | int, str] = {}
    for key, word in words.items():
        if key.strip().lower() in MISSING_WORDS:
            continue  # the full pipeline knows that "null" is no word
        quick[key] = word
        if key.isascii() and key.isdigit() and len(key) < 10 and wire_word(int(key)) == key:
            quick[int(key)] = word
    return quick
