"""Which rules of a site somebody wants to see: those with some words in them, and of some kind; one query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from sqlalchemy import Connection, func, select

from services.rulebook.rules import SiteRule
from services.tables import alarms

Kind = Literal["changed", "shadow", "problems", "active"]
KINDS: tuple[Kind, ...] = ("changed", "shadow", "problems", "active")
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
    return bool(rule.problems) if kind == "problems" else active.get(rule.id, 0) > 0


def _of_book(origin: str) -> bool:
    return origin in ("book", "book_device")


def with_words(rules: Iterable[SiteRule], words: str) -> list[SiteRule]:
    """Those in whose names (both languages) or ids every word stands."""
    wanted = words.casefold().split()
    return [rule for rule in rules if all(word in _words_of(rule) for word in wanted)]


def _words_of(rule: SiteRule) -> str:
    names = (rule.name, rule.profile_name, *(one.label for one in rule.params))
    return " ".join([rule.id, *(text for name in names for text in (name.zh, name.en))]).casefold()
