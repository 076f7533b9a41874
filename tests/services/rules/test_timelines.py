"""What rules say, minute by minute: through gaps, late data, restarts, nights and both changes of the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.reading import Quality
from tests.timeline import Timeline

SHED = """
profile: shed
family: water_pump
name: {zh: 棚, en: Shed}
params:
  night_limit: {default: 40, uom: "°C", min: 0, max: 100}
children:
  port: {name: {zh: 口, en: Port}, count: 2}
metrics:
  pressure: {name: {zh: 压力, en: Pressure}, uom: MPa, range: [0, 3], period: 30s}
  level: {name: {zh: 液位, en: Level}, uom: m, range: [0, 9], period: 30s}
  heat: {name: {zh: 温度, en: Heat}, scope: port, uom: "°C", range: [-40, 200], period: 30s}
states:
  door:
    name: {zh: 门, en: Door}
    values: {closed: {zh: 关, en: closed, tone: ok}, open: {zh: 开, en: open, tone: active}}
  alert:
    name: {zh: 警, en: Alert}
    values: {off: {zh: 否, en: off, tone: ok}, on: {zh: 是, en: on, tone: bad}}
availability: {period: 30s, event_driven: true}
bindings: [{id: t, topic: "s/{address}", decode: [{json: true}], fields: {pressure: p}}]
rules:
  - id: suction_low
    name: {zh: 吸入压力低, en: Suction low}
    when: pressure < 0.2 MPa
    for: 5m
    clear: {when: pressure >= 0.3 MPa, for: 2m}
    severity: major
    source: {kind: judgement}
    ticket: look
  - id: open_at_night
    name: {zh: 夜间开门, en: Open at night}
    when: door == open
    for: 10m
    clear: {for: 1m}
    schedule: [{from: "22:00", to: "06:00"}]
    severity: minor
    source: {kind: judgement}
  - id: small_hours
    name: {zh: 凌晨, en: Small hours}
    when: alert == on
    clear: {for: 0s}
    schedule: [{days: [sun], from: "02:15", to: "02:45"}]
    severity: warning
    source: {kind: judgement}
  - id: hot
    name: {zh: 过热, en: Hot}
    scope: port
    when: heat > 60 °C
    for: 1m
    clear: {when: heat < 55 °C, for: 1m}
    severity: minor
    grades:
      - {severity: critical, when: heat > 90 °C}
      - {severity: critical, when: heat > 75 °C, after: 20m}
      - {severity: major, after: 10m}
    source: {kind: judgement}
  - id: trembles
    name: {zh: 抖, en: Trembles}
    when: level > 5 m
    severity: minor
    source: {kind: judgement}
    ticket: look
  - id: opened_often
    name: {zh: 频繁, en: Opened often}
    when: count(door == open, 10m) >= 3
    severity: minor
    source: {kind: judgement}
  - id: stuck
    name: {zh: 冻结, en: Stuck}
    when: not changed(pressure, 30m)
    clear: {for: 0s}
    severity: minor
    source: {kind: judgement}
  - id: level_missing
    name: {zh: 无液位, en: No level}
    when: age(level) > 6m
    clear: {for: 0s}
    severity: minor
    source: {kind: judgement}
tickets: {look: {title: {zh: 看, en: Look}, trade: plumbing, priority: P2, due: 4h}}
"""

Build = Callable[..., Timeline]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    made: list[Timeline] = []

    def make(**more: Any) -> Timeline:
        made.append(Timeline(tmp_path, SHED, devices={"shed": "shed"}, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_an_alarm_after_a_restart_is_explained_by_the_last_of_several_messages_of_one_millisecond(
    build: Build,
) -> None:
    site = build().at("00:01").reading("shed", "port:1", heat=70).reading("shed", "port:1", heat=65).restart()
    [alarm] = site.at("00:02:10").alarms("shed", "hot")
    assert alarm.reason["values"] == {"heat": 65}


# --- delays, gaps, late data -----------------------------------------------------------------------------------------


def test_a_delay_is_over_at_its_moment_and_a_restart_does_not_begin_it_again(build: Build) -> None:
    site = build().at("00:05").keeps("shed", pressure=0.1)
    site.at("00:09:50").expect_no_alarm("shed").restart()
    site.at("00:10").expect_alarm("shed", "suction_low", severity="major", raised="00:10").expect_tickets(1)
    site.at("00:20").keeps("shed", pressure=0.25).at("00:30").expect_alarm("shed", "suction_low")
    site.keeps("shed", pressure=0.35).at("00:31").restart().at("00:33").expect_no_alarm("shed", "suction_low")
    site.expect_episodes("shed", "suction_low", ("00:10", "00:32"))


def test_a_gap_in_the_data_counts_for_nothing(build: Build) -> None:
    # 3 minutes held; a value is trusted for three of its periods of 30 s, and then nothing is known for half an hour.
    site = build().at("00:05").keeps("shed", pressure=0.1).at("00:08").silent("shed")
    site.at("00:40").expect_no_alarm("shed", "suction_low")
    site.keeps("shed", pressure=0.1).at("00:40:20").expect_no_alarm("shed", "suction_low")
    site.at("00:41").expect_alarm("shed", "suction_low", raised="00:40:30")


def test_unknown_values_neither_raise_nor_clear(build: Build) -> None:
    site = build().at("00:05").keeps("shed", pressure=0.1).at("00:11").expect_alarm("shed", "suction_low")
    site.silent("shed").at("00:30").expect_alarm("shed", "suction_low")
    site.reading("shed", quality=Quality.SUSPECT, pressure=0.5).at("00:50").expect_alarm("shed", "suction_low")


def test_late_data_page_nobody_and_go_on_record_once_an_hour(build: Build) -> None:
    site = build().at("03:00").keeps("shed", pressure=0.5)
    site.late("shed", measured="01:10", pressure=0.1)
    site.late("shed", measured="01:20", pressure=0.1)
    site.late("shed", measured="02:10", pressure=0.1)
    site.late("shed", measured="02:40", pressure=0.4)
    site.at("03:10").expect_no_alarm("shed", "suction_low").expect_tickets(0)
    assert [(one.rule, site.shown(one.measured_at)) for one in site.corrections()] == [
        ("suction_low", "02 01:10:00"),
        ("suction_low", "02 02:10:00"),
    ]
    site.keeps("shed", pressure=0.1).at("03:30").expect_alarm("shed", "suction_low")
    site.late("shed", measured="03:20", pressure=0.5).at("03:31").expect_alarm("shed", "suction_low")
    assert [one.data["holds"] for one in site.corrections()] == [True, True, False]


# --- schedules -------------------------------------------------------------------------------------------------------


def test_a_rule_of_the_night_waits_for_the_night_also_when_nothing_is_said(build: Build) -> None:
    site = build(step="1m").at("21:00").reading("shed", door="open")
    site.at("22:09").expect_no_alarm("shed", "open_at_night")
    site.at("22:11").expect_alarm("shed", "open_at_night", raised="22:10")
    site.at("+1 05:59").expect_alarm("shed", "open_at_night").at("+1 06:02").expect_no_alarm("shed", "open_at_night")
    site.at("+1 22:11").expect_episodes("shed", "open_at_night", ("22:10", "+1 06:01"), ("+1 22:10", None))


def test_only_time_within_the_schedule_counts(build: Build) -> None:
    site = build(step="1m").at("05:55").reading("shed", door="open").at("21:59").reading("shed", door="closed")
    site.at("22:30").expect_episodes("shed", "open_at_night")


def test_a_restart_in_the_night_changes_nothing(build: Build) -> None:
    site = build(step="1m").at("21:00").reading("shed", door="open")
    for moment in ("21:59", "22:05", "22:30", "+1 05:00", "+1 06:00", "+1 09:00", "+1 12:00"):
        site.at(moment).restart()
    site.at("+1 13:00").expect_episodes("shed", "open_at_night", ("22:10", "+1 06:01"))


# Berlin: on 2026-03-29 the clock goes from 02:00 to 03:00, on 2026-10-25 from 03:00 back to 02:00.


def test_the_night_in_which_an_hour_is_missing_is_an_hour_shorter(build: Build) -> None:
    site = build(zone="Europe/Berlin", starts="2026-03-28", step="1m").at("21:00").reading("shed", door="open")
    site.at("+1 07:00").expect_episodes("shed", "open_at_night", ("22:10", "+1 06:01"))
    begun, over = (site.moment(one) for one in ("22:10", "+1 06:01"))
    assert (over - begun).total_seconds() == 6 * 3600 + 51 * 60


def test_a_stretch_within_the_missing_hour_never_comes(build: Build) -> None:
    site = build(zone="Europe/Berlin", starts="2026-03-29", step="1m").at("01:00").reading("shed", alert="on")
    site.at("05:00").expect_episodes("shed", "small_hours")


def test_a_stretch_within_the_hour_that_comes_twice_lasts_through_both(build: Build) -> None:
    site = build(zone="Europe/Berlin", starts="2026-10-25", step="1m").at("01:00").reading("shed", alert="on")
    site.at("02:50").expect_alarm("shed", "small_hours").at("02:30 again").expect_alarm("shed", "small_hours")
    site.at("05:00").expect_episodes("shed", "small_hours", ("02:15", "02:45 again"))
    assert site.moment("02:45 again") - site.moment("02:15") == (site.moment("03:30") - site.moment("02:00 again"))


def test_where_the_clock_never_changes_every_night_is_alike(build: Build) -> None:
    site = build(zone="Asia/Shanghai", starts="2026-03-29", step="1m").at("01:00").reading("shed", alert="on")
    site.at("05:00").expect_episodes("shed", "small_hours", ("02:15", "02:45"))


# --- severities ------------------------------------------------------------------------------------------------------


def test_an_alarm_grows_and_eases_with_what_is_measured_and_with_its_age(build: Build) -> None:
    site = build().at("00:05").keeps("shed", "port:1", heat=65)
    site.at("00:06").expect_alarm("shed", "hot", child="port:1", severity="minor", raised="00:06")
    site.keeps("shed", "port:1", heat=95).expect_alarm("shed", "hot", child="port:1", severity="critical")
    site.keeps("shed", "port:1", heat=65).expect_alarm("shed", "hot", child="port:1", severity="minor")
    site.at("00:15:50").expect_alarm("shed", "hot", child="port:1", severity="minor").restart()
    site.at("00:16").expect_alarm("shed", "hot", child="port:1", severity="major")
    site.keeps("shed", "port:1", heat=80).at("00:25").expect_alarm("shed", "hot", child="port:1", severity="major")
    site.at("00:26").expect_alarm("shed", "hot", child="port:1", severity="critical")
    site.keeps("shed", "port:1", heat=50).at("00:28").expect_no_alarm("shed", "hot")
    site.expect_episodes("shed", "hot", ("00:06", "00:27"))


def test_what_is_unknown_moves_no_severity(build: Build) -> None:
    site = build().at("00:05").keeps("shed", "port:1", heat=95).at("00:06:30")
    site.expect_alarm("shed", "hot", child="port:1", severity="critical").silent("shed")
    site.at("00:40").expect_alarm("shed", "hot", child="port:1", severity="critical")


# --- chatter ---------------------------------------------------------------------------------------------------------


def test_what_trembles_about_a_threshold_is_one_alarm(build: Build) -> None:
    """A rule that says nothing of its clearing: the default is a minute at least."""
    site = build().at("00:05")
    for second in range(0, 300, 20):
        site.reading("shed", level=5.01 if second % 40 == 0 else 4.99).after("20s")
    site.reading("shed", level=4.9).expect_alarm("shed", "trembles", raised="00:05").expect_tickets(1)


def test_an_alarm_that_begins_often_flaps_and_ends_after_as_much_calm(build: Build) -> None:
    site = build(step="1m").at("00:05")
    for _ in range(8):
        site.keeps("shed", level=6.0).after("2m").keeps("shed", level=4.0).after("4m")
    # Three ended by themselves; the fourth within half an hour flaps, and stays.
    site.expect_alarm("shed", "trembles").expect_tickets(4)
    site.keeps("shed", level=4.0).at("01:16").expect_alarm("shed", "trembles")
    site.at("01:20").expect_no_alarm("shed", "trembles")
    site.expect_episodes(
        "shed",
        "trembles",
        ("00:05", "00:08"),
        ("00:11", "00:14"),
        ("00:17", "00:20"),
        ("00:23", "01:19"),
    )


def test_a_flapper_of_one_hertz_is_one_alarm_for_an_hour(build: Build) -> None:
    site = build(step="1m").at("00:05")
    for _ in range(60):
        site.every("1s", "1m", "shed", {"level": 6.0}, {"level": 4.0})
    assert len(site.alarms("shed", "trembles")) == 1
    site.expect_alarm("shed", "trembles").expect_tickets(1)


# --- looking back ----------------------------------------------------------------------------------------------------


def test_three_times_in_ten_minutes(build: Build) -> None:
    site = build().at("00:05").reading("shed", door="closed")
    for _ in range(2):
        site.after("1m").reading("shed", door="open").after("1m").reading("shed", door="closed")
    site.expect_no_alarm("shed", "opened_often").after("1m").reading("shed", door="open")
    site.expect_alarm("shed", "opened_often", raised="00:10").reading("shed", door="closed")
    # The oldest of the three is ten minutes past at 00:16, and a minute later the alarm clears.
    site.at("00:18").expect_no_alarm("shed", "opened_often")


def test_a_value_that_stands_still_is_frozen_and_one_that_stays_away_is_missing(build: Build) -> None:
    site = build().at("00:05").keeps("shed", pressure=0.5, level=2.0)
    site.at("00:34").expect_no_alarm("shed", "stuck").at("00:36").expect_alarm("shed", "stuck")
    site.keeps("shed", pressure=0.51).at("00:36:30").expect_no_alarm("shed", "stuck")
    # Since 00:36 it speaks and says no level any more.
    site.at("00:41").expect_no_alarm("shed", "level_missing").at("00:43").expect_alarm("shed", "level_missing")
    site.keeps("shed", pressure=0.52, level=2.0).at("00:43:30").expect_no_alarm("shed", "level_missing")
