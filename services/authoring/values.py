"""What one value of a message is, from its name and from what it was: a metric, a state, a time, a name, or neither."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from services.authoring import hints, identity, ids
from services.authoring.quantities import Quantity

MOST_WORDS = 12
MOST_MARKS = 2
"""Words that may stand for "no value" among numbers."""
_MEASURED_SHARE = 0.75
_LONGEST_WORD = 40
_LARGEST_COUNT = 1e12
_NUMBER = re.compile(r"\s*[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?\s*")
_WITH_UNIT = re.compile(r"\s*([-+]?\d+(?:\.\d+)?)(\s*(?:°C|℃|%|[a-zA-Zµ³/]{1,6}))\s*")
_TIME_WORDS = ids.words(
    """
    ts t tst time timestamp datetime date utc dt clock stamp reportts eventtime reporttime datatime updatetime
    createtime collecttime sendtime now at shijian
    """
)
_PERSONAL = ids.words(
    "card cardno cardnumber cardid person personname username user userid phone mobile plate licenseplate idcard face "
    "rfid who pic picture photo snapshot"
)
_SURELY_TIME = ids.words("ts timestamp time datetime")
_ID_WORDS = ids.words(
    """
    id ids uid uuid mac imei imsi iccid sn serial serialno deviceid devid devname devicename deviceno devno deveui
    eui dn chargerid stationid gatewayid nodeid physicalid address addr cid mn did msgid messageid tid guid source
    src dst product productid productkey pk token session version ver fwver firmware hardware model ip ipaddress ssid
    url fport fcnt
    """
)
_STATE_WORDS = ids.words(
    """
    state status mode door lock gate valve alarm switch relay power output input onoff on running run work charging
    phase position motion occupancy leak tamper fault error warning level_state workmode enable enabled open closed
    active cover contact connected online plugged result level direction zhuangtai state_code code action obstruct
    light vehicle available availability health pump fan
    """
)
_CODED = ids.words("status mode result code direction level")
_YES_NO: tuple[tuple[str, str, str], ...] = (
    ("contact", "closed", "open"),
    ("door doors gate window cover open opened lid men", "open", "closed"),
    ("lock locked suo", "locked", "unlocked"),
    ("leak waterleak flood wet water loushui", "wet", "dry"),
    ("alarm smoke fire tamper fault error err warning overload sos gas yanwu gaojing guzhang", "alarm", "clear"),
    ("motion occupancy occupied presence person vehicle obstruct vibration detected", "detected", "clear"),
    ("running run work working charging active started pump fan", "running", "stopped"),
    ("low batterylow", "low", "ok"),
)
WORDS = {
    "on": ("开", "on", "active"), "off": ("关", "off", "idle"), "open": ("打开", "open", "active"),
    "closed": ("关闭", "closed", "ok"), "close": ("关闭", "closed", "ok"), "alarm": ("报警", "alarm", "bad"),
    "clear": ("正常", "clear", "ok"), "normal": ("正常", "normal", "ok"), "ok": ("正常", "OK", "ok"),
    "locked": ("已上锁", "locked", "ok"), "unlocked": ("已开锁", "unlocked", "active"), "wet": ("有水", "wet", "bad"),
    "dry": ("无水", "dry", "ok"), "running": ("运行", "running", "active"), "run": ("运行", "running", "active"),
    "stopped": ("停止", "stopped", "idle"), "stop": ("停止", "stopped", "idle"), "fault": ("故障", "fault", "bad"),
    "error": ("故障", "error", "bad"), "idle": ("空闲", "idle", "idle"), "standby": ("待机", "standby", "idle"),
    "charging": ("充电中", "charging", "active"), "full": ("已充满", "full", "ok"), "auto": ("自动", "automatic", "ok"),
    "manual": ("手动", "manual", "warn"), "detected": ("有", "detected", "active"), "low": ("低", "low", "warn"),
    "high": ("高", "high", "warn"), "online": ("在线", "online", "ok"), "offline": ("离线", "offline", "bad"),
    "available": ("空闲", "available", "idle"), "opening": ("正在打开", "opening", "active"),
    "closing": ("正在关闭", "closing", "active"), "failed": ("失败", "failed", "bad"), "ready": ("就绪", "ready", "ok"),
    "other": ("其他", "another word", "warn"), "unknown": ("未知", "unknown", "unknown"),
}  # fmt: skip

Sort = Literal["metric", "state", "time", "name", "none"]


_SHALLOW = 10
"""A level below this that is no whole number is a depth."""


@dataclass
class Guess:
    """What a value is taken for. `entry` has the keys of its FieldMap beside the path."""

    sort: Sort
    entry: dict[str, Any] = field(default_factory=dict)
    quantity: Quantity | None = None
    uom: str = ""
    kind: str = "gauge"
    words: dict[str, str] = field(default_factory=dict)
    """State words, with the raw one each."""
    time_format: str = ""
    notes: list[str] = field(default_factory=list)
    largest: float | None = None
    """Of a metric: the largest value seen, after its scale and offset."""
    whole: bool = False
    """Of a metric: only integers were seen, and they are taken as they are."""


@dataclass(frozen=True)
class Told:
    """What a discovery message says of a value."""

    name: str = ""
    unit: str = ""
    device_class: str = ""
    state_class: str = ""
    component: str = ""
    on: str = "ON"
    off: str = "OFF"
    options: tuple[str, ...] = ()
    scale: float | None = None


def guess(path: Sequence[str], values: Sequence[Any], told: Told | None = None) -> Guess:
    """What stands at this path (its keys, without indices), from all values seen there."""
    key = path[-1] if path else ""
    seen = [value for value in values if value is not None and value != ""]
    if is_personal(key):
        return Guess("none", notes=["may name a person: left out on purpose"])
    if told is not None and (found := _told(path, seen, told)) is not None:
        return found
    if not seen:
        return Guess("none", notes=["it was always empty"])
    if _names_time(key) and (format_ := time_format(seen)):
        return Guess("time", time_format=format_)
    if "".join(_words_of(key)) in _SURELY_TIME and all(isinstance(value, int | float) for value in seen):
        return Guess("none", notes=["named a time, and no plausible one"])
    if all(isinstance(value, bool) for value in seen):
        return _yes_no(key, seen)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in seen):
        return _numbers(path, [float(value) for value in seen], whole=all(isinstance(value, int) for value in seen))
    if all(isinstance(value, str) for value in seen):
        return _texts(path, seen)
    return Guess("none", notes=["its values are of several kinds"])


def _words_of(key: str) -> list[str]:
    return hints.tokens(key) or [key.lower()]


def _names(key: str, known: frozenset[str]) -> bool:
    words = _words_of(key)
    return "".join(words) in known or words[-1] in known


# --- times and names ------------------------------------------------------------------------------------------------


def _names_time(key: str) -> bool:
    words = _words_of(key)
    return _names(key, _TIME_WORDS) or words[-1] in ("ts", "time", "timestamp", "at") or key.endswith(("时间", "Time"))


def time_format(values: Sequence[Any]) -> str:
    """`unix_ms`, `iso`, … where all values are plausible times; else ""."""
    if all(isinstance(value, str) for value in values):
        texts = [str(value).strip() for value in values]
        if all(re.fullmatch(r"\d{10}|\d{13}|\d{16}|\d{19}", text) for text in texts):
            return _unix([float(text) for text in texts])
        return "iso" if all(_is_iso(text) for text in texts) else ""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return _unix([float(value) for value in values])
    return ""


def _unix(values: Sequence[float]) -> str:
    for name, scale in (("unix_s", 1), ("unix_ms", 1e3), ("unix_us", 1e6), ("unix_ns", 1e9)):
        if all(9.4e8 <= value / scale <= 4.1e9 for value in values):  # between 2000 and 2100
            return name
    return ""


def _is_iso(text: str) -> bool:
    if not re.match(r"\d{4}-?\d{2}-?\d{2}", text):
        return False
    try:
        datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError:
        return False
    return True


def is_personal(key: str) -> bool:
    """Whether a key may name a person: who passed a door is nobody's business but the door's."""
    return bool(set(_words_of(key)) & _PERSONAL) or "".join(_words_of(key)) in _PERSONAL


def is_name(key: str) -> bool:
    """Whether a key names a device or a message."""
    return _names(key, _ID_WORDS) or _words_of(key)[-1] == "name" or key in ("设备编号", "编号", "id")


# --- numbers --------------------------------------------------------------------------------------------------------


def _numbers(path: Sequence[str], values: Sequence[float], *, whole: bool) -> Guess:
    key = path[-1] if path else ""
    if is_name(key):
        return Guess("name")
    if whole and any(abs(value) >= _LARGEST_COUNT for value in values):
        return Guess("none", notes=["a long number: a name or a serial number?"])
    quantity = hints.quantity_of(path)
    distinct = set(values)
    if (
        whole
        and _names(key, _STATE_WORDS)
        and (quantity is None or distinct <= {0, 1})
        and len(distinct) <= MOST_WORDS
        and all(-9 <= one <= 99 for one in distinct)
    ):
        return _codes(key, sorted(int(value) for value in distinct))
    found = _metric(path, values, quantity)
    found.whole = whole and "scale" not in found.entry
    return found


def _metric(path: Sequence[str], values: Sequence[float], quantity: Quantity | None) -> Guess:
    found = _meant(path, values, quantity)
    entry = found.entry
    shown = [value * entry.get("scale", 1) + entry.get("offset", 0) for value in values if math.isfinite(value)]
    found.largest = max(shown, default=None)
    return found


def _meant(path: Sequence[str], values: Sequence[float], quantity: Quantity | None) -> Guess:
    key = path[-1] if path else ""
    finite = [value for value in values if math.isfinite(value)]
    if quantity is None:
        return Guess("metric", notes=[f"what {key or 'the number'} is, and its unit"])
    if quantity.name == "temperature" and hints.tokens(key)[-1:] in (["f"], ["fahrenheit"]):
        entry: dict[str, Any] = {"scale": 0.555556, "offset": -17.7778}
        return Guess("metric", entry, quantity, "°C", notes=["from °F"])
    unit = hints.unit_of_key(key)
    if unit is not None:
        return Guess("metric", quantity=quantity, uom=unit, kind=quantity.kind)
    if quantity.range is not None and not all(quantity.range[0] <= value <= quantity.range[1] for value in finite):
        quantity = quantity._replace(range=None)
    uom, scale, why = _magnitude(quantity, finite)
    entry = {} if scale == 1 else {"scale": scale}
    notes = [why] if why else [f"unit {uom} from the name"] if uom else ["the unit"]
    return Guess("metric", entry, quantity, uom, quantity.kind, notes=notes)


def _magnitude(quantity: Quantity, values: Sequence[float]) -> tuple[str, float, str]:
    """(unit, scale, what was guessed) from how large the numbers are."""
    top = max((abs(value) for value in values), default=0.0)
    whole = all(value == int(value) for value in values)
    name = quantity.name
    if name == "pressure":
        limits = ((3, "MPa"), (850, "kPa"), (1100, "hPa"), (5000, "kPa"), (math.inf, "Pa"))
        unit = next(unit for limit, unit in limits if top < limit)
        return unit, 1, f"unit {unit} from the size of the numbers"
    if name == "level":
        if top < _SHALLOW and not whole:
            return "m", 1, "m: too small for a percentage"
        return ("%", 1, "% because the numbers are below 100") if top <= 100 else ("mm", 1, "mm from the size")
    if name == "distance":
        unit = "mm" if top > 400 else "cm" if top > 10 else "m"
        return unit, 1, f"unit {unit} from the size of the numbers"
    if name == "current" and top > 200:
        return "mA", 1, "mA because the numbers are large"
    if name == "battery" and 1.5 < top <= 5 and not whole:
        return "V", 1, "V: too small for a percentage"
    if name == "battery" and top > 1000:
        return "mV", 1, "mV: too large for a percentage"
    tenths = {"temperature": 130, "humidity": 100.5, "voltage": 1000}
    if name in tenths and whole and tenths[name] < top <= tenths[name] * 10:
        return quantity.uom, 0.1, f"tenths: {top:g} {quantity.uom} can hardly be meant"
    if name == "frequency" and whole and 4000 < top < 7000:
        return quantity.uom, 0.01, f"hundredths: {top:g} Hz can hardly be meant"
    if name == "energy" and whole and top > 100_000:
        return "Wh", 1, "Wh because the numbers are large"
    return quantity.uom, 1, ""


# --- words ----------------------------------------------------------------------------------------------------------


def _yes_no(key: str, seen: Sequence[bool]) -> Guess:
    true, false = yes_no_words(key)
    found = Guess("state", {"map": {"true": true, "false": false}}, words={true: "true", false: "false"})
    if len(set(seen)) == 1:
        found.notes.append(f"only {str(seen[0]).lower()} was seen")
    elif (true, false) != ("on", "off"):
        found.notes.append(f"that true means {true}")
    return found


def yes_no_words(key: str) -> tuple[str, str]:
    words = set(_words_of(key)) | {"".join(_words_of(key))}
    for known, true, false in _YES_NO:
        if words & set(known.split()):
            return true, false
    return "on", "off"


def _codes(key: str, codes: Sequence[int]) -> Guess:
    if set(codes) <= {0, 1} and not _names(key, _CODED):
        true, false = yes_no_words(key)
        return Guess(
            "state", {"map": {"0": false, "1": true}}, words={false: "0", true: "1"}, notes=[f"that 1 means {true}"]
        )
    words = {f"code_{code}" if code >= 0 else f"code_minus_{-code}": str(code) for code in codes}
    return _with_other(words, ["what the codes mean: name the words"])


def _texts(path: Sequence[str], seen: Sequence[str]) -> Guess:
    key = path[-1] if path else ""
    if _names_time(key) and time_format(seen):
        return Guess("time", time_format=time_format(seen))
    if is_name(key) or identity.is_serial(key, seen):
        return Guess("name")
    texts = [text.strip() for text in seen]
    numbers = [text for text in texts if text.lower() not in ("nan", "null", "none", "inf", "+inf", "-inf", "-", "--")]
    if numbers and all(_NUMBER.fullmatch(text) for text in numbers):
        whole = all("." not in text and "e" not in text.lower() for text in numbers)
        found = _numbers(path, [float(text) for text in numbers], whole=whole)
        if found.sort == "metric":
            found.entry = {"cast": "number", **found.entry}
        return found
    if not numbers:
        quantity = hints.quantity_of(path)
        uom = quantity.uom if quantity else ""
        return Guess("metric", {"cast": "number"}, quantity, uom, notes=["a number: only NaN and the like was seen"])
    with_unit = [_WITH_UNIT.fullmatch(text) for text in texts]
    if all(with_unit) and len({match[2] for match in with_unit if match}) == 1:
        return _suffixed(path, [match for match in with_unit if match])
    return _mostly_suffixed(path, texts) or _state(key, list(dict.fromkeys(texts)), len(texts))


def _mostly_suffixed(path: Sequence[str], texts: Sequence[str]) -> Guess | None:
    """`1990 mm`, and now and then `Invalid Reading`: the words are what it says where it has no value."""
    measured = [match for text in texts if (match := _WITH_UNIT.fullmatch(text) or _NUMBER.fullmatch(text))]
    others = sorted({text for text in texts if not (_WITH_UNIT.fullmatch(text) or _NUMBER.fullmatch(text))})
    units = {match[2] if match.re is _WITH_UNIT else "" for match in measured}
    if len(units) != 1 or len(others) > MOST_MARKS or len(measured) < _MEASURED_SHARE * len(texts):
        return None
    if units == {""}:
        found = _numbers(path, [float(match[0]) for match in measured], whole=False)
        if found.sort != "metric":
            return None
        found.entry = {"cast": "number", **found.entry}
    else:
        found = _suffixed(path, measured)
    found.entry["sentinel"] = others
    found.notes.append(f"that {' and '.join(map(repr, others))} means no value")
    return found


def _suffixed(path: Sequence[str], found: Sequence[re.Match[str]]) -> Guess:
    unit = found[0][2]
    guessed = _metric(path, [float(match[1]) for match in found], hints.quantity_of([*path, f"x_{unit.strip()}"]))
    guessed.entry = {"strip": unit, "cast": "number"}
    guessed.uom, guessed.notes = hints.spelt(unit), []
    return guessed


def _state(key: str, distinct: list[str], many: int) -> Guess:
    fits = len(distinct) <= MOST_WORDS and all(len(word) <= _LONGEST_WORD for word in distinct)
    known = all(word.lower() in WORDS for word in distinct)
    repeated = 1 < len(distinct) < many
    if not fits or not (known or repeated or _names(key, _STATE_WORDS)):
        return Guess("none", notes=["a text that is neither a number nor one of a few words"])
    pairs = {frozenset({"on", "off"}), frozenset({"open", "closed"}), frozenset({"true", "false"})}
    lower = {word.lower() for word in distinct}
    if any(lower <= pair for pair in pairs):
        return _pair(key, distinct, next(pair for pair in pairs if lower <= pair))
    return _with_other({word_of(word): word for word in distinct}, [])


def _pair(key: str, distinct: list[str], pair: frozenset[str]) -> Guess:
    """Both words of a pair, even where only one was seen, spelt as that one."""
    sample = distinct[0]
    spell = str.upper if sample.isupper() else str.capitalize if sample[:1].isupper() else str.lower
    true, false = yes_no_words(key) if pair != {"open", "closed"} else ("open", "closed")
    meaning = {"on": true, "true": true, "off": false, "false": false, "open": "open", "closed": "closed"}
    words = {meaning[word]: spell(word) for word in sorted(pair, reverse=True)}
    unseen = [spell(word) for word in sorted(pair) if spell(word) not in distinct]
    notes = [f"{unseen[0]} was not seen"] if unseen else []
    return Guess("state", {"map": {raw: word for word, raw in words.items()}}, words=words, notes=notes)


def _with_other(words: dict[str, str], notes: list[str]) -> Guess:
    """Words that were seen; any other is shown as such instead of setting the whole message aside."""
    entry = {"map": {raw: word for word, raw in words.items()}, "default": "other"}
    return Guess("state", entry, words={**words, "other": ""}, notes=[*notes, "other words than these may come"])


def word_of(raw: str) -> str:
    """A raw word as a state's word: `Charging Paused` -> charging_paused."""
    word = ids.identifier(raw, "word")
    return word if word != "word" or raw.lower() == "word" else f"word_{abs(hash_of(raw)) % 1000}"


def hash_of(text: str) -> int:
    """The same on every run: Chinese words need a name that stays."""
    return sum(ord(sign) * (i + 1) for i, sign in enumerate(text))


# --- what discovery says --------------------------------------------------------------------------------------------

_CLASS_WORDS = {
    "door": ("open", "closed"), "window": ("open", "closed"), "garage_door": ("open", "closed"),
    "opening": ("open", "closed"), "lock": ("unlocked", "locked"), "moisture": ("wet", "dry"),
    "smoke": ("alarm", "clear"), "gas": ("alarm", "clear"), "problem": ("alarm", "clear"), "safety": ("alarm", "clear"),
    "tamper": ("alarm", "clear"), "motion": ("detected", "clear"), "occupancy": ("detected", "clear"),
    "running": ("running", "stopped"), "battery": ("low", "ok"), "heat": ("high", "ok"), "cold": ("low", "ok"),
    "carbon_monoxide": ("alarm", "clear"), "vibration": ("detected", "clear"), "presence": ("detected", "clear"),
}  # fmt: skip


def _told(path: Sequence[str], seen: Sequence[Any], told: Told) -> Guess | None:
    if told.component in ("binary_sensor", "switch", "light", "lock", "siren", "fan", "valve"):
        true, false = _CLASS_WORDS.get(told.device_class, ("on", "off"))
        raws = {true: _raw(told.on), false: _raw(told.off)}
        return Guess("state", {"map": {raw: word for word, raw in raws.items()}}, words=raws)
    if told.options:
        words = {word_of(word): word for word in told.options}
        return _with_other(words, [])
    if told.unit or told.state_class:
        key = path[-1] if path else told.name
        quantity = hints.quantity_of([key, told.device_class] if told.device_class else [key, told.name])
        entry: dict[str, Any] = {"cast": "number"} if any(isinstance(value, str) for value in seen) else {}
        if told.scale is not None:
            entry["scale"] = told.scale
        kind = "counter" if told.state_class in ("total_increasing", "total") else "gauge"
        return Guess("metric", entry, quantity, hints.spelt(told.unit), kind)
    return None


def _raw(text: str) -> str:
    return {"True": "true", "False": "false"}.get(text, text)
