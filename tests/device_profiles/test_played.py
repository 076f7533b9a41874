"""The shipped profiles played by their own simulator, decoded by their own bindings and judged by their own rules.

A healthy device is quiet; each fault raises what it should; and all of it is over once the fault is.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from device_profiles.library import load
from gateway.decode import Decoder
from gateway.reading import DeviceEntry, Millis, Registry
from gateway.simulator import ScriptedFault, Simulation
from services.rules.automaton import Outcome
from services.rules.compiled import compile_profile
from services.rules.engine import GatewayView, take, tick
from services.rules.state import DeviceState

LIBRARY = load()
START: Millis = 1_763_740_800_000
PARAMS = {"camera_frigate": {"cameras": "lobby_1, garage_in"}, "ebike_charger_ap3000": {"ports": 3}}
ADDRESSES = {"ebike_charger_ap3000": "04AB373B", "zigbee2mqtt_bridge": "bridge", "sensor_data": "room"}
SECOND = 1000

EXPECTED = {
    ("ebike_charger_json", "hot_port"): {"port_hot", "port_warm"},
    ("ebike_charger_json", "relay_welded"): {"relay_welded"},
    ("ebike_charger_json", "over_power"): {"port_over_power"},
    ("ebike_charger_json", "smoke"): {"smoke"},
    ("ebike_charger_json", "leakage"): {"leakage", "leakage_warn"},
    ("ebike_charger_json", "silent"): {"offline", "stale"},
    ("ebike_charger_json", "fire"): {"fire"},
    ("ebike_charger_json", "water"): {"water"},
    ("ebike_charger_json", "mains_lost"): {"mains_lost"},
    ("ebike_charger_json", "overvoltage"): {"supply_cut", "supply_out_of_band"},
    ("ebike_charger_ap3000", "hot_port"): {"port_hot", "port_warm"},
    ("ebike_charger_ap3000", "relay_welded"): {"relay_welded"},
    ("ebike_charger_ap3000", "over_power"): {"port_over_power"},
    ("ebike_charger_ap3000", "smoke"): {"smoke"},
    ("ebike_charger_ap3000", "silent"): {"offline", "stale"},
    ("ebike_charger_ap3000", "water"): {"water"},
    ("ebike_charger_ap3000", "overvoltage"): {"supply_cut", "supply_out_of_band"},
    ("access_gate_json", "forced_open"): {"forced"},
    ("access_gate_json", "held_open"): {"held_open", "held_open_long"},
    ("access_gate_json", "lock_fault"): {"lock_fault"},
    ("access_gate_json", "supply_low"): {"supply_low"},
    ("access_gate_json", "tamper"): {"tamper"},
    ("access_gate_json", "silent"): {"offline"},
    ("access_gate_json", "reader_fault"): {"reader_fault"},
    ("access_gate_json", "fire_release"): {"fire_release"},
    ("access_gate_json", "on_battery"): {"on_battery"},
    ("access_gate_json", "clock_drift"): {"clock_drifts"},
    ("camera_frigate", "low_fps"): {"fps_low"},
    ("camera_frigate", "no_picture"): {"no_picture"},
    ("camera_frigate", "not_recording"): {"not_recording"},
    ("camera_frigate", "silent"): {"offline"},
    ("booster_set", "pump_failure"): {"pump_fault"},
    ("booster_set", "pressure_loss"): {"pressure_low", "pressure_off_setpoint"},
    ("booster_set", "overload"): {"overload", "overload_severe"},
    ("booster_set", "tank_empty"): {"tank_low"},
    ("booster_set", "flood"): {"flood"},
    ("booster_set", "smoke"): {"smoke"},
    ("booster_set", "silent"): {"offline"},
    ("booster_set", "phase_loss"): {"phase_lost"},
    ("booster_set", "phases_apart"): {"phases_apart"},
    ("booster_set", "vibration"): {"vibration_high", "vibration_severe"},
    ("booster_set", "sensor_frozen"): {"sensor_frozen"},
    ("booster_set", "turbid"): {"water_turbid"},
    ("booster_set", "left_in_manual"): {"left_in_manual"},
    ("sump_pump_json", "high_level"): {"level_critical", "level_high", "pump_not_starting"},
    ("sump_pump_json", "pump_failure"): {"pump_fault"},
    ("sump_pump_json", "silent"): {"offline"},
    ("sump_pump_json", "blocked"): {"blocked"},
    ("sump_pump_json", "short_of_run"): {"pump_not_starting"},
    ("sump_pump_json", "float_up"): {"float_up"},
    ("zigbee2mqtt_bridge", "silent"): {"offline"},
    ("zigbee2mqtt_device", "leak"): {"leak"},
    ("zigbee2mqtt_device", "smoke"): {"smoke"},
    ("zigbee2mqtt_device", "battery_low"): {"battery_low"},
    ("zigbee2mqtt_device", "tamper"): {"tamper"},
    ("zigbee2mqtt_device", "silent"): {"offline"},
    ("tasmota", "over_voltage"): {"voltage_off"},
    ("tasmota", "silent"): {"offline"},
    ("tasmota_topic_first", "over_voltage"): {"voltage_off"},
    ("tasmota_topic_first", "silent"): {"offline"},
    ("shelly_rpc", "silent"): {"offline"},
    ("homie", "silent"): {"offline"},
    ("construction_hoist_dgiot", "inverter_fault"): {"inverter_fault"},
    ("construction_hoist_dgiot", "overload"): {"overload"},
    ("construction_hoist_dgiot", "silent"): {"offline"},
    ("sensor_data", "hot"): {"hot"},
    ("sensor_data", "silent"): {"offline"},
    ("gas_detector_lian", "gas"): {"gas"},
    ("gas_detector_lian", "faulty"): {"faulty"},
    ("wmbusmeters", "leak"): {"leak"},
    ("access_gate_opengarage", "obstructed"): {"obstructed", "half_way"},
    ("access_gate_opengarage", "left_open"): {"stays_open"},
    ("access_gate_opengarage", "silent"): {"offline"},
    ("evcs_json", "fault"): {"fault"},
    ("evcs_json", "overcurrent"): {"overcurrent"},
    ("evcs_json", "silent"): {"offline"},
    ("ebike_charger_tuya", "hot_port"): {"hot"},
    ("ebike_charger_tuya", "leakage"): {"leakage"},
    ("ebike_charger_tuya", "silent"): {"offline"},
    ("milesight_em300_zld", "leak"): {"leak"},
    ("milesight_em500_pp", "low_pressure"): {"pressure_low"},
    ("milesight_em500_swl", "low_level"): {"level_low"},
    ("milesight_em310_udl", "flood"): {"level_critical", "level_high"},
    ("milesight_em310_udl", "tilted"): {"tilted"},
    ("milesight_ct103", "overload"): {"over_current"},
    ("milesight_ct103", "hot_wire"): {"wire_hot"},
    ("milesight_ws523", "overload"): {"over_current"},
    ("jetlinks_binary", "silent"): {"offline"},
    ("barrier_json", "stuck"): {"motor_overload", "moves_too_long"},
    ("barrier_json", "stays_open"): {"stays_open"},
    ("barrier_json", "broken"): {"fault"},
    ("barrier_json", "obstacle"): {"obstacle"},
    ("barrier_json", "loop_fault"): {"loop_fault"},
    ("barrier_json", "plate_camera"): {"plate_camera_offline"},
    ("barrier_json", "service_due"): {"service_due"},
    ("barrier_json", "silent"): {"offline"},
    ("camera_json", "low_fps"): {"fps_low"},
    ("camera_json", "video_loss"): {"video_loss"},
    ("camera_json", "covered"): {"tampered"},
    ("camera_json", "frozen"): {"frozen"},
    ("camera_json", "recording_stops"): {"recording_gap"},
    ("camera_json", "silent"): {"offline"},
    ("camera_json", "stream_lost"): {"stream_lost"},
    ("camera_json", "no_frames"): {"no_frames"},
    ("nvr_json", "disk_error"): {"disk_error"},
    ("nvr_json", "raid_degraded"): {"raid_degraded"},
    ("nvr_json", "no_picture"): {"channel_offline"},
    ("nvr_json", "recording_stops"): {"recording_gap"},
    ("nvr_json", "kept_too_short"): {"storage_full"},
    ("nvr_json", "fan"): {"fan_fault"},
    ("nvr_json", "silent"): {"offline"},
    ("sump_pump_ultrasonic", "high_level"): {"level_critical", "level_high", "pump_not_starting"},
    ("sump_pump_ultrasonic", "blocked"): {"blocked"},
    ("sump_pump_ultrasonic", "short_of_run"): {"pump_not_starting"},
    ("sump_pump_ultrasonic", "pump_failure"): {"pump_fault"},
    ("sump_pump_ultrasonic", "silent"): {"offline"},
    ("sump_pump_ultrasonic", "float_up"): {"float_up"},
    ("electrical_fire_wanlin", "hot_joint"): {"wire_hot"},
    ("electrical_fire_wanlin", "overload"): {"load_high"},
    ("hydrant_json", "pressure_lost"): {"no_water", "pressure_low"},
    ("hydrant_json", "opened"): {"opened"},
    ("hydrant_json", "knocked"): {"knocked"},
    ("hydrant_json", "battery_low"): {"battery_low"},
    ("roof_tank_json", "runs_empty"): {"level_low", "static_low"},
    ("roof_tank_json", "valve_closed"): {"valve_closed"},
    ("roof_tank_json", "silent"): {"offline"},
    ("smoke_detector_json", "smoke"): {"smoke"},
    ("smoke_detector_json", "removed"): {"removed"},
    ("smoke_detector_json", "faulty"): {"faulty"},
    ("smoke_detector_json", "battery_low"): {"battery_low"},
    ("electrical_fire_json", "leakage"): {"residual_high"},
    ("electrical_fire_json", "hot_joint"): {"joint_heats", "joint_hot"},
    ("electrical_fire_json", "arc"): {"arc"},
    ("electrical_fire_json", "silent"): {"offline"},
    ("lift_json", "trapped"): {"fault", "trapped"},
    ("lift_json", "fault"): {"fault"},
    ("lift_json", "blocker_out"): {"blocker_out"},
    ("lift_json", "ebike"): {"ebike_stays"},
    ("lift_json", "silent"): {"offline"},
    ("heating_json", "supply_falls"): {"supply_cold", "supply_falls"},
    ("heating_json", "pressure_lost"): {"pressure_low"},
    ("heating_json", "pump_failure"): {"pump_fault"},
    ("heating_json", "flood"): {"flood"},
    ("heating_json", "silent"): {"offline"},
    ("lighting_json", "dark"): {"off_by_night"},
    ("lighting_json", "day"): {"on_by_day"},
    ("lighting_json", "lamps_out"): {"lamps_out"},
    ("lighting_json", "leakage"): {"leakage"},
    ("lighting_json", "silent"): {"offline"},
    ("leak_sensor_json", "leak"): {"leak"},
    ("leak_sensor_json", "rope"): {"cable_broken"},
    ("leak_sensor_json", "battery_low"): {"battery_low"},
    ("gas_detector_json", "gas"): {"gas", "gas_level"},
    ("gas_detector_json", "co"): {"co"},
    ("gas_detector_json", "valve_stuck"): {"valve_stuck"},
    ("gas_detector_json", "faulty"): {"faulty"},
    ("gas_detector_json", "silent"): {"offline"},
    ("water_meter_json", "backwards"): {"backwards"},
    ("water_meter_json", "tampered"): {"meter_fault"},
    ("water_meter_json", "battery_low"): {"battery_low"},
    ("energy_meter_json", "overload"): {"overload", "overload_severe"},
    ("energy_meter_json", "tripped"): {"tripped"},
    ("energy_meter_json", "undervoltage"): {"voltage_off"},
    ("energy_meter_json", "silent"): {"offline"},
    ("water_tank_json", "hatch_open"): {"hatch_open"},
    ("water_tank_json", "overflow"): {"falls_fast", "level_high", "overflows"},
    ("water_tank_json", "turbid"): {"turbid"},
    ("water_tank_json", "cleaning_due"): {"cleaning_due"},
    ("water_tank_json", "silent"): {"offline"},
    ("fire_door_json", "wedged"): {"wedged_open"},
    ("fire_door_json", "stays_open_on_fire"): {"not_closed_on_fire", "wedged_open"},
    ("fire_door_json", "faulty"): {"faulty"},
    ("fire_door_json", "silent"): {"offline"},
    ("room_json", "smoke"): {"smoke"},
    ("room_json", "flood"): {"flood"},
    ("room_json", "heat"): {"heats_up", "hot"},
    ("room_json", "co"): {"co"},
    ("room_json", "mains_lost"): {"mains_lost"},
    ("room_json", "silent"): {"offline"},
}


def played(profile_id: str, minutes: int, *script: ScriptedFault) -> Iterator[tuple[float, str, Outcome]]:
    """(minute, rule, raised or cleared) while one device is played."""
    profile = LIBRARY[profile_id]
    address = ADDRESSES.get(profile_id, "d-1")
    entry = DeviceEntry("d", profile_id, address, "yard", "Asia/Shanghai", PARAMS.get(profile_id, {}))
    simulation = Simulation([entry], LIBRARY, script, seed=7, started_at=START)
    decoder = Decoder([profile], Registry("1", [entry]))
    compiled = compile_profile(profile)
    state = DeviceState("d", "yard", profile_id, compiled, {**compiled.params, **entry.params})
    for now in range(START, START + minutes * 60 * SECOND, 5 * SECOND):
        view = GatewayView(progress=now, known=True)
        fired = []
        for message in simulation.advance(now):
            for reading in decoder.decode(message.topic, message.payload, now, message.retain):
                assert reading.device == "d", message.topic
                assert not reading.flags, message.topic
                fired += take(state, reading, view)
        fired += tick(state, view)
        for one in fired:
            yield (now - START) / 60_000, one.rule.rule.id, one.outcome


@pytest.mark.parametrize("profile_id", LIBRARY)
def test_a_healthy_device_is_quiet(profile_id: str) -> None:
    assert list(played(profile_id, 90)) == []


def test_every_fault_is_here() -> None:
    assert set(EXPECTED) == {(id_, fault) for id_, profile in LIBRARY.items() for fault in profile.simulator.faults}


@pytest.mark.parametrize(("profile_id", "fault"), EXPECTED)
def test_a_fault_raises_its_alarms_and_its_end_clears_them(profile_id: str, fault: str) -> None:
    lasting = timedelta(minutes=45)
    script = ScriptedFault("d", fault, after=timedelta(minutes=3), lasting=lasting)
    told = list(played(profile_id, 110, script))
    raised = [rule for _, rule, outcome in told if outcome is Outcome.RAISED]
    assert set(raised) == EXPECTED[profile_id, fault]
    assert len(raised) == len(set(raised)), "an alarm that flaps"
    cleared = [rule for _, rule, outcome in told if outcome is Outcome.CLEARED]
    assert sorted(cleared) == sorted(raised)
