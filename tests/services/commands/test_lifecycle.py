"""The life of a command, under every order of happenings."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.commands.lifecycle import (
    GIVE_UP_AFTER,
    REPORT_GRACE,
    Answered,
    Cancel,
    EffectSeen,
    Handed,
    Happening,
    Life,
    NotCancellable,
    Reason,
    Said,
    State,
    Terms,
    Tick,
    advance,
    begin,
)

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
FULL = Terms(answers=True, timeout=timedelta(seconds=15), retries=0, effect="power < 5", within=timedelta(seconds=60))
BLIND = replace(FULL, answers=False, effect=None)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def after(terms: Terms, *happenings: Happening) -> Life:
    life = begin(now=NOW, expires=timedelta(seconds=60))
    for one in happenings:
        life = advance(life, terms, one).life
    return life


def sent(seconds: float = 1, attempt: int = 1, status: str = "sent", broker: str = "") -> Said:
    return Said(at(seconds), attempt, status, at(seconds), "why", broker)


def answered(seconds: float = 2, *, ok: bool = True) -> Answered:
    return Answered(at(seconds), at(seconds), ok, "r")


def tick(seconds: float, progress: float | None = None) -> Tick:
    return Tick(at(seconds), at(seconds if progress is None else progress))


@pytest.mark.parametrize(
    ("terms", "happenings", "state", "reason"),
    [
        (FULL, (), State.QUEUED, Reason.NONE),
        (FULL, (tick(59),), State.QUEUED, Reason.NONE),
        (FULL, (tick(60),), State.EXPIRED, Reason.NOT_FETCHED),
        (FULL, (Handed(at(59)), tick(61)), State.QUEUED, Reason.NONE),
        (FULL, (Handed(at(59)), tick(60 + REPORT_GRACE.seconds)), State.EXPIRED, Reason.NOT_REPORTED),
        (FULL, (Handed(at(1)), sent(status="expired")), State.EXPIRED, Reason.TOO_LATE),
        (FULL, (Handed(at(1)), sent(status="failed")), State.FAILED, Reason.NOT_SAYABLE),
        (FULL, (sent(), tick(15.9)), State.SENT, Reason.NONE),
        (FULL, (sent(), tick(16)), State.FAILED, Reason.NO_ANSWER),
        (FULL, (sent(), answered()), State.ACKNOWLEDGED, Reason.NONE),
        (FULL, (sent(), answered(ok=False)), State.FAILED, Reason.REFUSED),
        (FULL, (sent(), answered(), tick(61)), State.FAILED, Reason.NO_EFFECT),
        (FULL, (sent(), answered(), EffectSeen(at(9), at(9), {"power": 0})), State.DONE, Reason.EFFECT_SEEN),
        (FULL, (sent(), EffectSeen(at(9), at(9), {"power": 0})), State.DONE, Reason.EFFECT_SEEN),
        # The answer may be here before the gateway's own word.
        (FULL, (Handed(at(1)), answered(), sent(3)), State.ACKNOWLEDGED, Reason.NONE),
        (replace(FULL, effect=None), (sent(), answered()), State.DONE, Reason.ANSWERED),
        (BLIND, (sent(),), State.DONE, Reason.BROKER),
        (BLIND, (sent(status="unsure"),), State.FAILED, Reason.MAYBE_SENT),
        # What its broker says of it.
        (FULL, (Handed(at(1)), sent(status="failed", broker="refused")), State.FAILED, Reason.BROKER_REFUSED),
        (BLIND, (sent(broker="unheard"),), State.FAILED, Reason.UNHEARD),
        (FULL, (sent(broker="unheard"),), State.SENT, Reason.NONE),
        (FULL, (sent(broker="unheard"), answered()), State.ACKNOWLEDGED, Reason.NONE),
        (FULL, (sent(broker="unheard"), tick(16)), State.FAILED, Reason.NO_ANSWER),
        (FULL, (sent(status="unsure"), answered()), State.ACKNOWLEDGED, Reason.NONE),
        (replace(FULL, answers=False), (sent(),), State.ACKNOWLEDGED, Reason.NONE),
        (replace(FULL, answers=False), (sent(), tick(61)), State.FAILED, Reason.NO_EFFECT),
        # While the uplink is cut nothing can be said of an answer.
        (FULL, (sent(), tick(300, progress=5)), State.SENT, Reason.NONE),
        (FULL, (sent(), tick(300, progress=5), answered()), State.ACKNOWLEDGED, Reason.NONE),
        (FULL, (sent(), tick(17 + GIVE_UP_AFTER.seconds, progress=5)), State.FAILED, Reason.GATEWAY_SILENT),
        (FULL, (Cancel(at(1)),), State.CANCELLED, Reason.BY_PERSON),
    ],
)
def test_every_way_ends_as_it_should(
    terms: Terms, happenings: tuple[Happening, ...], state: State, reason: Reason
) -> None:
    life = after(terms, *happenings)
    assert (life.state, life.reason) == (state, reason)


def test_it_is_said_again_while_there_is_time_and_no_longer() -> None:
    terms = replace(FULL, retries=2)
    life = after(terms, Handed(at(1)), sent(), tick(16))
    assert (life.state, life.attempt, life.handed_at, life.sent_at) == (State.QUEUED, 2, None, None)
    late = advance(life, terms, sent(17, attempt=1)).life
    assert late.state is State.QUEUED, "the first attempt's report is not the second's"
    second = advance(life, terms, sent(50, attempt=2)).life
    assert advance(second, terms, tick(65)).life.reason is Reason.NO_ANSWER, "it has expired meanwhile"


def test_what_a_gateway_has_fetched_cannot_be_taken_back() -> None:
    life = after(FULL, Handed(at(1)))
    with pytest.raises(NotCancellable):
        advance(life, FULL, Cancel(at(2)))


def test_late_news_is_named_and_changes_nothing() -> None:
    life = after(FULL, tick(60))
    assert advance(life, FULL, answered(61)) == (
        life,
        "late_answer",
        {"ok": True, "result": "r", "at": at(61).isoformat()},
    )
    assert advance(life, FULL, sent(62)).what == "late_sent"
    assert advance(life, FULL, EffectSeen(at(63), at(63), {})) == (life, "", {})


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order: what is over stays over, and nothing waits for ever."""

    @initialize(answers=st.booleans(), retries=st.integers(0, 3), effect=st.sampled_from([None, "power < 5"]))
    def start(self, answers: bool, retries: int, effect: str | None) -> None:
        self.terms = replace(FULL, answers=answers, retries=retries, effect=effect)
        self.life = begin(now=NOW, expires=timedelta(seconds=60))
        self.now = 0.0
        self.ended: Life | None = None
        self.sent = 0

    def happens(self, happening: Happening) -> None:
        before = self.life
        step = advance(before, self.terms, happening)
        self.life = step.life
        if before.state is not step.life.state:
            assert step.what, "every change of state has a name"
        if step.life.state is State.SENT and before.state is State.QUEUED:
            self.sent += 1

    @rule(seconds=st.floats(0.1, 40), lag=st.floats(0, 30))
    def time_passes(self, seconds: float, lag: float) -> None:
        self.now += seconds
        self.happens(Tick(at(self.now), at(max(0.0, self.now - lag))))

    @rule()
    def fetched(self) -> None:
        self.happens(Handed(at(self.now)))

    @rule(
        attempt=st.integers(1, 4),
        status=st.sampled_from(["sent", "unsure", "failed", "expired"]),
        again=st.integers(1, 2),
    )
    def reported(self, attempt: int, status: str, again: int) -> None:
        for _ in range(again):
            self.happens(Said(at(self.now), attempt, status, at(self.now), "w"))

    @rule(ok=st.booleans())
    def answers(self, ok: bool) -> None:
        self.happens(Answered(at(self.now), at(self.now), ok, "r"))

    @precondition(lambda self: self.life.sent_at is not None)
    @rule()
    def shows(self) -> None:
        self.happens(EffectSeen(at(self.now), at(self.now), {"power": 0}))

    @rule()
    def taken_back(self) -> None:
        if self.life.state is State.QUEUED and self.life.handed_at is None and self.life.attempt == 1:
            self.happens(Cancel(at(self.now)))
        else:
            with pytest.raises(NotCancellable):
                advance(self.life, self.terms, Cancel(at(self.now)))

    @invariant()
    def what_is_over_stays_over(self) -> None:
        if self.ended is not None:
            assert self.life == self.ended
        elif not self.life.is_outstanding:
            self.ended = self.life

    @invariant()
    def an_end_has_a_reason_and_a_time(self) -> None:
        over = not self.life.is_outstanding
        assert (self.life.ended_at is not None) == over
        assert bool(self.life.reason) == over
        if self.life.reason is Reason.EFFECT_SEEN or self.life.state is State.ACKNOWLEDGED:
            assert self.terms.effect is not None
        if self.life.state in (State.SENT, State.ACKNOWLEDGED):
            assert self.life.sent_at is not None

    @invariant()
    def it_is_not_said_more_often_than_agreed(self) -> None:
        assert self.life.attempt <= self.terms.retries + 1
        assert self.sent <= self.terms.retries + 1

    @invariant()
    def nothing_waits_for_ever(self) -> None:
        long_after = self.now + 4 * (60 + 60) + 4 * GIVE_UP_AFTER.total_seconds()
        life = self.life
        for _ in range(10):
            long_after += GIVE_UP_AFTER.total_seconds() + 200
            life = advance(life, self.terms, Tick(at(long_after), None)).life
        assert not life.is_outstanding


AnyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
TestAnyOrder = AnyOrder.TestCase
