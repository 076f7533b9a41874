"""A site's rule book: what it changes about the rules and params of its profiles, and for which devices.

Pure. Every version is kept whole, so a diff is a comparison and a rollback is the old content under a new number. What
a book says is laid over the profile, and the result is checked like any profile: a change that no longer fits (its rule
or a metric is gone) is a `Misfit`; the profile's own rule stands meanwhile, and pages say so.

    rules:
      booster_set:
        suction_low: {for: 10m, severity: major}
        run_dry: {mode: shadow}
    params:
      booster_set: {setpoint: 0.42}
    devices:
      pumps-3: {params: {setpoint: 0.45}, rules: {suction_low: {mode: "off"}}}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationError, model_validator

from device_profiles.checks.rules import BREAKS
from device_profiles.expression import ExpressionError, stretch_text
from device_profiles.schema import DeviceProfile, Rule, Schedule, Severity
from device_profiles.schema.base import Duration, Identifier, Part, ProfileId
from device_profiles.schema.behaviour import Flapping, Grade
from services.rules.compiled import compile_rule
from services.sites.params import param_mistake
from services.wire_names import UNWRITABLE

_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_WHOLE_PARTS = ("severity", "grades", "schedule", "flapping", "acknowledge_within", "suppressed_by")
"""What a change says of them stands in the place of what the rule says."""


MOST_PARTS = 20
"""Grades, stretches of a schedule or causes that a rule is given: each is looked at whenever it is judged."""
_FLAPPING = timedelta(minutes=1), timedelta(days=1)


class RuleChange(Part):
    """What one rule is given instead; None leaves what the profile says."""

    mode: Literal["live", "shadow", "off"] | None = None
    when: str | None = None
    for_: Duration | None = Field(None, alias="for")
    clear_when: str | None = None
    clear_for: Duration | None = None
    severity: Severity | None = None
    grades: tuple[Grade, ...] | None = None
    """In the place of the profile's; empty: none."""
    schedule: tuple[Schedule, ...] | None = None
    """Empty: always."""
    flapping: Flapping | None = None
    acknowledge_within: Duration | None = None
    suppressed_by: tuple[Identifier, ...] | None = None
    """In the place of the profile's causes; empty: none."""
    note: str = ""
    """Why, for those who read it next."""


class DeviceChange(Part):
    rules: dict[Identifier, RuleChange] = Field(default_factory=dict)
    params: dict[Identifier, float | bool | str] = Field(default_factory=dict)


class RuleBook(Part):
    """What one site changes. Empty: everything is as the profiles say."""

    rules: dict[ProfileId, dict[Identifier, RuleChange]] = Field(default_factory=dict)
    """Profile -> rule -> change."""
    params: dict[ProfileId, dict[Identifier, float | bool | str]] = Field(default_factory=dict)
    """Profile -> param -> value, for all its devices here that the site file gives none."""
    devices: dict[str, DeviceChange] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _as_a_database_takes_it(cls, data: Any) -> Any:
        found = next((text for text in _texts(data) if UNWRITABLE.search(text)), None)
        if found is not None:
            raise ValueError(f"found {found[:60]!r}, expected text without NUL and halves of characters")
        return data


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        for name, value in data.items():
            yield from _texts(name)
            yield from _texts(value)
    elif isinstance(data, list | tuple):
        for one in data:
            yield from _texts(one)


class Misfit(NamedTuple):
    """A change that cannot be made; the profile's own rule stands."""

    profile: str
    rule: str
    device: str
    """"" where the change is for all devices of the profile."""
    found: str
    param: str = ""
    """Of a changed value: the param; `rule` is "" then."""


class Fitted(NamedTuple):
    profile: DeviceProfile
    misfits: tuple[Misfit, ...]


def fit(profile: DeviceProfile, book: RuleBook, device: str = "") -> Fitted:
    """The profile as a site has it (and one device, where the book names it). A rule that is off is left out."""
    changes = changes_of(profile.profile, book, device)
    if not changes:
        return Fitted(profile, ())
    misfits = [Misfit(profile.profile, rule, device, "no such rule") for rule in changes if rule not in _ids(profile)]
    rules: list[Rule] = []
    for rule in profile.rules:
        change = changes.get(rule.id)
        if change is None:
            rules.append(rule)
        elif change.mode != "off":
            changed = _changed(rule, change)
            found = mistake_in(profile, changed) if isinstance(changed, Rule) else changed
            rules.append(changed if isinstance(changed, Rule) and not found else rule)
            misfits += [Misfit(profile.profile, rule.id, device, found)] if found else []
    return Fitted(profile.model_copy(update={"rules": tuple(rules)}), tuple(misfits))


def changes_of(profile: str, book: RuleBook, device: str = "") -> dict[str, RuleChange]:
    """Rule -> its change; what a device is given stands over what its site is, word by word."""
    found = dict(book.rules.get(profile, {}))
    for rule, own in (book.devices[device].rules if device in book.devices else {}).items():
        found[rule] = found[rule].model_copy(update=_said(own)) if rule in found else own
    return found


def _said(change: RuleChange) -> dict[str, Any]:
    return {name: value for name, value in change if value not in (None, "")}


def _ids(profile: DeviceProfile) -> frozenset[str]:
    return frozenset(rule.id for rule in profile.rules)


def _changed(rule: Rule, change: RuleChange) -> Rule | str:
    """The rule with its changes, or what is wrong with them."""
    if too_many := _too_many(change):
        return too_many
    data: dict[str, Any] = rule.model_dump(by_alias=True)
    for name, value in (("mode", change.mode), ("when", change.when), ("for", change.for_)):
        data |= {} if value is None else {name: value}
    for part in _WHOLE_PARTS:
        value = getattr(change, part)
        data |= {} if value is None else {part: _plain(value)}
    clear = {"when": change.clear_when, "for": change.clear_for}
    data["clear"] = data["clear"] | {name: value for name, value in clear.items() if value is not None}
    try:
        return Rule.model_validate(data)
    except ValidationError as error:
        return "; ".join(str(one["msg"]) for one in error.errors())


def _too_many(change: RuleChange) -> str:
    parts = {"grades": change.grades, "schedule": change.schedule, "suppressed_by": change.suppressed_by}
    found = ((name, len(value or ())) for name, value in parts.items())
    return next((f"{name}: found {n}, expected at most {MOST_PARTS}" for name, n in found if n > MOST_PARTS), "")


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return value.model_dump(by_alias=True)
    return tuple(map(_plain, value)) if isinstance(value, tuple) else value


def change_mistakes(profile: DeviceProfile, rule: Rule, change: RuleChange) -> dict[str, str]:
    """Field (`when`, `clear_when`, …) -> what is wrong with it; nothing where the change fits."""
    found: dict[str, str] = {}
    for name, alone in (
        ("when", RuleChange(when=change.when)),
        ("clear_when", RuleChange(clear_when=change.clear_when)),
        ("grades", RuleChange(grades=change.grades)),
        ("schedule", RuleChange(schedule=change.schedule)),
        ("flapping", RuleChange(flapping=change.flapping)),
        ("suppressed_by", RuleChange(suppressed_by=change.suppressed_by)),
    ):
        changed = _changed(rule, alone)
        mistake = changed if isinstance(changed, str) else mistake_in(profile, changed)
        if mistake and getattr(change, name) is not None:
            found[name] = mistake
    whole = _changed(rule, change.model_copy(update={"mode": None}) if change.mode == "off" else change)
    mistake = whole if isinstance(whole, str) else mistake_in(profile, whole)
    return found or ({"": mistake} if mistake else {})


def mistake_in(profile: DeviceProfile, rule: Rule) -> str:
    """What keeps a rule from being evaluated on a profile; "" when nothing does."""
    try:
        compile_rule(profile, rule)
    except ExpressionError as error:
        return str(error)
    return _schedule_found(rule) or _grades_found(rule) or _flapping_found(rule) or _causes_found(profile, rule)


def _schedule_found(rule: Rule) -> str:
    for one in rule.schedule:
        if one.from_ == one.to or one.from_ == "24:00" or not one.days:
            return f"schedule: found {one.from_} to {one.to}, expected days, and an end that is not the beginning"
    return ""


def _grades_found(rule: Rule) -> str:
    for one in rule.grades:
        if one.when is None and not one.after:
            return f"grades: found always {one.severity.value}, expected `when` or `after`: when it is that severe"
    return ""


def _flapping_found(rule: Rule) -> str:
    shortest, longest = _FLAPPING
    if shortest <= rule.flapping.within <= longest:
        return ""
    return f"flapping: found within {stretch_text(rule.flapping.within.total_seconds())}, expected 1m to 1d"


def _causes_found(profile: DeviceProfile, rule: Rule) -> str:
    """Causes are rules of the same thing or of its device, or broken links."""
    others = {one.id for one in profile.rules if one.id != rule.id and one.scope in (None, rule.scope)}
    unknown = [cause for cause in rule.suppressed_by if cause not in others and cause not in BREAKS]
    if not unknown:
        return ""
    known = ", ".join((*sorted(others), *BREAKS))
    return f"suppressed_by: found {unknown[0]!r}, expected other rules of this profile or broken links: {known}"


def params_of(
    profile: DeviceProfile, book: RuleBook, device: str, own: Mapping[str, Any], site: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Each param's value: the book for this device, else the site file for it (`own`), the book for the site, the site
    file for all devices of the profile (`site`), the default. A value of the book that does not fit is left out."""
    defaults = {name: param.default for name, param in profile.params.items()}
    of_device = book.devices[device].params if device in book.devices else {}
    return {
        **defaults,
        **(site or {}),
        **_fitting(profile, book.params.get(profile.profile, {})),
        **own,
        **_fitting(profile, of_device),
    }


def _fitting(profile: DeviceProfile, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not param_found(profile, name, value)}


def param_found(profile: DeviceProfile, name: str, value: object) -> str:
    """What is wrong with a value for a param; "" when nothing is."""
    param = profile.params.get(name)
    if param is None:
        return f"no such param; {profile.profile} has {', '.join(sorted(profile.params)) or 'none'}"
    if name in structural(profile):
        return "it says how messages are decoded or how many parts there are, so it belongs into the site file"
    expected = param_mistake(param, value)
    return f"found {value!r}, expected {expected}" if expected else ""


def structural(profile: DeviceProfile) -> frozenset[str]:
    """Params that more than rules depend on: what is stored would no longer mean the same. The site file gives them."""
    derived = " ".join(metric.derive or "" for metric in profile.metrics.values())
    counts = {child.count for child in profile.children.values() if isinstance(child.count, str)}
    return frozenset(profile.params) & {*_NAME.findall(derived), *counts}


def param_misfits(profile: DeviceProfile, values: Mapping[str, Any], device: str = "") -> list[Misfit]:
    """The values that a profile's params cannot be given."""
    found = ((name, param_found(profile, name, value)) for name, value in values.items())
    return [Misfit(profile.profile, "", device, problem, name) for name, problem in found if problem]
