"""Maintenance windows and snoozes on the pages: looked at first, planned, taken back; on a phone, in both languages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select

from services.rules.store import decisions_about
from services.tables import alarms, audit, maintenance_windows
from tests.web.conftest import Courtyard, serving
from tests.web.seed import SITE
from tests.web.test_browser import PHONE, browsing, chromium, too_wide, violations

__all__ = ["chromium"]
WISH = {"site": SITE, "title": "Tank cleaning", "scope": {"families": ["water_pump"]}}


def ends(hours: float = 2) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


# --- the API ----------------------------------------------------------------------------------------------------------


def test_a_window_by_the_api(courtyard: Courtyard) -> None:
    chen = courtyard.client("chen.yu")
    looked = chen.post("/api/v1/maintenance-windows/preview", json={**WISH, "ends_at": ends()}).json()
    assert (looked["id"], looked["state"]) == ("", "open")
    assert looked["devices"] > 0
    made = chen.post("/api/v1/maintenance-windows", json={**WISH, "ends_at": ends()})
    assert made.status_code == 201
    id = made.json()["id"]
    assert [one["id"] for one in chen.get("/api/v1/maintenance-windows").json()["items"]] == [id]
    assert courtyard.client("li.wei").get(f"/api/v1/maintenance-windows/{id}").json()["title"] == "Tank cleaning"
    assert chen.post(f"/api/v1/maintenance-windows/{id}/end").json()["state"] == "over"
    assert chen.post(f"/api/v1/maintenance-windows/{id}/end").status_code == 409
    assert chen.post(f"/api/v1/maintenance-windows/{id}/cancel").status_code == 409
    assert chen.get("/api/v1/maintenance-windows").json()["items"] == []
    assert len(chen.get("/api/v1/maintenance-windows?past=true").json()["items"]) == 1
    with courtyard.context.database.read() as connection:
        actions = connection.scalars(select(audit.c.action).where(audit.c.subject == id)).all()
    assert actions == ["maintenance.added", "maintenance.ended"]


def test_a_crew_looks_and_does_not_plan(courtyard: Courtyard) -> None:
    li = courtyard.client("li.wei")
    assert li.post("/api/v1/maintenance-windows", json={**WISH, "ends_at": ends()}).status_code == 403
    assert li.get("/maintenance").status_code == 200
    assert "/maintenance/new" not in li.get("/maintenance").text
    assert li.get("/maintenance/new").status_code == 403


def test_what_cannot_be_planned_says_where(courtyard: Courtyard) -> None:
    chen = courtyard.client("chen.yu")
    changes: dict[str, dict[str, object]] = {
        "title": {"title": " "},
        "scope.buildings": {"scope": {"buildings": ["99"]}},
        "scope.devices": {"scope": {"devices": ["<script>"]}},
        "ends_at": {"ends_at": "2020-01-01T00:00:00Z"},
        "repeats": {"repeats": {"days": ["mon"], "until": "2020-01-01"}},
        "repeats.until": {"repeats": {"days": ["mon"], "until": "2099-01-01"}},
    }
    for where, change in changes.items():
        refused = chen.post("/api/v1/maintenance-windows", json={**WISH, "ends_at": ends(), **change})
        assert refused.status_code == 422
        assert [one["where"] for one in refused.json()["mistakes"]] == [where]
    with courtyard.context.database.read() as connection:
        assert connection.execute(select(maintenance_windows)).all() == []


def test_a_snooze_by_the_api_and_its_refusals(courtyard: Courtyard) -> None:
    courtyard.context.intake.reload()  # the site was written beside it
    li = courtyard.client("li.wei")
    id = active(courtyard)
    assert li.post(f"/api/v1/alarms/{id}/snooze", json={"length": "4h"}).json()["snoozed_by"] == "li.wei"
    for body, status in (({}, 422), ({"length": "1h", "until": ends()}, 422), ({"until": ends(-1)}, 422)):
        assert li.post(f"/api/v1/alarms/{id}/snooze", json=body).status_code == status
    assert li.post("/api/v1/alarms/nothing/snooze", json={"length": "1h"}).status_code == 404
    assert li.post(f"/api/v1/alarms/{id}/unsnooze").json()["snoozed_until"] is None
    assert [one["kind"] for one in li.get(f"/api/v1/alarms/{id}/decisions").json()] == ["snoozed", "unsnoozed"]


def active(courtyard: Courtyard) -> str:
    with courtyard.context.database.read() as connection:
        found = connection.scalars(select(alarms.c.id).where(alarms.c.state == "active", alarms.c.site == SITE)).all()
    return sorted(found)[0]


# --- in a browser -----------------------------------------------------------------------------------------------------


def fits(page: Page) -> None:
    assert too_wide(page) == []
    assert violations(page, "light") == []


@pytest.mark.browser
@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("en-GB", ("It covers", "Plan it", "On now", "Take back", "Nothing is planned", "Snoozed by", "Wake it")),
        ("zh-CN", ("覆盖", "安排", "进行中", "收回", "没有安排", "已暂停提醒，直到", "恢复提醒")),
    ],
)
def test_a_window_and_a_snooze_on_a_phone(
    chromium: Browser, courtyard: Courtyard, locale: str, words: tuple[str, ...]
) -> None:
    courtyard.context.intake.reload()
    covers, plan, on_now, _, nothing, snoozed, wake = words
    with (
        serving(courtyard) as server,
        browsing(chromium, server.url, courtyard, "chen.yu", viewport=PHONE, locale=locale) as page,
    ):
        page.goto("/maintenance")
        expect(page.locator("#part")).to_contain_text(nothing)
        fits(page)
        page.goto(f"/maintenance/new?site={SITE}")
        fits(page)
        before = page.locator("#preview").inner_text()
        page.locator("#title").fill("水箱清洗 <b>")
        page.locator("input[name=families][value=water_pump]").check()
        expect(page.locator("#preview")).not_to_have_text(before)
        expect(page.locator("#preview")).to_contain_text(covers)
        page.get_by_role("button", name=plan).click()
        expect(page.locator(".windows li")).to_have_count(1)
        expect(page.locator(".windows li")).to_contain_text("水箱清洗 <b>")
        expect(page.locator(".windows li")).to_contain_text(on_now)
        fits(page)
        page.locator(".windows form[action$=end] button").click()
        expect(page.locator("#part")).to_contain_text(nothing)
        page.goto("/maintenance?past=1")
        expect(page.locator(".windows li")).to_have_count(1)

        id = active(courtyard)
        page.goto(f"/alarms/{id}")
        page.locator("#snooze button[value=morning]").click()
        expect(page.locator("#snooze")).to_contain_text(snoozed)
        expect(page.locator("#snooze")).to_contain_text("08:00")
        fits(page)
        page.get_by_role("button", name=wake).click()
        expect(page.locator("#snooze button[value='1h']")).to_be_visible()
    with courtyard.context.database.read() as connection:
        said = [(one.kind, one.who) for one in decisions_about(connection, id) if one.kind.endswith("snoozed")]
    assert said == [("snoozed", "chen.yu"), ("unsnoozed", "chen.yu")]


def test_without_scripts_a_button_shows_the_preview_and_mistakes_stand_beside_their_fields(
    courtyard: Courtyard,
) -> None:
    chen = courtyard.client("chen.yu")
    form = {"site": SITE, "title": "", "length": "other", "ends": "2020-01-01T10:00", "devices": "pumps-1, nobody"}
    chen.follow_redirects = True  # to an address of its own: an answer to a POST cannot be gone back to
    looked = chen.post(
        "/maintenance", data={**form, "length": "60", "ends": "", "devices": "pumps-1", "act": "preview"}
    )
    assert "It covers 1 device" in looked.text
    refused = chen.post("/maintenance", data=form)
    assert (refused.request.method, refused.url.path) == ("GET", "/maintenance/new")
    assert "csrf=" not in str(refused.url)
    for text in ("Say what is done", "It ends after it begins", "This site has no such device", "pumps-1, nobody"):
        assert text in refused.text
    past = chen.post("/maintenance", data={**form, "title": "Pump", "length": "60", "devices": "pumps-1"})
    assert "It ends after it begins" in past.text, "an end that was typed counts, whatever length stands above it"
    long = chen.post("/maintenance", data={**form, "devices": "x" * 7000})
    assert (long.request.method, long.status_code) == ("POST", 422), "too long for an address"
    chen.follow_redirects = False
    done = chen.post("/maintenance", data={**form, "title": "Pump", "length": "60", "ends": "", "devices": "pumps-1"})
    assert (done.status_code, done.headers["location"]) == (303, "/maintenance")
