"""How one supply's outage moves: started, worse, better, restored. A table, pure."""

from __future__ import annotations

from enum import StrEnum

from services.outages.impact import Loss


class Turn(StrEnum):
    NOTHING = "nothing"
    STARTED = "started"
    WORSE = "worse"
    BETTER = "better"
    RESTORED = "restored"
    UNCHANGED = "unchanged"  # the same loss, perhaps by other causes


_N, _D, _F = Loss.NONE, Loss.DEGRADED, Loss.FULL
TURNS: dict[tuple[Loss, Loss], Turn] = {
    (_N, _N): Turn.NOTHING,
    (_N, _D): Turn.STARTED,
    (_N, _F): Turn.STARTED,
    (_D, _N): Turn.RESTORED,
    (_D, _D): Turn.UNCHANGED,
    (_D, _F): Turn.WORSE,
    (_F, _N): Turn.RESTORED,
    (_F, _D): Turn.BETTER,
    (_F, _F): Turn.UNCHANGED,
}


def turn(before: Loss, after: Loss) -> Turn:
    """`before` is what the ongoing outage says (NONE without one), `after` what is left now."""
    return TURNS[before, after]
