"""Where the break is: one alarm at the broken link, unknown devices behind it, and never a ticket for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import select

from device_profiles.schema import DeviceProfile
from gateway.presence import PresenceReason
from gateway.reading import Presence
from services.database import Database
from services.sites.importer import import_site
from services.tables import device_states, notices
from tests.stories.site import LIBRARY, MIDNIGHT, Story, opened, profile

METERS = 20
DTU = """
profile: dtu
family: dtu
name: {zh: 采集器, en: DTU}
states: {link: {name: {zh: 链路, en: Link}, values: {up: {zh: 通, en: up, tone: ok}}}}
availability: {period: 60s, missed: 2, offline_after: 4m}
bindings: [{id: t, topic: "d/{address}", decode: [{json: true}], fields: {link: l}}]
"""
OWN_RULE = """
rules:
  - id: gone
    name: {zh: 采集器失联, en: DTU gone}
    when: presence == offline
    severity: major
    source: {kind: judgement}
    ticket: go
tickets: {go: {title: {zh: 去看, en: Go and look}, trade: network, priority: P2, due: 8h}}
"""
METER = """
profile: meter
family: meter
name: {zh: 电表, en: Meter}
metrics: {energy: {name: {zh: 电量, en: Energy}, period: 20s}}
availability: {period: 20s, missed: 2, offline_after: 2m}
bindings: [{id: t, topic: "m/{address}", decode: [{json: true}], fields: {energy: e}}]
rules:
  - id: gone
    name: {zh: 失联, en: Gone}
    when: presence == offline
    severity: minor
    source: {kind: judgement}
    ticket: go
  - id: quiet
    name: {zh: 静默, en: Quiet}
    when: silence > 90s
    severity: minor
    source: {kind: judgement}
    ticket: go
  - id: no_energy
    name: {zh: 无, en: No values}
    when: age(energy) > 70s
    severity: minor
    source: {kind: judgement}
    ticket: go
tickets: {go: {title: {zh: 去看, en: Go and look}, trade: network, priority: P3, due: 24h}}
"""
YARD = """
site: yard
name: The Yard
timezone: Asia/Shanghai
buildings: [{id: 1, units: [{id: 1, households: 20}]}]
devices:
  - {id: dtu, profile: dtu, name: {zh: 一号采集器, en: DTU one}}
""" + "\n".join(f"  - {{id: m{n}, profile: meter, parent: dtu}}" for n in range(1, METERS + 1))


def tell(database: Database, *, own_rule: bool = False, text: str = YARD) -> Story:
    library = {**LIBRARY, "dtu": profile(DTU + (OWN_RULE if own_rule else "")), "meter": profile(METER)}
    return Story(database, text=text, library=library)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    on_sqlite = request.param == "sqlite"
    found = opened(f"sqlite:///{tmp_path / 'b.db'}" if on_sqlite else request.getfixturevalue("postgresql_url"))
    yield found
    found.close()


@pytest.fixture
def site(database: Database) -> Story:
    return tell(database)


def all_speak(site: Story, *, but: str = "") -> Story:
    site.keeps_saying("dtu", link="up")
    for n in range(1, METERS + 1):
        if f"m{n}" != but:
            site.keeps_saying(f"m{n}", energy=1.0)
    return site


def all_fall_silent(site: Story) -> Story:
    site.said.clear()
    return site


def reasons(site: Story) -> dict[str, str]:
    with site.database.read() as connection:
        rows = connection.execute(select(device_states).where(device_states.c.child == "")).all()
    return {row.device: row.reason for row in rows}


def told(site: Story) -> list[Any]:
    with site.database.read() as connection:
        return list(connection.execute(select(notices).where(notices.c.subject_kind == "alarm").order_by(notices.c.id)))


def test_a_gateway_that_falls_silent_is_one_alarm_with_one_ticket(site: Story) -> None:
    all_speak(site).at("00:02").loses_uplink().at("00:04:30").expect_presence("m1", "unknown").expect_alarms()
    assert set(reasons(site).values()) == {"uplink_cut"}
    site.at("00:05:10").expect_alarms("uplink_cut").expect_tickets(1)
    (alarm,), (ticket,) = site.alarms(), site.tickets()
    assert (alarm.device, alarm.device_name.en, alarm.severity) == ("gateway:gw", "Gateway gw", "major")
    assert (ticket.trade, ticket.title.zh, ticket.site) == ("network", "恢复网关通信：网关 gw", "yard")
    site.at("06:00").expect_alarms("uplink_cut").expect_tickets(1)
    site.finds_uplink().at("06:00:10").expect_alarms().expect_presence("m1", "online").expect_tickets(1)


def test_an_alarm_about_a_gateway_outlives_a_restart_and_is_not_cleared_by_it(site: Story) -> None:
    all_speak(site).at("00:02").loses_uplink().at("00:10").expect_alarms("uplink_cut")
    site.restart().at("00:10:30").expect_alarms("uplink_cut")
    site.at("00:20").expect_alarms("uplink_cut").expect_tickets(1)
    site.finds_uplink().at("00:20:10").expect_alarms()


def test_a_restart_condemns_no_gateway(site: Story) -> None:
    all_speak(site).at("00:02").loses_uplink().at("00:04")
    site.restart().at("00:06:50").expect_alarms()
    site.at("00:07:10").expect_alarms("uplink_cut")


def test_what_people_do_meanwhile_makes_no_gateway_heard(site: Story) -> None:
    """A site file is imported, a device adopted: the state is read again, and the gateway is as silent as before."""
    all_speak(site).at("00:02").loses_uplink().at("00:03:30").expect_presence("m1", "unknown")
    site.intake.change(lambda _: None)
    site.at("00:03:40").expect_presence("m1", "unknown")
    site.intake.reload()
    site.at("00:05:10").expect_alarms("uplink_cut").expect_tickets(1)


def test_a_gateway_without_its_broker_is_another_break(site: Story) -> None:
    all_speak(site).at("00:02")
    all_fall_silent(site).loses_broker().at("00:04:50").expect_alarms().expect_presence("m1", "unknown")
    assert set(reasons(site).values()) == {"broker_down"}
    site.at("00:05:10").expect_alarms("broker_down").expect_tickets(1)
    assert site.tickets()[0].trade == "network"
    # The uplink goes as well: whether the broker is back cannot be told any more, and both are broken.
    site.loses_uplink().at("00:10").expect_alarms("broker_down", "uplink_cut").expect_tickets(2)
    assert set(reasons(site).values()) == {"uplink_cut"}
    site.finds_uplink().at("00:10:10").expect_alarms("broker_down")
    all_speak(site.finds_broker()).at("00:11").expect_alarms().expect_presence("m1", "online")


def test_a_short_break_is_no_alarm(site: Story) -> None:
    all_speak(site).at("00:02").loses_uplink().at("00:04").finds_uplink().loses_broker().at("00:06").finds_broker()
    site.at("00:10").expect_alarms()
    assert site.alarms(state=None) == []


def test_what_hangs_on_a_parent_that_says_goodbye_is_unknown_at_once(site: Story) -> None:
    all_speak(site).at("00:02")
    all_fall_silent(site).deliver(site.reading("dtu", presence=Presence.OFFLINE, profile="dtu")).at("00:02:10")
    site.expect_presence("dtu", "offline").expect_presence("m7", "unknown")
    assert reasons(site)["m7"] == "parent_down"
    site.at("01:00").expect_alarms("parent_down").expect_tickets(1).expect_presence("m7", "unknown")
    (alarm,) = site.alarms()
    assert (alarm.device, alarm.device_name.en) == ("dtu", "DTU one")
    assert alarm.reason["values"]["devices"] == METERS
    all_speak(site).at("01:00:10").expect_alarms().expect_presence("m7", "online").expect_presence("dtu", "online")


def test_a_branch_that_falls_silent_together_is_its_parent(site: Story) -> None:
    """The meters' own rules are quicker than the DTU's: they must not fire for each of them."""
    all_speak(site).at("00:02")
    all_fall_silent(site).at("03:00").expect_tickets(1).expect_presence("m1", "unknown")
    site.expect_alarms("parent_down")
    # The DTU comes back alone: then each meter has its usual time, and is offline by itself after it.
    site.keeps_saying("dtu", link="up").at("03:00:30").expect_alarms()
    assert reasons(site)["m1"] == "waiting"
    site.at("03:10").expect_presence("m1", "offline")


def test_the_parent_s_own_rule_speaks_where_it_has_one(database: Database) -> None:
    site = tell(database, own_rule=True)
    all_speak(site).at("00:02")
    all_fall_silent(site).at("03:00").expect_alarms("gone").expect_tickets(1)
    assert site.alarms()[0].device == "dtu"


def test_one_meter_that_dies_alone_is_offline_itself(site: Story) -> None:
    all_speak(site).at("00:02").falls_silent("m3").at("00:10")
    site.expect_presence("m3", "offline").expect_presence("m4", "online")
    assert reasons(site)["m3"] == "device_silent"
    assert {alarm.device for alarm in site.alarms()} == {"m3"}


def test_data_behind_a_break_is_never_suppressed(site: Story) -> None:
    all_speak(site).at("00:02")
    all_fall_silent(site).deliver(site.reading("dtu", presence=Presence.OFFLINE, profile="dtu")).at("00:10")
    site.keeps_saying("m1", energy=7.5).at("00:11")
    found = site.device("m1")
    assert (found.latest.presence, found.latest.values["energy"]) == ("online", 7.5)
    site.falls_silent("m1").at("01:00").expect_presence("m1", "unknown").expect_alarms("parent_down")


def test_clearing_is_never_suppressed(site: Story) -> None:
    all_speak(site).at("00:02").falls_silent("m1").at("00:10")
    assert {alarm.device for alarm in site.alarms()} == {"m1"}
    all_fall_silent(site).deliver(site.reading("dtu", presence=Presence.OFFLINE, profile="dtu")).at("00:11")
    assert {alarm.device for alarm in site.alarms()} == {"m1"}, "what was so stays so"
    site.keeps_saying("m1", energy=1.0).at("00:12").expect_alarms()


def test_a_chain_has_one_alarm_at_its_first_broken_link(database: Database) -> None:
    text = YARD.replace("{id: m1, profile: meter, parent: dtu}", "{id: m1, profile: meter, parent: m2}")
    site = tell(database, text=text)
    all_speak(site).at("00:02")
    all_fall_silent(site).deliver(site.reading("dtu", presence=Presence.OFFLINE, profile="dtu")).at("01:00")
    site.expect_alarms("parent_down").expect_presence("m1", "unknown")
    assert (site.alarms()[0].device, reasons(site)["m1"]) == ("dtu", "parent_down")


def test_everything_outlives_a_restart(site: Story) -> None:
    all_speak(site).at("00:02")
    all_fall_silent(site).deliver(site.reading("dtu", presence=Presence.OFFLINE, profile="dtu")).at("00:03")
    before = reasons(site)
    site.restart().at("00:03:10")
    assert reasons(site) == before
    site.at("00:10").expect_alarms("parent_down").restart().at("00:11").expect_alarms("parent_down").expect_tickets(1)
    # The parent is back, and services restart before the meters have had their time: nobody is condemned.
    site.keeps_saying("dtu", link="up").at("00:11:10").restart().at("00:11:40").expect_alarms()
    assert reasons(site)["m5"] == "waiting"


def test_every_site_that_a_gateway_serves_is_told(database: Database) -> None:
    other = """
site: annex
name: The Annex
timezone: Asia/Shanghai
devices: [{id: x1, profile: meter}]
recipients: [{id: eng, audience: engineers, channel: webhook, to: "https://e.example/annex", lang: en}]
"""
    site = tell(database)
    import_site(database, other, site.library, MIDNIGHT)
    all_speak(site.restart()).keeps_saying("x1", energy=1.0).at("00:02").loses_uplink().at("00:06")
    site.expect_alarms("uplink_cut").expect_tickets(1)
    assert site.alarms()[0].site == "yard", "where most of its devices stand"
    assert [row.recipient for row in told(site) if row.event == "raised"] == ["annex:eng"]
    site.finds_uplink().at("00:06:10").expect_alarms()
    assert [row.event for row in told(site)] == ["raised", "cleared"]


def test_several_sources_each_keep_their_word(database: Database) -> None:
    words = "presence: {online: online, offline: offline}"
    text = DTU.replace(
        "bindings: [",
        f'bindings: [{{id: own, topic: "o/{{address}}", {words}}}, {{id: bridge, topic: "b/{{address}}", {words}}}, ',
    )
    library: dict[str, DeviceProfile] = {**LIBRARY, "dtu": profile(text), "meter": profile(METER)}
    site = Story(database, text=YARD, library=library)

    said = site.reading("dtu", profile="dtu")
    for binding, presence, expected in (
        ("own", Presence.ONLINE, "online"),
        ("bridge", Presence.OFFLINE, "offline"),
        ("t", Presence.UNSAID, "offline"),
        ("own", Presence.ONLINE, "offline"),
        ("own", Presence.OFFLINE, "offline"),
        ("bridge", Presence.ONLINE, "offline"),
        ("own", Presence.ONLINE, "online"),
    ):
        site.deliver(replace(said, binding=binding, presence=presence)).expect_presence("dtu", expected)
        site.restart().at(f"00:{site.clock.time.minute:02}:{site.clock.time.second + 1:02}")
        site.expect_presence("dtu", expected)
    assert reasons(site)["dtu"] == PresenceReason.HEARD
