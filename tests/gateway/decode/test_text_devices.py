"""Messages of real devices that speak in texts, each taken in by a binding alone."""

from __future__ import annotations

from typing import Any

from gateway.decode import DecodeError
from gateway.reading import Quality, Reading
from tests.gateway.decode.mini import NOW, decoder, named


def _taken(binding: dict[str, Any], payload: str | bytes, topic: str = "t/d1", now: int = NOW, **more: Any) -> Reading:
    raw = payload if isinstance(payload, bytes) else payload.encode()
    (reading,) = decoder({"id": "b", "topic": "t/{address}", **binding}, **more).decode(topic, raw, now)
    return reading


def _refused(binding: dict[str, Any], payload: str) -> DecodeError:
    try:
        found = decoder({"id": "b", "topic": "t/{address}", **binding}).decode("t/d1", payload.encode(), NOW)
    except DecodeError as error:
        return error
    raise AssertionError(found)


# --- cameras: XML --------------------------------------------------------------------------------------------------

_ALERT = """<EventNotificationAlert version="2.0" xmlns="http://www.hikvision.com/ver20/XMLSchema">
<ipAddress>192.168.0.16</ipAddress>
<channelID>1</channelID>
<dateTime>%s</dateTime>
<activePostCount>0</activePostCount>
<eventType>%s</eventType>
<eventState>%s</eventState>
<channelName>Front</channelName>
</EventNotificationAlert>"""
_CAMERA: dict[str, Any] = {
    "decode": [{"xml": True}],
    "time": {"path": "EventNotificationAlert.dateTime", "format": "iso", "late_after": "3650d"},
    "events": [
        {
            "event": "alarm",
            "when": {
                "path": "EventNotificationAlert.eventType",
                "regex": "fielddetection|linedetection|IO|videoloss",
                "all_of": [{"path": "EventNotificationAlert.eventState", "equals": "active"}],
            },
            "fields": {"kind": "EventNotificationAlert.eventType"},
        }
    ],
}


def test_a_cameras_alarm() -> None:
    reading = _taken(_CAMERA, _ALERT % ("2024-11-19T16:53:28+01:00", "IO", "active"))
    assert [(event.id, event.data) for event in reading.events] == [("alarm", {"kind": "IO"})]
    assert reading.measured_at == 1_732_031_608_000


def test_a_cameras_heartbeat_is_no_alarm() -> None:
    # "videoloss inactive" comes every few hundred milliseconds, and says that all is well.
    reading = _taken(_CAMERA, _ALERT % ("2017-12-11T22:21:47+00:00", "videoloss", "inactive"))
    assert reading.events == ()


# --- fire: fixed columns inside JSON, decimals with underscores ----------------------------------------------------


def test_a_water_pressure_gauge_over_nb_iot() -> None:
    place = "service.data.ReceivePiezoMeter"
    binding = {
        "topic": "push/nb",
        "decode": [
            {"json": True},
            {
                "fixed": [
                    {"name": "model", "start": 0, "end": 6},
                    {"name": "imei", "start": 9, "end": 24},
                    {"name": "kind", "start": 24, "end": 26},
                    {"name": "present", "start": 34, "end": 38},
                ],
                "at": place,
            },
        ],
        "when": [{"path": "service.serviceId", "equals": "ReceivePiezoMeter"}],
        "address": f"{{{place}.imei}}",
        "time": {"path": "service.eventTime", "format": "iso", "late_after": "3650d"},
        "fields": {"power": {"path": f"{place}.present", "scale": 0.01}},
        "events": [{"event": "alarm", "when": {"path": f"{place}.kind", "one_of": ["02", "03", "04"]}}],
    }
    payload = (
        '{"notifyType":"deviceDataChanged","deviceId":"e9d7261b","requestId":null,"service":{"serviceId":'
        '"ReceivePiezoMeter","data":{"ReceivePiezoMeter":"NB900190186772603140297903000100400000NC"},'
        '"eventTime":"20200515T023353Z"}}'
    )
    reading = _taken(binding, payload, topic="push/nb")
    assert reading.device == "mini:867726031402979"
    assert reading.values == {"power": 0.0}
    assert [event.id for event in reading.events] == ["alarm"]
    assert reading.measured_at == 1_589_510_033_000


def test_an_electrical_fire_monitor() -> None:
    residual = {f"leak_{n}": {"path": f"current{n}", "replace": ["_", "."]} for n in (1, 2)}
    binding = {
        "time": {"path": "eventdate", "format": "unix_s", "late_after": "3650d"},
        "fields": residual,
        "events": [{"event": "alarm", "when": {"path": "event", "regex": "1\\d{3}"}, "fields": {"code": "event"}}],
    }
    metrics = {name: {"name": named(name)} for name in residual}
    payload = '{"type":"0301","current1":"0","current2":"0_02","eventdate":1589944732,"event":"1361"}'
    reading = _taken(binding, payload, metrics=metrics, states={}, children={})
    assert reading.values == {"leak_1": 0.0, "leak_2": 0.02}
    assert [event.data for event in reading.events] == [{"code": "1361"}]
    restored = _taken(binding, payload.replace("1361", "3361"), metrics=metrics, states={}, children={})
    assert restored.events == ()


# --- environment: pairs with a length and a CRC --------------------------------------------------------------------

_HJ212: dict[str, Any] = {
    "decode": [
        {"check": {"kind": "length", "written": "decimal", "at": 2, "size": 2, "counts_from": 6, "counts_to": 4}},
        {"check": {"kind": "crc16_hj212", "written": "hex", "start": 6, "endian": "big"}},
        {"regex": {"pattern": r"##\d{4}(?P<head>.*?)CP=&&(?P<data>.*)&&[0-9A-Fa-f]{4}\s*"}},
        {"pairs": {"between": ";"}, "at": "head"},
        {"pairs": {"between": ";,", "nest": "-"}, "at": "data"},
    ],
    "time": {"path": "head.QN", "format": "%Y%m%d%H%M%S%f", "late_after": "3650d"},
    "fields": {
        "power": "data.RtdInterval",
        "temp": {"path": "data.a01001.Rtd", "suspect_when": {"path": "data.a01001.Flag", "one_of": ["C", "T"]}},
    },
}


def test_an_environmental_station() -> None:
    # HJ 212-2017: setting the interval of real-time data
    frame = (
        "##0101QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;"
        "CP=&&RtdInterval=30&&1C80\r\n"
    )
    reading = _taken(_HJ212, frame)
    assert reading.values == {"power": 30.0}
    assert reading.measured_at == 1_470_041_937_223
    bent = _refused(_HJ212, frame.replace("=30", "=31"))
    assert bent.code == "integrity"
    short = _refused(_HJ212, frame.replace("=30", "=300"))
    assert short.code == "integrity"


# --- networks: frames inside JSON, services by name, zones by abbreviation -----------------------------------------


def test_a_frame_in_base64_inside_json() -> None:
    # ChirpStack v4 with a Milesight EM300 inside: battery 92 %, 30.8 °C
    binding = {
        "topic": "application/{app}/device/{address}/event/up",
        "decode": [
            {"json": True},
            {"base64": True, "at": "data"},
            {
                "tlv": {
                    "entries": {
                        "0175": {"fields": [{"name": "battery", "type": "u8"}]},
                        "0367": {"fields": [{"name": "temperature", "type": "i16"}]},
                    }
                },
                "at": "data",
            },
        ],
        "time": {"path": "time", "format": "iso", "late_after": "3650d"},
        "fields": {"level": "data.battery", "temp": {"path": "data.temperature", "scale": 0.1}},
    }
    up = '{"time":"2022-07-18T09:34:15.775023242+00:00","fPort":85,"data":"%s"}'
    topic = "application/1/device/0101010101010101/event/up"
    reading = _taken(binding, up % "AXVcA2c0AQ==", topic=topic)
    assert reading.values == {"level": 92.0, "temp": 30.8}
    assert reading.measured_at == 1_658_136_855_775
    # An unknown key behind: what was read so far counts, under suspicion.
    unknown = _taken(binding, up % "AXVcA2c0Af//", topic=topic)
    assert (unknown.values, unknown.quality) == ({"level": 92.0, "temp": 30.8}, Quality.SUSPECT)


def test_services_by_their_names() -> None:
    # Huawei IoTDA
    binding = {
        "topic": "$oc/devices/{address}/sys/properties/report",
        "time": {"path": "services[0].event_time", "format": "iso", "late_after": "9000d"},
        "fields": {
            "temp": "services[?service_id=='Temperature'].properties.value",
            "level": "services[?service_id=='Battery'].properties.level",
            "power": "services[?service_id=='Power'].properties.value",
        },
    }
    payload = (
        '{"services":[{"service_id":"Temperature","properties":{"value":57,"value2":60},"event_time":"20151212T121212Z"}'
        ',{"service_id":"Battery","properties":{"level":80,"level2":90},"event_time":"20151212T121212Z"}]}'
    )
    reading = _taken(binding, payload, topic="$oc/devices/d_1/sys/properties/report")
    assert reading.values == {"temp": 57.0, "level": 80.0}
    assert reading.measured_at == 1_449_922_332_000


def test_an_access_controllers_zone_abbreviation() -> None:
    # uhppoted: get-event
    event = "message.reply.response.event"
    binding = {
        "topic": "uhppoted/reply/{client}",
        "address": "{message.reply.response.device-id}",
        "when": [{"path": "message.reply.method", "equals": "get-event"}],
        "time": {
            "path": f"{event}.timestamp",
            "format": "%Y-%m-%d %H:%M:%S %Z",
            "zones": {"PDT": "-07:00", "PST": "-08:00"},
            "late_after": "9000d",
        },
        "events": [{"event": "passed", "fields": {"card": f"{event}.card-number", "door": f"{event}.door-id"}}],
    }
    payload = (
        '{"message":{"reply":{"method":"get-event","response":{"device-id":405419896,"event":{"access-granted":true,'
        '"card-number":8165538,"door-id":4,"timestamp":"2019-08-09 16:18:55 PDT"}}}}}'
    )
    reading = _taken(binding, payload, topic="uhppoted/reply/97531")
    assert reading.device == "mini:405419896"
    assert [happened.data for happened in reading.events] == [{"card": 8165538, "door": 4}]
    assert reading.measured_at == 1_565_392_735_000


def test_a_meters_alarm_in_words() -> None:
    # wmbusmeters_alarm: "$ALARM_TYPE $ALARM_MESSAGE"
    binding = {
        "decode": [{"regex": {"pattern": r"(?P<kind>[A-Za-z]+) (?P<what>.*)"}}],
        "events": [{"event": "alarm", "fields": {"kind": "kind", "what": "what"}}],
    }
    reading = _taken(binding, "DeviceInactivity no telegram for 3600 s")
    assert reading.events[0].data == {"kind": "DeviceInactivity", "what": "no telegram for 3600 s"}
    assert _refused(binding, "?").code == "malformed"
