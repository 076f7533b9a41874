"""The alarm automaton: when one rule on one device (or child) is pending, raised, clearing or at rest.

Pure. All times are event time in milliseconds; durations count only while the condition is known to hold and the data
behind it is fresh: a gap freezes them. A condition that is unknown neither raises nor clears.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from gateway.reading import Millis

FOREVER: Millis = 1 << 62


class Phase(StrEnum):
    IDLE = "idle"
    PENDING = "pending"
    ACTIVE = "active"
    CLEARING = "clearing"


class Outcome(StrEnum):
    """What one step did, by name."""

    QUIET = "quiet"
    PENDING = "pending"  # the condition began to hold; `for` runs
    STILL_PENDING = "still_pending"
    FROZEN = "frozen"  # unknown or stale: no time passes
    DROPPED = "dropped"  # it stopped holding before `for` was over
    RAISED = "raised"
    STILL_ACTIVE = "still_active"
    CLEARING = "clearing"  # the clear condition began to hold; its `for` runs
    STILL_CLEARING = "still_clearing"
    RELAPSED = "relapsed"  # the clear condition stopped holding before its `for` was over
    CLEARED = "cleared"
    SEVERITY = "severity"  # an active alarm became more or less severe
    FLAPPING = "flapping"  # it has begun so often that it counts as one alarm that flaps
    LATE = "late"  # late data met the condition: recorded, and nobody is told


class Delays(NamedTuple):
    """Milliseconds for which a condition must hold."""

    raise_after: Millis = 0
    clear_after: Millis = 0


class Mark(NamedTuple):
    """Where one automaton stands."""

    phase: Phase = Phase.IDLE
    since: Millis = 0
    """When the condition of this phase began to hold."""
    held: Millis = 0
    """How long it has held, gaps left out."""
    at: Millis = 0
    """Up to when time has been counted."""
    valid_until: Millis = 0
    """Until when the data behind the last verdict is fresh."""
    counting: bool = False
    """The last verdict was that it holds."""


IDLE = Mark()


class Transition(NamedTuple):
    outcome: Outcome
    at: Millis
    """When it happened; for RAISED and CLEARED the moment the delay was over, not the moment it was noticed."""
    since: Millis


class Step(NamedTuple):
    mark: Mark
    transitions: tuple[Transition, ...]

    def has(self, outcome: Outcome) -> bool:
        return any(one.outcome is outcome for one in self.transitions)


Verdict = bool | None
Judge = Callable[[Phase], Verdict]
"""Asked with the phase: does the rule's condition hold (idle, pending), or its clear condition (active, clearing)?"""

_P, _O = Phase, Outcome
_WAITING = {_P.PENDING: (_P.ACTIVE, _O.RAISED), _P.CLEARING: (_P.IDLE, _O.CLEARED)}
"""Where a delay that is over leads."""

TABLE: dict[tuple[Phase, Verdict], tuple[Phase, Outcome]] = {
    (_P.IDLE, True): (_P.PENDING, _O.PENDING),
    (_P.IDLE, False): (_P.IDLE, _O.QUIET),
    (_P.IDLE, None): (_P.IDLE, _O.QUIET),
    (_P.PENDING, True): (_P.PENDING, _O.STILL_PENDING),
    (_P.PENDING, False): (_P.IDLE, _O.DROPPED),
    (_P.PENDING, None): (_P.PENDING, _O.FROZEN),
    (_P.ACTIVE, True): (_P.CLEARING, _O.CLEARING),
    (_P.ACTIVE, False): (_P.ACTIVE, _O.STILL_ACTIVE),
    (_P.ACTIVE, None): (_P.ACTIVE, _O.STILL_ACTIVE),
    (_P.CLEARING, True): (_P.CLEARING, _O.STILL_CLEARING),
    (_P.CLEARING, False): (_P.ACTIVE, _O.RELAPSED),
    (_P.CLEARING, None): (_P.CLEARING, _O.FROZEN),
}


def advance(mark: Mark, delays: Delays, at: Millis, judge: Judge, valid_until: Millis = FOREVER) -> Step:
    """What is seen at `at`: first the time before it passes under the old verdict, then the new one is judged.

    Time passes first, so a replay of old readings raises exactly what a clock ticking between them had raised. An `at`
    before the time already counted counts nothing.
    """
    passed = elapse(mark, delays, at)
    before = passed.mark
    verdict = judge(before.phase)
    phase, outcome = TABLE[before.phase, verdict]
    at = max(at, before.at)
    entered = phase is not before.phase
    since = at if entered else before.since
    seen = IDLE
    if phase in _WAITING:
        held = 0 if entered else before.held
        seen = Mark(phase, since, held, at, valid_until, verdict is True)
    elif phase is _P.ACTIVE:
        seen = Mark(phase, since, at=since)  # the same however often it is looked at
    due = elapse(seen, delays, at)  # a delay of zero is over at once
    return Step(due.mark, (*_news(passed), Transition(outcome, at, since), *_news(due)))


def elapse(mark: Mark, delays: Delays, at: Millis) -> Step:
    """Time passes to `at` and nothing new is seen: a delay may be over, if the data stayed fresh that long."""
    if mark.phase not in _WAITING:
        return Step(mark, ())
    delay = delays.raise_after if mark.phase is _P.PENDING else delays.clear_after
    fresh = max(0, min(at, mark.valid_until) - mark.at) if mark.counting else 0
    if mark.held + fresh >= delay and mark.counting:
        phase, outcome = _WAITING[mark.phase]
        over = mark.at + max(0, delay - mark.held)
        after = IDLE if phase is _P.IDLE else Mark(phase=phase, since=over, at=over)
        return Step(after, (Transition(outcome, over, mark.since),))
    running = _O.STILL_PENDING if mark.phase is _P.PENDING else _O.STILL_CLEARING
    outcome = _O.FROZEN if fresh == 0 and at > mark.at else running
    # Only the counted part is taken off: what lies behind `valid_until` stays frozen.
    return Step(mark._replace(held=mark.held + fresh, at=max(at, mark.at)), (Transition(outcome, at, mark.since),))


def _news(step: Step) -> tuple[Transition, ...]:
    """Without what only says that nothing has changed."""
    return tuple(one for one in step.transitions if one.outcome in (_O.RAISED, _O.CLEARED))
