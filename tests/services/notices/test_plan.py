"""Who is told what."""

from __future__ import annotations

from datetime import timedelta

import pytest

from device_profiles.schema import Severity, Text
from services.notices.plan import AlarmEvent, Audience, OutageEvent, Recipient, for_alarm, for_outage
from services.notices.wording import outage_what
from tests.stories.site import MIDNIGHT

NOTHING = Text(zh="", en="")


def audience(*recipients: Recipient) -> Audience:
    return Audience(
        site="yard",
        name=Text(zh="小院", en="The Yard"),
        timezone="Asia/Shanghai",
        contact=Text(zh="电话 5555", en="Call 5555"),
        buildings={"1": Text(zh="1号楼", en="Building 1")},
        recipients=recipients,
    )


def to(audience: str, **more: object) -> Recipient:
    return Recipient(id=audience, audience=audience, channel="email", target="a@b.c", **more)  # type: ignore[arg-type]


def alarm(severity: str = "major", event: str = "raised") -> AlarmEvent:
    return AlarmEvent(
        id="a1",
        event=event,
        at=MIDNIGHT,
        severity=severity,
        rule="hot",
        rule_name=Text(zh="过热", en="Too hot"),
        device="st-1",
        device_name=Text(zh="一号站", en="Station 1"),
        place=Text(zh="东棚", en="East shed"),
        child="port:3",
        profile="p",
        reason={"condition": "temp > 80 °C", "values": {"temp": 82.5}, "since": MIDNIGHT.isoformat()},
    )


def outage(event: str = "started", buildings: tuple[str, ...] = ("1",)) -> OutageEvent:
    return OutageEvent(
        id="o1",
        update="u1",
        event=event,
        at=MIDNIGHT,
        service="charging",
        loss="degraded",
        what=Text(zh="部分充电口停用。", en="Some ports are out."),
        instead=Text(zh="请用西棚。", en="Use the west shed."),
        buildings=buildings,
        units=(),
        households=42,
        started_at=MIDNIGHT,
        next_news_at=None if event == "restored" else MIDNIGHT + timedelta(hours=2),
    )


@pytest.mark.parametrize("least", list(Severity))
@pytest.mark.parametrize("severity", list(Severity))
def test_the_least_severity_is_kept(least: Severity, severity: Severity) -> None:
    order = list(Severity)  # critical first
    told = for_alarm(alarm(severity.value), audience(to("engineers", min_severity=least.value)), public_url="")
    assert bool(told) == (order.index(severity) <= order.index(least))


def test_residents_never_hear_of_alarms_even_when_asked_to() -> None:
    assert for_alarm(alarm(), audience(to("residents", about=("alarm", "outage"))), public_url="") == []


def test_crew_hears_of_no_outage_and_about_narrows() -> None:
    assert for_outage(outage(), audience(to("crew")), public_url="") == []
    assert for_alarm(alarm(), audience(to("engineers", about=("ticket",))), public_url="") == []


def test_an_alarm_in_words() -> None:
    (notice,) = for_alarm(alarm(), audience(to("engineers", language="en")), public_url="http://c")
    assert notice.title == "[Major] Alarm · Too hot · Station 1"
    assert "Device: Station 1 (st-1 port:3)" in notice.body
    assert "Why: temp > 80 °C (temp = 82.5)" in notice.body
    assert "Since: 2026-03-02 08:00" in notice.body, "the site's clock, not UTC"
    assert "See: http://c/alarms/a1" in notice.body
    assert notice.key == "alarm:a1:raised:engineers"
    (zh,) = for_alarm(alarm(event="cleared"), audience(to("engineers")), public_url="http://c")
    assert zh.title == "[严重] 告警解除 · 过热 · 一号站"
    assert "原因：temp > 80 °C" in zh.body


def test_what_a_webhook_carries() -> None:
    (notice,) = for_alarm(alarm(), audience(to("engineers")), public_url="http://c")
    assert {"kind": "alarm", "event": "raised", "id": "a1", "site": "yard", "at": MIDNIGHT.isoformat()}.items() <= (
        notice.data.items()
    )
    assert notice.data["reason"]["values"] == {"temp": 82.5}
    assert notice.data["links"]["device"] == "http://c/devices/st-1"


def test_an_outage_in_residents_words() -> None:
    people = audience(to("residents"), to("engineers", language="en"))
    zh, en = for_outage(outage(), people, public_url="http://c")
    assert zh.title == "小院 · 电动自行车充电受影响"
    for part in (
        "部分充电口停用。",
        "位置：1号楼",
        "您可以：请用西棚。",
        "下次通报不晚于：2026-03-02 10:00",
        "电话 5555",
    ):
        assert part in zh.body
    assert "http://c/public/yard" in en.body
    assert zh.key == "outage:o1:u1:residents"
    over = for_outage(outage("restored"), people, public_url="http://c")[0]
    assert over.title == "小院 · 电动自行车充电已恢复正常。"
    assert "您可以" not in over.body
    assert "下次" not in over.body


def test_residents_of_other_buildings_are_left_alone() -> None:
    assert for_outage(outage(buildings=("2",)), audience(to("residents", buildings=("1",))), public_url="") == []
    assert for_outage(outage(buildings=("1", "2")), audience(to("residents", buildings=("1",))), public_url="")


@pytest.mark.parametrize("service", ["water", "charging", "access", "video", "parking", "lift", "heating", "lighting"])
@pytest.mark.parametrize("loss", ["full", "degraded"])
def test_every_service_has_plain_words(service: str, loss: str) -> None:
    assert outage_what(service, loss).zh
    assert outage_what(service, loss).en
