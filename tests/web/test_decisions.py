"""Decisions about alarms in words: each with its reason, in both languages."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from device_profiles.schema import DeviceProfile, Text
from services.rulebook.alarm_record import AlarmRecord
from services.rules.store import Alarm, Decision
from services.web import i18n
from services.web.i18n import Language
from services.web.views.decisions import CLEARED, RAISED, Told, timeline

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LANGUAGES = i18n.load()
_WORDS = {"zh": "液位", "en": "Level"}
TANK = DeviceProfile.model_validate(
    {
        "profile": "graded_tank",
        "family": "water_tank",
        "name": {"zh": "水箱", "en": "Tank"},
        "availability": {"period": "30s"},
        "bindings": [],
        "metrics": {"level": {"name": _WORDS, "uom": "%"}},
        "rules": [
            {
                "id": "low",
                "name": {"zh": "低", "en": "Low"},
                "when": "level < 30 %",
                "severity": "minor",
                "grades": [{"severity": "critical", "when": "level < 5 %"}, {"severity": "major", "after": "1h"}],
                "source": {"kind": "judgement"},
            }
        ],
    }
)
ALARM = Alarm(
    id="a", site="yard", device="tank", device_name=Text(zh="水箱", en="Tank"), building=None, child="", rule="low",
    rule_name=Text(zh="低", en="Low"), profile="graded_tank", severity="minor", state="active", reason={},
    pending_since=None, raised_at=NOON, cleared_at=None, acknowledged_at=None, acknowledged_by=None, ticket=None,
    ticket_number=None,
)  # fmt: skip
RECORD = AlarmRecord(
    alarm=ALARM, profile=TANK, rule=TANK.rules[0], decisions=(), others={}, windows={}, members=(), names={},
    member_profile=None, folded=(), folded_count=0, params=(), changed_by=None, outages=(), commands=(), corrections=(),
)  # fmt: skip


def told(kind: str, *, who: str | None = None, language: Language = "en", **data: Any) -> Told:
    one = Decision(at=NOON + timedelta(minutes=1), kind=kind, data=data, who=who)
    record = replace(RECORD, decisions=(Decision(at=NOON, kind="raised", data={}, who=None), one))
    return timeline(record, {"li.wei": "Li Wei"}, LANGUAGES[language], lambda at: f"{at:%H:%M}")[-1]


@pytest.mark.parametrize(
    ("before", "after", "what", "why"),
    [
        ("minor", "critical", "More severe: Critical instead of Minor", "Level was below 5.00%"),
        ("minor", "major", "More severe: Major instead of Minor", "It had been active for 1 h"),
        ("critical", "major", "Less severe: Major instead of Critical", "It had been active for 1 h"),
        ("critical", "minor", "Less severe: Minor instead of Critical", "No grade of the rule fits any more."),
    ],
)
def test_a_change_of_severity_says_which_grade_fits(before: str, after: str, what: str, why: str) -> None:
    change: dict[str, Any] = {"from": before, "to": after}
    found = told("severity", **change)
    assert (found.what, found.why) == (what, why)


@pytest.mark.parametrize("reason", CLEARED)
def test_an_alarm_that_ended_with_its_rule_says_so(reason: str) -> None:
    found = told("cleared", reason=reason, version=7, why="…", values={})
    assert found.what == "Ended"
    assert found.why == f"{CLEARED[reason]} Rule book, version 7"


@pytest.mark.parametrize("why", RAISED)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_why_it_was_raised_then(why: str, language: Language) -> None:
    assert told("raised", why=why, language=language).why == LANGUAGES[language].gettext(RAISED[why])


def test_a_step_on_which_nobody_stands_is_said() -> None:
    found = told("step", step=2, told=0, reason="nobody_there", waited_seconds=900)
    assert found.what == "Nobody stands on step 2 who wants alarms like this one."
    assert found.why == "Nobody acknowledged it within 15 min."
    assert told("step", step=1, told=1, waited_seconds=900).what == "Gone up to step 1: 1 notice"


def test_people_are_named() -> None:
    assert told("acknowledged", who="li.wei").what == "Li Wei has seen it"
    assert told("snoozed", who="li.wei", until=NOON.isoformat()).what == "Li Wei snoozed it until 12:00"
    assert told("unsnoozed", who="gone.person").what == "gone.person woke it"


def test_what_a_later_version_decides_is_not_hidden() -> None:
    assert told("something_new").what == "something_new"


def test_a_cause_that_is_elsewhere_is_named_without_a_link() -> None:
    found = told("suppressed", by="cause", id="of-another-site")
    assert (found.href, found.link) == ("", "of-another-site")
    cause = replace(ALARM, id="c", rule_name=Text(zh="失联", en="Offline"))
    decided = Decision(at=NOON, kind="suppressed", data={"by": "cause", "id": "c"}, who=None)
    record = replace(RECORD, others={"c": cause}, decisions=(decided,))
    (line,) = timeline(record, {}, LANGUAGES["en"], str)
    assert (line.href, line.link) == ("/alarms/c", "Offline · Tank")
