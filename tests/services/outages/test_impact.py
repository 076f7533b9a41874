"""What residents lose, by supply and by alarm."""

from __future__ import annotations

import itertools

import pytest

from services.outages.impact import Impairment, Loss, MemberShape, SupplyShape, assess, parts_touched
from services.outages.lifecycle import TURNS, Turn, turn

PUMPS = (MemberShape("set", "pump:1"), MemberShape("set", "pump:2"))


def supply(*members: MemberShape, needs: int, service: str = "water") -> SupplyShape:
    return SupplyShape(id="s", service=service, needs=needs, members=members)


def alarm(device: str, child: str = "", loss: Loss = Loss.FULL, service: str = "water", id: str = "") -> Impairment:
    return Impairment(
        alarm=id or f"{device}/{child}",
        device=device,
        child=child,
        service=service,
        loss=loss,
        wording="w",
        profile="p",
    )


def loss(what: SupplyShape, *alarms: Impairment) -> Loss:
    return assess(what, alarms).loss


def test_pumps_count_against_needs() -> None:
    both, one = supply(*PUMPS, needs=2), supply(*PUMPS, needs=1)
    first, second = alarm("set", "pump:1", Loss.DEGRADED), alarm("set", "pump:2", Loss.DEGRADED)
    assert loss(both) is Loss.NONE
    assert loss(both, first) is Loss.DEGRADED
    assert loss(both, first, second) is Loss.FULL
    assert loss(one, first) is Loss.NONE
    assert loss(one, first, second) is Loss.FULL


def test_the_whole_device_takes_all_of_its_members() -> None:
    assert loss(supply(*PUMPS, needs=2), alarm("set")) is Loss.FULL
    assert loss(supply(*PUMPS, needs=1), alarm("set", loss=Loss.DEGRADED)) is Loss.DEGRADED


def test_redundant_devices_stand_in_for_each_other() -> None:
    gates = supply(MemberShape("a"), MemberShape("b"), MemberShape("c"), needs=2, service="access")
    out = [alarm(device, service="access") for device in "abc"]
    assert loss(gates, out[0]) is Loss.NONE
    assert loss(gates, *out[:2]) is Loss.DEGRADED
    assert loss(gates, *out) is Loss.FULL


def test_other_services_are_other_matters() -> None:
    assert loss(supply(*PUMPS, needs=2), alarm("set", service="access")) is Loss.NONE


def test_a_child_that_is_no_member_is_nothing_its_kind_is_listed() -> None:
    assert loss(supply(*PUMPS, needs=2), alarm("set", "pump:3")) is Loss.NONE


def test_a_child_of_an_unlisted_kind_counts_like_its_device() -> None:
    assert loss(supply(*PUMPS, needs=2), alarm("set", "zone:1")) is Loss.FULL
    assert loss(supply(MemberShape("gate"), needs=1), alarm("gate", "lock:1", Loss.DEGRADED)) is Loss.DEGRADED


def test_a_vital_member_is_all_or_nothing() -> None:
    low = supply(*PUMPS, MemberShape("set", "zone:1", vital=True), needs=2)
    assert loss(low, alarm("set", "zone:1")) is Loss.FULL
    assert loss(low, alarm("set", "zone:2")) is Loss.NONE
    assert loss(low, alarm("set", "pump:1")) is Loss.DEGRADED
    assert loss(low, alarm("set", "zone:1", Loss.DEGRADED)) is Loss.DEGRADED


def test_a_parent_takes_its_devices_along_its_children_do_not() -> None:
    cameras = supply(MemberShape("cam-1", parent="nvr"), MemberShape("cam-2", parent="nvr"), needs=2, service="video")
    assert loss(cameras, alarm("nvr", service="video")) is Loss.FULL
    assert loss(cameras, alarm("nvr", "disk:1", service="video")) is Loss.NONE
    assert cameras.devices == {"cam-1", "cam-2", "nvr"}


def test_the_worst_words_come_first() -> None:
    found = assess(
        supply(*PUMPS, needs=2), [alarm("set", "pump:1", Loss.DEGRADED, id="a"), alarm("set", "zone:1", id="b")]
    )
    assert [cause.alarm for cause in found.causes] == ["b", "a"]


def test_every_pair_of_losses_has_its_turn() -> None:
    assert set(TURNS) == set(itertools.product(Loss, Loss))


@pytest.mark.parametrize(("before", "after"), list(itertools.product(Loss, Loss)))
def test_turns_say_what_they_mean(before: Loss, after: Loss) -> None:
    found = turn(before, after)
    assert (found is Turn.STARTED) == (before is Loss.NONE and after is not Loss.NONE)
    assert (found is Turn.RESTORED) == (before is not Loss.NONE and after is Loss.NONE)


def test_who_is_touched_building_by_building() -> None:
    assert parts_touched(("1", "2"), ("2/1", "2/3")) == [("1", None), ("2", "1"), ("2", "3")]
    assert parts_touched((), ()) == []
