"""Paths into what was decoded: keys, positions, and the first element of which something is so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.decode.errors import DecodeError
from gateway.decode.paths import getter, lenient_getter, parse_path

# Huawei IoTDA: $oc/devices/{device_id}/sys/properties/report
_SERVICES = json.loads(
    '{"services":[{"service_id":"Temperature","properties":{"value":57,"value2":60},"event_time":"20151212T121212Z"},'
    '{"service_id":"Battery","properties":{"level":80,"level2":90},"event_time":"20151212T121212Z"}]}'
)
_MIXED = json.loads(
    '{"items":[{"id":1,"on":false,"x":{"no":"a"},"v":"one"},7,null,{"id":2.0,"on":true,"x":{"no":"b"},"v":"two"},'
    '{"id":"2","event-id":50,"v":"text"}],"single":{"id":3,"v":"alone"},"switch:0":{"a.b":1},"empty":"","none":[]}'
)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("services[?service_id=='Battery'].properties.level", 80),
        ('services[?service_id=="Temperature"].properties.value2', 60),
        ("services[?(@.service_id == 'Battery')].properties.level2", 90),
        ("services[?service_id!='Temperature'].properties.level", 80),
        ("services[?service_id=='Smoke'].properties.level", None),
        ("services[?properties.level==80].service_id", "Battery"),
        ("services[-1].service_id", "Battery"),
        ("services[2].service_id", None),
        ("$.services[?service_id=='Battery'].properties.level", 80),
    ],
)
def test_an_element_chosen_by_what_it_says(path: str, found: Any) -> None:
    assert getter(parse_path(path))(_SERVICES) == found


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("items[?id==2].v", "two"),
        ("items[?id==2.0].v", "two"),
        ("items[?id=='2'].v", "text"),
        ("items[?on==true].v", "two"),
        ("items[?on==false].v", "one"),
        ("items[?on!=false].v", "two"),
        ("items[?x.no=='b'].v", "two"),
        ('items[?"event-id"==50].v', "text"),
        ("items[?id==-1].v", None),
        ("single[?id==3].v", "alone"),
        ("single[?id==4].v", None),
        ('"switch:0"."a.b"', 1),
        ("['switch:0'][\"a.b\"]", 1),
        ("nothing[?id==1].v", None),
        ("empty.deeper", None),
        ("none.deeper", None),
        ("none[?id==1].v", None),
    ],
)
def test_numbers_words_and_elements_of_other_shapes(path: str, found: Any) -> None:
    assert getter(parse_path(path))(_MIXED) == found


def test_walking_into_a_text_is_another_dialect() -> None:
    for path in ("items[0].v.deeper", "items[0].v[?a==1]", "items.v", "single[0]"):
        with pytest.raises(DecodeError) as caught:
            getter(parse_path(path))(_MIXED)
        assert caught.value.code == "wrong_type"
        assert lenient_getter(parse_path(path))(_MIXED) is None


@pytest.mark.parametrize("path", ["a[", "a]", "a[?x]", "a[?x=1]", "a[?x==]", "a[?x=='y'", "a[?=='y']", "a[?x==y]"])
def test_paths_that_make_no_sense(path: str) -> None:
    with pytest.raises(ValueError, match="expected a path"):
        parse_path(path)
