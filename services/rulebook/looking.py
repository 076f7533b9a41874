"""Which rules of a site somebody wants to see: those with some words in them, and of some kind; which wait for values
that no device sends. One query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from sqlalchemy import Connection, func, select

from services.rulebook.rules import SiteRule
from services.tables import alarms

Kind = Literal["changed", "shadow", "problems", "waiting", "active"]
KINDS: tuple[Kind, ...] = ("changed", "shadow", "problems", "waiting", "active")
"""problems: somebody must mend something. waiting: no device here sends something that it reads."""
Active = Mapping[str, int]
"""PROFILE/RULE -> how many of its alarms are active now."""


def active_now(connection: Connection, site: str) -> dict[str, int]:
    query = (
        select(alarms.c.profile, alarms.c.rule, func.count())
        .where(alarms.c.site == site, alarms.c.state == "active")
        .group_by(alarms.c.profile, alarms.c.rule)
    )
    return {f"{profile}/{rule}": n for profile, rule, n in connection.execute(query)}


def is_kind(rule: SiteRule, kind: Kind, active: Active) -> bool:
    if kind == "changed":
        return bool(rule.changed or rule.differing_devices or any(_of_book(one.origin) for one in rule.params))
    if kind == "shadow":
        return rule.mode == "shadow"
    if kind == "problems":
        return bool(rule.broken)
    return bool(rule.waits_for) if kind == "waiting" else active.get(rule.id, 0) > 0


def _of_book(origin: str) -> bool:
    return origin in ("book", "book_device")


class Waiting(NamedTuple):
    """The rules of one profile that wait for values which no device here sends."""

    profile: str
    values: dict[str, list[SiteRule]]
    """Value -> the rules that wait for it."""


def waiting_of(rules: Iterable[SiteRule]) -> list[Waiting]:
    """By profile, in the order of the rules."""
    found: dict[str, dict[str, list[SiteRule]]] = {}
    for rule in rules:
        for name in rule.waits_for:
            found.setdefault(rule.profile, {}).setdefault(name, []).append(rule)
    return [Waiting(profile, values) for profile, values in found.items()]


def with_words(rules: Iterable[SiteRule], words: str) -> list[SiteRule]:
    """Those in whose names (both languages) or ids every word stands."""
    wanted = words.casefold().split()
    return [rule for rule in rules if all(word in _words_of(rule) for word in wanted)]


def _words_of(rule: SiteRule) -> str:
    names = (rule.name, rule.profile_name, *(one.label for one in rule.params))
    return " ".join([rule.id, *(text for name in names for text in (name.zh, name.en))]).casefold()
