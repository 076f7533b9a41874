"""Lists come in pages: `limit`, and a cursor to where the page before ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many items.")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before.")]
Number = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="`next` of the page before.")]


class Page(BaseModel, Generic[T]):
    """A part of a list."""

    items: list[T]
    next: str | None = Field(None, description="Cursor of the next page; null when this is the last.")


def page_of(items: Sequence[T], limit: int, cursor: Callable[[T], object]) -> Page[T]:
    """A page of `limit` items from a query that asked for one more, so that the last page knows it is the last."""
    shown = list(items[:limit])
    return Page(items=shown, next=str(cursor(shown[-1])) if len(items) > limit else None)
