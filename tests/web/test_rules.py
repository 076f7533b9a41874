"""The rules on the pages: looked at by everybody, changed by engineers, on a phone, in both languages."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, expect

from services.accounts import desk
from services.accounts.policy import Grant, Role
from services.rulebook.desk import RuleBookDesk, Shipping
from services.rulebook.looking import active_now
from services.rulebook.rules import rules_of
from services.rules.book import RuleBook
from services.web import i18n
from services.web.views import rules as rules_view
from tests.web.conftest import Courtyard, serving
from tests.web.seed import PASSWORD, SITE
from tests.web.test_browser import PATIENCE_MS, PHONE, browsing, chromium, too_wide, violations

__all__ = ["chromium"]
RULE = "/rules/booster_set/pressure_low"


@pytest.fixture
def yard(courtyard: Courtyard) -> Iterator[Courtyard]:
    for login, role, site in (("wu.min", Role.ENGINEER, SITE), ("north", Role.ENGINEER, "north-gate")):
        person = desk.add_person(
            courtyard.context.database,
            login=login,
            password=PASSWORD,
            grants=[Grant(site, role)],
            now=datetime.now(UTC),
            who=None,
        )
        courtyard.people[login] = person.id
    yield courtyard


def ship(courtyard: Courtyard, book: dict[str, Any], version: int) -> None:
    """Somebody else does it."""
    context = courtyard.context
    RuleBookDesk(database=context.database, library=context.library, intake=context.intake).ship(
        None,
        SITE,
        Shipping(began_with=version, book=RuleBook.model_validate(book), note="quicker", without_preview="a test"),
        by="chen.yu",
        now=datetime.now(UTC),
    )


def test_a_crew_looks_and_does_not_change_and_others_see_nothing(yard: Courtyard) -> None:
    crew, engineer, north = (yard.client(login) for login in ("li.wei", "wu.min", "north"))
    page = crew.get(f"{RULE}?site={SITE}&device=pumps-1")
    assert page.status_code == 200
    assert "Outlet pressure &lt; Pressure setpoint" in page.text
    assert "Change it" not in page.text
    assert crew.get(f"{RULE}/edit?site={SITE}").status_code == 403
    assert engineer.get(f"{RULE}/edit?site={SITE}").status_code == 200
    for path in ("/rules", RULE, f"{RULE}/edit", "/rules/versions", "/rules/versions/0"):
        assert north.get(f"{path}?site={SITE}").status_code == 404, path
    ship(yard, {"rules": {"booster_set": {"pressure_low": {"for": "5m"}}}}, 0)
    assert north.post(f"/rules/versions/0/rollback?site={SITE}", data={"began_with": 1}).status_code == 404
    assert crew.post(f"/rules/versions/0/rollback?site={SITE}", data={"began_with": 1}).status_code == 403
    assert crew.get(f"{RULE}?site={SITE}&device=gate-1").status_code == 404, "not a device of this profile"


def refused(client: TestClient, typed: dict[str, str]) -> str:
    """The form again, at an address of its own."""
    answer = client.post(f"{RULE}/edit?site={SITE}", data=typed)
    assert answer.status_code == 303, answer.text
    page = client.get(answer.headers["location"])
    assert page.status_code == 200
    return html.unescape(page.text)


def test_all_mistakes_stand_at_their_fields_and_what_was_typed_stays(yard: Courtyard) -> None:
    engineer = yard.client("wu.min")
    typed = {
        "version": "0",
        "for": "soon",
        "when": "outlet_presure < 3 MPa",
        "clear_when": "outlet_pressure >=",
        "param.loss_margin": "7",
        "severity": "critical",
    }
    said = refused(engineer, typed)
    for text in (
        "expected a duration",
        "did you mean outlet_pressure",
        "found the end, expected a name, a number",
        "at most 0.5 MPa",
        "4 fields are to be mended",
        'value="soon"',
        "outlet_presure < 3 MPa</textarea>",
        'aria-describedby="for-wrong"',
    ):
        assert text in said, text
    assert "Nothing has been changed." in refused(engineer, {"version": "0"})


def test_who_it_is_changed_for_may_be_chosen_last_and_nothing_typed_is_lost(yard: Courtyard) -> None:
    engineer = yard.client("wu.min")
    own = {"devices": {"pumps-1": {"rules": {"pressure_low": {"clear_for": "7m"}}}}}
    ship(yard, own, 0)
    form = engineer.get(f"{RULE}/edit?site={SITE}").text
    assert 'name="change_for" form="change"' in form and 'form="change" name="act" value="show"' in form
    typed = {"version": "1", "for": "123s", "grades.0.severity": "critical", "grades.0.after": "30m"}
    answer = engineer.post(
        f"{RULE}/edit?site={SITE}", data={**typed, "clear_for": "2m", "act": "show", "change_for": "pumps-1"}
    )
    assert answer.status_code == 303
    page = html.unescape(engineer.get(answer.headers["location"]).text)
    assert '<option value="pumps-1" selected>' in page
    assert 'name="for" maxlength="20" class="mono" value="123s"' in page
    assert 'value="30m"' in page, "grades go along"
    back = engineer.post(
        f"{RULE}/edit?site={SITE}&device=pumps-1",
        data={"version": "1", "clear_for": "7m", "act": "show", "change_for": ""},
    )
    assert back.headers["location"].endswith(f"/edit?site={SITE}"), "nothing was changed, so nothing goes along"
    again = engineer.get(back.headers["location"]).text
    assert 'name="clear_for"' in again and 'value="7m"' not in again
    nobody = {"version": "1", "for": "123s", "act": "show", "change_for": "no-such-device"}
    assert engineer.post(f"{RULE}/edit?site={SITE}", data=nobody).status_code == 404


def test_mistakes_are_said_in_the_reader_s_language(yard: Courtyard) -> None:
    typed = {"version": "0", "for": "soon", "when": "outlet_presure < 3 MPa", "param.loss_margin": "7"}
    said = refused(yard.client("wu.min", "zh"), typed)
    for text in (
        "应为时长，例如 30s、5m、1h 或 7d，这里是 'soon'",
        "第 1 个字符：这里是未知名称 'outlet_presure'，应为：指标、状态或阈值的名称（是不是 outlet_pressure？）",
        "应为：至少 0.02，至多 0.5 MPa",
        "有 3 处要改",
    ):
        assert text in said, text
    assert "expected" not in said


def test_what_cannot_stand_in_an_address_is_said_all_the_same(yard: Courtyard) -> None:
    typed = {"version": "0", "when": "outlet_pressure < 过" + "高" * 990}
    answer = yard.client("wu.min").post(f"{RULE}/edit?site={SITE}", data=typed)
    assert answer.status_code == 422
    assert 'id="when-wrong"' in answer.text


def test_what_somebody_shipped_meanwhile_is_said_and_nothing_is_lost(yard: Courtyard) -> None:
    engineer = yard.client("wu.min")
    ship(yard, {"rules": {"booster_set": {"pressure_low": {"severity": "major"}}}}, 0)
    said = refused(engineer, {"version": "0", "for": "7m"})
    assert "has shipped version 1 meanwhile" in said
    assert 'value="7m"' in said
    assert "Critical (as the profile or the site file says) → Major" in said
    assert 'name="version" value="1"' in said


def test_a_version_says_the_old_value_and_the_new_one(yard: Courtyard) -> None:
    ship(
        yard,
        {
            "rules": {"booster_set": {"pressure_low": {"for": "150s", "mode": "shadow"}}},
            "params": {"booster_set": {"loss_margin": 0.12}},
            "devices": {"pumps-1": {"rules": {"pressure_low": {"for": "4m"}}}},
        },
        0,
    )
    said = html.unescape(yard.client("li.wei").get(f"/rules/versions/1?site={SITE}").text)
    for text in (
        "Must hold for: 1 min (as the profile or the site file says) → 150 s",
        "Mode: In force (as the profile or the site file says) → On trial",
        "0.1\u00a0MPa (as the profile or the site file says) → 0.12\u00a0MPa",
        "Must hold for: 1 min (as for the whole site) → 4 min",
    ):
        assert text in said, text


def test_rolling_back_what_somebody_has_changed_meanwhile_is_refused_at_an_address(yard: Courtyard) -> None:
    ship(yard, {"rules": {"booster_set": {"pressure_low": {"for": "5m"}}}}, 0)
    ship(yard, {"rules": {"booster_set": {"pressure_low": {"for": "6m"}}}}, 1)
    engineer = yard.client("wu.min")
    answer = engineer.post(f"/rules/versions/0/rollback?site={SITE}", data={"began_with": 1})
    assert answer.status_code == 303
    assert "Somebody has shipped version 2 meanwhile" in engineer.get(answer.headers["location"]).text
    answer = engineer.post(f"/rules/versions/1/rollback?site={SITE}", data={"began_with": 2})
    page = engineer.get(answer.headers["location"]).text
    assert "Version 3 is in force: it says what version 1 said." in page
    assert f"/rules/versions/2?site={SITE}&amp;against=3#back" in page


def test_rules_are_searched_and_sorted_out(yard: Courtyard) -> None:
    crew = yard.client("li.wei")

    def names(**query: str) -> list[str]:
        page = crew.get("/rules", params={"site": SITE, **query})
        assert page.status_code == 200
        return re.findall(r'class="what" href="/rules/([\w/]+)', page.text)

    every = names()
    low = names(q="booster_set LOW")
    assert {one for one in every if one.startswith("booster_set/") and "low" in one} <= set(low) < set(every)
    assert all(one.startswith("booster_set/") for one in low)
    assert "booster_set/pressure_low" in names(q="出水")
    assert names(q="no such thing") == []
    assert "No rule has these words" in crew.get(f"/rules?site={SITE}&q=no+such+thing").text
    assert names(show="changed") == []
    ship(yard, {"rules": {"booster_set": {"pressure_low": {"mode": "shadow"}}}}, 0)
    assert names(show="changed") == names(show="shadow") == ["booster_set/pressure_low"]
    with yard.context.database.read() as connection:
        active = active_now(connection, SITE)
    assert active
    assert sorted(names(show="active")) == sorted(one for one in every if one in active)
    assert f"1 of {len(every)} rules" in crew.get(f"/rules?site={SITE}&show=shadow").text


@pytest.mark.browser
@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
def test_an_engineer_changes_a_rule_on_a_phone(chromium: Browser, yard: Courtyard, language: str) -> None:
    """Look, change, see what it would have done, ship it, look at what changed, go back."""
    english = language == "en-GB"
    with (
        serving(yard) as server,
        browsing(chromium, server.url, yard, "wu.min", viewport=PHONE, locale=language) as page,
    ):
        wrong: list[str] = []

        def look() -> None:
            wrong.extend(violations(page, "light"))
            wrong.extend(too_wide(page))

        if english:  # the same pages in other words: looking at each once is enough
            page.goto(f"/rules?site={SITE}&problems=true")
            look()
            page.goto(f"{RULE}?site={SITE}&device=pumps-1")
            look()
        page.goto(f"{RULE}/edit?site={SITE}")
        look()
        if english:
            assert not wrong, wrong
            return
        page.fill("#for", "soon")
        page.locator("form.rule-form button").click()
        expect(page.locator(".field-mistake")).to_have_count(1)
        look()
        page.locator("summary", has_text="名称").click()
        look()
        page.goto(f"/rules?site={SITE}")
        page.go_back()  # a page that answered a POST could not be shown again
        expect(page.locator("#for")).to_have_value("soon")
        page.fill("#for", "10m")
        page.fill('[id="param.loss_margin"]', "0.12")
        page.locator("form.rule-form button").click()
        expect(page.locator("form[action*='/ship'] button")).to_be_visible(timeout=5 * PATIENCE_MS)
        look()
        page.fill("#note", "告警太频繁")
        page.locator("form[action*='/ship'] button").click()
        expect(page).to_have_url(re.compile(RULE))
        expect(page.locator("dl.facts").first).to_contain_text("0.12")
        expect(page.locator(".message")).to_contain_text("已发布为第 1 版")
        look()
        page.goto(f"/rules/versions?site={SITE}")
        look()
        page.locator("a.what").first.click()
        expect(page.locator("main")).to_contain_text("→ 10 分钟")
        look()
        page.goto(f"/rules/versions?site={SITE}")
        page.locator("a.what").last.click()  # what stood before the first change
        expect(page.locator("main")).to_contain_text("10 分钟 →")
        page.locator("form[action*='/rollback'] button").click()
        expect(page.locator("a.what").first).to_contain_text("2")
        assert not wrong, wrong


def test_a_rule_says_at_what_time_it_applies(yard: Courtyard) -> None:
    """In the list, and on its page as the rule book has it, not as its profile once said."""
    crew = yard.client("li.wei")
    night = "Applies: 23:00\u201305:30"
    assert crew.get(f"/rules?site={SITE}&q=held_open_at_night").text.count(night) == 1
    assert night not in crew.get(f"/rules?site={SITE}&q=held_open_long").text
    late = [{"days": ["sat"], "from": "21:00", "to": "24:00"}]
    ship(yard, {"rules": {"access_gate_json": {"held_open_at_night": {"schedule": late}}}}, 0)
    for path in (f"/rules?site={SITE}&q=held_open_at_night", f"/rules/access_gate_json/held_open_at_night?site={SITE}"):
        page = crew.get(path).text
        assert "Sat 21:00\u201324:00" in page
        assert "23:00\u201305:30" not in page.split("Tests of the profile")[0]


def test_what_is_broken_is_loud_and_what_waits_for_a_sensor_is_quiet_and_never_silent(yard: Courtyard) -> None:
    crew = yard.client("li.wei")
    page = crew.get(f"/rules?site={SITE}").text
    assert "tone-bad" not in page.split("<main")[1].split('<section class="panel rules">')[0]
    fold = page.split('<details class="panel waiting">')[1].split("</details>")[0]
    n = int(re.findall(r"(\d+) rules? waits? for values that no device here sends", fold)[0])
    assert n
    quiet, broken = (crew.get(f"/rules?site={SITE}&show={kind}").text for kind in ("waiting", "problems"))
    assert quiet.count('class="what"') == n
    waits, name = re.findall(r'class="what" href="/rules/([\w/]+)[^>]*>([^<]+)', quiet)[0]
    assert name in fold
    assert "Nothing is broken." in broken
    assert "No device here has ever sent" in crew.get(f"/rules/{waits}?site={SITE}").text

    ship(yard, {"rules": {"booster_set": {"pressure_low": {"mode": "shadow"}}}}, 0)
    known = yard.context.library["booster_set"]
    rules = tuple(one for one in known.rules if one.id != "pressure_low")
    library = {**yard.context.library, "booster_set": known.model_copy(update={"rules": rules})}
    with yard.context.database.read() as connection:
        found = rules_of(connection, library, SITE, datetime.now(UTC))
    (loud,) = rules_view.broken(found.problems, found.rules, i18n.load()["zh"], str)
    assert loud.place == "booster_set pressure_low"
    assert "no such rule" in loud.text
