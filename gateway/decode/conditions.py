"""`when:` compiled: which binding takes a message, which event it fires, which field is looked at."""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final, NamedTuple, cast

from device_profiles.schema import Scalar, ValuePath, When, paths_of
from gateway.decode.paths import Path, literal, parse_path
from gateway.decode.scope import Scope, ScopeGetter, lenient_scope_getter
from gateway.decode.text_patterns import Pattern

RawTest = Callable[[bytes], bool]
ScopeTest = Callable[[Scope], bool]
MixedTest = Callable[[bytes, Scope], bool]
_HEX: Final = "0123456789abcdef"
PathReader = Callable[[str], Path]


class Condition:
    """One `when:`. `raw` looks at the bytes; `scoped` at captures and decoded values; `mixed` holds the alternatives
    and opposites that look at both. Each is None where it need not.

    A payload of another shape than a path expects simply has nothing there. `paths` takes paths apart; inside `zip`,
    where they name arrays, another than `parse_path` does. `positions` are the words for an element's place.
    """

    __slots__ = ("by_bytes", "mixed", "needs_decoding", "raw", "scoped")

    def __init__(self, when: When, paths: PathReader = parse_path, positions: frozenset[str] = frozenset()) -> None:
        parts = _flat(when)
        inner = [_Nested.of(part, paths, positions) for part in parts if part.any_of or part.not_ is not None]
        raw = [test for part in parts for test in _raw_tests(part)]
        scoped = [test for part in parts for test in _scope_tests(part, paths, positions)]
        self.raw = _all_raw([*raw, *(test for one in inner for test in one.raw)])
        self.scoped = _all_scoped([*scoped, *(test for one in inner for test in one.scoped)])
        self.mixed = _all_mixed([test for one in inner for test in one.mixed])
        self.by_bytes = self.scoped is None and self.mixed is None
        """Whether the bytes alone decide."""
        self.needs_decoding = any(one.needs_decoding for one in inner) or any(
            part.path is not None or part.absent is not None or part.kind is not None for part in parts
        )

    def holds_decoded(self, payload: bytes, scope: Scope) -> bool:
        """The rest of it, where `raw` holds."""
        return (self.scoped is None or self.scoped(scope)) and (self.mixed is None or self.mixed(payload, scope))

    def holds(self, payload: bytes, scope: Scope) -> bool:
        return (
            (self.raw is None or self.raw(payload))
            and (self.scoped is None or self.scoped(scope))
            and (self.mixed is None or self.mixed(payload, scope))
        )


def value_test(when: When, paths: PathReader = parse_path, positions: frozenset[str] = frozenset()) -> ScopeTest:
    """A `when:` of a field: only decoded values and captures are looked at. Raises ValueError for one that would look
    at the bytes."""
    condition = Condition(when, paths, positions)
    if condition.raw is not None or condition.mixed is not None:
        raise ValueError(
            "expected path, absent, kind or capture in the when of a field, found a test of the whole payload"
        )
    if condition.scoped is None:
        raise ValueError("expected path, absent, kind or capture in the when of a field, found nothing")
    return condition.scoped


def _flat(when: When) -> list[When]:
    """It and all that `all_of` adds to it: all of them must hold anyhow."""
    return [when, *(part for more in when.all_of for part in _flat(more))]


class _Nested(NamedTuple):
    """What `any_of` and `not` of one condition come to: tests of the bytes, of values, and of both."""

    raw: list[RawTest]
    scoped: list[ScopeTest]
    mixed: list[MixedTest]
    needs_decoding: bool

    @classmethod
    def of(cls, when: When, paths: PathReader, positions: frozenset[str]) -> _Nested:
        some = [Condition(part, paths, positions) for part in when.any_of]
        opposite = None if when.not_ is None else Condition(when.not_, paths, positions)
        within = some if opposite is None else [*some, opposite]
        out = cls([], [], [], any(one.needs_decoding for one in within))
        if some:
            out._add_any(some)
        if opposite is not None:
            out._add_opposite(opposite)
        return out

    def _add_any(self, some: list[Condition]) -> None:
        raw, scoped = [one.raw for one in some], [one.scoped for one in some]
        if all(one.by_bytes for one in some):
            tests = [test for test in raw if test is not None]
            if len(tests) == len(some):  # one without tests always holds
                self.raw.append(lambda payload: any(test(payload) for test in tests))
        elif all(one.raw is None and one.mixed is None for one in some):
            values = [test for test in scoped if test is not None]
            self.scoped.append(lambda scope: any(test(scope) for test in values))
        else:
            self.mixed.append(lambda payload, scope: any(one.holds(payload, scope) for one in some))

    def _add_opposite(self, one: Condition) -> None:
        raw, scoped = one.raw, one.scoped
        if one.mixed is None and scoped is None and raw is not None:
            self.raw.append(lambda payload: not raw(payload))
        elif one.mixed is None and raw is None and scoped is not None:
            self.scoped.append(lambda scope: not scoped(scope))
        else:
            self.mixed.append(lambda payload, scope: not one.holds(payload, scope))


def _raw_tests(when: When) -> list[RawTest]:
    tests: list[RawTest] = []
    if when.prefix is not None:
        tests.append(_prefix_test(when.prefix))
    if when.at is not None or when.byte is not None:
        if when.at is None or when.byte is None or not 0 <= when.byte <= 255:
            raise ValueError("expected at and byte (0 to 255) together in when")
        at, byte = when.at, when.byte
        # A slice is simply empty beyond the end, at either side.
        tests.append(lambda payload: -len(payload) <= at < len(payload) and payload[at] == byte)
    if when.text is not None:
        text = when.text.encode()
        tests.append(lambda payload: payload == text)
    if when.length is not None:
        length = when.length
        tests.append(lambda payload: len(payload) == length)
    if when.min_length is not None:
        least = when.min_length
        tests.append(lambda payload: len(payload) >= least)
    if when.regex is not None and when.path is None and when.capture is None:
        tests.append(_payload_pattern(when.regex))
    return tests


def _payload_pattern(text: str) -> RawTest:
    pattern = Pattern(text, capturing=False)
    longest = 4 * pattern.longest

    def test(payload: bytes) -> bool:
        if len(payload) > longest:
            return False
        try:
            return pattern.matches(payload.decode())
        except UnicodeDecodeError:
            return False

    return test


def _prefix_test(digits: str) -> RawTest:
    """Hex digits with `?` for any one, as a pattern over bytes: one call, however many gaps there are."""
    digits = digits.replace(" ", "").lower()
    digits += "?" * (len(digits) % 2)
    pattern = b"".join(_byte_pattern(*digits[i : i + 2]) for i in range(0, len(digits), 2))
    match = re.compile(pattern, re.DOTALL).match
    return cast(RawTest, match)  # a match is as good as true


def _byte_pattern(high: str, low: str) -> bytes:
    if high == "?" and low == "?":
        return b"."
    highs, lows = (_HEX if digit == "?" else digit for digit in (high, low))
    allowed = [int(one + other, 16) for one in highs for other in lows]
    return b"[%s]" % b"".join(b"\\x%02x" % byte for byte in allowed)


def _scope_tests(when: When, paths: PathReader, positions: frozenset[str]) -> list[ScopeTest]:
    if when.path is not None and when.capture is not None:
        raise ValueError("expected path or capture in one when, found both")
    tests: list[ScopeTest] = []
    wanted = _wanted(when)
    if when.capture is not None:
        tests += _capture_tests(when.capture, when, wanted, positions)
    elif when.path is not None or when.kind is not None:
        tests += _path_tests(_looked_at(when.path, paths), when, wanted)
    elif wanted is not None:
        raise ValueError("expected path or capture beside equals and one_of in when")
    if when.absent is not None:
        nothing = lenient_scope_getter(paths(when.absent))
        tests.append(lambda scope: nothing(scope) is None)
    return tests


def _looked_at(path: ValuePath | None, paths: PathReader) -> ScopeGetter:
    some = paths_of(path) or ("",)
    if len(some) == 1:
        return lenient_scope_getter(paths(some[0]))
    getters = [lenient_scope_getter(paths(one)) for one in some]
    return lambda scope: next((found for get in getters if (found := get(scope)) is not None), None)


def _capture_tests(
    name: str, when: When, wanted: tuple[Scalar, ...] | None, positions: frozenset[str]
) -> list[ScopeTest]:
    if when.kind is not None:
        raise ValueError("expected path beside kind in when, found capture: a capture is always a text")
    tests: list[ScopeTest] = []
    if wanted is not None:
        words = frozenset(literal(value)[1] for value in wanted)
        tests.append(_position_test(name, words) if name in positions else lambda s: s.captures.get(name) in words)
    if when.regex is not None:
        pattern = Pattern(when.regex, capturing=False)
        get: ScopeGetter = attrgetter(name) if name in positions else lambda scope: scope.captures.get(name)
        tests.append(lambda scope: (found := get(scope)) is not None and pattern.matches(str(found)))
    if not tests:
        raise ValueError("expected equals, one_of or regex beside capture in when")
    return tests


def _position_test(name: str, words: frozenset[str]) -> ScopeTest:
    get = attrgetter(name)
    return lambda scope: str(get(scope)) in words


def _path_tests(get: ScopeGetter, when: When, wanted: tuple[Scalar, ...] | None) -> list[ScopeTest]:
    tests: list[ScopeTest] = []
    if wanted is not None:
        literals = frozenset(literal(value) for value in wanted)
        tests.append(lambda scope: literal(get(scope)) in literals)
    if when.kind is not None:
        is_kind = _KINDS[when.kind]
        tests.append(lambda scope: is_kind(get(scope)))
    if when.regex is not None and when.path is not None:
        pattern = Pattern(when.regex, capturing=False)
        tests.append(lambda scope: type(found := get(scope)) is str and pattern.matches(found))
    return tests or [lambda scope: get(scope) is not None]


_KINDS: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: type(value) is dict,
    "array": lambda value: type(value) is list,
    "text": lambda value: type(value) is str,
    "number": lambda value: type(value) is int or type(value) is float,
    "boolean": lambda value: type(value) is bool,
}


def _wanted(when: When) -> tuple[Scalar, ...] | None:
    given = (*(when.one_of or ()), *(() if when.equals is None else (when.equals,)))
    return given if when.one_of is not None or when.equals is not None else None


def _all_raw(tests: list[RawTest]) -> RawTest | None:
    if len(tests) == 2:
        first, second = tests
        return lambda payload: first(payload) and second(payload)
    if len(tests) <= 1:
        return tests[0] if tests else None
    return lambda payload: all(test(payload) for test in tests)


def _all_mixed(tests: list[MixedTest]) -> MixedTest | None:
    if len(tests) <= 1:
        return tests[0] if tests else None
    return lambda payload, scope: all(test(payload, scope) for test in tests)


def _all_scoped(tests: list[ScopeTest]) -> ScopeTest | None:
    if len(tests) <= 1:
        return tests[0] if tests else None
    if len(tests) == 2:
        first, second = tests
        return lambda scope: first(scope) and second(scope)
    return lambda scope: all(test(scope) for test in tests)
