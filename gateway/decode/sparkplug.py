"""Sparkplug B: births give aliases their names, data uses them, deaths count only for the session they belong to.

What is remembered of an edge node, in the decoder's memory:
- ("sparkplug", node) and ("sparkplug", node, device): what the last birth declared;
- ("sparkplug_seq", node): the last sequence number, and when it came;
- ("sparkplug_size",): how much all births take together.

A message that is older than what is remembered (a replay of the quarantine) is read and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from device_profiles.schema import Sparkplug
from gateway.decode.context import NOTHING, Context, ContextStep
from gateway.decode.errors import DecodeError, shown
from gateway.decode.frames import Suspect
from gateway.decode.memory import Memory
from gateway.decode.sparkplug_births import remember
from gateway.decode.sparkplug_messages import Payload
from gateway.decode.sparkplug_values import READ_BY_DATATYPE, Room, metric_value, parsed, property_values, text_of
from gateway.decode.templates import parse_template
from gateway.reading import Millis

MOST_METRICS: Final = 4096
"""In one payload, and so of one node or device."""
LONGEST_NAME: Final = 512
LONGEST_NAMES: Final = 1 << 18
"""Characters of all metric names that are remembered of one node or device."""
_UNCOUNTED: Final = 1 << 13
"""Bytes of a payload that need not be looked at for the number of its metrics before it is parsed."""
_SEQUENCE: Final = 256
_BIRTHS: Final = frozenset({"NBIRTH", "DBIRTH"})
_OF_DEVICES: Final = frozenset({"DBIRTH", "DDEATH", "DDATA", "DCMD"})
_IN_SEQUENCE: Final = frozenset({"NBIRTH", "DBIRTH", "DDEATH", "NDATA", "DDATA"})
_TYPES: Final = frozenset({"NBIRTH", "NDEATH", "DBIRTH", "DDEATH", "NDATA", "DDATA", "NCMD", "DCMD", "STATE"})
_NOTHING_KNOWN: Final[dict[Any, Any]] = {}

Fill = Callable[[Mapping[str, str]], str]


def sparkplug_decoder(spec: Sparkplug, captures: frozenset[str]) -> ContextStep:
    """Compile; raises ValueError where the topic lacks what the templates need."""
    type_of, node_of = _filled(spec.type, "type", captures), _filled(spec.node, "node", captures)
    device_of = _device_filled(spec.device, captures)

    def decode(raw: Any, context: Context) -> Any:
        if type(raw) is not bytes:
            raise DecodeError("wrong_type", found=shown(raw), expected="bytes of a Sparkplug B payload")
        told = context.captures
        type_ = type_of(told)
        if type_ not in _TYPES:
            raise DecodeError("unknown_word", field="type", found=shown(type_), expected=", ".join(sorted(_TYPES)))
        if type_ == "STATE":
            return _host_state(raw)
        device = device_of(told) if type_ in _OF_DEVICES else ""
        return _Message(raw, type_, node_of(told), device, context).decoded()

    return decode


def _filled(template: str, what: str, captures: frozenset[str]) -> Fill:
    parts = parse_template(template).parts
    for part in parts:
        if not isinstance(part, str) and (part.name not in captures or part.counted):
            known = ", ".join(sorted(captures)) or "none"
            raise ValueError(f"expected captures of the topic ({known}) in {what} of sparkplug_b, found {template!r}")
    if len(parts) == 1:
        only = parts[0]
        if isinstance(only, str):
            return lambda _: only
        return lambda told: told[only.name]
    pieces = [(part, "") if isinstance(part, str) else ("", part.name) for part in parts]
    return lambda told: "".join([text or told[name] for text, name in pieces])


def _device_filled(template: str, captures: frozenset[str]) -> Fill:
    """Unsaid, it is the capture `device`, where the topic has one."""
    if template or "device" in captures:
        return _filled(template or "{device}", "device", captures)
    return lambda _: ""


def _host_state(raw: bytes) -> Any:
    """A host application's STATE: JSON since version 3, a word before."""
    if raw in (b"ONLINE", b"OFFLINE"):
        return {"online": raw == b"ONLINE"}
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise DecodeError("malformed", found=shown(raw), expected="JSON, ONLINE or OFFLINE as a STATE") from None


class _Message:
    """One message of a node."""

    __slots__ = ("_at", "_birth_key", "_device", "_memory", "_node", "_payload", "_type")

    def __init__(self, raw: bytes, type_: str, node: str, device: str, context: Context) -> None:
        if len(raw) > _UNCOUNTED:
            _count_fields(raw)
        self._payload: Any = parsed(Payload, raw)
        self._type = type_
        self._node = node
        self._device = device
        self._memory: Memory = context.memory
        self._at: Millis = context.received_at
        self._birth_key = ("sparkplug", node, device) if device else ("sparkplug", node)

    def decoded(self) -> Any:
        payload, type_ = self._payload, self._type
        born = _NOTHING_KNOWN if type_ in _BIRTHS else self._born()
        timestamp: int | None = payload.timestamp or None
        metrics, unknown = _metrics(payload.metrics, born, timestamp)
        if unknown and len(metrics) == unknown:
            raise DecodeError(
                "unknown_alias",
                field="alias",
                found=f"{unknown} metrics of {self._node} by aliases that no birth has named, or one for two",
                expected="a birth first: ask the node for one (Node Control/Rebirth)",
            )
        if type_ == "NDEATH" and self._is_stale_death(metrics):
            return NOTHING
        missed = self._missed()
        if type_ in _BIRTHS:
            self._remember_birth(metrics, timestamp)
        out = {
            "type": type_,
            "timestamp": timestamp,
            "seq": payload.seq if payload.HasField("seq") else None,
            "metrics": metrics,
            "values": _values(metrics),
        }
        if missed:
            out["gap"] = missed
        if metrics and all(metric["is_historical"] for metric in metrics):
            out["historical"] = True
        return Suspect(out) if unknown else out

    # --- births and deaths -------------------------------------------------------------------------------------------

    def _born(self) -> Mapping[str, Any]:
        """What the last birth declared; nothing where a device was born under an earlier birth of its node."""
        born: Mapping[str, Any] = self._memory.get(self._birth_key) or _NOTHING_KNOWN
        if self._device and born and born["node_birth"] != self._node_birth():
            return _NOTHING_KNOWN
        return born

    def _node_birth(self) -> list[int | None] | None:
        born = self._memory.get(("sparkplug", self._node))
        return None if born is None else born["birth"]

    def _remember_birth(self, metrics: list[dict[str, Any]], timestamp: int | None) -> None:
        before = self._memory.get(self._birth_key)
        if before is not None and before["at"] > self._at:
            return
        aliases = _aliases(metrics)
        types = {m["name"]: m["datatype"] for m in metrics if m["name"] and _is_typed_by_name(m)}
        if sum(len(name) for name, _ in aliases.values()) + sum(len(name) for name in types) > LONGEST_NAMES:
            raise DecodeError(
                "too_large", field="metrics", found="names of a birth", expected=f"at most {LONGEST_NAMES} characters"
            )
        session = _session(metrics)
        remember(
            self._memory,
            self._birth_key,
            {
                "at": self._at,
                "birth": [timestamp, session],
                "node_birth": self._node_birth() if self._device else None,
                "session": session,
                "aliases": aliases,
                "types": types,
            },
        )

    def _is_stale_death(self, metrics: list[dict[str, Any]]) -> bool:
        """Whether the death belongs to an earlier session than the last birth; one that counts ends the sequence."""
        born, session = self._memory.get(("sparkplug", self._node)), _session(metrics)
        if born is not None and None not in (born["session"], session) and born["session"] != session:
            return True
        if born is None or born["at"] <= self._at:
            self._memory.drop(("sparkplug_seq", self._node))
        return False

    # --- sequence ----------------------------------------------------------------------------------------------------

    def _missed(self) -> int:
        """How many messages of the node are missing before this one."""
        if self._type not in _IN_SEQUENCE or not self._payload.HasField("seq"):
            return 0
        seq, key = self._payload.seq % _SEQUENCE, ("sparkplug_seq", self._node)
        last = self._memory.get(key)
        if last is not None and last[1] > self._at:
            return 0
        self._memory.put(key, [seq, self._at])
        if last is None or self._type == "NBIRTH":
            return 0
        missed: int = (seq - last[0] - 1) % _SEQUENCE
        return 0 if missed == _SEQUENCE - 1 else missed  # the same once more: a repeated delivery


def _aliases(metrics: list[dict[str, Any]]) -> dict[int, list[Any]]:
    """Alias -> [name, datatype]. One that two names share says neither: a value must not go to the wrong one."""
    found: dict[int, list[Any]] = {}
    shared: set[int] = set()
    for metric in metrics:
        alias, name = metric["alias"], metric["name"]
        if alias is None or not name:
            continue
        if found.setdefault(alias, [name, metric["datatype"]])[0] != name:
            shared.add(alias)
    return {alias: named for alias, named in found.items() if alias not in shared} if shared else found


def _session(metrics: list[dict[str, Any]]) -> int | None:
    value = next((metric["value"] for metric in metrics if metric["name"] == "bdSeq"), None)
    return value if type(value) is int else None


def _is_typed_by_name(metric: dict[str, Any]) -> bool:
    """Data may come by name though there is an alias; then only some datatypes matter."""
    return metric["alias"] is None or metric["datatype"] in READ_BY_DATATYPE


# --- metrics ---------------------------------------------------------------------------------------------------------


def _metrics(found: Any, born: Mapping[str, Any], timestamp: int | None) -> tuple[list[dict[str, Any]], int]:
    """The metrics as objects, and how many of them have no name."""
    if len(found) > MOST_METRICS:
        _refuse_count()
    aliases, types = born.get("aliases", _NOTHING_KNOWN), born.get("types", _NOTHING_KNOWN)
    room, unknown = Room(), 0
    out: list[dict[str, Any]] = []
    for metric in found:
        name, datatype = metric.name, metric.datatype
        alias = metric.alias if metric.HasField("alias") else None
        if alias in aliases and (not name or not datatype):
            known_name, known_type = aliases[alias]
            name, datatype = name or known_name, datatype or known_type
        elif not datatype and name in types:
            datatype = types[name]
        if type(name) is not str or len(name) > LONGEST_NAME:
            name = _checked_name(name)
        is_null = metric.is_null
        entry = {
            "name": name or None,
            "alias": alias,
            "timestamp": metric.timestamp or timestamp,
            "datatype": datatype,
            "is_null": is_null,
            "is_historical": metric.is_historical,
            "value": None if is_null else metric_value(metric, datatype, room),
        }
        if metric.properties:
            entry["properties"] = property_values(metric.properties, room)
        if not name:
            unknown += 1
        out.append(entry)
    return out, unknown


def _checked_name(name: Any) -> str:
    if len(text_of(name)) > LONGEST_NAME:
        raise DecodeError(
            "too_large", field="name", found=f"{len(name)} characters", expected=f"at most {LONGEST_NAME}"
        )
    return text_of(name)


def _values(metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """Name -> value. The last one of a name counts, and one that is no history before one that is."""
    values = {metric["name"]: metric["value"] for metric in metrics if metric["is_historical"] and metric["name"]}
    values |= {metric["name"]: metric["value"] for metric in metrics if metric["name"] and not metric["is_historical"]}
    return values


def _count_fields(raw: bytes) -> None:
    """Refuse a payload of more fields than any node sends before it is unfolded: two bytes make a metric of forty."""
    at, end, fields = 0, len(raw), 0
    while at < end:
        fields += 1
        if fields > MOST_METRICS + 16:
            _refuse_count()
        tag, at = _varint(raw, at)
        kind = tag & 7
        if kind == 0:
            _, at = _varint(raw, at)
        elif kind == 2:
            size, at = _varint(raw, at)
            at += size
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise DecodeError("malformed", found=shown(raw), expected="a Sparkplug B payload (protobuf)")


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = raw[at + shift // 7] if at + shift // 7 < len(raw) else 0x80
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + shift // 7 + 1
    raise DecodeError("malformed", found=shown(raw), expected="a Sparkplug B payload (protobuf)")


def _refuse_count() -> None:
    raise DecodeError("too_many", field="metrics", found=f"more than {MOST_METRICS}", expected="fewer")
