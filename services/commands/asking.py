"""What may be asked of a device, and with which values: pure checks, with errors that say what to do."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from device_profiles.children import keys_of
from device_profiles.schema import Command, DeviceProfile, Param, Scalar
from gateway.reading import Value, child_id, child_kind
from services.commands.lifecycle import Terms

LONGEST_TEXT = 200
_YES, _NO = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})


class CommandRefused(Exception):
    """It cannot be queued. `field` is the param or "child" at fault, "" where it is none of them; `code` one of
    unknown, not_valid, outstanding, overruled, switched_off, no_gateway, unclaimed."""

    def __init__(self, code: str, found: str, expected: str, field: str = "") -> None:
        super().__init__(f"{field + ': ' if field else ''}found {found}, expected {expected}")
        self.code = code
        self.found = found
        self.expected = expected
        self.field = field


def command_of(profile: DeviceProfile, name: str) -> Command:
    """Raises CommandRefused."""
    found = profile.commands.get(name)
    if found is None:
        known = ", ".join(profile.commands) or "no command at all: this profile has none"
        raise CommandRefused("unknown", f"the command {name[:64]!r}", known)
    return found


def terms_of(profile: DeviceProfile, name: str) -> Terms:
    command = profile.commands[name]
    return Terms(
        answers=any(name in answered_by(profile, binding.id) for binding in profile.bindings),
        timeout=command.timeout,
        retries=command.retries,
        effect=command.effect.when if command.effect else None,
        within=command.effect.within if command.effect else command.timeout,
    )


def answered_by(profile: DeviceProfile, binding_id: str) -> frozenset[str]:
    """The commands that a message of this binding answers."""
    reply = next((binding.reply for binding in profile.bindings if binding.id == binding_id), None)
    return frozenset() if reply is None else frozenset({reply.command, *reply.also})


def check_child(
    profile: DeviceProfile, command: Command, child: str, params: Mapping[str, Value], seen: Mapping[str, object]
) -> str:
    """The child that a command goes to; `seen` are the children that have been heard of. Raises CommandRefused."""
    if command.scope is None:
        if child:
            raise CommandRefused(
                "not_valid", f"{child[:64]!r}", "no part: this command is for the whole device", "child"
            )
        return ""
    possible = list(children_for(profile, command.scope, params, seen))
    if child not in possible:
        found = repr(child[:64]) if child else "no part of the device"
        listed = ", ".join(possible[:20]) or f"a {command.scope}; none is known of this device yet"
        raise CommandRefused("not_valid", found, f"one of {listed}", "child")
    return child


def children_for(
    profile: DeviceProfile, kind: str, params: Mapping[str, Value], seen: Mapping[str, object]
) -> Iterator[str]:
    """Every child of a kind: those that are declared, and those that have been heard of."""
    known = {name: value for name, value in params.items() if value is not None}
    declared = [child_id(kind, key) for key in keys_of(profile, kind, known) or ()]
    yield from declared
    yield from (child for child in seen if child and child_kind(child) == kind and child not in declared)


def check_params(command: Command, given: Mapping[str, object]) -> dict[str, Value]:
    """Typed and within range, with the defaults of those that were left out. Raises CommandRefused."""
    unknown = next((name for name in given if name not in command.params), None)
    if unknown is not None:
        known = ", ".join(command.params) or "no params: this command takes none"
        raise CommandRefused("not_valid", f"the unknown param {unknown[:64]!r}", known, unknown[:64])
    return {name: _checked(name, param, given.get(name, param.default)) for name, param in command.params.items()}


def _checked(name: str, param: Param, given: object) -> Scalar:
    if param.type == "boolean":
        return _boolean(name, given)
    if param.type == "text":
        return _text(name, given)
    return _number(name, param, given)


def _boolean(name: str, given: object) -> bool:
    if isinstance(given, bool):
        return given
    word = str(given).strip().lower()
    if word not in _YES | _NO:
        raise CommandRefused("not_valid", repr(given)[:80], "yes or no", name)
    return word in _YES


def _text(name: str, given: object) -> str:
    if not isinstance(given, str):
        raise CommandRefused("not_valid", repr(given)[:80], "a text", name)
    if len(given) > LONGEST_TEXT or not given.isprintable():
        raise CommandRefused(
            "not_valid", f"{len(given)} characters", f"at most {LONGEST_TEXT} printable characters on one line", name
        )
    return given


def _number(name: str, param: Param, given: object) -> float | int:
    number = _parsed(given)
    unit = f" {param.uom}" if param.uom else ""
    if number is None or (param.type == "integer" and not number.is_integer()):
        what = "a whole number" if param.type == "integer" else "a number"
        raise CommandRefused("not_valid", repr(given)[:80], f"{what}{_range(param)}{unit}", name)
    if (param.min is not None and number < param.min) or (param.max is not None and number > param.max):
        raise CommandRefused("not_valid", f"{number:g}{unit}", f"a value{_range(param)}{unit}", name)
    return int(number) if param.type == "integer" or (isinstance(given, int) and number.is_integer()) else number


def _parsed(given: object) -> float | None:
    if isinstance(given, bool) or not isinstance(given, int | float | str) or len(str(given)) > 40:
        return None
    try:
        number = float(given)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _range(param: Param) -> str:
    if param.min is not None and param.max is not None:
        return f" from {param.min:g} to {param.max:g}"
    if param.min is not None:
        return f" of at least {param.min:g}"
    return f" of at most {param.max:g}" if param.max is not None else ""
