"""The elements of an array or object in a payload: for `each` and for `split`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from gateway.decode.errors import DecodeError, shown
from gateway.decode.paths import parse_path
from gateway.decode.scope import Scope, scope_getter

MOST_ELEMENTS = 2048
"""A message that fans out further is no message but an attack."""

Elements = Callable[[Scope], list[Scope]]


def elements_of(over: str, kind: Literal["auto", "one", "keys"]) -> Elements:
    """A closure from a place to one scope per element; nothing there gives none.

    `auto` takes an array by position, an object by key, and a bare value as the only one. `one` takes an object as the
    only element, `keys` demands an object.
    """
    get = scope_getter(parse_path(over))

    def scopes(scope: Scope) -> list[Scope]:
        items = get(scope)
        if items is None:
            return []
        root, captures = scope.root, scope.captures
        if type(items) is dict and kind != "one":
            check_count(over, len(items))
            return [Scope(root, item, captures, i, key) for i, (key, item) in enumerate(items.items())]
        if kind == "keys":
            raise DecodeError("wrong_type", field=over, found=shown(items), expected="an object")
        if type(items) is list:
            check_count(over, len(items))
            return [Scope(root, item, captures, i, str(i)) for i, item in enumerate(items)]
        if type(items) is str:
            raise DecodeError("wrong_type", field=over, found=shown(items), expected="an array or object")
        return [Scope(root, items, captures, 0, "0")]

    return scopes


def zipped_elements(arrays: tuple[str, ...]) -> Elements:
    """The same over parallel arrays: each element is an object of one value per array."""
    getters = [(name, scope_getter(parse_path(name))) for name in arrays]

    def scopes(scope: Scope) -> list[Scope]:
        columns: list[tuple[str, list[Any]]] = []
        for name, get in getters:
            items = get(scope)
            if items is None:
                continue
            if type(items) is not list:
                raise DecodeError("wrong_type", field=name, found=shown(items), expected="an array")
            columns.append((name, items))
        if not columns:
            return []
        first, length = columns[0][0], len(columns[0][1])
        check_count(first, length)
        for name, items in columns:
            if len(items) != length:
                raise DecodeError(
                    "wrong_type", field=name, found=shown(items), expected=f"as many elements as {first} has ({length})"
                )
        return [
            Scope(scope.root, {name: items[i] for name, items in columns}, scope.captures, i, str(i))
            for i in range(length)
        ]

    return scopes


def zipped_objects(arrays: tuple[str, ...]) -> Elements:
    """The same with elements that are shaped as the payload is: the path of an array leads to its value in them.
    Raises ValueError."""
    places = {name: _keys(name) for name in arrays}
    elements = zipped_elements(arrays)

    def scopes(scope: Scope) -> list[Scope]:
        found = elements(scope)
        for element in found:
            shaped: dict[str, Any] = {}
            for name, value in element.node.items():
                *way, last = places[name]
                inside = shaped
                for key in way:
                    inside = inside.setdefault(key, {})
                inside[last] = value
            element.node = shaped
        return found

    return scopes


def _keys(name: str) -> tuple[str, ...]:
    segments = parse_path(name).segments
    keys = tuple(segment for segment in segments if isinstance(segment, str))
    if not keys or len(keys) < len(segments):
        raise ValueError(f"expected the path of an array by keys alone in zip, found {name!r}")
    return keys


def check_count(where: str, found: int) -> None:
    if found > MOST_ELEMENTS:
        raise DecodeError("too_many", field=where, found=f"{found} elements", expected=f"at most {MOST_ELEMENTS}")
