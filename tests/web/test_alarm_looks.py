"""What looked back, as the alarm page says it."""

from __future__ import annotations

import pytest

from device_profiles.library import SHIPPED
from device_profiles.library import load as load_profiles
from services.web.i18n import Language, load
from services.web.views.alarms import values_said
from tests.stories.test_looking_back import WATCHED


@pytest.mark.parametrize(
    ("language", "key", "value", "name", "text"),
    [
        ("en", "delta(pressure, 5m)", -0.12, "Pressure, change over 5m", "-0.12"),
        ("zh", "delta(pressure, 5m)", -0.12, "压力 5m 内变化", "-0.12"),
        ("en", "rate(pressure, 5m)", -0.0004, "Pressure, change per second over 5m", "-0.0004"),
        ("en", "mean(pressure, 1h)", 0.5, "Pressure, mean over 1h", "0.5"),
        ("en", "changed(run, 30m)", False, "Running changed within 30m", "no"),
        ("en", "count(run == running, 10m)", 3.0, "count(run == running, 10m)", "3"),
        ("en", "smoking", True, "Smoke", "yes"),
        ("zh", "parent.smoking", True, "冒烟", "是"),
    ],
)
def test_the_past_in_words(language: Language, key: str, value: object, name: str, text: str) -> None:
    (said,) = values_said({"values": {key: value}}, WATCHED, load()[language])
    assert (said.key, said.name) == (key, name)
    assert said.text.replace("\N{MINUS SIGN}", "-").startswith(text)


@pytest.mark.parametrize(
    ("language", "name"),
    [("en", "Drop below the setpoint that counts as water lost"), ("zh", "低于设定压力多少视为停水")],
)
def test_a_threshold_that_was_read_is_called_by_its_name_with_its_unit(language: Language, name: str) -> None:
    (said,) = values_said({"values": {"loss_margin": 0.1}}, load_profiles(SHIPPED)["booster_set"], load()[language])
    assert (said.key, said.name, said.text.replace("\N{NO-BREAK SPACE}", " ")) == ("loss_margin", name, "0.1 MPa")
