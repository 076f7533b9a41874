"""When many alarms are one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.calm.storms import Cause, Limits, Raises, is_news

MAINS = Cause("yard", "station", "mains_lost")
MINUTE = 60_000


def after(*raised: int, limits: Limits = Limits(over=3, within=10 * MINUTE)) -> Raises:  # noqa: B008
    raises = Raises(limits)
    for at in raised:
        raises.note(MAINS, at)
    return raises


def test_the_one_beyond_the_limit_makes_a_storm() -> None:
    assert not after(0, 0).is_storm(MAINS, 0)
    assert after(0, 0, 0).is_storm(MAINS, 0)
    assert after(0, 0, 0).is_storm(MAINS, 10 * MINUTE - 1)


def test_those_that_came_too_long_ago_do_not_count() -> None:
    assert not after(0, 0, 0).is_storm(MAINS, 10 * MINUTE)
    assert not after(0, 5 * MINUTE, 6 * MINUTE).is_storm(MAINS, 11 * MINUTE)


def test_a_storm_that_goes_on_stays_one() -> None:
    raises = after(0, 0, 0)
    for minute in range(60):
        assert raises.is_storm(MAINS, minute * MINUTE)
        raises.note(MAINS, minute * MINUTE)


def test_a_backlog_and_a_clock_that_was_ahead_are_storms_of_their_own_time_only() -> None:
    raises = after(600 * MINUTE, 600 * MINUTE, 601 * MINUTE)
    assert not raises.is_storm(MAINS, 0)
    for _ in range(3):
        raises.note(MAINS, MINUTE)
    assert raises.is_storm(MAINS, 2 * MINUTE)
    assert raises.is_storm(MAINS, 602 * MINUTE)


def test_what_is_remembered_is_bounded() -> None:
    raises = after(*range(0, 50_000 * MINUTE, 5 * MINUTE), *[0] * 100)
    assert len(raises._times[MAINS]) <= 4500, "a month, in stretches of ten minutes"
    assert max(len(times) for times in raises._times[MAINS].values()) <= 6
    assert after(*[0] * 1000).is_storm(MAINS, 0)


def test_causes_are_counted_apart() -> None:
    raises = after(0, 0, 0)
    for other in (MAINS._replace(site="x"), MAINS._replace(profile="x"), MAINS._replace(rule="x")):
        assert not raises.is_storm(other, 0)


@given(
    raised=st.lists(st.integers(0, 40 * MINUTE), max_size=30),
    at=st.integers(0, 60 * MINUTE),
    order=st.randoms(use_true_random=False),
)
def test_what_is_remembered_does_not_depend_on_the_order(raised: list[int], at: int, order: object) -> None:
    """So a restart, which reads the times from the database, decides alike; and it is what counting all would say."""
    shuffled = list(raised)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    counted = sum(at - 10 * MINUTE < one < at + 10 * MINUTE for one in raised) >= 3
    assert after(*raised).is_storm(MAINS, at) is after(*shuffled).is_storm(MAINS, at) is counted


def test_news_when_it_has_doubled() -> None:
    told, news = 11, []
    for count in range(12, 5001):
        if is_news(count, told):
            news.append(count)
            told = count
    assert news == [22, 44, 88, 176, 352, 704, 1408, 2816]
