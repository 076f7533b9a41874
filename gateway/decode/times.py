"""Where `measured_at` comes from: the payload's own time, in the forms devices write it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, NamedTuple

from device_profiles.schema import Time, paths_of
from gateway.decode.conditions import value_test
from gateway.decode.errors import DecodeError, shown
from gateway.decode.numbers import is_missing, number_of_text
from gateway.decode.paths import parse_path
from gateway.decode.scope import Scope, ScopeGetter, first_getter, scope_getter
from gateway.decode.timeforms import LONGEST, TextReader, iso, text_format
from gateway.reading import Millis, Quality

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
CLOCK_UNSET_BEFORE: Millis = 946_684_800_000
"""2000-01-01: a device that says less has never been given the time."""
_FAR: Millis = 253_370_764_800_000

Convert = Callable[[Any, tzinfo, Millis], Millis]
"""A raw time, the zone that it is meant in where it names none, and when it arrived."""
Read = Callable[[Scope, tzinfo, Millis], Millis | None]


class TimeReader(NamedTuple):
    """A binding's compiled `time:`."""

    read: Read
    max_ahead: Millis
    late_after: Millis

    def judge(self, scope: Scope, zone: tzinfo, received_at: Millis) -> tuple[Millis, Quality]:
        """When it was measured, and how far that can be trusted.

        A clock that runs ahead of ours, or was never set, would write into the future or the distant past: such
        readings are stamped on arrival and marked.
        """
        said = self.read(scope, zone, received_at)
        if said is None:
            return received_at, Quality.GOOD
        if said > received_at + self.max_ahead or said < CLOCK_UNSET_BEFORE:
            return received_at, Quality.SKEWED
        return said, Quality.LATE if said < received_at - self.late_after else Quality.GOOD


def time_reader(time: Time) -> TimeReader:
    """Compile a binding's `time:`; raises ValueError."""
    get, where = _source(time)
    convert = _converter(time)

    def read(scope: Scope, zone: tzinfo, received_at: Millis) -> Millis | None:
        raw = get(scope)
        if raw is None or (type(raw) is str and is_missing(raw)):
            return None
        try:
            return convert(raw, zone, received_at)
        except (ValueError, OverflowError, TypeError):
            raise DecodeError("bad_time", field=where, found=shown(raw), expected=f"a time as {time.format}") from None

    return TimeReader(
        _unread if time.trust == "server" else _stepping(time, _guarded(time, _quick(time, read))),
        time.max_ahead // _MILLISECOND,
        time.late_after // _MILLISECOND,
    )


def _unread(_: Scope, __: tzinfo, ___: Millis) -> None:
    """A clock that is worth nothing may say what it likes, and even nonsense spoils no reading."""


def _source(time: Time) -> tuple[ScopeGetter, str]:
    """Where the raw time stands, and its name for errors."""
    given = [source for source in (time.path, time.capture, time.join or None) if source is not None]
    if len(given) > 1:
        raise ValueError("expected one of path, capture and join in time, found more")
    if time.capture is not None:
        name = time.capture
        return (lambda scope: scope.captures.get(name)), name
    if time.join:
        return _joined([scope_getter(parse_path(path)) for path in time.join], ", ".join(time.join))
    paths = paths_of(time.path) or ("",)
    return first_getter([parse_path(path) for path in paths]), ", ".join(paths)


def _joined(getters: list[ScopeGetter], where: str) -> tuple[ScopeGetter, str]:
    """Pieces joined by blanks; nothing is said where one of them is missing."""

    def get(scope: Scope) -> str | None:
        pieces: list[str] = []
        for get_one in getters:
            raw = get_one(scope)
            if raw is None or (type(raw) is str and is_missing(raw)):
                return None
            if type(raw) not in (str, int) or (type(raw) is int and raw.bit_length() > 64):
                raise DecodeError("bad_time", field=where, found=shown(raw), expected="a text or a whole number")
            pieces.append(str(raw)[: LONGEST + 1].strip())
        return " ".join(pieces)

    return get, where


def _guarded(time: Time, read: Read) -> Read:
    if time.when is None:
        return read
    holds = value_test(time.when)
    return lambda scope, zone, received_at: read(scope, zone, received_at) if holds(scope) else None


def _stepping(time: Time, read: Read) -> Read:
    """Points without times of their own: each is some steps away from the first."""
    if time.step is None:
        return read
    step = time.step // _MILLISECOND

    def stepped(scope: Scope, zone: tzinfo, received_at: Millis) -> Millis | None:
        first = read(scope, zone, received_at)
        return None if first is None else first + scope.index * step

    return stepped


def _quick(time: Time, read: Read) -> Read:
    """The usual case without detours: whole milliseconds under one key."""
    if time.format != "unix_ms" or not isinstance(time.path, str):
        return read
    path = parse_path(time.path)
    if path.absolute or len(path.segments) != 1:
        return read
    key = path.segments[0]

    def quick(scope: Scope, zone: tzinfo, received_at: Millis) -> Millis | None:
        node = scope.node
        if type(node) is dict and type(raw := node.get(key)) is int and 0 < raw < _FAR:
            return raw
        return read(scope, zone, received_at)

    return quick


_UNITS = {"unix_s": 1000.0, "unix_ms": 1.0, "unix_us": 1e-3, "unix_ns": 1e-6}
"""Milliseconds in one."""


def _converter(time: Time) -> Convert:
    format = time.format
    if (factor := _UNITS.get(format)) is not None:
        return lambda raw, _, __: _unix(raw, factor)
    if format == "seconds_ago":
        return lambda raw, _, received_at: received_at - _unix(raw, 1000.0)
    read: TextReader
    if format == "iso":
        read = iso
    elif "%" in format:
        read = text_format(format, time.zones)
    else:
        words = ", ".join([*_UNITS, "seconds_ago"])
        raise ValueError(f"expected {words}, iso or a strptime format, found {format!r}")
    return lambda raw, zone, _: millis(_zoned(read(_text(raw)), zone))


def _unix(raw: Any, factor: float) -> Millis:
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
    if type(raw) is not str or len(raw) > LONGEST:
        raise ValueError("a time is a short text")
    return raw.strip()


def _zoned(moment: datetime, zone: tzinfo) -> datetime:
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment


def millis(moment: datetime) -> Millis:
    """Milliseconds since 1970 of an aware datetime."""
    return (moment - _EPOCH) // _MILLISECOND
