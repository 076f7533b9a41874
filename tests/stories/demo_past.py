"""The first minutes of the demo as a data folder: what `courtyard up --demo` leaves, played in virtual time."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from gateway.reading import Reading
from gateway.telemetry.sqlite import SqliteTelemetry
from tests.services.demo.test_script import START, running

SECONDS = 390
NOW: datetime = START + timedelta(seconds=SECONDS)
"""What the clock shows when they are over: 10:06:30 on the demo site's."""


def play(folder: Path) -> None:
    """Database and time series of the demo's first minutes, in this folder."""
    kept: list[Reading] = []
    with running(folder) as demo:
        take = demo.intake.take
        demo.intake.take = lambda batch: kept.extend(batch.readings) or take(batch)  # type: ignore[method-assign, func-returns-value]
        demo.until(SECONDS)
    telemetry = SqliteTelemetry(folder / "telemetry.db")
    telemetry.start()
    try:
        telemetry.write(kept)
    finally:
        telemetry.close()
