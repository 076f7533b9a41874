"""Services were stopped for days, or for weeks: what comes late, and that nothing of it is lost or said twice.

Where the gateway has gone on, everything is judged at the time at which it was heard. Where it was stopped as well,
nobody looked: nothing is made up of that time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from services.calm.names import STORMS
from services.maintenance.store import add_window, claim
from services.maintenance.windows import Scope, Window
from services.notices.digests import Digests
from services.tables import alarm_events, gateway_gaps
from tests.timeline import Timeline

YARD = """
profile: yard
family: water_pump
name: {zh: 泵, en: Pump}
metrics:
  pressure: {name: {zh: 压力, en: Pressure}, uom: MPa, range: [0, 3], period: 1h}
  level: {name: {zh: 液位, en: Level}, uom: m, range: [0, 9], period: 1h}
states:
  door:
    name: {zh: 门, en: Door}
    values: {closed: {zh: 关, en: closed, tone: ok}, open: {zh: 开, en: open, tone: active}}
availability: {period: 1h}
bindings:
  - {id: t, topic: "yard/{address}/t", fields: {pressure: p, level: l, door: d}}
residents:
  no_water:
    service: water
    loss: full
    what: {zh: 停水, en: No water}
    next_news: 60m
    restored: {zh: 恢复供水, en: Water is back}
rules:
  - id: low
    name: {zh: 压力低, en: Pressure low}
    when: pressure < 0.2 MPa
    for: 30m
    clear: {for: 10m}
    flapping: {times: 5, within: 12h}
    severity: critical
    source: {kind: judgement}
    ticket: look
    residents: no_water
  - id: full
    name: {zh: 满, en: Full}
    when: level > 5 m
    clear: {for: 1m}
    severity: minor
    source: {kind: judgement}
    ticket: look
  - id: dry
    name: {zh: 抽空, en: Dry}
    when: level < 1 m
    clear: {for: 1m}
    severity: minor
    source: {kind: judgement}
    ticket: look
    suppressed_by: [low]
  - id: full_long
    name: {zh: 久满, en: Full for long}
    when: level > 7 m
    for: 12h
    severity: minor
    source: {kind: judgement}
  - id: open_at_night
    name: {zh: 夜间开门, en: Open at night}
    when: door == open
    for: 10m
    clear: {for: 0s}
    schedule: [{from: "22:00", to: "06:00"}]
    severity: warning
    source: {kind: judgement}
    ticket: look
tickets: {look: {title: {zh: 看, en: Look}, trade: plumbing, priority: P2, due: 4h}}
"""
FINE: dict[str, Any] = {"pressure": 0.4, "level": 2, "door": "closed"}
DAYS = pytest.mark.parametrize("days", [3, 21])
"""How long services are stopped."""
RECIPIENTS = [
    {"id": "eng", "audience": "engineers", "channel": "webhook", "to": "https://e.example/hook", "lang": "en"},
    {"id": "boss", "audience": "engineers", "channel": "webhook", "to": "https://b.example/hook", "step": 1},
    {"id": "top", "audience": "engineers", "channel": "webhook", "to": "https://t.example/hook", "step": 2},
    {"id": "calm", "audience": "engineers", "channel": "webhook", "to": "https://c.example/hook", "digest": "08:00"},
    {"id": "home", "audience": "residents", "channel": "webhook", "to": "https://h.example/hook", "lang": "en"},
]
SUPPLY = {"id": "water", "service": "water", "buildings": ["1"], "members": [{"device": "p1", "vital": True}]}

Build = Callable[..., Timeline]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    made: list[Timeline] = []

    def make(devices: int = 1) -> Timeline:
        names = {f"p{n}": "yard" for n in range(1, devices + 1)}
        more = {"recipients": RECIPIENTS, "supplies": [SUPPLY]}
        site = Timeline(tmp_path, YARD, devices=names, step="1m", more=more)
        made.append(site)
        for name in names:
            site.keeps(name, every="30m", **FINE)
        return site

    yield make
    for one in made:
        one.close()


def events(site: Timeline, who: str, kind: str = "alarm") -> list[str]:
    """What a recipient was told, in order."""
    return [one.event for one in site.notices(kind) if one.recipient == f"yard:{who}"]


def decided(site: Timeline) -> list[tuple[str, str]]:
    with site.database.read() as connection:
        rows = connection.execute(select(alarm_events).order_by(alarm_events.c.id)).all()
    return [(row.kind, str(row.data.get("why", ""))) for row in rows]


@DAYS
def test_what_happened_meanwhile_is_told_late_with_its_own_times_and_once(build: Build, days: int) -> None:
    site = build().at("12:00").stop()
    site.at("+1 10:00").keeps("p1", every="30m", **{**FINE, "pressure": 0.1})
    site.at("+1 14:00").keeps("p1", every="30m", **FINE).at(f"+{days} 12:00").start()
    site.expect_episodes("p1", "low", ("+1 10:30", "+1 14:10")).expect_tickets(1)
    assert events(site, "eng") == ["raised", "cleared"]
    assert events(site, "home", "outage") == ["started", "restored"]
    raised, cleared = (one for one in site.notices("alarm") if one.recipient == "yard:eng")
    assert (raised.data["at"], cleared.data["at"]) == tuple(
        site.moment(at).isoformat() for at in ("+1 10:30", "+1 14:10")
    )
    assert site.tickets()[0].due_at == site.clock.time + timedelta(hours=4), "they have all their time"
    before = len(site.notices())
    site.stop().start().after("1h")
    assert len(site.notices()) == before, "another restart says nothing again"


@DAYS
def test_a_delay_that_ran_when_services_stopped_ends_at_its_moment(build: Build, days: int) -> None:
    site = build().at("11:50").keeps("p1", every="30m", **{**FINE, "pressure": 0.1})
    site.at("12:00").stop().at(f"+{days} 12:00").start()
    site.expect_alarm("p1", "low", raised="12:20").expect_tickets(1)


@DAYS
def test_a_delay_does_not_run_on_while_nobody_hears(build: Build, days: int) -> None:
    """The gateway was stopped as well: that the value was the same all the time nobody knows."""
    site = build().at("06:00").keeps("p1", every="30m", **{**FINE, "level": 8})
    site.at("12:00").stop(gateway=True).at(f"+{days} 12:00").start().expect_no_alarm("p1", "full_long")
    site.after("1h").expect_no_alarm("p1", "full_long").after("6h").expect_alarm("p1", "full_long")
    with site.database.read() as connection:
        [gap] = connection.execute(select(gateway_gaps)).all()
    assert (gap.kind, gap.ends_at - gap.begins_at) == ("gateway", timedelta(days=days)), "on record: nothing was heard"


@DAYS
def test_what_was_wrong_before_and_is_after_is_one_alarm(build: Build, days: int) -> None:
    site = build().at("11:00").keeps("p1", every="30m", **{**FINE, "level": 6}).at("12:00").expect_alarm("p1", "full")
    site.stop(gateway=True).at(f"+{days} 12:00").start().after("1h").expect_alarm("p1", "full", raised="11:00")
    site.keeps("p1", every="30m", **FINE).after("1h").expect_no_alarm().expect_tickets(1)
    assert len(site.alarms()) == 1


@DAYS
def test_each_night_of_a_schedule_has_its_alarm(build: Build, days: int) -> None:
    site = build().at("12:00").keeps("p1", every="30m", **{**FINE, "door": "open"}).stop()
    site.at(f"+{days} 12:00").start()
    nights = [(f"+{night} 22:10", f"+{night + 1} 06:00") for night in range(days)]
    site.expect_episodes("p1", "open_at_night", *nights).expect_tickets(days)


@DAYS
def test_what_flapped_meanwhile_is_one_alarm(build: Build, days: int) -> None:
    site = build().at("12:00").stop().at("+1 10:00").silent("p1")
    for _ in range(8):
        site.reading("p1", **{**FINE, "pressure": 0.1}).after("40m").reading("p1", **FINE).after("20m")
    site.keeps("p1", every="30m", **FINE).at(f"+{days} 12:00").start()
    assert "flapping" in events(site, "eng")
    last = site.alarms("p1", "low")[-1]
    assert last.flaps and last.state == "cleared"
    assert len(site.alarms("p1", "low")) < 8


@DAYS
def test_a_maintenance_window_that_began_and_ended_meanwhile_holds_back_what_fell_into_it(
    build: Build, days: int
) -> None:
    site = build(3).at("11:00")
    window = Window(
        id="w",
        site="yard",
        title="Pumps",
        scope=Scope(),
        starts_at=site.moment("+1 09:00"),
        ends_at=site.moment("+1 12:00"),
        created_at=site.clock.time,
        created_by="wang",
    )
    with site.database.write() as connection:
        claim(connection, "yard")
        add_window(connection, window)
    site.at("12:00").stop()
    site.at("+1 10:00").keeps("p1", every="30m", **{**FINE, "level": 6})
    site.keeps("p2", every="30m", **{**FINE, "level": 6}).keeps("p3", every="30m", **{**FINE, "level": 6})
    site.at("+1 11:00").keeps("p2", every="30m", **FINE)
    site.at("+1 14:00").keeps("p3", every="30m", **FINE).at(f"+{days} 12:00").start()
    site.expect_alarm("p1", "full", raised="+1 12:00").expect_tickets(2)
    site.expect_episodes("p3", "full", ("+1 12:00", "+1 14:01"))
    assert [one.state for one in site.alarms("p2", "full")] == ["cleared"]
    told = [(one.data["device"], one.event) for one in site.notices("alarm") if one.recipient == "yard:eng"]
    assert sorted(told) == [("p1", "raised"), ("p3", "cleared"), ("p3", "raised")]


@DAYS
def test_what_was_wrong_beyond_its_cause_is_raised_when_the_cause_was_over(build: Build, days: int) -> None:
    """Both were over long before anybody looked, and it was as if services had run all the time."""
    site = build().at("12:00").stop().at("+1 10:00").keeps("p1", every="10m", **{**FINE, "pressure": 0.1})
    site.at("+1 11:00").keeps("p1", every="10m", **{**FINE, "pressure": 0.1, "level": 0.5})
    site.at("+1 13:00").keeps("p1", every="10m", **{**FINE, "level": 0.5})
    site.at("+1 15:00").keeps("p1", every="10m", **FINE).at(f"+{days} 12:00").start()
    site.expect_episodes("p1", "low", ("+1 10:30", "+1 13:10"))
    site.expect_episodes("p1", "dry", ("+1 13:12", "+1 15:01")).expect_tickets(2)
    assert [kind for kind, why in decided(site)].count("suppressed") == 1
    assert ("raised", "cause_cleared") in decided(site)


@DAYS
def test_what_came_shortly_before_the_stop_counts_for_a_storm(build: Build, days: int) -> None:
    """And a storm that had just ended goes on: the same alarm, the same ticket."""
    site = build(14).at("11:50")
    for n in range(1, 13):
        site.keeps(f"p{n}", every="30m", **{**FINE, "level": 6})
    site.after("1m").expect_tickets(11)
    for n in range(1, 13):
        site.keeps(f"p{n}", every="30m", **FINE)
    site.after("2m")
    assert [one.state for one in site.alarms() if one.profile == STORMS] == ["cleared"]
    site.stop().after("3m").keeps("p13", every="30m", **{**FINE, "level": 6})
    site.keeps("p14", every="30m", **FINE).at(f"+{days} 12:00").start().expect_tickets(11)
    assert [one.state for one in site.alarms() if one.profile == STORMS] == ["active"]
    assert ("raised", "storm_again") in decided(site)


@DAYS
def test_nobody_is_woken_for_what_was_over_long_ago(build: Build, days: int) -> None:
    """It was not acknowledged in time, but that it is over waits at the gateway: what has come is looked at first."""
    site = build().at("11:00").keeps("p1", every="30m", **{**FINE, "pressure": 0.1})
    site.at("11:40").expect_alarm("p1", "low", raised="11:30").stop()
    site.at("12:30").keeps("p1", every="30m", **FINE).at(f"+{days} 12:00").start().after("2h")
    site.expect_episodes("p1", "low", ("11:30", "12:40"))
    assert (events(site, "boss"), events(site, "top")) == ([], [])


@DAYS
def test_what_is_wrong_still_goes_up_at_once_and_step_by_step(build: Build, days: int) -> None:
    site = build().at("11:00").keeps("p1", every="30m", **{**FINE, "pressure": 0.1})
    site.at("11:40").stop().at(f"+{days} 12:00").start()
    site.after("1m")
    assert (events(site, "boss"), events(site, "top")) == (["step"], [])
    site.after("20m")
    assert (events(site, "boss"), events(site, "top")) == (["step"], ["step"]), "the next has its time as ever"
    assert len(site.alarms()) == 1


@DAYS
def test_a_gateway_that_is_not_heard_again_holds_no_step_back(build: Build, days: int) -> None:
    site = build().at("11:00").keeps("p1", every="30m", **{**FINE, "pressure": 0.1}).at("11:40")
    site.clock.time = site.moment(f"+{days} 12:00")
    site.restart()
    for _ in range(20):
        site.clock.time += timedelta(minutes=1)
        site.intake.tick(site.clock.time)
    assert "step" in events(site, "boss")


@DAYS
def test_a_digest_tells_what_was_taken_in_after_the_stop_in_the_next_one_once(build: Build, days: int) -> None:
    site = build()

    def look() -> list[Any]:
        Digests(site.database, public_url="").tick(site.clock.time)
        return [one.data["counts"]["new"] for one in site.notices("digest")]

    site.at("09:00")
    assert look() == []
    site.keeps("p1", every="30m", **{**FINE, "level": 6}).at("11:00").keeps("p1", every="30m", **FINE).at(
        "12:00"
    ).stop()
    site.at("+1 10:00").keeps("p1", every="30m", **{**FINE, "level": 6}).at(f"+{days} 12:00")
    assert look() == [1], "late, of the day on which services stopped"
    site.start().expect_alarm("p1", "full", raised="+1 10:00")
    assert look() == [1]
    site.at(f"+{days + 1} 08:02")
    assert look() == [1, 1], "what came of the backlog"
    site.at(f"+{days + 2} 08:02")
    assert look() == [1, 1]
