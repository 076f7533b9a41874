"""Four kinds of silence: a device, a value, the broker, the uplink."""

from __future__ import annotations

from datetime import timedelta

from gateway.reading import Presence
from tests.stories.site import MIDNIGHT, PUMPS, Story, profile


def test_a_silent_device_goes_stale_then_offline_and_comes_back(site: Story) -> None:
    site.keeps_saying("pumps", pressure=0.5).expect_presence("pumps", "online")
    site.at("00:01").falls_silent("pumps")
    site.at("00:02:10").expect_presence("pumps", "stale")
    site.at("00:05").expect_alarms("pressure_missing")
    site.at("00:06:20").expect_presence("pumps", "offline").expect_alarms("gone", "pressure_missing").expect_tickets(1)
    site.at("01:00").expect_tickets(1)
    site.keeps_saying("pumps", pressure=0.5).expect_presence("pumps", "online").expect_alarms()
    ticket = site.ticket(site.tickets()[0].id)
    assert ticket.state == "open", "the alarm is over, the people decide about the ticket"
    assert [event.what for event in ticket.events] == ["opened", "alarm_cleared"]


def test_a_device_that_was_never_heard_is_unknown_and_raises_nothing(site: Story) -> None:
    site.keeps_saying("pumps", pressure=0.5).at("01:00")
    site.expect_presence("gate-1", "unknown").expect_alarms()


def test_a_cut_uplink_makes_devices_unknown_and_blames_none_of_them(site: Story) -> None:
    site.keeps_saying("pumps", pressure=0.5).at("00:02").loses_uplink()
    site.at("00:30").expect_presence("pumps", "unknown").expect_alarms("uplink_cut").expect_tickets(1)
    site.finds_uplink().at("00:31").expect_presence("pumps", "online").expect_alarms()


def test_a_device_that_died_behind_a_cut_uplink_is_found_out_afterwards(site: Story) -> None:
    site.keeps_saying("pumps", pressure=0.5).at("00:02").loses_uplink()
    site.at("00:10").falls_silent("pumps").at("00:30").expect_alarms("uplink_cut")
    site.finds_uplink().at("00:30:10").expect_presence("pumps", "offline").expect_alarms("gone", "pressure_missing")


def test_what_happened_behind_a_cut_uplink_happened(site: Story) -> None:
    site.keeps_saying("pumps", pressure=0.5).at("00:02").loses_uplink()
    site.says("pumps", pressure=0.2).at("00:10").says("pumps", pressure=0.5).at("00:20").expect_tickets(1)
    site.finds_uplink().at("00:20:01").expect_alarms().expect_tickets(2)
    low = next(alarm for alarm in site.alarms("cleared") if alarm.rule == "low")
    assert low.raised_at == MIDNIGHT + timedelta(minutes=3)
    assert [outage.state for outage in site.outages(None)] == ["restored"]


def test_without_its_broker_a_gateway_can_judge_nobody(site: Story) -> None:
    site.keeps_saying("pumps", pressure=0.5).at("00:02").falls_silent("pumps").loses_broker()
    site.at("00:30").expect_presence("pumps", "unknown").expect_alarms("broker_down")
    # When the broker is back, silence counts from then on: nobody is offline because nobody was listening.
    site.finds_broker().at("00:30:30").expect_presence("pumps", "unknown").expect_alarms()
    site.at("00:36").expect_presence("pumps", "offline")
    assert "gone" in {alarm.rule for alarm in site.alarms()}


def test_a_gateway_that_was_away_does_not_call_its_devices_dead(site: Story) -> None:
    site.keeps_saying("pumps", pressure=0.5).at("00:02").falls_silent("pumps")
    site.clock.time += timedelta(hours=1)  # gateway and services were both off
    site.at("01:02:30").expect_alarms()
    site.keeps_saying("pumps", pressure=0.5).at("01:10").expect_presence("pumps", "online").expect_alarms()


def test_a_last_will_is_believed_at_once(site: Story) -> None:
    site.keeps_saying("pumps", pressure=0.5).at("00:01").falls_silent("pumps")
    site.deliver(site.reading("pumps", presence=Presence.OFFLINE))
    site.expect_presence("pumps", "offline").expect_alarms("gone")
    site.says("pumps", pressure=0.5).expect_presence("pumps", "online").expect_alarms()


def test_an_offline_device_stays_offline_over_a_restart(site: Story) -> None:
    site.keeps_saying("pumps", pressure=0.5).at("00:01").falls_silent("pumps")
    site.deliver(site.reading("pumps", presence=Presence.OFFLINE)).restart()
    site.at("00:02").expect_presence("pumps", "offline").expect_alarms("gone").expect_tickets(1)
    site.says("pumps", pressure=0.5).expect_presence("pumps", "online").expect_alarms()


def test_only_values_go_missing(site: Story) -> None:
    site.keeps_saying("pumps", pressure=0.5)
    site.at("00:01").falls_silent("pumps").keeps_saying("pumps", room="dry")
    site.at("00:03:50").expect_alarms()
    site.at("00:04:10").expect_alarms("pressure_missing").expect_presence("pumps", "online")
    site.says("pumps", pressure=0.5).expect_alarms()


def test_a_port_that_says_it_is_gone_is_judged_alone(site: Story) -> None:
    text = PUMPS.replace("  - id: gone\n", "  - id: pump_gone\n    scope: pump\n", 1)
    site.library["pumps"] = profile(text)
    site.restart().keeps_saying("pumps", pressure=0.5).keeps_saying("pumps", "pump:1", run="running").at("00:01")
    site.deliver(site.reading("pumps", "pump:1", presence=Presence.OFFLINE)).at("00:01:10")
    site.expect_alarms("pump_gone@pump:1").expect_presence("pumps", "online")
    assert site.device("pumps").children[0].presence == "offline"
    site.deliver(site.reading("pumps", "pump:1", presence=Presence.ONLINE)).at("00:01:20").expect_alarms()


def test_a_rule_that_is_new_judges_what_is_so_already(site: Story) -> None:
    site.library["pumps"] = profile(PUMPS.replace("presence == offline", "presence == stale"))
    site.restart().keeps_saying("pumps", pressure=0.5).at("00:01").falls_silent("pumps").at("00:07")
    site.expect_presence("pumps", "offline")
    site.library["pumps"] = profile(PUMPS)
    site.restart().at("00:08").expect_alarms("gone", "pressure_missing")
