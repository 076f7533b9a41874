"""What a preview of changed rules counts, old and new."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from services.rulebook.previews import Preview
from services.web.i18n import Language, Translations
from services.web.pages import format as fmt


@dataclass(frozen=True)
class Compared:
    """One line of a backtest: the old rules' count and the new ones'."""

    what: str
    old: str
    new: str


def compared(done: Preview, t: Translations) -> list[Compared]:
    report = done.report
    assert report is not None
    old, new = report.old, report.new
    lines = [
        (t.gettext("Alarms"), str(old.alarms), str(new.alarms)),
        (t.gettext("Tickets"), str(old.tickets), str(new.tickets)),
        (t.gettext("Notices"), str(old.notices), str(new.notices)),
        (t.gettext("Flapping"), str(old.flaps), str(new.flaps)),
        (t.gettext("Time in alarm"), *(_span(one.active_seconds, t) for one in (old, new))),
    ]
    return [Compared(*line) for line in lines]


def _span(seconds: float, t: Translations) -> str:
    return fmt.duration(timedelta(seconds=round(seconds)), t)


def compared_rules(done: Preview, language: Language) -> list[Compared]:
    """Alarms of each rule that fares otherwise."""
    report = done.report
    assert report is not None
    return [
        Compared(one.name.in_(language), str(one.old.alarms), str(one.new.alarms))
        for one in report.rules
        if one.changed or one.old != one.new
    ]
