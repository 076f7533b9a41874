"""What of a site's life is drawn over curves, and what must be written for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from services.clock import to_millis
from services.grafana.regions import AHEAD, Region, Write, decide, key_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
GOING = Region("courtyard:alarm-a1", NOON, None, ("alarm", "site:yard"), "Pressure low")
OVER = Region("courtyard:alarm-a2", NOON, NOON + timedelta(minutes=5), ("alarm", "site:yard"), "Pressure low")


def as_shown(region: Region, at: datetime, number: int = 7, **changed: Any) -> dict[str, Any]:
    return {"id": number, **region.body(at), **changed}


def test_what_is_not_there_is_made_with_exactly_one_tag_of_the_key_courtyard() -> None:
    (write,) = decide([GOING], [], NOON)
    assert write.id is None and write.body is not None
    assert write.body["time"] == to_millis(NOON)
    assert write.body["timeEnd"] == to_millis(NOON + AHEAD)
    assert [tag for tag in write.body["tags"] if tag.split(":")[0] == "courtyard"] == ["courtyard:alarm-a1"]


def test_what_is_there_as_it_should_be_is_left_alone() -> None:
    assert decide([GOING, OVER], [as_shown(GOING, NOON, 1), as_shown(OVER, NOON, 2)], NOON) == []


def test_what_goes_on_is_prolonged_half_a_day_before_it_would_end() -> None:
    shown = as_shown(GOING, NOON)
    assert decide([GOING], [shown], NOON + timedelta(hours=11)) == []
    (write,) = decide([GOING], [shown], NOON + timedelta(hours=13))
    assert write.id == 7 and write.body is not None
    assert write.body["timeEnd"] == to_millis(NOON + timedelta(hours=13) + AHEAD)


def test_what_ended_gets_its_end() -> None:
    ended = Region(GOING.key, NOON, NOON + timedelta(minutes=9), GOING.tags, GOING.text)
    (write,) = decide([ended], [as_shown(GOING, NOON)], NOON + timedelta(minutes=10))
    assert write.id == 7 and write.body is not None
    assert write.body["timeEnd"] == to_millis(NOON + timedelta(minutes=9))


def test_of_twins_the_first_stays_and_what_people_wrote_is_not_touched() -> None:
    shown = [
        as_shown(GOING, NOON, 9),
        as_shown(GOING, NOON, 3),
        {"id": 1, "tags": ["deploy"], "text": "new pump", "time": 0, "timeEnd": 0},
    ]
    assert decide([GOING], shown, NOON) == [Write(9, None)]
    assert key_of(shown[2]) == ""


def test_an_end_before_its_beginning_is_a_point() -> None:
    odd = Region("courtyard:alarm-a3", NOON, NOON - timedelta(seconds=1), ("alarm",), "odd")
    assert odd.body(NOON)["timeEnd"] == odd.body(NOON)["time"]
