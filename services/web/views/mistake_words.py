"""Mistakes of a condition, a threshold or a time, which the checks say in English, in the reader's language.

The checks are shared with the command line and the API, and name what was found and what was expected. Each sentence
they can say is a message here, its parts as places; a part may itself be such a sentence. What is not listed stays as
it is: better English than nothing.
"""

from __future__ import annotations

import re
from functools import cache

from services.web.i18n import N_, Translations

NOTHING_CHANGED = N_("Nothing has been changed.")
_MESSAGES = (
    NOTHING_CHANGED,
    # The sentences.
    N_("column %(column)s: found %(found)s, expected %(expected)s"),
    N_('expected a duration such as "30s", "5m", "1h" or "7d", found %(found)s'),
    N_("expected a duration of at most %(most)s, found %(found)s"),
    N_("found %(found)s, expected %(expected)s"),
    N_("expected a condition: the profile has one here"),
    N_("expected one of %(words)s"),
    N_("it says how messages are decoded or how many parts there are, so it belongs into the site file"),
    N_("no such param; %(profile)s has %(params)s"),
    N_("no such rule"),
    N_("%(n)s backtests of this site are under way; wait for one of them, or cancel it"),
    N_("the end must be after the beginning; found %(start)s to %(end)s"),
    N_("choose the rule that is to be changed"),
    N_("params: expected a line such as `low: 0.3` for each"),
    N_("the telemetry store does not answer; run `courtyard doctor`"),
    N_(
        "it got no further for too long and was ended; does the disk or the database hang? Run `courtyard doctor`, "
        "then ask again"
    ),
    N_("the disk is full; make room, then ask again"),
    N_("its process ended in the middle; was the machine short of memory? Try a shorter time, or fewer devices"),
    N_("a mistake of the program; the log of services says more"),
    # What was found.
    N_("the end"),
    N_("the unknown name %(name)s"),
    N_("the unit %(uom)s"),
    N_("a number in %(uom)s"),
    N_("a number without a unit"),
    N_("a number that cannot be computed"),
    N_("too many levels"),
    N_("too many operators in a row"),
    N_("no name"),
    N_("the state %(name)s"),
    N_("%(n)s characters"),
    N_("%(n)s arguments"),
    N_("more than one argument"),
    N_("%(inner)s within %(outer)s"),
    N_("%(n)s functions that look back"),
    N_("%(n)s functions over members"),
    # What was expected.
    N_("%(expected)s (did you mean %(name)s?)"),
    N_("a metric, state or param"),
    N_("a unit"),
    N_("a name, a number or an operator"),
    N_("a name, a number or '('"),
    N_("an operator or the end"),
    N_("a condition such as a comparison"),
    N_("'and' between two comparisons"),
    N_("numbers on both sides of %(sign)s"),
    N_("%(kind)s as on the left of %(sign)s"),
    N_("a state that shares words with the left"),
    N_("a list such as (charging, full)"),
    N_("one of the functions %(names)s"),
    N_("one of %(words)s"),
    N_("one argument of %(function)s"),
    N_("one in %(uom)s"),
    N_("one without a unit"),
    N_("a share such as 20 %"),
    N_("a finite number"),
    N_("a number of ordinary size"),
    N_("a condition on values"),
    N_("a metric or a state as the argument of %(function)s"),
    N_("a metric as the first argument of %(function)s"),
    N_("at least one metric or state to count by"),
    N_("at least one metric, state or builtin"),
    N_("whose number is meant: %(kinds)s"),
    N_("no count of members here: only a device has children, and a site has devices"),
    N_("a stretch of time such as 10m or 1h"),
    N_("from %(least)s to %(most)s in %(function)s"),
    N_("at most %(most)s nested levels"),
    N_("%(name)s: an event that does not last has no value"),
    N_("a rule with scope: %(scope)s"),
    N_("at least %(least)s and at most %(most)s"),
    N_("at least %(least)s"),
    N_("at most %(most)s"),
    N_("a whole number"),
    N_("a number"),
    N_("a text"),
    N_("text"),
    N_("true or false"),
    N_("a date and a time such as %(example)s"),
    # Where it stands comes first.
    N_("%(where)s: %(what)s"),
)
_CLOSE = re.compile(r"(?<=[\u4e00-\u9fff]) (?=[\u4e00-\u9fff])")
"""A space within Chinese, where one sentence stands in another."""
_PLACE = re.compile(r"%\\\((\w+)\\\)s")


def mistake_said(text: str, t: Translations) -> str:
    """`column 3: found the end, expected a number` in Chinese for who reads Chinese."""
    return text if t.language == "en" else _CLOSE.sub("", _said(text, t))


def _said(text: str, t: Translations) -> str:
    for message, pattern in _patterns():
        found = pattern.fullmatch(text)
        if found is not None:
            return t.gettext(message, **{name: _said(part, t) for name, part in found.groupdict().items()})
    return text


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((message, _pattern(message)) for message in _MESSAGES)


def _pattern(message: str) -> re.Pattern[str]:
    return re.compile(_PLACE.sub(r"(?P<\1>.+?)", re.escape(message)), re.DOTALL)
