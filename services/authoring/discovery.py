"""Home Assistant discovery: what the configs on `homeassistant/…/config` say of topics and values.

Read are names, units, classes, payload words, availability and value templates of the simple forms
`{{ value }}`, `{{ value_json.a.b }}`, `{{ value_json['a'][0] }}`, with `| round`, `| float`, `* n` or `/ n` behind.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from services.authoring.capture import Message
from services.authoring.values import Told

_CONFIG = re.compile(r"(?:.*/)?homeassistant/(?P<component>[a-z_]+)/.+/config")
_LONG = {
    "stat_t": "state_topic", "val_tpl": "value_template", "unit_of_meas": "unit_of_measurement",
    "dev_cla": "device_class", "stat_cla": "state_class", "avty_t": "availability_topic", "avty": "availability",
    "pl_on": "payload_on", "pl_off": "payload_off", "stat_on": "state_on", "stat_off": "state_off",
    "pl_avail": "payload_available", "pl_not_avail": "payload_not_available", "dev": "device", "cmps": "components",
    "p": "platform", "ops": "options", "t": "topic", "mf": "manufacturer", "mdl": "model", "pos_t": "position_topic",
    "json_attr_t": "json_attributes_topic", "stat_locked": "state_locked", "stat_unlocked": "state_unlocked",
}  # fmt: skip
_TEMPLATE = re.compile(
    r"""\s*\{\{-?\s*
        (?:value|value_json(?P<path>(?:\.\w+|\[\s*(?:'[^']*'|"[^"]*"|\d+)\s*\])*))
        \s*(?:\|\s*\w+(?:\([^)]*\))?\s*)*
        (?:(?P<sign>[*/])\s*(?P<factor>\d+(?:\.\d+)?)\s*)?
        (?:\|\s*\w+(?:\([^)]*\))?\s*)*
        -?\}\}\s*""",
    re.VERBOSE,
)
_STEP = re.compile(r"""\.(\w+)|\[\s*'([^']*)'\s*\]|\[\s*"([^"]*)"\s*\]|\[\s*(\d+)\s*\]""")


@dataclass(frozen=True)
class Entity:
    """One value that a discovery message announces."""

    topic: str
    path: tuple[str | int, ...] | None
    """Where in the JSON it stands; () for the whole payload; None where the template is not understood."""
    told: Told
    is_json: bool
    template: str = ""


@dataclass
class Announced:
    """All that the discovery messages of a capture say."""

    entities: list[Entity] = field(default_factory=list)
    presence: dict[str, dict[str, str]] = field(default_factory=dict)
    """Availability topic -> payload -> online or offline."""
    makers: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    topics: set[str] = field(default_factory=set)
    """The topics of the configs themselves."""

    def told(self, topics: Iterable[str], path: tuple[str | int, ...]) -> Told | None:
        """What is said of the value at this path of these topics."""
        heard = set(topics)
        return next((one.told for one in self.entities if one.path == path and one.topic in heard), None)

    def not_understood(self) -> list[str]:
        return sorted({one.template for one in self.entities if one.path is None})


def announced(messages: Iterable[Message]) -> Announced:
    """What the discovery configs among these messages say; other messages are passed over."""
    found = Announced()
    for message in messages:
        match = _CONFIG.fullmatch(message.topic)
        if match is None:
            continue
        found.topics.add(message.topic)
        config = _config(message.payload)
        if config is not None:
            _take(found, match["component"], config)
    return found


def _config(payload: bytes) -> dict[str, Any] | None:
    try:
        config = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return _written_out(config, "") if isinstance(config, dict) else None


def _written_out(config: dict[str, Any], base: str) -> dict[str, Any]:
    """Abbreviations and `~` written out."""
    base = str(config.get("~", base))
    return {_LONG.get(key, key): _value(_LONG.get(key, key), value, base) for key, value in config.items()}


def _value(name: str, value: Any, base: str) -> Any:
    if isinstance(value, str) and name.endswith("topic") and base:
        return re.sub(r"^~|~$", lambda _: base, value)
    if name in ("device", "components") and isinstance(value, dict):
        return {key: _written_out(one, base) if isinstance(one, dict) else one for key, one in _long(name, value)}
    if name == "availability" and isinstance(value, list):
        return [_written_out(one, base) for one in value if isinstance(one, dict)]
    return value


def _long(name: str, value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, one in value.items():
        yield (_LONG.get(key, key) if name == "device" else key), one


def _take(found: Announced, component: str, config: dict[str, Any]) -> None:
    device = config.get("device")
    if isinstance(device, dict):
        maker = " ".join(str(device[key]) for key in ("manufacturer", "model") if device.get(key))
        found.makers += [maker] if maker and maker not in found.makers else []
        found.names += [str(device["name"])] if device.get("name") and device["name"] not in found.names else []
    for kind, one in _entities(component, config):
        _take_availability(found, one)
        topic = one.get("state_topic")
        if isinstance(topic, str) and topic:
            template = str(one.get("value_template") or "")
            path, scale, is_json = read_template(template)
            found.entities.append(Entity(topic, path, _told(kind, one, scale), is_json, template))


def _entities(component: str, config: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    parts = config.get("components")
    if component != "device" or not isinstance(parts, dict):
        yield component, config
        return
    shared: dict[str, Any] = {
        key: config[key] for key in ("state_topic", "availability", "availability_topic") if key in config
    }
    for part in parts.values():
        if isinstance(part, dict):
            yield str(part.get("platform", "sensor")), {**shared, **part}


def _take_availability(found: Announced, config: dict[str, Any]) -> None:
    listed = config.get("availability")
    many = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    if isinstance(config.get("availability_topic"), str):
        many.append({**config, "topic": config["availability_topic"]})
    for one in many:
        if isinstance(one.get("topic"), str) and one["topic"]:
            online = str(one.get("payload_available", "online"))
            offline = str(one.get("payload_not_available", "offline"))
            found.presence[one["topic"]] = {online: "online", offline: "offline"}


def _told(component: str, config: dict[str, Any], scale: float | None) -> Told:
    lock = component == "lock"
    on, off = ("UNLOCKED", "LOCKED") if lock else ("ON", "OFF")
    options = config.get("options")
    return Told(
        name=str(config.get("name") or ""),
        unit=str(config.get("unit_of_measurement") or ""),
        device_class="lock" if lock else str(config.get("device_class") or ""),
        state_class=str(config.get("state_class") or ""),
        component=component,
        on=str(config.get("state_on", config.get("payload_on", config.get("state_unlocked", on)))),
        off=str(config.get("state_off", config.get("payload_off", config.get("state_locked", off)))),
        options=tuple(map(str, options)) if isinstance(options, list) else (),
        scale=scale,
    )


def read_template(template: str) -> tuple[tuple[str | int, ...] | None, float | None, bool]:
    """(path, scale, whether the payload is JSON) of a value template; the path is None where it is not simple."""
    if not template:
        return (), None, False
    found = _TEMPLATE.fullmatch(template)
    if found is None:
        return None, None, "value_json" in template
    scale = None
    if found["factor"] and float(found["factor"]):
        scale = float(found["factor"]) if found["sign"] == "*" else 1 / float(found["factor"])
    if found["path"] is None:
        return (), scale, False
    steps = [
        int(index) if index else (name or quoted or double)
        for name, quoted, double, index in _STEP.findall(found["path"])
    ]
    return tuple(steps), scale, True
