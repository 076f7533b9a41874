"""A slow clock must not switch a device's rules off; a backlog must page nobody."""

from __future__ import annotations

import random

from gateway.decode import Decoder
from gateway.reading import Quality, Reading
from tests.gateway.kit import Ledger, meter_profile

NOW = 1_795_300_000_000
HOURS_8 = 8 * 3600 * 1000


def decoder() -> Decoder:
    profile = meter_profile(time={"path": "ts", "format": "unix_ms"})
    return Decoder([profile], Ledger().registry())


def say(made: Decoder, *, measured: int, received: int, retained: bool = False) -> Reading:
    payload = b'{"n": 1, "ts": %d}' % measured
    (reading,) = made.decode("meters/m1/telemetry", payload, received, retained)
    return reading


def test_a_clock_eight_hours_behind_is_stamped_on_arrival_from_its_second_message() -> None:
    made = decoder()
    dice = random.Random(1)
    qualities = []
    for n in range(20):
        received = NOW + n * 30_000 + dice.randrange(900)
        reading = say(made, measured=NOW + n * 30_000 - HOURS_8, received=received)
        qualities.append(reading.quality)
        if n:
            assert reading.measured_at == reading.received_at == received
    assert qualities == [Quality.LATE, *[Quality.SKEWED] * 19]


def test_the_messages_of_one_report_share_its_fate() -> None:
    made = decoder()
    for n in range(3):
        for port in range(8):
            at = NOW + n * 60_000 + port * 20
            reading = say(made, measured=at - HOURS_8, received=at)
            assert reading.quality is (Quality.SKEWED if n else Quality.LATE)


def test_a_backlog_stays_history() -> None:
    made = decoder()
    for n in range(500):  # ten-second values of the night, fifty a second in the morning
        reading = say(made, measured=NOW - HOURS_8 + n * 10_000, received=NOW + n * 20)
        assert reading.quality is Quality.LATE
        assert reading.measured_at == NOW - HOURS_8 + n * 10_000


def test_a_backlog_that_trickles_in_is_still_faster_than_it_was_measured() -> None:
    made = decoder()
    for n in range(100):
        reading = say(made, measured=NOW - HOURS_8 + n * 30_000, received=NOW + n * 6_000)
        assert reading.quality is Quality.LATE


def test_a_clock_that_is_put_right_is_trusted_again() -> None:
    made = decoder()
    for n in range(3):
        say(made, measured=NOW + n * 30_000 - HOURS_8, received=NOW + n * 30_000)
    reading = say(made, measured=NOW + 120_000, received=NOW + 120_050)
    assert (reading.measured_at, reading.quality) == (NOW + 120_000, Quality.GOOD)


def test_what_a_broker_retained_is_of_its_own_time() -> None:
    made = decoder()
    for n in range(5):
        reading = say(made, measured=NOW - HOURS_8, received=NOW + n * 30_000, retained=True)
        assert reading.quality is Quality.LATE
