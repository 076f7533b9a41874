"""Commands from the wish to the effect, over a real Mosquitto, with devices of every manner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.mqtt_client import MqttListener
from services.bench.mosquitto import Mosquitto
from services.commands.asking import CommandRefused
from services.rules.store import list_alarms
from tests.commands_kit import House, PlugStrip, come_back, patient, wait_for

pytestmark = pytest.mark.mosquitto


@pytest.fixture
def house(request: pytest.FixtureRequest, mosquitto: Mosquitto, tmp_path: Path) -> Iterator[House]:
    """One that is patient, but for what a test waits to run out."""
    with ExitStack() as stack:
        yield House(stack, tmp_path, mosquitto.url, profile=getattr(request, "param", None))


no_answer_soon = pytest.mark.parametrize("house", [patient(timeout="2s")], indirect=True, ids=["2s"])
no_effect_soon = pytest.mark.parametrize("house", [patient(within="3s")], indirect=True, ids=["3s"])
expires_soon = pytest.mark.parametrize("house", [patient(expires="3s")], indirect=True, ids=["3s"])


@pytest.fixture
def plug(mosquitto: Mosquitto, house: House) -> Iterator[PlugStrip]:
    with PlugStrip(mosquitto.url) as strip:
        strip.report()
        wait_for(lambda: house.knows("plug-1", "port:1", "power") == 400, "its first reading")
        yield strip


def steps(house: House, id: str) -> list[str]:
    return [event.what for event in house.look(id).events]


def test_the_effect_is_seen(house: House, plug: PlugStrip) -> None:
    id = house.ask("cut")
    over = house.ends(id)
    assert (over.state, over.reason) == ("done", "effect_seen")
    assert over.detail["seen"] == {"power": 0.0}
    assert steps(house, id) == ["queued", "handed", "sent", "acknowledged", "done"]
    assert [(one["do"], one["port"]) for one in plug.heard] == [("cut", 0)]
    assert plug.power == {1: 0.0, 2: 300.0}
    assert house.knows("plug-1", "port:1", "cut_command") == "done"


@no_answer_soon
def test_a_silent_device_gives_no_answer_and_a_worse_alarm(house: House, plug: PlugStrip) -> None:
    plug.manner = "silent"
    over = house.ends(house.ask("cut"))
    assert (over.state, over.reason) == ("failed", "no_answer")
    with house.core.database.read() as connection:
        assert [alarm.rule for alarm in list_alarms(connection, None)] == ["not_cut"]


@no_answer_soon
def test_a_silent_device_is_told_again_where_its_profile_says_so(house: House, plug: PlugStrip) -> None:
    plug.manner = "silent"
    over = house.ends(house.ask("feed", minutes=30))
    assert (over.state, over.reason, over.attempt) == ("failed", "no_answer", 2)
    wait_for(lambda: len(plug.heard) >= 2, "it is told twice")
    assert [one["minutes"] for one in plug.heard] == [30, 30]
    assert len({one["n"] for one in plug.heard}) == 1


def test_a_device_may_refuse(house: House, plug: PlugStrip) -> None:
    plug.manner = "refuses"
    over = house.ends(house.ask("cut"))
    assert (over.state, over.reason, over.detail["result"]) == ("failed", "refused", "locked")


@no_effect_soon
def test_an_answer_without_effect_is_no_success(house: House, plug: PlugStrip) -> None:
    plug.manner = "lies"
    over = house.ends(house.ask("cut"))
    assert (over.state, over.reason) == ("failed", "no_effect")
    assert over.detail["seen"] == {"power": 400.0}
    assert over.acknowledged_at is not None


def test_without_effect_and_answer_the_broker_is_all_there_is(house: House, plug: PlugStrip) -> None:
    over = house.ends(house.ask("level", child="", to=70))
    assert (over.state, over.reason) == ("done", "broker")
    wait_for(lambda: plug.heard == [{"do": "level", "to": "70"}], "the device heard it")


def test_nothing_is_retained_and_nothing_is_said_twice(house: House, plug: PlugStrip, mosquitto: Mosquitto) -> None:
    house.ends(house.ask("cut"))
    house.ends(house.ask("feed", child="port:2"))
    with MqttListener(mosquitto.url, "who-comes-late", ["#"]) as late:
        late.connect()
        plug.report()
        heard = []
        wait_for(lambda: bool(heard.extend(late.read(0.1)) or heard), "what is said now")
    assert [one.topic for one in heard if one.retained] == []
    assert [one["do"] for one in plug.heard] == ["cut", "feed"]


@no_answer_soon
def test_one_of_a_kind_at_a_time(house: House, plug: PlugStrip) -> None:
    plug.manner = "silent"
    first = house.ask("cut")
    with pytest.raises(CommandRefused, match="under way"):
        house.ask("cut")
    other = house.ask("cut", child="port:2")
    house.ends(first)
    house.ends(other)
    wait_for(lambda: len(plug.heard) >= 2, "both are heard")
    assert [one["port"] for one in plug.heard] == [0, 1]


def test_a_rule_cuts_the_port_that_is_hot_once(house: House, plug: PlugStrip) -> None:
    plug.temp[2] = 91
    plug.report()
    wait_for(lambda: house.knows("plug-1", "port:2", "cut_command") == "done", "the port is cut")
    assert [(one["do"], one["port"]) for one in plug.heard] == [("cut", 1)]
    house.core.intake.reload()
    plug.report()
    plug.report()
    with house.core.database.read() as connection:
        (alarm,) = list_alarms(connection, None)
    record = house.desk.get(None, plug.heard[0]["id"])
    assert record.alarm == alarm.id and record.by is None
    assert len(plug.heard) == 1


def test_smoke_cuts_every_port(house: House, plug: PlugStrip) -> None:
    plug.report(smoke="yes")
    for child in ("port:1", "port:2"):
        wait_for(lambda child=child: house.knows("plug-1", child, "cut_command") == "done", f"{child} is cut")
    assert sorted(one["port"] for one in plug.heard) == [0, 1]


@expires_soon
def test_away_from_its_broker_a_command_expires_and_is_never_sent(
    house: House, plug: PlugStrip, mosquitto: Mosquitto
) -> None:
    mosquitto.kill()
    wait_for(lambda: not house.gateway.status().connected, "the gateway noticed")
    id = house.ask("level", child="", to=10)
    over = house.ends(id)
    assert (over.state, over.reason) == ("expired", "too_late")
    assert "broker" in over.detail["why"]
    come_back(mosquitto)
    wait_for(lambda: house.gateway.status().connected, "the broker is back")
    done = house.ends(house.ask("level", child="", to=20))
    wait_for(lambda: any(one.get("to") == "20" for one in plug.heard) or done.state != "done", "the next is heard")
    assert [one for one in plug.heard if one.get("to") == "10"] == []
