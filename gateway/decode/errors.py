"""The one error that leaves the decoder."""

from __future__ import annotations

_LONGEST_SHOWN = 80


class DecodeError(Exception):
    """A message that cannot become readings: what was found, where, and what was expected.

    `code` groups errors for counters and the quarantine: no_binding, no_match, too_large, malformed, truncated,
    integrity, constant, wrong_type, unknown_word, unknown_key (of TLV), unknown_alias (of Sparkplug), unknown_poll (of
    Modbus), missing, nothing_known, bad_time, bad_address, not_registered, too_many, internal.
    """

    def __init__(
        self,
        code: str,
        topic: str = "",
        binding: str = "",
        field: str = "",
        found: str = "",
        expected: str = "",
    ) -> None:
        super().__init__(code)
        self.code = code
        self.topic = topic
        self.binding = binding
        self.field = field
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        where = ", ".join(f"{word} {text}" for word, text in (("binding", self.binding), ("field", self.field)) if text)
        place = f" ({where})" if where else ""
        return f"{self.code}{place}: found {self.found}, expected {self.expected}"


def shown(value: object) -> str:
    """A short, safe description of anything a device may send: never deep, never long."""
    if isinstance(value, dict):
        return f"an object of {len(value)} keys"
    if isinstance(value, list | tuple):
        return f"an array of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 64:
        return f"a whole number of {value.bit_length()} bits"
    if isinstance(value, bytes):
        return f"{len(value)} bytes {_text_or_hex(value)}"
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return _cut(ascii(value[:_LONGEST_SHOWN]) if not value.isprintable() else repr(value[: _LONGEST_SHOWN + 1]))
    return _cut(repr(value))


def _text_or_hex(value: bytes) -> str:
    """Text where it is text, as a device's half a JSON; hex where it is not."""
    text = value[: _LONGEST_SHOWN + 3].decode(errors="replace")[:_LONGEST_SHOWN]
    readable = text and "\ufffd" not in text and all(one.isprintable() or one in "\r\n\t" for one in text)
    return _cut(repr(" ".join(text.split()))) if readable else _cut(value[:_LONGEST_SHOWN].hex())


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
