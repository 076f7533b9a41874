"""The site file: checked as a whole, imported without doing anything twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from services.database import Database
from services.scope import EVERYWHERE
from services.sites.importer import device_entries, import_site, read_site
from services.sites.mistakes import SiteMistakes
from services.sites.store import get_device, get_site, list_devices, list_supplies
from services.tables import device_states, devices, recipients
from tests.stories.site import LIBRARY, MIDNIGHT, YARD, opened


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    on_sqlite = request.param == "sqlite"
    found = opened(f"sqlite:///{tmp_path / 's.db'}" if on_sqlite else request.getfixturevalue("postgresql_url"))
    yield found
    found.close()


def test_an_import_counts_what_it_does_and_a_second_one_does_nothing(database: Database) -> None:
    first = import_site(database, YARD, LIBRARY, MIDNIGHT)
    assert (first.devices.added, first.buildings.added, first.units.added) == (2, 3, 4)
    assert (first.supplies.added, first.recipients.added) == (2, 4)
    again = import_site(database, YARD, LIBRARY, MIDNIGHT + timedelta(days=1))
    assert again.is_unchanged
    assert again.devices.unchanged == 2
    with database.read() as connection:
        site = get_site(connection, EVERYWHERE, "yard")
        supplies = {row["id"]: row for row in list_supplies(connection, EVERYWHERE, "yard")}
    assert site is not None
    assert site.households == 70
    assert site.buildings[0].name.zh == "1号楼"
    # "pump:*" is written out from the device's own count.
    assert [one["child"] for one in supplies["water-low"]["members"]] == ["pump:1", "pump:2"]
    assert supplies["door-2"]["needs"] == 1


def test_a_device_gone_from_the_file_is_retired_and_can_return(database: Database) -> None:
    import_site(database, YARD, LIBRARY, MIDNIGHT)
    without = YARD.replace(
        "  - {id: gate-1, profile: gate,", "  - {id: gate-9, profile: gate, address: gate-1,"
    ).replace("{device: gate-1}", "{device: gate-9}")
    report = import_site(database, without, LIBRARY, MIDNIGHT + timedelta(hours=1))
    assert (report.devices.added, report.devices.retired) == (1, 1)
    with database.read() as connection:
        assert {one.id for one in list_devices(connection, EVERYWHERE)} == {"pumps", "gate-9"}
        old = get_device(connection, EVERYWHERE, "gate-1")
    assert old is not None
    assert old.retired_at == MIDNIGHT + timedelta(hours=1)
    back = import_site(database, YARD, LIBRARY, MIDNIGHT + timedelta(hours=2))
    assert (back.devices.changed, back.devices.retired) == (1, 1)
    with database.read() as connection:
        assert {one.id for one in list_devices(connection, EVERYWHERE)} == {"pumps", "gate-1"}


def test_two_devices_may_swap_their_addresses(database: Database) -> None:
    two = YARD.replace(
        "  - {id: gate-1, profile: gate,",
        "  - {id: gate-2, profile: gate, address: B}\n  - {id: gate-1, address: A, profile: gate,",
    )
    import_site(database, two, LIBRARY, MIDNIGHT)
    swapped = (
        two.replace("address: A", "address: x").replace("address: B", "address: A").replace("address: x", "address: B")
    )
    assert import_site(database, swapped, LIBRARY, MIDNIGHT).devices.changed == 2
    with database.read() as connection:
        assert {one.id: one.address for one in list_devices(connection, EVERYWHERE, profile="gate")} == {
            "gate-1": "B",
            "gate-2": "A",
        }


def test_what_was_heard_before_is_adopted(database: Database) -> None:
    with database.write() as connection:
        unclaimed = {"id": "gate:gate-1", "profile": "gate", "address": "gate-1", "name_zh": "x", "name_en": "x"}
        connection.execute(insert(devices).values(**unclaimed, params={}))
        connection.execute(insert(device_states).values(device="gate:gate-1", child="", values={}))
    report = import_site(database, YARD, LIBRARY, MIDNIGHT)
    assert report.adopted == ("gate-1",)
    with database.read() as connection:
        assert connection.scalars(select(devices.c.id).order_by(devices.c.id)).all() == ["gate-1", "pumps"]
        assert connection.scalars(select(device_states.c.device)).all() == []


def test_two_sites_cannot_have_the_same_device(database: Database) -> None:
    import_site(database, YARD, LIBRARY, MIDNIGHT)
    other = YARD.replace("site: yard", "site: other")
    with pytest.raises(SiteMistakes) as caught:
        import_site(database, other, LIBRARY, MIDNIGHT)
    assert {mistake.where for mistake in caught.value.mistakes} >= {"devices[1].id", "devices[2].id"}
    assert "site 'yard'" in str(caught.value)
    # Recipients of two sites may have the same id.
    fine = other.replace("id: pumps,", "id: p2,").replace("device: pumps", "device: p2").replace("gate-1", "g2")
    import_site(database, fine, LIBRARY, MIDNIGHT)
    with database.read() as connection:
        assert len(connection.execute(select(recipients)).all()) == 8


BROKEN = """\
site: yard
name: {zh: 小院, en: The Yard}
timezone: Asia/Shangai
buildings:
  - {id: 1, units: [{id: 1, households: 20}]}
  - {id: 1, units: []}
devices:
  - {id: pumps, profile: pump, building: 1}
  - {id: p2, profile: pumps, building: 7, params: {low: 9, lowest: 1, pumps: 2.5}}
  - {id: p2, profile: gate, parent: nobody}
supplies:
  - {id: w, service: water, needs: 9, members: [{device: p2, child: "pump:1"}], buildings: [2]}
  - {id: x, service: water, members: [{device: p2, child: "pomp:1"}, {device: p3}, {device: p2, child: "pump:3"}]}
recipients:
  - {id: r, audience: residents, channel: email, to: a@b.c, about: [alarm], buildings: [4]}
"""


def test_every_mistake_at_once_with_its_line_and_the_nearest_word() -> None:
    broken = BROKEN.replace(
        "  - {id: p2, profile: gate, parent: nobody}\n", "  - {id: p4, profile: gate, parent: nobody}\n"
    )
    with pytest.raises(SiteMistakes) as caught:
        read_site(broken, LIBRARY)
    found = {(mistake.line, mistake.where): mistake.expected for mistake in caught.value.mistakes}
    assert found[3, "timezone"] == "one that there is (did you mean Asia/Shanghai?)"
    assert found[6, "buildings[2].id"] == "one that is not taken (line 5 has it)"
    assert found[8, "devices[1].profile"] == "one of gate, pumps (did you mean pumps?)"
    assert found[9, "devices[2].building"] == "one of 1"
    assert found[9, "devices[2].params.low"] == "at least 0 and at most 2 MPa"
    assert found[9, "devices[2].params.lowest"] == "one of low, pumps (did you mean low?)"
    assert found[9, "devices[2].params.pumps"] == "a whole number"
    assert found[10, "devices[3].parent"].startswith("one of")
    assert found[12, "supplies[1].needs"] == "at most 1, the number of members"
    assert found[12, "supplies[1].buildings[1]"] == "one of 1"
    assert found[13, "supplies[2].members[1].child"] == "one of pump:1, zone:1 (did you mean pump:1?)"
    assert found[13, "supplies[2].members[2].device"] == "one of p2, p4, pumps"
    assert found[13, "supplies[2].members[3].child"] == "pump:1 to pump:2"
    assert found[15, "recipients[1].about"] == "[outage] for residents"
    assert found[15, "recipients[1].buildings[1]"] == "one of 1"
    assert len(found) == 15
    assert [mistake.line for mistake in caught.value.mistakes] == sorted(
        mistake.line for mistake in caught.value.mistakes
    )
    assert str(caught.value).startswith(
        "site.yaml:3: timezone: found 'Asia/Shangai', expected one that there is (did you mean Asia/Shanghai"
    )


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("site: yard\nname: Yard\ntimezone: UTC\ndevcies: []\n", 4, "did you mean devices?)"),
        ("site: yard\nname: Yard\n", 1, "timezone: found nothing, expected a value"),
        ("site: yard\n  name: [\n", 2, "in line with its neighbours"),
        ("site: yard\nsite: yard\n", 2, "duplicate key"),
        ("- a\n- b\n", 1, "a site file that begins with `site:`"),
        ("site: yard\nname: Yard\ntimezone: UTC\ndevices:\n  - {id: a b, profile: gate}\n", 5, "devices[1].id"),
        (
            "site: yard\nname: Yard\ntimezone: UTC\ndevices:\n  - {id: a, profile: gate, address: a/#}\n",
            5,
            "without + #",
        ),
        ("site: yard\nname: Y\ntimezone: UTC\nbuildings:\n  - {id: 1, unit: []}\n", 5, "did you mean units?)"),
        (
            "site: y\nname: Y\ntimezone: UTC\n"
            "devices:\n  - {id: a, profile: gate}\n  - {id: b, address: a, profile: gate}\n",
            6,
            "line 5 has it",
        ),
    ],
)
def test_shapes(text: str, line: int, part: str) -> None:
    with pytest.raises(SiteMistakes) as caught:
        read_site(text, LIBRARY)
    assert any(mistake.line == line and part in str(mistake) for mistake in caught.value.mistakes), str(caught.value)


def test_a_wrong_shape_hides_no_unknown_profile() -> None:
    text = "site: y\nname: Y\ntimezone: UTC\nextra: 1\ndevices:\n  - {id: a, profile: gat}\n"
    with pytest.raises(SiteMistakes) as caught:
        read_site(text, LIBRARY)
    assert {mistake.line for mistake in caught.value.mistakes} == {4, 6}


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SiteMistakes, match="no such file"):
        read_site(tmp_path / "none.yaml", LIBRARY)
    (tmp_path / "latin.yaml").write_bytes(b"site: y\nname: \xff\xfe\n")
    with pytest.raises(SiteMistakes, match="UTF-8"):
        read_site(tmp_path / "latin.yaml", LIBRARY)


def test_a_failed_import_changes_nothing(database: Database) -> None:
    with pytest.raises(SiteMistakes):
        import_site(database, BROKEN, LIBRARY, MIDNIGHT)
    with database.read() as connection:
        assert get_site(connection, EVERYWHERE, "yard") is None


def test_what_gateways_must_know() -> None:
    entries = {entry.id: entry for entry in device_entries(read_site(YARD, LIBRARY))}
    assert entries["gate-1"].address == "gate-1"
    assert entries["pumps"].timezone == "Asia/Shanghai"


@pytest.mark.parametrize(
    ("recipient", "expected"),
    [
        ("channel: email, to: desk", "an e-mail address"),
        ("channel: webhook, to: hooks.example.com", "https://"),
        ("channel: apprise, to: wecom", "an Apprise URL"),
    ],
)
def test_an_address_that_its_channel_cannot_use_is_a_mistake(recipient: str, expected: str) -> None:
    text = f"site: s\nname: S\ntimezone: UTC\nrecipients:\n  - {{id: r, audience: crew, {recipient}}}\n"
    with pytest.raises(SiteMistakes) as caught:
        read_site(text, LIBRARY)
    (mistake,) = caught.value.mistakes
    assert (mistake.line, mistake.where) == (5, "recipients[1].to")
    assert expected in mistake.expected


def test_shape_mistakes_are_said_in_plain_words() -> None:
    text = "site: My Yard!\nname: S\ntimezone: UTC\nbuildings:\n  - {id: a, units: [{id: 1, households: many}]}\n"
    with pytest.raises(SiteMistakes) as caught:
        read_site(text, LIBRARY)
    assert [one.expected for one in caught.value.mistakes] == [
        "letters, digits, '_', '.' and '-' only, with a letter or digit first",
        "a whole number",
    ]


@pytest.mark.parametrize(
    ("text", "line", "found", "expected"),
    [
        ("site: s\nname:\n\tzh: S\n", 3, "a tab", "blanks"),
        ('site: s\nname: "S\ntimezone: UTC\n', 2, "a quote that is not closed", "the same quote"),
        ("site: s\nname: S\n timezone: UTC\n", 3, "a colon", "in line with its neighbours"),
        (
            "site: s\nname: S\ntimezone: UTC\ndevices:\n  - {id: d, profile: gate, address: 24e1}\n",
            5,
            "240.0",
            "quotes around it",
        ),
    ],
)
def test_slips_of_yaml_are_said_in_plain_words(text: str, line: int, found: str, expected: str) -> None:
    with pytest.raises(SiteMistakes) as caught:
        read_site(text, LIBRARY)
    said = [one for one in caught.value.mistakes if found in one.found and expected in one.expected]
    assert [one.line for one in said] == [line]
