"""Commands: one payload, slots that somebody fills, params with ranges, and an effect that can be seen."""

from __future__ import annotations

import re
from collections.abc import Iterator

from device_profiles.checks import frames, templates
from device_profiles.checks.expressions import check_condition
from device_profiles.checks.subject import Mistakes, Path, Subject
from device_profiles.expression import names_of_effect
from device_profiles.mistakes import shown
from device_profiles.schema import Command, StructField, StructLayout, StructPayload

_PAYLOADS = {"json": "json_", "text": "text", "hex": "hex", "struct": "struct"}
_OWN_SLOTS = ("address", "nonce", "nonce_text", "id", "now_s", "now_ms", "now_iso")
_NOTHING = ("skip", "group", "switch")


def check(subject: Subject) -> Mistakes:
    """Every command."""
    for name, command in subject.profile.commands.items():
        yield from _command(subject, command, ("commands", name))


def _command(subject: Subject, command: Command, path: Path) -> Mistakes:
    profile = subject.profile
    if command.scope is not None:
        yield from subject.known((*path, "scope"), command.scope, profile.children, "child kind")
    yield from _params(subject, command, path)
    yield from _topic(subject, command, path)
    yield from _payload(subject, command, path)
    for key in ("expires", "timeout"):
        if not getattr(command, key):
            yield subject.mistake((*path, key), "no time", "a time such as 30s")
    if command.effect is None:
        return
    if command.scope is None or command.scope in profile.children:
        names = names_of_effect(profile, command)
        yield from check_condition(subject, command.effect.when, names, (*path, "effect", "when"))
    if not command.effect.within:
        yield subject.mistake((*path, "effect", "within"), "no time", "a time such as 1m")


def _params(subject: Subject, command: Command, path: Path) -> Mistakes:
    taken = {*_OWN_SLOTS, "key"}
    for name, param in command.params.items():
        here: Path = (*path, "params", name)
        yield from subject.param_value((*here, "default"), param, "a default")
        if name in taken:
            yield subject.mistake(here, f"the slot {{{name}}}, which means something else", "another name")
        elif name in subject.profile.params:
            yield subject.mistake(here, f"{name!r}, a param of the device", "another name")
        elif name in subject.measured or name in subject.profile.events:
            yield subject.mistake(here, f"{name!r} also as a metric, state or event", "another name")
        if param.min is not None and param.max is not None and param.min > param.max:
            yield subject.mistake((*here, "max"), f"{param.max:g}", f"at least the min {param.min:g}")


def _slots(subject: Subject, command: Command) -> list[str]:
    """What templates of a command may name."""
    spoken = (capture for binding in subject.profile.bindings for capture in templates.captures_of(binding.topic))
    own = [*_OWN_SLOTS, "key"] if command.scope is not None else [*_OWN_SLOTS]
    return [*own, *subject.profile.params, *command.params, *dict.fromkeys(spoken)]


def _topic(subject: Subject, command: Command, path: Path) -> Mistakes:
    here: Path = (*path, "topic")
    yield from templates.template(subject, here, command.topic)
    for slot in templates.slots(command.topic):
        yield from subject.known(here, slot, _slots(subject, command), "slot")
    if {"+", "#"} & set(templates.without_slots(command.topic)):
        yield subject.mistake(here, shown(command.topic), "a topic without + and #")
    if command.topic.split("/")[0] in ("$SYS", "$share"):  # the broker's own; `$oc` and the like are a platform's
        yield subject.mistake(here, shown(command.topic), "a topic that devices hear")


def _payload(subject: Subject, command: Command, path: Path) -> Mistakes:
    given = [key for key, name in _PAYLOADS.items() if getattr(command, name) is not None]
    if len(given) != 1:
        yield subject.mistake(path, " and ".join(given) or "no payload", f"exactly one of {', '.join(_PAYLOADS)}")
    known = _slots(subject, command)
    for key in ("json", "text", "hex"):
        for here, slot in templates.named_in(getattr(command, _PAYLOADS[key]), (*path, key)):
            yield from subject.known(here, slot, known, "slot")
    if command.hex is not None:
        yield from _hex(subject, command.hex, (*path, "hex"))
    if command.struct is not None:
        yield from frames.struct(subject, command.struct.layout, (*path, "struct", "layout"))
        yield from _values(subject, command.struct, known, (*path, "struct"))


def _hex(subject: Subject, text: str, path: Path) -> Mistakes:
    digits = "".join(templates.without_slots(text).split())
    whole = "{" in text or len(digits) % 2 == 0
    if not re.fullmatch(r"[0-9a-fA-F]*", digits) or not whole:
        yield subject.mistake(path, shown(text), "pairs of hex digits, and slots such as {serial}")


# --- frames ----------------------------------------------------------------------------------------------------------


def _values(subject: Subject, payload: StructPayload, known: list[str], path: Path) -> Mistakes:
    names = set(_names(payload.layout.fields))
    for name, value in payload.values.items():
        yield from subject.known((*path, "values", name), name, sorted(names), "field of the layout")
        for here, slot in templates.named_in(value, (*path, "values", name)):
            yield from subject.known(here, slot, known, "slot")
    for i, field in enumerate(payload.layout.fields):
        if field.name is not None and field.name not in payload.values and _needs_value(payload, field, i):
            yield subject.mistake(
                (*path, "values"), f"no value of {field.name}", f"{field.name}: a number or a template"
            )


def _names(fields: tuple[StructField, ...]) -> Iterator[str]:
    """Names that stand beside each other in the frame's object."""
    for field in fields:
        if field.type == "switch":
            for case in field.cases.values():
                yield from _names(case)
            continue
        yield from (name for name in (field.name, *field.bits, *field.flags) if name is not None)


def _needs_value(payload: StructPayload, field: StructField, at: int) -> bool:
    if field.type in _NOTHING or field.const is not None or field.optional:
        return False
    if any(name in payload.values for name in (*field.bits, *field.flags)):
        return False
    counts = any(field.name in (other.count, other.size, other.on) for other in payload.layout.fields)
    return not counts and not _is_check(payload.layout, at)


def _is_check(layout: StructLayout, at: int) -> bool:
    """Whether a check writes this field: it begins, or ends the frame, where the check stands."""
    begins, ends = _distance(layout.fields[:at]), _distance(layout.fields[at:])
    return any(
        (begins is not None and check.offset == begins) or (ends is not None and check.offset == -ends)
        for check in layout.integrity
    )


def _distance(fields: tuple[StructField, ...]) -> int | None:
    """Bytes that these fields take; None where only the frame tells."""
    total = 0
    for field in fields:
        size = frames.NUMBERS.get(field.type, field.size)
        if not isinstance(size, int) or not isinstance(field.count, int | None) or field.optional:
            return None
        total += size * (1 if field.count is None else field.count)
    return total
