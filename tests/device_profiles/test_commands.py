"""Commands of the library, played: what the gateway says is what the simulated device obeys, answers and shows."""

from __future__ import annotations

import pytest

from device_profiles.expression import names_of_effect, parse
from device_profiles.library import SHIPPED, load
from device_profiles.schema import DeviceProfile
from gateway.commands import encode_command
from gateway.decode import Decoder
from gateway.player import Player
from gateway.reading import DeviceEntry, Reading, Registry, Value

LIBRARY = load(SHIPPED)
PLAYED = [(profile, name) for profile in LIBRARY.values() for name in profile.simulator.commands]
START = 1_763_741_000_000


def values_of(readings: list[Reading], child: str) -> dict[str, Value]:
    return {name: value for one in readings if one.child == child for name, value in one.values.items()}


@pytest.mark.parametrize(("profile", "name"), PLAYED, ids=lambda one: getattr(one, "id", one))
def test_a_simulated_device_obeys_answers_and_shows_it(profile: DeviceProfile, name: str) -> None:
    command, nonce = profile.commands[name], 4711
    entry = DeviceEntry(id="device", profile=profile.id, address="04AB373B", site="yard")
    decoder = Decoder([profile], Registry(version="1", devices=[entry]))
    player = Player(profile, entry, seed=3, started_at=START)
    for message in player.advance(START + 60_000):
        decoder.decode(message.topic, message.payload, START + 60_000, message.retain)

    child = "" if command.scope is None else next(one for one in player.children if one.startswith(command.scope))
    params = {key: param.default for key, param in command.params.items()}
    topic, payload = encode_command(
        profile,
        name,
        entry,
        child,
        params,
        id="c1",
        nonce=nonce,
        captures=decoder.captures_of(entry.id),
        now=START + 61_000,
    )
    said = player.obey(topic, payload, START + 61_000)
    assert said is not None, "the device takes it for a message to somebody else"
    answers = [reading for one in said for reading in decoder.decode(one.topic, one.payload, START + 61_100)]
    if profile.simulator.commands[name].reply is not None:
        replies = [reply for reading in answers for reply in reading.replies if reply.command == name]
        assert [(reply.correlation, reply.ok) for reply in replies] == [(str(nonce), True)]
        assert {reading.child for reading in answers} <= {child, ""}
    if command.effect is not None:
        later = [one for at in range(62_000, 70_000, 500) for one in player.advance(START + at)]
        shown = [reading for one in later for reading in decoder.decode(one.topic, one.payload, START + 70_000)]
        effect = parse(command.effect.when, names_of_effect(profile, command)).compile()
        assert effect({**params, **values_of(shown, child)}, lambda _: None) is True, values_of(shown, child)


@pytest.mark.parametrize(
    ("profile", "fault", "command"),
    [
        (LIBRARY["ebike_charger_ap3000"], "relay_welded", "stop_charging"),
        (LIBRARY["ebike_charger_json"], "relay_welded", "stop_charging"),
    ],
    ids=lambda one: getattr(one, "id", one),
)
def test_a_welded_relay_answers_and_does_not_open(profile: DeviceProfile, fault: str, command: str) -> None:
    entry = DeviceEntry(id="device", profile=profile.id, address="04AB373B", site="yard")
    decoder = Decoder([profile], Registry(version="1", devices=[entry]))
    player = Player(profile, entry, seed=3, started_at=START)
    for message in [*player.advance(START + 60_000), *player.inject(fault, "port:1", now=START + 60_000)]:
        decoder.decode(message.topic, message.payload, START + 60_000, message.retain)
    topic, payload = encode_command(
        profile, command, entry, "port:1", {}, id="c", nonce=9, captures=decoder.captures_of("device"), now=START
    )
    said = player.obey(topic, payload, START + 61_000) or []
    assert said, "it answers"
    later = player.advance(START + 90_000)
    shown = [one for message in later for one in decoder.decode(message.topic, message.payload, START + 90_000)]
    assert values_of(shown, "port:1")["port_state"] == "relay_welded"


def test_a_command_for_another_moves_nobody() -> None:
    profile = LIBRARY["access_gate_json"]
    gate = DeviceEntry(id="g1", profile=profile.id, address="g-1", site="yard")
    player = Player(profile, gate, seed=1, started_at=START)
    assert player.obey("courtyard/yard/gates/g-2/command", b'{"n": 1, "do": "hold"}', START) is None
    assert player.obey("courtyard/yard/gates/g-1/telemetry", b'{"n": 1, "do": "hold"}', START) is None
    assert player.obey("courtyard/yard/gates/g-1/command", b'{"n": 1, "do": "explode"}', START) is None
    assert player.obey("courtyard/yard/gates/g-1/command", b'{"n": 1, "do": "hold"}', START)
