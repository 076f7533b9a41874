"""`params:` of a site file: values for all devices of a profile, below what a device says itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from services.database import Database
from services.scope import EVERYWHERE
from services.sites.export import export_site
from services.sites.importer import SiteMistakes, expanded_members, import_site, read_site
from services.sites.store import device_entries, get_device
from tests.stories.site import LIBRARY, MIDNIGHT, YARD, opened

THREE = YARD.replace("devices:", "params:\n  pumps: {low: 0.35, pumps: 3}\ndevices:", 1)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = opened(f"sqlite:///{tmp_path / 's.db'}")
    yield found
    found.close()


def test_they_reach_gateways_and_count_children_and_a_device_keeps_its_own_word(database: Database) -> None:
    import_site(database, THREE, LIBRARY, MIDNIGHT)
    with database.read() as connection:
        entry = next(one for one in device_entries(connection) if one.id == "pumps")
        device = get_device(connection, EVERYWHERE, "pumps")
    assert device is not None
    assert entry.params == {"low": 0.35, "pumps": 3, **device.params}
    members = expanded_members(read_site(THREE, LIBRARY), LIBRARY)["water-low"]
    own = device.params.get("pumps", 3)
    assert len([one for one in members if one.child.startswith("pump:")]) == own


def test_changing_them_is_a_change_and_the_export_says_them(database: Database) -> None:
    import_site(database, YARD, LIBRARY, MIDNIGHT)
    changed = import_site(database, THREE, LIBRARY, MIDNIGHT + timedelta(hours=1))
    assert (changed.is_unchanged, changed.head_changed) == (False, True)
    assert not import_site(database, THREE, LIBRARY, MIDNIGHT + timedelta(hours=2)).head_changed
    with database.read() as connection:
        text = export_site(connection, "yard")
    assert read_site(text, LIBRARY).params == {"pumps": {"low": 0.35, "pumps": 3}}
    import_site(database, YARD, LIBRARY, MIDNIGHT + timedelta(hours=3))
    with database.read() as connection:
        assert "params:\n  pumps" not in export_site(connection, "yard")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("pumpz: {low: 0.3}", "params.pumpz: found 'pumpz', expected one of gate, pumps (did you mean pumps?)"),
        ("pumps: {lwo: 0.3}", "params.pumps.lwo: found 'lwo', expected one of low, pumps (did you mean low?)"),
        ("pumps: {low: high}", "params.pumps.low: found 'high', expected a number"),
        ("pumps: {low: 3}", "params.pumps.low: found 3, expected at least 0 and at most 2 MPa"),
        ("pumps: {pumps: 2.5}", "params.pumps.pumps: found 2.5, expected a whole number"),
    ],
)
def test_mistakes_are_said_with_their_line(written: str, said: str) -> None:
    text = YARD.replace("devices:", f"params:\n  {written}\ndevices:", 1)
    line = text.splitlines().index(f"  {written}") + 1
    with pytest.raises(SiteMistakes) as caught:
        read_site(text, LIBRARY)
    assert str(caught.value) == f"site.yaml:{line}: {said}"
