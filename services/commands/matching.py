"""Which answer is to which command. Pure."""

from __future__ import annotations

from services.commands.lifecycle import State
from services.commands.outstanding import Live


def is_meant(live: Live, correlation: str) -> bool:
    """Whether an answer that names this is to this command."""
    if correlation == live.id:
        return True
    return correlation.isascii() and correlation.isdigit() and len(correlation) < 7 and int(correlation) == live.nonce


def was_fetched(live: Live) -> bool:
    """Whether it may have been said: numbers can be guessed, and others count their commands too."""
    return live.life.state is not State.QUEUED or live.life.handed_at is not None or live.life.attempt > 1


def awaits_answer(live: Live) -> bool:
    """Whether an answer that names nothing can be to it."""
    handed = live.life.state is State.QUEUED and live.life.handed_at is not None
    return handed or live.life.state is State.SENT
