"""An alarm of the live engine explains itself: its thresholds and who says them, its gaps, its end; and before it, why
there was none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gateway.telemetry import TelemetryUnavailable
from tests.services.rulebook.kit import Yard, dips
from tests.stories.site import MIDNIGHT


def explained(yard: Yard, alarm: str, who: str = "crew") -> Any:
    answer = yard.api(who).get(f"/api/v1/alarms/{alarm}/explain")
    assert answer.status_code == 200, answer.text
    return answer.json()


def rule_now(yard: Yard, rule: str) -> Any:
    answer = yard.api("crew").get("/api/v1/devices/pumps/rules")
    assert answer.status_code == 200, answer.text
    return next(one for one in answer.json()["rules"] if one["rule"] == rule)


def plain(text: str) -> str:
    return text.replace("\xa0", " ")


def test_a_threshold_of_the_rule_book_is_named_with_its_version_and_its_author(yard: Yard) -> None:
    yard.put({"params": {"pumps": {"low": 0.25}}})
    yard.put({"params": {"pumps": {"low": 0.25}}, "rules": {"pumps": {"wet": {"for": "1m"}}}}, version=1)
    yard.history(dips(MIDNIGHT, [timedelta(minutes=2)], timedelta(minutes=2)))
    site = yard.site
    site.keeps_saying("pumps", pressure=0.2).at("00:02").expect_alarms("low")
    found = explained(yard, site.alarms()[0].id)
    assert plain(found["sentence"]["en"]) == "Pressure was below 0.25 MPa for 1 min: 0.20 MPa at 08:00:50"
    (param,) = found["params"]
    assert (param["name"], param["value"], param["origin"]) == ("low", 0.25, "book")
    # The first version that said so, not the newest.
    assert param["said"]["version"] == 1 and param["said"]["who"] == "token:engineer"
    assert found["changed_by"] is None
    assert [(one["sign"], one["value"], one["params"], one["clears"]) for one in found["thresholds"]] == [
        ("<", 0.25, ["low"], False),
        (">=", 0.3, ["low"], True),
    ]
    assert found["values"] == [
        {"name": "low", "value": 0.25, "at_onset": None},
        {"name": "pressure", "value": 0.2, "at_onset": 0.2},
    ]
    assert found["stood_still_seconds"] == 0
    assert [one["kind"] for one in found["life"]] == ["pending", "active"]
    yard.put({}, version=2)
    (param,) = explained(yard, site.alarms()[0].id)["params"]
    assert (param["value"], param["origin"], param["now"]) == (0.25, "book", 0.3)


def test_a_threshold_of_the_profile_is_named_as_such_and_the_end_has_its_reason(yard: Yard) -> None:
    site = yard.site
    site.keeps_saying("pumps", pressure=0.2).at("00:02").expect_alarms("low")
    id = site.alarms()[0].id
    site.keeps_saying("pumps", pressure=0.5).at("00:04").expect_alarms()
    found = explained(yard, id)
    assert [one["origin"] for one in found["params"]] == ["profile"]
    assert found["decisions"][-1]["kind"] == "cleared"
    assert found["decisions"][-1]["what"]["en"] == "Cleared"
    assert found["life"][-1]["end"] is not None
    assert [one["kind"] for one in found["decisions"]] == ["pending", "raised", "cleared"]
    assert found["decisions"][1]["why"]["zh"] == "条件在整个延时内成立。"


def test_a_delay_that_stood_still_says_for_how_long(yard: Yard) -> None:
    """A part of the delay, minutes in which nothing is known, and the rest of it."""
    yard.put({"rules": {"pumps": {"low": {"for": "5m"}}}})
    site = yard.site
    site.keeps_saying("pumps", pressure=0.2).at("00:02")
    site.falls_silent("pumps").at("00:04:30")
    assert rule_now(yard, "low")["parts"][0]["frozen"]
    site.keeps_saying("pumps", pressure=0.2).at("00:10").expect_alarms("low")
    alarm = site.alarms()[0]
    still = explained(yard, alarm.id)["stood_still_seconds"]
    assert alarm.pending_since is not None
    assert still == (alarm.raised_at - alarm.pending_since).total_seconds() - 300
    assert 60 <= still <= 120


def test_why_there_is_no_alarm(yard: Yard) -> None:
    site = yard.site
    site.keeps_saying("pumps", pressure=0.5).at("00:01")
    low = rule_now(yard, "low")["parts"][0]
    assert low["state"] == "quiet"
    assert low["now"]["parts"] == [{"text": "pressure < low", "holds": False}]
    wet = rule_now(yard, "wet")["parts"][0]
    assert wet["state"] == "unknown"
    assert [(one["name"], one["how"]) for one in wet["now"]["names"]] == [("room", "never_sent")]
    site.keeps_saying("pumps", pressure=0.2).at("00:01:30")
    low = rule_now(yard, "low")["parts"][0]
    assert low["state"] == "pending" and not low["frozen"]
    assert low["until"] > low["now"]["since"]
    site.at("00:03").expect_alarms("low")
    low = rule_now(yard, "low")["parts"][0]
    assert (low["state"], low["now"]["alarm"]) == ("active", site.alarms()[0].id)
    yard.put({"rules": {"pumps": {"low": {"mode": "off"}, "wet": {"mode": "shadow"}}}})
    assert (rule_now(yard, "low")["mode"], rule_now(yard, "low")["version"]) == ("off", 1)
    assert rule_now(yard, "wet")["mode"] == "shadow"


def test_others_see_nothing_of_it(yard: Yard) -> None:
    yard.site.keeps_saying("pumps", pressure=0.2).at("00:02").expect_alarms("low")
    elsewhere = yard.api("elsewhere")
    assert elsewhere.get(f"/api/v1/alarms/{yard.site.alarms()[0].id}/explain").status_code == 404
    assert elsewhere.get("/api/v1/devices/pumps/rules").status_code == 404


def test_a_history_that_does_not_answer_costs_only_the_values_of_the_onset(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(**_asked: Any) -> Any:
        raise TelemetryUnavailable("it is away")

    monkeypatch.setattr(yard.telemetry, "range", away)
    yard.site.keeps_saying("pumps", pressure=0.2).at("00:02").expect_alarms("low")
    found = explained(yard, yard.site.alarms()[0].id)
    assert {one["name"]: one["at_onset"] for one in found["values"]} == {"low": None, "pressure": None}
    assert plain(found["sentence"]["en"]).startswith("Pressure was below 0.30 MPa")
