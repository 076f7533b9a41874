"""A device is plugged in: it is heard, waits, gets its place, and keeps its history, whatever is done to it after."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import select, update

from gateway.reading import Event, Presence, provisional_id
from gateway.telemetry.sqlite import SqliteTelemetry
from services.accounts.audit import Intact, verify
from services.adoption import history, store
from services.adoption.desk import AdoptionDesk
from services.adoption.model import Adoption, AdoptionConflict, AdoptionMistakes, Place, Unclaimed
from services.clock import to_millis
from services.scope import EVERYWHERE, NotFound, Scope
from services.sites.export import export_site
from services.sites.importer import SiteMistakes, import_site
from services.sites.store import list_supplies
from services.tables import audit, devices, events
from tests.stories.site import MIDNIGHT, YARD, Story

ID = provisional_id("pumps", "P/9")


class Yard:
    """A story with a time series and a desk."""

    def __init__(self, site: Story, folder: Path) -> None:
        self.site = site
        self.telemetry = SqliteTelemetry(folder / "telemetry.db")
        self.telemetry.start()

    @property
    def desk(self) -> AdoptionDesk:
        site = self.site
        return AdoptionDesk(
            database=site.database,
            intake=site.intake,
            telemetry=self.telemetry,
            changes=site.changes,
            library=site.library,
        )

    def says(self, device: str = ID, child: str = "", **values: Any) -> None:
        """Also into the time series, as a gateway on the same machine does."""
        reading = self.site.reading(device, child, values, profile="pumps")
        self.telemetry.write([reading])
        self.site.deliver(reading)

    def adopt(self, unclaimed: str = ID, scope: Scope = EVERYWHERE, **said: Any) -> Any:
        wanted = Adoption.model_validate({"site": "yard", "id": "pumps-9", **said})
        return self.desk.adopt(scope, unclaimed, wanted, by="chen", now=self.site.clock.time)

    def unclaimed(self, scope: Scope = EVERYWHERE, *, ignored: bool = False) -> list[Unclaimed]:
        with self.site.database.read() as connection:
            return store.list_unclaimed(connection, scope, ignored=ignored)

    def points(self, device: str) -> list[Any]:
        until = to_millis(self.site.clock.time) + 1
        found = self.telemetry.range(device=device, child="", metrics=["pressure"], start=0, end=until)
        return [point.value for point in found["pressure"]]

    def events(self, device: str) -> list[tuple[str, str, str | None]]:
        query = select(events.c.event, events.c.phase, events.c.site).where(events.c.device == device)
        with self.site.database.read() as connection:
            return [(row.event, row.phase, row.site) for row in connection.execute(query)]

    def registered(self) -> dict[str, tuple[str, str]]:
        return {one.id: (one.profile, one.address) for one in self.site.intake.registry().devices}

    def supply(self, id: str) -> dict[str, Any]:
        with self.site.database.read() as connection:
            return next(one for one in list_supplies(connection, EVERYWHERE, "yard") if one["id"] == id)

    def exported(self) -> str:
        with self.site.database.read() as connection:
            return export_site(connection, "yard")

    def import_(self, text: str = YARD) -> Any:
        report = import_site(self.site.database, text, self.site.library, self.site.clock.time + timedelta(seconds=1))
        self.site.restart()
        return report


@pytest.fixture
def yard(site: Story, tmp_path: Path) -> Iterator[Yard]:
    found = Yard(site, tmp_path)
    site.keeps_saying("pumps", pressure=0.5).at("00:01")
    yield found
    found.telemetry.close()


def test_a_new_device_waits_with_what_it_said(yard: Yard) -> None:
    event = Event("announced", {"name": "2号楼 泵", "model": "X3", "firmware": "1.2", "ip": "10.0.0.7"})
    yard.says(pressure=0.4)
    yard.site.deliver(replace(yard.site.reading(ID, profile="pumps"), events=(event,)))
    (found,) = yard.unclaimed()
    assert (found.id, found.profile, found.address, found.gateway) == (ID, "pumps", "P/9", "gw")
    assert found.first_heard_at == found.last_heard_at == yard.site.clock.time
    assert found.latest.values == {"pressure": 0.4}
    assert found.announced == {"name": "2号楼 泵", "model": "X3", "firmware": "1.2", "ip": "10.0.0.7"}
    assert (found.suggestion.site, found.suggestion.building, found.suggestion.id) == ("yard", "2", "P-9")
    yard.site.expect_alarms()


def test_adopted_it_is_judged_and_has_its_past(yard: Yard) -> None:
    yard.says(pressure=0.4)
    yard.site.at("00:02")
    yard.says(pressure=0.41)
    adopted = yard.adopt(building="3", unit="1", params={"pumps": 3}, name="Third set")
    assert (adopted.id, adopted.address, adopted.building, adopted.unit) == ("pumps-9", "P/9", "3", "1")
    assert (adopted.origin, adopted.name.zh, adopted.latest.values) == ("adopted", "Third set", {"pressure": 0.41})
    assert yard.unclaimed() == []
    assert yard.registered()["pumps-9"] == ("pumps", "P/9")
    assert (yard.points("pumps-9"), yard.points(ID)) == ([0.4, 0.41], [])
    # The gateway does not know yet, and what it still files under the old name follows.
    yard.site.at("00:03")
    yard.says(pressure=0.42)
    assert yard.site.device("pumps-9").latest.values == {"pressure": 0.42}
    history.carry(yard.site.database, yard.telemetry, yard.site.clock.time)
    assert yard.points("pumps-9") == [0.4, 0.41, 0.42]
    yard.says("pumps-9", pressure=0.1)
    yard.site.keeps_saying("pumps-9", pressure=0.1).at("00:04:30").expect_alarms("low")
    assert yard.site.alarms()[0].device == "pumps-9"


def test_adopting_twice_is_adopting_once(yard: Yard) -> None:
    yard.says(pressure=0.4)
    first = yard.adopt()
    assert yard.adopt() == first
    with pytest.raises(AdoptionConflict, match="adopted already, as 'pumps-9'"):
        yard.adopt(id="other")
    with pytest.raises(NotFound):
        yard.adopt("pumps:never")
    with yard.site.database.read() as connection:
        rows = connection.execute(select(audit.c.action, audit.c.subject, audit.c.who)).all()
    assert [tuple(row) for row in rows] == [("device.adopted", "pumps-9", "chen")]
    assert isinstance(verify(yard.site.database), Intact)


def test_every_mistake_is_said_at_once_and_nothing_changes(yard: Yard) -> None:
    yard.says(pressure=0.4)
    serves = [{"supply": "water-lo"}, {"supply": "water-low", "child": "pump:9"}, {"supply": "door-2", "child": "x:1"}]
    with pytest.raises(AdoptionMistakes) as caught:
        yard.adopt(
            id="pumps",
            building="9",
            parent="nobody",
            params={"low": 9, "lowest": 1, "pumps": 2.5},
            serves=serves,
        )
    assert {mistake.where for mistake in caught.value.mistakes} == {
        "id",
        "building",
        "parent",
        "params.low",
        "params.lowest",
        "params.pumps",
        "serves[0].supply",
        "serves[1].child",
        "serves[2].child",
    }
    assert "at least 0 and at most 2 MPa" in str(caught.value)
    with pytest.raises(AdoptionMistakes, match="site: found 'yart'"):
        yard.adopt(site="yart")
    assert [one.id for one in yard.unclaimed()] == [ID]
    assert "pumps-9" not in yard.registered()


def test_it_serves_and_stops_serving(yard: Yard) -> None:
    yard.says(pressure=0.4)
    yard.adopt(serves=[{"supply": "door-2"}, {"supply": "water-low", "child": "pump:*"}])
    assert yard.supply("door-2")["needs"] == 2, "all of them are needed there"
    assert yard.supply("water-low")["needs"] == 2, "the file says how many"
    assert [one["child"] for one in yard.supply("water-low")["members"] if one["device"] == "pumps-9"] == [
        "pump:1",
        "pump:2",
    ]
    assert yard.import_().is_unchanged
    assert yard.supply("door-2")["needs"] == 2
    yard.desk.edit(EVERYWHERE, "pumps-9", Place(name="X"), by="chen", now=yard.site.clock.time)  # type: ignore[arg-type]
    assert (yard.supply("door-2")["needs"], len(yard.supply("water-low")["members"])) == (1, 2)


def test_an_import_keeps_what_was_adopted_and_an_export_hands_it_over(yard: Yard) -> None:
    yard.says(pressure=0.4)
    yard.adopt(
        name={"zh": "三号泵组", "en": "Third"},
        building="3",
        params={"low": 0.25},
        parent="pumps",
        serves=[{"supply": "door-2"}],
    )
    report = yard.import_()
    assert (report.is_unchanged, report.kept) == (True, ("pumps-9",))
    exported = yard.exported()
    before = yard.site.device("pumps-9")
    handed = yard.import_(exported)
    assert handed.kept == ()
    assert (handed.devices.changed, handed.devices.unchanged, handed.supplies.changed) == (1, 2, 0)
    assert replace_origin(yard.site.device("pumps-9")) == replace_origin(before)
    assert yard.site.device("pumps-9").origin == "file"
    assert yard.import_(exported).is_unchanged
    assert yard.import_(YARD).devices.retired == 1, "from then on the file decides"


def replace_origin(device: Any) -> Any:
    return dataclasses.replace(device, origin="")


def test_a_file_cannot_rename_what_was_adopted(yard: Yard) -> None:
    yard.says(pressure=0.4)
    yard.adopt()
    text = YARD.replace("devices:\n", "devices:\n  - {id: another, profile: pumps, address: P/9}\n")
    with pytest.raises(SiteMistakes, match="'pumps-9', under which it was adopted"):
        yard.import_(text)


def test_an_adoption_can_be_undone_and_done_again(yard: Yard) -> None:
    yard.says(pressure=0.4)
    yard.adopt(serves=[{"supply": "door-2"}])
    yard.site.keeps_saying("pumps-9", pressure=0.1).at("00:03").expect_alarms("low")
    yard.site.falls_silent("pumps-9")
    again = yard.desk.unadopt(EVERYWHERE, "pumps-9", by="chen", now=yard.site.clock.time)
    assert (again.id, again.latest.values) == (ID, {"pressure": 0.1})
    assert yard.points(ID) == [0.4]
    assert yard.supply("door-2")["needs"] == 1
    yard.site.at("00:03:20").expect_alarms().expect_tickets(1)
    assert "pumps-9" not in yard.registered()
    assert yard.site.device("pumps-9").retired_at is not None
    yard.says(pressure=0.42)
    assert yard.adopt().latest.values == {"pressure": 0.42}
    assert yard.points("pumps-9") == [0.4, 0.42]
    assert [alarm.device for alarm in yard.site.alarms(state=None)] == ["pumps-9"]


def test_devices_with_long_names_are_the_same_ones_again_when_adoption_is_undone(yard: Yard) -> None:
    """Two names that begin alike and are longer than an id."""
    long = [provisional_id("pumps", f"{'substation-4-basement-' * 4}{n}") for n in (1, 2)]
    for device in long:
        yard.says(device, pressure=0.4)
    before = {one.id for one in yard.unclaimed()}
    for n, device in enumerate(sorted(before)):
        yard.adopt(device, id=f"pumps-{n}")
    for n in range(2):
        yard.desk.unadopt(EVERYWHERE, f"pumps-{n}", by="chen", now=yard.site.clock.time)
    assert {one.id for one in yard.unclaimed()} == before
    for device in long:
        yard.says(device, pressure=0.5)
    yard.site.restart()
    assert {one.id: one.latest.values for one in yard.unclaimed()} == {id: {"pressure": 0.5} for id in before}


def test_what_hangs_on_it_must_go_first(yard: Yard) -> None:
    yard.says(pressure=0.4)
    yard.says("pumps:B", pressure=0.4)
    yard.adopt()
    yard.adopt("pumps:B", id="b", parent="pumps-9")
    with pytest.raises(AdoptionMistakes, match="does not hang on this one itself"):
        yard.desk.edit(EVERYWHERE, "pumps-9", Place(parent="b"), by="chen", now=yard.site.clock.time)
    with pytest.raises(AdoptionConflict, match="b hang on it"):
        yard.desk.unadopt(EVERYWHERE, "pumps-9", by="chen", now=yard.site.clock.time)
    with pytest.raises(AdoptionConflict, match="stands in the site file"):
        yard.desk.unadopt(EVERYWHERE, "gate-1", by="chen", now=yard.site.clock.time)


def test_ignored_it_is_out_of_the_way_until_it_is_taken_back(yard: Yard) -> None:
    yard.says(pressure=0.4)
    for _ in range(2):
        yard.desk.ignore(EVERYWHERE, ID, by="chen", now=yard.site.clock.time)
    assert yard.unclaimed() == []
    yard.says(pressure=0.5)
    yard.site.intake.forget_unclaimed(yard.site.clock.time + timedelta(days=9))
    assert [(one.id, one.latest.values) for one in yard.unclaimed(ignored=True)] == [(ID, {"pressure": 0.5})]
    yard.desk.unignore(EVERYWHERE, ID, by="chen", now=yard.site.clock.time)
    assert [one.id for one in yard.unclaimed()] == [ID]
    yard.desk.forget(EVERYWHERE, ID, by="chen", now=yard.site.clock.time)
    assert yard.unclaimed() == []
    yard.says(pressure=0.6)
    assert [one.latest.values for one in yard.unclaimed()] == [{"pressure": 0.6}]


def test_a_swapped_module_goes_on_where_the_old_one_stopped(yard: Yard) -> None:
    yard.says(pressure=0.4)
    yard.adopt()
    yard.site.deliver(yard.site.reading("pumps-9", presence=Presence.OFFLINE)).at("00:02")
    yard.site.expect_presence("pumps-9", "offline")
    yard.says("pumps:N1", pressure=0.7)
    yard.desk.replace(EVERYWHERE, "pumps-9", "N1", by="chen", now=yard.site.clock.time)
    assert yard.unclaimed() == []
    assert yard.registered()["pumps-9"] == ("pumps", "N1")
    yard.site.at("00:02:10")
    yard.says("pumps:N1", pressure=0.71)
    assert yard.points("pumps-9") == [0.4, 0.7]
    yard.site.expect_presence("pumps-9", "online").expect_alarms()
    # The old module speaks on somewhere else: that is another device.
    yard.says(pressure=0.1)
    assert [one.id for one in yard.unclaimed()] == [ID]
    assert yard.site.device("pumps-9").latest.values == {"pressure": 0.71}
    with pytest.raises(AdoptionConflict, match="is that of pumps"):
        yard.desk.replace(EVERYWHERE, "pumps-9", "pumps", by="chen", now=yard.site.clock.time)


def test_what_happened_to_it_goes_along_and_back(yard: Yard) -> None:
    happened = replace(yard.site.reading(ID, profile="pumps"), events=(Event("leak", {}, "begin", "1"),))
    yard.site.deliver(happened)
    yard.adopt()
    assert yard.events("pumps-9") == [("leak", "begin", "yard")] and yard.events(ID) == []
    yard.desk.unadopt(EVERYWHERE, "pumps-9", by="chen", now=yard.site.clock.time)
    assert yard.events(ID) == [("leak", "begin", None)]
    yard.import_(YARD.replace("devices:\n", "devices:\n  - {id: third, profile: pumps, address: P/9}\n"))
    assert yard.events("third") == [("leak", "begin", "yard")]


def test_a_module_of_the_site_file_stays_swapped_while_the_file_is_old(yard: Yard) -> None:
    yard.desk.replace(EVERYWHERE, "pumps", "N1", by="chen", now=yard.site.clock.time)
    assert yard.import_().is_unchanged
    assert yard.registered()["pumps"] == ("pumps", "N1")
    assert "address: N1" in yard.exported()
    handed = yard.import_(yard.exported())
    assert handed.devices.changed == 1, "only that the file knows it now"
    assert yard.import_(YARD).devices.changed == 1, "and what the file says then, counts"
    assert yard.registered()["pumps"] == ("pumps", "pumps")


def test_who_sees_one_site_sees_the_new_devices_of_its_own_gateway(yard: Yard) -> None:
    yard.says(pressure=0.4)
    mine: Scope = frozenset({"yard"})
    assert [one.id for one in yard.unclaimed(mine)] == [ID]
    assert yard.unclaimed(frozenset({"other"})) == []
    other = YARD.replace("site: yard", "site: other").replace("id: pumps,", "id: p2,").replace("gate-1", "g2")
    other = other.replace("device: pumps", "device: p2")
    import_site(yard.site.database, other, yard.site.library, MIDNIGHT)
    with pytest.raises(AdoptionMistakes, match="one of yard"):
        yard.adopt(scope=mine, site="other")
    yard.site.restart().keeps_saying("p2", pressure=0.5).at("00:02")
    assert yard.unclaimed(mine) == [], "the gateway serves another site as well"
    with pytest.raises(NotFound):
        yard.adopt(scope=mine)
    assert yard.adopt(scope=EVERYWHERE).site == "yard"


def test_a_retired_device_of_another_site_hides_no_new_ones(yard: Yard) -> None:
    yard.says(pressure=0.4)
    mine = frozenset({"yard"})
    other = YARD.replace("site: yard", "site: other").replace("id: pumps,", "id: p2,").replace("gate-1", "g2")
    import_site(yard.site.database, other.replace("device: pumps", "device: p2"), yard.site.library, MIDNIGHT)
    yard.site.restart().keeps_saying("p2", pressure=0.5).at("00:02")
    assert yard.unclaimed(mine) == [], "the gateway serves another site too"
    gone = update(devices).where(devices.c.id == "p2").values(retired_at=yard.site.clock.time)
    with yard.site.database.write() as connection:
        connection.execute(gone)
    assert [one.id for one in yard.unclaimed(mine)] == [ID]


def test_a_device_that_a_file_claims_brings_its_history(yard: Yard) -> None:
    yard.says(pressure=0.4)
    text = YARD.replace("devices:\n", "devices:\n  - {id: third, profile: pumps, address: P/9}\n")
    assert yard.import_(text).adopted == ("third",)
    history.carry(yard.site.database, yard.telemetry, yard.site.clock.time)
    assert yard.points("third") == [0.4]
