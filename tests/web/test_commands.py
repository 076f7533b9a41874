"""Commands on the device page: who sees which form, what is said beside a wrong field, and in a browser to the end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, expect

from services.accounts import desk as accounts
from services.accounts import store
from services.accounts.policy import Grant, Role
from services.bench.mosquitto import DEFAULT_CONFIG, Mosquitto, MosquittoMissing, find_mosquitto
from services.bootstrap import start_web
from services.clock import SystemClock
from services.web.app import create_app
from services.web.security import COOKIE
from tests.commands_kit import House, PlugStrip, wait_for
from tests.needs import missing
from tests.web.test_browser import PATIENCE_MS, chromium, too_wide

__all__ = ["chromium"]
pytestmark = pytest.mark.mosquitto


@pytest.fixture
def house(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[House]:
    with ExitStack() as stack:
        yield staffed(House(stack, tmp_path, mosquitto.url))


def staffed(house: House) -> House:
    for login, role in (("li.wei", Role.CREW), ("wang.fang", Role.ENGINEER), ("chen.yu", Role.ADMIN)):
        accounts.add_person(
            house.core.database,
            login=login,
            password="walking-on-willow-lane-7",
            grants=[Grant("yard", role)],
            now=SystemClock().now(),
            who=None,
        )
    return house


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker whose access list lets nobody say `plugs/…/cmd`."""
    try:
        find_mosquitto()
    except MosquittoMissing as absent:
        missing(str(absent))
    folder = tmp_path / "strict"
    folder.mkdir()
    rules = ["topic read #", "topic write plugs/+/telemetry", "topic write plugs/+/set/level"]
    (folder / "acl").write_text("\n".join(rules) + "\n")
    with Mosquitto(folder, config=f"{DEFAULT_CONFIG}acl_file {{folder}}/acl\n") as broker:
        yield broker


@pytest.fixture
def plug(mosquitto: Mosquitto, house: House) -> Iterator[PlugStrip]:
    with PlugStrip(mosquitto.url) as strip:
        strip.report()
        wait_for(lambda: house.knows("plug-1", "port:1", "power") == 400, "its first reading")
        yield strip


def session(house: House, login: str) -> tuple[str, str]:
    with house.core.database.write() as connection:
        person = store.person_by_login(connection, login)
        assert person is not None
        return store.open_session(connection, person[0].id, SystemClock().now())


def client(house: House, login: str, language: str = "en") -> TestClient:
    app = create_app(house.core.context)
    found = TestClient(app, follow_redirects=False)
    found.headers.update({"Accept": "text/html", "Accept-Language": language})
    secret, csrf = session(house, login)
    found.cookies.set(COOKIE, secret)
    found.headers["X-CSRF-Token"] = csrf
    return found


def forms(html: str) -> set[str]:
    return set(re.findall(r'name="command" value="(\w+)"', html))


def test_a_person_sees_the_commands_that_they_may_send(house: House, plug: PlugStrip) -> None:
    assert forms(client(house, "li.wei").get("/devices/plug-1").text) == {"cut"}
    assert forms(client(house, "wang.fang").get("/devices/plug-1").text) == {"cut", "feed"}
    assert forms(client(house, "chen.yu").get("/devices/plug-1").text) == {"cut", "feed", "level"}


def test_who_may_not_is_refused_even_with_a_form_of_their_own(house: House, plug: PlugStrip) -> None:
    crew = client(house, "li.wei")
    answer = crew.post("/devices/plug-1/commands", data={"command": "feed", "child": "port:1", "param.minutes": "5"})
    assert answer.status_code == 403
    api = crew.post("/api/v1/devices/plug-1/commands", json={"command": "level", "params": {"to": 1}})
    assert api.status_code == 403
    assert "admin" in api.json()["detail"]
    assert plug.heard == []


@pytest.mark.parametrize(
    ("language", "given", "said"),
    [
        ("en", {"param.minutes": "700"}, "Enter a whole number: 1 to 600"),
        ("zh", {"param.minutes": "1.5"}, "请填写整数：1 至 600"),
        ("en", {"param.minutes": "<b>"}, "Enter a whole number"),
        ("en", {"child": "port:9"}, "Choose one of the parts."),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_nothing_is_lost(
    house: House, plug: PlugStrip, language: str, given: dict[str, str], said: str
) -> None:
    data = {"command": "feed", "child": "port:2", "param.minutes": "30", **given}
    answer = client(house, "wang.fang", language).post("/devices/plug-1/commands", data=data)
    assert answer.status_code == 422
    assert said in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert '<details class="command" id="command-feed" open>' in answer.text
    assert "<b>" not in answer.text
    assert plug.heard == []


def test_the_question_must_be_answered(house: House, plug: PlugStrip) -> None:
    answer = client(house, "li.wei").post("/devices/plug-1/commands", data={"command": "cut", "child": "port:1"})
    assert answer.status_code == 422
    assert "Confirm that you mean it." in answer.text
    assert plug.heard == []


def test_what_the_broker_refuses_and_what_nobody_hears_is_not_called_sent(strict: Mosquitto, tmp_path: Path) -> None:
    with ExitStack() as stack:
        house = staffed(House(stack, tmp_path, strict.url))
        strip = stack.enter_context(PlugStrip(strict.url))
        strip.report()
        wait_for(lambda: house.knows("plug-1", "port:1", "power") == 400, "its first reading")
        cut = house.ends(house.ask("cut"))
        assert (cut.state, cut.reason) == ("failed", "broker_refused")
        assert cut.detail["why"] == "Not authorized: plugs/p1/cmd"
        assert house.ends(house.ask("level", "", to=20)).reason == "broker", "somebody listens there"
        unheard = house.ends(house.ask("level", "", "plug-2", to=20))
        assert (unheard.state, unheard.reason, unheard.detail["why"]) == ("failed", "unheard", "plugs/p2/set/level")
        boss = client(house, "chen.yu")
        told = boss.get(f"/api/v1/commands/{cut.id}").json()
        assert (told["reason"], told["events"][-1]["data"]["why"]) == ("broker_refused", cut.detail["why"])
        assert "The broker refused it, so the device has not heard it." in boss.get("/devices/plug-1").text
        assert "消息服务器拒绝转发，设备没有收到。" in client(house, "chen.yu", "zh").get("/devices/plug-1").text
        assert "nobody listens on its topic" in boss.get("/devices/plug-2").text
        assert "没有任何设备在听这个主题" in client(house, "chen.yu", "zh").get("/devices/plug-2").text
        wait_for(lambda: bool(strip.heard), "the broker has taken the level, and passes it on")
        assert [one["do"] for one in strip.heard] == ["level"]


def test_the_same_form_sent_twice_is_one_command(house: House, plug: PlugStrip) -> None:
    crew = client(house, "li.wei")
    data = {"command": "cut", "child": "port:1", "confirmed": "yes", "key": "one-form"}
    assert [crew.post("/devices/plug-1/commands", data=data).status_code for _ in range(2)] == [303, 303]
    (record,) = crew.get("/api/v1/commands").json()["items"]
    assert house.ends(record["id"]).state == "done"
    assert len(plug.heard) == 1


def test_a_device_that_is_not_online_says_so_and_its_command_can_be_taken_back(house: House, plug: PlugStrip) -> None:
    admin = client(house, "chen.yu")
    page = admin.get("/devices/plug-2").text
    assert "This device is not online" in page
    house.gateway.stop()
    answer = admin.post("/devices/plug-2/commands", data={"command": "level", "param.to": "7", "confirmed": "yes"})
    assert answer.status_code == 303
    (record,) = admin.get("/api/v1/commands").json()["items"]
    assert (record["state"], record["handed_at"]) == ("queued", None)
    assert admin.post(f"/devices/plug-2/commands/{record['id']}/cancel").status_code == 303
    over = admin.get(f"/api/v1/commands/{record['id']}").json()
    assert (over["state"], over["events"][-1]["who"]) == ("cancelled", "chen.yu")


@pytest.mark.browser
def test_a_port_is_cut_from_a_phone(house: House, plug: PlugStrip, chromium: Browser) -> None:
    settings = house.core.settings.model_copy(update={"http": "127.0.0.1:0"})
    object.__setattr__(house.core, "settings", settings)
    with ExitStack() as stack:
        server = start_web(stack, house.core, None)
        phone = chromium.new_context(base_url=server.url, viewport={"width": 360, "height": 740}, locale="en")
        stack.callback(phone.close)
        phone.set_default_timeout(PATIENCE_MS)
        phone.add_cookies([{"name": COOKIE, "value": session(house, "li.wei")[0], "url": server.url}])
        page = phone.new_page()
        page.goto("/devices/plug-1?child=port:2")
        page.get_by_text("Cut the power", exact=True).first.click()
        expect(page.locator("#command-cut-child")).to_have_value("port:2")
        serious = [
            one
            for one in Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == []
        assert too_wide(page) == []
        page.get_by_label("Cut the power of this port?").check()
        page.get_by_role("button", name="Cut the power").click()
        expect(page.locator("#commands-sent li").first).to_contain_text("Done")
        expect(page.locator("#commands-sent li").first).to_contain_text("The effect has been measured")
    assert [(one["do"], one["port"]) for one in plug.heard] == [("cut", 1)]
