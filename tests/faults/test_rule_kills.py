"""kill -9 of services at random moments, with alarms in flight: afterwards all is as if nothing had happened.

Gateway and services run as processes of their own, joined by HTTP. At any moment delays run, alarms clear, wait for
their cause, flap, or stand under a storm. What must come of it says an undisturbed run of the same messages, to the
millisecond: a delay that began anew would be seen. It kills twice, at the same moments on every run;
`COURTYARD_RULE_KILLS=20 COURTYARD_SEED=random` does it as docs/performance.md reports it. Seeds are printed, by
failures too, and given again a run can be had again.
"""

from __future__ import annotations

import json
import os
import random
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import select

from services import bootstrap
from services.bench.mosquitto import Mosquitto
from services.clock import SystemClock
from services.database import Database
from services.settings import Settings
from services.sites.importer import import_site
from services.tables import alarms, rule_states
from tests.faults import chance
from tests.faults.kit import Yard
from tests.faults.rule_yard import Books, Flow, books, post, site_files, undisturbed

pytestmark = [pytest.mark.mosquitto, pytest.mark.slow, pytest.mark.timeout(900)]

KILLS = int(os.environ.get("COURTYARD_RULE_KILLS", "2"))


def prepared(folder: Path, broker: Mosquitto) -> Yard:
    """Gateway and services with the sites of these tests beside their own."""
    yard = Yard(folder, broker)
    # JSON is YAML too.
    (folder / "profiles" / "post.yaml").write_text(json.dumps(post(), indent=1, ensure_ascii=False), encoding="utf-8")
    settings = Settings(data_dir=folder / "services", profiles_dir=folder / "profiles")
    with ExitStack() as stack:
        core = bootstrap.start_core(stack, settings, SystemClock())
        for one in site_files():
            import_site(core.database, json.dumps(one, indent=1), core.library, SystemClock().now())
    return yard


def test_services_are_killed_with_alarms_in_flight(mosquitto: Mosquitto, tmp_path: Path) -> None:
    yard = prepared(tmp_path, mosquitto)
    seed = chance.seed()
    dice = random.Random(seed)
    with ExitStack() as stack:
        yard.start(stack)
        flow = Flow(mosquitto)
        flow.start()
        stack.callback(flow.stop)
        _until_in_flight(tmp_path)
        for _ in range(KILLS):
            yard.services.wait_until_ready()
            time.sleep(dice.uniform(0.1, 2.0))
            yard.services.kill()
            yard.services.start()
        flow.end()
        expected = undisturbed(tmp_path, flow.ledger)
        database = Database.sqlite(tmp_path / "services" / "courtyard.db")
        database.start()
        stack.callback(database.close)
        found = _settled(database, expected)
        try:
            compare(found, expected)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
    figures = {
        "messages": flow.messages,
        "episodes": found.episodes.total(),
        "suppressed": found.suppressed.total(),
        "folded": found.folded,
        "flapping": sum(one.flaps for one in found.episodes),
        "storms": found.storms,
        "tickets": len(found.opened),
    }
    print(json.dumps({"seed": seed, "kills": KILLS, **figures}))
    assert min(figures.values()) > 0, f"everything was in flight: {figures}"


def _until_in_flight(folder: Path, seconds: float = 240) -> None:
    """Until a delay runs, an alarm is active, and another waits for its cause."""
    database = Database.sqlite(folder / "services" / "courtyard.db")
    database.start()
    deadline, found = time.monotonic() + seconds, set[str]()
    try:
        while not found >= {"pending", "active", "suppressed"} and time.monotonic() < deadline:
            time.sleep(0.1)
            with database.read() as connection:
                phases = {state["phase"] for state in connection.scalars(select(rule_states.c.state))}
                found = {*phases & {"pending"}, *connection.scalars(select(alarms.c.state).distinct())}
    finally:
        database.close()
    assert found >= {"pending", "active", "suppressed"}, found


def _settled(database: Database, expected: Books, seconds: float = 240) -> Books:
    """The books once they are as expected, or when the time is over. Nothing comes after that: who has said all is at
    rest."""
    deadline = time.monotonic() + seconds
    while not _agree(found := books(database), expected) and time.monotonic() < deadline:
        time.sleep(0.3)
    return found


def _agree(found: Books, expected: Books) -> bool:
    try:
        compare(found, expected)
    except AssertionError:
        return False
    return True


def compare(found: Books, expected: Books) -> None:
    missing, more = expected.episodes - found.episodes, found.episodes - expected.episodes
    assert not missing and not more, f"missing or at another time {sorted(missing)}, not expected {sorted(more)}"
    assert found.suppressed == expected.suppressed, "the same alarms waited for their cause"
    assert (found.folded, found.storms) == (expected.folded, expected.storms)
    assert len(found.opened) == len(set(found.opened)), "a ticket is doubled"
    assert set(found.opened) == found.ids, "tickets = episodes neither suppressed nor folded, and storms"
    assert len(found.opened) == len(expected.opened)
    assert set(expected.told.values()) == {1}, "one thing is told once"
    forgotten, again = expected.told - found.told, found.told - expected.told
    assert not forgotten and not again, f"not told {sorted(forgotten)}, told besides or again {sorted(again)}"
