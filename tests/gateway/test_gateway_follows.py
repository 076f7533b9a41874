"""The gateway follows the device list while it runs, remembers over restarts, and knows that time passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from device_profiles.schema import DeviceProfile
from gateway.reading import DeviceEntry, Registry
from gateway.subscriptions import Subscriptions, change
from services.bench.mosquitto import Mosquitto
from tests.gateway.kit import Ledger, make_gateway, meter_profile, publish, until

pytestmark = pytest.mark.mosquitto


class Growing(Ledger):
    """Services whose device list changes."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[DeviceEntry] = []

    def registry(self) -> Registry:
        return Registry(version=str(self.entries), devices=list(self.entries))


def quiet_profile() -> DeviceProfile:
    """Meters on topics so general that they are heard only where one is registered."""
    return meter_profile(topic="+/{address}/value").model_copy(update={"discovery": False})


def test_topics_are_heard_when_their_first_device_is_registered_and_no_longer_than_that(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    ledger = Growing()
    gateway, telemetry = make_gateway(tmp_path, mosquitto.url, ledger, quiet_profile())
    gateway._registry._ask_seconds = 0.05
    gateway.start()
    until(lambda: gateway.status().connected)
    publish(mosquitto.port, [("yard/m1/value", b'{"n": 1}')])
    ledger.entries = [DeviceEntry("meter-1", "meter", "m1", "yard")]
    until(lambda: Subscriptions(tmp_path / "filters.json").held == ("+/m1/value",))
    publish(mosquitto.port, [("yard/m1/value", b'{"n": 2}')])
    until(lambda: len(ledger.readings) == 1)
    ledger.entries = []
    until(lambda: Subscriptions(tmp_path / "filters.json").held == ())
    publish(mosquitto.port, [("yard/m1/value", b'{"n": 3}')])
    gateway.stop()
    telemetry.close()
    assert [(r.device, r.values["n"]) for r in ledger.readings] == [("meter-1", 2)]


def test_a_subscription_of_the_last_run_is_taken_back(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """The broker holds it over the restart: messages that nobody wants any more must not fill the quarantine."""
    ledger = Growing()
    gateway, telemetry = make_gateway(tmp_path, mosquitto.url, ledger, meter_profile(topic="old/{address}"))
    gateway.start()
    until(lambda: gateway.status().connected)
    gateway.stop()
    telemetry.close()
    gateway, telemetry = make_gateway(tmp_path, mosquitto.url, ledger, meter_profile(topic="new/{address}"))
    gateway.start()
    until(lambda: gateway.status().connected)
    publish(mosquitto.port, [("old/m1", b'{"n": 1}'), ("new/m1", b'{"n": 2}')])
    until(lambda: len(ledger.readings) == 1)
    assert gateway.status().received == 1
    gateway.stop()
    telemetry.close()


def motion_profile(auto_clear: str) -> DeviceProfile:
    name = {"zh": "事", "en": "Event"}
    plain: dict[str, Any] = meter_profile().model_dump(by_alias=True, exclude_defaults=True, mode="json")
    events = [{"event": "motion", "when": {"path": "motion", "equals": True}}]
    return DeviceProfile.model_validate(
        {
            **plain,
            "events": {"motion": {"name": name, "lasting": True, "auto_clear": auto_clear}},
            "bindings": [{**plain["bindings"][0], "events": events}],
        }
    )


def test_what_is_not_repeated_ends_without_a_message_and_over_a_restart(mosquitto: Mosquitto, tmp_path: Path) -> None:
    ledger = Ledger()
    gateway, telemetry = make_gateway(tmp_path, mosquitto.url, ledger, motion_profile("1h"))
    gateway.start()
    until(lambda: gateway.status().connected)
    publish(mosquitto.port, [("meters/m1/telemetry", b'{"n": 1, "motion": true}')])
    until(lambda: len(ledger.readings) == 1)
    gateway.stop()
    telemetry.close()
    gateway, telemetry = make_gateway(tmp_path, mosquitto.url, ledger, motion_profile("1s"))
    gateway.start()
    until(lambda: len(ledger.readings) == 2)
    gateway.stop()
    telemetry.close()
    said = [[(e.id, e.phase) for e in reading.events] for reading in ledger.readings]
    assert said == [[("motion", "begin")], [("motion", "end")]]
    assert [reading.values["motion"] for reading in ledger.readings] == [True, False]


@pytest.mark.parametrize(
    ("held", "wanted", "new", "gone"),
    [((), ("a",), ("a",), ()), (("a", "b"), ("b", "c"), ("c",), ("a",)), (("a",), ("a",), (), ())],
)
def test_only_what_changed_is_said(
    held: tuple[str, ...], wanted: tuple[str, ...], new: tuple[str, ...], gone: tuple[str, ...]
) -> None:
    assert change(held, wanted) == (new, gone)


def test_a_spoilt_file_is_no_more_than_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "filters.json"
    file.write_bytes(b"\xff{")
    kept = Subscriptions(file)
    assert kept.held == ()
    kept.keep(("a/+",))
    assert Subscriptions(file).held == ("a/+",)
