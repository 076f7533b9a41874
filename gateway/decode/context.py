"""What a codec that remembers may know of the message it decodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.decode.memory import Memory
from gateway.reading import Millis


class Context:
    """The message around a payload."""

    __slots__ = ("captures", "memory", "received_at")

    def __init__(self, captures: dict[str, str], memory: Memory, received_at: Millis) -> None:
        self.captures = captures
        self.memory = memory
        self.received_at = received_at


ContextStep = Callable[[Any, Context], Any]
"""One codec step that needs the context; stateless ones are `Callable[[Any], Any]`."""

NOTHING: Any = type("Nothing", (), {"__repr__": lambda _: "NOTHING", "__slots__": ()})()
"""What a codec returns for a message that it recognises and that says nothing: a Modbus request, a stale death."""
