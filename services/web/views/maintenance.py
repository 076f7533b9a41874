"""Maintenance windows in words, and what somebody typed as a wish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from babel.dates import format_date, get_day_names
from pydantic import ValidationError
from starlette.datastructures import FormData, QueryParams

from services.maintenance.desk import Shown
from services.maintenance.planning import Mistake, Place, RepeatsWish, ScopeWish, State, WindowRefused, Wish
from services.maintenance.windows import WEEKDAYS, Occurrence, Repeats, Scope, from_wall
from services.natural import natural
from services.sites.store import Site
from services.web.i18n import N_, Translations
from services.web.pages import words
from services.web.pages.words import Mark

LENGTHS = {"30": N_("30 minutes"), "60": N_("1 hour"), "120": N_("2 hours"), "240": N_("4 hours"), "480": N_("8 hours")}
"""Minutes -> what the form offers."""
_FIELDS = {
    "title": N_("What is done"),
    "starts_at": N_("Begins"),
    "ends_at": N_("Ends"),
    "repeats": N_("On these days"),
    "repeats.days": N_("On these days"),
    "repeats.until": N_("Until"),
    "scope.buildings": N_("Buildings"),
    "scope.families": N_("Kinds of devices"),
    "scope.devices": N_("Devices"),
}
_WRONG = {
    "title": N_("Say what is done, such as Tank cleaning."),
    "starts_at": N_("It may have begun a day ago, and may begin within two years."),
    "ends_at": N_("It ends after it begins and after now: at most 31 days later, or 24 hours where it recurs."),
    "repeats": N_("None of these days comes before it ends."),
    "repeats.days": N_("Choose at least one day of the week."),
    "repeats.until": N_("Choose the last day: within two years."),
    "scope.buildings": N_("This site has no such building."),
    "scope.families": N_("This site has no such devices."),
    "scope.devices": N_("This site has no such device."),
}


@dataclass(frozen=True)
class Row:
    """One window of the list."""

    id: str
    title: str
    site: str
    mark: Mark
    covers: tuple[str, ...]
    devices: int
    repeats: str
    next: tuple[Occurrence, ...]
    starts_at: datetime
    ends_at: datetime
    by: str
    zone: ZoneInfo
    can_end: bool
    can_cancel: bool


class Choice(NamedTuple):
    value: str
    label: str
    chosen: bool


@dataclass(frozen=True)
class Typed:
    """What stands in the form."""

    site: str = ""
    title: str = ""
    starts: str = ""
    length: str = "120"
    ends: str = ""
    days: tuple[str, ...] = ()
    until: str = ""
    buildings: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    devices: str = ""


@dataclass(frozen=True)
class Form:
    typed: Typed
    lengths: tuple[Choice, ...]
    days: tuple[Choice, ...]
    buildings: tuple[Choice, ...]
    families: tuple[Choice, ...]
    wrong: Mapping[str, str] = field(default_factory=dict)


def row(found: Shown, site: Site | None, names: Mapping[str, str], t: Translations, *, may_change: bool) -> Row:
    window, again = found.window, found.window.repeats is not None
    return Row(
        id=window.id,
        title=window.title,
        site=site.name.in_(t.language) if site else window.site,
        mark=words.WINDOW[found.state.value],
        covers=scope_words(window.scope, site, t),
        devices=found.devices,
        repeats=repeats_words(window.repeats, t),
        next=found.next,
        starts_at=window.starts_at,
        ends_at=min(window.ends_at, window.cancelled_at or window.ends_at),
        by=names.get(window.created_by, window.created_by),
        zone=found.zone,
        can_end=may_change and found.state is State.OPEN,
        can_cancel=may_change and (found.state is State.PLANNED or (found.state is State.OPEN and again)),
    )


def scope_words(scope: Scope, site: Site | None, t: Translations) -> tuple[str, ...]:
    """ "Building 2 · Water supply", and the devices on top; the whole site where nothing is named."""
    named = {one.id: one.name.in_(t.language) for one in site.buildings} if site else {}
    houses = [named.get(one, one) for one in sorted(scope.buildings, key=natural)]
    kinds = [t.gettext(words.family(one)) for one in sorted(scope.families)]
    listed = sorted(scope.devices, key=natural)
    shown = [*houses, *kinds, *listed[:5], *(["…"] if len(listed) > 5 else [])]
    return tuple(shown) or (t.gettext("The whole site"),)


def repeats_words(repeats: Repeats | None, t: Translations) -> str:
    if repeats is None:
        return ""
    names = get_day_names("abbreviated", locale=t.locale)
    days = [str(names[number]) for number, day in enumerate(WEEKDAYS) if day in repeats.days]
    until = format_date(repeats.until, "medium", locale=t.locale)
    return t.gettext("%(days)s until %(date)s") % {"days": " ".join(days), "date": until}


def typed_of(form: FormData | QueryParams) -> Typed:
    def one(name: str, longest: int = 200) -> str:
        value = form.get(name, "")
        return value[:longest].strip() if isinstance(value, str) else ""

    def many(name: str) -> tuple[str, ...]:
        return tuple(value[:64] for value in form.getlist(name)[:500] if isinstance(value, str))

    return Typed(
        site=one("site", 64),
        title=one("title"),
        starts=one("starts"),
        length=one("length") or "120",
        ends=one("ends"),
        until=one("until"),
        days=many("days"),
        buildings=many("buildings"),
        families=many("families"),
        devices=one("devices", 20_000),
    )


def form_of(typed: Typed, site: Site, place: Place, t: Translations, wrong: Sequence[Mistake] = ()) -> Form:
    names = get_day_names("abbreviated", locale=t.locale)
    families = sorted({family for _, family in place.devices.values() if family})
    return Form(
        typed=typed,
        lengths=tuple(Choice(key, t.gettext(word), key == typed.length) for key, word in LENGTHS.items()),
        days=tuple(Choice(day, str(names[number]), day in typed.days) for number, day in enumerate(WEEKDAYS)),
        buildings=tuple(Choice(one.id, one.name.in_(t.language), one.id in typed.buildings) for one in site.buildings),
        families=tuple(Choice(one, t.gettext(words.family(one)), one in typed.families) for one in families),
        wrong={one.field: wrong_words(one, t) for one in wrong},
    )


def wrong_words(mistake: Mistake, t: Translations) -> str:
    text = _WRONG.get(mistake.field)
    where = _FIELDS.get(mistake.field)
    said = t.gettext(text) if text else f"{mistake.found}: {mistake.expected}"
    found = f" ({mistake.found})" if mistake.field.startswith("scope.") else ""
    return f"{t.gettext(where)}: {said}{found}" if where else said


def wish_of(typed: Typed, zone: ZoneInfo, now: datetime) -> Wish:
    """On the clock of the site. Raises WindowRefused."""
    starts = _wall("starts_at", typed.starts, zone) if typed.starts else None
    begins = starts or now
    if typed.length == "other" or typed.ends:  # an end that was typed is meant
        ends = _wall("ends_at", typed.ends, zone, second=True)
    else:
        ends = begins + timedelta(minutes=int(typed.length) if typed.length in LENGTHS else 120)
    scope = {"buildings": typed.buildings, "families": typed.families, "devices": _ids(typed.devices)}
    try:
        return Wish(
            site=typed.site,
            title=typed.title,
            scope=ScopeWish.model_validate({name: list(ids) for name, ids in scope.items()}),
            starts_at=starts,
            ends_at=ends,
            repeats=_repeats(typed),
        )
    except ValidationError as error:
        raise WindowRefused(
            [Mistake(str(one["loc"][0]), repr(one["input"])[:60], one["msg"]) for one in error.errors()]
        ) from error


def _repeats(typed: Typed) -> RepeatsWish | None:
    if not typed.days and not typed.until:
        return None
    days: list[Any] = [day for day in WEEKDAYS if day in typed.days]
    if not days:
        raise WindowRefused([Mistake("repeats.days", "none", "at least one")])
    try:
        return RepeatsWish(days=days, until=date.fromisoformat(typed.until))
    except ValueError as error:
        raise WindowRefused([Mistake("repeats.until", repr(typed.until), "a date")]) from error


def _wall(name: str, text: str, zone: ZoneInfo, *, second: bool = False) -> datetime:
    try:
        return from_wall(datetime.fromisoformat(text).replace(tzinfo=None), zone, second=second)
    except (ValueError, OverflowError) as error:
        raise WindowRefused([Mistake(name, repr(text), "a day and a time")]) from error


def _ids(text: str) -> list[str]:
    """Separated by commas, blanks or line ends."""
    return [one[:64] for one in text.replace(",", " ").replace("，", " ").replace("、", " ").split()][:2000]


def at_site(typed: Typed, site: str, *, title: str | None = None) -> Typed:
    return replace(typed, site=site, title=typed.title if title is None else title)
