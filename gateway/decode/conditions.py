"""`when:` compiled: which binding takes a message, and which event it fires."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from device_profiles.schema import Scalar, When
from gateway.decode.paths import parse_path
from gateway.decode.scope import Scope, lenient_scope_getter

RawTest = Callable[[bytes], bool]
ScopeTest = Callable[[Scope], bool]


class Condition:
    """One `when:`. `raw` looks at the bytes; `scoped` at captures and decoded values, and is None where it need not."""

    __slots__ = ("needs_decoding", "raw", "scoped")

    def __init__(self, when: When) -> None:
        self.raw = _all_raw(_raw_tests(when))
        self.scoped = _all_scoped(_scope_tests(when))
        self.needs_decoding = when.path is not None

    def holds(self, payload: bytes, scope: Scope) -> bool:
        return (self.raw is None or self.raw(payload)) and (self.scoped is None or self.scoped(scope))


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
    return tests


def _prefix_test(digits: str) -> RawTest:
    """Hex digits with `?` for any one: the plain part first, then what stands behind the gap."""
    digits = digits.replace(" ", "").lower()
    digits += "?" * (len(digits) % 2)
    length = len(digits) // 2
    head = digits.partition("?")[0]
    plain = bytes.fromhex(head[: len(head) // 2 * 2])
    tail = digits[len(plain) * 2 :].lstrip("?")
    if not tail or ("?" not in tail and len(tail) % 2 == 0):
        rest, at = bytes.fromhex(tail), length - len(tail) // 2
        return lambda payload: payload.startswith(plain) and len(payload) >= length and payload.startswith(rest, at)
    mask = int("".join("0" if digit == "?" else "f" for digit in digits), 16)
    wanted = int(digits.replace("?", "0"), 16)
    return lambda payload: (
        payload.startswith(plain)
        and len(payload) >= length
        and int.from_bytes(payload[:length], "big") & mask == wanted
    )


def _scope_tests(when: When) -> list[ScopeTest]:
    if when.path is not None and when.capture is not None:
        raise ValueError("expected path or capture in one when, found both")
    wanted = _wanted(when)
    if when.capture is not None:
        name, words = when.capture, frozenset(_literal(value)[1] for value in wanted or ())
        if not words:
            raise ValueError("expected equals or one_of beside capture in when")
        return [lambda scope: scope.captures.get(name) in words]
    if when.path is None:
        if wanted is not None:
            raise ValueError("expected path or capture beside equals and one_of in when")
        return []
    get = lenient_scope_getter(parse_path(when.path))
    if wanted is None:
        return [lambda scope: get(scope) is not None]
    literals = frozenset(_literal(value) for value in wanted)
    return [lambda scope: _literal(get(scope)) in literals]


def _wanted(when: When) -> tuple[Scalar, ...] | None:
    given = (*(when.one_of or ()), *(() if when.equals is None else (when.equals,)))
    return given if when.one_of is not None or when.equals is not None else None


def _literal(value: Any) -> tuple[str, str]:
    """Equal only to the same kind of thing: true is not 1, "1" is not 1, but 1.0 is."""
    if value is True or value is False:
        return "boolean", "true" if value else "false"
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            return "number", "huge"
        return "number", str(int(number)) if number.is_integer() else repr(number)
    return ("text", value) if isinstance(value, str) else ("other", "")


def _all_raw(tests: list[RawTest]) -> RawTest | None:
    if len(tests) == 2:
        first, second = tests
        return lambda payload: first(payload) and second(payload)
    if len(tests) <= 1:
        return tests[0] if tests else None
    return lambda payload: all(test(payload) for test in tests)


def _all_scoped(tests: list[ScopeTest]) -> ScopeTest | None:
    return tests[0] if tests else None
