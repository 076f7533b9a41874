"""The forms in which devices write the time, each read to the same moment whatever the locale."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from device_profiles.schema import Time
from gateway.decode.errors import DecodeError
from gateway.decode.scope import Scope
from gateway.decode.times import time_reader
from gateway.reading import Millis, Quality

NOW = 1_763_741_000_000
"""2025-11-21T16:03:20Z"""
_SHANGHAI = ZoneInfo("Asia/Shanghai")
_PACIFIC = {"PDT": "-07:00", "PST": "-0800"}


def said(time: dict[str, Any], root: Any, *, zone: tzinfo = UTC, **captures: str) -> Millis | None:
    return time_reader(Time.model_validate(time)).read(Scope(root, root, captures), zone, NOW)


def refused(time: dict[str, Any], root: Any) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        said(time, root)
    assert caught.value.code == "bad_time"
    return caught.value


@pytest.mark.parametrize(
    ("format", "raw", "millis"),
    [
        ("unix_us", 1763741000123456, NOW + 123),
        ("unix_us", "1763741000123456", NOW + 123),
        ("unix_ns", 1763741000123456789, NOW + 123),
        ("unix_ns", "1763741000123456789", NOW + 123),
        ("unix_s", 1763741000.5, NOW + 500),
        ("unix_ms", "1763741000000", NOW),
        ("seconds_ago", 0, NOW),
        ("seconds_ago", 12.5, NOW - 12_500),
        ("seconds_ago", "90", NOW - 90_000),
        ("iso", "2025-11-21T16:03:20Z", NOW),
        ("iso", "2025-11-21T16:03:20z", NOW),
        ("iso", "20251121T160320Z", NOW),  # Huawei IoTDA, CTWing
        ("iso", "20251121T160320.250Z", NOW + 250),
        ("iso", "2025-11-21T17:03:20.775023242+01:00", NOW + 775),  # ChirpStack v4
        ("iso", "2025-11-21 11:03:20.000 -0500", NOW),
        ("iso", "2025-11-21T16:03:20,5", NOW + 500),
        ("iso", "20251121160320", NOW),  # HJ 212 DataTime
        ("iso", "20251121160320105", NOW + 105),  # HJ 212 QN
        ("iso", 20251121160320, NOW),
        ("iso", "202511211603", NOW - 20_000),
        ("iso", "20251121", NOW - (16 * 3600 + 3 * 60 + 20) * 1000),
        ("%Y%m%d%H%M%S%f", "20251121160320105", NOW + 105),
        ("%Y-%m-%d %H:%M:%S.%f", "2025-11-21 16:03:20.1", NOW + 100),
        ("%Y-%m-%d %H:%M:%S.%f", "2025-11-21 16:03:20.123456789", NOW + 123),
        ("%Y-%m-%d %H:%M:%S", "2025-11-21  16:3:20", NOW),
        ("%Y/%m/%d %I:%M:%S %p", "2025/11/21 04:03:20 PM", NOW),
        ("%m/%d/%y %I:%M:%S%p", "11/21/25 4:03:20pm", NOW),
        ("%Y/%m/%d %p%I:%M:%S", "2025/11/21 下午4:03:20", NOW),
        ("%Y/%m/%d %I:%M %p", "2025/11/21 12:00 AM", NOW - (16 * 3600 + 3 * 60 + 20) * 1000),
        ("%d-%b-%Y %H:%M:%S", "21-Nov-2025 16:03:20", NOW),  # Hikvision: installationTime
        ("%a, %d %b %Y %H:%M:%S %Z", "Fri, 21 Nov 2025 16:03:20 GMT", NOW),
        ("%A %d %B %Y %H:%M:%S", "friday 21 november 2025 16:03:20", NOW),
        ("%F %T %z", "2025-11-21 18:03:20 +02", NOW),
        ("%FT%T%z", "2025-11-21T16:03:20Z", NOW),
        ("%Y-%j %R", "2025-325 16:03", NOW - 20_000),
        ("100%% %Y-%m-%dT%H:%M:%S", "100% 2025-11-21T16:03:20", NOW),
    ],
)
def test_every_form(format: str, raw: Any, millis: Millis) -> None:
    assert said({"path": "t", "format": format}, {"t": raw}) == millis


def test_zone_abbreviations() -> None:
    # uhppoted: "timestamp"
    time = {"path": "t", "format": "%Y-%m-%d %H:%M:%S %Z", "zones": _PACIFIC}
    assert said(time, {"t": "2019-08-09 16:18:55 PDT"}) == said(
        {"path": "t", "format": "iso"}, {"t": "2019-08-09T16:18:55-07:00"}
    )
    assert said(time, {"t": "2025-11-21 08:03:20 PST"}) == NOW
    assert said(time, {"t": "2025-11-21 16:03:20 UTC"}) == NOW
    assert "CEST" in refused(time, {"t": "2019-08-09 16:18:55 CEST"}).found


def test_a_time_without_a_zone_is_the_sites() -> None:
    for format, raw in (
        ("iso", "2025-11-22T00:03:20"),  # Tasmota
        ("iso", "20251122000320"),
        ("%Y-%m-%d %H:%M:%S", "2025-11-22 00:03:20"),
    ):
        assert said({"path": "t", "format": format}, {"t": raw}, zone=_SHANGHAI) == NOW
    for format, raw in (("iso", "2025-11-21T16:03:20Z"), ("%Y-%m-%d %H:%M:%S %Z", "2025-11-21 16:03:20 GMT")):
        assert said({"path": "t", "format": format}, {"t": raw}, zone=_SHANGHAI) == NOW


def test_a_time_in_several_pieces() -> None:
    apart = {"join": ["date", "time"], "format": "iso"}
    assert said(apart, {"date": "2025-11-21", "time": "16:03:20"}) == NOW
    parts = {"join": ["t.year", "t.month", "t.day", "t.hour", "t.minute", "t.second"], "format": "%y %m %d %H %M %S"}
    clock = {"year": 25, "month": 11, "day": 21, "hour": 16, "minute": 3, "second": 20}
    assert said(parts, {"t": clock}) == NOW
    assert said(parts, {"t": {**clock, "second": None}}) is None
    assert said(apart, {"date": "2025-11-21"}) is None
    refused(apart, {"date": "2025-11-21", "time": True})
    refused(apart, {"date": "x" * 10_000, "time": "16:03:20"})


def test_a_time_in_the_topic() -> None:
    assert said({"capture": "at", "format": "unix_s"}, None, at="1763741000") == NOW
    assert said({"capture": "at"}, None) is None


def test_a_clock_that_is_worth_nothing() -> None:
    reader = time_reader(Time.model_validate({"path": "t", "format": "iso", "trust": "server"}))
    for raw in ("1970-01-01T00:00:00", "nonsense", 7, None, "2099-01-01T00:00:00Z"):
        assert reader.judge(Scope({}, {"t": raw}, {}), UTC, NOW) == (NOW, Quality.GOOD)


def test_a_path_starts_at_the_element_and_with_a_dollar_at_the_payload() -> None:
    scope = Scope({"t": NOW - 1}, {"t": NOW - 2}, {})
    assert time_reader(Time(path="t")).read(scope, UTC, NOW) == NOW - 2
    assert time_reader(Time(path="$.t")).read(scope, UTC, NOW) == NOW - 1


def test_how_long_ago_is_judged_like_any_time() -> None:
    reader = time_reader(Time.model_validate({"path": "age", "format": "seconds_ago"}))

    def judged(age: Any) -> tuple[Millis, Quality]:
        return reader.judge(Scope({}, {"age": age}, {}), UTC, NOW)

    assert judged(30) == (NOW - 30_000, Quality.GOOD)
    assert judged(3600) == (NOW - 3_600_000, Quality.LATE)
    assert judged(-3600) == (NOW, Quality.SKEWED)
    assert judged(None) == (NOW, Quality.GOOD)


@pytest.mark.parametrize(
    ("format", "raw"),
    [
        ("iso", "yesterday"),
        ("iso", "2025-13-01T00:00:00"),
        ("iso", "25112116"),
        ("iso", "9" * 30),
        ("iso", "2025-11-21T16:03:20Z" + " " * 100 + "x"),
        ("iso", 1.5),
        ("iso", 10**400),
        ("iso", {}),
        ("iso", "²²²²²²²²"),
        ("%Y-%m-%d", "2025-02-30"),
        ("%Y-%m-%d", "2025-1"),
        ("%Y-%j", "9999-999"),
        ("%Y-%m-%d %z", "2025-11-21 +99:00"),
        ("unix_ns", 10**400),
        ("unix_us", 1e300),
        ("seconds_ago", "soon"),
        ("unix_s", True),
    ],
)
def test_what_is_no_time(format: str, raw: Any) -> None:
    error = refused({"path": "t", "format": format}, {"t": raw})
    assert error.field == "t"
    assert format in error.expected


@pytest.mark.parametrize("raw", [None, "", " ", "null", "NaN"])
def test_what_says_nothing(raw: Any) -> None:
    for format in ("iso", "unix_s", "%Y", "seconds_ago"):
        assert said({"path": "t", "format": format}, {"t": raw}) is None


@pytest.mark.parametrize(
    ("time", "word"),
    [
        ({"path": "t", "format": "unix"}, "unix_s, unix_ms, unix_us, unix_ns, seconds_ago, iso"),
        ({"path": "t", "format": "%Q"}, "found %Q"),
        ({"path": "t", "format": "%Y %Y"}, "one each"),
        ({"path": "t", "format": "%b %B"}, "one each"),
        ({"path": "t", "format": "%Y %"}, "found %"),
        ({"path": "t", "format": "%I:%M"}, "%p beside %I"),
        ({"path": "t", "format": "%Z", "zones": {"PDT": "west"}}, "an offset such as"),
        ({"path": "t", "format": "%Z", "zones": {"PDT": "+25:00"}}, "an offset such as"),
        ({"path": "t", "capture": "at"}, "one of path, capture and join"),
        ({"path": "t", "join": ["a", "b"]}, "one of path, capture and join"),
    ],
)
def test_times_that_make_no_sense(time: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        time_reader(Time.model_validate(time))
