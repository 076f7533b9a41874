"""Where the break is: judged link by link, by the gateway's progress, never by a clock on the wall."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.schema import Availability, DeviceProfile
from gateway.presence import (
    Contact,
    Fault,
    Liveness,
    Parent,
    PresenceReason,
    PresenceState,
    ValueFault,
    Way,
    announced,
    faults_of,
    hear,
    hear_child,
    is_down,
    judge,
    judge_child,
    voices_of,
)
from gateway.reading import Event, Millis, Presence, Reading

R = PresenceReason
MINUTE: Millis = 60_000
START: Millis = 1_763_712_000_000
USUAL = Availability.model_validate({"period": "3m", "missed": 2, "offline_after": "30m"})
QUIET = Availability.model_validate({"period": "1m", "event_driven": True})
ON, OFF = Presence.ONLINE, Presence.OFFLINE


def _judge(
    availability: Availability = USUAL,
    *,
    silent: float | None = 0,
    said: Presence = Presence.UNSAID,
    progress: Millis | None = START,
    **way: Any,
) -> tuple[Liveness, PresenceReason]:
    heard_at = None if silent is None else START - round(silent * MINUTE)
    contact = Contact(heard_at, {"status": said} if said else {})
    found = judge(availability, contact, Way(progress, **way))
    return found.liveness, found.reason


@pytest.mark.parametrize(
    ("silent", "liveness", "reason"),
    [
        (0, Liveness.ONLINE, R.HEARD),
        (6, Liveness.ONLINE, R.HEARD),
        (6.01, Liveness.STALE, R.OVERDUE),
        (30, Liveness.STALE, R.OVERDUE),
        (30.01, Liveness.OFFLINE, R.DEVICE_SILENT),
        (-5, Liveness.ONLINE, R.HEARD),
        (None, Liveness.UNKNOWN, R.NEVER_HEARD),
    ],
)
def test_silence(silent: float | None, liveness: Liveness, reason: PresenceReason) -> None:
    assert _judge(silent=silent) == (liveness, reason)


def test_without_an_offline_time_three_times_stale_is_offline() -> None:
    plain = Availability.model_validate({"period": "1m", "missed": 2})
    assert _judge(plain, silent=6)[0] is Liveness.STALE
    assert _judge(plain, silent=6.1)[0] is Liveness.OFFLINE


def test_a_last_will_counts_at_once() -> None:
    for availability in (USUAL, QUIET):
        for silent in (0, 100, None):
            assert _judge(availability, silent=silent, said=OFF) == (Liveness.OFFLINE, R.DEVICE_SAID_OFFLINE)


def test_a_word_of_being_online_does_not_outweigh_silence() -> None:
    assert _judge(said=ON, silent=31)[0] is Liveness.OFFLINE
    assert _judge(said=ON, silent=None) == (Liveness.ONLINE, R.SAID_ONLINE)


def test_where_silence_is_normal_only_a_last_will_makes_offline() -> None:
    assert _judge(QUIET, silent=10_000) == (Liveness.ONLINE, R.SILENCE_IS_NORMAL)
    assert _judge(QUIET, silent=None) == (Liveness.UNKNOWN, R.NEVER_HEARD)
    assert _judge(QUIET, silent=None, said=ON) == (Liveness.ONLINE, R.SAID_ONLINE)


def test_a_gateway_that_has_not_caught_up_condemns_nobody() -> None:
    """Restarted with a backlog: it has read five minutes beyond the device's last word, whatever the time is."""
    found = judge(USUAL, Contact(START), Way(START + 5 * MINUTE))
    assert found == PresenceState(Liveness.ONLINE, R.HEARD, 5 * MINUTE)


def test_silence_before_anybody_listened_is_nobody_s() -> None:
    assert _judge(silent=100, listening_since=START - MINUTE) == (Liveness.UNKNOWN, R.WAITING)
    assert _judge(silent=100, listening_since=START - 7 * MINUTE) == (Liveness.STALE, R.OVERDUE)
    assert _judge(silent=100, listening_since=START - 31 * MINUTE) == (Liveness.OFFLINE, R.DEVICE_SILENT)
    assert _judge(silent=0.5, listening_since=START - MINUTE) == (Liveness.ONLINE, R.HEARD)


# --- which link is broken --------------------------------------------------------------------------------------------

DOWN = Parent(down_since=START - 10 * MINUTE)


@pytest.mark.parametrize("said", list(Presence))
@pytest.mark.parametrize("broken", [R.UPLINK_CUT, R.BROKER_DOWN])
def test_what_lies_behind_a_broken_link_is_unknown(broken: PresenceReason, said: Presence) -> None:
    assert _judge(said=said, silent=1000, broken=broken, parent=DOWN) == (Liveness.UNKNOWN, broken)


@pytest.mark.parametrize("said", list(Presence))
@pytest.mark.parametrize("availability", [USUAL, QUIET])
def test_behind_a_parent_that_is_gone_a_device_is_unknown_at_once(availability: Availability, said: Presence) -> None:
    assert _judge(availability, silent=11, said=said, parent=DOWN) == (Liveness.UNKNOWN, R.PARENT_DOWN)


def test_a_device_that_speaks_after_its_parent_went_is_there() -> None:
    assert _judge(silent=2, parent=DOWN) == (Liveness.ONLINE, R.HEARD)
    # And when it falls silent with its parent still gone, that is not held against it.
    late = Parent(down_since=START - 100 * MINUTE)
    assert _judge(silent=50, parent=late) == (Liveness.UNKNOWN, R.PARENT_DOWN)


def test_who_is_silent_alone_is_silent_himself() -> None:
    heard_lately = Parent(witnessed_at=START - MINUTE)
    assert _judge(silent=31, parent=heard_lately) == (Liveness.OFFLINE, R.DEVICE_SILENT)
    # Everything behind the parent fell silent together: it is the parent, or the way to it.
    together = Parent(witnessed_at=START - 30 * MINUTE)
    assert _judge(silent=31, parent=together) == (Liveness.UNKNOWN, R.PARENT_DOWN)
    assert _judge(silent=7, parent=Parent(witnessed_at=START - 5 * MINUTE)) == (Liveness.UNKNOWN, R.PARENT_DOWN)
    # Nobody there speaks regularly: then there is nobody to ask.
    assert _judge(silent=31, parent=Parent()) == (Liveness.OFFLINE, R.DEVICE_SILENT)


def test_a_part_inherits_and_what_is_behind_a_device_that_is_gone_is_unknown() -> None:
    online = PresenceState(Liveness.ONLINE, R.HEARD, 5)
    assert judge_child(online, {}) == online
    assert judge_child(online, {"b": OFF})[:2] == (Liveness.OFFLINE, R.DEVICE_SAID_OFFLINE)
    gone = PresenceState(Liveness.OFFLINE, R.DEVICE_SILENT)
    cut = PresenceState(Liveness.UNKNOWN, R.UPLINK_CUT)
    for said in ({}, {"b": ON}, {"b": OFF}):
        assert judge_child(gone, said)[:2] == (Liveness.UNKNOWN, R.PARENT_DOWN)
        assert judge_child(cut, said) == cut


_moments = st.one_of(st.none(), st.integers(START - 3_000 * MINUTE, START + MINUTE))
_parents = st.one_of(st.none(), st.builds(Parent, _moments, _moments))
_contacts = st.builds(Contact, _moments, st.dictionaries(st.sampled_from("abc"), st.sampled_from([ON, OFF])))
_broken = st.sampled_from([None, R.UPLINK_CUT, R.BROKER_DOWN])
_ways = st.builds(Way, _moments, _broken, _moments, _parents)
_availabilities = st.sampled_from([USUAL, QUIET, Availability.model_validate({"period": "10s", "missed": 1})])


@given(_availabilities, _contacts, _ways)
def test_unknown_is_never_offline_and_offline_has_a_witness(
    availability: Availability, contact: Contact, way: Way
) -> None:
    found = judge(availability, contact, way)
    assert found == judge(availability, contact, way)
    if way.broken is not None:
        assert found == (Liveness.UNKNOWN, way.broken, None)
    if way.parent is not None and way.parent.down_since is not None and found.liveness is Liveness.OFFLINE:
        assert found.reason is R.DEVICE_SAID_OFFLINE
        assert (contact.heard_at or 0) > way.parent.down_since
    if found.liveness is Liveness.OFFLINE:
        assert way.broken is None
        assert way.progress_at is not None
        assert contact.word is OFF or (found.silence or 0) > availability.silent_offline_after.total_seconds() * 1000
    if found.reason in (R.UPLINK_CUT, R.BROKER_DOWN, R.PARENT_DOWN, R.WAITING, R.NEVER_HEARD):
        assert found.liveness is Liveness.UNKNOWN
        assert found.silence is None, "no rule on silence may count behind a break"
    child = judge_child(found, contact.said)
    if found.liveness in (Liveness.UNKNOWN, Liveness.OFFLINE):
        assert child.liveness is Liveness.UNKNOWN
    assert is_down(found) == (found.liveness is Liveness.OFFLINE or found.reason is R.PARENT_DOWN)


@given(_availabilities, _contacts, _ways)
def test_a_break_above_never_makes_more_offline(availability: Availability, contact: Contact, way: Way) -> None:
    """Whatever is broken further up can only take a verdict back to unknown, never turn one into offline."""
    free = judge(availability, contact, way._replace(broken=None, parent=None))
    found = judge(availability, contact, way)
    assert found == free or found.liveness is Liveness.UNKNOWN


# --- what counts as hearing from a device ----------------------------------------------------------------------------


def _reading(presence: Presence = Presence.UNSAID, binding: str = "b", **more: Any) -> Reading:
    return Reading("d", "", 0, 0, binding, {}, presence=presence, **more)


def test_an_ordinary_message_is_a_sign_of_life_and_overrules_a_last_will() -> None:
    gone = hear(Contact(START, {"b": ON}), _reading(OFF), START + 1)
    assert gone == Contact(START, {"b": OFF})
    assert hear(gone, _reading(binding="telemetry"), START + 2) == Contact(START + 2, {})


def test_what_was_retained_is_the_past_speaking() -> None:
    assert hear(Contact(START), _reading(retained=True), START + 9) == Contact(START)
    assert hear(Contact(), _reading(ON, retained=True), START) == Contact(None, {"b": ON})
    assert hear(Contact(START, {"b": ON}), _reading(OFF, retained=True), START + 9) == Contact(START, {"b": OFF})
    gone = Contact(START, {"b": OFF})
    assert hear(gone, _reading(retained=True), START + 9) == gone


def test_a_message_that_comes_late_does_not_turn_time_back() -> None:
    assert hear(Contact(START), _reading(), START - 5).heard_at == START


def test_any_source_that_says_offline_is_right_until_it_takes_that_back() -> None:
    standing = {"device", "bridge"}
    both = hear(Contact(START, {"device": ON, "bridge": ON}), _reading(OFF, "bridge"), START + 1, standing)
    assert both.word is OFF
    assert hear(both, _reading(), START + 2, standing).word is OFF, "a message does not tell that the bridge is mended"
    assert hear(both, _reading(ON, "device"), START + 2, standing).word is OFF
    assert hear(both, _reading(ON, "bridge"), START + 2, standing).word is ON


def _profile(bindings: list[dict[str, Any]]) -> DeviceProfile:
    return DeviceProfile.model_validate(
        {
            "profile": "p",
            "family": "f",
            "name": {"zh": "p", "en": "p"},
            "metrics": {
                "level": {"name": {"zh": "l", "en": "l"}, "period": "1m"},
                "rare": {"name": {"zh": "r", "en": "r"}},
                "flow": {"name": {"zh": "f", "en": "f"}, "scope": "pump", "period": "1m"},
            },
            "children": {"pump": {"name": {"zh": "p", "en": "p"}}},
            "availability": {"period": "1m"},
            "bindings": bindings,
        }
    )


WORDS = {"online": "online", "offline": "offline"}


def test_which_sources_stand() -> None:
    will = {"id": "will", "topic": "a/{address}", "presence": WORDS}
    bridge = {"id": "bridge", "topic": "b/{address}", "presence": WORDS}
    death = {"id": "death", "topic": "c/{address}", "says": "offline", "keepalive": True}
    assert voices_of(_profile([will, death])).standing == frozenset(), "the one status topic is the last will"
    assert voices_of(_profile([will, bridge, death])).standing == {"will", "bridge"}
    each = {"child": "pump", "key": "{key}", "over": "pumps", "says": "offline"}
    fan = {"id": "gone", "topic": "d/{address}", "decode": [{"json": True}], "each": [each]}
    assert voices_of(_profile([fan])).farewells == {"pump": {"gone"}}


def test_a_part_is_told_from_its_device() -> None:
    gone = hear_child({}, _reading(OFF), ())
    assert hear_child(gone, _reading(binding="values"), ()) == gone, "its device repeats its last values"
    assert hear_child(gone, _reading(ON), ()) == {"b": ON}
    assert hear_child({"death": OFF}, _reading(ON, "birth"), {"death"}) == {"birth": ON}
    assert hear_child({"will": OFF}, _reading(ON, "birth"), ()) == {"will": OFF, "birth": ON}


# --- values --------------------------------------------------------------------------------------------------------


def test_a_value_that_is_missing_and_one_that_its_device_calls_faulty() -> None:
    profile = _profile([])
    now = START
    times = {"level": now - 4 * MINUTE, "rare": now - 4000 * MINUTE, "flow": 0, "what": 0}
    assert list(faults_of(profile, None, times=times, flags={}, now=now)) == [
        ValueFault("level", Fault.METRIC_SILENT, 4 * MINUTE)
    ]
    assert list(faults_of(profile, None, times=times, flags={}, now=now - MINUTE)) == [], "three periods are allowed"
    assert list(faults_of(profile, None, times=times, flags={}, now=now, listening_since=now - MINUTE)) == []
    assert list(faults_of(profile, None, times={}, flags={"level": "faulty"}, now=now)) == [
        ValueFault("level", Fault.SENSOR_FAULTY)
    ]
    assert [one.metric for one in faults_of(profile, "pump", times=times, flags={}, now=now)] == ["flow"]
    assert list(faults_of(profile, None, times={}, flags={}, now=now)) == [], "what never came is no fault"


def test_what_a_device_announces() -> None:
    events = (Event("announced", {"name": "Pump 3", "ip": None}), Event("other", {"name": "x"}))
    assert announced(_reading(events=events)) == {"name": "Pump 3"}
