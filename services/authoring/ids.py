"""What looks like the name of one device among many, and what like a word of a topic's grammar."""

from __future__ import annotations

import re


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


WORDS = words(
    """
    alarm alarms alive announce announcement app attributes available availability avail base battery bridge brightness
    button card charge charger client cloud cmd cmnd co2 color command commands config conn connected connection control
    count counter current data dev device devices diagnostics dimmer discover discovery display door doors down download
    energy energy_total error errors ev event events evt fault faults feedback firmware flow frequency function gate
    gateway get group heartbeat heart home humidity humi hum illuminance in info init input inputs invoke ip json
    keepalive
    level light lock log logs lux lwt measurement measurements message messages meter metrics mode model monitor motion
    msg name network node notify occupancy online offline out output outputs param params person ping port post power
    presence pressure properties property pump push raw reading readings relay reply report request resp response
    result rpc rssi rx sense sensor sensors service services set settings shadow sig signal snapshot snr soc sound
    stat state states stats status switch sys sysinfo system tamper tele telemetry temp temperature test thing time
    traffic tx uplink up uptime update upload valve value values vars version vibration voltage volume warn warning
    water weight wifi will write zone zones telemetries devicestatus devicestate reports
    """
)
"""Words that stand in topics for what is said, never for who says it."""

SAID_TO_DEVICES = words("set cmd cmnd command commands control invoke request requests write")
"""First or last levels of topics that speak to a device and not from it."""

_NUMBER = re.compile(r"\d{1,5}")
_STRONG = re.compile(
    r"""
      \d{6,}                                              # a serial number, an IMEI
    | (?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{6,}       # hex digits: part of a MAC, an EUI
    | 0x[0-9a-f]+
    | (?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}
    | [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}
    """,
    re.VERBOSE | re.IGNORECASE,
)
_NAMED = re.compile(r"^[a-z][a-z0-9]*(?:[-_.#][a-z0-9]+)*[-_.#][a-z0-9]*\d[a-z0-9]*$", re.IGNORECASE)
"""`pump-1`, `tasmota_8F21`, `em300-th-4711`"""
_ENDS_WITH_NUMBER = re.compile(r"^([^\W\d]+)(\d{1,6})$")
_VERSION = re.compile(r"[a-z]*v\d{1,2}(\.\d{1,2})*")
_INDEXED = re.compile(r"^([A-Za-z][A-Za-z0-9_]*):(\d{1,5})$")


def is_number(level: str) -> bool:
    return bool(_NUMBER.fullmatch(level))


def is_word(level: str) -> bool:
    """Whether a level says what is said: `status`, `temperature`, `SENSOR`, `$state`, and `v1`."""
    plain = level.lower().lstrip("$")
    if _VERSION.fullmatch(plain):
        return True
    return plain in WORDS or (plain.replace("-", "_").split("_")[-1] in WORDS and not any(map(str.isdigit, plain)))


def looks_like_id(level: str) -> bool:
    """Whether this alone, without others of its kind, looks like the name of one device."""
    if is_word(level) or is_number(level) or indexed(level):
        return False
    return (
        bool(_NAMED.match(level))
        or any(_STRONG.fullmatch(part) for part in re.split(r"[-_]", level) if part)
        or bool(_STRONG.fullmatch(level))
    )


def indexed(level: str) -> tuple[str, str] | None:
    """`switch:0` -> ("switch", "0")."""
    found = _INDEXED.match(level)
    return (found[1], found[2]) if found else None


def stem(level: str) -> str | None:
    """What `pump1` and `pump2` have in common; None where nothing is counted."""
    found = _ENDS_WITH_NUMBER.match(level)
    return found[1] if found else None


def beginning(level: str) -> str:
    """`shelly1-` of `shelly1-AB12CD`; "" where there is none."""
    for mark in "-_":
        before, found, _ = level.rpartition(mark)
        if found and len(before) >= 3:
            return before + mark
    return ""


def singular(word: str) -> str:
    """`ports` -> `port`, `switches` -> `switch`, `batteries` -> `battery`."""
    lower = word.lower()
    if lower.endswith("ies") and len(lower) > 4:
        return lower[:-3] + "y"
    for ending in ("ches", "shes", "xes", "sses"):
        if lower.endswith(ending):
            return lower[:-2]
    if lower.endswith("s") and not lower.endswith(("ss", "us", "is")) and len(lower) > 3:
        return lower[:-1]
    return lower


def identifier(text: str, fallback: str = "value") -> str:
    """A name as profiles write it: lower-case letters, digits and `_`, beginning with a letter."""
    plain = re.sub(r"[^a-z0-9]+", "_", _spread(text).lower()).strip("_")
    if not plain:
        return fallback
    if not plain[0].isalpha():
        plain = f"{fallback}_{plain}"
    plain = plain[:48].rstrip("_")
    return f"{plain}_value" if plain in ("null", "true", "false") else plain


def _spread(text: str) -> str:
    """camelCase and ABCWord taken apart."""
    text = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", text)
    return re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", text)
