"""Which sites somebody may see. Every repository function takes a scope, so that a forgotten check shows nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Column, ColumnElement

Scope = frozenset[str] | None
"""Site ids; None is every site (and devices that belong to none yet)."""

EVERYWHERE: Scope = None


def in_scope(column: Column[str], scope: Scope) -> ColumnElement[bool]:
    from sqlalchemy import true  # not for those who only need to know what a scope is

    return true() if scope is None else column.in_(sorted(scope))


class NotFound(Exception):
    """There is no such thing within the scope; whether it exists elsewhere is nobody's business."""

    def __init__(self, kind: str, id: str) -> None:
        super().__init__(f"no {kind} {id!r}")
        self.kind = kind
        self.id = id
