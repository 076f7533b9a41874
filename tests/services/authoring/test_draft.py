"""What a draft makes of the conventions that real devices speak."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ruamel.yaml import YAML

from device_profiles.library import load_text
from gateway.decode.samples import check_samples
from services.authoring.capture import Message
from services.authoring.draft import Draft, NothingToDraft, Wanted, draft
from services.rules.profile_tests import failures

START = 1_772_352_000_000


def _draft(*said: tuple[str, Any] | tuple[str, Any, bool], every: int = 10_000) -> Draft:
    messages = []
    for i, (topic, payload, *retained) in enumerate(said):
        raw = payload if isinstance(payload, bytes) else payload if isinstance(payload, str) else json.dumps(payload)
        body = raw if isinstance(raw, bytes) else raw.encode()
        messages.append(Message(START + i * every, topic, body, bool(retained and retained[0])))
    drafted = draft(messages, Wanted())
    assert check_samples(drafted.profile) == []
    return drafted


def _topics(drafted: Draft) -> set[str]:
    return {binding.topic for binding in drafted.profile.bindings}


def _values(drafted: Draft) -> dict[str, Any]:
    return {
        f"{one.get('child', '')}/{name}".lstrip("/"): value
        for sample in drafted.profile.samples
        for one in sample.expect
        for name, value in one.get("values", {}).items()
    }


def test_two_devices_of_one_kind_share_one_profile() -> None:
    drafted = _draft(
        ("yard/pumps/bp-1/telemetry", {"ts": START, "inlet_mpa": 0.24, "temp_c": 18.5, "flood": False}),
        ("yard/pumps/bp-2/telemetry", {"ts": START, "inlet_mpa": 0.25, "temp_c": 18.0, "flood": False}),
        ("yard/pumps/bp-1/status", "online", True),
    )
    assert _topics(drafted) == {"yard/pumps/{address}/telemetry", "yard/pumps/{address}/status"}
    metrics = drafted.profile.metrics
    assert (metrics["inlet_mpa"].uom, metrics["temp_c"].uom) == ("MPa", "°C")
    assert metrics["inlet_mpa"].name.zh == "进压力" or "压力" in metrics["inlet_mpa"].name.zh
    assert _values(drafted)["flood"] == "dry"
    status = next(one for one in drafted.profile.bindings if one.presence)
    assert status.presence == {"online": "online", "offline": "offline"}
    assert "offline was not seen" in drafted.text


def test_tasmota_s_prefixes_are_one_device() -> None:
    drafted = _draft(
        ("tele/tasmota_8F21AB/LWT", "Online", True),
        (
            "tele/tasmota_8F21AB/SENSOR",
            {"Time": "2026-03-01T16:00:00", "ENERGY": {"Total": 9098.2, "Power": 170, "Voltage": 231}},
        ),
        ("stat/tasmota_8F21AB/POWER", "ON"),
        ("cmnd/tasmota_8F21AB/POWER", "OFF"),
    )
    assert _topics(drafted) == {"tele/{address}/LWT", "tele/{address}/SENSOR", "stat/{address}/POWER"}
    assert _values(drafted)["power"] in (170, "on")
    assert drafted.profile.metrics["energy_total"].kind == "counter"
    assert any("cmnd/" in one for one in drafted.sheet.left_out)
    lwt = next(one for one in drafted.profile.bindings if one.presence)
    assert lwt.presence == {"Online": "online", "Offline": "offline"}


def test_numbered_keys_and_levels_are_children() -> None:
    drafted = _draft(
        ("shellypro4pm-a8032ab12345/status/switch:0", {"id": 0, "output": True, "apower": 25.7, "voltage": 239.7}),
        ("shellypro4pm-a8032ab12345/status/switch:1", {"id": 1, "output": False, "apower": 0.0, "voltage": 239.7}),
        ("shellypro4pm-a8032ab12345/online", "true", True),
    )
    assert "shellypro4pm-{address}/status/switch:{switch}" in _topics(drafted)
    assert _values(drafted) == {"switch:0/output": "on", "switch:0/apower": 25.7, "switch:0/voltage": 239.7}


def test_arrays_objects_and_bare_rows_are_children() -> None:
    drafted = _draft(
        (
            "st/cs-1/ports",
            {"result": [{"port": "10", "power": 220, "port_switch": 1}, {"port": "11", "power": 0, "port_switch": 0}]},
        ),
        ("st/cs-1/doors", {"door-buttons": {"1": False, "2": True}}),
        ("st/cs-1/nrg/voltages", [230.2, 231.0, 229.9]),
    )
    values = _values(drafted)
    assert (values["port:10/power"], values["port:11/port_switch"]) == (220, "off")
    assert values["door:2/door_buttons"] == "open"
    assert values["phase:3/voltage"] == 229.9


def test_names_with_values_are_turned_into_fields() -> None:
    drafted = _draft(("gw/dev-001/up", {"data": [{"name": "temp", "value": 21.5}, {"name": "humi", "value": "44"}]}))
    assert _values(drafted) == {"temp": 21.5, "humi": 44}


def test_a_batch_is_many_messages() -> None:
    points = [
        {"ts": START, "device_id": "m-1", "voltage": 230},
        {"ts": START + 1000, "device_id": "m-2", "voltage": 231},
    ]
    drafted = _draft(("gw/up", {"batch": points}))
    assert drafted.profile.bindings[0].split
    (sample,) = drafted.profile.samples
    assert [one["values"]["voltage"] for one in sample.expect] == [230, 231]


def test_units_from_pinyin_chinese_and_size() -> None:
    drafted = _draft(
        *[
            ("boxin/BX-0417/s", {"yali": 0.42, "wendu": 231 + i, "水位": 71, "battery": 3.6, "humi": 44})
            for i in range(3)
        ]
    )
    metrics = drafted.profile.metrics
    assert (metrics["yali"].uom, metrics["battery"].uom) == ("MPa", "V")
    assert next(one for one in metrics.values() if one.name.zh == "水位").uom == "%"
    assert _values(drafted)["wendu"] == pytest.approx(23.1)
    assert "tenths" in drafted.text


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("23.5 °C", {"temperature": 23.5}),
        ("23.5", {"temperature": 23.5}),
        ("NaN", {}),
        ("<t><temperature>23.5</temperature><humidity>44</humidity></t>", {"temperature": 23.5, "humidity": 44}),
        ("temperature=23.5;humidity=44", {"temperature": 23.5, "humidity": 44}),
        ("23.5,44", {"c1": 23.5, "c2": 44}),
    ],
)
def test_payloads_that_are_no_json(payload: str, expected: dict[str, float]) -> None:
    assert _values(_draft(("home/dev-001/temperature", payload))) == expected


def test_a_binary_frame_is_recognised_and_honestly_not_understood() -> None:
    frames = [
        "444e5910003b37ab0401002198080200000905ee02",
        "444e591d003b37ab04b900017e008c080200030000e40000003b0229070220006d05",
    ]
    drafted = _draft(*[("piles/04AB373B/up", bytes.fromhex(one)) for one in frames])
    (binding,) = drafted.profile.bindings
    assert binding.keepalive
    (struct,) = [codec.struct for codec in binding.decode if codec.struct]
    assert struct.integrity[0].kind == "sum16"
    assert any("binary frames of 21, 34 bytes" in one for one in drafted.sheet.left_out)


_LEVEL = [(f"t/A{1 + i % 2}/data", {"sn": f"A{1 + i % 2}", "level": 1.62 + i / 100}) for i in range(4)]


@pytest.mark.parametrize("misfit", ["PING 3.6", '{"sn":"A1","lev', b"\x01\x02\xff"])
def test_one_misfit_on_a_topic_of_json_is_said_and_not_drafted(misfit: str | bytes) -> None:
    for said in ([*_LEVEL[:2], ("t/A1/data", misfit)], [("t/A1/data", misfit), *_LEVEL]):
        drafted = _draft(*said)
        (binding,) = drafted.profile.bindings
        assert set(binding.fields) == {"level"} and not binding.keepalive
        assert drafted.understood == drafted.heard - 1 and drafted.silent == 0
        (left,) = drafted.sheet.left_out
        assert left.startswith("t/{address}/data: not understood: one message")


def test_other_kinds_on_a_topic_of_json_take_what_is_theirs() -> None:
    texts = [(f"t/A{1 + i % 2}/data", f"PING {3.5 + i / 10}") for i in range(4)]
    frames = [("t/A1/data", bytes([1, 2, 0xFF, i])) for i in range(4)]
    drafted = _draft(*texts, *frames, *_LEVEL)
    assert [next(iter(one.decode)).json_ for one in drafted.profile.bindings] == [True, None, None]
    assert (drafted.understood, drafted.heard) == (12, 12)
    assert drafted.silent == 8, "neither the texts nor the frames give a value"
    assert _values(drafted)["level"] == pytest.approx(1.62)
    names = {sample.expect[0]["binding"] for sample in drafted.profile.samples}
    assert len(names) == 3, "each binding takes its own messages"


def test_words_of_presence_beside_json_take_nothing_else() -> None:
    drafted = _draft(("t/A1/status", "online"), ("t/A1/status", {"level": 1}), ("t/A1/status", {"level": 2}))
    assert drafted.understood == 3 and _values(drafted) == {"level": 1}


def test_one_text_unlike_the_others_hides_no_columns() -> None:
    drafted = _draft(*[("t/A1/row", f"{20 + i},{40 + i}") for i in range(11)], ("t/A1/row", "BOOT v2"))
    assert set(_values(drafted)) == {"c1", "c2"}
    assert (drafted.understood, drafted.heard) == (11, 12)


def test_one_bad_frame_hides_no_crc() -> None:
    frames = [bytes([0x68, 1, i, 7 * i, 0x90]) for i in range(12)]
    frames = [one + sum(one).to_bytes(2, "little") for one in frames]
    frames[5] = frames[5][:-1] + b"\x77"
    drafted = _draft(*[("piles/04AB373B/up", one) for one in frames])
    (struct,) = [codec.struct for codec in drafted.profile.bindings[0].decode if codec.struct]
    assert struct.integrity[0].kind == "sum16"
    assert any("a check holds on 11 of 12: sum16" in one for one in drafted.sheet.left_out)


def test_modbus_polls_are_read_off_the_requests() -> None:
    drafted = _draft(
        ("dtu/d-001/up", bytes.fromhex("010300020001 25ca")), ("dtu/d-001/up", bytes.fromhex("01030200023985"))
    )
    (modbus,) = [codec.modbus for codec in drafted.profile.bindings[0].decode if codec.modbus]
    assert [(poll.slave, poll.function, poll.start, poll.count) for poll in modbus.polls] == [(1, 3, 2, 1)]
    assert _values(drafted) == {"register_2": 2}


def test_sparkplug_births_name_what_data_carry() -> None:
    birth = (
        "0880d095ffbc3112120a0562645365711880d095ffbc312008580012250a1350756d702f4f75746c6574507265737375726510011880d0"
        "95ffbc312009653d0ad73e121b0a0c50756d702f52756e6e696e6710021880d095ffbc31200b70011800"
    )  # Eclipse Tahu's layout: bdSeq, Pump/OutletPressure 0.42, Pump/Running true
    drafted = _draft(("spBv1.0/yard/NBIRTH/pumphouse1", bytes.fromhex(birth)))
    assert any(binding.says == "offline" for binding in drafted.profile.bindings)
    values = _values(drafted)
    assert values["pump_outlet_pressure"] == pytest.approx(0.42)
    assert values["pump_running"] == "running"


def test_events_are_events_and_people_stay_out() -> None:
    drafted = _draft(
        ("doors/d-001/event", {"ts": START, "event": "refused", "reader": 2, "cardNo": "8165537", "name": "张三"}),
        ("doors/d-001/event", {"ts": START, "event": "opened", "reader": 1}),
    )
    assert set(drafted.profile.events) == {"refused", "opened"}
    (binding,) = drafted.profile.bindings
    assert binding.mode == "event"
    assert set(binding.events[0].fields) == {"reader"}


def test_words_that_were_not_seen_are_other_words() -> None:
    said = [("ch/c-001/d", {"status": word}) for word in ("IDLE", "CHARGING", "IDLE")]
    drafted = _draft(*said)
    field = drafted.profile.bindings[0].fields["status"]
    assert field.map == {"IDLE": "idle", "CHARGING": "charging"}
    assert field.default == "other"


def _rule(drafted: Draft) -> dict[str, Any]:
    """The example of a rule in the draft, taken as the person would: without the signs of the comment."""
    lines = drafted.text.splitlines()
    body = lines[lines.index("# rules:") : lines.index("", lines.index("# rules:"))]
    return dict(YAML(typ="safe", pure=True).load("\n".join(line[2:] for line in body))["rules"][0])


@pytest.mark.parametrize(
    ("values", "name"), [((0.42, 0.44), "yali"), ((1.62, 1.63), "level"), ((99, 100), "humidity"), ((-90, -87), "rssi"),
                         ((1.5e308, 1e308), "power")],
)  # fmt: skip
def test_the_example_of_a_rule_fits_what_was_seen(values: tuple[float, float], name: str) -> None:
    drafted = _draft(*[("p/dev-001/d", {name: value}) for value in values])
    rule = _rule(drafted)
    raised, quiet = (float(one["given"][0][name]) for one in rule["tests"])
    threshold = float(rule["when"].rpartition(" ")[2])
    assert quiet < threshold < raised
    limits = drafted.profile.metrics[name].range
    assert limits is None or raised <= limits[1]
    if name in ("yali", "level"):
        assert max(values) < threshold < 2 * max(values)
    loaded = load_text(drafted.text + "rules: " + json.dumps([rule], ensure_ascii=False))
    assert list(failures(loaded)) == []


def test_a_small_level_is_no_percentage_and_whole_numbers_have_no_decimals() -> None:
    metrics = _draft(*[("p/dev-001/d", {"level": 1.6 + i / 10, "visitors": 7 + i}) for i in range(3)]).profile.metrics
    assert metrics["level"].uom == "m" and metrics["level"].decimals > 0
    assert metrics["visitors"].decimals == 0


def test_the_period_is_read_off_the_spacing() -> None:
    drafted = _draft(*[("p/dev-001/d", {"power": i}) for i in range(5)], every=58_000)
    assert drafted.profile.availability.period.total_seconds() == 60
    assert drafted.profile.metrics["power"].period is not None


# --- Home Assistant discovery ---------------------------------------------------------------------------------------

_CONFIG = "homeassistant/sensor/bed01a/t/config"


def test_discovery_gives_names_units_and_paths() -> None:
    config = {
        "~": "z/bed01a", "name": "卧室温度", "stat_t": "~/state", "unit_of_meas": "°C", "dev_cla": "temperature",
        "stat_cla": "measurement", "val_tpl": "{{ value_json.t | round(1) }}", "avty_t": "~/lwt", "pl_avail": "up",
        "pl_not_avail": "down", "dev": {"ids": ["bed01a"], "mf": "Acme", "mdl": "T1", "name": "Bed"},
    }  # fmt: skip
    leak = {"name": "Leak", "stat_t": "z/bed01a/leak", "dev_cla": "moisture", "pl_on": "1", "pl_off": "0"}
    drafted = _draft(
        (_CONFIG, config, True),
        ("homeassistant/binary_sensor/bed01a/leak/config", leak, True),
        ("z/bed01a/state", {"t": 21.53, "x": 1}),
        ("z/bed01a/leak", "1"),
        ("z/bed01a/lwt", "up", True),
    )
    metric = drafted.profile.metrics["temperature"]
    assert (metric.name.zh, metric.uom) == ("卧室温度", "°C")
    assert drafted.profile.vendor == "Acme T1"
    assert _values(drafted)["leak"] == "wet"
    assert any(binding.presence == {"up": "online", "down": "offline"} for binding in drafted.profile.bindings)
    assert not any("homeassistant" in topic for topic in _topics(drafted))


@pytest.mark.parametrize(
    ("template", "path", "scale"),
    [
        ("{{ value_json.a.b }}", "a.b", 1),
        ("{{value_json['ENERGY']['Total']}}", "ENERGY.Total", 1),
        ("{{ value_json.a | float / 10 }}", "a", 0.1),
        ('{{ value_json["switch:0"].apower | round(1) }}', '"switch:0".apower', 1),
    ],
)
def test_simple_templates_are_understood(template: str, path: str, scale: float) -> None:
    config = {"name": "X", "state_topic": "z/dev-001/s", "unit_of_measurement": "W", "value_template": template}
    drafted = _draft((_CONFIG, config, True))
    (binding,) = drafted.profile.bindings
    fields = {**binding.fields, **{name: one for each in binding.each for name, one in each.fields.items()}}
    (field,) = fields.values()
    path = path.removeprefix('"switch:0".')  # a child's fields begin at the child
    assert (field.path, field.scale) == (path, pytest.approx(scale))


def test_a_template_that_is_a_program_is_listed_and_not_guessed() -> None:
    template = "{% if value_json.a > 3 %}on{% else %}off{% endif %}"
    config = {"name": "X", "state_topic": "z/dev-001/s", "value_template": template}
    drafted = _draft((_CONFIG, config, True), ("z/dev-001/s", {"a": 4}))
    assert any(template in one for one in drafted.sheet.left_out)


def test_other_kinds_of_devices_are_named_and_left_alone() -> None:
    drafted = _draft(
        ("pumps/bp-1/d", {"power": 1}), ("pumps/bp-1/d", {"power": 2}), ("zigbee2mqtt/kitchen", {"temperature": 21})
    )
    assert _topics(drafted) == {"pumps/{address}/d"}
    assert list(drafted.others.values()) == [1]


def test_nothing_to_draft_says_why() -> None:
    with pytest.raises(NothingToDraft, match="only empty messages"):
        _draft(("evcc/loadpoints/1/soc", ""))
