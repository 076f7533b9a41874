"""The codec chain: text and JSON in their forms, XML, columns, pairs, patterns, and steps inside what was decoded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from device_profiles.schema import Codec
from gateway.decode.codecs import chain, context_chain, needs_context
from gateway.decode.context import NOTHING, Context
from gateway.decode.errors import DecodeError
from gateway.decode.frames import Suspect
from gateway.decode.memory import Memory
from tests.gateway.decode.bounds import MOST_BYTES, QUICK_SECONDS, least_seconds, most_bytes


def decoded(payload: bytes | str, *codecs: dict[str, Any]) -> Any:
    """What the chain makes of the payload, with a context and without."""
    made = tuple(Codec.model_validate(codec) for codec in codecs)
    raw = payload.encode() if isinstance(payload, str) else payload
    found = chain(made)(raw)
    again = context_chain(made, frozenset())(raw, Context({}, Memory(), 0))
    if isinstance(found, Suspect):
        assert isinstance(again, Suspect)
        assert again.value == found.value
    else:
        assert again == found
    return found


def refused(payload: bytes | str, *codecs: dict[str, Any]) -> DecodeError:
    try:
        found = decoded(payload, *codecs)
    except DecodeError as error:
        assert len(str(error)) < 1000
        return error
    raise AssertionError(f"expected a DecodeError, found {found!r}")


def unbuildable(*codecs: dict[str, Any]) -> str:
    with pytest.raises(ValueError) as caught:
        chain(tuple(Codec.model_validate(codec) for codec in codecs))
    return str(caught.value)


# --- json, json_scalar, json_string, text, hex, base64 ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        ("15800", 15800),  # OpenEVSE: amp in mA
        ("21.5", 21.5),  # homie/5/super-car/engine/temperature
        ("-0.5e1", -5.0),
        ("true", True),  # evcc: loadpoints/1/charging
        ("false\n", False),
        ("null", None),
        ('"Door 1"', "Door 1"),  # a display name in JSON's quotes
        ('"\\u6e29\\u5ea6"', "温度"),
        ("ON", "ON"),
        ("NaN", "NaN"),  # evcc: a metric's field takes it for missing
        ("1e400", "1e400"),
        ("", ""),
        ("0301", "0301"),  # a code keeps its zeros
        ('"half', '"half'),
        ("[1, 2]", "[1, 2]"),
        ("21.5 °C", "21.5 °C"),
        ("9" * 100, "9" * 100),
    ],
)
def test_a_scalar_is_json_or_a_word(payload: str, value: Any) -> None:
    found = decoded(payload, {"json_scalar": True})
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        ('{"t":NaN,"h":-Infinity,"p":[nan, +inf],"w":"NaN, inf","n":1}', [None, None, [None, None], "NaN, inf", 1]),
        ('{"t":1,"h":2,"p":[],"w":"\\"NaN","n":nan}', [1, 2, [], '"NaN', None]),
    ],
)
def test_json_with_numbers_that_are_none(payload: str, value: Any) -> None:
    assert list(decoded(payload, {"json": True}).values()) == value


def test_json_between_a_mark_and_zero_bytes() -> None:
    assert decoded(b'\xef\xbb\xbf{"t":1}', {"json": True}) == {"t": 1}
    assert decoded(b'{"t":1}\r\n\x00\x00', {"json": True}) == {"t": 1}


@pytest.mark.parametrize(
    "payload", ["", "NaN", "{", '{"t":nano}', '{"t":NaN,}', "{'t':1}", '{"t":1} x', "\0", "{NaN:1}"]
)
def test_what_is_no_json(payload: str) -> None:
    error = refused(payload, {"json": True})
    assert (error.code, error.expected) == ("malformed", "JSON")


def test_json_inside_a_text() -> None:
    # ChirpStack v3, application/123/device/…/event/up
    payload = '{"fPort":5,"objectJSON":"{\\"temperatureSensor\\":25,\\"humiditySensor\\":32}"}'
    steps = {"json": True}, {"json_string": True, "at": "objectJSON"}
    assert decoded(payload, *steps) == {"fPort": 5, "objectJSON": {"temperatureSensor": 25, "humiditySensor": 32}}
    assert decoded('{"fPort":0,"objectJSON":""}', *steps) == {"fPort": 0, "objectJSON": None}
    assert decoded('{"fPort":0}', *steps) == {"fPort": 0}
    assert decoded('"{\\"a\\":1}"', {"json": True}, {"json_string": True}) == {"a": 1}
    assert refused('{"objectJSON":7}', *steps).code == "wrong_type"
    assert refused('{"objectJSON":"{"}', *steps).code == "malformed"


@pytest.mark.parametrize("text", ["0175 5C03", "01:75:5c:03", "0x01,0x75,0x5C,0x03", "01-75-5C-03", "01755c03\r\n"])
def test_hex_as_people_write_it(text: str) -> None:
    assert decoded(text, {"hex": True}) == b"\x01\x75\x5c\x03"


@pytest.mark.parametrize("text", ["AXVcAw==", "AXVcAw", "AXVc\nAw=="])
def test_base64_with_padding_and_without(text: str) -> None:
    assert decoded(text, {"base64": True}) == b"\x01\x75\x5c\x03"


def test_base64_of_either_alphabet() -> None:
    assert decoded("-_8=", {"base64": True}) == decoded("+/8=", {"base64": True}) == b"\xfb\xff"
    for bad in ("A", "ab*d", "温度"):
        assert refused(bad, {"base64": True}).code == "malformed"


# --- xml --------------------------------------------------------------------------------------------------------------

# Hikvision cameras and recorders push these; the namespace differs from model to model.
_FIELD_DETECTION = """<?xml version="1.0" encoding="UTF-8"?>
<EventNotificationAlert version="1.0"
  xmlns="urn:psialliance-org">
  <channelID>34</channelID>
  <dateTime>2023-01-13T19:16:39+01:00</dateTime>
  <eventType>fielddetection</eventType>
  <eventState>active</eventState>
  <Extensions>
    <serialNumber xmlns="urn:selfextension:psiaext-ver10-xsd">DS-7608NXI-I0/0P/S0000000000CCRRJ00000000WCVU
    </serialNumber>
    <eventPush xmlns="urn:selfextension:psiaext-ver10-xsd">fielddetection&amp;&amp;DS-7608NXI,34,1.0</eventPush>
  </Extensions>
</EventNotificationAlert>"""
_DISKS = """<?xml version="1.0" encoding="UTF-8"?>
<storage version="2.0"
  xmlns="http://www.hikvision.com/ver20/XMLSchema">
  <hddList version="1.0"
    xmlns="http://www.hikvision.com/ver10/XMLSchema" size="8">
    <hdd>
      <id>1</id>
      <hddPath></hddPath>
      <status>ok</status>
      <capacity>30436</capacity>
      <Encryption>
        <passwordLen min="6" max="64"/>
        <encryptionStatus opt="unencrypted,encrypted,verfyFailed">unencrypted</encryptionStatus>
      </Encryption>
    </hdd>%s
  </hddList>
</storage>"""


def test_xml_becomes_objects_without_namespaces() -> None:
    assert decoded(_FIELD_DETECTION, {"xml": True}) == {
        "EventNotificationAlert": {
            "@version": "1.0",
            "channelID": "34",
            "dateTime": "2023-01-13T19:16:39+01:00",
            "eventType": "fielddetection",
            "eventState": "active",
            "Extensions": {
                "serialNumber": "DS-7608NXI-I0/0P/S0000000000CCRRJ00000000WCVU",
                "eventPush": "fielddetection&&DS-7608NXI,34,1.0",
            },
        }
    }


def test_xml_elements_that_are_an_array_even_where_there_is_one() -> None:
    disk = {
        "id": "1",
        "hddPath": "",
        "status": "ok",
        "capacity": "30436",
        "Encryption": {
            "passwordLen": {"@min": "6", "@max": "64"},
            "encryptionStatus": {"@opt": "unencrypted,encrypted,verfyFailed", "#text": "unencrypted"},
        },
    }
    alone = decoded(_DISKS % "", {"xml": {"lists": ["hdd"]}})["storage"]["hddList"]
    assert alone == {"@version": "1.0", "@size": "8", "hdd": [disk]}
    assert decoded(_DISKS % "", {"xml": True})["storage"]["hddList"]["hdd"] == disk
    both = decoded(_DISKS % "<hdd><id>2</id></hdd>", {"xml": True})["storage"]["hddList"]["hdd"]
    assert both == [disk, {"id": "2"}]


def test_xml_with_prefixes_as_onvif_writes_it() -> None:
    payload = (
        '<tt:Message xmlns:tt="http://www.onvif.org/ver10/schema" UtcTime="2024-05-03T16:13:37Z">'
        '<tt:Data><tt:SimpleItem Name="IsMotion" Value="true"/></tt:Data><a tt:b="1">x<c/>y</a></tt:Message>'
    )
    assert decoded(
        payload, {"xml": True}, {"pivot": {"name": "@Name", "value": "@Value"}, "at": "Message.Data.SimpleItem"}
    ) == {
        "Message": {
            "@UtcTime": "2024-05-03T16:13:37Z",
            "Data": {"SimpleItem": {"IsMotion": "true"}},
            "a": {"@b": "1", "c": "", "#text": "xy"},
        }
    }


def test_xml_in_the_encodings_devices_use() -> None:
    gbk = '<?xml version="1.0" encoding="GB2312"?><Notify><Name>门禁</Name></Notify>'.encode("gbk")
    assert decoded(gbk, {"xml": True}) == {"Notify": {"Name": "门禁"}}
    assert decoded("<a>é</a>".encode("utf-16"), {"xml": True}) == {"a": "é"}
    assert decoded(b'\xef\xbb\xbf<?xml version="1.0" encoding="UTF-8"?>\r\n<a>1</a>\r\n\x00', {"xml": True}) == {
        "a": "1"
    }
    assert "cp037" in refused(b'<?xml version="1.0" encoding="cp037"?><a/>', {"xml": True}).found


_BOMB = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;&x;&x;">]><a>&y;</a>'


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (_BOMB, "malformed"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "malformed"),
        ("<a>&unknown;</a>", "malformed"),
        ("<a><b></a>", "malformed"),
        ("<a>", "malformed"),
        ("<a/><b/>", "malformed"),
        ("", "malformed"),
        ("{}", "malformed"),
        (b"<a>\xff</a>", "malformed"),
        ("<a>" * 40 + "</a>" * 40, "malformed"),
        ("<a>" + "<b/>" * 9000 + "</a>", "too_many"),
        ("<a " + "".join(f'b{i}="" ' for i in range(5000)) + "/>", "too_many"),
        ("<a>" + "x" * 300_000 + "</a>", "too_large"),
    ],
)
def test_xml_that_is_refused(payload: bytes | str, code: str) -> None:
    assert refused(payload, {"xml": True}).code == code


# --- csv, fixed, pairs, regex, pivot ----------------------------------------------------------------------------------


def test_a_line_with_a_separator() -> None:
    line = "M1,230.1, 0.52 ,,119.6\r\n"
    assert decoded(line, {"csv": {}}) == ["M1", "230.1", "0.52", "", "119.6"]
    named = {"csv": {"columns": ["id", "voltage", "current", None, "power"]}}
    assert decoded(line, named) == {"id": "M1", "voltage": "230.1", "current": "0.52", "power": "119.6"}
    assert decoded("M1,230.1", named) == {"id": "M1", "voltage": "230.1"}
    assert decoded("M1,1,2,3,4,5,6", named)["power"] == "4"
    assert decoded("a || b", {"csv": {"separator": "||"}}) == ["a", "b"]
    assert refused("\r\n", named).code == "malformed"


def test_rows_and_a_header() -> None:
    table = "door;state\n1;open\n\n2;closed\n"
    assert decoded(table, {"csv": {"separator": ";", "header": True, "rows": True}}) == [
        {"door": "1", "state": "open"},
        {"door": "2", "state": "closed"},
    ]
    assert decoded("1;open\r\n2;closed", {"csv": {"separator": ";", "rows": True, "columns": ["door", "state"]}})[
        1
    ] == {
        "door": "2",
        "state": "closed",
    }
    assert decoded("t,rh\n21.5,40", {"csv": {"header": True}}) == {"t": "21.5", "rh": "40"}
    assert refused("t,rh", {"csv": {"header": True}}).code == "malformed"
    assert decoded("t,rh", {"csv": {"header": True, "rows": True}}) == []


def test_separators_inside_quotes() -> None:
    quoted = {"csv": {"quote": '"'}}
    assert decoded('1, "Gate, north", "says ""open"""', quoted) == ["1", "Gate, north", 'says "open"']
    assert refused('1,"Gate', quoted).code == "malformed"


def test_csv_that_makes_no_sense() -> None:
    assert "found both" in unbuildable({"csv": {"columns": ["a"], "header": True}})
    assert "one character each" in unbuildable({"csv": {"separator": "||", "quote": '"'}})
    assert "twice" in unbuildable({"csv": {"columns": ["a", "a"]}})


def test_fixed_columns_inside_json() -> None:
    # A water pressure alarm over NB-IoT: the value is a text of fixed columns under the name of its service.
    payload = '{"service":{"data":{"ReceivePiezoMeter":"NB900190186772603140297903000100400000NC"}}}'
    fixed = [
        {"name": "model", "start": 0, "end": 6},
        {"name": "imei", "start": 9, "end": 24},
        {"name": "kind", "start": 24, "end": 26},
        {"name": "low", "start": 26, "end": 30},
        {"name": "high", "start": 30, "end": 34},
        {"name": "present", "start": 34, "end": 38},
        {"name": "rest", "start": 38},
        {"name": "beyond", "start": 60, "end": 64},
    ]
    found = decoded(payload, {"json": True}, {"fixed": fixed, "at": "service.data.ReceivePiezoMeter"})
    assert found["service"]["data"]["ReceivePiezoMeter"] == {
        "model": "NB9001",
        "imei": "867726031402979",
        "kind": "03",
        "low": "0001",
        "high": "0040",
        "present": "0000",
        "rest": "NC",
    }
    assert decoded("NB9001901", {"fixed": fixed[:2]}) == {"model": "NB9001"}
    cut = refused("NB9001901867", {"fixed": fixed[:2]})
    assert (cut.code, cut.field) == ("truncated", "imei")


def test_fixed_columns_that_make_no_sense() -> None:
    assert "later end" in unbuildable({"fixed": [{"name": "a", "start": 4, "end": 4}]})
    assert "at least one" in unbuildable({"fixed": []})
    assert "twice" in unbuildable({"fixed": [{"name": "a", "start": 0}, {"name": "a", "start": 1}]})


# HJ 212-2017 in small: head, factors with a quality flag each, CRC.
_HJ212 = (
    "##0139QN=20190630144452444;ST=32;CN=2011;MN=888888800000020123456781;Flag=4;"
    "CP=&&DataTime=20190630141200;a21026-Rtd=1.0000,a21026-Flag=N;a01012-Rtd=10,a01012-Flag=D&&0b40\r\n"
)
_HJ212_PATTERN = r"##(?P<length>\d{4})(?P<head>.*?)CP=&&(?P<data>.*)&&(?P<crc>[0-9A-Fa-f]{4})\s*"


def test_pairs_inside_a_pattern() -> None:
    found = decoded(
        _HJ212,
        {"regex": {"pattern": _HJ212_PATTERN}},
        {"pairs": {"between": ";"}, "at": "head"},
        {"pairs": {"between": ";,", "nest": "-"}, "at": "data"},
    )
    assert found == {
        "length": "0139",
        "head": {
            "QN": "20190630144452444",
            "ST": "32",
            "CN": "2011",
            "MN": "888888800000020123456781",
            "Flag": "4",
        },
        "data": {
            "DataTime": "20190630141200",
            "a21026": {"Rtd": "1.0000", "Flag": "N"},
            "a01012": {"Rtd": "10", "Flag": "D"},
        },
        "crc": "0b40",
    }


def test_pairs_in_other_dresses() -> None:
    assert decoded("T:25.3 H:40\n", {"pairs": {"between": " \n", "equals": ":"}}) == {"T": "25.3", "H": "40"}
    assert decoded("a=1&b=&a=2&LOWBAT", {"pairs": {"between": "&"}}) == {"a": "2", "b": "", "LOWBAT": True}
    assert decoded("a=1,a-x=2,b-y=3,b=4", {"pairs": {"nest": "-"}}) == {
        "a": {"": "1", "x": "2"},
        "b": {"y": "3", "": "4"},
    }
    assert decoded("url=a=b", {"pairs": {}}) == {"url": "a=b"}
    assert refused("no pairs here", {"pairs": {}}).code == "malformed"
    assert "in common" in unbuildable({"pairs": {"between": "=", "equals": "="}})


def test_a_pattern_with_named_groups() -> None:
    # wmbusmeters: "$ALARM_TYPE $ALARM_MESSAGE"
    alarm = {"regex": {"pattern": r"(?P<type>\S+) (?P<message>.*)"}}
    assert decoded("DeviceInactivity [2024-05-03] the meter is silent", alarm) == {
        "type": "DeviceInactivity",
        "message": "[2024-05-03] the meter is silent",
    }
    assert decoded("T=21.5", {"regex": {"pattern": r"T=(?P<t>[0-9.]+)(?P<unit>C)?"}}) == {"t": "21.5"}
    assert decoded("## P=7bar ##", {"regex": {"pattern": r"P=(?P<p>\d+)", "search": True}}) == {"p": "7"}
    assert decoded("温度25度", {"regex": {"pattern": r"(?P<what>\pL+?)(?P<t>\d+)度"}}) == {"what": "温度", "t": "25"}
    error = refused("silence", alarm)
    assert (error.code, error.found) == ("malformed", "'silence'")


@pytest.mark.parametrize(
    ("pattern", "word"),
    [
        (r"(?P<a>x)(?=y)", "look-around"),
        (r"(?P<a>x)\1", "back references"),
        (r"(?P<a>x", "missing"),
        (r"\d+", "named groups"),
        (r"(?P<a>(.{900}){1})", "smaller"),
    ],
)
def test_patterns_that_are_refused(pattern: str, word: str) -> None:
    assert word in unbuildable({"regex": {"pattern": pattern}})


def test_names_and_values_become_an_object() -> None:
    # An IoT platform sends one value a message, its name in the header.
    single = '{"header":{"msgId":1,"identifier":"pressure"},"body":{"value":"20"}}'
    assert decoded(single, {"json": True}, {"pivot": {"name": "header.identifier", "value": "body.value"}}) == {
        "pressure": "20"
    }
    # JetLinks: function/invoke
    call = '{"function":"playVoice","inputs":[{"name":"text","value":"播放声音"},{"name":1,"value":null},{"value":3}]}'
    assert decoded(call, {"json": True}, {"pivot": {}, "at": "inputs"})["inputs"] == {"text": "播放声音", "1": None}
    twice = '[{"n":"t","v":1},{"n":"t","v":2}]'
    assert decoded(twice, {"json": True}, {"pivot": {"name": "n", "value": "v"}}) == {"t": 2}
    assert decoded(twice, {"json": True}, {"pivot": {"name": "n", "value": "v", "last": False}}) == {"t": 1}
    assert refused('"x"', {"json": True}, {"pivot": {}}).code == "wrong_type"
    assert refused('[{"name":true}]', {"json": True}, {"pivot": {}}).code == "wrong_type"


# --- check, struct, and steps inside ----------------------------------------------------------------------------------


def test_a_check_over_a_text() -> None:
    framed = {"kind": "xor8", "written": "hex", "at": -2}
    body = "T=21.5;"
    good = body + f"{_xor(body):02X}"
    assert decoded(good, {"text": True}, {"check": framed}) == good
    assert refused(body + "FE", {"check": framed}).code == "integrity"
    flagged = decoded(body + "FE", {"check": {**framed, "on_failure": "accept_flagged"}}, {"pairs": {"between": ";"}})
    assert isinstance(flagged, Suspect)
    assert flagged.value["T"] == "21.5"
    assert refused("{}", {"json": True}, {"check": framed}).code == "wrong_type"


def _xor(text: str) -> int:
    found = 0
    for byte in text.encode():
        found ^= byte
    return found


# ChirpStack v4: application/…/device/…/event/up, a frame in base64 inside
_UPLINK = '{"fPort":1,"object":null,"data":"ZAAK","rxInfo":[{"context":"E3OWOQ==","rssi":-36}]}'
_LEVEL = {"struct": {"endian": "big", "fields": [{"name": "battery", "type": "u8"}, {"name": "level", "type": "u16"}]}}


def test_steps_inside_what_was_decoded() -> None:
    found = decoded(_UPLINK, {"json": True}, {"base64": True, "at": "data"}, {**_LEVEL, "at": "data"})
    assert found == {
        "fPort": 1,
        "object": None,
        "data": {"battery": 100, "level": 10},
        "rxInfo": [{"context": "E3OWOQ==", "rssi": -36}],
    }
    inside = decoded(_UPLINK, {"json": True}, {"base64": True, "at": "rxInfo[0].context"})
    assert inside["rxInfo"] == [{"context": b"\x13\x73\x96\x39", "rssi": -36}]
    by_rssi = decoded(_UPLINK, {"json": True}, {"base64": True, "at": "rxInfo[?rssi==-36].context"})
    assert by_rssi == inside


def test_what_is_missing_stays_missing() -> None:
    for at in ("object", "nothing", "rxInfo[7].context", "rxInfo[?rssi==1].context", "object.deeper.still"):
        assert decoded(_UPLINK, {"json": True}, {"base64": True, "at": at}) == json.loads(_UPLINK)
    assert refused(_UPLINK, {"json": True}, {"base64": True, "at": "data.deeper"}).code == "wrong_type"
    assert refused(_UPLINK, {"json": True}, {"base64": True, "at": "rxInfo"}).code == "wrong_type"


def test_what_was_decoded_before_is_not_changed() -> None:
    from gateway.decode.paths import parse_path, replacer

    before = {"a": {"b": [1, {"c": "x"}]}, "d": {"e": 1}}
    copy = json.loads(json.dumps(before))
    after = replacer(parse_path("a.b[1].c"))(before, lambda found: found + "y")
    assert before == copy
    assert after == {"a": {"b": [1, {"c": "xy"}]}, "d": {"e": 1}}
    assert after["d"] is before["d"]


def test_a_flag_from_inside_flags_the_whole() -> None:
    check = {"check": {"kind": "sum8", "on_failure": "accept_flagged"}, "at": "data"}
    found = decoded('{"data":"ZAAK"}', {"json": True}, {"base64": True, "at": "data"}, check, {**_LEVEL, "at": "data"})
    assert isinstance(found, Suspect)
    assert found.value == {"data": {"battery": 100, "level": 10}}


def test_chains_that_make_no_sense() -> None:
    assert "found none" in unbuildable({"json": False})
    assert "json, hex" in unbuildable({"json": True, "hex": True})
    assert "found 0" in unbuildable()
    assert "1 to 16" in unbuildable(*[{"text": True}] * 17)
    assert "path" in unbuildable({"text": True, "at": "a["})


def test_which_chains_remember() -> None:
    remembering = (Codec.model_validate({"sparkplug_b": True}),)
    assert needs_context(remembering)
    assert not needs_context((Codec.model_validate({"json": True}),))
    with pytest.raises(ValueError, match="without modbus and sparkplug_b"):
        chain(remembering)


# --- nothing takes long, nothing takes much ---------------------------------------------------------------------------

_MIB = 1 << 20
_SLOW_PATTERN = {"regex": {"pattern": r"(?P<a>(a|b)*a(a|b){500})", "search": True}}
_HOSTILE: dict[str, tuple[bytes, tuple[dict[str, Any], ...]]] = {
    "empty objects": (b"[" + b"{}," * (_MIB // 3 - 2) + b"{}]", ({"json": True},)),
    "objects in objects": (b"[" + b",".join([b'{"":' * 100 + b"1" + b"}" * 100] * 390) + b"]", ({"json": True},)),
    "arrays": (b"[" + b"[[[1]]]," * 21_000 + b"[]]", ({"json": True},)),
    "numbers that are hard to read": (b"[" + b"1e300," * 90_000 + b"1]", ({"json": True},)),
    "a few of them": (b"[" + b"1e300," * 600 + b"1]", ({"json": True},)),
    "huge numbers": (b"[" + (b"9" * 4000 + b",") * 260 + b"1]", ({"json": True},)),
    "wide texts": (b"[" + '"😀",'.encode() * 90_000 + b"1]", ({"json": True},)),
    "one wide text": ('"😀'.encode() + b"a" * (_MIB - 8) + b'"', ({"json": True},)),
    "json in json": (b'"[' + b"1.5," * 90_000 + b'1]"', ({"json": True}, {"json_string": True})),
    "numbers that are none": (b"[" + b"nan," * 16_000 + b"1]", ({"json": True},)),
    "too many of them": (b"[" + b"nan," * 90_000 + b"1]", ({"json": True},)),
    "open texts": (b"[nan," + b'"\\' * 30_000, ({"json": True},)),
    "hex": (b"0xab," * (_MIB // 5), ({"hex": True},)),
    "base64": (b"Y W " * (_MIB // 4), ({"base64": True},)),
    "xml elements": (b"<a>" + b"<b/>" * 8000 + b"</a>", ({"xml": True},)),
    "xml names": (b'<a xmlns:p="' + b"u" * 200_000 + b'">' + b'<p:b p:c="1"/>' * 2000 + b"</a>", ({"xml": True},)),
    "xml lines": (b"<a>" + b"x\n" * 130_000 + b"</a>", ({"xml": True},)),
    "cells": (b"ab," * 50_000, ({"csv": {}},)),
    "rows": (b"a\n" * (_MIB // 2), ({"csv": {"rows": True}},)),
    "quotes": (b'"' * _MIB, ({"csv": {"quote": '"'}},)),
    "pairs": (b"a=1," * (_MIB // 4), ({"pairs": {}},)),
    "nested pairs": (b"".join(b"%d-a-b-c-d-e-f-g-h=1," % i for i in range(4000)), ({"pairs": {"nest": "-"}},)),
    "empty pairs": (b"a=1" + b",b" * (_MIB // 2 - 4), ({"pairs": {}},)),
    "a slow pattern": (b"ab" * 1300, (_SLOW_PATTERN,)),
    "a long text for a pattern": (b"ab" * (_MIB // 2), (_SLOW_PATTERN,)),
    "a bare number": (b"9" * _MIB, ({"json_scalar": True},)),
}


@pytest.mark.parametrize("kind", _HOSTILE)
def test_no_payload_takes_long_or_much(kind: str) -> None:
    payload, codecs = _HOSTILE[kind]
    run = chain(tuple(Codec.model_validate(codec) for codec in codecs))

    def attempt() -> Any:
        try:
            return run(payload)
        except DecodeError as error:
            return error

    assert least_seconds(attempt) < QUICK_SECONDS
    assert most_bytes(attempt) < MOST_BYTES


# --- steps that remember ---------------------------------------------------------------------------------------------

_LINE: dict[str, Any] = {
    "modbus": {
        "polls": [
            {
                "id": "light",
                "slave": 2,
                "start": 2,
                "count": 2,
                "registers": [{"name": "illuminance", "at": 2, "type": "u32"}],
            }
        ]
    },
    "at": "data",
}
_DTU = {"json": True}, {"hex": True, "at": "data"}, _LINE


def test_a_line_in_hex_inside_json() -> None:
    # A lamp post's light sensor: the request, and a reply of 300 lx
    run = context_chain(tuple(Codec.model_validate(codec) for codec in _DTU), frozenset({"address"}))
    context = Context({"address": "dtu1"}, Memory(), 1_763_741_000_000)
    assert run(b'{"imei":"86","data":"02030002000265f8"}', context) is NOTHING
    body = bytes.fromhex("0203040000012c")
    reply = body + _crc16_modbus(body).to_bytes(2, "little")
    found = run(b'{"imei":"86","data":"%s"}' % reply.hex().encode(), context)
    assert found["imei"] == "86"
    assert found["data"]["illuminance"] == 300
    assert found["data"]["poll"] == "light"
    with pytest.raises(DecodeError):
        run(b'{"imei":"86","data":"0203040000012cffff"}', context)
    assert run(b'{"imei":"86"}', context) == {"imei": "86"}


def _crc16_modbus(body: bytes) -> int:
    crc = 0xFFFF
    for byte in body:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc
