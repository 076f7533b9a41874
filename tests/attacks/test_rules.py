"""Rules and calm under attack: what must not keep an alarm from those who wait for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.timeline import Timeline

HEATER = """
profile: heater
family: heater
name: {zh: 加热器, en: Heater}
metrics:
  temp: {name: {zh: 温度, en: Temperature}, uom: Cel}
  gas: {name: {zh: 燃气, en: Gas}, uom: "%"}
availability: {period: 1h, event_driven: true}
bindings: [{id: t, topic: "h/{address}", decode: [{json: true}], fields: {temp: v, gas: g}}]
rules:
  - id: hot
    name: {zh: 过热, en: Too hot}
    when: temp > 50 Cel
    for: 30s
    clear: {for: 0s}
    severity: minor
    grades: [{severity: critical, when: temp > 80 Cel}]
    source: {kind: judgement}
    ticket: look
  - id: gas
    name: {zh: 燃气, en: Gas}
    when: gas > 5 %
    clear: {for: 0s}
    severity: critical
    source: {kind: judgement}
    ticket: look
tickets: {look: {title: {zh: 查看, en: Look}, trade: general, priority: P2, due: 4h}}
"""
Build = Callable[..., Timeline]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    made: list[Timeline] = []

    def build(*, heaters: int = 1, **more: Any) -> Timeline:
        devices = {f"h{number}": "heater" for number in range(heaters)}
        made.append(Timeline(tmp_path, HEATER, devices=devices, **more))
        return made[-1]

    yield build
    for one in made:
        one.close()


def test_one_reading_raises_gas_beside_an_alarm_that_has_grown_worse_at_once(build: Build) -> None:
    """The minute of silence lets the delay of `hot` run out, and the message that ends it finds it critical already;
    the rows of the two alarms do not name the same columns."""
    site = build().at("00:01").reading("h0", temp=60.0)
    site.clock.time += timedelta(minutes=1)
    site.reading("h0", temp=90.0, gas=9.0)
    site.expect_alarm("h0", "hot", severity="critical").expect_alarm("h0", "gas").expect_tickets(2)
    assert site.intake.set_aside == 0
