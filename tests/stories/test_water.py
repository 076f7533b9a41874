"""A pump fails, then the other, then water comes back."""

from __future__ import annotations

from datetime import timedelta

from tests.stories.site import MIDNIGHT, Story


def test_one_of_two_pumps_is_degraded_both_are_an_outage_and_it_is_restored(site: Story) -> None:
    site.keeps_saying("pumps", pressure=0.5)
    site.keeps_saying("pumps", "pump:1", run="running", current=8.0)
    site.keeps_saying("pumps", "pump:2", run="running", current=8.0)
    site.at("00:02").expect_alarms().expect_no_outage()

    site.says("pumps", "pump:1", run="fault")
    site.expect_alarms("pump_fault@pump:1").expect_tickets(1)
    site.expect_outage("water-low", "degraded", buildings=["1", "2"])
    outage = site.outages()[0]
    assert outage.households == 20 + 22 + 18
    assert outage.units == ("2/1",)
    assert outage.what.en == "Water runs weaker."
    assert outage.next_news_at == site.clock.time + timedelta(hours=4)

    site.at("00:05").says("pumps", "pump:2", run="fault")
    site.expect_alarms("pump_fault@pump:1", "pump_fault@pump:2").expect_tickets(2)
    site.expect_outage("water-low", "full")
    assert site.outages()[0].what.en == "There is no water at the moment.", "the profile's words say too little"

    site.at("00:10").says("pumps", "pump:1", run="running")
    site.at("00:10:20").expect_outage("water-low", "full")
    site.at("00:10:40").expect_alarms("pump_fault@pump:2").expect_outage("water-low", "degraded")

    site.at("00:20").says("pumps", "pump:2", run="running").at("00:21").expect_alarms().expect_no_outage()
    restored = site.outages("restored")[0]
    assert [update.kind for update in restored.updates] == ["started", "worse", "better", "restored"]
    assert restored.restored_at == MIDNIGHT + timedelta(minutes=20, seconds=30)
    assert restored.alarms == ()
    assert len(site.outages(None)) == 1


def test_the_alarm_explains_itself(site: Story) -> None:
    site.keeps_saying("pumps", pressure=0.5)
    site.at("00:01").says("pumps", pressure=0.2).at("00:03").expect_alarms("low")
    alarm = site.alarms()[0]
    assert alarm.raised_at == MIDNIGHT + timedelta(minutes=2)
    assert alarm.pending_since == MIDNIGHT + timedelta(minutes=1)
    assert alarm.reason["condition"] == "pressure < low"
    assert alarm.reason["values"] == {"pressure": 0.2, "low": 0.3}
    assert alarm.reason["since"] == (MIDNIGHT + timedelta(minutes=1)).isoformat()
    assert alarm.reason["source"]["kind"] == "judgement"
    assert alarm.rule_name.en == "Pressure low"
    assert alarm.ticket_number == 1
    site.says("pumps", pressure=0.6).at("00:04").expect_alarms()
    assert site.alarms("cleared")[0].reason["cleared"]["values"] == {"pressure": 0.6, "low": 0.3}


def test_who_is_told_what(site: Story) -> None:
    site.keeps_saying("pumps", pressure=0.2).at("00:02").expect_outage("water-low", "full")
    told = {(row.recipient.split(":")[1], row.subject_kind, row.event) for row in site.notices()}
    assert told == {
        ("eng", "alarm", "raised"),
        ("eng", "ticket", "opened"),
        ("eng", "outage", "started"),
        ("crew", "alarm", "raised"),
        ("crew", "ticket", "opened"),
        ("flats", "outage", "started"),
    }, "building 3 has water"
    words = site.notices("flats")[0]
    assert words.title == "The Yard · Water interrupted"
    for part in (
        "There is no water.",
        "Building 1, Building 2 Stairwell 1",
        "Fetch water at the east gate.",
        "Call 5555",
        "09:0",
    ):
        assert part in words.body
    for hidden in ("pumps", "pump:", "low"):
        assert hidden not in words.body
        assert hidden not in str({name: value for name, value in words.data.items() if name != "links"})

    site.says("pumps", pressure=0.5).at("00:04").expect_no_outage()
    assert [row.event for row in site.notices("flats")] == ["started", "restored"]
    assert "Water is back." in site.notices("flats")[1].body
    assert [row.event for row in site.notices("crew")] == ["raised", "opened", "cleared"]
    assert len({row.key for row in site.notices()}) == len(site.notices())


def test_a_warning_does_not_wake_the_crew(site: Story) -> None:
    site.says("pumps", room="wet").expect_alarms("wet").expect_tickets(0).expect_no_outage()
    assert [row.recipient for row in site.notices()] == ["yard:eng"]


def test_a_childs_rule_reads_its_device(site: Story) -> None:
    site.keeps_saying("pumps", pressure=0.5)
    site.keeps_saying("pumps", "pump:1", run="running")
    site.at("00:01").says("pumps", pressure=0.05)
    site.at("00:01:40").expect_alarms("dry@pump:1")
    site.says("pumps", pressure=0.5).at("00:01:50")
    assert "dry" not in {alarm.rule for alarm in site.alarms()}


def test_a_second_episode_is_a_second_ticket_and_a_long_one_is_one(site: Story) -> None:
    site.keeps_saying("pumps", "pump:1", run="fault").at("00:10").expect_tickets(1)
    site.says("pumps", "pump:1", run="running").at("00:12").expect_alarms().expect_tickets(1)
    site.says("pumps", "pump:1", run="fault").at("00:14").expect_tickets(2)
    assert [ticket.number for ticket in site.tickets()] == [2, 1]
