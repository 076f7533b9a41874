"""From the messages of one topic shape to bindings: codec, presence, events, fields, children."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from services.authoring import identity, ids, payloads, values
from services.authoring.capture import Message
from services.authoring.fill import Filler, write_path
from services.authoring.presence_words import presence_of
from services.authoring.shapes import Pattern
from services.authoring.sheet import BindingDraft, EachDraft, EventDraft, Sheet

_MOST_MESSAGES = 400
"""Messages of one shape that are looked at."""
_SMALL_SHARE = 0.1
_NO_JSON = r"[^{\[\x00-\x08\x0b\x0c\x0e-\x1f][^\x00-\x08\x0b\x0c\x0e-\x1f]*"
"""Text that is neither the beginning of JSON nor a binary frame."""
_KINDS = ("type", "msgType", "msg_type", "messageType", "method", "cmd", "event", "eventType", "event_type",
          "alarm_type", "alarmType", "notifyType", "action", "serviceId", "topic", "identifier")  # fmt: skip
_BEATS = ids.words("heartbeat heart hb alive keepalive ping lwt will online status state availability")
_EVENT_WORDS = ids.words("event events evt alarm alarms notify notification button action")
_EVENT_KEYS = ids.words("event eventtype event_type alarm_type alarmtype action")


def draft_pattern(sheet: Sheet, pattern: Pattern, heard: Mapping[str, list[Message]]) -> None:
    messages = sorted(
        (one for topic in pattern.topics for one in heard.get(topic, [])), key=lambda one: one.received_at
    )
    if pattern.literal_levels == 0:
        sheet.discovery = False
    if not messages:
        _draft_announced(sheet, pattern)
        return
    full = [one for one in messages if one.payload.strip()]
    if not any(_says_anything(pattern, one) for one in full):
        sheet.misfits.update(messages)
        sheet.leave_out(f"{pattern.topic}: only empty messages: asked of the device, not said by it?")
        return
    parts = _by_kind(sheet, pattern, full)
    for part in parts:
        _draft_binding(sheet, pattern, part, shared=len(parts) > 1)


def _says_anything(pattern: Pattern, message: Message) -> bool:
    """`{}` is what asks a device for something; on a topic of heartbeats it says that the device is there."""
    return message.payload.strip() not in (b"{}", b"[]", b"null") or _word_of(pattern).lower() in _BEATS


def _by_kind(sheet: Sheet, pattern: Pattern, messages: Sequence[Message]) -> list[list[Message]]:
    """Objects, bare words and frames on one topic are different messages; so are objects that name their kind.

    Misfits are said and left out: JSON that is cut off, a lone text among objects, a few of a kind among many others.
    """
    kinds: dict[str, list[Message]] = defaultdict(list)
    for message in messages:
        kind = payloads.kind_of(message.payload)
        cut_off = kind == "text" and payloads.is_cut_off(message.payload)
        kinds["cut off" if cut_off else "text" if kind == "scalar" else kind].append(message)
    _not_understood(sheet, pattern, kinds.pop("cut off", []), "JSON that is cut off or broken")
    for misfit in [one for one in kinds if _is_misfit(sheet, pattern, one, kinds)]:
        _not_understood(sheet, pattern, kinds.pop(misfit), f"{misfit} among messages of another kind")
    if "text" in kinds:
        texts, kinds["text"] = kinds["text"], payloads.fitting(kinds["text"])
        fit = set(kinds["text"])
        others = [one for one in texts if one not in fit]
        _not_understood(sheet, pattern, others, "text unlike the others of the topic")
    return [kinds[kind] for kind in ("object", "text", "binary") if kind in kinds]


def _is_misfit(sheet: Sheet, pattern: Pattern, kind: str, kinds: Mapping[str, Sequence[Message]]) -> bool:
    """Whether it is one message, or a small share of the topic's, and neither JSON nor a word of presence."""
    many = len(kinds[kind])
    if kind == "object" or ("object" not in kinds and many == max(map(len, kinds.values()))):
        return False
    few = many == 1 or many <= _SMALL_SHARE * sum(map(len, kinds.values()))
    if not few or len(kinds) == 1:
        return False
    return kind == "binary" or _presence(sheet, pattern, _word_of(pattern), kinds[kind]) is None


def _not_understood(sheet: Sheet, pattern: Pattern, messages: Sequence[Message], what: str) -> None:
    if not messages:
        return
    many = "one message" if len(messages) == 1 else f"{len(messages)} messages"
    example = repr(messages[0].payload[:60].decode("utf-8", "backslashreplace"))
    sheet.misfits.update(messages)
    sheet.leave_out(f"{pattern.topic}: not understood: {many}, {what}, for example {example}")


def _word_of(pattern: Pattern) -> str:
    levels = [level for level in pattern.topic.split("/") if level]
    return next((level for level in reversed(levels) if "{" not in level), "value")


def _draft_binding(sheet: Sheet, pattern: Pattern, messages: Sequence[Message], *, shared: bool) -> None:
    """`shared`: messages of another kind are on the topic too, and each binding must say which are its own."""
    some = list(messages[:_MOST_MESSAGES])
    kind = payloads.kind_of(some[0].payload)
    presence = None if kind in ("object", "binary") else _presence(sheet, pattern, _word_of(pattern), some)
    if presence is not None:
        binding = _presence_binding(sheet, pattern, *presence)
        binding.when = [{"text": word} for word in presence[0]] if shared else []
        sheet.bindings.append(binding)
        return
    coding = payloads.code(some)
    if not coding.read:
        sheet.leave_out(f"{pattern.topic}: {len(some)} messages that could not be read")
        return
    if coding.steps == [{"json_scalar": True}] and all(isinstance(root, str) for root in coding.read):
        coding.steps = [{"text": True}]
    for when, key, part in _discriminated(coding.roots):
        binding = BindingDraft(_binding_id(sheet, pattern, str(when["equals"]) if when else ""), pattern.topic)
        binding.steps, binding.notes = list(coding.steps), list(coding.notes)
        binding.when = [when] if when else _own(kind, part) if shared else []
        if coding.opaque:
            binding.keepalive = True
            sheet.leave_out(f"binding {binding.id}: {'; '.join(coding.notes)}")
        else:
            _fill(sheet, pattern, binding, part, key)
        _keep(sheet, pattern, binding)


def _own(kind: str, roots: Sequence[Any]) -> list[dict[str, Any]]:
    """What tells objects and texts from other kinds on the same topic; binary frames are what is left."""
    if kind == "object":
        found = {"array" if isinstance(root, list) else "object" for root in roots}
        return [{"kind": one} for one in sorted(found, reverse=True)]
    return [] if kind == "binary" else [{"regex": _NO_JSON}]


def _keep(sheet: Sheet, pattern: Pattern, binding: BindingDraft) -> None:
    if not binding.says_something:
        binding.keepalive = True
        binding.notes.append("nothing in it is understood; that it came says that the device is there")
    if not pattern.address and binding.address is None:
        binding.address = "main"
        binding.notes.append("neither topic nor payload names the device: all of it is one device called main")
    sheet.bindings.append(binding)


def _binding_id(sheet: Sheet, pattern: Pattern, more: str = "") -> str:
    levels = [level for level in pattern.topic.split("/") if level]
    words = [ids.identifier(level, "") for level in levels if "{" not in level]
    last = words[-1] if words else "message"
    name = ids.identifier(f"{last}_{more}" if more else last, "message")
    taken = {binding.id for binding in sheet.bindings}
    if name in taken and len(words) > 1:
        name = ids.identifier(f"{words[-2]}_{name}", "message")
    tried, number = name[:44], 2
    while tried in taken:
        tried, number = f"{name[:44]}_{number}", number + 1
    return tried


def _presence(
    sheet: Sheet, pattern: Pattern, word: str, messages: Sequence[Message]
) -> tuple[dict[str, str], list[str], bool] | None:
    """(words, those not seen, whether discovery said so)."""
    for topic in pattern.topics:
        if told := sheet.announced.presence.get(topic):
            return dict(told), [], True
    if pattern.child is not None:
        return None
    found = presence_of(word, [message.payload.decode("utf-8", "replace").strip() for message in messages])
    return None if found is None else (dict(found[0]), found[1], False)


def _presence_binding(
    sheet: Sheet, pattern: Pattern, words: dict[str, str], unseen: list[str], told: bool
) -> BindingDraft:
    binding = BindingDraft(_binding_id(sheet, pattern), pattern.topic, [{"text": True}], presence=words)
    if not told and unseen:
        binding.notes.append(f"{', '.join(unseen)} was not seen; a last will says it only when the device is gone")
    if not pattern.address:
        binding.address = "main"
    return binding


def _discriminated(roots: Sequence[Any]) -> list[tuple[dict[str, Any] | None, str | None, list[Any]]]:
    """(when, path of the kind of event, roots): apart where a key such as `type` says what kind of message it is."""
    objects = [root for root in roots if isinstance(root, dict)]
    if len(objects) != len([root for root in roots if root is not None]):
        return [(None, None, [root for root in roots if root is not None])]
    wrapped, cores = _core(objects)
    for key in _KINDS:
        seen = [core.get(key) for core in cores]
        path = write_path((*wrapped, key))
        if path is None or not all(isinstance(one, str) and one for one in seen) or len(set(seen)) > 12:
            continue
        if key.lower() in _EVENT_KEYS:
            return [(None, path, objects)]
        parts = {value: [i for i, one in enumerate(seen) if one == value] for value in sorted(map(str, set(seen)))}
        if _differ([frozenset(name for i in part for name in cores[i]) for part in parts.values()]):
            return [
                ({"path": path, "equals": value}, None, [objects[i] for i in part]) for value, part in parts.items()
            ]
    return [(None, None, objects)]


def _core(objects: Sequence[dict[str, Any]]) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    """What stands inside wrappers of one key, as XML roots are, and the keys of the wrappers."""
    path: tuple[str, ...] = ()
    cores = list(objects)
    while cores and all(list(one) == list(cores[0]) and len(one) == 1 for one in cores):
        key = next(iter(cores[0]))
        if not all(isinstance(one[key], dict) for one in cores):
            break
        path, cores = (*path, key), [one[key] for one in cores]
    return path, cores


def _differ(faces: Sequence[frozenset[str]]) -> bool:
    return any(len(a & b) < 0.6 * len(a | b) for a in faces for b in faces)


def _fill(sheet: Sheet, pattern: Pattern, binding: BindingDraft, roots: list[Any], event_key: str | None) -> None:
    literals = [level for level in pattern.topic.split("/") if level and "{" not in level]
    word = literals[-1] if literals else "value"
    if event_key is not None or word.lower() in _EVENT_WORDS:
        _events(sheet, binding, roots, event_key, word)
        return
    roots = _json_presence(binding, word, roots)
    filler = Filler(sheet, binding, pattern.topics, word, _addresses(pattern))
    if pattern.child is not None:
        child = sheet.child(pattern.child)
        each = EachDraft(child, f"{{{pattern.child_capture}}}")
        filler.fill(roots, child, each.fields)
        if each.fields:
            binding.each.append(each)
    else:
        filler.fill(roots, None, binding.fields)
    if not pattern.address:
        binding.address = identity.address_of(filler.names) or binding.address


def _addresses(pattern: Pattern) -> frozenset[str]:
    levels = pattern.topic.split("/")
    at = next((i for i, level in enumerate(levels) if "{address}" in level), None)
    if at is None:
        return frozenset()
    held = {topic.split("/")[at] for topic in pattern.topics if len(topic.split("/")) > at}
    before = levels[at].partition("{")[0]
    return frozenset(held | {one.removeprefix(before) for one in held})


def _json_presence(binding: BindingDraft, word: str, roots: list[Any]) -> list[Any]:
    """`{"state": "online"}`: taken as presence, and not again as a state."""
    objects = [root for root in roots if isinstance(root, dict)]
    if len(objects) != len(roots):
        return roots
    for key in ("state", "status", "online", "connected", "availability", "available", *_KINDS, "operator"):
        seen = [one[key] for one in objects if key in one]
        found = presence_of(key if key in ("online", "connected", "available") else word, seen)
        if len(seen) == len(roots) and found is not None:
            binding.presence, binding.presence_path = dict(found[0]), key
            if found[1]:
                binding.notes.append(f"{', '.join(found[1])} was not seen")
            return [{k: v for k, v in one.items() if k != key} for one in objects]
    return roots


def _events(sheet: Sheet, binding: BindingDraft, roots: list[Any], path: str | None, word: str) -> None:
    """Something happened: an event for each kind, with the plain values around as its data."""
    binding.mode = "event"
    binding.notes.append("which events matter; what names a person is better left out of `fields`")
    objects = [root for root in roots if isinstance(root, dict)]
    if not objects:
        binding.events.append(EventDraft(sheet.event(word), fields={"value": "$"}))
        return
    scratch = BindingDraft(binding.id, binding.topic)  # only its time and address are wanted here
    filler = Filler(Sheet("", "", "", ""), scratch, (), word, frozenset())
    filler.fill(objects, None, {})
    binding.time = scratch.time
    if "{address}" not in binding.topic:
        names = [one for one in filler.names if one[0].rpartition(".")[2] != "id"]
        binding.address = identity.address_of(names) or binding.address
    wrapped, cores = _core(objects)
    key = path.rpartition(".")[2] if path else None
    fields = _plain_fields(cores, wrapped, key, (binding.time or {}).get("path"))
    for kind in sorted({str(one[key]) for one in cores}) if key else [word]:
        binding.events.append(
            EventDraft(sheet.event(kind), {"path": path, "equals": kind} if path else None, dict(fields))
        )


def _plain_fields(
    cores: Sequence[dict[str, Any]], wrapped: tuple[str, ...], key: str | None, time: str | None
) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name in dict.fromkeys(name for one in cores for name in one):
        path = write_path((*wrapped, name))
        if (
            path in (None, time)
            or name == key
            or _may_name(name)
            or not re.fullmatch(r"[A-Za-z_]\w*", name)
            or len(fields) >= 8
        ):
            continue
        if all(not isinstance(one.get(name), dict | list) for one in cores):
            fields.setdefault(ids.identifier(name), str(path))
    return fields


def _may_name(key: str) -> bool:
    """In an event a name is mostly a person's."""
    return values.is_personal(key) or ids.identifier(key).endswith("name")


def _draft_announced(sheet: Sheet, pattern: Pattern) -> None:
    """Nothing was heard on it, but discovery says what will be."""
    mine = [one for one in sheet.announced.entities if one.topic in pattern.topics and one.path is not None]
    if not mine:
        return
    steps = [{"json": True} if any(one.is_json for one in mine) else {"json_scalar": True}]
    binding = BindingDraft(_binding_id(sheet, pattern), pattern.topic, steps)
    binding.notes.append("announced by discovery, and nothing was heard on it while the capture ran")
    filler = Filler(sheet, binding, pattern.topics, mine[0].told.name or "value", frozenset())
    root: Any = None
    for one in mine:
        root = _with(root, one.path or (), one.told.on if not one.told.unit else 0)
    filler.fill([root], None, binding.fields)
    if binding.says_something:
        _keep(sheet, pattern, binding)


def _with(root: Any, path: Sequence[str | int], value: Any) -> Any:
    if not path:
        return value
    node = root if isinstance(root, dict) else {}
    key, *rest = path
    node[str(key)] = _with(node.get(str(key)), rest, value)
    return node
