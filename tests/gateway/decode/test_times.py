"""Where `measured_at` comes from, how far a clock is trusted, and stamps that never repeat."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.decode import Decoder
from gateway.reading import DeviceEntry, Quality, Registry
from tests.gateway.decode.mini import NOW, decoder, error, flat, one, profile

_HOUR = 3_600_000


def _timed(format: str, **more: Any) -> dict[str, Any]:
    return {**flat(power="p"), "time": {"path": "t", "format": format, **more}}


@pytest.mark.parametrize(
    ("format", "raw", "at"),
    [
        ("unix_ms", "1763741000123", 1_763_741_000_123),
        ("unix_ms", '"1763741000123"', 1_763_741_000_123),
        ("unix_ms", "1763741000123.4", 1_763_741_000_123),
        ("unix_s", "1763741000", 1_763_741_000_000),
        ("unix_s", "1763741000.117", 1_763_741_000_117),
        ("unix_s", '"1763741000.117"', 1_763_741_000_117),
        ("iso", '"2025-11-21T16:03:20Z"', 1_763_741_000_000),
        ("iso", '"2025-11-22T00:03:20.250+08:00"', 1_763_741_000_250),
        ("iso", '"2025-11-21T16:03:20.250999999+00:00"', 1_763_741_000_250),
        ("iso", '"2025-11-21 16:03:20"', 1_763_741_000_000),
        ("%Y%m%d%H%M%S", '"20251121160320"', 1_763_741_000_000),
        ("%Y%m%d%H%M%S", "20251121160320", 1_763_741_000_000),
        ("%d/%m/%y %H:%M:%S %z", '"21/11/25 17:03:20 +0100"', 1_763_741_000_000),
    ],
)
def test_the_forms_of_time(format: str, raw: str, at: int) -> None:
    found = one(_timed(format), f'{{"p": 1, "t": {raw}}}')
    assert (found.measured_at, found.quality) == (at, Quality.GOOD)
    assert found.received_at == NOW


def test_a_time_without_a_zone_is_the_sites() -> None:
    entry = DeviceEntry("d", "mini", "d1", "yard", "Asia/Shanghai")
    made = decoder(_timed("iso"), entries=(entry,))
    assert made.decode("t/d1", b'{"p": 1, "t": "2025-11-22T00:03:20"}', NOW)[0].measured_at == NOW


def test_both_edges_of_daylight_saving() -> None:
    entry = DeviceEntry("d", "mini", "d1", "yard", "Europe/Berlin")
    made = decoder(_timed("iso"), entries=(entry,))

    def at(local: str) -> int:
        return made.decode("t/d1", f'{{"p": 1, "t": "{local}"}}'.encode(), NOW)[0].measured_at

    assert at("2025-10-26T03:00:00") - at("2025-10-26T01:59:00") == 2 * _HOUR + 60_000 - _HOUR + _HOUR
    assert at("2025-03-30T03:00:00") - at("2025-03-30T01:59:00") == 60_000


def test_a_clock_that_runs_ahead_is_stamped_on_arrival() -> None:
    def judged(ahead: int) -> tuple[int, Quality]:
        found = one(_timed("unix_ms", max_ahead="5m"), f'{{"p": 1, "t": {NOW + ahead}}}')
        return found.measured_at, found.quality

    assert judged(300_000) == (NOW + 300_000, Quality.GOOD)
    assert judged(300_001) == (NOW, Quality.SKEWED)
    assert judged(10**14) == (NOW, Quality.SKEWED)


def test_a_clock_that_was_never_set_is_stamped_on_arrival() -> None:
    for unset in (0, 12_345, -5):
        found = one(_timed("unix_ms"), f'{{"p": 1, "t": {unset}}}')
        assert (found.measured_at, found.quality) == (NOW, Quality.SKEWED)


def test_what_arrives_late_keeps_its_time_and_says_so() -> None:
    def judged(age: int) -> tuple[int, Quality]:
        found = one(_timed("unix_ms", late_after="10m"), f'{{"p": 1, "t": {NOW - age}}}')
        return NOW - found.measured_at, found.quality

    assert judged(600_000) == (600_000, Quality.GOOD)
    assert judged(600_001) == (600_001, Quality.LATE)


@pytest.mark.parametrize("payload", ['{"p": 1}', '{"p": 1, "t": null}', '{"p": 1, "t": ""}'])
def test_without_a_time_a_reading_is_stamped_on_arrival(payload: str) -> None:
    found = one(_timed("unix_ms"), payload)
    assert (found.measured_at, found.quality) == (NOW, Quality.GOOD)


@pytest.mark.parametrize("raw", ["true", "[]", '"soon"', "1e300", '"1_0"', "9" * 300])
@pytest.mark.parametrize("format", ["unix_ms", "unix_s", "iso", "%H:%M"])
def test_what_is_no_time_is_an_error(format: str, raw: str) -> None:
    assert error(_timed(format), f'{{"p": 1, "t": {raw}}}').code in {"bad_time", "wrong_type"}


def test_stamps_rise_strictly_per_device_and_survive_a_new_decoder() -> None:
    made = decoder(flat(power="p"))
    stamps = [made.decode("t/d1", b'{"p": 1}', now)[0].measured_at for now in (NOW, NOW, NOW - 50, NOW + 1, NOW + 9)]
    assert stamps == [NOW, NOW + 1, NOW + 2, NOW + 3, NOW + 9]
    assert made.decode("t/d2", b'{"p": 1}', NOW)[0].measured_at == NOW
    after = Decoder([profile(flat(power="p"))], Registry("2", []), made.stamps)
    assert after.decode("t/d1", b'{"p": 1}', NOW)[0].received_at == NOW + 10


def test_strangers_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.decode.decoder._MOST_STAMPS", 50)
    monkeypatch.setattr("gateway.decode.routes._MOST_ROUTES", 50)
    made = decoder(flat(power="p"))
    for i in range(500):
        made.decode(f"t/stranger{i}", b'{"p": 1}', NOW + i)
    assert len(made.stamps) <= 50
    assert len(made._routes) <= 50


def test_stamps_follow_a_clock_that_is_put_right() -> None:
    """It ran eight hours ahead: held back by its own stamps, a device would stand still in time until then."""
    made = Decoder([profile(flat(power="p"))], Registry("1", []))
    ahead = NOW + 8 * 3_600_000
    times = (ahead, NOW, NOW)
    assert [made.decode("t/d1", b'{"p": 1}', now)[0].received_at for now in times] == [ahead, NOW, NOW + 1]
