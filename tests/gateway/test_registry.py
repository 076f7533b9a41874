"""The device list is fetched beside the ingest thread, outlives a restart, and no failure ends the watch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.reading import Batch, DeviceEntry, Registry
from gateway.registry import RegistryWatch
from gateway.uplink import UplinkUnavailable
from tests.gateway.kit import until

ONE = Registry("1", [DeviceEntry("meter-1", "meter", "m1", "yard")])
TWO = Registry("2", [DeviceEntry("meter-2", "meter", "m2", "yard")])


class Uplink:
    """Answers with whatever `answer` gives."""

    def __init__(self, answer: Callable[[], Registry]) -> None:
        self.answer = answer

    def cursor(self, gateway: str) -> int:
        raise AssertionError(gateway)

    def deliver(self, batch: Batch) -> int:
        raise AssertionError(batch)

    def registry(self) -> Registry:
        return self.answer()


@pytest.fixture
def watches() -> Iterator[list[RegistryWatch]]:
    started: list[RegistryWatch] = []
    yield started
    for watch in started:
        watch.stop()


def test_what_the_last_run_knew_is_there_before_services_answer(tmp_path: Path, watches: list[RegistryWatch]) -> None:
    uplink = Uplink(lambda: ONE)
    first = RegistryWatch(uplink, tmp_path / "registry.json")
    watches.append(first)
    first.start()
    assert first.wait_asked(60)
    assert first.latest == ONE
    first.stop()

    silent = threading.Event()

    def later() -> Registry:
        assert silent.wait(60)
        return TWO

    uplink.answer = later
    second = RegistryWatch(uplink, tmp_path / "registry.json")
    watches.append(second)
    second.start()
    assert second.latest == ONE, "from its file, without waiting for services"
    assert not second.wait_asked(0.05)
    silent.set()
    until(lambda: second.latest == TWO)


@pytest.mark.parametrize("error", [UplinkUnavailable("cut"), OSError(28, "no space left"), RuntimeError("a mistake")])
def test_no_failure_ends_the_watch(tmp_path: Path, watches: list[RegistryWatch], error: Exception) -> None:
    def refuse() -> Registry:
        raise error

    uplink = Uplink(refuse)
    watch = RegistryWatch(uplink, tmp_path / "registry.json", ask_seconds=0.01)
    watches.append(watch)
    watch.start()
    until(lambda: watch.failures >= 3)
    uplink.answer = lambda: TWO
    until(lambda: watch.latest == TWO)


def test_a_list_that_cannot_be_kept_is_used_all_the_same(tmp_path: Path, watches: list[RegistryWatch]) -> None:
    watch = RegistryWatch(Uplink(lambda: ONE), tmp_path / "no such folder" / "registry.json")
    watches.append(watch)
    watch.start()
    assert watch.wait_asked(60)
    assert (watch.latest, watch.failures) == (ONE, 1)


def test_a_damaged_file_is_no_list(tmp_path: Path, watches: list[RegistryWatch]) -> None:
    file = tmp_path / "registry.json"
    file.write_bytes(b"\xff\x00 no json")
    watch = RegistryWatch(Uplink(lambda: ONE), file)
    watches.append(watch)
    watch.start()
    until(lambda: watch.latest == ONE)
