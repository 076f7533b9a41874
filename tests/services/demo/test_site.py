"""The demo site has the size that we promise."""

from __future__ import annotations

from collections import Counter

from ruamel.yaml import YAML

from services.demo import SITE, SITE_ID
from services.demo.mailbox import ENVIRONMENT
from services.sites.model import SiteFile

FILE = SiteFile.model_validate(YAML(typ="safe").load(SITE))


def of_family(*profiles: str) -> list[str]:
    return [device.id for device in FILE.devices if device.profile in profiles]


def test_buildings_stairwells_and_households() -> None:
    assert FILE.site == SITE_ID
    assert len(FILE.buildings) == 9
    assert sum(len(building.units) for building in FILE.buildings) == 21
    assert sum(unit.households for building in FILE.buildings for unit in building.units) == 430


def test_equipment() -> None:
    chargers = [device for device in FILE.devices if device.profile.startswith("ebike_charger_")]
    assert len(chargers) == 8
    assert sum(int(device.params["ports"]) for device in chargers) == 64
    assert len({device.profile for device in chargers}) == 2
    assert len(of_family("access_gate_json")) == 12
    cameras = [
        name.strip()
        for device in FILE.devices
        if device.profile == "camera_frigate"
        for name in str(device.params["cameras"]).split(",")
    ]
    assert len(cameras) == len(set(cameras)) == 20
    (booster,) = (device for device in FILE.devices if device.profile == "booster_set")
    assert booster.params["pumps"] == 2
    assert len(of_family("sump_pump_json")) == 2


def test_every_building_gets_every_service_from_exactly_one_supply() -> None:
    served = Counter(
        (supply.service, building)
        for supply in FILE.supplies
        if supply.id != "yard-gates"
        for building in supply.buildings or [one.id for one in FILE.buildings]
    )
    services = ("water", "charging", "access", "video", "parking")
    assert served == {(service, building.id): 1 for service in services for building in FILE.buildings}


def test_every_device_serves_somebody() -> None:
    members = {member.device for supply in FILE.supplies for member in supply.members}
    assert members == {device.id for device in FILE.devices}


def test_the_demo_tells_nobody_outside() -> None:
    assert {recipient.to for recipient in FILE.recipients} == {f"env:{ENVIRONMENT}"}, "nobody outside is told"
    assert {recipient.audience for recipient in FILE.recipients} == {"engineers", "crew", "residents"}


def test_both_languages_are_there_and_differ() -> None:
    named = [FILE, *FILE.buildings, *FILE.devices, *FILE.supplies]
    for one in named:
        assert one.name is not None
        assert one.name.zh != one.name.en
