"""Members in the closed grammar: what `number` and `share` mean, what is refused and how that is said."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from device_profiles.expression import ExpressionError, Value, at_most, names_of, parse
from tests.device_profiles.profiles import lamp

DEVICE = names_of(lamp(), None)
FAULTY = "number(lamp, light == fault)"
LIT = "share(lamp, light == lit)"


def judged(text: str, values: Mapping[str, Value]) -> Value:
    return parse(text, DEVICE).compile()(values, lambda _name: None)


def refused(text: str, scope: str | None = None) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        parse(text, names_of(lamp(), scope))
    return caught.value


@pytest.mark.parametrize(
    ("text", "low", "high", "expected"),
    [
        (f"{FAULTY} >= 3", 3, 3, True),
        (f"{FAULTY} >= 3", 2, 2, False),
        (f"3 <= {FAULTY}", 3, 3, True),
        # Unknown members may turn it, or they may not.
        (f"{FAULTY} >= 3", 3, 9, True),
        (f"{FAULTY} >= 3", 1, 2, False),
        (f"{FAULTY} >= 3", 2, 3, None),
        (f"3 <= {FAULTY}", 2, 3, None),
        (f"not {FAULTY} >= 3", 2, 3, None),
        (f"{FAULTY} < 3", 0, 2, True),
        (f"{FAULTY} < 3", 0, 3, None),
        (f"{FAULTY} == 2", 2, 2, True),
        (f"{FAULTY} == 2", 1, 4, None),
        (f"{FAULTY} == 2", 3, 4, False),
        (f"{FAULTY} != 2", 3, 4, True),
        (f"{FAULTY} != 2", 2, 4, None),
        # Reckoned with, it is known only when nobody is unknown.
        (f"{FAULTY} + 1 >= 3", 2, 2, True),
        (f"{FAULTY} + 1 >= 3", 2, 3, None),
        (f"{FAULTY} in (2, 3)", 2, 2, True),
        (f"{FAULTY} in (2, 3)", 2, 3, None),
    ],
)
def test_a_number_is_known_as_soon_as_the_known_ones_decide(
    text: str, low: float, high: float, expected: bool | None
) -> None:
    values: dict[str, Value] = {FAULTY: float(low)}
    if high > low:
        values[at_most(FAULTY)] = float(high)
    assert judged(text, values) is expected


def test_of_no_members_nothing_is_known() -> None:
    assert judged(f"{FAULTY} >= 3", {}) is None
    assert judged(f"{FAULTY} + 1 < 3", {}) is None
    assert judged(f"{LIT} < 20 %", {}) is None


@pytest.mark.parametrize("text", [f"{LIT} < 20 %", f"{LIT} < 0.2", f"20 % > {LIT}", f"{LIT} * 2 < 40 %"])
def test_a_share_is_compared_with_per_cent_or_with_a_fraction(text: str) -> None:
    assert judged(text, {LIT: 0.19}) is True
    assert judged(text, {LIT: 0.21}) is False


def test_what_must_be_counted_is_said_once_and_in_the_names_of_a_member() -> None:
    found = parse(
        "number(lamp, power >  0.06 kW and parent.pressure < 3 bar) > 1 and share(lamp,light==lit) < 0.5", DEVICE
    )
    assert found.names == frozenset()
    number, share = found.groups
    assert (number.key, number.function, number.kind) == (
        "number(lamp, power > 0.06 kW and parent.pressure < 3 bar)",
        "number",
        "lamp",
    )
    assert number.condition.names == {"power", "parent.pressure"}
    assert number.condition.compile()({"power": 61, "parent.pressure": 0.29}, lambda _name: None) is True
    assert share.key == "share(lamp,light==lit)"
    assert not found.timed


def test_a_rule_on_the_presence_of_members_moves_with_time() -> None:
    found = parse("number(lamp, presence == offline) >= 2", DEVICE)
    assert found.timed
    assert not found.aging


@pytest.mark.parametrize(
    ("text", "column", "found", "expected"),
    [
        ("number(lmp, light == fault) > 1", 8, "'lmp'", "did you mean lamp?"),
        ("number(lamp, lihgt == fault) > 1", 14, "the unknown name 'lihgt'", "did you mean light?"),
        ("number(lamp, light == borken) > 1", 23, "'borken'", "one of dark, fault, lit"),
        ("number(lamp, power) > 1", 14, "a number in W", "a condition such as a comparison"),
        ("number(lamp) > 1", 12, "')'", "','"),
        ("number(lamp, 1 > 2) > 1", 14, "no name", "at least one metric or state"),
        ("number(lamp, light == fault)", 1, "a number", "a condition such as a comparison"),
        ("share(lamp, light == lit) < 20 W", 29, "a number in W", "a share such as 20 %"),
        ("number(lamp, count(age(light) > 5m, 1h) > 1) > 1", 20, "age(…) within count(…)", "a condition on values"),
        ("number(lamp, count(changed(light, 5m), 1h) > 1) > 1", 20, "changed(…) within count(…)", "a condition on"),
        ("number(lamp, count(silence > 5m, 1h) > 1) > 1", 20, "silence within count(…)", "a condition on values"),
        ("number(lamp, mean(lihgt, 5m) > 1) > 1", 19, "'lihgt'", "a metric or a state"),
        ("number(lamp, number(lamp, light == lit) > 1) > 1", 14, "number(…) within number(…)", "a condition on values"),
        ("count(number(lamp, light == lit) > 1, 5m) > 1", 7, "number(…) within count(…)", "a condition on values"),
    ],
)
def test_a_mistake_is_said_where_it_stands(text: str, column: int, found: str, expected: str) -> None:
    error = refused(text)
    assert (error.column, error.found) == (column, found)
    assert expected in error.expected


def test_a_rule_of_a_child_counts_no_children() -> None:
    error = refused("number(lamp, light == fault) > 1", scope="lamp")
    assert error.found == "number(…)"
    assert "only a device has children" in error.expected
