"""However much a rule chatters, a result stays small, its sums stay exact, and it says what is left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from services.backtest.bounds import Bounds, bounded
from tests.services.backtest.large import large


def test_sums_stay_exact_and_what_is_left_out_is_counted() -> None:
    whole = large(devices=30, episodes_each=10)
    found = bounded(whole, Bounds(episodes=50, episodes_of_one=5, devices=12))
    assert (found.new, found.rules[0].new) == (whole.new, whole.rules[0].new)
    assert (len(found.differences), found.more_differences) == (50, 250)
    assert found.agreement is not None
    assert (len(found.agreement.unlike), found.agreement.more) == (50, 250)
    assert max(Counter(one.either.device for one in found.differences).values()) <= 5
    assert list(found.differences) == [one for one in whole.differences if one in found.differences], "order of time"
    again = bounded(found, Bounds(episodes=10, episodes_of_one=5, devices=12))
    assert again.more_differences == 290


def test_one_that_chatters_does_not_hide_the_others() -> None:
    found = bounded(large(devices=10, episodes_each=5, chatter=100), Bounds())
    shown = Counter(one.either.device for one in found.differences)
    assert shown == {"pump-0": 50} | {f"pump-{n}": 5 for n in range(1, 10)}
    assert found.more_differences == 450


def test_devices_that_differ_are_kept_first_and_those_of_what_is_listed_always() -> None:
    whole = large(devices=40, episodes_each=1)
    rule = whole.rules[0]
    same = tuple(replace(one, new=one.old) if one.device != "pump-7" else one for one in rule.devices)
    quiet = replace(whole, rules=(replace(rule, devices=same),), agreement=None)
    found = bounded(quiet, Bounds(episodes=3, episodes_of_one=1, devices=1)).rules[0]
    listed = {one.device for one in found.devices}
    assert listed == {"pump-7", *(one.either.device for one in whole.differences[:3])}
    assert (found.more_devices, found.more_differing) == (40 - len(listed), 0)


def test_what_fits_stays_as_it_is() -> None:
    whole = large(devices=3, episodes_each=2)
    assert bounded(whole, Bounds()) == whole
