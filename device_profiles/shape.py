"""What pydantic says about a profile's shape, said in the words of the profile's author."""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from device_profiles.mistakes import Mistake, nearest, one_of, shown
from device_profiles.schema import DeviceProfile
from device_profiles.yaml_source import Document, Step

_ROUNDS = 40


def profile_of(document: Document) -> tuple[DeviceProfile | None, list[Mistake], frozenset[str]]:
    """The profile, the mistakes of its shape, and the names that were left out because of them.

    What has a mistake is left out and the rest is tried again: so the checks that follow can find theirs in the same
    run. Without a profile there is nothing left to check.
    """
    mistakes: dict[tuple[str, str], Mistake] = {}
    left_out: set[str] = set()
    for _ in range(_ROUNDS):
        try:
            return DeviceProfile.model_validate(document.data), list(mistakes.values()), frozenset(left_out)
        except ValidationError as error:
            found = _grouped(document, error.errors(include_url=False))
            first_round = not mistakes
            for path, details in found.items():
                mistake = _mistake(document, path, details)
                # What is missing in a later round is missing because we took it out.
                if first_round or details[0]["type"] != "missing":
                    mistakes.setdefault((mistake.where, mistake.found), mistake)
            if not _leave_out(document, found, left_out):
                break
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
    """Errors by the part of the file they are about: a union complains once per member."""
    grouped: dict[tuple[Step, ...], list[ErrorDetails]] = {}
    for error in errors:
        path: tuple[Step, ...] = ()
        for step in error["loc"]:
            if document.at(*path, step) is None and not _is_null(document, path, step):
                if error["type"] == "missing" and isinstance(step, str) and step == error["loc"][-1]:
                    path = (*path, step)
                break
            path = (*path, step)
        grouped.setdefault(path, []).append(error)
    return grouped


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
    return shown(value), " or ".join(dict.fromkeys(_plain(detail["msg"]) for detail in details))


def _plain(message: str) -> str:
    text = message.removeprefix("Input should be ").removeprefix("Value should ")
    return (
        text.replace("a valid string", "a text")
        .replace("a valid number", "a number")
        .replace("a valid integer", "a whole number")
        .replace("a valid boolean", "true or false")
        .replace("a valid tuple", "a list")
        .replace("a valid dictionary", "a mapping")
        .split(", unable to")[0]
    )


def _leave_out(document: Document, found: dict[tuple[Step, ...], list[ErrorDetails]], left_out: set[str]) -> bool:
    done = False
    # From the end, so that the indices of what is still to be left out stay right.
    for path in sorted(found, key=_order, reverse=True):
        target = path[:-1] if found[path][0]["type"] == "missing" else path
        if not target:
            continue
        left_out.add(str(target[-1]))
        item = document.at(*target)
        if isinstance(item, dict) and isinstance(item.get("id"), str):
            left_out.add(item["id"])
        done = document.leave_out(*target) or done
    return done


def _order(path: tuple[Step, ...]) -> list[tuple[int, str]]:
    return [(step, "") if isinstance(step, int) else (-1, step) for step in path]


# --- which keys a part of the schema knows ---------------------------------------------------------------------------


def _keys(path: tuple[Step, ...]) -> list[str]:
    model = _model_at(DeviceProfile, path)
    if model is None:
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(annotation: Any, path: tuple[Step, ...]) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not path:
            return annotation
        for name, field in annotation.model_fields.items():
            if path[0] in (name, field.alias):
                return _model_at(field.annotation, path[1:])
        return None
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _model_at(args[0], path)
    if origin in (Union, types.UnionType):
        return next((model for arg in args if (model := _model_at(arg, path))), None)
    if origin is dict and path:
        return _model_at(args[1], path[1:])
    if origin is tuple and path:
        return _model_at(args[0], path[1:])
    return None
