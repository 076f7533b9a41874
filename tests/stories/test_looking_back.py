"""Rules that look back in time, and events: through the real intake, and through a restart."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from gateway.reading import Event, Quality
from services.clock import to_millis
from services.events import store
from services.rules.windows import SLICES
from services.tables import rule_states
from tests.stories.site import LIBRARY, MIDNIGHT, PUMPS, Story, profile

RULES = """
  - {id: burst, name: {zh: 爆管, en: Burst}, when: "delta(pressure, 5m) < -0.1 MPa", severity: critical,
     source: {kind: judgement}}
  - {id: frozen, name: {zh: 冻结, en: Frozen}, when: "not changed(pressure, 30m)", clear: {for: 0s}, severity: minor,
     source: {kind: judgement}}
  - {id: chatter, name: {zh: 频繁启停, en: Chatter}, scope: pump, when: "count(run == running, 10m) >= 3",
     severity: minor, source: {kind: judgement}}
  - {id: knocks, name: {zh: 撞击, en: Knocks}, when: "count(knock, 10m) >= 3", severity: minor,
     source: {kind: judgement}}
  - {id: smoke, name: {zh: 烟, en: Smoke}, when: smoking, clear: {for: 0s}, severity: critical,
     source: {kind: judgement}}
  - {id: cut, name: {zh: 切断, en: Cut}, scope: pump, when: "run == fault and parent.smoking", clear: {for: 0s},
     severity: major, source: {kind: judgement}}
"""
EVENTS = """
events:
  knock: {name: {zh: 撞击, en: Knock}}
  smoking: {name: {zh: 冒烟, en: Smoke}, lasting: true, severity: critical}
rules:
"""
WATCHED = profile(PUMPS.replace("rules:\n", EVENTS.lstrip("\n") + RULES.lstrip("\n"), 1))


@pytest.fixture
def watched(site: Story) -> Story:
    return Story(site.database, library={**LIBRARY, "pumps": WATCHED})


def rules(story: Story) -> list[str]:
    return sorted(alarm.rule for alarm in story.alarms() if alarm.rule in {rule.id for rule in WATCHED.rules[:6]})


def event(story: Story, id: str, phase: str = "", **more: object) -> None:
    values = {id: phase != "end"} if phase else {}
    told = Event(id, {"n": 1}, phase)
    story.deliver(story.reading("pumps", values=values, events=(told,), **more))  # type: ignore[arg-type]


def test_pressure_that_falls_within_minutes_is_a_burst(watched: Story) -> None:
    watched.keeps_saying("pumps", pressure=0.50).at("00:04").says("pumps", pressure=0.42)
    watched.at("00:06").says("pumps", pressure=0.38)
    assert rules(watched) == ["burst"], "0.12 less than five minutes ago"
    reason = next(alarm for alarm in watched.alarms() if alarm.rule == "burst").reason
    assert reason["values"]["delta(pressure, 5m)"] == pytest.approx(-0.12)
    watched.at("00:12")
    assert rules(watched) == [], "it has stood there for five minutes: no longer a fall"


def test_a_slow_fall_is_no_burst(watched: Story) -> None:
    for minute in range(1, 31):
        watched.at(f"00:{minute:02}").says("pumps", pressure=0.5 - minute * 0.005)
        watched.keeps_saying("pumps", pressure=0.5 - minute * 0.005)
    assert rules(watched) == []


def test_what_was_remembered_survives_a_restart(watched: Story) -> None:
    watched.keeps_saying("pumps", pressure=0.50).at("00:04").restart()
    watched.at("00:05:10").says("pumps", pressure=0.38)
    assert rules(watched) == ["burst"]


def test_late_historic_retained_and_suspect_values_are_not_remembered(watched: Story) -> None:
    watched.keeps_saying("pumps", pressure=0.50).at("00:06")
    for quality in (Quality.LATE, Quality.HISTORIC, Quality.SUSPECT):
        watched.deliver(watched.reading("pumps", values={"pressure": 0.1}, quality=quality))
    watched.deliver(watched.reading("pumps", values={"pressure": 0.1}, retained=True))
    watched.at("00:06:10")
    assert rules(watched) == []


def test_a_value_that_never_moves_is_frozen_and_a_silent_device_is_not(watched: Story) -> None:
    watched.keeps_saying("pumps", pressure=0.50).at("00:29")
    assert rules(watched) == []
    watched.at("00:32")
    assert rules(watched) == ["frozen"]
    watched.says("pumps", pressure=0.51)
    assert rules(watched) == []
    watched.falls_silent("pumps").at("02:00").says("pumps", pressure=0.51).at("02:05")
    assert rules(watched) == [], "nobody watched meanwhile"


def test_a_pump_that_starts_again_and_again_chatters(watched: Story) -> None:
    for minute in range(4):
        watched.at(f"00:{minute * 2:02}").says("pumps", "pump:1", run="fault")
        if minute == 2:
            watched.restart()
        watched.at(f"00:{minute * 2 + 1:02}").says("pumps", "pump:1", run="running")
        watched.says("pumps", "pump:2", run="running")
        assert rules(watched) == (["chatter"] if minute >= 2 else []), minute
    assert [alarm.child for alarm in watched.alarms(device="pumps") if alarm.rule == "chatter"] == ["pump:1"]
    watched.at("00:20")
    assert rules(watched) == []


def test_events_are_counted_once_each_and_kept(watched: Story) -> None:
    watched.says("pumps", pressure=0.5)
    for minute in (1, 2):
        watched.at(f"00:{minute:02}")
        event(watched, "knock")
        event(watched, "knock")
    # A second one of the same time is the same row, and has happened all the same.
    with watched.database.read() as connection:
        listed = store.list_events(connection, "pumps")
    assert [(one.event, one.measured_at) for one in listed] == [
        ("knock", MIDNIGHT + timedelta(minutes=2)),
        ("knock", MIDNIGHT + timedelta(minutes=1)),
    ]
    assert rules(watched) == ["knocks"]


def test_history_tells_of_events_and_raises_nothing(watched: Story) -> None:
    watched.says("pumps", pressure=0.5)
    for minute in range(5):
        event(watched, "knock", at=MIDNIGHT - timedelta(minutes=minute), quality=Quality.HISTORIC)
    event(watched, "smoking", "begin", at=MIDNIGHT - timedelta(hours=1), quality=Quality.HISTORIC)
    assert rules(watched) == []
    with watched.database.read() as connection:
        assert {one.quality for one in store.list_events(connection, "pumps")} == {"historic"}
        assert len(store.list_events(connection, "pumps")) == 6


def test_what_lasts_is_true_until_it_ends(watched: Story) -> None:
    watched.says("pumps", pressure=0.5).at("00:01")
    event(watched, "smoking", "begin")
    assert rules(watched) == ["smoke"]
    watched.says("pumps", "pump:1", run="fault")
    assert rules(watched) == ["cut", "smoke"]
    watched.restart().at("00:02")
    with watched.database.read() as connection:
        assert store.begun(connection, "pumps", ["smoking"]) == {("", "smoking"): MIDNIGHT + timedelta(minutes=1)}
    event(watched, "smoking", "end")
    assert rules(watched) == []
    with watched.database.read() as connection:
        assert store.begun(connection, "pumps", ["smoking"]) == {}


def test_a_batch_that_comes_again_changes_nothing(watched: Story) -> None:
    watched.says("pumps", pressure=0.5).at("00:01")
    batch = watched.batch([watched.reading("pumps", events=(Event("knock", {"n": 1}),))])
    for _ in range(3):
        watched.intake.take(batch)
    with watched.database.read() as connection:
        assert len(store.list_events(connection, "pumps")) == 1


def test_events_are_forgotten_after_a_time_and_a_raving_device_pushes_out_its_own(watched: Story) -> None:
    for minute in range(10):
        watched.at(f"00:{minute:02}")
        event(watched, "knock")
    with watched.database.write() as connection:
        assert store.expire(connection, MIDNIGHT + timedelta(minutes=2)) == 2
        assert store.expire(connection, MIDNIGHT, most_per_device=3) == 5
        kept = store.list_events(connection, "pumps")
    assert [one.measured_at.minute for one in kept] == [9, 8, 7]


def test_pages_of_events_meet_without_gap_or_overlap(watched: Story) -> None:
    for minute in range(7):
        watched.at(f"00:{minute:02}")
        event(watched, "knock")
    with watched.database.read() as connection:
        first = store.list_events(connection, "pumps", limit=4)
        rest = store.list_events(connection, "pumps", limit=4, before=first[-1].id)
    assert [one.measured_at.minute for one in (*first, *rest)] == [6, 5, 4, 3, 2, 1, 0]


def test_what_is_stored_of_a_rule_is_bounded(watched: Story) -> None:
    start = to_millis(MIDNIGHT)
    readings = [
        watched.reading("pumps", values={"pressure": 0.5 + i % 3 / 100}, at=MIDNIGHT + timedelta(seconds=i))
        for i in range(3000)
    ]
    watched.clock.time = MIDNIGHT + timedelta(seconds=3000)
    watched.deliver(*readings)
    with watched.database.read() as connection:
        rows = connection.execute(rule_states.select().where(rule_states.c.rule == "burst")).all()
    (points,) = [json.loads(row.state["watches"]["delta(pressure, 5m)"]) for row in rows]
    assert len(points) <= SLICES + 2
    assert points[-1][0] > start + 2_990_000
