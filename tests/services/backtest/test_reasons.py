"""Why the replay and what really happened are unlike: a gap of a gateway explains what it can, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.backtest.actual import Actual, Record
from services.backtest.agreement import Known, agreement_of
from services.backtest.past import Past
from services.backtest.report import Episode
from services.presence.gaps import Gap

HOUR = 3_600_000
TEN = 10 * HOUR
RULE = ("pumps", "low")
LOW = Episode(
    device="pump-1", child="", profile="pumps", rule="low", severity="major", raised_at=TEN, cleared_at=TEN + HOUR
)


def why(gap: Gap) -> tuple[str, ...]:
    """Of the one difference: an alarm from ten to eleven, which the replay raises two minutes later."""
    known = Known(
        past=Past((gap,)),
        rules={},
        by_silence=(),
        reach={RULE: 60_000},
        quiet=(),
        late={"pump-1": [TEN]},
        gateways={"pump-1": "east"},
        versions=(),
        notices_since=None,
    )
    actual = Actual((Record(LOW, "", "", True),), 0)
    (one,) = agreement_of(actual, [replace(LOW, raised_at=TEN + 120_000)], known, 0, 24 * HOUR, 30_000).unlike
    return one.why


@pytest.mark.parametrize(
    ("begins", "lasts", "expected"),
    [
        (-30, 1.6, ("late_data",)),  # moves nothing that is compared
        (-60, 120, ("gap", "late_data")),
        (-1000, 120, ("late_data",)),  # over for long, for a rule that feels a minute
        (-1000, 600, ("gap", "late_data")),  # what had been collected was still handed over
        (1500, 120, ("late_data", "gap")),  # in the midst, where both stand
    ],
)
def test_a_gap_explains_what_it_can(begins: float, lasts: float, expected: tuple[str, ...]) -> None:
    start = TEN + round(begins * 1000)
    assert why(Gap("east", "gateway", start, start + round(lasts * 1000))) == expected


def test_a_gap_of_another_gateway_explains_nothing() -> None:
    assert why(Gap("west", "gateway", TEN, TEN + HOUR)) == ("late_data",)
