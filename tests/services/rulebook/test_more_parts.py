"""Grades, schedule, flapping, causes and the time to acknowledge, changed by a rule book: typed, kept, compared, and
judged by. Two who ship at once, and going back to what no longer fits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from device_profiles.schema.behaviour import Grade, Schedule
from services.clock import SystemClock
from services.database import Database
from services.rulebook.desk import RuleBookDesk, Shipping
from services.rulebook.diff import compare
from services.rulebook.problems import problems_of
from services.rules.book import RuleBook, fit
from services.rules.book_store import BookMoved, content_of, read_content
from services.rules.book_words import read_grades, read_schedule, said
from services.sites.importer import import_site
from tests.services.rulebook.kit import Yard
from tests.services.rulebook.test_edit import LOW, change, rule_in
from tests.stories.site import LIBRARY, MIDNIGHT, PUMPS, YARD, opened, profile

EVERYTHING = {
    "grades": "major when pressure < 0.2 MPa after 5m; minor after 1h",
    "schedule": "mon-fri 08:00-20:00; sat,sun 22:00-06:00",
    "flapping": "3 in 10m",
    "acknowledge_within": "5m",
    "suppressed_by": "wet, uplink_cut, feed_down",
}


def test_what_is_typed_is_kept_and_said_as_it_was_typed() -> None:
    found = change(RuleBook(), **EVERYTHING)
    assert found.mistakes == {}
    assert content_of(found.book)["rules"]["pumps"]["low"] == {
        "grades": [{"severity": "major", "when": "pressure < 0.2 MPa", "after": "5m"},
                   {"severity": "minor", "after": "1h"}],
        "schedule": [{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "20:00"},
                     {"days": ["sat", "sun"], "from": "22:00", "to": "06:00"}],
        "flapping": {"times": 3, "within": "10m"},
        "acknowledge_within": "5m",
        "suppressed_by": ["wet", "uplink_cut", "feed_down"],
    }  # fmt: skip
    again, mistake = read_content(content_of(found.book))
    assert (again.rules, mistake) == (found.book.rules, "")
    rule = rule_in(found.book)
    assert {name: getattr(rule, name) for name in EVERYTHING} == EVERYTHING
    assert {one.field: one.after for one in compare(RuleBook(), found.book)} == EVERYTHING


def test_none_and_always_take_away_what_the_profile_says() -> None:
    """A book over a book: a device of its own has no grades, and applies always."""
    book = change(RuleBook(), **EVERYTHING).book
    own = change(book, LOW._replace(device="pumps"), grades="none", schedule="always", suppressed_by="none").book
    rule = next(one for one in fit(LIBRARY["pumps"], own, "pumps").profile.rules if one.id == "low")
    assert (rule.grades, rule.schedule, rule.suppressed_by) == ((), (), ())
    assert rule.flapping.times == 3


def test_a_form_that_does_not_show_them_leaves_them_as_they_are() -> None:
    book = change(RuleBook(), **EVERYTHING).book
    whole = content_of(change(book, severity="warning").book)["rules"]["pumps"]["low"]
    assert whole["severity"] == "warning"
    assert whole.keys() == {*EVERYTHING, "severity"}


@pytest.mark.parametrize(
    ("field", "typed", "expected"),
    [
        ("grades", "dreadful after 5m", "expected one of critical"),
        ("grades", "major", "expected a severity with `when` or `after`"),
        ("grades", "major when presure < 1", "did you mean pressure?"),
        ("schedule", "mon-fry 08:00-20:00", "expected days such as mon-fri"),
        ("schedule", "from eight to ten", "such as mon-fri 08:00-20:00"),
        ("schedule", "mon 25:00-26:00", "found"),
        ("schedule", "mon 08:00-08:00", "ends where it begins"),
        ("flapping", "often", "such as 4 in 30m"),
        ("flapping", "1 in 30m", "times"),
        ("acknowledge_within", "soon", "expected a duration"),
        ("suppressed_by", "wett", "expected other rules of this profile"),
        ("suppressed_by", "low", "found 'low'"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(field: str, typed: str, expected: str) -> None:
    found = change(RuleBook(), **{field: typed})
    assert list(found.mistakes) == [field]
    assert expected in found.mistakes[field] or expected == "found"


def test_words_are_read_as_they_are_said() -> None:
    grades = (
        Grade(severity="critical", when="a > 1 and b after_c < 2"),
        Grade(severity="minor", after=timedelta(hours=2)),
    )
    assert read_grades(said("grades", grades)) == grades
    nights = (Schedule.model_validate({"days": ["fri", "sat", "mon"], "from": "22:00", "to": "06:00"}), Schedule())
    assert said("schedule", nights) == "mon,fri,sat 22:00-06:00; mon-sun 00:00-24:00"
    assert [set(one.days) for one in read_schedule(said("schedule", nights))] == [set(one.days) for one in nights]
    assert read_schedule("Fri-Mon 8:00-9:30")[0].days == ("fri", "sat", "sun", "mon")


def test_it_is_judged_and_backtested_by(yard: Yard) -> None:
    """Minor at first and critical after half an hour; nobody minds before eight in the morning."""
    book = {"rules": {"pumps": {"low": {"severity": "minor", "grades": [{"severity": "critical", "after": "30m"}],
                                        "schedule": [{"from": "08:30", "to": "20:00"}]}}}}  # fmt: skip
    assert yard.put(book, note="calm nights").status_code == 200
    site = yard.site
    site.keeps_saying("pumps", pressure=0.1).at("00:20").expect_alarms()  # 08:20 on the clock of the site
    site.at("00:40").expect_alarms("low")
    assert site.alarms()[0].severity == "minor"
    site.at("01:05")
    assert site.alarms()[0].severity == "critical"
    [low] = [one for one in yard.get("/rules")["rules"] if one["id"] == "pumps/low"]
    assert (low["grades"], low["schedule"]) == ("critical after 30m", "mon-sun 08:30-20:00")


# --- two at once ------------------------------------------------------------------------------------------------------


@pytest.mark.postgresql
def test_of_two_who_ship_at_once_on_postgresql_one_is_told(postgresql_url: str) -> None:
    ship_at_once(opened(postgresql_url), opened(postgresql_url))


def test_of_two_who_ship_at_once_one_is_told(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'c.db'}"
    ship_at_once(opened(url), opened(url))


def ship_at_once(*databases: Database) -> None:
    """As two processes would, each with the form of version 0 before it; ten times over."""
    import_site(databases[0], YARD, LIBRARY, MIDNIGHT)
    desks = [RuleBookDesk(database=one, library=LIBRARY) for one in databases]
    try:
        with ThreadPoolExecutor(2) as pool:
            for version in range(10):
                both = Barrier(2)
                found = list(pool.map(lambda one, v=version, at=both: shipped(desks[one], one, v, at), range(2)))
                [moved] = [one for one in found if isinstance(one, BookMoved)]
                [done] = [one for one in found if not isinstance(one, BookMoved)]
                assert (done.version, moved.newest.version, moved.newest.who) == (version + 1, version + 1, done.who)
        assert [one.version for one in desks[0].versions(None, "yard")] == list(range(10, 0, -1))
    finally:
        for one in databases:
            one.close()


def shipped(desk: RuleBookDesk, who: int, version: int, both: Barrier) -> Any:
    book = RuleBook.model_validate({"rules": {"pumps": {"low": {"for": f"{version + 2 + 60 * who}m"}}}})
    both.wait(60)
    try:
        shipping = Shipping(began_with=version, book=book, note="", preview=None, without_preview="a test")
        return desk.ship(None, "yard", shipping, by=f"engineer-{who}", now=SystemClock().now())
    except BookMoved as moved:
        return moved


# --- going back -------------------------------------------------------------------------------------------------------


def test_going_back_to_what_no_longer_fits_says_so_and_shows(yard: Yard) -> None:
    """Its profile lost a rule and called a metric otherwise since; the rest of the old version is in force again."""
    old = {
        "rules": {
            "pumps": {"low": {"when": "pressure < 0.2 MPa"}, "wet": {"mode": "off"}, "gone": {"severity": "minor"}}
        }
    }
    assert yard.put(old, note="first").status_code == 200
    assert yard.put({}, version=1, note="second").status_code == 200
    text = PUMPS.replace("pressure", "outlet").replace("  - id: wet\n", "  - id: damp\n")
    changed = {**LIBRARY, "pumps": profile(text)}
    desk = RuleBookDesk(database=yard.site.database, library=changed)
    found = desk.rollback(None, "yard", 1, began_with=2, note="", by="li", now=MIDNIGHT)
    assert found.version == 3
    assert found.preview is not None
    assert [one.partition(": ")[0] for one in found.preview["misfits"]] == ["pumps/wet", "pumps/low"]
    assert "'pressure'" in found.preview["misfits"][1]
    fitted = fit(changed["pumps"], found.book)
    assert next(one for one in fitted.profile.rules if one.id == "gone").severity == "minor"
    with yard.site.database.read() as connection:
        shown = problems_of(connection, changed, frozenset({"yard"}), (), "yard")
    assert {one.rule for one in shown if one.kind == "misfit"} == {"wet", "low"}
