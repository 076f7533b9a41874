"""What was decided about an alarm, in words: each decision with its named reason, and links to what it names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from device_profiles.schema import Grade, Severity
from services.clock import from_millis
from services.rulebook.alarm_record import AlarmRecord
from services.rules.explaining import stood_still
from services.rules.store import Decision
from services.web.i18n import N_, Translations
from services.web.pages.words import SEVERITY
from services.web.views.clauses import Clauses, length

RAISED = {
    "condition_held": N_("The condition held for its whole delay."),
    "cause_cleared": N_("Its cause was over, and it was still wrong."),
    "maintenance_over": N_("The maintenance was over, and it was still wrong."),
    "storm": N_("Too many alarms of one rule in a short time: they are told as one."),
    "storm_again": N_("It had cleared a short time ago and began again: the same alarm goes on, with the same ticket."),
}
CLEARED = {
    "rule_off": N_("The rule was switched off."),
    "rule_shadow": N_("The rule is on trial and raises nothing."),
    "rule_gone": N_("The rule is no longer in the profile."),
    "site_rule_gone": N_("The rule is no longer in the site file, or it counts nobody here."),
    "device_gone": N_("The device is no longer in service."),
}
_ICONS = {
    "pending": "clock",
    "suppressed": "clock",
    "raised": "octagon",
    "folded": "diamond",
    "count": "diamond",
    "severity": "triangle",
    "flapping": "triangle",
    "acknowledged": "check",
    "snoozed": "clock",
    "unsnoozed": "bell",
    "step": "user",
    "cause": "circle-alert",
    "cleared": "ok",
}
_TONES = {"raised": "bad", "severity": "major", "flapping": "warn", "step": "warn", "cleared": "ok"}
_RANK = list(Severity)


@dataclass(frozen=True)
class Told:
    """One line of the story of an alarm."""

    at: datetime
    kind: str
    tone: str
    icon: str
    what: str
    why: str = ""
    href: str = ""
    """Of what it names."""
    link: str = ""
    """What that is called."""


When = Callable[[datetime], str]
"""A moment on the clock of the site, in the reader's language."""


def timeline(record: AlarmRecord, names: Mapping[str, str], t: Translations, when: When) -> tuple[Told, ...]:
    """Oldest first. `names`: what logins are called."""
    return tuple(_Teller(record, names, t, when).lines())


class _Teller:
    def __init__(self, record: AlarmRecord, names: Mapping[str, str], t: Translations, when: When) -> None:
        self._record = record
        self._names = names
        self._t = t
        self._when = when

    def lines(self) -> Iterator[Told]:
        alarm = self._record.alarm
        if alarm.pending_since is not None:
            yield self._line(
                alarm.pending_since, "pending", self._t.gettext("The condition began to hold"), self._still()
            )
        kinds = {one.kind for one in self._record.decisions}
        if not kinds & {"raised", "suppressed", "folded"}:  # it is older than the record of decisions
            yield self._line(alarm.raised_at, "raised", self._t.gettext("Alarm raised"))
        if alarm.acknowledged_at is not None and "acknowledged" not in kinds:
            yield self._acknowledged(alarm.acknowledged_at, alarm.acknowledged_by)
        for one in self._record.decisions:
            yield self._told(one)
        if alarm.cleared_at is not None and "cleared" not in kinds:
            yield self._line(alarm.cleared_at, "cleared", self._t.gettext("Cleared"))

    def _line(self, at: datetime, kind: str, what: str, why: str = "", href: str = "", link: str = "") -> Told:
        return Told(at, kind, _TONES.get(kind, "idle"), _ICONS.get(kind, "circle"), what, why, href, link)

    def _still(self) -> str:
        still = stood_still(self._record.alarm, self._record.decisions)
        if not still:
            return ""
        time = length(round(still.total_seconds()), self._t)
        return self._t.gettext(
            "Its delay stood still for %(time)s: data were missing or could not be trusted.", time=time
        )

    def _told(self, one: Decision) -> Told:
        tell = _TELLERS.get(one.kind)
        return self._line(one.at, one.kind, one.kind) if tell is None else tell(self, one)

    # --- it begins ----------------------------------------------------------------------------------------------

    def raised(self, one: Decision) -> Told:
        why = str(one.data.get("why", ""))
        return self._line(
            one.at, "raised", self._t.gettext("Alarm raised"), self._t.gettext(RAISED[why]) if why in RAISED else why
        )

    def suppressed(self, one: Decision) -> Told:
        id = str(one.data.get("id", ""))
        if one.data.get("by") == "maintenance":
            title = self._record.windows.get(id, id)
            what = self._t.gettext("Suppressed: people are at work here")
            return self._line(one.at, "suppressed", what, href="/maintenance", link=title)
        return self._line(
            one.at, "suppressed", self._t.gettext("Suppressed: its cause is told instead"), **self._alarm(id)
        )

    def folded(self, one: Decision) -> Told:
        return self._line(
            one.at,
            "folded",
            self._t.gettext("Folded under a storm of alarms"),
            self._t.gettext("It is told with the others, without a ticket and notices of its own."),
            **self._alarm(str(one.data.get("parent", ""))),
        )

    def count(self, one: Decision) -> Told:
        return self._line(
            one.at, "count", self._t.gettext("The storm has grown to %(n)s alarms", n=one.data.get("count", ""))
        )

    def cause(self, one: Decision) -> Told:
        what = self._t.gettext("Its cause was raised after it")
        return self._line(one.at, "cause", what, **self._alarm(str(one.data.get("alarm", ""))))

    def _alarm(self, id: str) -> dict[str, str]:
        found = self._record.others.get(id)
        if found is None:
            return {"link": id}
        name = f"{found.rule_name.in_(self._t.language)} · {found.device_name.in_(self._t.language)}"
        return {"href": f"/alarms/{found.id}", "link": name}

    # --- it changes ---------------------------------------------------------------------------------------------

    def severity(self, one: Decision) -> Told:
        before, after = str(one.data.get("from", "")), str(one.data.get("to", ""))
        worse = (
            before in SEVERITY and after in SEVERITY and _RANK.index(Severity(after)) < _RANK.index(Severity(before))
        )
        message = (
            N_("More severe: %(after)s instead of %(before)s")
            if worse
            else N_("Less severe: %(after)s instead of %(before)s")
        )
        words = {
            name: self._t.gettext(SEVERITY[key].word) if key in SEVERITY else key
            for name, key in (("before", before), ("after", after))
        }
        return self._line(one.at, "severity", self._t.gettext(message, **words), self._grade(after))

    def _grade(self, severity: str) -> str:
        """Why this severity fits: the grade of the rule that says so."""
        rule = self._record.rule
        if rule is None or not rule.grades:
            return ""
        grade = next((one for one in rule.grades if one.severity.value == severity), None)
        if grade is None:
            return self._t.gettext("No grade of the rule fits any more.") if rule.severity.value == severity else ""
        return self._fits(grade)

    def _fits(self, grade: Grade) -> str:
        profile, rule = self._record.profile, self._record.rule
        parts = []
        if grade.when is not None and profile is not None and rule is not None:
            values: Mapping[str, Any] = {one.name: one.value for one in self._record.params}
            parts.append(Clauses(profile, rule.scope, values, self._t).sentence(grade.when, timedelta(0)) or grade.when)
        if grade.after is not None:
            time = length(grade.after.total_seconds(), self._t)
            parts.append(self._t.gettext("It had been active for %(time)s", time=time))
        return self._t.gettext(", ").join(parts)

    def flapping(self, one: Decision) -> Told:
        time = length(float(one.data.get("within_seconds") or 0), self._t)
        what = self._t.gettext("Flapping: it began %(n)s times within %(time)s", n=one.data.get("times", ""), time=time)
        why = self._t.gettext("From now on it is one alarm, and clears after that much calm.")
        return self._line(one.at, "flapping", what, why)

    # --- people -------------------------------------------------------------------------------------------------

    def _who(self, login: str | None) -> str:
        return self._names.get(login, login) if login else self._t.gettext("Courtyard")

    def _acknowledged(self, at: datetime, by: str | None) -> Told:
        return self._line(at, "acknowledged", self._t.gettext("%(who)s has seen it", who=self._who(by)))

    def acknowledged(self, one: Decision) -> Told:
        return self._acknowledged(one.at, one.who)

    def snoozed(self, one: Decision) -> Told:
        until = self._when(datetime.fromisoformat(str(one.data["until"]))) if one.data.get("until") else ""
        what = self._t.gettext("%(who)s snoozed it until %(until)s", who=self._who(one.who), until=until)
        return self._line(one.at, "snoozed", what)

    def unsnoozed(self, one: Decision) -> Told:
        why = (
            self._t.gettext("It has grown more severe since it was snoozed.") if one.data.get("why") == "worse" else ""
        )
        return self._line(one.at, "unsnoozed", self._t.gettext("%(who)s woke it", who=self._who(one.who)), why)

    def step(self, one: Decision) -> Told:
        step, told = one.data.get("step", ""), int(one.data.get("told") or 0)
        waited = length(float(one.data.get("waited_seconds") or 0), self._t)
        why = self._t.gettext("Nobody acknowledged it within %(time)s.", time=waited)
        if not told:
            what = self._t.gettext("Nobody stands on step %(step)s who wants alarms like this one.", step=step)
            return self._line(one.at, "step", what, why)
        what = self._t.ngettext(
            "Gone up to step %(step)s: %(n)s notice", "Gone up to step %(step)s: %(n)s notices", told, step=step
        )
        return self._line(one.at, "step", what, why)

    # --- it ends ------------------------------------------------------------------------------------------------

    def cleared(self, one: Decision) -> Told:
        reason = str(one.data.get("reason") or "")
        if reason in CLEARED:
            why = self._t.gettext(CLEARED[reason])
            if one.data.get("version"):
                why += " " + self._t.gettext("Rule book, version %(n)s", n=one.data["version"])
            return self._line(one.at, "cleared", self._t.gettext("Ended"), why)
        if one.data.get("why"):
            return self._line(
                one.at, "cleared", self._t.gettext("Cleared"), self._t.gettext("The last alarm under it has cleared.")
            )
        since = _moment(one.data.get("since"))
        why = self._t.gettext("It was over since %(at)s.", at=self._when(since)) if since is not None else ""
        return self._line(one.at, "cleared", self._t.gettext("Cleared"), why)


_TELLERS: Mapping[str, Callable[[_Teller, Decision], Told]] = {
    "raised": _Teller.raised,
    "suppressed": _Teller.suppressed,
    "folded": _Teller.folded,
    "count": _Teller.count,
    "cause": _Teller.cause,
    "severity": _Teller.severity,
    "flapping": _Teller.flapping,
    "acknowledged": _Teller.acknowledged,
    "snoozed": _Teller.snoozed,
    "unsnoozed": _Teller.unsnoozed,
    "step": _Teller.step,
    "cleared": _Teller.cleared,
}


def _moment(raw: object) -> datetime | None:
    if isinstance(raw, int | float):
        return from_millis(int(raw))
    return datetime.fromisoformat(raw) if isinstance(raw, str) and raw else None
