"""From decoded messages to the fields of a binding: what each value of them becomes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from services.authoring import ids, values
from services.authoring.payloads import bytes_of_base64, kind_of
from services.authoring.sheet import BindingDraft, EachDraft, FieldDraft, Sheet
from services.authoring.values import Guess

Keys = tuple[str | int, ...]
_MOST_CHILDREN = 64
_MOST_NUMBERED = 16
_LONGEST_ROW = 16
_DEEPEST = 6
_BARE = re.compile(r"[A-Za-z_\u4e00-\u9fff][\w\u4e00-\u9fff-]*")
_NUMBERED = re.compile(r"([A-Za-z][A-Za-z_]*?)[_:-]?(\d{1,4})")
_KEYS_OF_PARTS = ids.words(
    "port id no num number index idx channel ch chn zone pump door key unit gun slot seq phase box"
)


def write_path(keys: Sequence[str | int]) -> str | None:
    """The path as profiles write it: `a.b[0]."c:d"`; None where a key cannot be written."""
    out = ""
    for key in keys:
        if isinstance(key, int):
            out += f"[{key}]"
        elif '"' in key or not key:
            return None
        else:
            word = key if _BARE.fullmatch(key) else f'"{key}"'
            out += f".{word}" if out else word
    return out or "$"


_SAYS_NOTHING = ids.words("value val v data raw reading result")
_WRAPS = ids.words("info data payload params param msg message body object content values")
"""Keys around everything: they name nothing, so what stands within keeps its own name."""
_PAIR_NAMES = ("name", "key", "identifier", "code", "tag", "metric", "field", "id", "n", "k")
_PAIR_VALUES = ("value", "val", "v", "data")


def _pair_keys(elements: Sequence[dict[str, Any]]) -> tuple[str, str] | None:
    """The keys of `{name, value}` objects; None where these are no such objects."""
    for name in _PAIR_NAMES:
        value = next((one for one in _PAIR_VALUES if all(one in element for element in elements)), None)
        words = [element.get(name) for element in elements]
        if value and all(
            isinstance(word, str) and re.fullmatch(r"[A-Za-z_\u4e00-\u9fff][\w .-]*", word) for word in words
        ):
            return name, value
    return None


_BATCHES = ids.words(
    """
    batch batches points point data values value records record items item list history readings reading samples sample
    measurements measurement telemetry payload msgs messages events reports array datas rows
    """
)


def _is_batch(at: Keys) -> bool:
    """Whether a list may hold messages: what a gateway adds about its antennas has times as well."""
    keys = [key for key in at if isinstance(key, str)]
    return not keys or bool(set(ids.identifier(keys[-1]).split("_")) & _BATCHES)


def _time_key(elements: Sequence[dict[str, Any]]) -> str | None:
    """The key under which every element has a time of its own."""
    for key in elements[0]:
        seen = [element.get(key) for element in elements]
        if all(one is not None for one in seen) and values.guess([key], seen).sort == "time":
            return key
    return None


class Filler:
    """Fills one binding. `scope` is the child kind where the topic itself names a child."""

    def __init__(
        self, sheet: Sheet, binding: BindingDraft, topics: Iterable[str], topic_key: str, addresses: frozenset[str]
    ) -> None:
        self._sheet = sheet
        self._binding = binding
        self._topics = frozenset(topics)
        self._topic_key = topic_key
        self._addresses = addresses
        self._times: list[tuple[int, str, str]] = []
        self._names: list[tuple[str, list[Any]]] = []
        self._base: Keys = ()

    def fill(self, roots: Sequence[Any], scope: str | None, fields: dict[str, FieldDraft]) -> None:
        """Everything of these decoded messages. Fields go into `fields`; children into the binding's `each`."""
        if any(isinstance(root, dict) for root in roots):
            self._object([root for root in roots if isinstance(root, dict)], (), scope, fields, 0)
        elif any(isinstance(root, list) for root in roots):
            self._list([root for root in roots if isinstance(root, list)], (), scope, fields, 0)
        else:
            self._leaf(list(roots), (), scope, fields)
        self._settle_time()

    @property
    def names(self) -> list[tuple[str, list[Any]]]:
        """Paths of what names the device or the message, with the values seen."""
        return self._names

    # --- shapes -----------------------------------------------------------------------------------------------------

    def _object(
        self, nodes: Sequence[dict[str, Any]], at: Keys, scope: str | None, fields: dict[str, FieldDraft], depth: int
    ) -> None:
        below: dict[str, list[Any]] = defaultdict(list)
        for node in nodes:
            for key, value in node.items():
                below[key].append(value)
        if scope is None and len(below) > 1 and all(ids.is_number(key) for key in below) and self._bare(at, below):
            return
        numbered = {} if scope is not None else self._numbered(below)
        if numbered and set(below) == {key for keys in numbered.values() for key in keys} and len(numbered) == 1:
            self._keyed(at, next(iter(numbered)), [one for seen in below.values() for one in seen])
            return
        for kind, keys in numbered.items():
            self._apart(at, kind, {key: below.pop(key) for key in keys})
        for key, seen in below.items():
            self._value(seen, (*at, key), scope, fields, depth + 1)

    def _bare(self, at: Keys, below: dict[str, list[Any]]) -> bool:
        """`{"1": true, "2": false}`: a bare value for each part."""
        seen = [one for values_ in below.values() for one in values_]
        path, parents = write_path(at), [key for key in at if isinstance(key, str)]
        if path is None or not parents or not all(_is_plain(one) for one in seen):
            return False
        words = ids.identifier(parents[-1]).split("_")
        child = self._sheet.child(ids.singular(words[0]))
        each = EachDraft(child, "{key}", path)
        self._leaf(seen, (), child, each.fields, names=[parents[-1]])
        if each.fields:
            self._binding.each.append(each)
        return True

    def _value(self, seen: list[Any], at: Keys, scope: str | None, fields: dict[str, FieldDraft], depth: int) -> None:
        objects = [one for one in seen if isinstance(one, dict)]
        lists = [one for one in seen if isinstance(one, list)]
        plain = [one for one in seen if not isinstance(one, dict | list)]
        if depth > _DEEPEST and (objects or lists):
            self._left(at, "nested too deeply")
            return
        if objects:
            self._object(objects, at, scope, fields, depth)
        if lists:
            self._list(lists, at, scope, fields, depth)
        if plain and not (objects or lists):
            self._leaf(plain, at, scope, fields)

    def _numbered(self, below: dict[str, list[Any]]) -> dict[str, list[str]]:
        """`switch:0`, `switch:1`; `port1`, `port2`; "1", "2": keys that count parts, by the kind of part."""
        kinds: dict[str, list[str]] = defaultdict(list)
        for key, seen in below.items():
            if not all(isinstance(one, dict) for one in seen if one is not None) or not any(seen):
                continue
            found = _NUMBERED.fullmatch(key)
            if found and (":" in key or found[1].lower() in ids.WORDS):
                kinds[ids.singular(found[1])].append(key)
            elif ids.is_number(key) or re.fullmatch(r"0x[0-9A-Fa-f]+", key):
                kinds[""].append(key)
        return {kind: keys for kind, keys in kinds.items() if len(keys) > 1 or kind == "" or ":" in keys[0]}

    def _keyed(self, at: Keys, kind: str, elements: list[Any]) -> None:
        """An object whose every key is one part."""
        path = write_path(at)
        parents = [key for key in at if isinstance(key, str)]
        child = self._sheet.child(kind or (ids.singular(ids.identifier(parents[-1])) if parents else "part"))
        if path is None:
            self._left(at, "a key that no path can name")
            return
        each = EachDraft(child, "{key}", path, notes=["one child per key of the object"])
        self._each(each, [one for one in elements if isinstance(one, dict)])

    def _apart(self, at: Keys, kind: str, parts: dict[str, list[Any]]) -> None:
        """Numbered keys beside others: one entry for each of them."""
        child = self._sheet.child(kind or "part")
        for key, seen in sorted(parts.items())[:_MOST_NUMBERED]:
            path = write_path((*at, key))
            number = re.search(r"(\d+|0x[0-9A-Fa-f]+)$", key)
            if path is not None and number is not None:
                each = EachDraft(child, number[1], path, "one")
                self._each(each, [one for one in seen if isinstance(one, dict)], base=(*at, key))
        if len(parts) > _MOST_NUMBERED:
            self._left(at, f"{len(parts) - _MOST_NUMBERED} more numbered keys like {next(iter(parts))}")

    def _list(
        self, lists: Sequence[list[Any]], at: Keys, scope: str | None, fields: dict[str, FieldDraft], depth: int
    ) -> None:
        elements = [one for seen in lists for one in seen]
        longest = max((len(seen) for seen in lists), default=0)
        path = write_path(at)
        if not elements:
            return
        if scope is not None or path is None or longest > _MOST_CHILDREN or depth > _DEEPEST:
            why = "parts of parts are not drafted" if scope is not None else f"a list of {longest}"
            self._left(at, why)
        elif all(isinstance(one, dict) for one in elements):
            self._objects(at, path, lists, elements, fields, depth)
        elif all(_is_plain(one) for one in elements) and longest <= _LONGEST_ROW:
            self._row(at, path, elements)
        else:
            self._left(at, f"a list of {longest} of several kinds")

    def _objects(
        self,
        at: Keys,
        path: str,
        lists: Sequence[list[Any]],
        elements: list[dict[str, Any]],
        fields: dict[str, FieldDraft],
        depth: int,
    ) -> None:
        """A list of objects: names with values, points with their own times, or parts."""
        if (pair := _pair_keys(elements)) is not None:
            name, value = pair
            step: dict[str, Any] = {"pivot": {"name": name, "value": value}}
            self._binding.steps.append(step if path == "$" else {**step, "at": path})
            turned = [{str(one[name]): one.get(value) for one in seen} for seen in lists]
            self._object(turned, at, None, fields, depth)
        elif _is_batch(at) and (time := _time_key(elements)) is not None and not fields and not self._binding.split:
            self._points(path, elements, time)
        else:
            self._parts(at, path, lists, elements)

    def _points(self, path: str, elements: list[dict[str, Any]], time: str) -> None:
        """A batch: each element is a message of its own."""
        self._binding.split = {"over": path}
        self._binding.notes.append("a batch: each element is taken as a message of its own")
        format_ = values.time_format([one[time] for one in elements])
        self._binding.time = {"path": write_path((time,)), "format": format_}
        device = next((key for key in elements[0] if re.fullmatch(r"dev(ice)?_?(id|no|name|code)?", key, re.I)), None)
        if device is not None and all(isinstance(one.get(device), str | int) for one in elements):
            self._binding.address = f"{{{device}}}"
        self._object(
            [{k: v for k, v in one.items() if k != time} for one in elements], (), None, self._binding.fields, 1
        )

    def _parts(self, at: Keys, path: str, lists: Sequence[list[Any]], elements: list[Any]) -> None:
        parents = [key for key in at if isinstance(key, str)]
        kind = ids.singular(ids.identifier(parents[-1])) if parents else "part"
        key = _part_key(lists)
        child = self._sheet.child(
            kind if kind not in ("data", "list", "value", "result", "item", "array") else key or "part"
        )
        each = EachDraft(child, f"{{{key}}}" if key else "{index+1}", path)
        if key is None:
            each.notes.append("counted by their place in the list")
        self._each(each, elements, leave=key)

    def _row(self, at: Keys, path: str, elements: list[Any]) -> None:
        """A list of bare values: one child for each place."""
        parents = [key for key in at if isinstance(key, str)]
        name = ids.singular(parents[-1] if parents else self._topic_key or "value")
        child = self._sheet.child("phase" if ids.identifier(name) in ("voltage", "current", "power") else name)
        each = EachDraft(child, "{index+1}", path, notes=["one child for each place in the list"])
        self._leaf(elements, (), child, each.fields, names=[name])
        if each.fields:
            self._binding.each.append(each)

    def _each(self, each: EachDraft, elements: list[dict[str, Any]], leave: str | None = None, base: Keys = ()) -> None:
        inner = Filler(self._sheet, BindingDraft("", ""), self._topics if base else (), "", self._addresses)
        inner._base = base
        nodes = [{key: value for key, value in node.items() if key != leave} for node in elements]
        inner._object(nodes, (), each.child, each.fields, 1)  # the same room, one level down
        if each.fields:
            self._binding.each.append(each)

    # --- values -----------------------------------------------------------------------------------------------------

    def _leaf(
        self,
        seen: list[Any],
        at: Keys,
        scope: str | None,
        fields: dict[str, FieldDraft],
        names: Sequence[str] = (),
    ) -> None:
        path = write_path(at)
        words = [key for key in at if isinstance(key, str)] or list(names) or [self._topic_key or "value"]
        while len(words) > 1 and words[-1].lower() in _SAYS_NOTHING and words[-2].lower() not in _WRAPS:
            words.pop()
        if path is None:
            self._left(at, "a key that no path can name")
            return
        told = self._sheet.announced.told(self._topics, (*self._base, *at))
        found = values.guess(words, seen, told)
        if found.sort == "time":
            self._times.append((len(at), found.time_format, path))
        elif found.sort == "name" or (found.sort == "none" and set(map(str, seen)) <= self._addresses):
            self._names.append((path, seen))
        elif found.sort == "none":
            self._left(at, *self._why(seen, found))
        elif found.sort == "metric":
            name = self._sheet.metric(words, found, scope, told, fields)
            fields[name] = FieldDraft(path, found.entry, found.notes if found.entry else [])
        else:
            fields[self._sheet.state(words, found, scope, told, fields)] = FieldDraft(path, found.entry)

    @staticmethod
    def _why(seen: list[Any], found: Guess) -> list[str]:
        texts = [one for one in seen if isinstance(one, str) and one]
        if texts and all(bytes_of_base64(one) is not None for one in texts):
            frame = bytes_of_base64(texts[0]) or b""
            return [
                f"base64 of {len(frame)} bytes (0x{frame[:12].hex()}…): add a step `base64: true` with `at`, and a "
                "struct or tlv behind it"
            ]
        if texts and all(kind_of(one.encode("utf-8", "replace")) == "object" for one in texts):
            return ["JSON inside a text: add `{json_string: true, at: …}` to decode"]
        example = repr(seen[-1])[:40] if seen else "nothing"
        return [*found.notes, f"for example {example}"]

    def _left(self, at: Keys, *why: str) -> None:
        where = write_path(at) or ".".join(map(str, at))
        self._sheet.leave_out(f"binding {self._binding.id or 'of a child'}, {where}: {'; '.join(why)}")

    def _settle_time(self) -> None:
        """The time nearest to the top is when it was measured; others are not looked at."""
        if not self._times or self._binding.time is not None:
            return
        _, format_, path = min(self._times)
        self._binding.time = {"path": path, "format": format_}
        for _, _, other in sorted(self._times)[1:]:
            self._sheet.leave_out(f"binding {self._binding.id}, {other}: another time")


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, int | float | str | bool)


def _part_key(lists: Sequence[list[Any]]) -> str | None:
    """The key of the elements that names a part: the same one never twice in a message."""
    first = lists[0][0] if lists and lists[0] else {}
    ranked = sorted(_part_keys(first), key=lambda key: (key.lower() not in _KEYS_OF_PARTS, list(first).index(key)))
    for key in ranked:
        rows = [[element.get(key) for element in one] for one in lists]
        flat = [value for row in rows for value in row]
        if all(_names_part(value) for value in flat) and all(len(set(map(str, row))) == len(row) for row in rows):
            return key
    return None


def _part_keys(element: dict[str, Any]) -> Iterator[str]:
    for key in element:
        words = ids.identifier(key, "").split("_")
        if re.fullmatch(r"\w+", key) and (
            set(words) & _KEYS_OF_PARTS or key.lower() in _KEYS_OF_PARTS or "name" in words
        ):
            yield key


def _names_part(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return False
    return bool(re.fullmatch(r"[\w.-]{1,40}", str(value)))
