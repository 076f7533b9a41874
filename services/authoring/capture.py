"""Captured messages as JSON lines: one message a line, readable, and exact to the byte.

    {"received_at": "2026-03-01T08:00:00.000+00:00", "topic": "pumps/p1/data", "retained": false, "qos": 1,
     "text": "{\\"p\\": 0.4}"}

`hex` stands instead of `text` where the payload is no plain UTF-8. Lines of `courtyard quarantine list --json` and of
`mosquitto_sub -F %j` are read as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from gateway.reading import Millis

LARGEST = 1 << 20
"""A larger payload is not recorded: no decoder takes it."""
MOST_READ = 200_000
"""Messages of one capture that are looked at."""


class Message(NamedTuple):
    """One captured message."""

    received_at: Millis
    topic: str
    payload: bytes
    retained: bool = False
    qos: int = 0


class Unread(NamedTuple):
    """A line that is no message, and why."""

    line: int
    problem: str


class CaptureUnreadable(ValueError):
    """No line of the file is a message."""


def line_of(message: Message) -> str:
    """One line of JSON, without its end."""
    at = datetime.fromtimestamp(message.received_at / 1000, UTC).isoformat(timespec="milliseconds")
    text = plain_text(message.payload)
    body = {"hex": message.payload.hex()} if text is None else {"text": text}
    fields = {"received_at": at, "topic": message.topic, "retained": message.retained, "qos": message.qos, **body}
    return json.dumps(fields, ensure_ascii=False)


def plain_text(payload: bytes) -> str | None:
    """The payload as text where that says it exactly and readably: UTF-8, without control characters."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return None
    return text if all(sign.isprintable() or sign in "\t\r\n" for sign in text) else None


def message_of(line: str) -> Message:
    """The message of one line; raises ValueError that says what was found and what was expected."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError(f"found {line[:60]!r}, expected one JSON object per line") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("topic"), str) or not fields["topic"]:
        raise ValueError("found no text under `topic`, expected the topic of a message")
    return Message(
        _millis(fields.get("received_at", fields.get("tst"))),
        fields["topic"],
        _payload(fields),
        bool(fields.get("retained", fields.get("retain", False))),
        _qos(fields.get("qos", 0)),
    )


def _payload(fields: dict[str, Any]) -> bytes:
    for key in ("text", "payload"):
        if isinstance(fields.get(key), str):
            return str(fields[key]).encode("utf-8", "surrogatepass")
    for key in ("hex", "payload_hex"):
        if isinstance(fields.get(key), str):
            try:
                return bytes.fromhex(fields[key])
            except ValueError:
                raise ValueError(f"found {fields[key][:40]!r} under `{key}`, expected pairs of hex digits") from None
    if "payload" in fields:  # mosquitto_sub writes a payload that is JSON as JSON
        return json.dumps(fields["payload"], ensure_ascii=False).encode("utf-8", "surrogatepass")
    raise ValueError("found neither `text` nor `hex`, expected the payload")


def _qos(value: object) -> int:
    return value if isinstance(value, int) and value in (0, 1, 2) else 0


def _millis(value: object) -> Millis:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return round(value)
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"found {value!r} under `received_at`, expected a time such as 2026-03-01T08:00:00Z") from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def messages_of(lines: Iterable[str]) -> Iterator[Message | Unread]:
    """Every line that is not empty, as a message or as the reason why it is none."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield message_of(line)
        except ValueError as error:
            yield Unread(number, str(error))


def read_capture(file: Path) -> tuple[list[Message], list[Unread]]:
    """The messages of a file, oldest first, and the lines that are none.

    Raises OSError, and CaptureUnreadable where there is not one message.
    """
    messages: list[Message] = []
    unread: list[Unread] = []
    with file.open(encoding="utf-8", errors="surrogateescape") as lines:
        for found in messages_of(lines):
            if isinstance(found, Unread):
                unread.append(found)
            else:
                messages.append(found)
            if len(messages) >= MOST_READ:
                break
    if not messages:
        why = f"line {unread[0].line}: {unread[0].problem}" if unread else "it is empty"
        raise CaptureUnreadable(f"{file}: no message in it ({why}); record some with `courtyard capture --out {file}`")
    return sorted(messages, key=lambda message: message.received_at), unread
