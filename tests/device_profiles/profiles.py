"""A small profile to spoil: tests replace one part and look at what is said."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from device_profiles.library import Mistake, ProfileMistakes, load_text
from device_profiles.schema import DeviceProfile

LAMP = textwrap.dedent("""\
    profile: street_lamp
    family: lighting
    name: {zh: 路灯, en: Street lamp}
    params:
      lamps: {type: integer, default: 4, min: 1, max: 9}
      rated_power: {default: 60, uom: W}
      crew: {type: text, default: east}
      dimmable: {type: boolean, default: true}
    children:
      lamp: {name: {zh: 灯, en: Lamp}, count: lamps}
    metrics:
      voltage: {name: {zh: 电压, en: Voltage}, uom: V, range: [0, 500]}
      pressure: {name: {zh: 压力, en: Pressure}, uom: MPa}
      hours: {name: {zh: 时长, en: Hours}, uom: h, kind: counter}
      power: {name: {zh: 功率, en: Power}, uom: W, scope: lamp}
      current: {name: {zh: 电流, en: Current}, uom: mA, scope: lamp}
    states:
      cabinet:
        name: {zh: 箱门, en: Cabinet}
        values: {closed: {zh: 关, en: closed}, open: {zh: 开, en: open}}
      light:
        name: {zh: 灯, en: Light}
        scope: lamp
        values: {lit: {zh: 亮, en: lit}, dark: {zh: 灭, en: dark}, fault: {zh: 坏, en: fault}}
    events:
      hit: {name: {zh: 撞击, en: Hit}}
    availability: {period: 1m}
    bindings:
      - id: telemetry
        topic: lamps/{address}/telemetry
        decode: [{json: true}]
        fields: {voltage: v, cabinet: {path: door, map: {o: open, c: closed}}}
        each:
          - {child: lamp, over: lamps, key: "{n}", fields: {power: w, light: state}}
        events:
          - {event: hit, when: {path: hit, equals: true}}
    rules:
      - id: lamp_dark
        name: {zh: 灯不亮, en: Lamp dark}
        scope: lamp
        when: light == fault and parent.voltage > 200 V
        for: 30s
        clear: {when: light == lit, for: 1m}
        severity: minor
        source: {kind: judgement}
        ticket: change_lamp
        residents: dark_path
        tests:
          - {given: [{light: fault, parent.voltage: 230, hold: 1m}], expect: raised}
          - {given: [{light: fault, parent.voltage: 230, hold: 10s}], expect: quiet}
          - {given: [{light: fault, parent.voltage: 230, hold: 1m}, {light: lit, hold: 2m}], expect: cleared}
    tickets:
      change_lamp:
        title: {zh: 换灯, en: Change the lamp}
        trade: electrical
        priority: P3
        due: 3d
    residents:
      dark_path:
        service: access
        what: {zh: 路灯不亮。, en: A street lamp is dark.}
    dashboard: {headline: [voltage, light], charts: [[power, current]]}
    simulator:
      plays: [{binding: telemetry, every: 30s}]
      signals:
        voltage: {start: 230, wander: 1}
        light: {start: lit, cycle: [lit, dark]}
        power: {start: 60, while: {light: [lit]}}
      faults:
        broken: {name: {zh: 坏, en: Broken}, scope: lamp, set: {light: fault}, ramp: {power: [0, 5s]}}
    samples:
      - name: two lamps
        topic: lamps/a/telemetry
        text: '{"v": 230, "door": "c", "lamps": [{"n": 1, "w": 58, "state": "lit"}]}'
        expect:
          - {address: a, child: "", binding: telemetry, values: {voltage: 230, cabinet: closed}}
          - {child: "lamp:1", values: {power: 58, light: lit}}
    """)


def lamp() -> DeviceProfile:
    return load_text(LAMP)


def spoiled(*changes: tuple[str, str]) -> str:
    """The lamp's profile with texts replaced; each must be there exactly once."""
    text = LAMP
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the lamp's profile"
        text = text.replace(old, new)
    return text


def mistakes_of(text: str) -> list[Mistake]:
    with pytest.raises(ProfileMistakes) as caught:
        load_text(text, Path("lamp.yaml"))
    return caught.value.mistakes


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1
