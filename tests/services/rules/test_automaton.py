"""The alarm automaton alone: verdicts and times in, transitions out."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from services.rules.automaton import FOREVER, IDLE, TABLE, Delays, Mark, Outcome, Phase, Verdict, advance, elapse

S = 1000


class Run:
    """A rule that raises after 60 s and clears after 30 s."""

    def __init__(self, raise_after: int = 60, clear_after: int = 30) -> None:
        self.delays = Delays(raise_after * S, clear_after * S)
        self.mark = IDLE
        self.seen: list[tuple[str, int]] = []

    def at(self, second: float, raising: Verdict, clearing: Verdict = None, fresh: float | None = None) -> Run:
        """`fresh`: for how many seconds the data behind the verdict may be trusted."""
        at = round(second * S)
        opposite = None if raising is None else not raising
        wanted = {True: raising, False: opposite if clearing is None else clearing}
        until = FOREVER if fresh is None else at + round(fresh * S)
        step = advance(self.mark, self.delays, at, lambda phase: wanted[phase in (Phase.IDLE, Phase.PENDING)], until)
        self._note(step)
        return self

    def tick(self, second: float) -> Run:
        self._note(elapse(self.mark, self.delays, round(second * S)))
        return self

    def _note(self, step: object) -> None:
        self.mark = step.mark  # type: ignore[attr-defined]
        news = {Outcome.RAISED, Outcome.CLEARED, Outcome.DROPPED, Outcome.RELAPSED}
        self.seen += [(one.outcome.value, one.at // S) for one in step.transitions if one.outcome in news]  # type: ignore[attr-defined]


def test_every_phase_answers_every_verdict() -> None:
    assert set(TABLE) == set(itertools.product(Phase, (True, False, None)))


def test_raises_when_the_delay_is_over_and_clears_likewise() -> None:
    run = Run().at(0, True).at(30, True).at(59, True)
    assert run.seen == []
    assert run.at(61, True).seen == [("raised", 60)]
    assert run.at(100, False).at(120, False).at(131, False).seen == [("raised", 60), ("cleared", 130)]
    assert run.mark == IDLE


def test_a_tick_completes_what_no_reading_came_for() -> None:
    assert Run().at(0, True, fresh=90).tick(59).tick(60).seen == [("raised", 60)]


def test_a_gap_freezes_the_delay() -> None:
    run = Run().at(0, True, fresh=20).tick(300)
    assert run.seen == []
    # 20 s had counted before the gap; 40 more are needed.
    assert run.at(300, True, fresh=60).tick(339).seen == []
    assert run.tick(341).seen == [("raised", 340)]


def test_unknown_neither_raises_nor_clears_nor_counts() -> None:
    run = Run().at(0, True).at(30, None).at(500, None)
    assert run.mark.phase is Phase.PENDING
    assert run.at(500, True).at(529, True).seen == []
    assert run.at(531, True).seen == [("raised", 530)]
    assert run.at(600, None).at(900, None).mark.phase is Phase.ACTIVE


def test_what_stops_holding_in_time_never_was() -> None:
    assert Run().at(0, True).at(59, False).at(60, True).at(119, True).seen == [("dropped", 59)]


def test_a_reading_that_contradicts_comes_after_the_time_that_passed() -> None:
    # Read in one go from a backlog, this raises like it had with a clock ticking between the two.
    assert Run().at(0, True).at(90, False).seen == [("raised", 60)]


def test_chatter_keeps_an_alarm_one_alarm() -> None:
    run = Run().at(0, True).at(60, True)
    for second in range(70, 400, 20):
        run.at(second, False).at(second + 10, True, clearing=False)
    assert [one for one in run.seen if one[0] in ("raised", "cleared")] == [("raised", 60)]


def test_without_delays_everything_is_at_once() -> None:
    assert Run(0, 0).at(5, True).at(6, False).at(7, True).seen == [("raised", 5), ("cleared", 6), ("raised", 7)]


def test_time_never_runs_backwards() -> None:
    assert Run().at(100, True).at(10, True).at(159, True).seen == []


_steps = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from([True, False, None]), st.integers(0, 50)), min_size=1, max_size=40
)


@given(_steps, st.lists(st.integers(0, 1600), max_size=60))
def test_ticks_in_between_change_nothing(steps: list[tuple[int, Verdict, int]], ticks: list[int]) -> None:
    """A replay of a backlog and a live run with any ticks tell the same story."""
    quiet, ticked = Run(45, 25), Run(45, 25)
    now, left = 0, sorted(ticks)
    for wait, verdict, fresh in steps:
        now += wait
        while left and left[0] <= now:
            ticked.tick(left.pop(0))
        quiet.at(now, verdict, fresh=fresh)
        ticked.at(now, verdict, fresh=fresh)
    assert quiet.seen == ticked.seen


@given(_steps)
def test_raised_and_cleared_take_turns(steps: list[tuple[int, Verdict, int]]) -> None:
    run, now = Run(45, 25), 0
    for wait, verdict, fresh in steps:
        now += wait
        run.at(now, verdict, fresh=fresh)
    turns = [one for one, _ in run.seen if one in ("raised", "cleared")]
    assert turns == ["raised", "cleared"] * (len(turns) // 2) + ["raised"] * (len(turns) % 2)
    times = [at for _, at in run.seen]
    assert times == sorted(times)


def test_an_active_mark_is_the_same_however_often_it_is_looked_at() -> None:
    run = Run().at(0, True).at(70, True)
    before = run.mark
    assert run.at(80, True).at(90, None).tick(95).mark == before == Mark(Phase.ACTIVE, since=60 * S, at=60 * S)
