"""Grades and a schedule as rows of a rule's form, without scripts; what really happened, on the page of a backtest."""

from __future__ import annotations

import html
from datetime import UTC, datetime, timedelta
from typing import Any

from services.web.views.rule_rows import GradeRow, ScheduleRow, folded, grade_rows, schedule_rows
from tests.web.conftest import Courtyard
from tests.web.seed import SITE
from tests.web.test_backtest import until_over

ALONE = "booster_set/pressure_off_setpoint"
RULE = "/rules/booster_set/pressure_low"
ROWS = {
    "version": "0",
    "grades.0.severity": "critical", "grades.0.when": "outlet_pressure < 0.1 MPa", "grades.0.after": "5m",
    "grades.1.severity": "", "grades.1.when": "", "grades.1.after": "",
    "schedule.0.mon": "1", "schedule.0.tue": "1", "schedule.0.from": "8:00", "schedule.0.to": "20:00",
    "schedule.1.sun": "1", "schedule.1.from": "", "schedule.1.to": "",
    "schedule.2.from": "", "schedule.2.to": "",
}  # fmt: skip


def test_rows_are_the_text_that_they_stand_for() -> None:
    assert folded(ROWS) == {
        "version": "0",
        "grades": "critical when outlet_pressure < 0.1 MPa after 5m",
        "schedule": "mon,tue 8:00-20:00; sun 00:00-24:00",
    }
    assert folded({"grades.0.severity": "", "schedule.0.from": ""}) == {"grades": "none", "schedule": "always"}
    assert folded({"for": "5m"}) == {"for": "5m"}, "a form that does not show them says nothing of them"


def test_what_stands_there_is_shown_with_rows_to_spare() -> None:
    values = {"grades": "major after 1h", "schedule": "sat,sun 22:00-06:00"}
    assert grade_rows(values) == [GradeRow("major", "", "1h"), GradeRow(), GradeRow()]
    assert schedule_rows(values) == [ScheduleRow(frozenset({"sat", "sun"}), "22:00", "06:00"), ScheduleRow()]
    again = {**values, "grades.0.severity": "major", "grades.0.when": "x >", "grades.0.after": "soon"}
    assert grade_rows(again)[0] == GradeRow("major", "x >", "soon"), "as it was typed, mistakes and all"


def test_rows_that_were_emptied_stay_empty_when_the_form_comes_back() -> None:
    stands = {"grades": "major after 1h", "schedule": "sat,sun 22:00-06:00"}
    emptied = {"grades.0.severity": "", "grades.0.when": "", "grades.0.after": "", "schedule.0.from": ""}
    assert grade_rows({**stands, **emptied}) == [GradeRow(), GradeRow()]
    assert schedule_rows({**stands, **emptied}) == [ScheduleRow()]


def test_an_address_with_words_that_are_no_grades_shows_none(courtyard: Courtyard) -> None:
    client = courtyard.client("chen.yu")
    page = client.get(f"{RULE}/edit?site={SITE}&typed.version=0&typed.grades=soon&typed.schedule=never")
    assert page.status_code == 200 and "expected a severity with" in page.text


def test_an_engineer_grades_a_rule_on_its_page(courtyard: Courtyard) -> None:
    client = courtyard.client("chen.yu")
    whole = client.get(f"{RULE}/edit?site={SITE}").text
    assert 'name="grades.0.severity"' in whole and 'name="schedule.0.mon"' in whole
    begun = client.post(f"{RULE}/edit?site={SITE}", data={**fields(courtyard), **ROWS})
    assert begun.status_code == 303
    assert begun.headers["location"].startswith("/rules/previews/")
    page = html.unescape(client.get(begun.headers["location"]).text)
    assert "critical when outlet_pressure < 0.1 MPa after 5m" in page
    wrong = {**fields(courtyard), **ROWS, "grades.0.when": "outlet_presure < 1", "schedule.0.to": "25:61"}
    back = client.post(f"{RULE}/edit?site={SITE}", data=wrong)
    page = html.unescape(client.get(back.headers["location"]).text)
    assert 'value="outlet_presure < 1"' in page
    assert 'id="grades-wrong"' in page or 'id="schedule-wrong"' in page


def fields(courtyard: Courtyard) -> dict[str, str]:
    """What the form has besides, as it stands."""
    client = courtyard.client("chen.yu")
    rules: list[dict[str, Any]] = client.get(f"/api/v1/sites/{SITE}/rules").json()["rules"]
    rule = next(one for one in rules if one["id"] == "booster_set/pressure_low")
    return {"when": rule["when"], "severity": rule["severity"], "mode": rule["mode"]}


def test_a_backtest_s_page_says_what_really_happened(courtyard: Courtyard) -> None:
    client = courtyard.client("chen.yu")
    end = datetime.now(UTC)
    asked = {"site": SITE, "from": (end - timedelta(hours=2)).isoformat(), "to": end.isoformat(), "rule": ALONE}
    done = until_over(client, client.post("/api/v1/backtests", json=asked).json()["id"])
    agreement = done["report"]["agreement"]
    assert agreement["compared"] >= len(agreement["unlike"])
    for language, said in (("en", "As it really was"), ("zh", "实际发生的情况")):
        page = client.get(f"/rules/backtest/{done['id']}", headers={"Accept-Language": language}).text
        assert said in page
