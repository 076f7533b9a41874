"""All or nothing, once, and in order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import func, select, text

from gateway.reading import Batch, Quality, Reading
from services.clock import to_millis
from services.intake import BatchRefused, CursorMoved
from services.rules.automaton import Phase
from services.sites.importer import import_site
from services.sites.store import open_counts, unclaimed_devices
from services.tables import alarms, device_states, devices, rule_states, tickets
from tests.stories.site import LIBRARY, MIDNIGHT, YARD, Story, opened, status


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Story]:
    on_sqlite = request.param == "sqlite"
    database = opened(f"sqlite:///{tmp_path / 'i.db'}" if on_sqlite else request.getfixturevalue("postgresql_url"))
    yield Story(database)
    database.close()


def count(site: Story, table: Any) -> int:
    with site.database.read() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


def fault(site: Story, pump: int = 1) -> Reading:
    return site.reading("pumps", f"pump:{pump}", {"run": "fault"})


# --- exactly once ----------------------------------------


def test_a_batch_twice_changes_nothing(site: Story) -> None:
    batch = site.batch([fault(site)])
    assert site.intake.take(batch) == 1
    assert site.intake.take(batch) == 1
    assert site.restart().intake.take(batch) == 1
    assert site.intake.cursor("gw") == 1
    assert (count(site, alarms), count(site, tickets)) == (1, 1)


def test_a_batch_that_overlaps_is_cut_where_it_can_be(site: Story) -> None:
    one, two, three = (site.reading("pumps", "pump:1", {"run": run}) for run in ("fault", "running", "fault"))
    site.intake.take(Batch("gw", 1, 2, to_millis(MIDNIGHT), [one, two]))
    assert site.intake.take(Batch("gw", 2, 3, to_millis(MIDNIGHT), [two, three])) == 3
    assert site.intake.readings == 3


def test_a_batch_that_cannot_be_cut_is_refused_and_nothing_is_lost(site: Story) -> None:
    site.intake.take(Batch("gw", 1, 2, to_millis(MIDNIGHT), [site.reading("pumps")]))
    with pytest.raises(BatchRefused, match="must begin at 3"):
        site.intake.take(Batch("gw", 2, 4, to_millis(MIDNIGHT), [fault(site)]))
    assert site.intake.cursor("gw") == 2
    assert site.intake.take(Batch("gw", 3, 4, to_millis(MIDNIGHT), [fault(site)])) == 4
    site.expect_alarms("pump_fault@pump:1")


def test_a_gap_is_counted_and_taken(site: Story) -> None:
    # The journal gave readings up at its cap; refusing what follows would not bring them back.
    site.intake.take(Batch("gw", 1, 1, to_millis(MIDNIGHT), [site.reading("pumps")]))
    assert site.intake.take(Batch("gw", 50, 50, to_millis(MIDNIGHT), [fault(site)])) == 50
    assert site.intake.gaps == 1


def test_gateways_have_cursors_of_their_own(site: Story) -> None:
    site.intake.take(Batch("east", 7, 7, to_millis(MIDNIGHT), [site.reading("pumps")]))
    assert (site.intake.cursor("east"), site.intake.cursor("west")) == (7, 0)


# --- all or nothing ----------------------------------------


def _refuse(site: Story, table: str) -> None:
    """From now on the database refuses to insert into one table, as a full disk would."""
    if site.database.is_sqlite:
        statements = [f"CREATE TRIGGER no BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no room'); END"]
    else:
        statements = [
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no room'; END$$",
            f"CREATE TRIGGER no BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION no()",
        ]
    with site.database.write() as connection:
        for statement in statements:
            connection.execute(text(statement))


def _allow(site: Story, table: str) -> None:
    with site.database.write() as connection:
        connection.execute(text("DROP TRIGGER no" if site.database.is_sqlite else f"DROP TRIGGER no ON {table}"))


@pytest.mark.parametrize("table", ["alarms", "tickets", "outages", "notices", "rule_states"])
def test_when_one_table_refuses_nothing_is_kept_and_the_next_try_does_it_all(site: Story, table: str) -> None:
    site.keeps_saying("pumps", pressure=0.5)
    _refuse(site, table)
    batch = site.batch([fault(site), site.reading("pumps", values={"pressure": 0.1})])
    with pytest.raises(Exception, match="no room"):
        site.intake.take(batch)
    for one in (alarms, tickets, rule_states):
        assert count(site, one) == 0
    assert site.device("pumps").latest.values == {"pressure": 0.5}
    assert site.intake.cursor("gw") == 1
    _allow(site, table)
    assert site.intake.take(batch) == site.seq
    site.expect_alarms("pump_fault@pump:1").expect_tickets(1).expect_outage("water-low", "degraded")
    assert site.tickets()[0].number == 1


def test_a_failed_tick_is_made_up_for(site: Story) -> None:
    site.keeps_saying("pumps", pressure=0.2).at("00:00:50")
    _refuse(site, "tickets")
    site.clock.time += timedelta(seconds=15)
    site._deliver([])
    with pytest.raises(Exception, match="no room"):
        site.intake.tick(site.clock.time)
    site.expect_alarms()
    _allow(site, "tickets")
    site.intake.tick(site.clock.time)
    site.expect_alarms("low").expect_tickets(1)
    assert site.alarms()[0].raised_at == MIDNIGHT + timedelta(seconds=60)


def test_a_second_process_on_the_same_gateway_is_noticed(site: Story) -> None:
    site.says("pumps", pressure=0.5)
    first = site.intake
    site.restart().says("pumps", pressure=0.5)
    with pytest.raises(CursorMoved):
        first.take(Batch("gw", 2, 2, to_millis(MIDNIGHT), [fault(site)]))
    assert first.cursor("gw") == 2, "it has read the state again"
    site.expect_alarms()


def test_batches_and_ticks_from_many_threads(site: Story) -> None:
    batches = [Batch(f"g{n}", 1, 1, to_millis(MIDNIGHT), [fault(site, n % 2 + 1)]) for n in range(12)]
    threads = [Thread(target=site.intake.take, args=(batch,)) for batch in batches]
    threads += [Thread(target=site.intake.tick, args=(MIDNIGHT,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert [site.intake.cursor(f"g{n}") for n in range(12)] == [1] * 12
    site.expect_alarms("pump_fault@pump:1", "pump_fault@pump:2").expect_tickets(2)


# --- over a restart ----------------------------------------


def test_a_running_delay_goes_on_from_data(site: Story) -> None:
    site.keeps_saying("pumps", pressure=0.2).at("00:00:40").restart().at("00:01").expect_alarms("low")
    assert site.alarms()[0].pending_since == MIDNIGHT


def test_nothing_changes_by_a_restart(site: Story) -> None:
    site.keeps_saying("pumps", pressure=0.2)
    site.keeps_saying("pumps", "pump:1", run="fault").at("00:05")
    before = (site.alarms(), site.tickets(), site.outages(), site.device("pumps"), len(site.notices()))
    site.restart()
    assert (site.alarms(), site.tickets(), site.outages(), site.device("pumps"), len(site.notices())) == before
    site.at("00:06").expect_alarms("low", "pump_fault@pump:1").expect_tickets(2)
    assert len(site.notices()) == before[4]


def test_the_alarm_table_is_right_whatever_the_automaton_believes(site: Story) -> None:
    site.keeps_saying("pumps", "pump:1", run="fault")
    with site.database.write() as connection:
        connection.execute(rule_states.delete())
    site.restart().at("00:01").expect_alarms("pump_fault@pump:1").expect_tickets(1)
    assert site.intake._remembered.memory is not None
    mark = site.intake._remembered.memory.devices["pumps"].marks["pump:1", "pump_fault"]
    assert mark.phase is Phase.ACTIVE
    with site.database.write() as connection:
        connection.execute(alarms.update().values(state="cleared", cleared_at=MIDNIGHT))
    site.restart().at("00:02")
    assert len(site.alarms()) == 1, "still at fault: a new episode, not a stuck one"


# --- qualities ----------------------------------------


@pytest.mark.parametrize("quality", [Quality.LATE, Quality.HISTORIC])
def test_late_and_historic_readings_page_nobody(site: Story, quality: Quality) -> None:
    site.deliver(site.reading("pumps", "pump:1", {"run": "fault"}, at=MIDNIGHT - timedelta(hours=1), quality=quality))
    site.expect_alarms()
    child = site.device("pumps").children[0]
    assert (child.values, child.flags) == ({"run": "fault"}, {"run": quality.value})
    site.says("pumps", "pump:1", current=3.0).expect_alarms()
    site.says("pumps", "pump:1", run="fault").expect_alarms("pump_fault@pump:1")


def test_a_device_whose_clock_is_off_still_raises_and_clears(site: Story) -> None:
    site.deliver(site.reading("pumps", "pump:1", {"run": "fault"}, quality=Quality.SKEWED))
    site.expect_alarms("pump_fault@pump:1")
    site.clock.time += timedelta(minutes=1)
    site.deliver(site.reading("pumps", "pump:1", {"run": "running"}, quality=Quality.SKEWED))
    site.at("00:03").expect_alarms()


@pytest.mark.parametrize("quality", [Quality.SUSPECT])
def test_readings_of_lesser_quality_neither_raise_nor_clear(site: Story, quality: Quality) -> None:
    site.deliver(site.reading("pumps", "pump:1", {"run": "fault"}, quality=quality)).expect_alarms()
    site.says("pumps", "pump:1", run="fault").expect_alarms("pump_fault@pump:1")
    site.clock.time += timedelta(minutes=1)
    site.deliver(site.reading("pumps", "pump:1", {"run": "running"}, quality=quality))
    site.at("00:03").expect_alarms("pump_fault@pump:1")


def test_an_impossible_value_is_unknown_not_the_last_one(site: Story) -> None:
    site.keeps_saying("pumps", pressure=0.2).at("00:00:30").falls_silent("pumps")
    for second in (40, 50, 59):
        site.at(f"00:00:{second}")
        site.deliver(site.reading("pumps", flags={"pressure": Quality.IMPOSSIBLE}))
    site.at("00:02").expect_alarms()
    latest = site.device("pumps").latest
    assert (latest.values, latest.flags) == ({"pressure": 0.2}, {"pressure": "impossible"})
    site.keeps_saying("pumps", pressure=0.2).at("00:02:40").expect_alarms("low")


def test_what_arrives_out_of_order_neither_raises_nor_overwrites(site: Story) -> None:
    site.at("00:01").says("pumps", "pump:1", run="running")
    site.deliver(site.reading("pumps", "pump:1", {"run": "fault"}, at=MIDNIGHT + timedelta(seconds=30)))
    site.expect_alarms()
    assert site.device("pumps").children[0].values == {"run": "running"}


def test_a_clock_some_seconds_slow_is_not_overtaken_by_heartbeats(site: Story) -> None:
    """The heartbeat is stamped on arrival, the status carries the device's own time."""
    site.at("00:01").says("pumps", "pump:1").says("pumps", "pump:1", current=3.0)
    behind = site.clock.time - timedelta(seconds=20)
    site.deliver(site.reading("pumps", "pump:1", {"run": "fault"}, at=behind)).expect_alarms("pump_fault@pump:1")
    assert site.device("pumps").children[0].values == {"current": 3.0, "run": "fault"}


def test_an_erased_value_is_unknown(site: Story) -> None:
    site.says("pumps", room="wet").expect_alarms("wet")
    site.says("pumps", room=None).at("00:02").expect_alarms("wet")
    site.says("pumps", room="dry").expect_alarms()


def test_retained_messages_set_state_and_are_no_sign_of_life(site: Story) -> None:
    site.deliver(site.reading("gate-1", values={"door": "open"}, retained=True, profile="gate"))
    site.expect_presence("gate-1", "unknown")
    assert site.device("gate-1").latest.values == {"door": "open"}
    site.at("00:10").expect_alarms()  # no delay runs on the past alone
    site.keeps_saying("gate-1", door="open").at("00:13").expect_alarms("held")


def test_a_heartbeat_keeps_what_was_said_before_it_fresh(site: Story) -> None:
    site.says("gate-1", door="open").keeps_saying("gate-1").at("00:02:10").expect_alarms("held")


def test_a_gap_in_the_data_freezes_a_delay(site: Story) -> None:
    site.says("gate-1", door="open").at("00:20").expect_alarms()
    site.says("gate-1").at("00:20:50").expect_alarms()
    site.says("gate-1").at("00:21:20").expect_alarms("held")


# --- devices ----------------------------------------


def test_what_no_site_file_names_is_kept_as_unclaimed(site: Story) -> None:
    site.deliver(site.reading("gate:new-7", values={"door": "forced"}, profile="gate")).restart()
    site.deliver(site.reading("gate:new-7", values={"door": "open"}, profile="gate")).expect_alarms()
    with site.database.read() as connection:
        found = unclaimed_devices(connection)
        assert open_counts(connection, None).unclaimed == 1
        assert open_counts(connection, frozenset({"yard"})).unclaimed == 0
    assert [(one.id, one.site, one.address, one.latest.values) for one in found] == [
        ("gate:new-7", None, "new-7", {"door": "open"})
    ]


def test_a_gateway_that_does_not_know_of_the_claim_yet(site: Story) -> None:
    site.deliver(site.reading("gate:gate-1", values={"door": "forced"}, profile="gate")).expect_alarms("forced")
    assert site.device("gate-1").latest.values == {"door": "forced"}


@pytest.mark.parametrize("address", ["x" * 300, "nul\x00", "half \ud800"])
def test_hostile_names_do_not_stop_the_others(site: Story, address: str) -> None:
    hostile = site.reading(f"gate:{address}", address, {"door": "open"}, profile="gate")
    site.deliver(hostile, site.reading("pumps", address, {"run": "fault"}), fault(site)).deliver(hostile)
    site.expect_alarms("pump_fault@pump:1").restart().deliver(hostile)
    assert count(site, devices) == 3


def test_an_import_by_another_process_is_seen(site: Story) -> None:
    registry = site.intake.registry()
    assert {entry.id for entry in registry.devices} == {"pumps", "gate-1"}
    site.says("gate-1", door="forced").expect_alarms("forced").expect_outage("door-2", "full")
    without = "\n".join(line for line in YARD.splitlines() if "gate-1" not in line)
    import_site(site.database, without, LIBRARY, MIDNIGHT + timedelta(seconds=1))
    site.at("00:01").expect_alarms().expect_no_outage()
    assert site.intake.registry().version != registry.version
    assert site.alarms("cleared")[0].reason["cleared"]["why"] == "the device is no longer in service"
    assert site.ticket(site.tickets()[0].id).events[-1].what == "alarm_cleared"
    site.deliver(site.reading("gate-1", values={"door": "forced"}, profile="gate")).expect_alarms()


def test_the_registry_version_is_stable(site: Story) -> None:
    assert site.intake.registry() == site.intake.registry() == site.restart().intake.registry()


def test_open_pages_are_told_after_the_commit(site: Story) -> None:
    told: list[tuple[str, int]] = []

    class Listening:
        def publish(self, changes: Any) -> None:
            told.extend((change.kind, count(site, alarms)) for change in changes)

    site.changes = Listening()  # type: ignore[assignment]
    site.restart().deliver(fault(site))
    assert {kind for kind, _ in told} == {"gateway", "device", "alarm", "ticket", "outage", "notice"} - {"notice"}
    assert {seen for _, seen in told} == {1}


def test_a_batch_writes_each_device_once(site: Story) -> None:
    readings = [site.reading("pumps", "pump:1", {"current": float(n)}) for n in range(200)]
    site.deliver(*readings)
    assert count(site, device_states) == 2
    assert site.device("pumps").children[0].values == {"current": 199.0}


def test_what_a_gateway_says_of_itself_is_kept(site: Story) -> None:
    site.intake.take(Batch("gw", 0, 0, to_millis(MIDNIGHT), [], status(connected=False)))
    with site.database.read() as connection:
        from services.sites.store import list_gateways

        (gateway,) = list_gateways(connection)
    assert (gateway.id, gateway.cursor, gateway.progress_at) == ("gw", 0, MIDNIGHT)
    assert gateway.status["connected"] is False
