"""Where `measured_at` comes from: the payload's own time, in the forms devices write it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, NamedTuple

from device_profiles.schema import Time
from gateway.decode.errors import DecodeError, shown
from gateway.decode.numbers import MISSING_WORDS, number_of_text
from gateway.decode.paths import Path, parse_path
from gateway.decode.scope import Scope, scope_getter
from gateway.reading import Millis, Quality

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
CLOCK_UNSET_BEFORE: Millis = 946_684_800_000
"""2000-01-01: a device that says less has never been given the time."""
_FAR: Millis = 253_370_764_800_000

Reader = Callable[[Any, tzinfo], Millis]


class TimeReader(NamedTuple):
    """A binding's compiled `time:`."""

    read: Callable[[Scope, tzinfo], Millis | None]
    max_ahead: Millis
    late_after: Millis

    def judge(self, scope: Scope, zone: tzinfo, received_at: Millis) -> tuple[Millis, Quality]:
        """When it was measured, and how far that can be trusted.

        A clock that runs ahead of ours, or was never set, would write into the future or the distant past: such
        readings are stamped on arrival and marked.
        """
        said = self.read(scope, zone)
        if said is None:
            return received_at, Quality.GOOD
        if said > received_at + self.max_ahead or said < CLOCK_UNSET_BEFORE:
            return received_at, Quality.SKEWED
        return said, Quality.LATE if said < received_at - self.late_after else Quality.GOOD


def time_reader(time: Time) -> TimeReader:
    """Compile a binding's `time:`; raises ValueError."""
    get = scope_getter(parse_path(time.path or ""))
    convert = _converter(time.format)
    path = time.path or ""

    def read(scope: Scope, zone: tzinfo) -> Millis | None:
        raw = get(scope)
        if raw is None or (type(raw) is str and raw.strip().lower() in MISSING_WORDS):
            return None
        try:
            return convert(raw, zone)
        except (ValueError, OverflowError, TypeError):
            raise DecodeError("bad_time", field=path, found=shown(raw), expected=f"a time as {time.format}") from None

    return TimeReader(
        _quick(parse_path(path), read) if time.format == "unix_ms" else read,
        time.max_ahead // _MILLISECOND,
        time.late_after // _MILLISECOND,
    )


def _quick(path: Path, read: Callable[[Scope, tzinfo], Millis | None]) -> Callable[[Scope, tzinfo], Millis | None]:
    """The usual case without detours: whole milliseconds under one key."""
    key = path.segments[0] if len(path.segments) == 1 else None

    def quick(scope: Scope, zone: tzinfo) -> Millis | None:
        root = scope.root
        if type(root) is dict and type(raw := root.get(key)) is int and 0 < raw < _FAR:
            return raw
        return read(scope, zone)

    return quick


def _converter(format: str) -> Reader:
    if format == "unix_s":
        return lambda raw, _: _unix(raw, 1000)
    if format == "unix_ms":
        return lambda raw, _: _unix(raw, 1)
    if format == "iso":
        return lambda raw, zone: millis(_zoned(datetime.fromisoformat(_text(raw)), zone))
    if "%" not in format:
        raise ValueError(f"expected unix_s, unix_ms, iso or a strptime format, found {format!r}")
    return lambda raw, zone: millis(_zoned(datetime.strptime(_text(raw), format), zone))  # noqa: DTZ007 (zoned here)


def _unix(raw: Any, factor: int) -> Millis:
    kind = type(raw)
    if kind is str:
        number = number_of_text(raw)
        if number is None:
            raise ValueError(raw)
        raw = number
    elif kind is not int and kind is not float:
        raise ValueError("a time is a number")
    found: Millis = round(raw * factor)
    if not -_FAR < found < _FAR:
        raise ValueError("a time beyond reach")
    return found


def _text(raw: Any) -> str:
    if type(raw) is int:
        return str(raw)  # a compact time such as 20190909011800 sent as a number
    if type(raw) is not str or len(raw) > 64:
        raise ValueError("a time is a short text")
    return raw.strip()


def _zoned(moment: datetime, zone: tzinfo) -> datetime:
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment


def millis(moment: datetime) -> Millis:
    """Milliseconds since 1970 of an aware datetime."""
    return (moment - _EPOCH) // _MILLISECOND
