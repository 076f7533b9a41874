"""A rule edited in a form: what differs goes into the book, and nothing else; mistakes stand at their fields."""

from __future__ import annotations

from typing import Any

import pytest

from device_profiles.schema import parse_duration
from services.rulebook.diff import compare
from services.rulebook.edit import Edited, Target, edited, standing, without
from services.rulebook.explain import branches_of
from services.rulebook.parts import parts_of
from services.rulebook.rules import SiteRule, read_rule
from services.rules.book import RuleBook
from services.rules.book_store import content_of
from services.rules.effective import BookInForce, Effective
from tests.stories.site import LIBRARY

LOW = Target("pumps", "low", "")


def rule_in(book: RuleBook, target: Target = LOW, **own: Any) -> SiteRule:
    effective = Effective(LIBRARY, {"yard": BookInForce(1, book)}, {"yard": {"pumps": {"low": 0.35}}})
    return read_rule(effective, "yard", target.profile, target.rule, target.device, own)


def change(book: RuleBook, target: Target = LOW, /, **typed: str) -> Edited:
    """As the form does: everything is typed, what is not named as it stood there."""
    now = rule_in(book, target)
    otherwise = rule_in(without(book, target, tuple(one.name for one in now.params)), target)
    whole = {**standing(now), **{name.replace("__", "."): text for name, text in typed.items()}}
    return edited(book, target, LIBRARY[target.profile], whole, otherwise)


def test_only_what_differs_is_said() -> None:
    found = change(RuleBook(), **{"for": "5m"})
    assert found.mistakes == {}
    assert content_of(found.book) == {"rules": {"pumps": {"low": {"for": "5m"}}}}
    back = change(found.book, **{"for": "1m"})
    assert content_of(back.book) == {}, "it is as the profile says again"


def test_what_stood_there_stays_when_something_else_is_changed() -> None:
    book = change(RuleBook(), **{"for": "5m"}).book
    book = change(book, severity="major", param__low="0.25").book
    assert content_of(book) == {
        "rules": {"pumps": {"low": {"for": "5m", "severity": "major"}}},
        "params": {"pumps": {"low": 0.25}},
    }
    book = change(book, Target("pumps", "wet", ""), mode="off").book
    assert content_of(book)["rules"]["pumps"]["wet"] == {"mode": "off"}


def test_a_threshold_back_at_the_site_files_value_leaves_the_book() -> None:
    book = change(RuleBook(), param__low="0.25").book
    assert rule_in(book).params[0].origin == "book"
    book = change(book, param__low="0.35").book
    assert content_of(book) == {}
    assert rule_in(book).params[0].origin == "site_file"


def test_a_device_says_only_what_differs_from_its_site() -> None:
    book = change(RuleBook(), **{"for": "5m"}).book
    own = Target("pumps", "low", "pumps")
    book = change(book, own, mode="shadow", param__low="0.2").book
    assert content_of(book)["devices"] == {"pumps": {"rules": {"low": {"mode": "shadow"}}, "params": {"low": 0.2}}}
    assert rule_in(book, own).for_seconds == 300, "the site's delay counts for it too"
    assert [(one.device, one.field) for one in compare(change(RuleBook(), **{"for": "5m"}).book, book)] == [
        ("pumps", "mode"),
        ("pumps", "low"),
    ]
    assert content_of(change(book, own, mode="live", param__low="0.35").book) == content_of(
        change(RuleBook(), **{"for": "5m"}).book
    )


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"for": "5 minutes"}, "for", "expected a duration"),
        ({"when": "presure < low"}, "when", "did you mean pressure?"),
        ({"when": ""}, "when", "expected a condition"),
        ({"clear_when": "pressure >="}, "clear_when", "found the end"),
        ({"severity": "dreadful"}, "severity", "expected one of critical"),
        ({"mode": "loud"}, "mode", "expected one of live"),
        ({"param__low": "much"}, "param.low", "expected a number"),
        ({"param__low": "3"}, "param.low", "at most 2 MPa"),
    ],
)
def test_mistakes_stand_at_their_fields_and_nothing_changes(typed: dict[str, str], field: str, said: str) -> None:
    base = change(RuleBook(), severity="major").book
    found = change(base, **typed)
    assert list(found.mistakes) == [field]
    assert said in found.mistakes[field]
    assert found.book is base


def test_every_mistake_is_said_at_once() -> None:
    found = change(RuleBook(), when="presure < low", **{"for": "x"}, param__low="9")
    assert set(found.mistakes) >= {"for", "param.low"}


def test_a_decimal_comma_is_a_decimal_point() -> None:
    assert content_of(change(RuleBook(), param__low="0,25").book) == {"params": {"pumps": {"low": 0.25}}}


@pytest.mark.parametrize(
    ("condition", "joined_by", "texts"),
    [
        ("a > 1", "", ("a > 1",)),
        ("a > 1 and b < 2", "and", ("a > 1", "b < 2")),
        ("a > 1 and b < 2 or c", "or", ("a > 1 and b < 2", "c")),
        ("a > 1 and (b or c)", "and", ("a > 1", "(b or c)")),
        ("count(a == 1 and b, 5m) > 2", "", ("count(a == 1 and b, 5m) > 2",)),
        ('x == "this or that"', "", ('x == "this or that"',)),
    ],
)
def test_a_condition_comes_apart_where_it_is_joined_outermost(
    condition: str, joined_by: str, texts: tuple[str, ...]
) -> None:
    assert parts_of(condition) == (joined_by, texts)


def test_a_condition_says_every_branch_because_of_which_it_does_not_hold() -> None:
    holds = {"a": False, "b": False, "c": True, "d": None}

    def judged(text: str) -> bool | None:
        return holds.get(text.strip("()"))

    def against(text: str) -> list[str]:
        return [one.text for one in branches_of(text, judged).against()]

    assert against("a or b") == ["a", "b"]
    assert against("c and (a or b)") == ["a", "b"]
    assert against("a and b") == ["a"]
    assert against("((a or d))") == ["a"]
    assert against("c or d") == []
    tree = branches_of("c and (a or b)", judged)
    assert [(one.text, one.joined_by) for one in tree.branches] == [("c", ""), ("(a or b)", "or")]
    assert branches_of("(a) or (b)", judged).branches[0].text == "(a)"


@pytest.mark.parametrize("length", ["12d", "90d", "1000001s", "1439999m", "36500d", "1.234567s"])
def test_a_long_delay_is_kept_as_it_was_written(length: str) -> None:
    book = RuleBook.model_validate({"rules": {"pumps": {"low": {"for": length}}}})
    assert content_of(book) == {"rules": {"pumps": {"low": {"for": length}}}}
    assert rule_in(book).for_seconds == parse_duration(length).total_seconds()
    found = change(RuleBook(), acknowledge_within=length)
    assert found.mistakes == {}
    assert content_of(found.book) == {"rules": {"pumps": {"low": {"acknowledge_within": length}}}}
