"""What `courtyard bench sums` measures is the whole of what is summed up."""

from __future__ import annotations

import pytest

from services.bench import sums as bench
from tests.fixtures_influxdb import installed
from tests.needs import missing


@pytest.mark.influxdb
def test_every_series_is_summed_up_once() -> None:
    if not installed():
        missing("influxd is not installed; on Debian: apt-get install influxdb")
    figures = bench.run(devices=10, rounds=1, report=lambda _: None)
    assert figures["5m_points"] == figures["1h_points"] == figures["series"] > 10
    assert 0 <= figures["1h_answers_seconds"] <= figures["1h_seconds"]
