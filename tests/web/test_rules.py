"""The rules on the pages: looked at by everybody, changed by engineers, on a phone, in both languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from services.accounts import desk
from services.accounts.policy import Grant, Role
from services.rulebook.desk import RuleBookDesk, Shipping
from services.rules.book import RuleBook
from tests.web.conftest import Courtyard
from tests.web.seed import PASSWORD, SITE
from tests.web.test_browser import PHONE, browsing, chromium, serving, violations

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


def test_mistakes_stand_at_their_fields_and_what_was_typed_stays(yard: Courtyard) -> None:
    engineer = yard.client("wu.min")
    typed = {"version": "0", "for": "soon", "when": "outlet < 3", "param.loss_margin": "7", "severity": "critical"}
    answer = engineer.post(f"{RULE}/edit?site={SITE}", data=typed)
    assert answer.status_code == 422
    for said in ("expected a duration", "at most 0.5 MPa", 'value="soon"', 'aria-describedby="for-wrong"'):
        assert said in answer.text, said
    unknown = engineer.post(f"{RULE}/edit?site={SITE}", data={"version": "0", "when": "outlet_presure < 3 MPa"})
    assert "did you mean outlet_pressure" in unknown.text
    same = engineer.post(f"{RULE}/edit?site={SITE}", data={"version": "0"})
    assert "Nothing has been changed." in same.text


def test_what_somebody_shipped_meanwhile_is_said_and_nothing_is_lost(yard: Courtyard) -> None:
    engineer = yard.client("wu.min")
    ship(yard, {"rules": {"booster_set": {"pressure_low": {"severity": "major"}}}}, 0)
    answer = engineer.post(f"{RULE}/edit?site={SITE}", data={"version": "0", "for": "7m"})
    assert answer.status_code == 409
    assert "has shipped version 1 meanwhile" in answer.text
    assert 'value="7m"' in answer.text
    assert "→ major" in answer.text
    assert 'name="version" value="1"' in answer.text


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
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            wrong.extend([f"{page.url} is {wide} px too wide"] if wide > 0 else [])

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
        page.fill("#for", "10m")
        page.fill('[id="param.loss_margin"]', "0.12")
        page.locator("form.rule-form button").click()
        expect(page.locator("form[action*='/ship'] button")).to_be_visible(timeout=30_000)
        look()
        page.fill("#note", "告警太频繁")
        page.locator("form[action*='/ship'] button").click()
        expect(page).to_have_url(re.compile(RULE))
        expect(page.locator("dl.facts").first).to_contain_text("0.12")
        page.goto(f"/rules/versions?site={SITE}")
        look()
        page.locator("a.what").first.click()
        expect(page.locator("main")).to_contain_text("→ 10m")
        look()
        page.goto(f"/rules/versions?site={SITE}")
        page.locator("a.what").last.click()  # what stood before the first change
        expect(page.locator("main")).to_contain_text("10m →")
        page.locator("form[action*='/rollback'] button").click()
        expect(page.locator("a.what").first).to_contain_text("2")
        assert not wrong, wrong
