"""What is the same for every process: version, disk, clock."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from gateway.measure import Collector, Metric, Sample
from services.clock import Clock

BUILD = Metric("courtyard_build_info", "gauge", "Always 1; the version is in the labels.", ("version", "python"))
DISK_FREE = Metric("courtyard_disk_free_bytes", "gauge", "Free on the disk of the data folder.")
DISK_SIZE = Metric("courtyard_disk_size_bytes", "gauge", "Size of the disk of the data folder.")
CLOCK = Metric("courtyard_clock_seconds", "gauge", "The clock of this machine: seconds since 1970-01-01 UTC.")

METRICS = (BUILD, DISK_FREE, DISK_SIZE, CLOCK)


def of_process(data_dir: Path, clock: Clock) -> Collector:
    """`data_dir` must exist when it is collected."""

    def collect() -> Iterable[Sample]:
        yield BUILD.at(1, version("courtyard"), platform.python_version())
        yield CLOCK.at(clock.now().timestamp())
        usage = shutil.disk_usage(data_dir)
        yield DISK_FREE.at(usage.free)
        yield DISK_SIZE.at(usage.total)

    return collect
