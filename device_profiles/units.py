"""Units of measure: which ones name the same quantity, and the factor between them."""

from __future__ import annotations

from functools import cache

_TIME = {"ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_POWER = {"mW": 1e-3, "W": 1.0, "kW": 1e3, "MW": 1e6}
_ENERGY = {"Wh": 1.0, "kWh": 1e3, "MWh": 1e6}
# A symbol may stand in two families ("m" is a minute and a metre): a pair decides which one is meant.
_FAMILIES: tuple[dict[str, float], ...] = (
    _TIME,
    _POWER,
    _ENERGY,
    {"Pa": 1, "hPa": 1e2, "mbar": 1e2, "kPa": 1e3, "bar": 1e5, "MPa": 1e6},
    {"µA": 1e-6, "mA": 1e-3, "A": 1, "kA": 1e3},
    {"mV": 1e-3, "V": 1, "kV": 1e3},
    {"VA": 1, "kVA": 1e3},
    {"var": 1, "kvar": 1e3},
    {"mm": 1e-3, "cm": 1e-2, "m": 1, "km": 1e3},
    {"mL": 1e-3, "L": 1, "m³": 1e3, "m3": 1e3},
    {"Hz": 1, "kHz": 1e3, "MHz": 1e6},
    {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12},
    {"°C": 1, "℃": 1},
    {"mg": 1e-3, "g": 1, "kg": 1e3},
    {"mg/L": 1},
    {"ppm": 1},
    {"µg/m³": 1, "mg/m³": 1e3},
    {"%": 1},
    {"rpm": 1},
    {"lx": 1},
    {"dB": 1},
    {"dBm": 1},
    {"fps": 1},
    {"NTU": 1},
)
_PER = ("s", "min", "h", "d")
KNOWN = frozenset(symbol for family in _FAMILIES for symbol in family) | frozenset(
    f"{symbol}/{time}" for family in _FAMILIES for symbol in family if "/" not in symbol for time in _PER
)
"""Those that can stand behind a number. Every one of them can be had per second, minute, hour and day."""


@cache
def factor(source: str, target: str) -> float | None:
    """What a number in `source` is multiplied with to be in `target`; None where they name different quantities.

    Energy per time is power: 1 kWh/h is 1 kW.
    """
    if source == target:
        return 1.0
    sizes = _sizes(target)
    return next((size / sizes[kind] for kind, size in _sizes(source).items() if kind in sizes), None)


def _sizes(unit: str) -> dict[str, float]:
    """What the unit may be: a quantity -> how large it is there."""
    found = {f"quantity {i}": family[unit] for i, family in enumerate(_FAMILIES) if unit in family}
    if unit == "ratio":  # what a share is: nobody writes it, 0.2 and 20 % are the same
        found[f"quantity {next(i for i, family in enumerate(_FAMILIES) if '%' in family)}"] = 100.0
    amount, per, time = unit.rpartition("/")
    if per and time in _TIME:
        for i, family in enumerate(_FAMILIES):
            if amount in family and family is _ENERGY:
                found[f"quantity {_FAMILIES.index(_POWER)}"] = family[amount] * 3600 / _TIME[time]
            elif amount in family:
                found[f"quantity {i} per time"] = family[amount] / _TIME[time]
        found[f"{amount} per time"] = 1 / _TIME[time]
    return found


_FREE = frozenset({"dBA", "dBi", "g/m³", "kg/m³", "m/s²", "mS", "MS", "mS/cm", "ppb", "pH", "Mbit/s", "Kbit/s"})
"""Units that only look like a slip of the pen in one of the others."""


@cache
def misspelt(unit: str) -> str | None:
    """The unit that was meant; None where this one is known, or may well be a unit that is not known here."""
    if not unit or unit in KNOWN or unit in _FREE:
        return None
    by_case = [known for known in KNOWN if known.casefold() == unit.casefold() and len(unit) > 1]
    if len(by_case) == 1:
        return by_case[0]
    # One letter too many or too few, in what is long enough for that to mean something.
    near = [known for known in KNOWN if len(min(known, unit, key=len)) > 2 and _one_more(known, unit)]
    return min(near, default=None)


def _one_more(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    return len(long) == len(short) + 1 and any(long[:i] + long[i + 1 :] == short for i in range(len(long)))
