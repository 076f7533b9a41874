"""What users of comparable systems complain about in rules and alarms: docs/rules.md lists each beside its test.

Most of these tests stand with the part that they try; here are those that stood nowhere, and the list itself.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.rules.desk import AlarmDesk
from services.scope import EVERYWHERE
from tests.timeline import Timeline

ROOT = Path(__file__).parents[2]
IDS = [
    "TB#14210",
    "TB#7227",
    "TB#6105",
    "TB#11803",
    "TB#7811",
    "TB#5300",
    "TB#3618",
    "TB#11110",
    "JL#517",
    "JL#147",
    "UK#1089",
    "UK#7385",
    "AM#4064",
    "AM#226",
    "AM#1860",
    "GF#77800",
    "GF#53443",
    "KP#5257",
    "prometheus#1154",
    "FR#1932",
    "FR#2790",
    "OC#4846",
    "OC#1206",
]
"""Of ThingsBoard, JetLinks, Uptime Kuma, Alertmanager, Grafana, Keep, Prometheus, Frigate and Grafana OnCall."""
_ROW = re.compile(r"^\| (?P<ids>[^|]+) \| (?P<complaint>[^|]+) \| (?P<here>[^|]+) \| (?P<tests>[^|]+) \|$", re.M)
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")

PUMPS = """
profile: pumps
family: water_pump
name: {zh: 泵, en: Pumps}
metrics:
  pressure: {name: {zh: 压力, en: Pressure}, uom: MPa, range: [0, 3], period: 30s}
  flow: {name: {zh: 流量, en: Flow}, uom: m³/h, range: [0, 99], period: 30s}
availability: {period: 30s, offline_after: 5m}
bindings: [{id: t, topic: "p/{address}", decode: [{json: true}], fields: {pressure: p, flow: f}}]
rules:
  - id: low
    name: {zh: 低, en: Low}
    when: pressure < 0.2 MPa
    severity: major
    source: {kind: judgement}
    ticket: look
  - id: no_flow_data
    name: {zh: 无流量, en: No flow data}
    when: age(flow) > 3m
    severity: minor
    source: {kind: judgement}
    ticket: look
  - id: gone
    name: {zh: 失联, en: Gone}
    when: presence == offline
    clear: {for: 0s}
    severity: major
    needs: any
    source: {kind: judgement}
    ticket: look
tickets:
  look: {title: {zh: 看, en: Look}, trade: plumbing, priority: P2, due: 4h, steps: [{zh: 看, en: Look}]}
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Timeline]:
    timeline = Timeline(tmp_path, PUMPS, devices={"p1": "pumps"})
    yield timeline
    timeline.close()


def people(site: Timeline) -> AlarmDesk:
    return AlarmDesk(database=site.database, intake=site.intake, clock=site.clock)


def test_a_new_episode_is_a_new_alarm_that_nobody_has_acknowledged(site: Timeline) -> None:
    site.at("00:05").keeps("p1", pressure=0.1, flow=5.0).expect_alarm("p1", "low")
    first = site.alarms("p1", "low")[0]
    people(site).acknowledge(EVERYWHERE, first.id, by="li")
    site.keeps("p1", pressure=0.5, flow=5.0).at("00:10").expect_no_alarm()
    site.keeps("p1", pressure=0.1, flow=5.0).expect_alarm("p1", "low").expect_tickets(2)
    old, new = site.alarms("p1", "low")
    assert (old.id, old.acknowledged_by, old.state) == (first.id, "li", "cleared")
    assert new.id != old.id
    assert (new.acknowledged_by, new.state) == (None, "active")
    assert [one.alarm for one in site.tickets()] == [old.id, new.id]
    assert len(site.notices("alarm", "raised")) == 2


def test_a_value_that_comes_seldom_is_missing_once_and_neither_low_nor_high(site: Timeline) -> None:
    """Its flow comes every four minutes where three are allowed, for three hours; its pressure never comes at all."""
    for minute in range(0, 180, 4):
        site.at(f"{minute // 60:02}:{minute % 60:02}").reading("p1", flow=5.0)
    site.expect_no_alarm("p1", "low")
    assert len(site.alarms("p1", "no_flow_data")) <= 4, "from the fourth on it is one that flaps"
    assert len(site.notices("alarm")) <= 8
    site.expect_alarm("p1", "no_flow_data")


def test_two_messages_within_one_second_are_one_alarm(site: Timeline) -> None:
    site.at("00:05").reading("p1", pressure=0.1).reading("p1", pressure=0.11)
    site.reading("p1", pressure=0.1).expect_alarm("p1", "low").expect_tickets(1)
    assert len(site.alarms("p1", "low")) == 1


def test_a_device_that_is_dead_is_offline_however_lively_its_gateway_and_comes_back(site: Timeline) -> None:
    """The gateway reports its progress at each step: that is no word of the device's."""
    site.at("00:01").keeps("p1", pressure=0.5, flow=5.0).at("00:05").silent("p1")
    site.at("00:09").expect_no_alarm("p1", "gone")
    site.at("00:11").expect_alarm("p1", "gone").restart().at("02:00").expect_alarm("p1", "gone").expect_tickets(2)
    site.keeps("p1", pressure=0.5, flow=5.0).expect_no_alarm("p1", "gone")


def test_a_flapper_of_an_hour_is_one_alarm_and_three_notices(site: Timeline) -> None:
    """Once a second it fails and recovers; `low` clears after a minute by default, so most of it is one episode."""
    site.at("00:05")
    for _ in range(60):
        site.every("1s", "1m", "p1", {"pressure": 0.1, "flow": 5.0}, {"pressure": 0.5, "flow": 5.0})
    site.expect_alarm("p1", "low")
    assert site.alarms("p1", "low")[0].flaps
    site.keeps("p1", pressure=0.5, flow=5.0).after("40m").expect_no_alarm("p1", "low")
    assert len(site.alarms("p1", "low")) == 1
    assert [one.event for one in site.notices("alarm")] == ["raised", "flapping", "cleared"]
    site.expect_tickets(1)


def test_what_gets_worse_is_told_to_who_wants_to_know_of_worse_and_eases_again(tmp_path: Path) -> None:
    """Up by condition, down when it eases: who wants critical alarms only hears of it when it is one."""
    graded = PUMPS.replace(
        "    severity: major\n    source: {kind: judgement}\n    ticket: look\n  - id: no_flow",
        "    severity: minor\n    grades: [{severity: critical, when: pressure < 0.05 MPa}]\n"
        "    source: {kind: judgement}\n    ticket: look\n  - id: no_flow",
    )
    boss = {"id": "boss", "audience": "engineers", "channel": "webhook", "to": "https://e.example/boss"}
    site = Timeline(
        tmp_path, graded, devices={"p1": "pumps"}, more={"recipients": [{**boss, "min_severity": "critical"}]}
    )
    site.at("00:05").keeps("p1", pressure=0.1, flow=1.0).expect_alarm("p1", "low", severity="minor")
    assert site.notices("alarm") == []
    site.keeps("p1", pressure=0.01, flow=1.0).expect_alarm("p1", "low", severity="critical")
    site.keeps("p1", pressure=0.1, flow=1.0).expect_alarm("p1", "low", severity="minor")
    site.keeps("p1", pressure=0.5, flow=1.0).after("5m").expect_no_alarm()
    assert [one.event for one in site.notices("alarm")] == ["raised", "cleared"]
    site.close()


def test_changed_rules_are_a_file_that_another_site_takes(tmp_path: Path) -> None:
    from tests.services.rulebook.kit import migrated, yard_in

    books: list[Any] = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        migrated(tmp_path / name)
        with yard_in(tmp_path / name) as yard:
            book = books[0] if books else {"rules": {"pumps": {"low": {"for": "5m", "when": "pressure < low * 0.9"}}}}
            assert yard.put(book).status_code == 200
            books.append(yard.get("/rule-book")["book"])
    assert books[0] == books[1]


# --- the list --------------------------------------------------------------------------------------------------------


def rows() -> list[re.Match[str]]:
    text = (ROOT / "docs/rules.md").read_text(encoding="utf-8")
    part = text[text.index("## What others are blamed for") :]
    return [row for row in _ROW.finditer(part) if "::" in row["tests"]]


def test_every_complaint_stands_in_the_list() -> None:
    listed = " ".join(row["ids"] for row in rows())
    assert [one for one in IDS if not re.search(rf"{re.escape(one)}\b", listed)] == []


def test_every_row_says_what_is_so_here_and_names_its_tests() -> None:
    assert len(rows()) >= 25
    for row in rows():
        assert len(row["here"].strip()) > 20, row[0]
        assert _TEST.sub("", row["tests"]).strip(" ,") == "", f"a test is named `file::test`: {row['tests']}"


@pytest.mark.parametrize("named", sorted({one.groups() for row in rows() for one in _TEST.finditer(row["tests"])}))
def test_every_test_of_the_list_exists(named: tuple[str, str]) -> None:
    file, test = named
    path = ROOT / file
    assert path.exists(), f"docs/rules.md names {file}"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    there = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert test in there, f"docs/rules.md names {file}::{test}"
