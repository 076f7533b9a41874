"""One rule of a book, edited in a form: what stands in it at first, and the book that what was typed makes. Pure.

What is as it would be anyway is left out of the book, so that a book says nothing but what differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from device_profiles.expression import stretch_text
from device_profiles.schema import DeviceProfile, Param, Severity, parse_duration
from services.rulebook.rules import ParamValue, SiteRule
from services.rules.book import DeviceChange, RuleBook, RuleChange, change_mistakes, fit, param_found
from services.rules.book_words import READERS, words_of

MODES = ("live", "shadow", "off")
PARAM = "param."
"""Prefix of a field that is a threshold."""


class Target(NamedTuple):
    """Which rule, and for whom."""

    profile: str
    rule: str
    device: str
    """"" for all devices of the profile at the site."""


class Edited(NamedTuple):
    book: RuleBook
    mistakes: dict[str, str]
    """Field -> what is wrong with it; the book is as it was then."""


def standing(rule: SiteRule) -> dict[str, str]:
    """What the fields of a form say, by name."""
    return {
        "mode": rule.mode,
        "severity": rule.severity.value,
        "when": rule.when,
        "for": stretch_text(rule.for_seconds),
        "clear_when": rule.clear_when or "",
        "clear_for": stretch_text(rule.clear_for_seconds),
        **{name: getattr(rule, name) for name in READERS},
        **{f"{PARAM}{one.name}": shown(one.value) for one in rule.params if one.editable},
    }


def shown(value: Any) -> str:
    """A param's value as it is typed."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def without(book: RuleBook, target: Target, params: tuple[str, ...]) -> RuleBook:
    """The book without what it says about this rule and these params, for this target."""
    if target.device:
        own = book.devices.get(target.device, DeviceChange())
        left = DeviceChange(rules=_less(own.rules, target.rule), params=_less(own.params, *params))
        return _with_device(book, target.device, left)
    rules = {**book.rules, target.profile: _less(book.rules.get(target.profile, {}), target.rule)}
    values = {**book.params, target.profile: _less(book.params.get(target.profile, {}), *params)}
    return book.model_copy(update={"rules": rules, "params": values})


def edited(
    base: RuleBook,
    target: Target,
    profile: DeviceProfile,
    typed: Mapping[str, str],
    otherwise: SiteRule,
) -> Edited:
    """The book with what was typed; `otherwise` is the rule as it were without this change (see `without`)."""
    inherited = standing(otherwise)
    typed = {**_untouched(base, target, profile), **typed}
    differs = {name: text for name, text in typed.items() if name in inherited and text != inherited[name]}
    thresholds = [one for one in otherwise.params if one.editable]
    change, mistakes = _change(base, target, profile, differs)
    params: dict[str, Any] = {}
    for one in thresholds:
        text = differs.get(f"{PARAM}{one.name}")
        if text is not None:
            _take_param(profile, one, text, params, mistakes)
    if mistakes:
        return Edited(base, mistakes)
    cleared = without(base, target, tuple(one.name for one in thresholds))
    return Edited(_with(cleared, target, change, params), {})


def _untouched(base: RuleBook, target: Target, profile: DeviceProfile) -> dict[str, str]:
    """What a form that does not show these parts leaves as it is."""
    rules = fit(profile, base, target.device).profile.rules
    return next((words_of(one) for one in rules if one.id == target.rule), {})


def _change(
    base: RuleBook, target: Target, profile: DeviceProfile, differs: Mapping[str, str]
) -> tuple[RuleChange | None, dict[str, str]]:
    said: dict[str, Any] = {}
    mistakes: dict[str, str] = {}
    for name in ("for", "clear_for"):
        if name in differs:
            try:
                said[name] = parse_duration(differs[name])
            except ValueError as error:
                mistakes[name] = str(error)
    for name, read in READERS.items():
        if name in differs:
            try:
                said[name] = read(differs[name])
            except ValueError as error:
                mistakes[name] = str(error)
    for name, known in (("mode", MODES), ("severity", tuple(Severity))):
        if name in differs and differs[name] in tuple(map(str, known)):
            said[name] = differs[name]
        elif name in differs:
            mistakes[name] = f"expected one of {', '.join(known)}"
    for name in ("when", "clear_when"):
        if differs.get(name):
            said[name] = differs[name]
        elif name in differs:
            mistakes[name] = "expected a condition: the profile has one here"
    change = _change_of(said, mistakes)
    rule = next((one for one in profile.rules if one.id == target.rule), None)
    if change is not None and rule is not None:
        site_wide = fit(profile, without(base, target, ()), target.device).profile
        own = next((one for one in site_wide.rules if one.id == target.rule), rule)
        found = change_mistakes(profile, own, change)
        mistakes |= {name: text for name, text in found.items() if name or not mistakes}
    return change, mistakes


def _change_of(said: Mapping[str, Any], mistakes: dict[str, str]) -> RuleChange | None:
    """What was typed as a change; what is not of its shape is noted."""
    try:
        return RuleChange.model_validate(said) if said else None
    except ValidationError as error:
        mistakes |= {str(one["loc"][0]): str(one["msg"]) for one in error.errors()}
        return None


def _take_param(
    profile: DeviceProfile, one: ParamValue, text: str, params: dict[str, Any], mistakes: dict[str, str]
) -> None:
    value = _value(profile.params[one.name], text)
    found = param_found(profile, one.name, value)
    if found:
        mistakes[f"{PARAM}{one.name}"] = found
    else:
        params[one.name] = value


def _value(param: Param, text: str) -> Any:
    """What was typed as the param's type; the text itself where it is none of that type."""
    if param.type == "boolean":
        return {"true": True, "false": False}.get(text, text)
    if param.type == "text":
        return text
    try:
        number = float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    except ValueError:
        return text
    return int(number) if param.type == "integer" and number.is_integer() else number


def _with(book: RuleBook, target: Target, change: RuleChange | None, params: Mapping[str, Any]) -> RuleBook:
    own_rules = {target.rule: change} if change is not None else {}
    if target.device:
        own = book.devices.get(target.device, DeviceChange())
        added = DeviceChange(rules={**own.rules, **own_rules}, params={**own.params, **params})
        return _with_device(book, target.device, added)
    rules = {**book.rules, target.profile: {**book.rules.get(target.profile, {}), **own_rules}}
    values = {**book.params, target.profile: {**book.params.get(target.profile, {}), **params}}
    return book.model_copy(update={"rules": rules, "params": values})


def _with_device(book: RuleBook, device: str, change: DeviceChange) -> RuleBook:
    devices = {**book.devices, device: change}
    return book.model_copy(update={"devices": {id: one for id, one in devices.items() if one.rules or one.params}})


def _less(entries: Mapping[str, Any], *gone: str) -> dict[str, Any]:
    return {name: one for name, one in entries.items() if name not in gone}
