"""Where is the break: several devices of one board or switch fall silent, and the board has the alarm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row

from services.sites.export import export_site
from services.sites.importer import import_site
from services.sites.mistakes import SiteMistakes
from tests.stories.site import PUMPS
from tests.timeline import Timeline

ROOMS = ("pumps-1", "pumps-2", "pumps-3")
FEEDS = [
    {"id": "F1", "name": {"zh": "一号箱", "en": "Board F1"}, "kind": "power", "devices": list(ROOMS)},
]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Timeline]:
    more = {"feeds": FEEDS, "recipients": [RECIPIENT]}
    found = Timeline(tmp_path, PUMPS, devices=dict.fromkeys((*ROOMS, "pumps-9"), "pumps"), more=more)
    yield found
    found.close()


RECIPIENT = {"id": "eng", "audience": "engineers", "channel": "webhook", "to": "https://e.example/hook", "lang": "en"}


def lively(site: Timeline) -> Timeline:
    for n, room in enumerate((*ROOMS, "pumps-9")):
        site.at(f"00:00:{10 + n:02}").keeps(room, every="20s", pressure=0.5)
    return site.at("00:02")


def standing(site: Timeline, state: str = "active") -> list[tuple[str, str]]:
    return sorted((one.device, one.rule) for one in site.alarms(state=state))


def feed_alarm(site: Timeline) -> Row[Any]:
    (alarm,) = site.alarms("feed:yard/F1")
    return alarm


def test_the_board_has_the_alarm_and_what_it_feeds_waits(site: Timeline) -> None:
    lively(site)
    for room in ROOMS:
        site.silent(room)
    site.at("00:12")
    alarm = feed_alarm(site)
    assert (alarm.state, alarm.severity) == ("active", "major")
    key = "share(device, presence in (stale, offline))"
    assert alarm.reason["values"][f"{key} met by"] == "3/3: pumps-1, pumps-2, pumps-3"
    assert alarm.reason["values"][f"{key} last heard"] == "00:01:53 pumps-3"
    assert standing(site) == [("feed:yard/F1", "feed_down")]
    waiting = [(room, rule) for room in ROOMS for rule in ("gone", "pressure_missing")]
    assert standing(site, "suppressed") == waiting
    assert [one.title_en for one in site.tickets()] == ["Bring the power back"]
    (told,) = site.notices("alarm")
    assert told.title == "[Major] Alarm · Nothing heard from what it powers · Board F1"
    assert "met by = 3/3: pumps-1, pumps-2, pumps-3" in told.body
    assert "last heard = 00:01:53 pumps-3" in told.body


def test_a_device_has_a_feed_of_each_kind(tmp_path: Path) -> None:
    switch = {"id": "SW", "kind": "network", "devices": [*ROOMS[:2], "pumps-9"]}
    devices = dict.fromkeys((*ROOMS, "pumps-9"), "pumps")
    site = lively(Timeline(tmp_path, PUMPS, devices=devices, more={"feeds": [*FEEDS, switch]}))
    for room in ROOMS:
        site.silent(room)
    site.at("00:12")
    assert standing(site) == [("feed:yard/F1", "feed_down")]
    site.silent("pumps-9").at("00:22")
    assert standing(site) == [("feed:yard/F1", "feed_down"), ("feed:yard/SW", "feed_down")]
    assert [one.title_en for one in site.tickets()] == ["Bring the power back", "Bring the connection back"]
    site.reading(ROOMS[0], pressure=0.5).after("10s")
    assert [one.state for one in site.alarms(rule="feed_down")] == ["cleared", "cleared"]
    site.close()


def test_what_is_still_silent_when_the_feed_is_back_is_raised_then(site: Timeline) -> None:
    lively(site)
    for room in ROOMS:
        site.silent(room)
    site.at("00:12").keeps(ROOMS[0], every="20s", pressure=0.5).keeps(ROOMS[1], every="20s", pressure=0.5)
    site.at("00:13")
    assert feed_alarm(site).state == "cleared"
    site.at("00:16")
    assert standing(site) == [("pumps-3", "gone"), ("pumps-3", "pressure_missing")]


def test_one_that_goes_on_speaks_for_the_board(site: Timeline) -> None:
    lively(site)
    for room in ROOMS[:2]:
        site.silent(room)
    site.at("00:12").expect_no_alarm(rule="feed_down")
    assert standing(site) == [(room, rule) for room in ROOMS[:2] for rule in ("gone", "pressure_missing")]


def test_it_clears_with_the_first_that_is_back_and_outlives_a_restart(site: Timeline) -> None:
    lively(site)
    for room in ROOMS:
        site.silent(room)
    site.at("00:10").restart().at("00:12")
    assert feed_alarm(site).state == "active"
    site.keeps(ROOMS[0], every="20s", pressure=0.5).at("00:13")
    assert feed_alarm(site).state == "cleared"


def test_a_feed_is_checked_and_comes_out_as_it_went_in(site: Timeline) -> None:
    with site.database.read() as connection:
        text = export_site(connection, "yard")
    assert import_site(site.database, text, site.library, site.clock.time).is_unchanged
    wrong = text.replace("devices: [pumps-1, pumps-2, pumps-3]", "devices: [pumps-1, pmups-2]")
    with pytest.raises(SiteMistakes) as caught:
        import_site(site.database, wrong, site.library, site.clock.time)
    assert "'pmups-2'" in str(caught.value)
    assert "did you mean pumps-2?" in str(caught.value)
