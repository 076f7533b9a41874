"""Modbus polls: one at a time on a line, only of registered devices, and answered by a real DTU over a real broker."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_profiles.schema import DeviceProfile
from gateway.decode.integrity import crc16_modbus
from gateway.mqtt import MqttUnavailable
from gateway.mqtt_client import MqttListener, MqttPublisher
from gateway.mqtt_once import OncePublisher, Said, Word
from gateway.polling import ANSWER_WITHIN, Poller, PollPlan, Request, requests_of
from gateway.reading import DeviceEntry, Registry
from services.bench.mosquitto import Mosquitto
from tests.gateway.kit import Ledger, make_gateway, now_millis, until


def meter(topic: str = "dtu/{address}/up", request_topic: str = "dtu/{address}/down") -> DeviceProfile:
    return DeviceProfile.model_validate(
        {
            "profile": "rs485_meter",
            "family": "meter",
            "name": {"zh": "表", "en": "Meter"},
            "availability": {"period": "60s"},
            "metrics": {
                "level": {"name": {"zh": "液位", "en": "Level"}},
                "flow": {"name": {"zh": "流量", "en": "Flow"}},
            },
            "bindings": [
                {
                    "id": "modbus",
                    "topic": topic,
                    "decode": [
                        {
                            "modbus": {
                                "request_topic": request_topic,
                                "polls": [
                                    {
                                        "id": "level",
                                        "slave": 2,
                                        "start": 2,
                                        "count": 1,
                                        "every": "1s",
                                        "registers": [{"name": "level", "at": 2}],
                                    },
                                    {
                                        "id": "flow",
                                        "slave": 2,
                                        "start": 9,
                                        "count": 1,
                                        "every": "1s",
                                        "registers": [{"name": "flow", "at": 9}],
                                    },
                                ],
                            }
                        }
                    ],
                    "fields": {"level": "level", "flow": "flow"},
                }
            ],
        }
    )


def entry(address: str, profile: str = "rs485_meter") -> DeviceEntry:
    return DeviceEntry(id=f"device-{address}", profile=profile, address=address, site="yard")


def test_requests_are_modbus_frames_on_the_devices_topic() -> None:
    requests = list(requests_of(meter(), entry("d1"), {}))
    assert [(one.topic, one.line) for one in requests] == [("dtu/d1/down", "d1")] * 2
    assert requests[0].frame.hex() == "02030002000125f9"


def test_what_the_topic_needs_and_nobody_has_said_is_told() -> None:
    profile = meter("dtu/{port}/{address}/up", "dtu/{port}/{address}/down")
    with pytest.raises(ValueError, match=r"\{port\}"):
        list(requests_of(profile, entry("d1"), {}))
    assert [one.line for one in requests_of(profile, entry("d1"), {"port": "7"})] == ["d1/7", "d1/7"]


def request(device: str, line: str, every: int = 1000) -> Request:
    return Request(device, f"{line}/down", line, device.encode(), True, every)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), lines=st.integers(1, 4), devices=st.integers(1, 12), answers=st.booleans())
def test_one_request_at_a_time_on_each_line_and_all_get_their_turn(
    seed: int, lines: int, devices: int, answers: bool
) -> None:
    plan, dice = PollPlan(), random.Random(seed)
    requests = [request(f"d{n}", f"line{n % lines}", dice.choice([1000, 3000, 10_000])) for n in range(devices)]
    plan.replace(requests, 0, dice)
    asked: list[str] = []
    for now in range(0, 120_000, 250):
        for one, at in plan.asked():
            if answers and now > at:
                plan.answered(one)
            elif now - at >= ANSWER_WITHIN:
                plan.unanswered(one, now)
        while (due := plan.next(now)) is not None:
            asked.append(due.device)
        on_lines = [one.line for one, _ in plan.asked()]
        assert len(on_lines) == len(set(on_lines))
    assert set(asked) == {one.device for one in requests}


def test_who_never_answers_is_asked_less_often_and_at_once_again_when_it_does() -> None:
    plan, one = PollPlan(), request("d1", "line")
    plan.replace([one], 0, random.Random(1))
    times = []
    for now in range(0, 60_000, 100):
        for asked, at in plan.asked():
            if now - at >= ANSWER_WITHIN:
                plan.unanswered(asked, now)
        if plan.next(now) is not None:
            times.append(now)
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps[0] <= 2_100 < 8_000 <= gaps[-1] <= 9_200


class SlowLine(OncePublisher):
    """It takes its time with every message."""

    def __init__(self, clock: list[int]) -> None:
        self._clock = clock

    @property
    def is_connected(self) -> bool:
        return True

    def say(self, topic: str, payload: bytes, *, timeout_seconds: float, expires_seconds: float) -> Word:
        self._clock[0] += 100
        return Word(Said.ACKNOWLEDGED)


def test_who_is_asked_last_has_as_long_to_answer_as_the_first() -> None:
    clock = [1_000]
    asked: list[str] = []
    heard: dict[str, int] = {}
    entries = [DeviceEntry(id=f"d{n}", profile="rs485_meter", address=f"a{n}", site="yard") for n in range(20)]
    poller = Poller(
        profiles=[meter()],
        registry=lambda: Registry(version="1", devices=entries),
        captures_of=lambda _: {},
        remember=lambda request, _: asked.append(request.device),
        heard_at=lambda device: heard.get(device, 0),
        publisher=SlowLine(clock),
        now_millis=lambda: clock[0],
    )
    poller._look()
    clock[0] += 60_000  # all are due
    poller._round()
    assert poller.counters.sent == 20 and clock[0] == 63_000
    heard |= dict.fromkeys(asked[:-1], clock[0])
    clock[0] += ANSWER_WITHIN // 2
    poller._round()
    assert (poller.counters.answered, poller.counters.unanswered) == (19, 0)


class Dtu:
    """A DTU with one meter behind it: it answers what it is asked, and counts who asked too soon."""

    def __init__(self, url: str, address: str, *, answers: bool = True) -> None:
        self.asked: list[str] = []
        self._answers = answers
        self._address = address
        self._publisher = MqttPublisher(url, f"dtu-{address}")
        self._listener = MqttListener(url, f"dtu-{address}-ears", [f"dtu/{address}/down"], seconds=60)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Dtu:
        self._publisher.start()
        assert self._publisher.wait_connected(60)
        self._listener.connect()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(60)
        self._listener.close()
        self._publisher.close()

    def _run(self) -> None:
        with suppress(MqttUnavailable):
            while not self._stopping.is_set():
                for message in self._listener.read(0.05):
                    self.asked.append(message.payload.hex())
                    if self._answers:
                        # Both registers look alike in the answer: only the request tells them apart.
                        value = 410 if message.payload[3] == 2 else 27
                        body = bytes([2, 3, 2, *value.to_bytes(2, "big")])
                        self._publisher.publish(
                            f"dtu/{self._address}/up", body + crc16_modbus(body).to_bytes(2, "little")
                        )


class Polled(Ledger):
    def registry(self) -> Registry:
        return Registry(version="1", devices=[entry("d1"), entry("d2")])


@pytest.fixture
def dtus(mosquitto: Mosquitto) -> Iterator[tuple[Dtu, Dtu, Dtu]]:
    with (
        Dtu(mosquitto.url, "d1") as one,
        Dtu(mosquitto.url, "d2", answers=False) as mute,
        Dtu(mosquitto.url, "d3") as stranger,
    ):
        yield one, mute, stranger


@pytest.mark.mosquitto
def test_registers_are_read_and_told_apart_and_strangers_are_never_asked(
    mosquitto: Mosquitto, tmp_path: Path, dtus: tuple[Dtu, Dtu, Dtu]
) -> None:
    """Time stands still while a meter that answers is being asked: one that answers too late is another story."""
    one, mute, stranger = dtus
    ledger, clock = Polled(), [now_millis()]
    gateway, telemetry = make_gateway(tmp_path, mosquitto.url, ledger, meter(), now=lambda: clock[0])
    gateway.start()

    def passes() -> None:
        assert gateway._poller is not None
        if not any(asked.line == "d1" for asked, _ in gateway._poller._plan.asked()):
            clock[0] += ANSWER_WITHIN // 10

    try:
        until(lambda: passes() or len([r for r in ledger.readings if r.values]) >= 6, 120, "no readings came")
        until(lambda: passes() or gateway.status().polls_unanswered >= 1, 120, "the mute one was not noticed")
        status = gateway.status()
    finally:
        gateway.stop()
        telemetry.close()
    assert {tuple(r.values.items()) for r in ledger.readings} == {(("level", 410),), (("flow", 27),)}
    assert {r.device for r in ledger.readings} == {"device-d1"}
    assert status.polls_sent >= 6 and status.quarantined == 0
    assert one.asked and mute.asked and not stranger.asked
