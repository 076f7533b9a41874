"""Where a closure of a compiled binding stands: the payload, the element, the captures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.decode.paths import Path, getter, lenient_getter


class Scope:
    """One place in one message. `node` is the payload itself, or an element of `each`."""

    __slots__ = ("captures", "index", "key", "node", "root")

    def __init__(self, root: Any, node: Any, captures: dict[str, str], index: int = 0, key: str = "") -> None:
        self.root = root
        self.node = node
        self.captures = captures
        self.index = index
        self.key = key


ScopeGetter = Callable[[Scope], Any]


def scope_getter(path: Path) -> ScopeGetter:
    """A closure from a scope to the raw value the path names."""
    get = getter(path)
    if path.absolute:
        return lambda scope: get(scope.root)
    return lambda scope: get(scope.node)


def lenient_scope_getter(path: Path) -> ScopeGetter:
    get = lenient_getter(path)
    if path.absolute:
        return lambda scope: get(scope.root)
    return lambda scope: get(scope.node)


def nearest_getter(path: Path) -> ScopeGetter:
    """What the path names in the element, otherwise in the whole payload."""
    get = lenient_getter(path)
    if path.absolute:
        return lambda scope: get(scope.root)

    def look(scope: Scope) -> Any:
        found = get(scope.node)
        return found if found is not None or scope.node is scope.root else get(scope.root)

    return look
