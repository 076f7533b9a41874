"""From what somebody asks on a page or over the API to a backtest that runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select

from services.backtest.change import ChangeMistakes, laid_over, with_change
from services.backtest.jobs import Backtest
from services.backtest.lanes import Focus, Variant
from services.backtest.place import RuleKey
from services.backtest.recipe import Recipe, recipe_of
from services.ids import new_id
from services.rules import book_store
from services.rules.book import RuleBook
from services.rules.effective import BookInForce, Effective
from services.tables import devices

if TYPE_CHECKING:
    from services.context import Context

_HERE = "here"
LONGEST = timedelta(days=92)
FIRST_YEAR, LAST_YEAR = 1971, 2199
"""Beyond them a day before or after may be no date at all."""
LARGEST_CHANGE = 200_000
"""Characters of a change; a whole profile has some 40,000."""


def ask(
    context: Context,
    *,
    site: str,
    start: datetime,
    end: datetime,
    rule: str = "",
    change: str | RuleBook = "",
    everything: bool = False,
    by: str,
) -> Backtest:
    """Check what is asked and start it; see `prepared`. Raises TooManyJobs too."""
    asked = prepared(context, site=site, start=start, end=end, rule=rule, change=change, everything=everything, by=by)
    return context.jobs.start(*asked)


def prepared(
    context: Context,
    *,
    site: str,
    start: datetime,
    end: datetime,
    rule: str = "",
    change: str | RuleBook = "",
    everything: bool = False,
    by: str,
) -> tuple[Backtest, Recipe]:
    """Check what is asked; nothing is started. `change` is text as people write it, or what a rule book says besides;
    empty: only what is live. Raises ChangeMistakes, ProfileMistakes, ValueError."""
    check_stretch(start, end)
    key = rule_key(rule)
    live, there = live_at(context, site)
    new = _changed(live, change, key, there)
    focus = Focus("all" if everything or new == live else "affected", key)
    now = context.clock.now()
    job = Backtest(
        id=new_id(now),
        site=site,
        start=start,
        end=end,
        by=by,
        asked_at=now,
        rule=rule,
        change=change if isinstance(change, str) else _written(change),
    )
    recipe = recipe_of(context, site=site, there=there, old=live, new=new, start=start, end=end, focus=focus)
    return job, recipe


def check_stretch(start: datetime, end: datetime) -> None:
    """Raises ValueError where no history can be replayed from here to there."""
    found = f"found {start.isoformat()} to {end.isoformat()}, expected "
    if not FIRST_YEAR <= start.year <= end.year <= LAST_YEAR and start < end:
        raise ValueError(f"{found}years from {FIRST_YEAR} to {LAST_YEAR}")
    if not timedelta(0) < end - start <= LONGEST:
        raise ValueError(f"{found}an end after the beginning, at most {LONGEST.days} days later")


def rule_key(rule: str) -> RuleKey | None:
    """Raises ValueError."""
    if not rule:
        return None
    profile, slash, id = rule.partition("/")
    if not slash or not profile or not id:
        raise ValueError(f"rule: expected PROFILE/RULE such as booster_set/pressure_low, found {rule!r}")
    return profile, id


def live_at(context: Context, site: str) -> tuple[Variant, dict[str, str]]:
    """What runs at a site, and the profiles of its devices by id."""
    with context.database.read() as connection:
        book = book_store.newest(connection, site).book
    return Variant(context.library, book), devices_at(context, site)


def devices_at(context: Context, site: str) -> dict[str, str]:
    """Those in service -> their profiles."""
    there = select(devices.c.id, devices.c.profile).where(devices.c.site == site, devices.c.retired_at.is_(None))
    with context.database.read() as connection:
        return {row.id: row.profile for row in connection.execute(there)}


def _changed(live: Variant, change: str | RuleBook, rule: RuleKey | None, there: Mapping[str, str]) -> Variant:
    if isinstance(change, RuleBook):
        return _with_book(live, change, there)
    if not change.strip():
        return live
    if len(change) > LARGEST_CHANGE:
        raise ValueError(f"found a change of {len(change)} characters, expected at most {LARGEST_CHANGE}")
    return with_change(live, change, name="change", rule=rule, devices=there)


def _with_book(live: Variant, change: RuleBook, there: Mapping[str, str]) -> Variant:
    content: dict[str, Any] = change.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    book = RuleBook.model_validate(laid_over(live.book, content))
    before, after = (
        set(Effective(live.library, {_HERE: BookInForce(0, one)}, {}).misfits(_HERE, there))
        for one in (live.book, book)
    )
    found = [f"{one.profile}/{one.rule or one.param}: {one.found}" for one in after - before]
    if found:
        raise ChangeMistakes(sorted(found))
    return Variant(live.library, book)


def _written(change: RuleBook) -> str:
    return msgspec.json.format(msgspec.json.encode(book_store.content_of(change)), indent=1).decode()
