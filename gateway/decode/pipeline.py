"""The value pipeline: one raw value -> one metric's number, one state's word, or one piece of event data.

In this order: replace, strip, cast, sentinel, scale, offset, linear, map, range. A sentinel is compared before scale
and offset: raw 0 with offset -65 is "no sensor", not -65 degrees. What is absent may stand for a value of its own,
which then goes through the pipeline like any other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from device_profiles.schema import FieldMap, Metric, State
from gateway.decode.errors import DecodeError, shown
from gateway.decode.numbers import is_missing, number_of_text
from gateway.reading import Quality, Value

Values = dict[str, Value]
Flags = dict[str, Quality]
Settle = Callable[[Any, Values, Flags], None]
"""Puts what one raw value means into the reading's values, or says in its flags why not."""

LONGEST_TEXT = 1024
_LONGEST_RAW = 65_536
"""A text that is longer is no value of a field, and would be copied once for each that names it."""
UNSAID: Any = object()
"""A raw value that the map does not list, where the profile says that it says nothing: neither value nor missing."""
_MEASURED = "measured"
"""The cast of a metric's field that names none: numbers, and texts that hold one, but no booleans."""
_TRUE = frozenset({"true", "on", "yes", "1"})
_FALSE = frozenset({"false", "off", "no", "0"})


def factors(scale: float) -> tuple[float, float]:
    """A scale as (multiply, divide): dividing by 10 gives 220.1 where multiplying by 0.1 gives 220.10000000000002."""
    if 0 < abs(scale) < 1:
        inverse = 1 / scale
        if math.isfinite(inverse) and math.isclose(inverse, round(inverse), rel_tol=1e-12):
            return 1.0, float(round(inverse))
    return float(scale), 1.0


def settle_metric(name: str, field: FieldMap, metric: Metric) -> Settle:
    """The whole pipeline towards a metric."""
    for value in [*(field.map or {}).values(), *([] if field.default is None else [field.default])]:
        if isinstance(value, bool | str):
            raise ValueError(f"expected numbers in the map of the metric {name}, found {value!r}")
    convert = _converter(name, field, to_number=field.map is None)
    missing = when_missing(name, field)
    low, high = metric.range or (-math.inf, math.inf)
    policy = metric.out_of_range

    def settle(raw: Any, values: Values, flags: Flags) -> None:
        value = convert(raw)
        if value is None:
            missing(values)
            return
        if value is UNSAID:
            return
        number = _as_number(value, name)
        if not math.isfinite(number):
            missing(values)
        elif low <= number <= high:
            values[name] = number
        elif policy == "drop":
            flags[name] = Quality.IMPOSSIBLE
        else:
            values[name] = min(max(number, low), high) if policy == "clamp" else number
            flags[name] = Quality.SUSPECT

    return settle


def settle_state(name: str, field: FieldMap, state: State) -> Settle:
    """The whole pipeline towards a state: the result is one of its words."""
    words = frozenset(state.values)
    for word in [*(field.map or {}).values(), *([] if field.default is None else [field.default])]:
        if word not in words:
            raise ValueError(f"expected a word of the state {name} ({', '.join(sorted(words))}), found {word!r}")
    convert = _converter(name, field, to_number=False)
    missing = when_missing(name, field)
    default, skip = field.default, field.unlisted == "skip"

    def settle(raw: Any, values: Values, _: Flags) -> None:
        value = convert(raw)
        if value is None:
            missing(values)
            return
        if value is UNSAID:
            return
        word = wire_word(value)
        if word not in words:
            if default is None and skip:
                return
            if default is None:
                raise DecodeError("unknown_word", field=name, found=shown(value), expected=_listed(words))
            word = str(default)
        values[name] = word

    return settle


def settle_data(name: str, field: FieldMap) -> Settle:
    """The pipeline towards event data: any small scalar."""
    convert = _converter(name, field, to_number=False)
    missing = when_missing(name, field)

    def settle(raw: Any, values: Values, _: Flags) -> None:
        value = convert(raw)
        if value is None:
            missing(values)
            return
        if value is UNSAID:
            return
        if isinstance(value, float) and not math.isfinite(value):
            missing(values)
            return
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            raise _too_long(name, value)
        if type(value) is int and value.bit_length() > 63:
            raise DecodeError("too_large", field=name, found=shown(value), expected="a number of 64 bits")
        values[name] = value

    return settle


def when_missing(name: str, field: FieldMap) -> Callable[[Values], None]:
    """What a missing value does: nothing, erase, or a DecodeError."""
    if field.when_missing == "erase":
        return lambda values: values.__setitem__(name, None)
    if field.when_missing in (None, "skip"):
        return lambda _: None

    def reject(_: Values) -> None:
        raise DecodeError("missing", field=name, found="nothing", expected="a value: the profile needs it")

    return reject


# --- replace, strip, cast, sentinel, scale, offset, linear, map ------------------------------------------------------


def _converter(name: str, field: FieldMap, *, to_number: bool) -> Callable[[Any], Any]:
    """Raw value -> value before the range check; None where it is missing."""
    replace, suffix = field.replace, field.strip
    cast: str | None = field.cast
    if cast is None and (to_number or _is_measured(field)):
        cast = _MEASURED
    sentinels = frozenset(wire_word(mark) for mark in field.sentinel)
    measure = _measure(field)
    lookup = _lookup(name, field)
    if replace is not None and not replace[0]:
        raise ValueError("expected a text to be replaced in replace, found an empty one")
    absence = field.missing_value

    def convert(raw: Any) -> Any:
        if raw is None:
            if absence is None:
                return None
            raw = absence
        if type(raw) is str:
            if len(raw) > _LONGEST_RAW:
                raise _too_long(name, raw)
            text = raw if replace is None else raw.replace(*replace)
            if suffix is not None:
                text = text.strip().removesuffix(suffix.strip())
            if is_missing(text):
                return None
            raw = text
        elif type(raw) not in (int, float, bool):
            raise DecodeError("wrong_type", field=name, found=shown(raw), expected="a single value")
        if sentinels and wire_word(raw) in sentinels:
            return None  # "--" for "no sensor" could not be cast
        value = raw if cast is None else _cast(raw, cast, name)
        if value is None or (sentinels and wire_word(value) in sentinels):
            return None
        if measure is not None and type(value) in (int, float):
            value = measure(value)
        return value if lookup is None else lookup(value)

    return convert


def _is_measured(field: FieldMap) -> bool:
    """Whether something is to be computed: "0028" with a scale is a number, wherever it goes."""
    return field.scale != 1 or field.offset != 0 or field.linear is not None


def _measure(field: FieldMap) -> Callable[[float], float] | None:
    """Scale, offset and linear map of a number; None when nothing is to be done."""
    if not _is_measured(field):
        return None
    multiply, divide = factors(field.scale)
    offset = float(field.offset)
    if field.linear is None:
        return lambda value: value * multiply / divide + offset
    raw_low, raw_high, low, high = field.linear
    if raw_low == raw_high:
        raise ValueError("expected two different raw values in linear")
    slope = (high - low) / (raw_high - raw_low)
    return lambda value: low + (value * multiply / divide + offset - raw_low) * slope


def _lookup(name: str, field: FieldMap) -> Callable[[Any], Any] | None:
    if field.map is None:
        return None
    skip = field.unlisted == "skip"
    table = {wire_word(key): target for key, target in field.map.items()}
    default, listed = field.default, _listed(table)

    def lookup(value: Any) -> Any:
        word = wire_word(value)
        if word in table:
            return table[word]
        if (bare := word.strip()) in table:
            return table[bare]
        if default is None:
            if skip:
                return UNSAID
            raise DecodeError("unknown_word", field=name, found=shown(value), expected=listed)
        return default

    return lookup


def wire_word(value: Any) -> str:
    """How a raw value is written as the key of a map: true, 3, 2.5, charging."""
    if value is True or value is False:
        return "true" if value else "false"
    if type(value) is float and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if type(value) is int and value.bit_length() > 64:
        return "a huge number"
    return str(value)


def _too_long(name: str, text: str) -> DecodeError:
    return DecodeError(
        "too_large", field=name, found=f"a text of {len(text)}", expected=f"at most {LONGEST_TEXT} characters"
    )


def _listed(words: Any) -> str:
    return "one of " + ", ".join(sorted(str(word) for word in words))


def _cast(raw: Any, cast: str, name: str) -> Any:
    if cast == "text":
        return wire_word(raw)
    if cast == "boolean":
        word = wire_word(raw).strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        raise DecodeError("wrong_type", field=name, found=shown(raw), expected="true or false")
    if cast == _MEASURED and type(raw) is bool:
        raise DecodeError("wrong_type", field=name, found=shown(raw), expected="a number")
    number = _number(raw, name)
    if cast == "integer" and number is not None:
        if not math.isfinite(number) or number != int(number):
            raise DecodeError("wrong_type", field=name, found=shown(raw), expected="a whole number")
        return int(number)
    return number


def _number(raw: Any, name: str) -> float | int | None:
    if type(raw) is str:
        try:
            return number_of_text(raw)
        except ValueError:
            raise DecodeError("wrong_type", field=name, found=shown(raw), expected="a number") from None
    if type(raw) is bool:
        return int(raw)
    return raw  # type: ignore[no-any-return]


def _as_number(value: Any, name: str) -> float:
    if type(value) is bool:
        raise DecodeError("wrong_type", field=name, found=shown(value), expected="a number")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DecodeError("wrong_type", field=name, found=shown(value), expected="a number") from None
    except OverflowError:
        raise DecodeError("wrong_type", field=name, found=shown(value), expected="a number within reach") from None
