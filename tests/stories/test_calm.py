"""Alarms that belong together: what is above explains what is below, people at work are left alone, storms are one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from gateway.reading import Presence
from services.clock import to_millis
from services.database import Database
from services.maintenance.store import add_window, claim
from services.maintenance.windows import Scope, Window
from services.rules.automaton import Outcome
from services.rules.compiled import compile_profile
from services.rules.engine import Firing
from services.rules.store import Alarm, expire_decisions
from services.scope import EVERYWHERE
from services.tables import alarm_events, rule_corrections, shadow_episodes, ticket_events
from tests.stories.calm_yard import LIBRARY, decisions, everything, rules_of, story
from tests.stories.site import MIDNIGHT, Story, opened


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    on_sqlite = request.param == "sqlite"
    found = opened(f"sqlite:///{tmp_path / 'c.db'}" if on_sqlite else request.getfixturevalue("postgresql_url"))
    yield found
    found.close()


@pytest.fixture
def site(database: Database) -> Story:
    return story(database)


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Callable[[int], Story]]:
    """On SQLite only: what is the same on every database."""
    opened_: list[Database] = []

    def make(stations: int = 1) -> Story:
        opened_.append(opened(f"sqlite:///{tmp_path / f'q{len(opened_)}.db'}"))
        return story(opened_[-1], stations).keeps_saying("m0", energy=1.0)

    yield make
    for one in opened_:
        one.close()


def loses_mains(site: Story, at: str = "00:01") -> Story:
    site.keeps_saying("s0", voltage=230.0).keeps_saying("s0", "port:1", state="idle").keeps_saying("m0", energy=1.0)
    return site.at(at).says("s0", voltage=0.0)


def the(site: Story, rule: str, state: str | None = None, *, device: str | None = None) -> Alarm:
    (found,) = (one for one in site.alarms(state, device=device) if one.rule == rule)
    return found


# --- a cause above ---------------------------------------------------------------------------------------------------


def test_a_station_without_mains_suppresses_its_ports_tickets_but_not_their_data(site: Story) -> None:
    loses_mains(site).at("00:02").says("s0", "port:1", state="fault").at("00:05")
    site.expect_alarms("mains_lost").expect_tickets(1).expect_no_outage()
    port = the(site, "port_fault", "suppressed")
    assert (port.ticket, port.suppressed_by["id"]) == (None, the(site, "mains_lost").id)  # type: ignore[index]
    assert decisions(site, port) == ["suppressed"]
    assert {one.child: one.values for one in site.device("s0").children} == {"port:1": {"state": "fault"}}
    assert [one.event for one in site.notices("eng")] == ["raised"]


def test_what_is_suppressed_clears_in_silence(site: Story) -> None:
    loses_mains(site).says("s0", "port:1", state="fault").at("00:02").says("s0", "port:1", state="idle").at("00:03")
    port = the(site, "port_fault", "cleared")
    assert decisions(site, port) == ["suppressed", "cleared"]
    assert [one.event for one in site.notices("eng")] == ["raised"], "of the mains only"
    site.expect_alarms("mains_lost").says("s0", voltage=230.0).at("00:10").expect_alarms().expect_tickets(1)


def test_what_is_still_wrong_after_its_cause_is_raised_then_and_once(site: Story) -> None:
    loses_mains(site).says("s0", "port:1", state="fault").at("00:03").says("s0", voltage=230.0)
    site.at("00:04:50").expect_alarms().expect_tickets(1)
    site.at("00:05:20").expect_alarms("port_fault@port:1").expect_tickets(2)
    port = the(site, "port_fault")
    assert decisions(site, port) == ["suppressed", "raised:cause_cleared"]
    assert timedelta(minutes=5) <= port.raised_at - MIDNIGHT <= timedelta(minutes=5, seconds=10)
    assert port.pending_since == MIDNIGHT + timedelta(minutes=1)
    site.expect_outage("charging", "degraded")
    site.restart().at("00:10").expect_tickets(2)
    assert [one.event for one in site.notices("eng") if one.subject_id == port.id] == ["raised"]


def test_fresh_data_after_the_cause_can_clear_it_first(site: Story) -> None:
    loses_mains(site).says("s0", "port:1", state="fault").at("00:03").says("s0", voltage=230.0)
    site.at("00:04").says("s0", "port:1", state="idle").at("00:10").expect_alarms().expect_tickets(1)


def test_a_cause_that_comes_back_while_it_settles(site: Story) -> None:
    loses_mains(site).says("s0", "port:1", state="fault").at("00:03").says("s0", voltage=230.0)
    site.at("00:04").says("s0", voltage=0.0).at("00:10")
    site.expect_alarms("mains_lost").expect_tickets(2)
    assert decisions(site, the(site, "port_fault", "suppressed")) == ["suppressed", "suppressed"]


def test_what_was_inhibited_does_not_fire_after_a_restart(site: Story) -> None:
    """Neighbours forget on restart why an alarm was held back, and raise it."""
    loses_mains(site).says("s0", "port:1", state="fault").at("00:02")
    before = everything(site)
    for _ in range(3):
        site.restart()
        site.intake.tick(site.clock.time)
    assert everything(site) == before
    site.restart().at("00:04").expect_alarms("mains_lost").expect_tickets(1)


def test_the_cause_is_looked_for_up_the_chain(site: Story) -> None:
    loses_mains(site).falls_silent("m0").at("00:06").expect_alarms("mains_lost").expect_tickets(1)
    assert decisions(site, the(site, "gone", "suppressed")) == ["suppressed"]


def test_smoke_is_never_held_back_by_a_broken_link(site: Story) -> None:
    """What a device says got through: only what is judged by silence is explained by a break above it."""
    site.keeps_saying("s0", voltage=230.0).keeps_saying("m0", energy=1.0).at("00:01").loses_uplink().at("00:01:30")
    site.says("s0", smoke="seen").at("00:06")
    assert [one.rule for one in site.alarms()] == ["uplink_cut"]
    site.finds_uplink()
    assert "smoke" in [one.rule for one in site.alarms()], "at once, before the break has cleared"


def test_a_cause_that_comes_after_what_it_explains(site: Story) -> None:
    site.keeps_saying("s0", voltage=230.0).says("s0", "port:1", state="fault").says("s0", "port:2", state="fault")
    taken = next(one for one in site.tickets() if one.child == "port:2")
    site.desk.assign({"yard"}, taken.id, to="mei", by="mei", version=taken.version, now=site.clock.time)  # type: ignore[arg-type]
    site.at("00:01:30").says("s0", voltage=0.0).at("00:02").expect_alarms(
        "port_fault@port:1", "port_fault@port:2", "mains_lost"
    ).expect_tickets(3)
    for one in site.alarms():
        expected = ["raised:condition_held", "cause:cause_raised_after"]
        assert decisions(site, one) == expected[: 1 if one.rule == "mains_lost" else 2]
    told = {one.child: [event.what for event in site.ticket(one.id).events] for one in site.tickets()}
    assert told["port:1"] == ["opened", "cause"]
    assert told["port:2"] == ["opened", "assigned"], "who has taken it knows better"


def test_a_cause_that_comes_much_later_is_none(site: Story) -> None:
    site.keeps_saying("s0", voltage=230.0).says("s0", "port:1", state="fault").at("00:03").says("s0", voltage=0.0)
    site.at("00:04").expect_tickets(2)
    assert decisions(site, the(site, "port_fault")) == ["raised:condition_held"]


# --- maintenance -----------------------------------------------------------------------------------------------------


def at_work(site: Story, begin: int, end: int, **scope: frozenset[str]) -> Story:
    """People are at work from one minute to another."""
    window = Window(
        id="w1",
        site="yard",
        title="Work",
        scope=Scope(**scope),
        starts_at=MIDNIGHT + timedelta(minutes=begin),
        ends_at=MIDNIGHT + timedelta(minutes=end),
        repeats=None,
        created_at=MIDNIGHT,
        created_by="mei",
    )
    with site.database.write() as connection:
        add_window(connection, window)
        claim(connection, window.site)
    return site.restart()


def test_people_at_work_hear_nothing_until_they_are_done(site: Story) -> None:
    at_work(site, 1, 10, devices=frozenset({"s0"}))
    loses_mains(site, "00:02").at("00:09:50").expect_alarms().expect_tickets(0)
    assert site.notices("eng") == []
    assert the(site, "mains_lost", "suppressed").suppressed_by == {
        "kind": "maintenance",
        "id": "w1",
        "since": to_millis(MIDNIGHT + timedelta(minutes=2)),
    }
    site.restart().at("00:10:10").expect_alarms("mains_lost").expect_tickets(1)
    lost = the(site, "mains_lost")
    assert decisions(site, lost) == ["suppressed", "raised:maintenance_over"]
    assert lost.raised_at >= MIDNIGHT + timedelta(minutes=10)


def test_what_works_again_before_they_leave_was_nothing(site: Story) -> None:
    at_work(site, 1, 10)
    loses_mains(site, "00:02").at("00:08").says("s0", voltage=230.0).at("00:20").expect_alarms().expect_tickets(0)
    assert site.notices("eng") == []


def test_what_was_wrong_before_they_came_stays_as_it_is(site: Story) -> None:
    at_work(site, 5, 10)
    loses_mains(site, "00:02").at("00:07").expect_alarms("mains_lost").expect_tickets(1)


def test_what_is_suppressed_for_work_explains_what_is_below(site: Story) -> None:
    at_work(site, 1, 10, devices=frozenset({"s0"}))
    loses_mains(site, "00:02").falls_silent("m0").at("00:09").expect_alarms().expect_tickets(0)
    assert the(site, "gone", "suppressed").suppressed_by["kind"] == "cause"  # type: ignore[index]
    site.at("00:20").expect_alarms("mains_lost").expect_tickets(1)


# --- storms ----------------------------------------------------------------------------------------------------------


def fail(site: Story, *stations: int, voltage: float = 0.0) -> Story:
    return site.deliver(*(site.reading(f"s{n}", values={"voltage": voltage}) for n in stations))


def storm_of(site: Story, state: str = "active") -> Alarm:
    (found,) = (one for one in site.alarms(state) if one.profile == "courtyard_storms")
    return found


def test_the_eleventh_and_all_that_follow_are_one(database: Database) -> None:
    site = story(database, 25)
    fail(site, *range(25))
    storm = storm_of(site)
    assert (storm.rule, storm.child, storm.device) == ("mains_lost", "station", "storm:yard")
    assert storm.reason["storm"] | {"devices": []} == {
        "profile": "station", "rule": "mains_lost", "count": 25, "told": 22, "within_seconds": 600, "devices": [],
    }  # fmt: skip
    assert storm.reason["storm"]["devices"] == [f"s{n}" for n in range(10, 20)]
    folded = [one for one in site.alarms() if one.parent == storm.id]
    assert len(folded) == 15
    assert len(site.alarms()) == 26
    assert {one.ticket for one in folded} == {None}
    site.expect_tickets(11)
    assert len(site.notices("eng")) == 11
    assert decisions(site, folded[0]) == ["folded:condition_held"]
    events = site.ticket(storm.ticket or "").events
    assert [(one.what, one.data.get("count")) for one in events] == [("opened", None), ("storm_grew", 22)]


def test_a_storm_is_over_with_the_last_alarm_under_it(database: Database) -> None:
    site = story(database, 14)
    fail(site, *range(14)).at("00:01")
    fail(site, *range(13), voltage=230.0).restart()
    assert [one.parent for one in site.alarms() if one.rule == "mains_lost"].count(None) == 1, "the storm itself"
    fail(site, 13, voltage=230.0)
    assert site.alarms() == []
    over = storm_of(site, "cleared")
    assert over.reason["cleared"]["why"] == "the last alarm under it has cleared"
    cleared = [one for one in site.notices("eng") if one.event == "cleared"]
    assert len(cleared) == 11, "ten of their own and the storm: who was not told of a beginning hears of no end"
    assert site.ticket(over.ticket or "").events[-1].what == "alarm_cleared"


def test_a_storm_that_begins_again_within_its_window_goes_on(database: Database) -> None:
    """Its alarm and its ticket are the same; who was told of its end is told once that it was none, and of the end."""
    site = story(database, 14)
    fail(site, *range(14)).at("00:01")
    fail(site, *range(14), voltage=230.0).at("00:04")
    over = storm_of(site, "cleared")
    close(site, over)
    fail(site, 12, 13).restart()
    storm = storm_of(site)
    assert (storm.id, storm.cleared_at, storm.reason["storm"]["count"]) == (over.id, None, 16)
    assert {one.parent for one in site.alarms() if one.id != storm.id} == {storm.id}
    site.expect_tickets(11)
    ticket = site.ticket(storm.ticket or "")
    last = ticket.events[-1]
    assert (ticket.state, last.what, last.data) == ("open", "reopened", {"why": "storm_again"})
    assert decisions(site, storm)[-1] == "raised:storm_again"
    told = [one for one in site.notices("eng") if one.subject_id == storm.id]
    assert [one.event for one in told] == ["raised", "cleared", "raised"]
    assert "came again" in told[-1].body
    fail(site, 12, 13, voltage=230.0).at("00:06")
    fail(site, 3).at("00:07")
    told = [one.event for one in site.notices("eng") if one.subject_id == storm.id]
    assert told == ["raised", "cleared", "raised", "cleared", "raised"]
    assert site.ticket(storm.ticket or "").events[-1].what == "alarm_again", "nobody had closed it"
    fail(site, 3, voltage=230.0).at("00:30")
    fail(site, *range(14))
    assert storm_of(site).id != storm.id, "after its window it is another one"


def close(site: Story, alarm: Alarm) -> None:
    ticket = site.ticket(alarm.ticket or "")
    site.desk.close(EVERYWHERE, ticket.id, by="li", version=ticket.version, now=site.clock.time)


def test_after_the_storm_an_alarm_stands_on_its_own_again(quick: Callable[[int], Story]) -> None:
    site = quick(14)
    fail(site, *range(12)).at("00:09")
    fail(site, 12).at("00:20")
    fail(site, 13)
    parents = {one.device: one.parent for one in site.alarms()}
    assert parents["s12"] is not None, "within ten minutes of ten others"
    assert parents["s13"] is None, "news, though the storm is not over"
    site.expect_tickets(12)


def test_a_storm_is_of_one_rule(quick: Callable[[int], Story]) -> None:
    site = quick(8)
    fail(site, *range(8))
    site.deliver(*(site.reading(f"s{n}", values={"smoke": "seen"}) for n in range(8))).expect_tickets(16)


def test_limits_are_the_intakes(quick: Callable[[int], Story]) -> None:
    from services.intake import Intake

    site = quick(6)
    site.intake = Intake(site.database, site.library, site.clock, site.changes, storm_over=2, storm_within=60)
    site.intake.start()
    fail(site, 0, 1, 2).expect_tickets(3)
    site.at("00:02")
    fail(site, 3, 4).expect_tickets(5)


def test_what_was_held_back_comes_as_a_storm_too(quick: Callable[[int], Story]) -> None:
    """A window ends, and thirty stations are still without mains."""
    site = at_work(quick(30), 1, 10)
    site.at("00:02")
    fail(site, *range(30)).at("00:09").expect_tickets(0)
    site.at("00:11").expect_tickets(11)
    assert storm_of(site).reason["storm"]["count"] == 30


def test_devices_that_lose_their_ports_in_a_storm_still_lose_residents_their_service(database: Database) -> None:
    site = story(database, 20)
    site.deliver(*(site.reading(f"s{n}", "port:1", {"state": "fault"}) for n in range(19, -1, -1)))
    assert the(site, "port_fault", device="s0").parent == storm_of(site).id
    site.expect_outage("charging", "degraded")
    fail(site, 0, voltage=230.0).deliver(
        *(site.reading(f"s{n}", "port:1", {"state": "idle"}) for n in range(20))
    ).expect_no_outage()


# --- after a kill ----------------------------------------------------------------------------------------------------

STEPS: list[Callable[[Story], object]] = [
    lambda site: fail(site, *range(4)),
    lambda site: site.says("s0", "port:1", state="fault"),
    lambda site: site.at("00:01"),
    lambda site: fail(site, *range(4, 12)),
    lambda site: fail(site, 12, 13),
    lambda site: site.says("s1", smoke="seen"),
    lambda site: fail(site, 0, voltage=230.0),
    lambda site: site.at("00:02"),
    lambda site: fail(site, *range(10, 13), voltage=230.0),
    lambda site: site.at("00:04"),
    lambda site: fail(site, 13, voltage=230.0),
    lambda site: site.at("00:06"),
    lambda site: fail(site, *range(14)),
    lambda site: site.says("s0", "port:1", state="idle"),
    lambda site: site.at("00:09"),
]


def test_a_kill_between_any_two_steps_changes_nothing(quick: Callable[[int], Story]) -> None:
    def play(killed: Callable[[int], bool]) -> list[object]:
        site = quick(14)
        for number, step in enumerate(STEPS):
            step(site)
            if killed(number):
                site.restart()
        return everything(site)

    undisturbed = play(lambda _: False)
    assert play(lambda _: True) == undisturbed
    assert play(lambda number: number % 2 == 0) == undisturbed


def test_a_transaction_that_fails_leaves_nothing_behind(quick: Callable[[int], Story]) -> None:
    from sqlalchemy import text

    site = quick(14)
    fail(site, *range(8))
    with site.database.write() as connection:
        connection.execute(
            text("CREATE TRIGGER no BEFORE INSERT ON alarm_events BEGIN SELECT RAISE(ABORT, 'no room'); END")
        )
    batch = site.batch([site.reading(f"s{n}", values={"voltage": 0.0}) for n in range(8, 14)])
    with pytest.raises(Exception, match="no room"):
        site.intake.take(batch)
    site.expect_tickets(8)
    with site.database.write() as connection:
        connection.execute(text("DROP TRIGGER no"))
    site.intake.take(batch)
    assert storm_of(site).reason["storm"]["count"] == 14
    site.expect_tickets(11)


# --- what the engine says besides -------------------------------------------------------------------------------------


def says(site: Story, outcome: Outcome, *, rule: str = "mains_lost", severity: str = "", flaps: int = 0) -> Story:
    """The engine says a fact about a rule of station 0."""
    compiled = compile_profile(LIBRARY["station"]).rules[rule]
    now = site.clock.time
    with site.intake._transaction(now) as (memory, _, consequences):
        device = memory.devices["s0"]
        at = to_millis(now)
        consequences.follow(Firing(device, "", compiled, outcome, at, at, None, severity, flaps))
    return site


def events_of(site: Story) -> list[str]:
    with site.database.read() as connection:
        return list(connection.scalars(select(ticket_events.c.what).order_by(ticket_events.c.id)))


def test_who_wanted_to_know_of_worse_is_told_when_it_gets_worse(site: Story) -> None:
    says(site, Outcome.RAISED)
    assert (len(site.notices("eng")), site.notices("boss")) == (1, [])
    says(site, Outcome.SEVERITY, severity="critical").restart()
    says(site, Outcome.SEVERITY, severity="critical")
    assert [one.event for one in site.notices("boss")] == ["raised"]
    assert len(site.notices("eng")) == 1, "was told already"
    assert the(site, "mains_lost").severity == "critical"
    assert site.tickets()[0].priority == "P2", "the ticket is theirs who work on it"
    says(site, Outcome.SEVERITY, severity="minor").restart()
    says(site, Outcome.SEVERITY, severity="critical")
    assert len(site.notices("boss")) == 1, "up again: told once"
    says(site, Outcome.SEVERITY, severity="minor").restart()
    says(site, Outcome.CLEARED)
    assert [one.event for one in site.notices("boss")] == ["raised", "cleared"], "who was told hears of the end"
    assert [one.event for one in site.notices("eng")] == ["raised", "cleared"]
    assert events_of(site) == ["opened", *["severity"] * 4, "alarm_cleared"]


def test_a_flapping_alarm_is_one_alarm_and_three_notices(site: Story) -> None:
    says(site, Outcome.RAISED)
    for _ in range(3):
        says(site, Outcome.FLAPPING, flaps=4).restart()
    assert the(site, "mains_lost").flaps == 4
    says(site, Outcome.CLEARED)
    assert [one.event for one in site.notices("eng")] == ["raised", "flapping", "cleared"]
    assert "begun 4 times" in site.notices("eng")[1].body
    assert events_of(site) == ["opened", "flapping", "alarm_cleared"]


def test_nobody_outside_hears_of_what_is_suppressed(site: Story) -> None:
    at_work(site, 0, 10)
    for outcome in (Outcome.RAISED, Outcome.SEVERITY, Outcome.FLAPPING, Outcome.CLEARED):
        severity = "critical" if outcome is Outcome.SEVERITY else ""
        says(site, outcome, severity=severity, flaps=4 if outcome is Outcome.FLAPPING else 0)
    assert (site.notices(), site.tickets(), events_of(site)) == ([], [], [])
    assert decisions(site, the(site, "mains_lost", "cleared")) == ["suppressed", "severity", "flapping", "cleared"]


def test_late_data_are_on_record_once_an_hour_and_page_nobody(site: Story) -> None:
    for _ in range(3):
        says(site, Outcome.LATE).restart()
    site.clock.time += timedelta(hours=1)
    says(site, Outcome.LATE)
    with site.database.read() as connection:
        rows = connection.execute(select(rule_corrections).order_by(rule_corrections.c.measured_at)).all()
    assert [(row.device, row.rule, row.measured_at) for row in rows] == [
        ("s0", "mains_lost", MIDNIGHT),
        ("s0", "mains_lost", MIDNIGHT + timedelta(hours=1)),
    ]
    assert (site.alarms(None), site.notices()) == ([], [])


def test_decisions_are_forgotten_long_after_their_alarm_is_over_and_the_alarm_stays(site: Story) -> None:
    says(site, Outcome.RAISED)
    site.clock.time += timedelta(days=2)
    says(site, Outcome.SEVERITY, severity="critical")
    alarm = the(site, "mains_lost")

    def kept(before: timedelta) -> tuple[int, list[str]]:
        with site.database.write() as connection:
            gone = expire_decisions(connection, MIDNIGHT + before)
        return gone, decisions(site, alarm)

    assert kept(timedelta(days=9)) == (0, ["raised:condition_held", "severity"]), "it stands, however long ago it began"
    site.clock.time += timedelta(days=1)
    says(site, Outcome.CLEARED)
    assert kept(timedelta(days=2)) == (0, ["raised:condition_held", "severity", "cleared"]), "it was not over by then"
    assert kept(timedelta(days=4)) == (3, [])
    assert the(site, "mains_lost", "cleared").id == alarm.id


def test_a_flapper_of_a_week_is_a_handful_of_decisions(quick: Callable[[int], Story]) -> None:
    site = quick(1)
    for _ in range(7 * 24):
        site.clock.time += timedelta(hours=1)
        minutes = [(timedelta(minutes=n - 60), 0.0 if n % 2 else 230.0) for n in range(1, 61)]
        said = [site.reading("s0", at=site.clock.time + ago, values={"voltage": volts}) for ago, volts in minutes]
        site.intake.take(site.batch(said))
    alarm = the(site, "mains_lost", "active")
    assert (alarm.flaps, decisions(site, alarm)) == (4, ["raised:condition_held", "flapping"])
    assert len(site.alarms(None)) == 4, "three before it counted as flapping"


def test_a_rule_on_trial_raises_nothing_and_is_counted(site: Story) -> None:
    station = LIBRARY["station"]
    trial = tuple(
        rule.model_copy(update={"mode": "shadow"}) if rule.id == "mains_lost" else rule for rule in station.rules
    )
    site.library["station"] = station.model_copy(update={"rules": trial})
    loses_mains(site.restart()).restart().at("00:02").restart()
    assert (site.alarms(None), site.tickets(), site.notices()) == ([], [], [])
    site.says("s0", voltage=230.0).at("00:03").says("s0", voltage=0.0).at("00:04")
    with site.database.read() as connection:
        rows = connection.execute(select(shadow_episodes).order_by(shadow_episodes.c.id)).all()
        assert connection.execute(select(alarm_events)).all() == []
    assert [(row.rule, row.cleared_at is None) for row in rows] == [("mains_lost", False), ("mains_lost", True)]
    site.library["station"] = station
    site.restart().at("00:05").expect_alarms("mains_lost").expect_tickets(1)
    with site.database.read() as connection:
        assert connection.scalars(select(shadow_episodes.c.cleared_at)).all().count(None) == 0


def test_the_alarms_of_a_site_as_they_are_listed(site: Story) -> None:
    loses_mains(site).says("s0", "port:1", state="fault")
    assert rules_of(site.alarms()) == ["s0 mains_lost"]
    assert rules_of(site.alarms("suppressed")) == ["s0 port:1 port_fault"]
    site.deliver(site.reading("s0", presence=Presence.OFFLINE))
