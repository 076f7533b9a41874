"""Devices played from their profiles: values that make sense, faults that show, scripts on time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from threading import Event, Thread
from typing import Any

import pytest

from device_profiles.library import load
from device_profiles.schema import DeviceProfile
from gateway.decode import Decoder
from gateway.player import Outgoing, Player, UnknownFault
from gateway.reading import DeviceEntry, Presence, Reading, Registry
from gateway.simulator import ScriptedFault, Simulation, run_simulation

NOW = 1_763_741_000_000
_SHIPPED = load()
_PARAMS = {"cameras": "gate,yard"}
_PLAYED = [shipped for shipped in _SHIPPED.values() if shipped.simulator.plays]
_CONVENTIONS = {
    "homie",
    "jetlinks_binary",
    "shelly_rpc",
    "tasmota",
    "tasmota_topic_first",
    "wmbusmeters",
    "zigbee2mqtt_device",
}
_FAULTS = [(shipped, fault) for shipped in _PLAYED for fault in shipped.simulator.faults]


def _entry(shipped: DeviceProfile, id: str = "d1") -> DeviceEntry:
    params = {name: value for name, value in _PARAMS.items() if name in shipped.params}
    address = (_address(shipped) if id == "d1" else "") or f"dev-{id}"
    return DeviceEntry(id, shipped.id, address, "yard", "Asia/Shanghai", params)


def _address(shipped: DeviceProfile) -> str:
    """An address such as the profile's own samples have, where not every word is one."""
    played = {play.binding for play in shipped.simulator.plays}
    for sample in shipped.samples:
        for expected in sample.expect:
            if expected.get("binding") in played and "address" in expected:
                return str(expected["address"])
    return "04AB373B" if shipped.id == "ebike_charger_ap3000" else ""


def _says_goodbye(shipped: DeviceProfile) -> bool:
    """Whether the device has a last will that the profile knows."""
    return any(binding.presence for binding in shipped.bindings)


def _registry(*entries: DeviceEntry) -> Registry:
    return Registry("1", list(entries))


class _Line:
    """A player, and what a gateway makes of everything it says."""

    def __init__(self, shipped: DeviceProfile, seed: int = 1) -> None:
        entry = _entry(shipped)
        self.player = Player(shipped, entry, seed, NOW)
        self._decoder = Decoder(_SHIPPED.values(), _registry(entry))
        self.values: dict[str, dict[str, Any]] = {}
        self.said = Presence.UNSAID
        self.messages = 0

    def play(self, start: int, seconds: int) -> _Line:
        for at in range(start, start + seconds * 1000, 500):
            self.take(self.player.advance(at), at)
        return self

    def take(self, messages: list[Outgoing], at: int) -> list[Reading]:
        readings = [r for m in messages for r in self._decoder.decode(m.topic, m.payload, at)]
        self.messages += len(messages)
        for reading in readings:
            assert reading.device == "d1"
            assert reading.flags == {}
            self.values.setdefault(reading.child, {}).update(reading.values)
            self.said = reading.presence or self.said
        return readings


@pytest.mark.parametrize("shipped", _PLAYED, ids=[shipped.id for shipped in _PLAYED])
def test_every_shipped_profile_speaks_in_its_first_seconds_and_fills_its_headline(shipped: DeviceProfile) -> None:
    line = _Line(shipped).play(NOW, 5)
    assert line.messages >= 1
    everything = {name for values in line.values.values() for name in values}
    headline = set(shipped.dashboard.headline)
    # A convention names what any of its devices may have; a kind of device has all of its headline.
    assert shipped.id in _CONVENTIONS or headline <= everything
    assert line.said in (Presence.ONLINE, Presence.UNSAID)


@pytest.mark.parametrize(("shipped", "fault"), _FAULTS, ids=[f"{p.id}-{fault}" for p, fault in _FAULTS])
def test_every_shipped_fault_shows_and_heals(shipped: DeviceProfile, fault: str) -> None:
    line = _Line(shipped).play(NOW, 10)
    found, child = line.player.find_fault(fault)
    line.take(line.player.inject(fault, now=NOW + 10_000), NOW + 10_000)
    spoke = line.messages
    line.play(NOW + 10_000, 65)
    if found.silent:
        assert line.messages == spoke
        assert line.said is (Presence.OFFLINE if _says_goodbye(shipped) else Presence.UNSAID)
    for name, value in found.set.items():
        assert line.values[child][name] == value
    for name, (target, _) in found.ramp.items():
        assert line.values[child][name] == pytest.approx(target, abs=0.06)
    line.take(line.player.heal(fault, now=NOW + 75_000), NOW + 75_000)
    line.play(NOW + 75_000, 400)
    assert line.messages > spoke
    assert line.said is not Presence.OFFLINE
    for name, (target, _) in found.ramp.items():
        assert line.values[child][name] != pytest.approx(target, rel=0.05)


def test_the_same_seed_plays_the_same_and_another_one_does_not() -> None:
    def said(seed: int) -> list[Outgoing]:
        player = Player(_SHIPPED["booster_set"], _entry(_SHIPPED["booster_set"]), seed, NOW)
        return [m for at in range(NOW, NOW + 60_000, 500) for m in player.advance(at)]

    assert said(7) == said(7)
    assert said(7) != said(8)


def test_an_idle_port_draws_no_power() -> None:
    line = _Line(_SHIPPED["ebike_charger_json"])
    charging = 0
    for start in range(NOW, NOW + 1_800_000, 60_000):
        line.play(start, 60)
        ports = [values for child, values in line.values.items() if child]
        charging += sum(port["port_state"] == "charging" for port in ports)
        for port in ports:
            assert (port["port_power"] > 0) == (port["port_state"] == "charging")
    assert charging > 0


def test_a_ramp_takes_its_time_and_is_reported_on_the_way() -> None:
    line = _Line(_SHIPPED["ebike_charger_json"]).play(NOW, 10)
    before = line.values["port:3"]["port_temp"]
    line.take(line.player.inject("hot_port", "port:3", now=NOW + 10_000), NOW + 10_000)
    line.play(NOW + 10_000, 5)
    assert before + 5 < line.values["port:3"]["port_temp"] < 80
    line.play(NOW + 15_000, 8)
    assert line.values["port:3"]["port_temp"] == pytest.approx(92)
    assert line.values["port:2"]["port_temp"] < 60


def test_a_fault_that_is_not_there_says_which_there_are() -> None:
    player = _Line(_SHIPPED["booster_set"]).player
    with pytest.raises(UnknownFault, match="pump_failure"):
        player.inject("pump_failur", now=NOW)
    with pytest.raises(UnknownFault, match="expected pump:1, pump:2 for pump_failure, found 'pump:9'"):
        player.inject("pump_failure", "pump:9", now=NOW)


# --- a site ----------------------------------------------------------------------------------------------------------


def _site() -> list[DeviceEntry]:
    pump, charger = _SHIPPED["booster_set"], _SHIPPED["ebike_charger_json"]
    return [_entry(pump, "bp-1"), *(_entry(charger, f"cs-{i}") for i in range(1, 9))]


def test_a_site_does_not_speak_all_at_once_and_everything_speaks_soon() -> None:
    entries = _site()
    simulation = Simulation(entries, _SHIPPED, [], seed=1, started_at=NOW)
    made = Decoder(_SHIPPED.values(), _registry(*entries))
    first: dict[str, int] = {}
    for at in range(NOW, NOW + 5_000, 100):
        for message in simulation.advance(at):
            for reading in made.decode(message.topic, message.payload, at):
                if not reading.presence:
                    first.setdefault(reading.device, at)
    assert set(first) == {entry.id for entry in entries}
    assert len(set(first.values())) >= len(entries) // 2


def _pump_states(simulation: Simulation, made: Decoder, seconds: range) -> Iterator[tuple[int, str]]:
    for second in seconds:
        for message in simulation.advance(NOW + second * 1000):
            for reading in made.decode(message.topic, message.payload, NOW + second * 1000):
                if reading.child == "pump:1":
                    yield second, str(reading.values["run"])


def test_a_script_breaks_and_mends_on_time() -> None:
    entries = _site()
    script = [ScriptedFault("bp-1", "pump_failure", "pump:1", timedelta(seconds=20), timedelta(seconds=30))]
    simulation = Simulation(entries, _SHIPPED, script, seed=1, started_at=NOW)
    states = list(_pump_states(simulation, Decoder(_SHIPPED.values(), _registry(*entries)), range(100)))
    broken = [second for second, state in states if state == "fault"]
    assert (min(broken), max(broken) < 50) == (20, True)
    assert any(second >= 50 and state == "running" for second, state in states)
    assert min(second for second, state in states if second >= 50) <= 51


def test_a_script_that_names_what_is_not_there_plays_nothing() -> None:
    with pytest.raises(UnknownFault, match="expected a simulated device"):
        Simulation(_site(), _SHIPPED, [ScriptedFault("xx", "hot_port")], seed=1, started_at=NOW)
    with pytest.raises(UnknownFault, match="expected a fault of booster_set"):
        Simulation(_site(), _SHIPPED, [ScriptedFault("bp-1", "hot_port")], seed=1, started_at=NOW)


def test_played_in_real_time_faster_than_life_with_real_times_in_the_messages() -> None:
    """A clock that jumps five seconds each time it is read: sixty fit into a moment."""
    stop = Event()
    ticks = iter(range(10_000))
    heard: list[tuple[str, bytes]] = []

    class Ledger:
        def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> None:
            heard.append((topic, payload))
            if len(heard) >= 40:
                stop.set()

    entry = _entry(_SHIPPED["booster_set"], "bp-1")
    clock = [NOW]

    def now() -> int:
        clock[0] = NOW + next(ticks) * 5_000
        return clock[0]

    playing = Thread(
        target=run_simulation,
        args=([entry], _SHIPPED, Ledger(), [], 1, stop),
        kwargs={"clock": now, "speed": 100.0},
        daemon=True,
    )
    playing.start()
    playing.join(120)
    assert not playing.is_alive()
    made = Decoder(_SHIPPED.values(), _registry(entry))
    times = {r.measured_at for topic, payload in heard for r in made.decode(topic, payload, NOW) if r.values}
    assert times
    assert all(NOW <= at <= clock[0] for at in times)
