"""Where a closure of a compiled binding stands: the payload, the element, the captures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from gateway.decode.paths import Filter, Getter, Path, getter, lenient_getter


class Scope(msgspec.Struct, eq=False):
    """One place in one message. `node` is the payload itself, or an element of `each`.

    A struct because there are many, and nothing else is made as quickly.
    """

    root: Any
    node: Any
    captures: dict[str, str]
    index: int = 0
    key: str = ""


ScopeGetter = Callable[[Scope], Any]


def scope_getter(path: Path) -> ScopeGetter:
    """A closure from a scope to the raw value the path names."""
    get = getter(path)
    if path.absolute:
        return _of_root(path, get)
    if not path.segments:
        return attrgetter("node")
    key = path.segments[0] if len(path.segments) == 1 else None
    if not isinstance(key, str):
        return lambda scope: get(scope.node)

    def look(scope: Scope) -> Any:
        node = scope.node
        return node.get(key) if type(node) is dict else get(node)

    return look


def _of_root(path: Path, get: Getter) -> ScopeGetter:
    """What the path names in the whole payload. Where it must be searched for, that is done once for all elements of a
    message: thousands of them would search through thousands each."""
    if not any(isinstance(segment, Filter) for segment in path.segments):
        return lambda scope: get(scope.root)
    searched: Any = get  # no payload
    found: Any = None

    def look(scope: Scope) -> Any:
        nonlocal searched, found
        if scope.root is not searched:
            found = get(scope.root)
            searched = scope.root
        return found

    return look


def first_getter(paths: Sequence[Path]) -> ScopeGetter:
    """The same for several paths: the first at which something stands. Where the payload is of another shape than a
    path expects nothing stands there; only the last one says so."""
    if len(paths) == 1:
        return scope_getter(paths[0])
    earlier, last = [lenient_scope_getter(path) for path in paths[:-1]], scope_getter(paths[-1])

    def look(scope: Scope) -> Any:
        for get in earlier:
            if (found := get(scope)) is not None:
                return found
        return last(scope)

    return look


def lenient_scope_getter(path: Path) -> ScopeGetter:
    get = lenient_getter(path)
    if path.absolute:
        return _of_root(path, get)
    return lambda scope: get(scope.node)


def nearest_getter(path: Path) -> ScopeGetter:
    """What the path names in the element, otherwise in the whole payload."""
    get = lenient_getter(path)
    of_root = _of_root(path, get)
    if path.absolute:
        return of_root
    key = path.segments[0] if len(path.segments) == 1 else None

    def look(scope: Scope) -> Any:
        node = scope.node
        found = node.get(key) if key is not None and type(node) is dict else get(node)
        return found if found is not None or scope.node is scope.root else of_root(scope)

    return look
