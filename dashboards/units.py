"""Grafana's ids of units."""

from __future__ import annotations

UNITS = {
    "W": "watt",
    "kW": "kwatt",
    "V": "volt",
    "A": "amp",
    "mA": "mamp",
    "°C": "celsius",
    "%": "percent",
    "kWh": "kwatth",
    "Wh": "watth",
    "s": "s",
    "dBm": "dBm",
    "MB": "decmbytes",
    "Hz": "hertz",
}


def unit(uom: str) -> str:
    """Grafana's id of a unit; an unknown one is written behind the number as it is."""
    return UNITS.get(uom) or (f"suffix: {uom}" if uom else "short")
