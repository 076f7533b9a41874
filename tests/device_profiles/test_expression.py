"""The closed grammar: what it means, what it refuses and how it says so."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_profiles.expression import DEEPEST, LONGEST, ExpressionError, Names, Type, Value, names_of, parse
from tests.device_profiles.profiles import lamp

LAMP = names_of(lamp(), "lamp")
DEVICE = names_of(lamp(), None)


def never(_name: str) -> float | None:
    return None


def judged(text: str, values: Mapping[str, Value], age: float | None = None) -> Value:
    return parse(text, LAMP).compile()(values, lambda _name: age)


def refused(text: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        parse(text, LAMP)
    return caught.value


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("power > 60", {"power": 61.0}, True),
        ("power > 60", {"power": 60}, False),
        ("power >= rated_power", {"power": 60, "rated_power": 60}, True),
        ("power < 0.5 * rated_power", {"power": 29, "rated_power": 60}, True),
        ("power > 0.06 kW", {"power": 61}, True),
        ("power > 0.06 kW", {"power": 59}, False),
        ("current > 0.4 A", {"current": 401}, True),
        ("0.4 A < current", {"current": 399}, False),
        ("parent.pressure < 350 kPa", {"parent.pressure": 0.349}, True),
        ("parent.pressure < 350kPa", {"parent.pressure": 0.351}, False),
        ("parent.pressure < 3.5 bar", {"parent.pressure": 0.34}, True),
        ("parent.hours > 90m", {"parent.hours": 1.6}, True),
        ("parent.hours > 90 m", {"parent.hours": 1.4}, False),
        ("silence >= 6m", {"silence": 360.0}, True),
        ("light == fault", {"light": "fault"}, True),
        ('light != "fault"', {"light": "lit"}, True),
        ("light in (dark, fault)", {"light": "dark"}, True),
        ("light not in (dark, fault)", {"light": "dark"}, False),
        ("power in (1, 0.002 kW)", {"power": 2.0}, True),
        ("presence == offline", {"presence": "offline"}, True),
        ("dimmable and power > 1", {"dimmable": True, "power": 2}, True),
        ("crew == 'east'", {"crew": "east"}, True),
        ("not power > 1 or light == lit", {"power": 2, "light": "lit"}, True),
        ("not (power > 1 or light == lit)", {"power": 2, "light": "lit"}, False),
        ("power > 1 or power > 2 and light == dark", {"power": 2, "light": "lit"}, True),
        ("2 + 3 * 4 == power", {"power": 14}, True),
        ("rate(parent.hours, 1h) > 2 min/h", {"rate(parent.hours, 1h)": 0.04 / 3600}, True),
        ("rate(parent.hours, 1h) > 3 min/h", {"rate(parent.hours, 1h)": 0.04 / 3600}, False),
        ("rate(power, 5m) < -60 W/min", {"rate(power, 5m)": -1.1}, True),
        ("rate(power, 300 s) * 60 < -60 W/s", {"rate(power, 5m)": -1.1}, True),
        ("delta(power, 5m) > 0.06 kW", {"delta(power, 5m)": 61}, True),
        ("mean(power, 90s) > rated_power", {"mean(power, 90s)": 61, "rated_power": 60}, True),
        ("not changed(light, 30m)", {"changed(light, 30m)": False}, True),
        ("not changed(light, 30m)", {}, None),
        ("count(light==fault,  1h) >= 3", {"count(light==fault, 1h)": 3}, True),
        ("count(parent.hit, 1d) in (3, 4)", {"count(parent.hit, 1d)": 4.0}, True),
        ("power / 5m/min(2 m, 3 m) > 1", {"power": 1000}, True),
        ("(2 + 3) * 4 == power", {"power": 20}, True),
        ("10 - 3 - 2 == power", {"power": 5}, True),
        ("-power < -1", {"power": 2}, True),
        ("abs(power - 5) > 3", {"power": 1}, True),
        ("max(power, 3, 2) == 3", {"power": 1}, True),
        ("min(power, rated_power) < 1", {"power": 5, "rated_power": 0.5}, True),
        ("power / rated_power > 1.1", {"power": 70, "rated_power": 60}, True),
    ],
)
def test_what_holds(text: str, values: dict[str, Value], expected: bool) -> None:
    assert judged(text, values) is expected


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("power > 1", {}, None),
        ("power > 1", {"power": None}, None),
        ("not power > 1", {}, None),
        ("power > 1 or light == lit", {"light": "lit"}, True),
        ("light == lit or power > 1", {"light": "dark"}, None),
        ("power > 1 and light == lit", {"light": "dark"}, False),
        ("power > 1 and light == lit", {"light": "lit"}, None),
        ("power + 1 > 1", {}, None),
        ("max(power, 3) > 1", {}, None),
        ("light in (lit, dark)", {}, None),
        ("power / rated_power > 1", {"power": 1, "rated_power": 0}, None),
        ("age(power) > 5", {}, None),
        # A value of another kind than declared is unknown, not an error in the middle of the night.
        ("power > 1", {"power": "many"}, None),
        ("power > 1", {"power": True}, None),
        ("light == lit", {"light": 3}, None),
        ("power * power > 1", {"power": 1e300}, None),
    ],
)
def test_unknown_is_neither_true_nor_false(text: str, values: dict[str, Value], expected: bool | None) -> None:
    assert judged(text, values) is expected


def test_age_is_asked_for_by_name() -> None:
    asked: list[str] = []

    def age(name: str) -> float:
        asked.append(name)
        return 400.0

    assert parse("age(parent.voltage) > 6m", LAMP).compile()({}, age) is True
    assert asked == ["parent.voltage"]


def test_a_state_may_share_its_name_with_one_of_its_words() -> None:
    names = Names(
        {"fault": Type("state", words=frozenset({"fault", "none"})), "run": Type("state", words=frozenset({"fault"}))}
    )
    same = parse("fault == fault", names)
    assert same.names == {"fault"}
    assert [same.compile()({"fault": word}, never) for word in ("fault", "none")] == [True, False]
    assert parse("none == fault", names).compile()({"fault": "none"}, never) is True
    assert parse("fault in (fault, none)", names).compile()({"fault": "none"}, never) is True
    assert parse("run == fault", names).names == {"run"}


def test_an_expression_says_what_it_reads() -> None:
    read = parse("power > rated_power and age(current) > 5m and parent.voltage > 1", LAMP)
    assert read.names == {"power", "rated_power", "current", "parent.voltage"}
    assert read.indirect == {"current"}
    assert read.timed
    assert not parse("power > 1", LAMP).timed
    assert parse("presence == offline", LAMP).timed
    counted = parse("power > 1 W and count(light == fault and parent.voltage > 1, 5m) >= 3", LAMP)
    assert counted.names == {"power", "light", "parent.voltage"}
    assert counted.indirect == {"light", "parent.voltage"}
    (look,) = counted.windows
    assert (look.key, look.function, look.name, look.seconds) == (
        "count(light == fault and parent.voltage > 1, 5m)",
        "count",
        "",
        300,
    )
    assert look.names == counted.indirect
    assert look.condition is not None
    assert look.condition.compile()({"light": "fault", "parent.voltage": 2}, never) is True


@pytest.mark.parametrize(
    ("text", "column", "found", "expected"),
    [
        ("powr > 3", 1, "'powr'", "did you mean power?"),
        ("light == falt", 10, "'falt'", "did you mean fault?"),
        ("presence == offlin", 13, "'offlin'", "did you mean offline?"),
        ("light in (lit, drk)", 16, "'drk'", "did you mean dark?"),
        ("power > 3 kPa", 9, "kPa", "one in W"),
        ("power > current", 9, "mA", "one in W"),
        ("power > 3 kw", 11, "'kw'", "did you mean kW?"),
        ("power > 3 °F", 11, "°F", "a unit"),
        ("voltage > 3", 1, "'voltage'", "parent.voltage"),
        ("age(voltage) > 3", 5, "'voltage'", "parent.voltage"),
        ("age(rated_power) > 3", 5, "'rated_power'", "a metric or a state"),
        ("power", 1, "a number in W", "a condition"),
        ("power and light == lit", 1, "a number in W", "a condition"),
        ("light", 1, "a state", "a condition"),
        ("light > 3", 1, "a state", "numbers on both sides"),
        ("light == 3", 10, "a number", "one of dark, fault, lit"),
        ("power == lit", 10, "'lit'", "a metric, state or param"),
        ("crew == 3", 9, "a number", "a text"),
        ("power = 3", 7, "'='", "=="),
        ("power > 3 && light == lit", 11, "'&&'", "and"),
        ("power > 3 || light == lit", 11, "'||'", "or"),
        ("(power > 3", 11, "the end", "')'"),
        ("power > 3)", 10, "')'", "an operator or the end"),
        ("power >", 8, "the end", "a name, a number"),
        ("", 1, "the end", "a name, a number"),
        ("1 < power < 3", 11, "'<'", "'and' between"),
        ("1 < 2", 1, "no name", "at least one"),
        ("power > 1 / 0", 9, "cannot be computed", "finite"),
        ("power > 1e999", 9, "'1e999'", "ordinary size"),
        ("power ? 3", 7, "'?'", "an operator"),
        ("rate(power) > 2", 11, "')'", "','"),
        ("rate(light, 5m) > 2", 6, "'light'", "a metric as the first argument of rate"),
        ("rate(power + 1, 5m) > 2", 12, "'+'", "','"),
        ("rate(1, 5m) > 2", 6, "'1'", "a metric or a state as the argument of rate"),
        ("delta(powr, 5m) > 2", 7, "'powr'", "did you mean power?"),
        ("delta(voltage, 5m) > 2", 7, "'voltage'", "parent.voltage"),
        ("delta(power, 5) > 2", 14, "a number", "a stretch of time such as 10m"),
        ("delta(power, 5 W) > 2", 14, "a number in W", "a stretch of time"),
        ("delta(power, rated_power) > 2", 14, "a number in W", "a stretch of time"),
        ("mean(power, 25h) > 2", 13, "25h", "from 1s to 1d in mean"),
        ("delta(power, 8d) > 2", 14, "8d", "from 1s to 7d in delta"),
        ("rate(power, 500ms) > 2", 13, "0.5s", "from 1s"),
        ("count(power, 5m) > 2", 7, "a number in W", "a condition"),
        ("count(power > 1, 5m)", 1, "a number", "a condition"),
        ("count(delta(power, 1m) > 1, 5m) > 2", 7, "delta(…) within count(…)", "a condition on values"),
        ("count(age(power) > 1, 5m) > 2", 7, "age(…) within count(…)", "a condition on values"),
        ("count(silence > 1, 5m) > 2", 7, "silence within count(…)", "a condition on values"),
        ("count(true, 5m) > 2", 7, "no name", "at least one metric"),
        ("changed(light) and power > 1", 14, "')'", "','"),
        ("changed(light, 5m) == 1", 23, "a number", "true or false as on the left"),
        ("delta(power, 5m) > 2 mA", 20, "a number in mA", "one in W"),
        ("rate(power, 5m) > 2 W", 19, "a number in W", "one in W/s"),
        (" or ".join(f"delta(power, {i}m) > 2" for i in range(1, 10)), 1, "9 functions", "at most 8"),
        ("hit or power > 1", 1, "'hit'", "parent.hit"),
        ("eval(power) > 2", 1, "eval", "abs, age, changed"),
        ("mx(power, 1) > 2", 1, "mx", "did you mean max?"),
        ("power.__class__ == 3", 1, "power.__class__", "a metric"),
        ("light == lit.upper", 10, "lit.upper", "one of dark"),
        ("abs(power, 3) > 1", 1, "2 arguments", "one argument"),
        ("power in ()", 11, "')'", "a name"),
        ("power in (current)", 11, "a number in mA", "a number"),
    ],
)
def test_refusals_say_where_what_and_what_instead(text: str, column: int, found: str, expected: str) -> None:
    error = refused(text)
    assert (error.column, found in error.found, expected in error.expected) == (column, True, True), str(error)


def test_a_name_of_a_child_is_told_where_it_belongs() -> None:
    with pytest.raises(ExpressionError) as caught:
        parse("power > 3", DEVICE)
    assert "scope: lamp" in caught.value.expected


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "power > 1" + ")" * 5000,
        "(" * (DEEPEST + 1) + "power > 1" + ")" * (DEEPEST + 1),
        "not " * 200 + "power > 1",
        "-" * 400 + "power > 1",
        "abs(" * 150 + "power" + ")" * 150 + " > 1",
        "+".join(["power"] * 160) + " > 1",
        "power > 1" + " " * LONGEST,
    ],
)
def test_nothing_can_exhaust_the_stack(text: str) -> None:
    assert refused(text).column >= 1


def test_as_deep_as_promised() -> None:
    assert judged("(" * DEEPEST + "power > 1" + ")" * DEEPEST, {"power": 2}) is True
    assert judged(" or ".join(["power > 1"] * 70), {"power": 2}) is True


_TEXT = (
    "power light lit parent.voltage and or not in ( ) , < >= == + - * / 3 0 1e308 5m kW min age abs true 'x' . rate = "
    "presence offline"
)
_PIECES = st.sampled_from(_TEXT.split())


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.lists(_PIECES, max_size=14).map(" ".join), st.text(max_size=40)))
def test_any_text_is_a_condition_or_is_refused(text: str) -> None:
    try:
        condition = parse(text, LAMP).compile()
    except ExpressionError as error:
        assert 1 <= error.column <= len(text) + 1
        return
    for values in ({}, {"power": 3.0, "light": "lit", "parent.voltage": 0.0, "presence": "offline"}):
        assert condition(values, never) in (True, False, None)
