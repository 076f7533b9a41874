"""The pages without a browser: who sees what, and what forms do."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, select, update

from services.accounts import desk
from services.accounts.policy import Grant, Role
from services.intake.set_aside import keep
from services.tables import alarms, devices, outages, tickets
from tests.web.conftest import Courtyard
from tests.web.seed import PASSWORD, SITE

PAGES = (
    "/",
    f"/?site={SITE}&group=building",
    "/?site=north-gate",
    "/devices/pile-3",
    "/devices/pile-3?child=port:5&range=1h",
    "/devices/pumps-1",
    "/devices/nvr-1",
    "/alarms",
    "/alarms?state=all&severity=critical",
    "/alarms/a-hot",
    "/alarms/a-past",
    "/tickets",
    "/tickets?show=mine",
    "/tickets?show=done&trade=plumbing",
    "/tickets/t-pump",
    "/tickets/t-old",
    "/notices",
    "/notices?state=failed",
    "/quarantine",
    "/health",
    "/account",
    f"/public/{SITE}",
    "/public/north-gate",
)


@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize("path", PAGES)
def test_page_answers(standing: Courtyard, path: str, language: str) -> None:
    answer = standing.client("chen.yu", language).get(path)
    assert answer.status_code == 200
    assert f'<html lang="{language}">' in answer.text
    assert not re.search(r"<script(?![^>]*src=)[^>]*>|\sstyle=|\son\w+=", answer.text), "inline script or style"


def test_a_stranger_is_led_to_sign_in(standing: Courtyard) -> None:
    for path in PAGES[:-2]:
        answer = standing.client().get(path)
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/login?next=")


def test_crew_sees_tickets_but_no_board(standing: Courtyard) -> None:
    crew = standing.client("li.wei")
    assert crew.get("/").headers["location"] == "/tickets"
    assert crew.get("/tickets").status_code == 200
    for path in ("/notices", "/quarantine", f"/board/fragments?site={SITE}"):
        answer = crew.get(path)
        assert answer.status_code == 403
        assert "Not for you" in answer.text


def test_nothing_of_another_site_is_seen(courtyard: Courtyard) -> None:
    now = datetime.now(UTC)
    person = desk.add_person(
        courtyard.context.database,
        login="zhao.min",
        password=PASSWORD,
        grants=[Grant("north-gate", Role.ENGINEER)],
        now=now,
        who=None,
    )
    courtyard.people["zhao.min"] = person.id
    client = courtyard.client("zhao.min")
    assert "Willow Court" not in client.get("/").text
    assert "Ticket" not in client.get("/tickets").text.split("<main", 1)[1].replace("Tickets", "")
    for path in (f"/?site={SITE}", "/devices/pile-3", "/devices/pile-3/history?metric=cabinet_temp", "/alarms/a-hot",
                 "/tickets/t-pump", f"/board/fragments?site={SITE}"):  # fmt: skip
        assert client.get(path).status_code == 404, path
    for path in ("/alarms/a-hot/acknowledge", "/tickets/t-pump/note", "/notices/n-2/retry"):
        assert client.post(path, data={"note": "x"}).status_code == 404, path
    client.post("/tickets/t-hot/move/start", data={"version": 1})
    with courtyard.context.database.read() as connection:
        assert connection.scalar(select(tickets.c.state).where(tickets.c.id == "t-hot")) == "open"
        assert connection.scalar(select(alarms.c.acknowledged_at).where(alarms.c.id == "a-hot")) is None


# --- residents ---


def test_residents_read_words_and_no_devices(standing: Courtyard) -> None:
    answer = standing.client(language="zh-CN").get(f"/public/{SITE}")
    text = answer.text
    assert answer.headers["cache-control"] == "public, max-age=15"
    assert "供水" in text
    assert "部分受限" in text
    assert "2 号楼、3 号楼、4 号楼、5 号楼 1 单元" in text
    assert "请错峰用水" in text
    assert "021-5550 1234" in text
    with standing.context.database.read() as connection:
        ids = set(connection.scalars(select(devices.c.id)))
    for secret in (*ids, "李伟", "li.wei", "陈宇", "a-pump", "booster_set"):
        assert secret not in text, secret


def test_the_residents_page_is_the_same_for_all(standing: Courtyard) -> None:
    stranger, engineer = standing.client(), standing.client("chen.yu")
    one, other = (client.get(f"/public/{SITE}").text for client in (stranger, engineer))
    strip = re.compile(r'data-now="[^"]*"|<time.*?</time>')
    assert strip.sub("", one) == strip.sub("", other)


def test_a_quiet_site_says_that_everything_works(standing: Courtyard) -> None:
    assert "Everything works" in standing.client().get("/public/north-gate").text


def test_a_whole_outage_is_told_as_one(courtyard: Courtyard) -> None:
    everywhere = {"buildings": [str(n) for n in range(1, 10)], "units": [], "households": 432}
    with courtyard.context.database.write() as connection:
        connection.execute(update(outages).where(outages.c.id == "o-1").values(impact=everywhere, loss="full"))
    text = courtyard.client().get(f"/public/{SITE}").text
    assert "The whole community" in text
    assert "Out of service" in text


def test_an_unknown_community_is_told_kindly(standing: Courtyard) -> None:
    answer = standing.client(language="zh-CN").get("/public/nowhere")
    assert answer.status_code == 404
    assert "没有这个小区" in answer.text
    assert "nowhere" not in answer.text.split("<main", 1)[1]


def test_a_chosen_language_is_remembered_and_not_cached_for_others(standing: Courtyard) -> None:
    client = standing.client(language="en")
    first = client.get(f"/public/{SITE}?lang=zh")
    assert 'lang="zh-CN"' in first.text
    assert "public" not in first.headers["cache-control"]
    assert 'lang="zh-CN"' in client.get(f"/public/{SITE}").text


# --- forms ---


def test_a_crew_member_works_a_ticket_through(courtyard: Courtyard) -> None:
    crew = courtyard.client("li.wei")

    def send(path: str, **data: object) -> None:
        page = crew.get("/tickets/t-hot").text
        found = re.search(r'name="version" value="(\d+)"', page)
        assert found, path
        answer = crew.post(f"/tickets/t-hot/{path}", data={"version": found[1], **data})
        assert answer.status_code == 303, answer.text

    send("assign", to="li.wei")
    send("move/start")
    send("step/0", done="yes")
    send("note", note="<b>插座已更换</b>")
    send("move/close", note="done")
    text = crew.get("/tickets/t-hot").text
    assert "&lt;b&gt;插座已更换&lt;/b&gt;" in text
    assert "Step done: See on site that the power is cut" in text
    assert "Closed" in text
    assert "Reopen" in text


def test_who_comes_second_is_told_and_keeps_the_note(courtyard: Courtyard) -> None:
    crew, engineer = courtyard.client("li.wei"), courtyard.client("chen.yu")
    assert engineer.post("/tickets/t-hot/move/start", data={"version": 1}).status_code == 303
    answer = crew.post("/tickets/t-hot/move/close", data={"version": 1, "note": "做完了"})
    assert answer.status_code == 409
    assert "Somebody changed this ticket meanwhile" in answer.text
    assert "做完了</textarea>" in answer.text


def test_a_ticket_goes_only_to_those_who_work_there(courtyard: Courtyard) -> None:
    answer = courtyard.client("chen.yu").post("/tickets/t-hot/assign", data={"version": 1, "to": "nobody"})
    assert answer.status_code == 422
    assert "Choose somebody who works at this site" in answer.text


def test_a_form_without_its_token_does_nothing(courtyard: Courtyard) -> None:
    client = courtyard.client("chen.yu")
    del client.headers["X-CSRF-Token"]
    answer = client.post("/alarms/a-hot/acknowledge")
    assert answer.status_code == 403
    assert "The form is too old" in answer.text


def test_acknowledging_is_told_to_all(courtyard: Courtyard) -> None:
    client = courtyard.client("chen.yu")
    assert client.post("/alarms/a-hot/acknowledge").headers["location"] == "/alarms/a-hot"
    assert "陈宇 has seen it" in client.get("/alarms/a-hot").text


def test_an_alarm_explains_itself(standing: Courtyard) -> None:
    text = standing.client("chen.yu").get("/alarms/a-hot").text
    for said in ("Port temperature", "86\u00a0°C", "port_temp &gt;= 80 °C", "for 30 s", "Vendor", "AP3000 V8.6"):
        assert said in text, said


def test_readings_set_aside_are_seen_by_who_may_see_everything(courtyard: Courtyard) -> None:
    now = courtyard.context.clock.now()
    with courtyard.context.database.write() as connection:
        keep(connection, now=now, device="<b>cs-1", child="port:3", error=KeyError("<script>"), reading=None)
    page = courtyard.client("chen.yu").get("/quarantine").text
    assert "KeyError: &#39;&lt;script&gt;&#39;" in page
    assert "port:3" in page
    assert "1 set aside" in courtyard.client("chen.yu").get(f"/?site={SITE}").text


def test_quarantine_shows_payloads_safely_and_replays(courtyard: Courtyard) -> None:
    client = courtyard.client("chen.yu")
    page = client.get("/quarantine").text
    assert "<script>" not in page.split("<main", 1)[1]
    assert "ff 00 3c 73" in page
    answer = client.post("/quarantine/replay", data={"which": "all"})
    assert answer.headers["location"] == "/quarantine?taken=1&refused=2"
    assert "1 taken in, 2 still refused" in client.get(answer.headers["location"]).text


def test_a_failed_notice_is_sent_again(courtyard: Courtyard) -> None:
    client = courtyard.client("chen.yu")
    assert "550 mailbox unavailable" in client.get("/notices?state=failed").text
    assert client.post("/notices/n-2/retry").status_code == 303
    assert "550 mailbox unavailable" not in client.get("/notices?state=failed").text


def test_history_has_points_gap_and_thresholds(standing: Courtyard) -> None:
    client = standing.client("chen.yu")
    drawn = client.get("/devices/pile-3/history?child=port:5&metric=port_temp&range=24h").json()
    (series,) = drawn["series"]
    assert series["uom"] == "°C"
    assert series["points"][-1][1] == 86.0
    assert {line["value"] for line in drawn["thresholds"]} == {60.0, 80.0}
    assert client.get("/devices/pile-3/history?metric=nothing").status_code == 404


def test_fragments_hold_only_what_was_asked_for(standing: Courtyard) -> None:
    client = standing.client("chen.yu")
    text = client.get(f"/board/fragments?site={SITE}&device=pile-3&device=gate-1").text
    assert re.findall(r'id="device-([\w-]+)"', text) == ["pile-3", "gate-1"]
    assert 'id="headline"' in text
    assert 'id="side"' not in text
    assert 'id="side"' in client.get(f"/board/fragments?site={SITE}&side=1").text
    assert text.count("hx-swap-oob") == 3


def test_signing_in_leads_back(standing: Courtyard) -> None:
    client = standing.client()
    answer = client.post("/login", data={"login": "li.wei", "password": PASSWORD, "next": "/tickets/t-pump"})
    assert answer.headers["location"] == "/tickets/t-pump"
    assert client.get("/login").headers["location"] == "/"
    assert "do not go together" in standing.client().get("/login?error=wrong").text
    assert "//evil" not in standing.client().get("/login?next=//evil.example").text


def test_one_changes_ones_own_password(courtyard: Courtyard) -> None:
    crew, new = courtyard.client("li.wei"), "a-much-longer-walk-9"
    for current, first, second, said in (
        ("wrong", new, new, "The current password is not right"),
        (PASSWORD, new, "another", "The two new passwords differ"),
        (PASSWORD, "short", "short", "too easy"),
    ):
        answer = crew.post("/account/password", data={"current": current, "new": first, "again": second})
        assert answer.status_code == 422
        assert said in answer.text
    assert crew.post("/account/password", data={"current": PASSWORD, "new": new, "again": new}).status_code == 303
    assert crew.get("/tickets").status_code == 303, "signed out everywhere"
    answer = courtyard.client().post("/login", data={"login": "li.wei", "password": new})
    assert answer.headers["location"] == "/"


def test_the_accounts_language_is_kept(courtyard: Courtyard) -> None:
    crew = courtyard.client("li.wei", "en")
    crew.post("/account/language", data={"language": "zh"})
    assert 'lang="zh-CN"' in crew.get("/tickets").text


# --- what a newcomer looks for ---


def test_tickets_in_a_list_say_which_part_is_meant(standing: Courtyard) -> None:
    client = standing.client("chen.yu")
    for path in ("/tickets", f"/?site={SITE}", "/devices/pile-3"):
        row = next(part for part in client.get(path).text.split('<a class="row') if "/tickets/t-hot" in part)
        assert "· Port 5" in row, path


def test_a_device_in_no_site_file_is_shown_to_those_who_see_all(courtyard: Courtyard) -> None:
    with courtyard.context.database.write() as connection:
        stranger = {"id": "booster_set:pumpz", "profile": "booster_set", "address": "pumpz", "params": {}}
        words = {"name_zh": "", "name_en": "", "place_zh": "", "place_en": ""}
        connection.execute(insert(devices).values(**stranger, **words))
    client = courtyard.client("chen.yu")
    assert 'href="/unclaimed">1 new device' in client.get(f"/?site={SITE}").text
    section = client.get("/quarantine").text.split('id="unclaimed"', 1)[1]
    assert "pumpz" in section
    assert client.get("/devices/booster_set:pumpz").status_code == 200


def test_replaying_nothing_is_said(courtyard: Courtyard) -> None:
    client = courtyard.client("chen.yu")
    answer = client.post("/quarantine/replay", data={"which": "selected"})
    assert "Nothing was selected." in client.get(answer.headers["location"]).text


def test_a_device_without_a_past_begins_with_an_hour(standing: Courtyard) -> None:
    client = standing.client("chen.yu")
    for path, span in (("/devices/pile-3", "24h"), ("/devices/pumps-1?child=pump:1", "1h")):
        chosen = re.search(r'range=(\w+)#history" aria-current="true"', client.get(path).text)
        assert chosen, path
        assert chosen[1] == span
