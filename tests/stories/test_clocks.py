"""A gateway's clock that was wrong, and is put right, costs no alarm and invents none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from gateway.reading import Quality
from services.clock import to_millis
from tests.stories.site import MIDNIGHT, Story, opened

AHEAD = timedelta(hours=8)
"""What a hardware clock in Beijing time is off by, until the network tells the time."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Story]:
    database = opened(f"sqlite:///{tmp_path / 's.db'}")
    yield Story(database)
    database.close()


def put_right(site: Story) -> Story:
    site.clock.time -= AHEAD
    return site


def ahead(site: Story) -> Story:
    site.clock.time = MIDNIGHT + AHEAD
    return site


@pytest.mark.parametrize("restarted", [False, True])
def test_alarms_are_raised_at_once_and_after_their_delay(site: Story, restarted: bool) -> None:
    ahead(site).says("pumps", pressure=0.5).says("pumps", "pump:1", run="running")
    put_right(site)
    if restarted:
        site.restart()
    site.says("pumps", "pump:1", run="fault").expect_alarms("pump_fault@pump:1")
    site.keeps_saying("pumps", pressure=0.2).at("00:00:50").expect_alarms("pump_fault@pump:1")
    site.at("00:01").expect_alarms("pump_fault@pump:1", "low")


def test_a_delay_that_ran_goes_on(site: Story) -> None:
    ahead(site).keeps_saying("pumps", pressure=0.2)
    site.at("08:00:30")
    put_right(site).at("00:00:50").expect_alarms()
    site.at("00:01:10").expect_alarms("low")


def test_an_alarm_clears(site: Story) -> None:
    ahead(site).says("pumps", "pump:1", run="fault").expect_alarms("pump_fault@pump:1")
    put_right(site).keeps_saying("pumps", "pump:1", run="running").at("00:00:40").expect_alarms()


def test_nobody_is_called_silent_who_spoke_before_and_speaks_seldom(site: Story) -> None:
    site.says("gate-1", door="closed").expect_presence("gate-1", "online")
    site.at("00:00:20")
    early = site.clock.time
    site.clock.time = early + AHEAD
    site.says("pumps", pressure=0.5)  # services see eight hours pass
    site.clock.time = early
    site.keeps_saying("gate-1", door="closed").at("00:01").expect_presence("gate-1", "online").expect_alarms()
    site.falls_silent("gate-1").at("00:07").expect_presence("gate-1", "offline")


def test_a_replay_of_old_messages_is_no_clock(site: Story) -> None:
    site.at("01:00").says("pumps", pressure=0.5)
    old = site.reading("pumps", values={"pressure": 0.1}, at=MIDNIGHT, quality=Quality.HISTORIC)
    site.deliver(msgspec.structs.replace(old, received_at=to_millis(MIDNIGHT)))
    assert site.device("pumps").latest.values == {"pressure": 0.5}
    site.expect_presence("pumps", "online")
