"""What a reading becomes on its way to InfluxDB, and what it does not become."""

from __future__ import annotations

import math

import pytest

from device_profiles.schema import DeviceProfile
from gateway.reading import DeviceEntry, Quality, Reading, Registry, Value
from gateway.telemetry import series
from gateway.telemetry.lines import LineBuilder, Lines

AT = 1_780_000_000_000


def pump() -> DeviceProfile:
    text = {"zh": "泵", "en": "Pump"}
    return DeviceProfile.model_validate(
        {
            "profile": "pump",
            "family": "water_pump",
            "name": text,
            "availability": {"period": "60s"},
            "metrics": {"pressure": {"name": text}, "flow": {"name": text}},
            "states": {"running": {"name": text, "values": {"on": {**text, "tone": "active"}, "off": text}}},
            "events": {"dry": {"name": text, "lasting": True}},
            "bindings": [
                {
                    "id": "t",
                    "topic": "p/{address}",
                    "decode": [{"json": True}],
                    "fields": {"pressure": "p", "flow": "f", "running": {"path": "r", "map": {"1": "on", "0": "off"}}},
                    "events": [{"event": "dry", "when": {"path": "d", "equals": 1}}],
                }
            ],
        }
    )


REGISTRY = Registry(
    version="1",
    devices=[
        DeviceEntry(id="pump-1", profile="pump", address="1", site="osmanthus", building="3"),
        DeviceEntry(id="pump-2", profile="pump", address="2", site="osmanthus"),
    ],
)


def builder(registry: Registry = REGISTRY) -> LineBuilder:
    return LineBuilder({"pump": pump()}, lambda: registry)


def built(device: str = "pump-1", *, child: str = "", delay: int = 0, **more: object) -> Lines:
    values = more.pop("values", {"pressure": 0.31})
    reading = Reading(device, child, AT, AT + delay, "t", values, profile="pump", **more)  # type: ignore[arg-type]
    return builder().build([reading])


def test_a_reading_is_one_line_with_its_place() -> None:
    made = built(values={"pressure": 0.31, "running": "on", "dry": True, "flow": 5})
    assert made.texts == [
        f'water_pump,building=3,device=pump-1,site=osmanthus pressure=0.31,running="on",dry=true,flow=5.0 {AT}'
    ]
    assert made.refused == []


def test_tags_that_are_empty_are_left_out() -> None:
    assert built("pump-2").texts == [f"water_pump,device=pump-2,site=osmanthus pressure=0.31 {AT}"]
    assert built("pump:9", child="port:4").texts == [f"water_pump,child=port:4,device=pump:9 pressure=0.31 {AT}"]


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf, -math.inf])
def test_what_says_nothing_is_left_out_without_a_word(nothing: float | None) -> None:
    made = built(values={"pressure": nothing, "flow": 1.0})
    assert made.texts == [f"water_pump,building=3,device=pump-1,site=osmanthus flow=1.0 {AT}"]
    assert made.refused == []
    assert built(values={"pressure": nothing}).texts == []


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("pressure", "high", "expected a number"),
        ("pressure", True, "expected a number"),
        ("pressure", 10**400, "larger than a number can be"),
        ("running", 1, "expected a word"),
        ("running", "x" * 15_001, "15001 characters"),
        ("running", "\ud800", "half a character"),
        ("dry", 1, "expected true or false"),
        ("colour", 1.0, "no profile of water_pump has such a value"),
    ],
)
def test_what_does_not_fit_is_refused_alone_with_its_reason(name: str, value: Value, reason: str) -> None:
    made = built(values={"flow": 1.0, name: value})
    assert made.texts == [f"water_pump,building=3,device=pump-1,site=osmanthus flow=1.0 {AT}"]
    (refused,) = made.refused
    assert (refused.device, refused.measurement, refused.field) == ("pump-1", "water_pump", name)
    assert reason in refused.reason


@pytest.mark.parametrize(
    ("reading", "reason"),
    [
        (Reading("pump-1", "port:\\", AT, AT, "t", {"flow": 1.0}, profile="pump"), "cannot hold the name"),
        (Reading("pump-1", "a\nb", AT, AT, "t", {"flow": 1.0}, profile="pump"), "cannot hold the name"),
        (Reading("pump-1", "", 10**17, AT, "t", {"flow": 1.0}, profile="pump"), "beyond what InfluxDB can say"),
        (Reading("kettle-1", "", AT, AT, "t", {"flow": 1.0}, profile="kettle"), "there is no profile 'kettle'"),
    ],
)
def test_a_reading_that_cannot_be_written_at_all_is_refused_whole(reading: Reading, reason: str) -> None:
    good = Reading("pump-2", "", AT, AT, "t", {"flow": 1.0}, profile="pump")
    made = builder().build([good, reading, good])
    assert len(made.texts) == 2
    assert [(one.field, reason in one.reason) for one in made.refused] == [("", True)]


def test_a_reading_without_a_profile_has_that_of_its_device() -> None:
    made = builder().build([Reading("pump-1", "", AT, AT, "t", {"flow": 1.0})])
    assert made.texts == [f"water_pump,building=3,device=pump-1,site=osmanthus flow=1.0 {AT}"]


def test_quality_is_said_where_it_is_not_good() -> None:
    assert 'cy_quality="late"' in built(quality=Quality.LATE).texts[0]
    assert "cy_" not in built().texts[0]
    flagged = built(values={"flow": 1.0}, flags={"running": Quality.SUSPECT, "pressure": Quality.IMPOSSIBLE})
    assert 'flow=1.0,cy_quality="impossible" ' in flagged.texts[0]
    only = built(values={}, flags={"pressure": Quality.FAULTY})
    assert 'site=osmanthus cy_quality="faulty" ' in only.texts[0]


@pytest.mark.parametrize(
    ("delay", "said"), [(5000, None), (5001, 5.001), (-5000, None), (-6000, -6.0), (912_000, 912.0)]
)
def test_delay_is_said_above_five_seconds(delay: int, said: float | None) -> None:
    text = built(delay=delay).texts[0]
    assert ("cy_delay" in text) == (said is not None)
    assert said is None or f"cy_delay={said}" in text


def test_events_and_presence_alone_are_no_line() -> None:
    assert built(values={}) == Lines([], [], [])
    assert built(values={}, delay=60_000, quality=Quality.LATE).texts == []


def test_a_device_that_gets_its_place_has_it_from_its_next_reading() -> None:
    registry = Registry(version="", devices=[])
    follows = LineBuilder({"pump": pump()}, lambda: registry)
    reading = Reading("pump-1", "", AT, AT, "t", {"flow": 1.0}, profile="pump")
    assert follows.build([reading]).texts == [f"water_pump,device=pump-1 flow=1.0 {AT}"]
    registry = REGISTRY
    assert follows.build([reading]).texts == [f"water_pump,building=3,device=pump-1,site=osmanthus flow=1.0 {AT}"]


def test_what_waited_while_its_device_got_its_place_is_filed_there() -> None:
    """A journal may have waited longer than renamings are carried out again."""
    waited = Reading("pump:1", "", AT, AT, "t", {"pressure": 0.5}, profile="pump")
    assert builder().build([waited]).texts == [
        f"water_pump,building=3,device=pump-1,site=osmanthus pressure=0.5 {AT}",
    ]


def test_names_from_messages_make_no_endless_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "MOST_CHILDREN_PER_DEVICE", 3)
    monkeypatch.setattr(series, "MOST_UNCLAIMED", 2)
    one = builder()
    children = [Reading("pump-1", f"port:{n}", AT, AT, "t", {"flow": 1.0}, profile="pump") for n in range(5)]
    strangers = [Reading(f"pump:new-{n}", "", AT, AT, "t", {"flow": 1.0}, profile="pump") for n in range(5)]
    made = one.build([*children, *strangers, *children, *strangers])
    assert len(made.texts) == 2 * (3 + 2)
    assert {refused.reason.split(" 3 ")[0].split(" 2 ")[0] for refused in made.refused} == {
        "the device has more than",
        "more than",
    }


def told(builder: LineBuilder, device: str, *children: str) -> int:
    """How many of these children get a line."""
    said = [Reading(device, child, AT, AT, "t", {"flow": 1.0}, profile="pump") for child in children]
    return len(builder.build(said).texts)


def test_new_lists_of_devices_give_no_new_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "MOST_CHILDREN_PER_DEVICE", 3)
    registry = REGISTRY
    one = LineBuilder({"pump": pump()}, lambda: registry)
    assert told(one, "pump-1", "port:1", "port:2", "port:3", "port:4") == 3
    registry = Registry(version="2", devices=REGISTRY.devices)
    assert told(one, "pump-1", "port:5", "port:6", "port:3") == 1, "the one that was known"


def test_strangers_share_what_they_may_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "MOST_UNCLAIMED_SERIES", 5)
    registry = REGISTRY
    one = LineBuilder({"pump": pump()}, lambda: registry)
    assert sum(told(one, f"pump:new-{n}", "port:1", "port:2", "port:3") for n in range(4)) == 5
    assert told(one, "pump-1", "port:1", "port:2") == 2, "who has a place does not feel it"
    placed = DeviceEntry(id="pump-7", profile="pump", address="new-0", site="osmanthus")
    registry = Registry(version="2", devices=[*REGISTRY.devices, placed])
    assert told(one, "pump:9", "port:1", "port:2", "port:3", "port:4") == 3, "one has got its place and left room"
    registry = REGISTRY
    assert told(one, "pump:new-0", "port:1") == 0, "and cannot come back with all it has named"


def test_a_field_that_the_database_does_not_take_can_be_left_out() -> None:
    reading = Reading("pump-1", "", AT, AT, "t", {"flow": 1.0, "pressure": 2.0}, profile="pump")
    without = builder().build([reading], {("water_pump", "flow"), ("other", "pressure")})
    assert without.texts == [f"water_pump,building=3,device=pump-1,site=osmanthus pressure=2.0 {AT}"]
    assert builder().build([reading], {("water_pump", "flow"), ("water_pump", "pressure")}).texts == []
