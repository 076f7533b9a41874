"""Backtests on their page and over the API: asked for, followed, shown with curves, cancelled, refused in words."""

from __future__ import annotations

import html
import json
import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, expect

from services.backtest.bounds import USUAL, bounded
from services.backtest.jobs import Backtest, Jobs
from services.backtest.report import Report
from services.web.app import create_app
from tests.services.backtest.large import large
from tests.web.conftest import Courtyard, serving
from tests.web.seed import SITE
from tests.web.test_browser import DESKTOP, PATIENCE_MS, PHONE, browsing, chromium, too_wide, violations  # noqa: F401

RULE = "booster_set/pressure_off_setpoint"
NARROW = {"when": "abs(outlet_pressure - setpoint) > 0.001 MPa", "for": "0s", "clear_for": "1m"}
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def until_over(client: TestClient, id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 300  # it is a process of its own, with all its imports
    while time.monotonic() < deadline:
        found: dict[str, Any] = client.get(f"/api/v1/backtests/{id}").json()
        if found["state"] in ("done", "failed", "cancelled"):
            return found
        time.sleep(0.05)
    raise AssertionError("the backtest does not end")


def asked(change: dict[str, Any]) -> dict[str, Any]:
    end = datetime.now(UTC)
    return {
        "site": SITE,
        "from": (end - timedelta(days=1)).isoformat(),
        "to": end.isoformat(),
        "rule": RULE,
        "change": {"rules": {"booster_set": {"pressure_off_setpoint": change}}},
    }


def test_the_api_runs_one(courtyard: Courtyard) -> None:
    client = courtyard.client("chen.yu")
    answer = client.post("/api/v1/backtests", json=asked(NARROW))
    assert answer.status_code == 202, answer.text
    done = until_over(client, answer.json()["id"])
    assert (done["state"], done["progress"], done["error"]) == ("done", 1, "")
    report = done["report"]
    assert report["readings"] > 0
    assert report["new"]["alarms"] > report["old"]["alarms"]
    assert {one["kind"] for one in report["differences"]} <= {"only_new", "moved", "changed"}
    assert [rule["rule"] for rule in report["rules"] if rule["changed"]] == ["pressure_off_setpoint"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"change": {"rules": {"booster_set": {"pressure_off_setpoint": {"when": "presure > 1"}}}}}, "did you mean"),
        ({"change": {"rules": {"booster_set": {"no_such": {"for": "1m"}}}}}, "no such rule"),
        ({"rule": "pressure_low"}, "expected PROFILE/RULE"),
        ({"to": "2020-01-01T00:00:00Z"}, "expected an end after the beginning"),
    ],
)
def test_what_is_wrong_is_said(standing: Courtyard, wrong: dict[str, Any], said: str) -> None:
    answer = standing.client("chen.yu").post("/api/v1/backtests", json=asked({}) | wrong)
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["detail"]


def test_the_page_of_an_alarm_leads_to_its_rule_on_its_stretch(courtyard: Courtyard) -> None:
    client = courtyard.client("chen.yu")
    link = re.search(r'href="(/rules/backtest\?[^"]+)"', client.get("/alarms/a-hot").text)
    assert link is not None
    form = client.get(html.unescape(link[1])).text
    begin, end = (re.search(rf'id="{name}"[^>]* value="([^"]+)"', form) for name in ("from", "to"))
    assert begin is not None and end is not None
    assert 'value="ebike_charger_json/port_hot" selected' in form
    asked = {"site": SITE, "rule": "ebike_charger_json/port_hot", "from": begin[1], "to": end[1]}
    answer = client.post("/rules/backtest", data=asked, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    done = until_over(client, answer.headers["location"].rpartition("/")[2])
    start = datetime.fromisoformat(begin[1]).replace(tzinfo=ZoneInfo("Asia/Shanghai"))
    assert (done["state"], datetime.fromisoformat(done["start"])) == ("done", start)
    wrong = client.post("/rules/backtest", data={**asked, "from": "soon"}, follow_redirects=True)
    assert "expected a date and a time such as" in wrong.text


def test_crews_and_strangers_ask_for_none(standing: Courtyard) -> None:
    assert standing.client("li.wei").post("/api/v1/backtests", json=asked({})).status_code == 403
    assert standing.client("li.wei").get("/rules/backtest").status_code == 403
    assert standing.client("chen.yu").get("/api/v1/backtests/nosuch").status_code == 404


def test_a_mistake_on_the_form_stays_beside_what_was_typed(standing: Courtyard) -> None:
    client = standing.client("chen.yu")
    client.follow_redirects = True  # to an address of its own: an answer to a POST cannot be gone back to
    page = client.post("/rules/backtest", data={"site": SITE, "rule": RULE, "when": "presure > 1", "span": "24h"})
    assert (page.request.method, page.status_code) == ("GET", 200)
    assert "did you mean" in page.text
    assert "presure &gt; 1" in page.text
    assert '<option value="24h" selected>' in page.text
    chinese = standing.client("chen.yu", "zh").get(f"{page.url.path}?{page.url.query.decode()}").text
    assert "第 1 个字符：这里是未知名称" in html.unescape(chinese)
    yaml = "rules:\n  booster_set:\n    pressure_low:\n      sevrity: major\n"
    page = client.post("/rules/backtest", data={"site": SITE, "change": yaml, "span": "24h"})
    assert "change:4:" in page.text
    page = client.post("/rules/backtest", data={"site": SITE, "for": "5m"})
    assert "choose the rule" in page.text
    page = client.post("/rules/backtest", data={"site": SITE, "change": "x" * 7000})
    assert (page.request.method, page.status_code) == ("POST", 422), "too long for an address"


@pytest.mark.parametrize(
    ("typed", "fields"),
    [
        ({"when": "presure > 1", "clear_when": "outlet_pressure >=", "for": "soon"}, ["when", "for", "clear_when"]),
        ({"clear_for": "x", "params": "loss_margin: 7"}, ["clear_for", "params"]),
        ({"params": "["}, ["params"]),
        ({"rule": "", "for": "5m"}, ["rule"]),
        ({"from": "yesterday"}, ["from"]),
        ({"rule": "", "change": "rules: {booster_set: {pressure_low: {sevrity: major}}}"}, ["change"]),
    ],
)
def test_every_mistake_stands_beside_its_field(standing: Courtyard, typed: dict[str, str], fields: list[str]) -> None:
    client = standing.client("chen.yu")
    client.follow_redirects = True
    page = client.post(
        "/rules/backtest", data={"site": SITE, "rule": "booster_set/pressure_low", "span": "24h", **typed}
    )
    assert re.findall(r'<p class="field-mistake" id="([a-z_]+)-wrong">', page.text) == fields
    for field in fields:
        pattern = rf'<\w+ [^>]*id="{field}" name="{field}"[^>]*aria-invalid="true" aria-describedby="{field}-wrong"'
        assert re.search(pattern, page.text), field
    assert f"{len(fields)} field" in page.text


@pytest.mark.browser
@pytest.mark.parametrize(("language", "shape"), [("en-GB", DESKTOP), ("zh-CN", PHONE)])
def test_people_try_a_change_and_see_what_differs(
    chromium: Browser,  # noqa: F811
    courtyard: Courtyard,
    language: str,
    shape: dict[str, Any],
) -> None:
    with (
        serving(courtyard) as server,
        browsing(chromium, server.url, courtyard, "chen.yu", locale=language, viewport=shape) as page,
    ):
        page.goto(f"/rules/backtest?site={SITE}&rule={RULE}")
        assert too_wide(page) == []
        assert violations(page, "light") == []
        page.fill("#when", NARROW["when"])
        page.fill("#for", "0s")
        page.select_option("#span", "24h")
        page.click("form.rule-form button.primary")
        expect(page.locator("table.compared").first).to_be_visible(timeout=5 * PATIENCE_MS)
        figure = page.locator("figure[data-spans]").first
        expect(figure).to_have_attribute("data-drawn", "yes")
        assert re.search(r'"new"', figure.get_attribute("data-spans") or "")
        assert too_wide(page) == []
        assert violations(page, "light") == []
        assert violations(page, "dark") == []


@pytest.mark.browser
def test_the_state_beside_the_title_follows_what_runs(chromium: Browser, standing: Courtyard) -> None:  # noqa: F811
    """Each of two backtests lasts until it is told to end; the page that waits for its turn is never loaded again."""
    told = [Event(), Event()]
    turns = iter(told)

    def lasting(*_: object) -> Report:
        assert next(turns).wait(300)
        return bounded(large(devices=1, episodes_each=0, site=SITE), USUAL)

    jobs = Jobs(lasting)
    recipe: Any = None
    for id in ("first", "second"):
        jobs.start(
            Backtest(id=id, site=SITE, start=NOW, end=NOW, by="chen.yu", asked_at=NOW, rule="", change=""), recipe
        )
    many = replace(standing, app=create_app(replace(standing.context, jobs=jobs)))
    with (
        serving(many) as server,
        browsing(chromium, server.url, many, "chen.yu", locale="en-GB", viewport=DESKTOP) as page,
    ):
        try:
            page.goto("/rules/backtest/second")
            expect(page.locator("#state")).to_have_text("Waits for its turn")
            told[0].set()
            expect(page.locator("#state")).to_have_text("Runs")
            told[1].set()
            expect(page.locator("#state")).to_have_text("Done")
        finally:
            for one in told:
                one.set()
            jobs.close()


def test_a_result_of_thousands_of_episodes_is_a_small_page_that_says_what_it_leaves_out(standing: Courtyard) -> None:
    whole = large(devices=500, episodes_each=20, site=SITE)
    kept = bounded(whole, USUAL)
    jobs = Jobs(lambda *_: kept)
    asked = Backtest(
        id="large", site=SITE, start=NOW, end=NOW + timedelta(days=30), by="chen.yu", asked_at=NOW, rule="", change=""
    )
    recipe: Any = None  # this runner has its result
    jobs.start(asked, recipe)
    many = replace(standing, app=create_app(replace(standing.context, jobs=jobs)))
    done = until_over(many.client("chen.yu"), "large")
    assert done["report"]["new"]["alarms"] == 10_000, "the sum holds all of them"
    assert (len(done["report"]["differences"]), done["report"]["more_differences"]) == (2000, 8000)
    assert len(json.dumps(done)) < 3_000_000
    english, chinese = (many.client("chen.yu", language).get("/rules/backtest/large").text for language in ("en", "zh"))
    assert max(len(english), len(chinese)) < 300_000
    shown = english.count("<td>") - english.count("<td>–</td>")
    assert 0 < shown < 3000
    assert re.search(r"\d+ of 10,000 episodes that differ are shown", english)
    assert "courtyard backtest --json" in english
    assert "共 10,000 次告警有差别" in chinese
    assert "480 more devices differ" in english
