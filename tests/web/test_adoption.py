"""New devices and where the break is, on the pages and by the API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import insert, select, update

from gateway.decode import Decoder
from gateway.reading import Batch, Registry, provisional_address, provisional_id
from services.accounts import desk
from services.accounts.policy import Grant, Role
from services.clock import to_millis
from services.tables import device_states, devices, gateways, supplies
from tests.web.conftest import Courtyard, serving
from tests.web.seed import PASSWORD, SITE
from tests.web.test_browser import DESKTOP, PHONE, browsing, chromium, too_wide, violations

__all__ = ["chromium"]
ID = provisional_id("booster_set", "yard/pumps-3")
PATH = quote(ID, safe="")
ANNOUNCED = {"name": "9 号楼 泵组", "model": "X3 <b>", "firmware": "1.4.2", "ip": "10.0.0.7"}


def plug_in(courtyard: Courtyard, id: str = ID, address: str = "yard/pumps-3") -> None:
    now = datetime.now(UTC)
    with courtyard.context.database.write() as connection:
        connection.execute(
            insert(devices).values(
                id=id,
                profile="booster_set",
                address=address,
                name_zh=id,
                name_en=id,
                params={},
                announced=ANNOUNCED,
                first_heard_at=now - timedelta(hours=2),
            )
        )
        values = {"tank_level": 62.0}
        connection.execute(
            insert(device_states).values(
                device=id,
                child="",
                gateway="gateway-1",
                last_heard_at=now,
                measured_at=now,
                values=values,
                value_times={"tank_level": to_millis(now)},
                flags={},
            )
        )
        connection.execute(update(device_states).values(gateway="gateway-1"))
        members = [{"device": "pumps-1", "child": "pump:1", "vital": False}]
        row = {"site": SITE, "service": "water", "needs": 1, "needs_all": True, "members": members, "scope": []}
        if connection.scalar(select(supplies.c.id).where(supplies.c.id == "extra")) is None:
            connection.execute(insert(supplies).values(id="extra", name_zh="备用水", name_en="Spare water", **row))


@pytest.fixture
def yard(courtyard: Courtyard) -> Iterator[Courtyard]:
    plug_in(courtyard)
    for login, role in (("wu.min", Role.ENGINEER), ("north", Role.ENGINEER)):
        site = SITE if login == "wu.min" else "north-gate"
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


# --- by the API ------------------------------------------------------------------------------------------------------


def test_every_address_has_an_id_of_its_own() -> None:
    for address in ("a", "a/b", "a~1b", "a~/~0b", "~", "a:b%2F"):
        id = provisional_id("p", address)
        assert "/" not in id
        assert provisional_address(id) == ("p", address)
    assert provisional_address("gate-1") is None


def test_adopt_by_the_api(yard: Courtyard) -> None:
    client = yard.client("wu.min")
    (found,) = client.get("/api/v1/unclaimed").json()["items"]
    assert (found["id"], found["address"], found["announced"]) == (ID, "yard/pumps-3", ANNOUNCED)
    assert found["suggestion"] == {
        "id": "yard-pumps-3",
        "site": SITE,
        "building": "9",
        "parent": None,
        "name": "9 号楼 泵组",
    }
    assert client.get(f"/api/v1/unclaimed/{PATH}").json()["latest"]["values"] == {"tank_level": 62.0}
    wrong = client.post(
        f"/api/v1/unclaimed/{PATH}/adopt", json={"site": SITE, "building": "99", "params": {"pumps": 99}}
    )
    assert wrong.status_code == 422
    assert {one["where"] for one in wrong.json()["mistakes"]} == {"building", "params.pumps"}
    said = {"site": SITE, "id": "pumps-3", "building": "9", "unit": "2", "serves": [{"supply": "extra"}]}
    for _ in range(2):
        adopted = client.post(f"/api/v1/unclaimed/{PATH}/adopt", json=said)
        assert adopted.status_code == 200, adopted.text
        assert (adopted.json()["id"], adopted.json()["unit"]) == ("pumps-3", "2")
    assert client.get("/api/v1/unclaimed").json()["items"] == []
    other = client.post(f"/api/v1/unclaimed/{PATH}/adopt", json={**said, "id": "pumps-4"})
    assert (other.status_code, other.json()["type"]) == (409, "conflict")
    moved = client.put("/api/v1/devices/pumps-3/place", json={"name": "Spare set", "building": "8"})
    assert (moved.json()["name"]["zh"], moved.json()["building"], moved.json()["id"]) == ("Spare set", "8", "pumps-3")
    assert client.put("/api/v1/devices/pumps-1/place", json={"name": "x"}).status_code == 409
    swapped = client.post("/api/v1/devices/pumps-3/replace", json={"address": "yard/new"})
    assert (swapped.json()["address"], swapped.json()["id"]) == ("yard/new", "pumps-3")
    undone = client.post("/api/v1/devices/pumps-3/unadopt")
    assert undone.json()["id"] == provisional_id("booster_set", "yard/new")


def test_who_works_elsewhere_sees_no_new_device_of_ours(yard: Courtyard) -> None:
    client = yard.client("north")
    assert client.get("/api/v1/unclaimed").json()["items"] == []
    for answer in (
        client.get(f"/api/v1/unclaimed/{PATH}"),
        client.post(f"/api/v1/unclaimed/{PATH}/adopt", json={"site": "north-gate"}),
        client.post(f"/api/v1/unclaimed/{PATH}/ignore"),
        client.delete(f"/api/v1/unclaimed/{PATH}"),
        client.post("/api/v1/devices/pumps-1/replace", json={"address": "x"}),
        client.get("/api/v1/devices/pumps-1/presence"),
    ):
        assert answer.status_code == 404, answer.text
    assert yard.client("li.wei").get("/api/v1/unclaimed").status_code == 403


def test_ignore_and_forget_by_the_api(yard: Courtyard) -> None:
    client = yard.client("wu.min")
    assert client.post(f"/api/v1/unclaimed/{PATH}/ignore").json()["ignored_at"] is not None
    assert client.get("/api/v1/unclaimed").json()["items"] == []
    assert [one["id"] for one in client.get("/api/v1/unclaimed?ignored=true").json()["items"]] == [ID]
    assert client.post(f"/api/v1/unclaimed/{PATH}/unignore").json()["ignored_at"] is None
    assert client.delete(f"/api/v1/unclaimed/{PATH}").status_code == 204
    assert client.delete(f"/api/v1/unclaimed/{PATH}").status_code == 404


def _cut(courtyard: Courtyard, reason: str, **gateway: Any) -> None:
    now = datetime.now(UTC)
    with courtyard.context.database.write() as connection:
        connection.execute(update(gateways).values(**gateway))
        connection.execute(
            update(device_states)
            .where(device_states.c.device != ID)
            .values(presence="unknown", reason=reason, gateway="gateway-1", since=now - timedelta(minutes=12))
        )


def test_a_silent_gateway_is_named_on_board_page_and_api(yard: Courtyard) -> None:
    _cut(yard, "uplink_cut", heard_at=datetime.now(UTC) - timedelta(minutes=12, seconds=5))
    client = yard.client("chen.yu")
    said = client.get("/api/v1/devices/gate-1/presence").json()
    assert (said["presence"], said["reason"], said["broken"]) == ("unknown", "uplink_cut", "gateway")
    assert said["sentence"]["en"] == "Unknown: the gateway gateway-1 has not been heard for 12 min."
    assert said["sentence"]["zh"] == "未知：网关 gateway-1 已失联 12 分钟。"
    assert [(one["link"], one["state"]) for one in said["chain"]] == [
        ("gateway", "broken"),
        ("broker", "hidden"),
        ("device", "hidden"),
        ("values", "hidden"),
    ]
    (one,) = client.get("/api/v1/breaks", params={"site": SITE}).json()
    assert (one["reason"], one["name"]["en"]) == ("uplink_cut", "Gateway gateway-1")
    with yard.context.database.read() as connection:
        everybody = len(connection.execute(select(devices.c.id).where(devices.c.site == SITE)).all())
    assert one["devices"] == everybody
    board = client.get(f"/?site={SITE}").text
    assert f"{everybody} devices cannot be seen" in board
    assert "not heard for 12 min" in board
    page = client.get("/devices/gate-1").text
    assert "has not been heard for 12 min" in page
    assert page.index("Broken here") < page.index("Cannot be seen")


def test_a_gateway_without_its_broker_and_a_parent_that_is_gone(yard: Courtyard) -> None:
    now = datetime.now(UTC)
    with yard.context.database.read() as connection:
        status = connection.scalar(select(gateways.c.status))
    status = {**status, "connected": False}
    _cut(yard, "broker_down", heard_at=now, status=status, broker_lost_at=now - timedelta(minutes=7, seconds=2))
    client = yard.client("chen.yu")
    said = client.get("/api/v1/devices/gate-1/presence").json()
    assert said["broken"] == "broker"
    assert said["sentence"]["en"].endswith("has had no session with its broker for 7 min.")
    with yard.context.database.write() as connection:
        connection.execute(update(gateways).values(status={**status, "connected": True}, broker_lost_at=None))
        connection.execute(update(devices).where(devices.c.id == "gate-1").values(parent="nvr-1"))
        connection.execute(update(device_states).values(presence="online", reason="heard"))
        for device, presence, reason in (
            ("nvr-1", "offline", "device_said_offline"),
            ("gate-1", "unknown", "parent_down"),
        ):
            wanted = update(device_states).where(device_states.c.device == device)
            connection.execute(wanted.values(presence=presence, reason=reason))
    said = client.get("/api/v1/devices/gate-1/presence").json()
    assert [(one["link"], one["state"]) for one in said["chain"]][:4] == [
        ("gateway", "ok"),
        ("broker", "ok"),
        ("parent", "broken"),
        ("device", "hidden"),
    ]
    assert said["sentence"]["en"] == "Unknown: Camera recorder, on which it hangs, has been out of reach for 12 min."
    assert [one["reason"] for one in client.get("/api/v1/breaks").json()] == ["parent_down"]


def test_a_value_that_is_missing_is_said(yard: Courtyard) -> None:
    now = datetime.now(UTC)
    with yard.context.database.write() as connection:
        times = {"tank_level": to_millis(now - timedelta(minutes=50)), "inlet_pressure": to_millis(now)}
        state = {"value_times": times, "flags": {"room_temp": "faulty"}, "measured_at": now, "last_heard_at": now}
        wanted = (device_states.c.device == "pumps-1", device_states.c.child == "")
        connection.execute(update(device_states).where(*wanted).values(**state))
    client = yard.client("chen.yu")
    said = client.get("/api/v1/devices/pumps-1/presence").json()
    assert (said["presence"], said["broken"]) == ("online", "values")
    faults = {one["metric"]: one["fault"] for one in said["values"] if not one["child"]}
    assert faults == {"tank_level": "metric_silent", "room_temp": "sensor_faulty"}
    page = client.get("/devices/pumps-1").text
    assert "no value for 50 min" in page
    assert "the device calls it faulty" in page


# --- on the pages ----------------------------------------------------------------------------------------------------


def test_the_list_tells_and_escapes(yard: Courtyard) -> None:
    client = yard.client("wu.min")
    page = client.get("/unclaimed").text
    assert "yard/pumps-3" in page
    assert "X3 &lt;b&gt;" in page
    assert "Probably: Willow Court · Building 9" in page
    assert "10.0.0.7" in page
    assert client.get(f"/unclaimed/{PATH}").status_code == 200
    assert yard.client("north").get(f"/unclaimed/{PATH}").status_code == 404
    assert "1 new device" in client.get(f"/?site={SITE}").text


def test_what_was_typed_stays_beside_what_is_to_be_mended(yard: Courtyard) -> None:
    client = yard.client("wu.min")
    typed = {"site": SITE, "id": "pumps-1", "name_en": "Third", "where": "9/2", "param.pumps": "many"}
    answer = client.post(f"/unclaimed/{PATH}/adopt", data=typed)
    assert answer.status_code == 422
    assert "id: found &#39;pumps-1&#39;" in answer.text
    assert "params.pumps" in answer.text
    assert 'value="Third"' in answer.text
    assert 'value="many"' in answer.text


def test_what_home_assistant_was_told_long_ago_names_a_new_device(yard: Courtyard) -> None:
    """The broker has kept the announcement since long before the gateway listened."""
    profile = yard.context.library["homeassistant"]
    said = (
        b'{"name": "Bilge leak", "dev_cla": "moisture", "stat_t": "bilge/leak", "dev": {"mdl": "WL-2", "sw": "1.4.0"}}'
    )
    decoder = Decoder([profile], Registry(version="", devices=[]))
    now = to_millis(datetime.now(UTC))
    readings = decoder.decode("homeassistant/binary_sensor/bilge/config", said, now, retained=True)
    yard.context.intake.take(
        Batch(gateway="gateway-2", first_seq=1, last_seq=1, progress_at=now, readings=readings, status=None)
    )
    (found,) = [one for one in yard.client("chen.yu").get("/api/v1/unclaimed").json()["items"] if "bilge" in one["id"]]
    assert (found["announced"]["name"], found["announced"]["model"]) == ("Bilge leak", "WL-2")
    page = yard.client("chen.yu").get("/unclaimed").text
    entry = page.split("binary_sensor.bilge", 1)[1].split("</li>", 1)[0]
    assert "Bilge leak" in entry and "WL-2" in entry and "1.4.0" in entry


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "The name is missing: what people call it, such as Pump 2."),
        ("zh", "缺少名称：大家怎么叫它，例如“2 号泵”。"),
    ],
)
def test_a_device_without_a_name_is_not_adopted(yard: Courtyard, language: str, said: str) -> None:
    client = yard.client("wu.min")
    typed = {"site": SITE, "id": "pumps-3", "name_zh": " ", "name_en": "", "where": "9/2"}
    answer = client.post(f"/unclaimed/{PATH}/adopt", params={"lang": language}, data=typed)
    assert answer.status_code == 422
    alert = answer.text.split('role="alert"', 1)[1].split("</div></div>", 1)[0]
    assert said in alert
    assert "None" not in alert and "expected" not in alert
    assert 'value="pumps-3"' in answer.text, "what was typed stays"
    with yard.context.database.read() as connection:
        assert connection.execute(select(devices).where(devices.c.id == "pumps-3")).one_or_none() is None


@pytest.mark.browser
@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
def test_a_device_is_adopted_on_a_phone(chromium: Browser, yard: Courtyard, language: str) -> None:
    options: dict[str, Any] = {"locale": language, "viewport": PHONE}
    with serving(yard) as server, browsing(chromium, server.url, yard, "wu.min", **options) as page:
        page.goto("/unclaimed")
        _fits(page)
        page.locator(".new-device .primary").click()
        page.locator("#name_en").fill("Third set")
        _fits(page)
        expect(page.locator("#where")).to_have_value("9")
        page.locator("#where").select_option("9/2")
        page.locator("#param\\.pumps").fill("3")
        page.locator("#serves\\.extra").select_option("pump:*")
        page.locator("#id").fill("pumps-3")
        page.locator(".place-form .primary").click()
        page.wait_for_url("**/devices/pumps-3")
        expect(page.locator("h1")).to_have_text("9 号楼 泵组" if language == "zh-CN" else "Third set")
        expect(page.locator("#break .chain li")).to_have_count(4)
        _fits(page)
        page.goto("/devices/pumps-3/place")
        expect(page.locator("#where")).to_have_value("9/2")
        expect(page.locator("#serves\\.extra")).to_have_value("pump:*")
        _fits(page)
        page.locator("form[action$='/unadopt'] button").click()
        page.wait_for_url(f"**/unclaimed/{PATH}")
    with yard.context.database.read() as connection:
        row = connection.execute(select(devices).where(devices.c.id == "pumps-3")).one()
    assert (row.retired_at is not None, row.params, row.unit) == (True, {"pumps": 3}, "2")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_see_where_the_break_is(chromium: Browser, yard: Courtyard, scheme: str) -> None:
    _cut(yard, "uplink_cut", heard_at=datetime.now(UTC) - timedelta(minutes=12))
    plug_in(yard, provisional_id("booster_set", "left-out"), "left-out")
    options: dict[str, Any] = {"locale": "en-GB", "color_scheme": scheme, "viewport": DESKTOP}
    found: list[str] = []
    with serving(yard) as server, browsing(chromium, server.url, yard, "chen.yu", **options) as page:
        for path in (f"/?site={SITE}", "/devices/gate-1", "/unclaimed", f"/unclaimed/{PATH}", "/devices/gate-1/place"):
            page.goto(path, wait_until="load")
            found += violations(page, scheme)
            page.set_viewport_size(PHONE)
            _fits(page)
            page.set_viewport_size(DESKTOP)
    assert not found, "\n".join(found)


def _fits(page: Page) -> None:
    assert too_wide(page) == []
