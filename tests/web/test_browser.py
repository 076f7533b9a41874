"""The pages in a real browser: they are live, honest when cut off, accessible, and talk to nobody else."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, TimeoutError, expect, sync_playwright
from sqlalchemy import insert, update

from gateway.ports import free_port
from services.changes import Change
from services.tables import alarms, device_states, tickets
from services.web.security import COOKIE
from tests.needs import missing
from tests.web.conftest import Courtyard, serving
from tests.web.seed import PASSWORD, SITE

CHROMIUM = Path("/usr/bin/chromium")
ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
PATIENCE_MS = 60_000
"""How long a page may take to come, and a thing on it to be there."""
DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 360, "height": 740}
pytestmark = pytest.mark.browser
SIGNED_IN = (
    f"/?site={SITE}",
    "/?site=north-gate",
    "/devices/pile-3?child=port:5",
    "/devices/pumps-1",
    "/alarms",
    "/alarms/a-hot",
    "/tickets",
    "/tickets/t-pump",
    "/notices",
    "/quarantine",
    "/health",
    "/account",
    "/devices/nothing",
)
OPEN = (f"/public/{SITE}", "/public/north-gate", "/public/nowhere", "/login?error=wrong")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """For this module only: while it runs, no other test could run an event loop."""
    if not CHROMIUM.exists():
        missing(f"{CHROMIUM} is not installed; on Debian: apt-get install chromium")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(ARGS), timeout=3 * PATIENCE_MS) as browser,
    ):
        yield browser


@contextmanager
def browsing(
    chromium: Browser, base: str, courtyard: Courtyard, login: str = "", *, forgive: str = "", **options: Any
) -> Iterator[Page]:
    """A page that may speak to `base` only; its every complaint fails the test, but for what `forgive` matches."""
    context = chromium.new_context(base_url=base, timezone_id="Asia/Shanghai", **options)
    context.set_default_timeout(PATIENCE_MS)
    if login:
        context.add_cookies([{"name": COOKIE, "value": courtyard.session(login)[0], "url": base}])
    complaints: list[str] = []
    page = context.new_page()
    page.on("request", lambda r: complaints.append(f"asked {r.url}") if _foreign(r.url, base) else None)
    page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: complaints.append(str(e)))
    try:
        yield page
    finally:
        context.close()
    left = [one for one in complaints if not (forgive and re.search(forgive, one))]
    assert not left, left


def _foreign(url: str, base: str) -> bool:
    return urlsplit(url).scheme not in ("data", "blob") and not url.startswith(base)


def violations(page: Page, scheme: str) -> list[str]:
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if scheme == "dark":  # the same page in other colours: only they need to be looked at again
        options["runOnly"] = ["color-contrast", "link-in-text-block"]
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{page.url}: {one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
def test_everybody_can_use_every_page(chromium: Browser, standing: Courtyard, served: str, language: str) -> None:
    """axe-core finds nothing serious; no page is wider than the screen it is read on."""
    found: list[str] = []
    # 404 is what the error page is for; Chromium says so in the console.
    options: dict[str, Any] = {"locale": language, "color_scheme": "light", "forgive": "404"}
    for login, paths in (("chen.yu", SIGNED_IN), ("", OPEN)):
        with browsing(chromium, served, standing, login, viewport=DESKTOP, **options) as page:
            for path in paths:
                page.goto(path, wait_until="load")
                _drawn(page)
                found += violations(page, "light")
                page.emulate_media(color_scheme="dark")
                found += violations(page, "dark")
                page.emulate_media(color_scheme="light")
                page.set_viewport_size(PHONE)
                found += too_wide(page)
                page.set_viewport_size(DESKTOP)
    assert not found, "\n".join(found)


def too_wide(page: Page) -> list[str]:
    """Whether the page that stands now is wider than its screen. A click may still be on its way to the next page: wait
    for something of that one before. Curves follow a new width a moment later."""
    assert page.viewport_size is not None
    screen = page.viewport_size["width"]
    page.wait_for_load_state("load")
    try:
        page.wait_for_function("w => document.documentElement?.scrollWidth <= w", arg=screen, timeout=PATIENCE_MS)
    except TimeoutError:
        return [f"{page.url} is {page.evaluate('document.documentElement.scrollWidth')} px wide on {screen}"]
    return []


def _drawn(page: Page) -> None:
    """Curves come after the page."""
    for figure in page.locator("[data-history]").all():
        expect(figure).to_have_attribute("data-drawn", "yes")


def test_the_board_is_live(chromium: Browser, courtyard: Courtyard) -> None:
    """A change that is committed and published is on the board, without a reload: in a second or two, where the machine
    has no other work."""
    with serving(courtyard) as server, browsing(chromium, server.url, courtyard, "chen.yu", viewport=DESKTOP) as page:
        page.goto(f"/?site={SITE}")
        expect(page.locator("#live")).to_have_attribute("data-live", "on")
        page.evaluate("window.stayed = true")
        tile = page.locator("#device-gate-1")
        expect(tile).to_contain_text("OK")
        _break_gate(courtyard)
        expect(tile).to_contain_text("Critical")
        expect(tile).to_contain_text("forced")
        expect(page.locator("#side")).to_contain_text("Door forced open")
        expect(page.locator("#headline")).to_contain_text("2 Critical")
        assert page.evaluate("window.stayed")


def _break_gate(courtyard: Courtyard) -> None:
    now = datetime.now(UTC)
    with courtyard.context.database.write() as connection:
        connection.execute(
            update(device_states)
            .where(device_states.c.device == "gate-1", device_states.c.child == "")
            .values(values={"door": "forced", "lock": "locked", "supply_voltage": 12.0})
        )
        connection.execute(
            insert(alarms),
            [
                {
                    "id": "a-forced", "site": SITE, "device": "gate-1", "child": "", "rule": "forced",
                    "profile": "access_gate_json", "severity": "critical", "state": "active", "raised_at": now,
                    "reason": {"name": {"zh": "门被强行打开", "en": "Door forced open"}, "condition": "door == forced"},
                }
            ],
        )  # fmt: skip
    courtyard.context.changes.publish([Change("device", "gate-1", SITE), Change("alarm", "a-forced", SITE)])


def test_a_cut_connection_is_told_and_heals(chromium: Browser, courtyard: Courtyard) -> None:
    """The page says from when its state is, and shows what it missed once the server is back."""
    with browsing(chromium, "http://127.0.0.1", courtyard, forgive=".", viewport=DESKTOP, locale="en-GB") as page:
        # A port that the system gives to clients might be held by one when the server comes back.
        with serving(courtyard, free_port()) as server:
            url, port = server.url, server.port
            page.context.add_cookies([{"name": COOKIE, "value": courtyard.session("chen.yu")[0], "url": url}])
            page.goto(f"{url}/?site={SITE}")
            expect(page.locator("#live")).to_have_attribute("data-live", "on")
            expect(page.locator("#cut")).to_be_hidden()
        banner = page.locator("#cut")
        expect(banner).to_be_visible()
        expect(banner).to_have_text(re.compile(r"Connection lost, showing the state of \d\d:\d\d:\d\d"))
        expect(page.locator("#live")).to_have_text("Not live")
        _break_gate(courtyard)
        with serving(courtyard, port):
            # The longer the server was away, the longer a page waits before it asks again.
            expect(banner).to_be_hidden(timeout=3 * PATIENCE_MS)
            expect(page.locator("#device-gate-1")).to_contain_text("forced")
            expect(page.locator("#live")).to_have_text("Live")


def test_the_filter_works_in_the_page_and_survives_updates(chromium: Browser, standing: Courtyard, served: str) -> None:
    with browsing(chromium, served, standing, "chen.yu", viewport=DESKTOP, locale="en-GB") as page:
        page.goto(f"/?site={SITE}")
        shown = page.locator(".tiles > li:visible")
        everything = shown.count()
        page.select_option("#f-family", "access_gate")
        expect(shown).to_have_count(18)
        page.select_option("#f-state", "alarm")
        expect(shown).to_have_count(1)
        expect(shown).to_contain_text("Door 5-1")
        expect(page.locator("#filter-result")).to_have_text(f"1 of {everything} devices")
        page.reload()
        expect(shown).to_have_count(1)
        expect(page.locator("#live")).to_have_attribute("data-live", "on")
        standing.context.changes.publish([Change("device", "gate-9", SITE), Change("device", "pile-3", SITE)])
        expect(page.locator("#device-gate-9 .changed")).to_have_count(1)
        expect(shown).to_have_count(1)
        page.fill("#f-text", "nothing like this")
        expect(page.locator("#filter-empty")).to_be_visible()


def test_the_history_is_drawn(chromium: Browser, standing: Courtyard, served: str) -> None:
    with browsing(chromium, served, standing, "chen.yu", viewport=DESKTOP, locale="en-GB") as page:
        page.goto("/devices/pile-3?child=port:5&range=24h")
        _drawn(page)
        figure = page.locator("figure", has_text="Port temperature")
        expect(figure.locator("canvas")).to_be_visible()
        expect(figure.locator(".summary")).to_contain_text("86 °C")
        painted = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v)"
        assert figure.locator("canvas").evaluate(painted)
        gaps = figure.evaluate("f => f.plot.data[1].filter(v => v === null).length")
        assert gaps == 1
        expect(page.locator("figure", has_text="Energy in total")).to_contain_text("No readings in this time.")


def test_a_device_page_follows_and_keeps_its_curve(chromium: Browser, courtyard: Courtyard) -> None:
    with serving(courtyard) as server, browsing(chromium, server.url, courtyard, "chen.yu", locale="en-GB") as page:
        page.goto("/devices/gate-1")
        _drawn(page)
        expect(page.locator("#live")).to_have_attribute("data-live", "on")
        page.locator("figure").first.evaluate("f => { f.kept = true; }")
        _break_gate(courtyard)
        expect(page.locator(".values")).to_contain_text("forced")
        expect(page.get_by_role("link", name="Door forced open")).to_be_visible()
        assert page.locator("figure").first.evaluate("f => f.kept")


def test_a_crew_works_on_a_phone(chromium: Browser, courtyard: Courtyard) -> None:
    """Signs in, finds the most urgent ticket, takes it, ticks a step; what another does meanwhile is announced."""
    phone = {"viewport": PHONE, "has_touch": True, "is_mobile": True, "locale": "zh-CN"}
    with serving(courtyard) as server, browsing(chromium, server.url, courtyard, **phone) as page:
        page.goto("/")
        page.get_by_label("账号").fill("li.wei")
        page.get_by_label("密码").fill(PASSWORD)
        page.get_by_role("button", name="登录").tap()
        page.locator(".row").first.tap()
        expect(page.locator("h1")).to_have_text("#105 充电口过热")
        for button in page.get_by_role("button").all():
            if button.is_visible() and "link" not in (button.get_attribute("class") or ""):
                assert (button.bounding_box() or {"height": 0})["height"] >= 44, button.inner_text()
        page.get_by_role("button", name="接单").tap()
        expect(page.locator(".pill", has_text="已派单")).to_be_visible()
        page.locator(".steps button").first.tap()
        expect(page.locator(".steps li").first).to_have_class("done")
        expect(page.locator("#live")).to_have_attribute("data-live", "on")
        page.get_by_label("备注").fill("正在写")
        with courtyard.context.database.write() as connection:
            connection.execute(update(tickets).where(tickets.c.id == "t-hot").values(priority="P2"))
        courtyard.context.changes.publish([Change("ticket", "t-hot", SITE)])
        expect(page.locator("#hint")).to_be_visible()
        expect(page.get_by_label("备注")).to_have_value("正在写")


def test_residents_need_no_javascript(chromium: Browser, standing: Courtyard, served: str) -> None:
    with browsing(chromium, served, standing, java_script_enabled=False, locale="zh-CN", viewport=PHONE) as page:
        page.goto(f"/public/{SITE}")
        expect(page.locator("h1")).to_have_text("供水：部分受限")
        expect(page.locator(".outage")).to_contain_text("下次更新不晚于")
        assert page.locator("meta[http-equiv=refresh]").count() == 1


def test_the_residents_page_refreshes_itself(chromium: Browser, standing: Courtyard, served: str) -> None:
    with browsing(chromium, served, standing, locale="en-GB") as page:
        page.clock.install()
        page.goto(f"/public/{SITE}")
        with page.expect_response(lambda r: r.request.headers.get("hx-request") == "true" and r.ok):
            page.clock.run_for(31_000)
        expect(page.locator("#public")).to_have_count(1)


def test_the_keyboard_reaches_the_content_first(chromium: Browser, standing: Courtyard, served: str) -> None:
    with browsing(chromium, served, standing, "chen.yu", viewport=DESKTOP, locale="en-GB") as page:
        page.goto("/tickets")
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#main")).to_be_focused()


def test_ages_go_on_counting(chromium: Browser, standing: Courtyard, served: str) -> None:
    with browsing(chromium, served, standing, locale="en-GB") as page:
        page.clock.install(time=time.time())
        page.goto(f"/public/{SITE}")
        age = page.locator(".outage time[data-age]").first
        # By its own time, not by what stands there: the site is older, the later this test comes, and an hour is "1 h".
        began = datetime.fromisoformat(age.get_attribute("datetime") or "").timestamp()
        for minutes in (10, 20):
            page.clock.run_for(10 * 60 * 1000)
            spent = int(page.evaluate("Date.now()") / 1000 - began) // 60
            near = [spent - 1, spent, spent + 1]
            said = "|".join(f"{n} min" if n < 60 else f"{n // 60} h" for n in near)
            expect(age, f"after {minutes} minutes").to_have_text(re.compile(rf"^({said}) ago$"))


@pytest.mark.parametrize("language", ["zh-CN", "en-GB"])
def test_rules_and_maintenance_are_one_step_away(
    chromium: Browser, standing: Courtyard, served: str, language: str
) -> None:
    options: dict[str, Any] = {"locale": language, "viewport": {"width": 1160, "height": 800}}
    with browsing(chromium, served, standing, "chen.yu", **options) as page:
        for path in ("/rules", "/maintenance"):
            page.goto("/tickets")
            page.locator(f'.nav a[href="{path}"]').click()
            expect(page.locator(".nav a[aria-current]")).to_have_attribute("href", path)
            assert too_wide(page) == []
        page.set_viewport_size(PHONE)
        page.goto("/alarms")
        for path in ("/rules", "/maintenance"):
            expect(page.locator(f'.nav a[href="{path}"]')).to_be_hidden()
            expect(page.locator(f'main a[href="{path}"]')).to_be_visible()
