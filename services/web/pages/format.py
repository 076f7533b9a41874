"""Numbers, times and ages as people read them."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from babel.dates import format_datetime

from gateway.reading import Value
from services.sizes import in_words
from services.web.i18n import N_, Translations

_NBSP = "\u00a0"
_NO_SPACE = {"%", "°", "‰"}


def number(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    return text.replace("-", "\u2212") if float(text.replace(",", "")) != 0 else f"{0:.{decimals}f}"


def with_unit(text: str, uom: str) -> str:
    if not uom:
        return text
    return f"{text}{'' if uom in _NO_SPACE else _NBSP}{uom}"


def plain(value: Value) -> str:
    """A value nothing is declared about."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def moment(at: datetime, zone: ZoneInfo, locale: str, *, now: datetime, today: str = "%H:%M:%S") -> str:
    """The site's clock; the day is named only when it is not today, the year only when it is not this one."""
    local, here = at.astimezone(zone), now.astimezone(zone)
    if local.date() == here.date():
        return local.strftime(today)
    return _dated(local, here, locale)


def stretch(begin: datetime, end: datetime, zone: ZoneInfo, locale: str, *, now: datetime) -> str:
    """From when to when on the site's clock; both ends name their day unless both are today."""
    here = now.astimezone(zone)
    local = [at.astimezone(zone) for at in (begin, end)]
    today = all(at.date() == here.date() for at in local)
    return " – ".join(at.strftime("%H:%M") if today else _dated(at, here, locale) for at in local)


def _dated(local: datetime, here: datetime, locale: str) -> str:
    if local.year == here.year:
        return str(format_datetime(local, "M月d日 HH:mm" if locale == "zh_CN" else "d MMM HH:mm", locale=locale))
    return str(format_datetime(local, "y年M月d日 HH:mm" if locale == "zh_CN" else "d MMM y HH:mm", locale=locale))


_STEPS = ((60, 1), (3600, 60), (2 * 86400, 3600), (float("inf"), 86400))
_LENGTHS = (N_("%(n)s s"), N_("%(n)s min"), N_("%(n)s h"), N_("%(n)s d"))
_PAST = (N_("%(n)s s ago"), N_("%(n)s min ago"), N_("%(n)s h ago"), N_("%(n)s d ago"))
_FUTURE = (N_("in %(n)s s"), N_("in %(n)s min"), N_("in %(n)s h"), N_("in %(n)s d"))


def age(at: datetime, t: Translations, *, now: datetime) -> str:
    """How long ago, or in how long. The pages' script keeps it up with the same words (`age_words`)."""
    seconds = (now - at).total_seconds()
    if -5 < seconds < 0:
        seconds = 0  # two clocks, or a moment of rounding
    if seconds < 0:
        return _span(-seconds, _FUTURE, t, rounding=0.5)  # what is due in 1:59:37 is due in 2 h
    return _span(seconds, _PAST, t)


def duration(span: timedelta, t: Translations) -> str:
    return _span(span.total_seconds(), _LENGTHS, t)


def age_words(t: Translations) -> dict[str, list[str]]:
    return {"past": [t.gettext(m) for m in _PAST], "future": [t.gettext(m) for m in _FUTURE]}


def _span(seconds: float, words: tuple[str, ...], t: Translations, *, rounding: float = 0.0) -> str:
    step = next(i for i, (below, _) in enumerate(_STEPS) if seconds < below)
    return t.gettext(words[step], n=int(seconds / _STEPS[step][1] + rounding))


def size(count: int) -> str:
    return in_words(count).replace(" ", _NBSP)


def hexdump(payload: bytes, *, limit: int = 512) -> str:
    """Offset, sixteen bytes in hex, and what is printable of them."""
    lines = []
    for offset in range(0, min(len(payload), limit), 16):
        part = payload[offset : offset + 16]
        text = "".join(chr(b) if 32 <= b < 127 else "·" for b in part)
        lines.append(f"{offset:04x}  {part.hex(' '):<47}  {text}")
    return "\n".join(lines)
