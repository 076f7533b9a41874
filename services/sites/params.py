"""What a param of a profile may be given. Pure."""

from __future__ import annotations

import sys

from device_profiles.schema import Param

_WORDS = {"number": "a number", "integer": "a whole number", "text": "text", "boolean": "true or false"}
_LARGEST = sys.float_info.max
"""Beyond it is what no rule can compare: with a threshold that is not a number every condition is false."""


def param_mistake(param: Param, value: object) -> str | None:
    """What was expected of a param's value, or None if it is fine."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST
    fits = {
        "number": number,
        "integer": number and float(value).is_integer(),  # type: ignore[arg-type]
        "text": isinstance(value, str),
        "boolean": isinstance(value, bool),
    }[param.type]
    if not fits:
        return _WORDS[param.type]
    if not number:
        return None
    low = param.min is not None and value < param.min  # type: ignore[operator]
    high = param.max is not None and value > param.max  # type: ignore[operator]
    return f"{range_of(param)}{f' {param.uom}' if param.uom else ''}" if low or high else None


def range_of(param: Param) -> str:
    """ "at least 0 and at most 10"; "" where there is no bound."""
    bounds = [
        f"at least {param.min:g}" if param.min is not None else "",
        f"at most {param.max:g}" if param.max is not None else "",
    ]
    return " and ".join(bound for bound in bounds if bound)
