"""What people do about alarms, and what happens when they do nothing: acknowledged, snoozed, a step up, in a window."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from services.accounts.audit import Intact, verify
from services.intake.alarming import SnoozeRefused
from services.maintenance.desk import MaintenanceDesk
from services.maintenance.planning import Wish
from services.rules.desk import AlarmDesk
from services.rules.store import decisions_about, get_alarm
from services.scope import EVERYWHERE
from services.tables import alarms
from tests.stories.site import MIDNIGHT, YARD, Story, opened

CHIEFS = """
  - {id: lead, audience: engineers, channel: webhook, to: "https://e.example/lead", lang: en, step: 1}
  - {id: boss, audience: engineers, channel: webhook, to: "https://e.example/boss", lang: zh, step: 3, about: [alarm]}
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Story]:
    database = opened(f"sqlite:///{tmp_path / 'story.db'}")
    yield Story(database, text=YARD + CHIEFS).keeps_saying("gate-1", door="closed")
    database.close()


def people(site: Story) -> AlarmDesk:
    return AlarmDesk(database=site.database, intake=site.intake, clock=site.clock)


def windows(site: Story) -> MaintenanceDesk:
    return MaintenanceDesk(
        database=site.database, write=site.intake.change_rules, changes=site.changes, library=site.library
    )


def the_alarm(site: Story, state: str = "active") -> str:
    [alarm] = site.alarms(state)
    return alarm.id


def decisions(site: Story, alarm: str) -> list[str]:
    with site.database.read() as connection:
        return [one.kind for one in decisions_about(connection, alarm)]


def told(site: Story, who: str) -> list[str]:
    return [one.event for one in site.notices(who) if one.subject_kind == "alarm"]


def force_the_gate(site: Story, at: str) -> str:
    site.at(at).keeps_saying("gate-1", door="forced")
    return the_alarm(site)


# --- nobody acknowledges --------------------------------------------------------------------------------------------


def test_what_nobody_acknowledges_goes_up_step_by_step(site: Story) -> None:
    """A critical alarm: after 15 minutes the lead hears of it. On step 2 stands nobody, which is on record, and the
    boss on step 3 hears of it at once then; after that there is nobody else."""
    alarm = force_the_gate(site, "00:01")
    site.at("00:15:50")
    assert told(site, "eng") == ["raised"]
    assert told(site, "lead") == []
    site.at("00:16:10")
    assert told(site, "lead") == ["step"]
    assert told(site, "boss") == []
    assert "Nobody has acknowledged it for 15 minutes." in site.notices("lead")[0].body
    site.at("00:31:20")
    assert told(site, "boss") == ["step"]
    assert "已有 30 分钟无人确认。" in site.notices("boss")[0].body
    with site.database.read() as connection:
        steps = [one.data for one in decisions_about(connection, alarm) if one.kind == "step"]
        assert [(one["step"], one["told"], one["reason"]) for one in steps] == [
            (1, 1, "unacknowledged"),
            (2, 0, "nobody_there"),
            (3, 1, "unacknowledged"),
        ]
    site.at("00:50").says("gate-1", door="closed")
    site.at("00:51").expect_alarms()
    assert told(site, "eng") == ["raised", "cleared"]
    assert told(site, "lead") == told(site, "boss") == ["step", "cleared"]


def test_who_was_never_told_is_not_told_that_it_cleared(site: Story) -> None:
    force_the_gate(site, "00:01")
    site.at("00:05").keeps_saying("gate-1", door="closed")
    site.at("00:10").expect_alarms()
    assert told(site, "lead") == told(site, "boss") == []


def test_an_acknowledged_alarm_stays_where_it_is(site: Story) -> None:
    alarm = force_the_gate(site, "00:01")
    site.at("00:10")
    assert people(site).acknowledge(EVERYWHERE, alarm, by="li").acknowledged_by == "li"
    assert people(site).acknowledge(EVERYWHERE, alarm, by="wang").acknowledged_by == "li"
    site.at("00:20")
    assert told(site, "lead") == []
    assert decisions(site, alarm) == ["raised", "acknowledged"]


def test_the_clock_of_a_step_survives_restarts_and_is_told_once(site: Story) -> None:
    alarm = force_the_gate(site, "00:01")
    site.at("00:10").restart().at("00:16:10")
    assert told(site, "lead") == ["step"]
    site.restart().at("00:20").restart().at("00:31:20")
    assert told(site, "lead") == ["step"]
    assert told(site, "boss") == ["step"]
    with site.database.read() as connection:
        found = get_alarm(connection, EVERYWHERE, alarm)
    assert found is not None and found.step == 3


def test_an_alarm_of_a_backlog_counts_from_when_it_was_taken_in(site: Story) -> None:
    """The gateway was cut off for an hour: people hear of it now, and have 15 minutes from now."""
    site.at("00:05").loses_uplink().keeps_saying("gate-1", door="forced")
    site.at("01:05").finds_uplink()
    site.at("01:15")
    assert told(site, "lead") == []
    site.at("01:20:20")
    assert told(site, "lead") == ["step"]


def test_a_minor_alarm_never_goes_up(site: Story) -> None:
    site.at("00:01").keeps_saying("gate-1", door="open")
    site.at("01:05").expect_alarms("held")
    assert told(site, "lead") == []


# --- snoozed ----------------------------------------------------------------------------------------------------------


def test_a_snoozed_alarm_stays_on_its_step_and_its_end_is_told(site: Story) -> None:
    alarm = force_the_gate(site, "00:01")
    site.at("00:05")
    people(site).snooze(EVERYWHERE, alarm, until=site.clock.now() + timedelta(hours=1), by="li")
    site.restart().at("00:50")
    assert told(site, "lead") == []
    site.keeps_saying("gate-1", door="closed").at("00:55").expect_alarms()
    assert told(site, "eng") == ["raised", "cleared"]
    assert decisions(site, alarm) == ["raised", "snoozed", "cleared"]


def test_after_a_snooze_there_is_the_whole_time_again(site: Story) -> None:
    alarm = force_the_gate(site, "00:01")
    site.at("00:05")
    people(site).snooze(EVERYWHERE, alarm, until=MIDNIGHT + timedelta(hours=1), by="li")
    site.at("01:14:50")
    assert told(site, "lead") == []
    site.at("01:15:20")
    assert told(site, "lead") == ["step"]


def test_a_snooze_can_be_undone(site: Story) -> None:
    alarm = force_the_gate(site, "00:01")
    site.at("00:05")
    people(site).snooze(EVERYWHERE, alarm, until=MIDNIGHT + timedelta(hours=4), by="li")
    site.at("00:10")
    assert people(site).unsnooze(EVERYWHERE, alarm, by="wang").snoozed_until is None
    site.at("00:25:20")
    assert told(site, "lead") == ["step"]
    with site.database.read() as connection:
        said = [(one.kind, one.who) for one in decisions_about(connection, alarm)]
    assert said == [("raised", None), ("snoozed", "li"), ("unsnoozed", "wang"), ("step", None)]


def test_what_cannot_be_snoozed_says_why_and_changes_nothing(site: Story) -> None:
    alarm = force_the_gate(site, "00:01")
    now = site.clock.now()
    for until, code in ((now, "not_ahead"), (now + timedelta(days=8), "too_long")):
        with pytest.raises(SnoozeRefused) as refused:
            people(site).snooze(EVERYWHERE, alarm, until=until, by="li")
        assert refused.value.code == code
    site.keeps_saying("gate-1", door="closed").at("00:05")
    with pytest.raises(SnoozeRefused) as refused:
        people(site).snooze(EVERYWHERE, alarm, until=site.clock.now() + timedelta(hours=1), by="li")
    assert refused.value.code == "over"
    assert decisions(site, alarm) == ["raised", "cleared"]


def test_the_next_episode_is_not_snoozed(site: Story) -> None:
    alarm = force_the_gate(site, "00:01")
    people(site).snooze(EVERYWHERE, alarm, until=site.clock.now() + timedelta(hours=4), by="li")
    site.keeps_saying("gate-1", door="closed").at("00:05")
    force_the_gate(site, "00:06")
    site.at("00:21:20")
    assert told(site, "lead") == ["step"]


# --- maintenance windows ----------------------------------------------------------------------------------------------


def a_wish(site: Story, minutes: int, **scope: list[str]) -> Wish:
    ends_at = site.clock.now() + timedelta(minutes=minutes)
    return Wish.model_validate({"site": "yard", "title": "Gate works", "scope": scope, "ends_at": ends_at})


def test_during_a_window_nobody_is_told_and_what_is_still_wrong_is_raised_at_its_end(site: Story) -> None:
    site.at("00:01")
    window = windows(site).add(EVERYWHERE, a_wish(site, 30, families=["access_gate"]), by="chen", now=site.clock.now())
    assert (window.devices, window.first_devices) == (1, ("gate-1",))
    site.at("00:05").keeps_saying("gate-1", door="forced")
    site.at("00:30").expect_alarms().expect_tickets(0)
    assert told(site, "eng") == []
    assert site.device("gate-1").latest.values["door"] == "forced", "data are kept"
    site.at("00:32").expect_alarms("forced").expect_tickets(1)
    assert told(site, "eng") == ["raised"]


def test_what_is_over_before_the_end_was_nobodys_business(site: Story) -> None:
    site.at("00:01")
    windows(site).add(EVERYWHERE, a_wish(site, 30), by="chen", now=site.clock.now())
    site.at("00:05").keeps_saying("gate-1", door="forced")
    site.at("00:10").keeps_saying("gate-1", door="closed")
    site.at("00:40").expect_alarms().expect_tickets(0)
    assert site.notices() == []


def test_a_window_of_one_building_leaves_the_others_alone(site: Story) -> None:
    site.at("00:01")
    windows(site).add(EVERYWHERE, a_wish(site, 30, buildings=["1"]), by="chen", now=site.clock.now())
    site.at("00:05").keeps_saying("gate-1", door="forced")
    site.at("00:06").expect_alarms("forced")


@pytest.mark.parametrize("undo", ["end", "cancel"])
def test_a_window_is_taken_back_or_ended_early(site: Story, undo: str) -> None:
    site.at("00:01")
    added = windows(site).add(EVERYWHERE, a_wish(site, 240), by="chen", now=site.clock.now())
    site.at("00:05").keeps_saying("gate-1", door="forced")
    site.at("00:10").expect_alarms()
    getattr(windows(site), undo)(EVERYWHERE, added.window.id, by="li", now=site.clock.now())
    site.at("00:11").expect_alarms("forced").expect_tickets(1)
    with site.database.read() as connection:
        assert isinstance(verify(site.database), Intact)
        assert connection.scalar(select(alarms.c.suppressed_by)) is None


def test_a_window_of_another_process_is_seen_at_the_next_tick(site: Story) -> None:
    """As `courtyard maintenance add` makes it, beside services that run."""
    from services.maintenance.desk import plain_write

    site.at("00:01")
    desk = MaintenanceDesk(
        database=site.database, write=plain_write(site.database), changes=site.changes, library=site.library
    )
    desk.add(EVERYWHERE, a_wish(site, 30), by="courtyard", now=site.clock.now())
    site.at("00:02").keeps_saying("gate-1", door="forced")
    site.at("00:10").expect_alarms()


def test_steps_wait_while_people_are_at_work(site: Story) -> None:
    """Raised at 00:01, and from 00:06 to 00:36 somebody works there: five minutes had passed before, ten are left."""
    force_the_gate(site, "00:01")
    site.at("00:06")
    windows(site).add(EVERYWHERE, a_wish(site, 30, devices=["gate-1"]), by="chen", now=site.clock.now())
    site.at("00:45:50")
    assert told(site, "lead") == []
    site.restart().at("00:46:20")
    assert told(site, "lead") == ["step"]
