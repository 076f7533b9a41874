"""A device's rule over its own children, through the real intake: a station whose third port fails."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.reading import Quality
from tests.stories.site import GATE, MIDNIGHT, PUMPS, Story, opened, profile

STATION = """
  - id: pumps_out
    name: {zh: 多台水泵故障, en: Several pumps out}
    when: number(pump, run == fault) >= 3
    for: 1m
    clear: {for: 1m}
    severity: critical
    source: {kind: judgement}
  - id: weak
    name: {zh: 出力不足, en: Too weak}
    when: share(pump, current > 5 A and parent.pressure < 0.3 MPa) >= 50 %
    severity: minor
    source: {kind: judgement}
tickets:
"""
SITE = """
site: yard
name: {zh: 小院, en: The Yard}
timezone: Asia/Shanghai
devices: [{id: pumps, profile: pumps, params: {pumps: 4}}]
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Story]:
    library = {one.id: one for one in (profile(PUMPS.replace("tickets:\n", STATION.lstrip("\n"), 1)), profile(GATE))}
    database = opened(f"sqlite:///{tmp_path / 'c.db'}")
    story = Story(database, text=SITE, library=library)
    story.keeps_saying("pumps", pressure=0.5)
    for n in range(1, 5):
        story.keeps_saying("pumps", f"pump:{n}", run="running")
    yield story.at("00:01")
    database.close()


def rules(story: Story) -> list[str]:
    return sorted(alarm.rule for alarm in story.alarms() if alarm.rule in ("pumps_out", "weak"))


@pytest.mark.parametrize("restarts", [False, True], ids=["runs", "restarts"])
def test_the_third_one_makes_it_an_alarm_of_the_device(site: Story, restarts: bool) -> None:
    site.says("pumps", "pump:1", run="fault").says("pumps", "pump:3", run="fault").at("00:03")
    assert rules(site) == []
    site.says("pumps", "pump:4", run="fault").at("00:03:40")
    if restarts:
        site.restart()
    site.at("00:04:10")
    (alarm,) = [one for one in site.alarms() if one.rule == "pumps_out"]
    assert (alarm.device, alarm.child, alarm.raised_at) == ("pumps", "", MIDNIGHT + timedelta(minutes=4))
    key = "number(pump, run == fault)"
    assert alarm.reason["values"] == {key: 3.0, f"{key} met by": "3/4: pump:1, pump:3, pump:4"}
    site.says("pumps", "pump:1", run="running").at("00:05:00")
    if restarts:
        site.restart()
    site.at("00:05:20")
    assert rules(site) == []


def test_what_cannot_be_trusted_counts_neither_way(site: Story) -> None:
    for n in (1, 2):
        site.says("pumps", f"pump:{n}", run="fault")
    site.said.pop(("pumps", "pump:3"))
    site.deliver(site.reading("pumps", "pump:3", {"run": "fault"}, quality=Quality.SUSPECT)).at("00:04")
    assert rules(site) == [], "two are known to be faulty, the third one is not"
    site.says("pumps", "pump:4", run="fault").at("00:06")
    assert rules(site) == ["pumps_out"]


def test_it_moves_with_values_of_the_device_and_with_values_that_grow_old(site: Story) -> None:
    for n in (1, 2):
        site.deliver(site.reading("pumps", f"pump:{n}", {"current": 8.0}))
    for n in (3, 4):
        site.deliver(site.reading("pumps", f"pump:{n}", {"current": 1.0}))
    assert rules(site) == []
    site.says("pumps", pressure=0.2)
    assert rules(site) == ["weak"]
    # A current is trusted for a minute; then nobody is known to be weak, and nobody to be strong.
    site.at("00:03")
    assert rules(site) == ["weak"]
    for n in range(1, 5):
        site.deliver(site.reading("pumps", f"pump:{n}", {"current": 1.0}))
    site.at("00:03:40")
    for n in range(1, 5):
        site.deliver(site.reading("pumps", f"pump:{n}", {"current": 1.0}))
    site.at("00:04:20")
    assert rules(site) == []
