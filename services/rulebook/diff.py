"""What one rule book changes against another. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from device_profiles.expression import stretch_text
from services.rules import book_words
from services.rules.book import RuleBook, RuleChange

FIELDS = {"mode": "mode", "when": "when", "for_": "for", "clear_when": "clear_when", "clear_for": "clear_for",
          "severity": "severity", "grades": "grades", "schedule": "schedule", "flapping": "flapping",
          "acknowledge_within": "acknowledge_within", "suppressed_by": "suppressed_by", "note": "note"}  # fmt: skip
"""Attribute of a change -> its name in the book."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One value that two books say differently; None where a book says nothing (the profile's own stands)."""

    profile: str
    """"" for a device's param, whose profile the book does not name."""
    rule: str
    """"" where it is a param."""
    device: str
    """"" where it is for all devices of the profile."""
    field: str
    """mode, when, for, clear_when, clear_for, severity, grades, schedule, flapping, acknowledge_within, suppressed_by,
    note; or the param's name."""
    before: str | None
    after: str | None


def compare(old: RuleBook, new: RuleBook) -> list[Difference]:
    """In order: rules, params, then device by device."""
    return [
        *(one for profile in _names(old.rules, new.rules) for one in _rules(profile, old, new)),
        *(one for profile in _names(old.params, new.params) for one in _params(profile, old, new)),
        *(one for device in _names(old.devices, new.devices) for one in _device(device, old, new)),
    ]


def _rules(profile: str, old: RuleBook, new: RuleBook) -> Iterator[Difference]:
    yield from _changes(profile, "", old.rules.get(profile, {}), new.rules.get(profile, {}))


def _params(profile: str, old: RuleBook, new: RuleBook) -> Iterator[Difference]:
    yield from _values(profile, "", old.params.get(profile, {}), new.params.get(profile, {}))


def _device(device: str, old: RuleBook, new: RuleBook) -> Iterator[Difference]:
    before, after = old.devices.get(device), new.devices.get(device)
    yield from _changes("", device, before.rules if before else {}, after.rules if after else {})
    yield from _values("", device, before.params if before else {}, after.params if after else {})


def _changes(
    profile: str, device: str, old: Mapping[str, RuleChange], new: Mapping[str, RuleChange]
) -> Iterator[Difference]:
    nothing = RuleChange()
    for rule in _names(old, new):
        before, after = old.get(rule, nothing), new.get(rule, nothing)
        for attribute, field in FIELDS.items():
            was, now = (_field_said(field, getattr(one, attribute)) for one in (before, after))
            if was != now:
                yield Difference(profile=profile, rule=rule, device=device, field=field, before=was, after=now)


def _field_said(field: str, value: Any) -> str | None:
    return book_words.said(field, value) if field in book_words.READERS and value is not None else said(value)


def _values(profile: str, device: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for name in _names(old, new):
        was, now = said(old.get(name)), said(new.get(name))
        if was != now:
            yield Difference(profile=profile, rule="", device=device, field=name, before=was, after=now)


def _names(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return sorted({*old, *new})


def said(value: Any) -> str | None:
    """A value of a book as a person writes it."""
    if value is None or value == "":
        return None
    if isinstance(value, timedelta):
        return stretch_text(value.total_seconds())
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
