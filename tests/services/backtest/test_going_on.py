"""A backtest that seeks a rare value for long, or works slowly, says that it goes on: only what hangs is ended."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest

from gateway.reading import Reading
from gateway.telemetry import Only
from gateway.telemetry.sqlite import SqliteTelemetry
from services.backtest import EVERYTHING, Variant, run
from services.backtest.parallel import _received, _saying_so
from services.backtest.replay import Slot
from services.backtest.report import Cancelled, Progress
from services.backtest.task import Worked
from tests.services.backtest.kit import AS_IS, Stored, clock, close, stored


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Stored]:
    site = stored(tmp_path)
    yield site
    close(site)


class Sought:
    """A history in which nothing is found for three steps."""

    def scan(self, **asked: Any) -> Iterator[Reading]:
        for _ in range(3):
            asked["looked"]()
        yield from ()


def test_what_seeks_and_finds_nothing_yet_says_so(site: Stored) -> None:
    told: list[Progress] = []
    side = Variant(site.library, AS_IS)
    begin, end = clock("01:00"), clock("02:00")
    run(site.database, Sought(), "yard", side, side, begin, end, focus=EVERYTHING, progress=told.append)
    sought, first = told[:3], told[3]
    assert {(one.readings, one.share) for one in sought} == {(0, 0.0)}
    assert [one.until < first.until for one in sought] == [True] * 3, "no slot had been judged"


def test_it_can_be_cancelled_while_it_seeks(site: Stored) -> None:
    def enough(_progress: Progress) -> None:
        raise Cancelled

    side = Variant(site.library, AS_IS)
    with pytest.raises(Cancelled):
        run(site.database, Sought(), "yard", side, side, clock("01:00"), clock("02:00"), progress=enough)


def test_readings_that_nobody_asked_for_are_steps_too(site: Stored) -> None:
    """A store in which one value in hundred thousand is of use gives none of the others, and is read to its end."""
    for hour in range(1, 4):
        site.at(f"0{hour}:00").says("pumps", pressure=0.5)
    assert isinstance(site.telemetry, SqliteTelemetry)
    looks: list[int] = []
    only = Only(frozenset({"unheard_of"}), "left_out")
    times = {"start": 0, "end": 1 << 50}
    assert list(site.telemetry.scan(devices=["pumps"], **times, only=only, looked=lambda: looks.append(1))) == []
    assert len(looks) >= 3


def test_a_process_that_helps_and_goes_on_is_heard_through_who_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.backtest.parallel._SAYS_SO_SECONDS", 0.0)
    ours, theirs = Pipe(duplex=False)
    looked, slot, heard = _saying_so(theirs), Slot(7, (), (), 1), []
    looked()
    looked()
    theirs.send(("slots", [slot]))
    theirs.send(("done", Worked()))
    with ours, theirs:
        assert list(_received(ours, Worked(), lambda: heard.append(1))) == [slot]
    assert heard == [1, 1]
