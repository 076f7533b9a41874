"""Presence under attack: two thousand devices behind one gateway, a gateway that flaps, words that are forged."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from device_profiles.library import load
from device_profiles.schema import Rule
from gateway.reading import Presence, Reading
from services.database import Database
from services.tables import alarms, notices, tickets
from tests.stories.site import LIBRARY, Story, opened, profile
from tests.stories.test_breaks import METER

MANY = 2000
PATIENT = METER.replace("profile: meter", "profile: patient").replace(
    "when: presence == offline", "when: presence == offline\n    for: 30s"
)


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Story]:
    database = opened(f"sqlite:///{tmp_path / 'b.db'}")
    yield _story(database, MANY)
    database.close()


@pytest.fixture
def few(tmp_path: Path) -> Iterator[Story]:
    database = opened(f"sqlite:///{tmp_path / 'b.db'}")
    yield _story(database, 3)
    database.close()


def _story(database: Database, meters: int) -> Story:
    text = "\n".join(
        [
            "site: yard",
            "name: The Yard",
            "timezone: Asia/Shanghai",
            "buildings: [{id: 1, units: [{id: 1, households: 20}]}]",
            "devices:",
            *(f"  - {{id: m{n}, profile: patient}}" for n in range(meters)),
        ]
    )
    return Story(database, text=text, library={**LIBRARY, "patient": profile(PATIENT)})


def _counts(story: Story) -> tuple[int, ...]:
    """All alarms there ever were, tickets, notices."""
    with story.database.read() as connection:
        queries = [select(func.count()).select_from(table) for table in (alarms, tickets, notices)]
        return tuple(connection.execute(query).scalar_one() for query in queries)


def _all_speak(story: Story, count: int) -> list[Reading]:
    return [story.reading(f"m{n}", "", {"energy": 1.0}, profile="patient") for n in range(count)]


def test_two_thousand_devices_behind_a_silent_gateway_are_one_ticket(yard: Story) -> None:
    yard.deliver(*_all_speak(yard, MANY)).at("00:01").deliver(*_all_speak(yard, MANY))
    yard.loses_uplink().at("00:20")
    assert _counts(yard)[:2] == (1, 1)
    yard.finds_uplink().deliver(*_all_speak(yard, MANY)).at("00:20:30").expect_alarms()
    assert _counts(yard)[:2] == (1, 1)


def test_a_gateway_that_flaps_does_not_raise_an_alarm_each_time(few: Story) -> None:
    """An hour of one minute away and one minute here: each break is too short to be one."""
    for minute in range(1, 60, 2):
        few.deliver(*_all_speak(few, 3)).loses_uplink().at(f"00:{minute:02}").finds_uplink().deliver(
            *_all_speak(few, 3)
        )
        few.at(f"00:{minute + 1:02}" if minute < 59 else "01:00")
    assert _counts(few)[0] == 0


def test_words_of_the_past_are_put_right_by_the_next_message(few: Story) -> None:
    """Retained messages stay with the broker for years, and anybody may have left one."""
    few.deliver(*_all_speak(few, 3)).at("00:00:10")
    gone = [few.reading(f"m{n}", presence=Presence.OFFLINE, profile="patient", retained=True) for n in range(3)]
    few.deliver(*gone * 20).at("00:00:20").deliver(*_all_speak(few, 3)).expect_presence("m1", "online")
    few.at("00:01").expect_alarms()
    assert _counts(few)[0] == 0


def test_a_device_that_says_goodbye_and_hello_without_end(few: Story) -> None:
    """A forged will, again and again: what a rule waits for, is never there."""
    few.keeps_saying("m0", energy=1.0).keeps_saying("m2", energy=1.0)
    for second in range(10, 590, 10):
        word = Presence.OFFLINE if second % 20 else Presence.ONLINE
        few.deliver(few.reading("m1", presence=word, profile="patient"))
        few.at(f"00:{second // 60:02}:{second % 60:02}")
    assert _counts(few) == (0, 0, 0)


def test_shipped_rules_about_absence_are_not_raised_by_each_flap() -> None:
    assert [(one.id, rule.id) for one in load().values() for rule in one.rules if _is_hasty(rule)] == []


def _is_hasty(rule: Rule) -> bool:
    waits = rule.for_ + rule.clear_after
    return rule.when.strip() == "presence == offline" and waits < timedelta(seconds=30)
