"""Whoever may see one site sees nothing of another, whatever is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from services.outages.store import get_outage, list_outages, public_outages
from services.rules.desk import AlarmDesk
from services.rules.store import get_alarm, list_alarms
from services.scope import EVERYWHERE, NotFound
from services.sites.importer import import_site
from services.sites.store import (
    get_device,
    get_site,
    list_devices,
    list_recipients,
    list_sites,
    list_supplies,
    open_counts,
)
from services.tickets.store import get_ticket, list_tickets
from tests.stories.site import MIDNIGHT, YARD, Story, opened

MINE = frozenset({"yard"})


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    """The same trouble in two yards."""
    database = opened(f"sqlite:///{tmp_path / 'scope.db'}")
    story = Story(database)
    theirs = YARD.replace("site: yard", "site: theirs").replace("id: pumps,", "id: pumps-2,")
    theirs = theirs.replace("device: pumps,", "device: pumps-2,").replace("gate-1", "gate-2")
    import_site(database, theirs, story.library, MIDNIGHT)
    story.restart()
    for device, gate in (("pumps", "gate-1"), ("pumps-2", "gate-2")):
        story.keeps_saying(device, pressure=0.1).keeps_saying(gate, door="closed")
    story.at("00:03")
    assert (len(story.alarms()), len(story.tickets()), len(story.outages())) == (2, 2, 2)
    yield story
    database.close()


Lister = Callable[[Connection, Any], list[Any]]


@pytest.mark.parametrize(
    "listed",
    [
        lambda connection, scope: [one.id for one in list_sites(connection, scope)],
        lambda connection, scope: [one.site for one in list_devices(connection, scope)],
        lambda connection, scope: [one.site for one in list_alarms(connection, scope)],
        lambda connection, scope: [one.site for one in list_tickets(connection, scope)],
        lambda connection, scope: [one.site for one in list_outages(connection, scope)],
        lambda connection, scope: [row["site"] for row in list_recipients(connection, scope)],
        lambda connection, scope: [
            row["site"] for s in ("yard", "theirs") for row in list_supplies(connection, scope, s)
        ],
    ],
)
def test_lists(story: Story, listed: Lister) -> None:
    with story.database.read() as connection:
        assert set(listed(connection, EVERYWHERE)) == {"yard", "theirs"}
        assert set(listed(connection, MINE)) == {"yard"}
        assert listed(connection, frozenset()) == []


@pytest.mark.parametrize("wanted", [{"site": "theirs"}])
def test_a_filter_does_not_widen_the_scope(story: Story, wanted: dict[str, str]) -> None:
    with story.database.read() as connection:
        for lister in (list_devices, list_alarms, list_tickets, list_outages):
            assert lister(connection, MINE, **wanted) == []  # type: ignore[operator]
            assert lister(connection, EVERYWHERE, **wanted)  # type: ignore[operator]


def test_single_things(story: Story) -> None:
    theirs = frozenset({"theirs"})
    with story.database.read() as connection:
        alarm = list_alarms(connection, theirs)[0].id
        ticket = list_tickets(connection, theirs)[0].id
        outage = list_outages(connection, theirs)[0].id
        for get, id in ((get_alarm, alarm), (get_ticket, ticket), (get_outage, outage), (get_device, "pumps-2")):
            assert get(connection, theirs, id) is not None
            assert get(connection, MINE, id) is None
        assert get_site(connection, MINE, "theirs") is None


def test_acknowledging(story: Story) -> None:
    alarm = next(one for one in story.alarms() if one.site == "theirs")
    desk = AlarmDesk(database=story.database, intake=story.intake, clock=story.clock)
    with pytest.raises(NotFound):
        desk.acknowledge(MINE, alarm.id, by="li")
    assert desk.acknowledge(EVERYWHERE, alarm.id, by="li").acknowledged_by == "li"
    assert desk.acknowledge(EVERYWHERE, alarm.id, by="wang").acknowledged_by == "li"


def test_counts(story: Story) -> None:
    with story.database.read() as connection:
        mine, all_ = open_counts(connection, MINE), open_counts(connection, EVERYWHERE)
    assert (mine.devices, mine.alarms, mine.tickets, mine.outages) == (2, 1, 1, 1)
    assert (all_.devices, all_.alarms, all_.tickets, all_.outages) == (4, 2, 2, 2)
    assert mine.devices_by_presence == {"online": 2}
    assert mine.alarms_by_severity == {"critical": 1}


def test_the_residents_page_shows_its_own_site(story: Story) -> None:
    with story.database.read() as connection:
        assert [one.site for one in public_outages(connection, "yard", since=MIDNIGHT)] == ["yard"]


def test_pages_follow_each_other(story: Story) -> None:
    story.says("pumps", "pump:1", run="fault").says("pumps", "pump:2", run="fault")
    with story.database.read() as connection:
        everything = [one.id for one in list_alarms(connection, EVERYWHERE)]
        first = list_alarms(connection, EVERYWHERE, limit=3)
        rest = list_alarms(connection, EVERYWHERE, limit=3, before=first[-1].id)
        assert [one.id for one in (*first, *rest)] == everything
        tickets = list_tickets(connection, EVERYWHERE, limit=3)
        assert [one.number for one in tickets] == [4, 3, 2]
        assert [one.number for one in list_tickets(connection, EVERYWHERE, before=2)] == [1]
        devices = [one.id for one in list_devices(connection, EVERYWHERE, limit=3)]
        assert [one.id for one in list_devices(connection, EVERYWHERE, after=devices[-1])] == ["pumps-2"]


def test_children_stand_in_natural_order_and_filters_hold(story: Story) -> None:
    for number in (10, 2, 1):
        story.says("pumps", f"pump:{number}", run="running")
    with story.database.read() as connection:
        device = get_device(connection, MINE, "pumps")
        assert device is not None
        assert [child.child for child in device.children] == ["pump:1", "pump:2", "pump:10"]
        assert (device.open_alarms, device.worst_severity) == (1, "critical")
        assert [one.id for one in list_devices(connection, MINE, building="2")] == ["gate-1"]
        assert [one.id for one in list_devices(connection, MINE, presence="online")] == ["gate-1", "pumps"]
        assert list_devices(connection, MINE, presence="offline") == []
        assert len(list_alarms(connection, MINE, severity=("critical",), state="active", device="pumps")) == 1
        assert list_alarms(connection, MINE, severity=("minor",)) == []
        assert list_tickets(connection, MINE, state=("closed",)) == []
