"""The life of one command. Pure: (life, terms, what happened) -> life, and the name of the step.

    queued ──▶ sent ──▶ acknowledged ──▶ done          the device shows the effect
       │         │            └────────▶ failed        it did not show it in time
       │         ├─▶ done | failed                     no effect to wait for; refused; no answer
       │         └─▶ queued                            no answer: once more, while there is time
       └─▶ cancelled | expired | failed                it was never said

What happens at the device is timed on the gateway's clock and against the gateway's progress: while the uplink is cut
nothing can be said about an answer, and nothing is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

REPORT_GRACE = timedelta(seconds=30)
"""How long after a command has expired its gateway may still say that it had been sent in time."""
GIVE_UP_AFTER = timedelta(minutes=10)
"""How long an answer is waited for on our own clock, where the gateway has fallen silent."""


class State(StrEnum):
    QUEUED = "queued"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


OUTSTANDING = frozenset({State.QUEUED, State.SENT, State.ACKNOWLEDGED})


class Reason(StrEnum):
    """Why it is as it is."""

    NONE = ""
    EFFECT_SEEN = "effect_seen"
    ANSWERED = "answered"  # the device confirms; its profile names no effect to look for
    BROKER = "broker"  # the broker took it; this device neither answers nor shows it
    REFUSED = "refused"  # by the device
    BROKER_REFUSED = "broker_refused"  # the broker does not pass it on: its access list, its limits
    UNHEARD = "unheard"  # nobody listens on its topic, and nothing could show otherwise
    NO_ANSWER = "no_answer"
    NO_EFFECT = "no_effect"
    NOT_SAYABLE = "not_sayable"  # the gateway could not make a message of it
    MAYBE_SENT = "maybe_sent"  # the gateway was stopped while it sent, and nothing can tell
    GATEWAY_SILENT = "gateway_silent"
    SWITCHED_OFF = "switched_off"
    NO_GATEWAY = "no_gateway"
    NOT_FETCHED = "not_fetched"  # no gateway came for it
    NOT_REPORTED = "not_reported"  # the gateway took it and said nothing of it
    TOO_LATE = "too_late"  # the gateway had it, and could not send it in time
    BY_PERSON = "by_person"
    RIGHT_GONE = "right_gone"  # who asked for it may not do so any more
    OVERRULED = "overruled"  # a critical alarm has ordered something else for this part


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How long each step may take, as the profile said when the command was asked for."""

    answers: bool
    """Some message of the device answers this command."""
    timeout: timedelta
    retries: int
    effect: str | None = None
    """What telemetry must show."""
    within: timedelta = timedelta(0)
    last_word: bool = False
    """Ordered by a critical alarm: nothing else is said to this part meanwhile."""
    answers_count_from: datetime | None = None
    """On the gateway's clock. It took the place of one that may have been said: until then an answer that names neither
    may be to that one, and proves nothing."""


@dataclass(frozen=True, kw_only=True)
class Life:
    state: State
    expires_at: datetime
    moved_at: datetime
    """Last change, on our own clock."""
    reason: Reason = Reason.NONE
    detail: Mapping[str, Any] = field(default_factory=dict)
    attempt: int = 1
    handed_at: datetime | None = None
    sent_at: datetime | None = None
    """On the gateway's clock, like those that follow."""
    acknowledged_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def is_outstanding(self) -> bool:
        return self.state in OUTSTANDING


# --- what can happen --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Handed:
    """Its gateway has fetched it."""

    now: datetime


@dataclass(frozen=True)
class Said:
    """The gateway reports an attempt. `status` is sent, unsure, failed or expired."""

    now: datetime
    attempt: int
    status: str
    at: datetime
    reason: str = ""
    broker: str = ""
    """`refused`: the broker does not pass it on. `unheard`: it took it, and nobody listens on the topic in `reason`."""


@dataclass(frozen=True)
class Answered:
    """The device answers, at `at` on the gateway's clock."""

    now: datetime
    at: datetime
    ok: bool
    result: str = ""
    in_doubt: bool = False
    """It may be to the command whose place this one took."""


@dataclass(frozen=True)
class EffectSeen:
    now: datetime
    at: datetime
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Cancel:
    now: datetime


@dataclass(frozen=True)
class OrderedToo:
    """A rule wants just this, and asks for no second one: from now on it is the rule's as well."""

    now: datetime
    alarm: str
    rule: str


@dataclass(frozen=True)
class Overruled:
    """A critical alarm has ordered something else: it is not sent any more, and not sent again."""

    now: datetime
    alarm: str
    rule: str
    makes_room: bool = False
    """What is ordered is this very command with other values: of one kind only one can be under way, so it ends now."""


@dataclass(frozen=True)
class RightGone:
    """Who asked for it has lost the role that it needs, or the account: it is not handed out any more."""

    now: datetime
    by: str
    role: str


@dataclass(frozen=True)
class Tick:
    """Time has passed; `progress` is how far the gateway has seen it pass. `seen` is what telemetry shows meanwhile."""

    now: datetime
    progress: datetime | None
    seen: Mapping[str, Any] = field(default_factory=dict)


Happening = Handed | Said | Answered | EffectSeen | Cancel | OrderedToo | Overruled | RightGone | Tick
_KEPT = ("ordered_by", "overruled_by", "in_doubt")
"""What a command that is under way does not forget when it is sent."""


class Step(NamedTuple):
    life: Life
    what: str
    """The name of what happened, for the history; "" where nothing did."""
    data: Mapping[str, Any] = {}


class NotCancellable(Exception):
    """It has been fetched by the gateway, or it is over, or a rule has ordered it as well."""

    def __init__(self, state: State, why: str = "") -> None:
        found = why or f"this one is {state.value}"
        super().__init__(f"a command can be cancelled only while it waits for its gateway; {found}")
        self.state = state


def begin(*, now: datetime, expires: timedelta) -> Life:
    return Life(state=State.QUEUED, expires_at=now + expires, moved_at=now)


def stillborn(*, now: datetime, expires: timedelta, reason: Reason) -> Life:
    """One that a rule ordered and that cannot even be queued: it fails where people and rules see it."""
    return Life(state=State.FAILED, reason=reason, expires_at=now + expires, moved_at=now, ended_at=now)


def may_answer_until(life: Life, terms: Terms) -> datetime | None:
    """Until when, on the gateway's clock, the device may yet answer it; None where no answer can be on its way."""
    if not terms.answers or life.acknowledged_at is not None:
        return None
    if life.sent_at is not None:
        return life.sent_at + terms.timeout
    return None if life.handed_at is None else life.expires_at + terms.timeout


def rewound(life: Life, to: datetime) -> Life:
    """The gateway's clock had been ahead and was put right: what it stamped later than `to` happened by then. Without
    this an answer would be waited for until the clock has caught up with itself."""
    sent, answered = life.sent_at, life.acknowledged_at
    return replace(
        life,
        sent_at=None if sent is None else min(sent, to),
        acknowledged_at=None if answered is None else min(answered, to),
    )


def advance(life: Life, terms: Terms, happening: Happening) -> Step:
    """What a happening makes of a life. Nothing revives what is over; late news is named and changes nothing."""
    return _TABLE[type(happening)](life, terms, happening)


# --- one function per happening ---------------------------------------------------------------------------------------


def _handed(life: Life, _: Terms, it: Handed) -> Step:
    if life.state is not State.QUEUED:
        return Step(life, "")
    return Step(replace(life, handed_at=it.now), "" if life.handed_at else "handed")


def _said(life: Life, terms: Terms, it: Said) -> Step:
    if it.attempt != life.attempt or life.state in (State.SENT, State.ACKNOWLEDGED):
        return Step(life, "")  # said before
    if not life.is_outstanding:
        late = it.status in ("sent", "unsure") and life.sent_at is None
        return Step(life, "late_sent" if late else "", {"at": it.at.isoformat()})
    if it.status == "failed":
        reason = Reason.BROKER_REFUSED if it.broker == "refused" else Reason.NOT_SAYABLE
        return _ended(life, State.FAILED, reason, it.now, {"why": it.reason})
    if it.status == "expired" and "overruled_by" in life.detail:
        state = State.CANCELLED if life.attempt == 1 else State.FAILED
        return _ended(life, state, Reason.OVERRULED, it.now, {"alarm": life.detail["overruled_by"], "why": it.reason})
    if it.status == "expired":
        return _ended(life, State.EXPIRED, Reason.TOO_LATE, it.now, {"why": it.reason})
    return _sent(life, terms, it)


def _sent(life: Life, terms: Terms, it: Said) -> Step:
    doubt = _doubt(it)
    told = {"attempt": life.attempt, **doubt}
    kept = {key: life.detail[key] for key in _KEPT if key in life.detail}
    sent = replace(life, state=State.SENT, sent_at=it.at, moved_at=it.now, detail={**(told if doubt else {}), **kept})
    if terms.answers:
        return Step(sent, "sent", told)
    if terms.effect is not None:
        return Step(replace(sent, state=State.ACKNOWLEDGED), "sent", told)
    if not doubt:
        return _ended(sent, State.DONE, Reason.BROKER, it.now)
    reason = Reason.MAYBE_SENT if it.status == "unsure" else Reason.UNHEARD
    return _ended(sent, State.FAILED, reason, it.now, {"why": it.reason})


def _doubt(it: Said) -> dict[str, str]:
    """Why the device may not have heard it. A broker may know of no listener and pass it on all the same (a bridge, a
    rule of its own), so what can be answered or measured is waited for."""
    if it.status == "unsure":
        return {"unsure": it.reason}
    return {"unheard": it.reason} if it.broker == "unheard" else {}


def _answered(life: Life, terms: Terms, it: Answered) -> Step:
    said = {"ok": it.ok, "result": it.result, "at": it.at.isoformat()}
    if not life.is_outstanding:
        return Step(life, "late_answer", said)
    if life.state is State.ACKNOWLEDGED and life.acknowledged_at is not None:
        repeated = (life.detail.get("ok"), life.detail.get("result")) == (it.ok, it.result)
        return Step(life, "" if repeated else "answered_again", said)
    if it.in_doubt:
        return _answered_in_doubt(life, said)
    # An answer can be here before the gateway's word that it has sent.
    heard = replace(life, sent_at=life.sent_at or it.at, acknowledged_at=it.at, moved_at=it.now, detail=said)
    if not it.ok:
        return _ended(heard, State.FAILED, Reason.REFUSED, it.now, said)
    if terms.effect is None:
        return _ended(heard, State.DONE, Reason.ANSWERED, it.now, said)
    return Step(replace(heard, state=State.ACKNOWLEDGED), "acknowledged", said)


def _answered_in_doubt(life: Life, said: Mapping[str, Any]) -> Step:
    """It is noted, and decides nothing."""
    if "in_doubt" in life.detail:
        return Step(life, "")
    return Step(replace(life, detail={**life.detail, "in_doubt": True}), "answer_in_doubt", said)


def _effect_seen(life: Life, _: Terms, it: EffectSeen) -> Step:
    said_before = life.state is State.QUEUED and life.attempt > 1  # it was late, and need not be said again
    if life.state not in (State.SENT, State.ACKNOWLEDGED) and not said_before:
        return Step(life, "")
    seen = {"seen": dict(it.values), "at": it.at.isoformat()}
    return _ended(life, State.DONE, Reason.EFFECT_SEEN, it.now, seen)


def _cancel(life: Life, _: Terms, it: Cancel) -> Step:
    if life.state is not State.QUEUED or life.handed_at is not None or life.attempt > 1:
        raise NotCancellable(life.state)
    if "ordered_by" in life.detail:
        raise NotCancellable(life.state, "a rule has ordered this one as well")
    return _ended(life, State.CANCELLED, Reason.BY_PERSON, it.now)


def _ordered_too(life: Life, _: Terms, it: OrderedToo) -> Step:
    noted = replace(life, detail={**life.detail, "ordered_by": it.alarm}) if life.state is State.QUEUED else life
    return Step(noted, "ordered_too", {"alarm": it.alarm, "rule": it.rule})


def _overruled(life: Life, _: Terms, it: Overruled) -> Step:
    by = {"alarm": it.alarm, "rule": it.rule}
    if life.state is State.QUEUED and life.handed_at is None:
        never_said = life.attempt == 1
        return _ended(life, State.CANCELLED if never_said else State.FAILED, Reason.OVERRULED, it.now, by)
    if it.makes_room and life.is_outstanding:
        return _ended(life, State.FAILED, Reason.OVERRULED, it.now, by)
    if life.state not in (State.QUEUED, State.SENT) or "overruled_by" in life.detail:
        return Step(life, "")
    return Step(replace(life, detail={**life.detail, "overruled_by": it.alarm}), "overruled", by)


def _right_gone(life: Life, _: Terms, it: RightGone) -> Step:
    """What a gateway has fetched may have been said; and what a rule wants as well needs nobody's right."""
    if life.state is not State.QUEUED or life.handed_at is not None or "ordered_by" in life.detail:
        return Step(life, "")
    return _ended(life, State.FAILED, Reason.RIGHT_GONE, it.now, {"by": it.by, "role": it.role})


def _tick(life: Life, terms: Terms, it: Tick) -> Step:
    if life.state is State.QUEUED:
        return _waits_for_gateway(life, it)
    if not life.is_outstanding or life.sent_at is None:
        return Step(life, "")
    awaits_answer = life.state is State.SENT
    limit = terms.timeout if awaits_answer else terms.within
    if it.progress is not None and it.progress >= life.sent_at + limit:
        return _unanswered(life, terms, it) if awaits_answer else _without_effect(life, it)
    if it.now >= life.moved_at + limit + GIVE_UP_AFTER:
        return _ended(life, State.FAILED, Reason.GATEWAY_SILENT, it.now)
    return Step(life, "")


def _waits_for_gateway(life: Life, it: Tick) -> Step:
    if life.handed_at is None and it.now >= life.expires_at:
        return _ended(life, State.EXPIRED, Reason.NOT_FETCHED, it.now)
    if it.now >= life.expires_at + REPORT_GRACE:
        return _ended(life, State.EXPIRED, Reason.NOT_REPORTED, it.now)
    return Step(life, "")


def _unanswered(life: Life, terms: Terms, it: Tick) -> Step:
    if "overruled_by" in life.detail:
        return _ended(life, State.FAILED, Reason.OVERRULED, it.now, {"alarm": life.detail["overruled_by"]})
    if life.attempt > terms.retries or it.now >= life.expires_at:
        if "in_doubt" in life.detail and terms.effect is not None:  # it may have answered: what is measured decides
            seen = {"seen": dict(it.seen)}
            return Step(replace(life, state=State.ACKNOWLEDGED, moved_at=it.now), "effect_decides", seen)
        told = {"attempts": life.attempt, "seen": dict(it.seen), **_unheard(life)}
        return _ended(life, State.FAILED, Reason.NO_ANSWER, it.now, told)
    again = replace(
        life, state=State.QUEUED, attempt=life.attempt + 1, handed_at=None, sent_at=None, moved_at=it.now, detail={}
    )
    return Step(again, "again", {"attempt": again.attempt})


def _without_effect(life: Life, it: Tick) -> Step:
    return _ended(life, State.FAILED, Reason.NO_EFFECT, it.now, {"seen": dict(it.seen), **_unheard(life)})


def _unheard(life: Life) -> dict[str, Any]:
    """The topic on which nobody listened, where the broker said so."""
    return {"unheard": life.detail["unheard"]} if "unheard" in life.detail else {}


def _ended(life: Life, state: State, reason: Reason, now: datetime, detail: Mapping[str, Any] | None = None) -> Step:
    over = replace(life, state=state, reason=reason, detail=dict(detail or {}), moved_at=now, ended_at=now)
    return Step(over, state.value, {"reason": reason.value, **over.detail})


_TABLE: dict[type[Happening], Callable[[Life, Terms, Any], Step]] = {
    Handed: _handed,
    Said: _said,
    Answered: _answered,
    EffectSeen: _effect_seen,
    Cancel: _cancel,
    OrderedToo: _ordered_too,
    Overruled: _overruled,
    RightGone: _right_gone,
    Tick: _tick,
}
