"""Units of measure: which ones name the same quantity, and the factor between them."""

from __future__ import annotations

# A symbol may stand in two families ("m" is a minute and a metre): a pair decides which one is meant.
_FAMILIES: tuple[dict[str, float], ...] = (
    {"Pa": 1, "hPa": 1e2, "mbar": 1e2, "kPa": 1e3, "bar": 1e5, "MPa": 1e6},
    {"µA": 1e-6, "mA": 1e-3, "A": 1, "kA": 1e3},
    {"mV": 1e-3, "V": 1, "kV": 1e3},
    {"mW": 1e-3, "W": 1, "kW": 1e3, "MW": 1e6},
    {"Wh": 1, "kWh": 1e3, "MWh": 1e6},
    {"ms": 1e-3, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400},
    {"mm": 1e-3, "cm": 1e-2, "m": 1, "km": 1e3},
    {"mm/s": 1e-3, "m/s": 1},
    {"mL": 1e-3, "L": 1, "m³": 1e3, "m3": 1e3},
    {"L/s": 3.6, "L/min": 0.06, "L/h": 1e-3, "m³/h": 1, "m3/h": 1},
    {"Hz": 1, "kHz": 1e3, "MHz": 1e6},
    {"kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12},
    {"°C": 1, "℃": 1},
    {"mg": 1e-3, "g": 1, "kg": 1e3},
    {"mg/L": 1},
    {"%": 1},
    {"rpm": 1},
    {"lx": 1},
    {"dB": 1},
    {"dBm": 1},
    {"fps": 1},
    {"NTU": 1},
)
KNOWN = frozenset(symbol for family in _FAMILIES for symbol in family)


def factor(source: str, target: str) -> float | None:
    """What a number in `source` is multiplied with to be in `target`; None where they name different quantities."""
    if source == target:
        return 1.0
    for family in _FAMILIES:
        if source in family and target in family:
            return family[source] / family[target]
    return None
