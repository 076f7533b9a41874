"""What pydantic says about a profile's shape, said in the words of the profile's author."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable
from datetime import timedelta
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from device_profiles.mistakes import Mistake, nearest, one_of, shown
from device_profiles.schema import DeviceProfile
from device_profiles.yaml_source import Document, Step

_ROUNDS = 12
_MOST_ERRORS = 100
"""Parts that are said and mended per round; a file with more has other troubles."""
STAND_IN = "stand_in"
"""A name put where a required one is missing; nothing is said of it."""


def profile_of(document: Document) -> tuple[DeviceProfile | None, list[Mistake], frozenset[str]]:
    """The profile, the mistakes of its shape, and the names that were left out because of them.

    Where a mistake stands, something that fits is put in its place and the rest is tried again: so the checks that
    follow can find theirs in the same run. Without a profile there is nothing left to check.
    """
    mistakes: dict[tuple[str, str], Mistake] = {}
    left_out: set[str] = {STAND_IN}
    for _ in range(_ROUNDS):
        try:
            return DeviceProfile.model_validate(document.data), list(mistakes.values()), frozenset(left_out)
        except ValidationError as error:
            found = _grouped(document, error.errors(include_url=False))
            if len(found) > _MOST_ERRORS:
                some = dict(list(found.items())[:_MOST_ERRORS])
                return None, [_mistake(document, path, details) for path, details in some.items()], frozenset()
            for path, details in found.items():
                mistake = _mistake(document, path, details)
                mistakes.setdefault((mistake.where, mistake.found), mistake)
            left_out |= _mend(document, found)
    return None, list(mistakes.values()), frozenset(left_out)


def where(document: Document, path: Iterable[Step]) -> str:
    """A path as people read it: `rules[port_hot].clear.when`."""
    out, steps = "", []
    for step in path:
        steps.append(step)
        if isinstance(step, int):
            item = document.at(*steps)
            label = item.get("id") or item.get("name") if isinstance(item, dict) else None
            out += f"[{label if isinstance(label, str) else step + 1}]"
        else:
            out += f".{step}" if out else step
    return out or "profile"


def _grouped(document: Document, errors: list[ErrorDetails]) -> dict[tuple[Step, ...], list[ErrorDetails]]:
    """Errors by the part of the file they are about: a union complains once per member.

    Where one member of a union has got further than the others, it is the one that was meant.
    """
    grouped: dict[tuple[Step, ...], list[ErrorDetails]] = {}
    members: set[tuple[Step, ...]] = set()
    for error in errors:
        path, through = _place(document, error)
        grouped.setdefault(path, []).append(error)
        members |= through
    return {path: found for path, found in grouped.items() if path not in members}


def _place(document: Document, error: ErrorDetails) -> tuple[tuple[Step, ...], set[tuple[Step, ...]]]:
    """The path of what the error is about, and the unions that it went through to something in them."""
    path: tuple[Step, ...] = ()
    unions: set[tuple[Step, ...]] = set()
    steps = error["loc"]
    for i, step in enumerate(steps):
        if document.at(*path, step) is not None or _is_null(document, path, step):
            path = (*path, step)
        elif i + 1 == len(steps):
            if error["type"] == "missing" and isinstance(step, str):
                path = (*path, step)
        elif isinstance(document.at(*path), dict) and (_inside(document, path, steps[i + 1]) or i + 2 == len(steps)):
            unions.add(path)  # the step is pydantic's name for a member of a union
        else:
            break
    return path, {one for one in unions if one != path}


def _inside(document: Document, path: tuple[Step, ...], step: Step) -> bool:
    return document.at(*path, step) is not None or _is_null(document, path, step)


def _is_null(document: Document, path: tuple[Step, ...], step: Step) -> bool:
    parent = document.at(*path)
    return isinstance(parent, dict) and step in parent


def _mistake(document: Document, path: tuple[Step, ...], details: list[ErrorDetails]) -> Mistake:
    found, expected = _words(document, path, details)
    return Mistake(document.file, document.line(*path), where(document, path), found, expected)


def _words(document: Document, path: tuple[Step, ...], details: list[ErrorDetails]) -> tuple[str, str]:
    error = details[0]
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        return "nothing", f"the key {path[-1]}" if path else "a profile"
    if kind == "extra_forbidden":
        keys = _keys(path[:-1])
        return f"the unknown key {path[-1]!r}", f"{one_of(keys)}{nearest(path[-1], keys)}"
    if error["loc"][-1:] == ("[key]",):
        return f"the name {path[-1]!r}", "a name of lower-case letters, digits and _ that starts with a letter"
    value = document.at(*path)
    if kind in ("literal_error", "enum"):
        words = [word.strip(" '") for word in str(context["expected"]).replace(" or ", ", ").split(",")]
        return shown(value), f"{one_of(words)}{nearest(value, words)}"
    if kind == "string_pattern_mismatch":
        return shown(value), "a name of lower-case letters, digits and _ that starts with a letter"
    if kind == "value_error":
        text = str(context.get("error", error["msg"]))
        expected = text.removeprefix("expected ").split(", found")[0]
        return shown(value), expected
    if kind == "model_type" and context.get("class_name") == "Text" and isinstance(value, str):
        return shown(value), f"a mapping of both languages: {{zh: {value}, en: {value}}}"
    return shown(value), " or ".join(dict.fromkeys(_plain(detail["msg"]) for detail in details))


def _plain(message: str) -> str:
    text = message.removeprefix("Input should be ").removeprefix("Value should ")
    return (
        re.sub(r" or instance of \w+", "", text)
        .replace("a valid string", "a text")
        .replace("a valid number", "a number")
        .replace("a valid integer", "a whole number")
        .replace("a valid boolean", "true or false")
        .replace("a valid tuple", "a list")
        .replace("a valid dictionary", "a mapping")
        .split(", unable to")[0]
    )


# --- putting something that fits where a mistake stands --------------------------------------------------------------


def _mend(document: Document, found: dict[tuple[Step, ...], list[ErrorDetails]]) -> set[str]:
    """Mend the copy in memory, so that the next round gets further; returns the names that had to go."""
    gone: set[str] = set()
    # From the end, so that the indices of what is still to be mended stay right.
    for path in sorted(found, key=_order, reverse=True):
        kind = found[path][0]["type"]
        fitting = None if kind == "extra_forbidden" else _fitting(path)
        if fitting is not None:
            document.put(fitting, *path)
        elif path:
            gone.add(str(path[-1]))
            document.leave_out(*path)
    return gone


def _order(path: tuple[Step, ...]) -> list[tuple[int, str]]:
    return [(step, "") if isinstance(step, int) else (-1, step) for step in path]


def _fitting(path: tuple[Step, ...]) -> Any:
    """A value that fits a required place; None where there is a default, or where the part can be left out."""
    parent = _annotation_at(DeviceProfile, path[:-1])
    if not path or not (isinstance(parent, type) and issubclass(parent, BaseModel)):
        return None
    field = _field_of(parent, path[-1])
    return _value_for(field.annotation) if field is not None and field.is_required() else None


def _value_for(annotation: Any) -> Any:
    """The smallest value of a type."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _value_for(args[0])
    if origin is Literal:
        return args[0]
    if origin in (Union, types.UnionType):
        return _value_for(args[0])
    if origin in (dict, tuple):
        return {} if origin is dict else []
    if issubclass(annotation, BaseModel):
        fields = annotation.model_fields.items()
        return {field.alias or name: _value_for(field.annotation) for name, field in fields if field.is_required()}
    if issubclass(annotation, Enum):
        return next(iter(annotation)).value
    return {str: STAND_IN, timedelta: "1m", bool: False}.get(annotation, 1)


# --- which keys a part of the schema knows ---------------------------------------------------------------------------


def _keys(path: tuple[Step, ...]) -> list[str]:
    model = _annotation_at(DeviceProfile, path)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _field_of(model: type[BaseModel], step: Step) -> FieldInfo | None:
    fields = model.model_fields.items()
    return next((field for name, field in fields if step in (name, field.alias)), None)


def _annotation_at(annotation: Any, path: tuple[Step, ...]) -> Any:
    """The type that the schema has at this path; None where it has none."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotation_at(args[0], path)
    if not path and origin in (Union, types.UnionType):
        return next((arg for arg in args if isinstance(arg, type) and issubclass(arg, BaseModel)), annotation)
    if not path:
        return annotation
    if origin in (Union, types.UnionType):
        return next((inner for arg in args if (inner := _annotation_at(arg, path)) is not None), None)
    if origin is dict:
        return _annotation_at(args[1], path[1:])
    if origin is tuple:
        return _annotation_at(args[0], path[1:])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = _field_of(annotation, path[0])
        return None if field is None else _annotation_at(field.annotation, path[1:])
    return None
