"""Online, stale, offline, unknown: judged by the gateway's progress, never by a clock on the wall."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from device_profiles.schema import Availability
from gateway.presence import Contact, Liveness, PresenceReason, hear, judge
from gateway.reading import Presence, Reading

START = datetime(2025, 11, 21, 8, tzinfo=UTC)
USUAL = Availability.model_validate({"period": "3m", "missed": 2, "offline_after": "30m"})
QUIET = Availability.model_validate({"period": "1m", "event_driven": True})


def _judge(
    availability: Availability = USUAL,
    *,
    silent: float | None = 0,
    said: Presence = Presence.UNSAID,
    progress: datetime | None = START,
    gateway_known: bool = True,
) -> tuple[Liveness, PresenceReason]:
    heard_at = None if silent is None or progress is None else progress - timedelta(minutes=silent)
    found = judge(availability, heard_at=heard_at, said=said, progress_at=progress, gateway_known=gateway_known)
    return found.liveness, found.reason


@pytest.mark.parametrize(
    ("silent", "liveness", "reason"),
    [
        (0, Liveness.ONLINE, PresenceReason.HEARD),
        (6, Liveness.ONLINE, PresenceReason.HEARD),
        (6.01, Liveness.STALE, PresenceReason.OVERDUE),
        (30, Liveness.STALE, PresenceReason.OVERDUE),
        (30.01, Liveness.OFFLINE, PresenceReason.SILENT),
        (-5, Liveness.ONLINE, PresenceReason.HEARD),
        (None, Liveness.UNKNOWN, PresenceReason.NEVER_HEARD),
    ],
)
def test_silence(silent: float | None, liveness: Liveness, reason: PresenceReason) -> None:
    assert _judge(silent=silent) == (liveness, reason)


def test_without_an_offline_time_three_times_stale_is_offline() -> None:
    plain = Availability.model_validate({"period": "1m", "missed": 2})
    assert _judge(plain, silent=6)[0] is Liveness.STALE
    assert _judge(plain, silent=6.1)[0] is Liveness.OFFLINE


def test_a_last_will_counts_at_once_and_before_everything_else() -> None:
    for availability in (USUAL, QUIET):
        for silent in (0, 100, None):
            found = _judge(availability, silent=silent, said=Presence.OFFLINE)
            assert found == (Liveness.OFFLINE, PresenceReason.SAID_OFFLINE)


def test_a_word_of_being_online_does_not_outweigh_silence() -> None:
    assert _judge(said=Presence.ONLINE, silent=31)[0] is Liveness.OFFLINE
    assert _judge(said=Presence.ONLINE, silent=None) == (Liveness.ONLINE, PresenceReason.SAID_ONLINE)


def test_where_silence_is_normal_only_a_last_will_makes_offline() -> None:
    assert _judge(QUIET, silent=10_000) == (Liveness.ONLINE, PresenceReason.SILENCE_IS_NORMAL)
    assert _judge(QUIET, silent=None) == (Liveness.UNKNOWN, PresenceReason.NEVER_HEARD)
    assert _judge(QUIET, silent=None, said=Presence.ONLINE) == (Liveness.ONLINE, PresenceReason.SAID_ONLINE)


def test_behind_a_gateway_that_cannot_be_judged_everything_is_unknown() -> None:
    for said in Presence:
        found = _judge(said=said, silent=1000, gateway_known=False)
        assert found == (Liveness.UNKNOWN, PresenceReason.GATEWAY_UNREACHABLE)
    assert _judge(progress=None, silent=None)[0] is Liveness.UNKNOWN


def test_a_gateway_that_has_not_caught_up_condemns_nobody() -> None:
    """Restarted at 10:00 with a backlog: it has read up to 08:05, the device spoke at 08:00."""
    progress = START + timedelta(minutes=5)
    found = judge(USUAL, heard_at=START, said=Presence.UNSAID, progress_at=progress, gateway_known=True)
    assert found.liveness is Liveness.ONLINE
    assert found.silence == timedelta(minutes=5)


# --- what counts as hearing from a device ----------------------------------------------------------------------------


def _reading(presence: Presence = Presence.UNSAID, **more: Any) -> Reading:
    return Reading("d", "", 0, 0, "b", {}, presence=presence, **more)


def test_an_ordinary_message_is_a_sign_of_life_and_overrules_a_last_will() -> None:
    gone = hear(Contact(START, Presence.ONLINE), _reading(Presence.OFFLINE), START + timedelta(minutes=1))
    assert gone == Contact(START, Presence.OFFLINE)
    back = hear(gone, _reading(), START + timedelta(minutes=2))
    assert back == Contact(START + timedelta(minutes=2), Presence.UNSAID)


def test_what_was_retained_is_the_past_speaking() -> None:
    later = START + timedelta(hours=1)
    assert hear(Contact(START), _reading(retained=True), later) == Contact(START)
    assert hear(Contact(), _reading(Presence.ONLINE, retained=True), later) == Contact(None, Presence.ONLINE)
    gone = Contact(START, Presence.OFFLINE)
    assert hear(gone, _reading(retained=True), later) == gone


def test_a_message_that_comes_late_does_not_turn_time_back() -> None:
    assert hear(Contact(START), _reading(), START - timedelta(minutes=5)).heard_at == START
