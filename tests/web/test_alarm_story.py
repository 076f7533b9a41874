"""The page of an alarm tells its whole story, and that of a device why there is none: in words, colour and lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, expect
from sqlalchemy import Connection, delete, insert, select, update

from services.groups.rule import SITE_RULES
from services.tables import alarm_events, alarms, maintenance_windows, rule_books, rule_corrections
from tests.web.conftest import Courtyard, build, serving
from tests.web.seed import SITE
from tests.web.test_browser import PHONE, browsing, chromium, too_wide, violations

__all__ = ["chromium"]
PAGES = (
    "/alarms/a-hot",
    "/alarms/a-inlet",
    "/alarms/a-storm",
    "/alarms/a-folded",
    "/alarms/a-quiet",
    "/devices/pumps-1/rules",
)


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Courtyard]:
    """Alarms of every fate."""
    with ExitStack() as stack:
        courtyard = build(stack, tmp_path_factory.mktemp("story"))
        with courtyard.context.database.write() as connection:
            _fates(connection, datetime.now(UTC))
        yield courtyard


def _fates(connection: Connection, now: datetime) -> None:
    hot = dict(connection.execute(select(alarms).where(alarms.c.id == "a-hot")).one()._mapping)
    raised = hot["raised_at"]

    def told(alarm: str, number: int, kind: str, minutes: float, who: str | None = None, **data: Any) -> dict[str, Any]:
        at = raised + timedelta(minutes=minutes)
        return {"id": f"{alarm}-{number}", "alarm": alarm, "at": at, "kind": kind, "data": data, "who": who}

    inlet = {
        "name": {"zh": "进水压力过低", "en": "Inlet pressure low"},
        "condition": "inlet_pressure < 0.10 MPa", "for_seconds": 30.0, "clear": "inlet_pressure > 0.12 MPa",
        "clear_for_seconds": 60.0, "values": {"inlet_pressure": 0.06},
        "measured_at": raised.isoformat(), "source": {"kind": "standard", "ref": "CJJ 140"},
    }  # fmt: skip
    storm = {
        "name": {"zh": "同因大量告警", "en": "Many alarms of one cause"}, "condition": "alarms > 10",
        "values": {"alarms": 14}, "for_seconds": 0.0,
        "storm": {"count": 14, "told": 11, "within_seconds": 600, "devices": ["pile-1", "pile-2"],
                  "profile": "ebike_charger_json", "rule": "port_hot"},
    }  # fmt: skip
    rows = [
        {**hot, "id": "a-inlet", "device": "pumps-1", "child": "", "rule": "inlet_low", "profile": "booster_set",
         "severity": "major", "reason": inlet, "pending_since": raised - timedelta(minutes=9), "flaps": 5},
        {**hot, "id": "a-storm", "device": f"storm:{SITE}", "child": "ebike_charger_json",
         "profile": "courtyard_storms", "reason": storm, "pending_since": None},
        {**hot, "id": "a-folded", "device": "pile-1", "child": "port:1", "parent": "a-storm"},
        {**hot, "id": "a-quiet", "device": "pile-2", "child": "port:1", "state": "suppressed",
         "suppressed_by": {"kind": "maintenance", "id": "w-1", "since": 0}},
    ]  # fmt: skip
    connection.execute(insert(alarms), rows)
    connection.execute(update(alarms).where(alarms.c.id == "a-hot").values(step=1, step_at=now))
    connection.execute(
        insert(alarm_events),
        [
            told("a-hot", 0, "suppressed", 0, by="cause", id="a-offline"),
            told("a-hot", 1, "raised", 2, why="cause_cleared"),
            told("a-hot", 2, "severity", 2.5, **{"from": "major", "to": "critical"}),
            told("a-hot", 3, "step", 3, step=1, told=2, reason="unacknowledged", waited_seconds=60),
            told("a-hot", 4, "acknowledged", 3.5, who="li.wei"),
            told("a-inlet", 0, "raised", 0, why="condition_held"),
            told("a-inlet", 1, "flapping", 1, times=4, within_seconds=1800.0),
            told("a-inlet", 2, "snoozed", 2, who="li.wei", until=(now + timedelta(hours=1)).isoformat()),
            told("a-storm", 0, "raised", 0, why="storm"),
            told("a-folded", 0, "folded", 0, parent="a-storm", why="condition_held"),
            told("a-quiet", 0, "suppressed", 0, by="maintenance", id="w-1"),
        ],
    )
    early = raised - timedelta(minutes=39)
    connection.execute(
        insert(rule_corrections),
        [
            late("late-1", early, holds=True, pressure=0.05),
            late("late-2", raised + timedelta(minutes=1), holds=False, pressure=0.31),
            late("late-3", raised - timedelta(days=2), holds=True, pressure=0.04),
        ],
    )
    connection.execute(
        insert(maintenance_windows).values(
            id="w-1", site=SITE, title="Pump overhaul", scope={}, starts_at=now - timedelta(hours=1),
            ends_at=now + timedelta(hours=1), created_at=now, created_by="li.wei",
        )
    )  # fmt: skip
    connection.execute(
        insert(rule_books).values(
            site=SITE, version=1, at=raised - timedelta(days=1), who="wu.min", note="", preview=None,
            content={"rules": {"booster_set": {"inlet_low": {"for": "30s"}},
                               "ebike_charger_json": {"smoke": {"mode": "off"}}}},
        )
    )  # fmt: skip


def late(id: str, measured: datetime, *, holds: bool, pressure: float) -> dict[str, Any]:
    data = {"condition": "inlet_pressure < 0.10 MPa", "values": {"inlet_pressure": pressure}, "holds": holds}
    known = measured + timedelta(hours=5)
    return {"id": id, "site": SITE, "device": "pumps-1", "child": "", "rule": "inlet_low", "measured_at": measured,
            "known_at": known, "data": data}  # fmt: skip


@pytest.fixture(scope="module")
def crew(yard: Courtyard) -> TestClient:
    return yard.client("li.wei")


def test_an_alarm_says_in_a_sentence_what_held_and_with_which_values(crew: TestClient) -> None:
    page = crew.get("/alarms/a-inlet").text
    assert "Municipal inlet pressure was below 0.10\xa0MPa for 30 s: 0.06\xa0MPa at" in page
    assert "Its delay stood still for 510 s: data were missing or could not be trusted." in page
    assert "as changed by the rule book, version 1 by wu.min" in page
    assert "clears: &gt; 0.12\xa0MPa" in page
    chinese = crew.get("/alarms/a-inlet?lang=zh").text
    crew.cookies.delete("courtyard_language")
    assert "市政进水压力低于 0.10\xa0MPa，持续 30 秒" in chinese


def test_who_was_counted_stands_there_once_and_by_name(yard: Courtyard, crew: TestClient) -> None:
    counted = "number(device, presence == offline)"
    reason = {
        "condition": f"{counted} >= 2",
        "values": {counted: 2, f"{counted} met by": "2/3: pile-1, pile-2", f"{counted} not met by": "1/3: pile-3"},
    }
    with yard.context.database.write() as connection:
        hot = connection.execute(select(alarms).where(alarms.c.id == "a-hot")).one()._mapping
        several = {"id": "a-several", "device": f"site:{SITE}", "child": "", "profile": SITE_RULES, "reason": reason}
        connection.execute(insert(alarms).values({**hot, **several}))
    page = crew.get("/alarms/a-several").text
    with yard.context.database.write() as connection:
        connection.execute(delete(alarms).where(alarms.c.id == "a-several"))
    assert 'id="members"' in page
    assert ">Charging station 1</a>" in page
    assert "pile-1, pile-2" not in page, "not a second time, by their ids"


@pytest.mark.parametrize(
    ("alarm", "told"),
    [
        ("a-hot", "Suppressed: its cause is told instead"),
        ("a-hot", "Station offline · Charging station 8"),
        ("a-hot", "Its cause was over, and it was still wrong."),
        ("a-hot", "More severe: Critical instead of Major"),
        ("a-hot", "Gone up to step 1: 2 notices"),
        ("a-hot", "李伟 has seen it"),
        ("a-inlet", "Flapping: it began 4 times within 30 min"),
        ("a-inlet", "李伟 snoozed it until"),
        ("a-storm", "14 alarms of one rule within 10 min"),
        ("a-storm", "Folded under it"),
        ("a-storm", "Charging station 2"),
        ("a-folded", "Folded under a storm of alarms"),
        ("a-folded", 'href="/alarms/a-storm"'),
        ("a-quiet", "Suppressed: people are at work here"),
        ("a-quiet", "Pump overhaul"),
    ],
)
def test_every_decision_stands_on_its_page_with_its_reason(crew: TestClient, alarm: str, told: str) -> None:
    assert told in crew.get(f"/alarms/{alarm}").text


def test_the_curve_has_the_thresholds_and_the_life_of_the_alarm(crew: TestClient) -> None:
    drawn = crew.get("/alarms/a-hot/curve").json()
    assert [(line["value"], line["clears"]) for line in drawn["thresholds"]] == [(80.0, False)]
    assert drawn["thresholds"][0]["text"] == "raises: ≥ 80\xa0°C"
    assert [one["text"] for one in drawn["stretches"]] == ["Pending", "Suppressed", "Active"]
    assert drawn["stretches"][0]["end"] == drawn["stretches"][1]["start"]
    assert drawn["series"][0]["points"]
    own = crew.get("/alarms/a-inlet/curve").json()
    assert [(line["value"], line["clears"]) for line in own["thresholds"]] == [(0.1, False), (0.12, True)]
    assert crew.get("/alarms/a-offline/curve").status_code == 404  # no metric to draw
    assert crew.get("/alarms/nothing/curve").status_code == 404


def test_the_api_says_the_same_as_the_page(crew: TestClient) -> None:
    found = crew.get("/api/v1/alarms/a-inlet/explain").json()
    assert found["sentence"]["en"].startswith("Municipal inlet pressure was below 0.10\xa0MPa for 30 s: 0.06\xa0MPa at")
    assert found["sentence"]["zh"].startswith("市政进水压力低于 0.10\xa0MPa，持续 30 秒")
    assert found["stood_still_seconds"] == 510
    assert found["changed_by"]["version"] == 1 and found["changed_by"]["who"] == "wu.min"
    assert [(one["metric"], one["sign"], one["value"], one["clears"]) for one in found["thresholds"]] == [
        ("inlet_pressure", "<", 0.1, False),
        ("inlet_pressure", ">", 0.12, True),
    ]
    assert [one["kind"] for one in found["decisions"]] == ["pending", "raised", "flapping", "snoozed"]
    assert [one["kind"] for one in found["life"]] == ["pending", "active"] and found["life"][1]["end"] is None
    suppressed = crew.get("/api/v1/alarms/a-hot/explain").json()
    assert [one["kind"] for one in suppressed["life"]] == ["pending", "suppressed", "active"]
    assert suppressed["decisions"][1]["names"] == "/alarms/a-offline"
    assert crew.get("/api/v1/alarms/a-storm/explain").json()["folded"] == 1
    assert crew.get("/api/v1/alarms/nothing/explain").status_code == 404


def test_late_data_stand_beside_the_alarm_and_on_the_devices_rules(crew: TestClient) -> None:
    found = crew.get("/api/v1/alarms/a-inlet/explain").json()["corrections"]
    assert [(one["held"], one["values"]) for one in found] == [
        (False, {"inlet_pressure": 0.31}),
        (True, {"inlet_pressure": 0.05}),
    ]
    page = crew.get("/alarms/a-inlet").text
    assert "Late data said that it held at" in page and "Late data said that it did not hold at" in page
    assert "0.31\xa0MPa" in page and "0.04\xa0MPa" not in page, "that was another day"
    rules = crew.get("/api/v1/devices/pumps-1/rules").json()
    assert [one["values"]["inlet_pressure"] for one in rules["corrections"]] == [0.31, 0.05, 0.04]
    assert "0.04\xa0MPa" in crew.get("/devices/pumps-1/rules").text
    assert "What late data said" not in crew.get("/alarms/a-hot").text


def test_alarms_are_found_by_their_fate(crew: TestClient) -> None:
    def ids(**query: str) -> set[str]:
        return {one["id"] for one in crew.get("/api/v1/alarms", params=query).json()["items"]}

    assert ids(flapping="true") == {"a-inlet"}
    assert "a-inlet" not in ids(flapping="false")
    assert ids(state="suppressed") == {"a-quiet"}
    assert ids(under="a-storm") == {"a-folded"}


def test_a_device_says_why_there_is_no_alarm(yard: Courtyard, crew: TestClient) -> None:
    rules = {one["rule"]: one for one in crew.get("/api/v1/devices/pumps-1/rules").json()["rules"]}
    assert rules["inlet_low"]["parts"][0]["state"] == "active"
    assert rules["inlet_low"]["parts"][0]["now"]["alarm"] == "a-inlet"
    assert rules["inlet_low"]["version"] == 1
    station = {one["rule"]: one for one in crew.get("/api/v1/devices/pile-3/rules").json()["rules"]}
    assert station["smoke"]["mode"] == "off" and station["smoke"]["parts"] == []
    kinds = {one["child"]: one["state"] for one in station["port_hot"]["parts"]}
    assert kinds["port:5"] == "active" and kinds["port:1"] == "quiet"
    page = crew.get("/devices/pile-3/rules").text
    assert "Switched off" in page and "Rule book, version 1" in page
    assert "not so: Port temperature ≥ 80 °C" in page
    assert "(never sent)" in page
    assert crew.get("/devices/nothing/rules").status_code == 404
    assert crew.get("/api/v1/devices/nothing/rules").status_code == 404


@pytest.mark.browser
@pytest.mark.parametrize(("language", "scheme"), [("en-GB", "light"), ("zh-CN", "dark")])
def test_everybody_can_read_the_story_on_a_phone(
    yard: Courtyard, chromium: Browser, language: str, scheme: str
) -> None:
    options: dict[str, Any] = {"locale": language, "viewport": PHONE, "color_scheme": scheme}
    with serving(yard) as server, browsing(chromium, server.url, yard, "li.wei", **options) as page:
        for path in PAGES:
            page.goto(path)
            assert too_wide(page) == []
            assert violations(page, scheme) == []
        page.goto("/alarms/a-hot")
        expect(page.locator("#chart-raise[data-drawn] canvas")).to_be_visible()
        expect(page.locator(".legend li")).to_have_count(4)  # its threshold, and three stretches of its life
