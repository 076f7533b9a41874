"""A whole deadline for looking at something: a server that sends a byte now and then never times out by itself."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")
PATIENCE_SECONDS = 5.0
"""For each wait within it."""
WHOLE_SECONDS = 15.0


def within(seconds: float, look: Callable[[], T], in_vain: Callable[[str], T]) -> T:
    """What `look` finds; after so many seconds `in_vain` of the reason, and `look` is left behind to end by itself."""
    found: Future[T] = Future()

    def run() -> None:
        try:
            found.set_result(look())
        except BaseException as error:  # raised again where it was asked for
            found.set_exception(error)

    Thread(target=run, name="doctor", daemon=True).start()
    try:
        return found.result(seconds)
    except TimeoutError:
        if found.done():
            raise  # it is what `look` itself has raised
        return in_vain(f"answers, but its answer did not end within {seconds:.0f} s")
