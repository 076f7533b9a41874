"""Rule books that somebody means ill with, or has mistyped: refused in words, and nothing of them is kept."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from services.backtest.jobs import Backtest
from services.rules.book import MOST_PARTS, RuleBook, fit
from services.rules.book_words import read_grades, read_schedule
from services.rules.effective import BookInForce, Effective
from services.sites.params import param_mistake
from tests.services.rulebook.conftest import empty as empty
from tests.services.rulebook.conftest import yard as yard
from tests.services.rulebook.kit import Yard
from tests.stories.site import LIBRARY


def low(**change: Any) -> dict[str, Any]:
    return {"rules": {"pumps": {"low": change}}}


@pytest.mark.parametrize(
    "change",
    [
        {"grades": [{"severity": "minor", "after": f"{n}m"} for n in range(MOST_PARTS + 1, 0, -1)]},
        {"schedule": [{"from": "08:00", "to": "09:00"}] * (MOST_PARTS + 1)},
        {"suppressed_by": ["wet"] * (MOST_PARTS + 1)},
        {"grades": [{"severity": "minor"}]},
        {"grades": [{"severity": "minor", "after": "0s"}]},
        {"flapping": {"times": 2, "within": "0s"}},
        {"flapping": {"times": 2, "within": "36500d"}},
    ],
)
def test_what_a_profile_could_not_say_a_book_cannot_either(change: dict[str, Any]) -> None:
    fitted = fit(LIBRARY["pumps"], RuleBook.model_validate(low(**change)))
    assert [one.rule for one in fitted.misfits] == ["low"]
    assert fitted.profile == LIBRARY["pumps"], "the rule stands as the profile says it"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400])
def test_a_threshold_that_is_no_number_is_refused(value: float) -> None:
    """With it the condition would be false for ever, and nobody would see why."""
    param = LIBRARY["pumps"].params["low"]
    assert param_mistake(param, value) is not None
    assert param_mistake(param.model_copy(update={"min": None, "max": None}), value) == "a number"
    if isinstance(value, float):
        book = RuleBook(params={"pumps": {"low": value}})
        found = Effective(LIBRARY, {"yard": BookInForce(1, book)}, {}).misfits("yard", {"pumps": "pumps"})
        assert [one.param for one in found] == ["low"]


@pytest.mark.parametrize(
    "book",
    [
        low(note="half \ud800"),
        low(mode="off", when="pressure < \0"),
        {"devices": {"pu\0mps": {"params": {"low": 0.2}}}},
        {"params": {"pumps": {"low": "\udfff"}}},
    ],
)
def test_text_that_no_database_takes_is_refused(book: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="halves of characters"):
        RuleBook.model_validate(book)


def test_such_a_note_does_not_keep_the_book_from_being_read(yard: Yard) -> None:
    raw = '{"book":{"rules":{"pumps":{"low":{"note":"\\ud800"}}}},"version":0,"without_preview":true,"reason":"x"}'
    api = TestClient(yard.app, headers=dict(yard.api().headers), raise_server_exceptions=False)
    answer = api.put("/api/v1/sites/yard/rule-book", content=raw, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert yard.get("/rule-book")["version"] == 0


def test_numbers_of_versions_that_no_database_has(yard: Yard) -> None:
    api = TestClient(yard.app, headers=dict(yard.api().headers), raise_server_exceptions=False)
    huge = 10**20
    assert api.get(f"/api/v1/sites/yard/rule-book/versions/0/diff?against={huge}").status_code == 422
    answer = api.post("/api/v1/sites/yard/rule-book/rollback", json={"to": huge, "version": 0})
    assert answer.status_code == 422


def test_a_long_run_of_spaces_is_read_at_once() -> None:
    """It would keep the processor, and with it every alarm, for minutes."""
    spaces = " " * 100_000
    (grade,) = read_grades(f"critical when pressure <{spaces}0.1 MPa after{spaces}5m")
    assert grade.when == "pressure < 0.1 MPa"
    for read in (read_grades, read_schedule):
        with pytest.raises(ValueError, match="expected"):
            read(f"mon{spaces}x{spaces}y")


@pytest.mark.parametrize("year", ["0001", "9999"])
def test_a_stretch_at_the_end_of_all_dates_is_refused_at_once(yard: Yard, year: str) -> None:
    api = TestClient(yard.app, headers=dict(yard.api().headers), raise_server_exceptions=False)
    begin, end = f"{year}-01-01T00:00:00+14:00", f"{year}-01-02T00:00:00+14:00"
    answer = api.post("/api/v1/backtests", json={"site": "yard", "from": begin, "to": end})
    assert answer.status_code == 422
    assert "1971" in answer.json()["detail"]
    asked = {"book": low(**{"for": "9m"}), "start": begin, "end": end}
    assert api.post("/api/v1/sites/yard/rule-book/previews", json=asked).status_code == 422
    form = {"site": "yard", "from": f"{year}-01-01T00:00", "to": f"{year}-01-02T00:00"}
    assert api.post("/rules/backtest", data=form).status_code == 200, "the form again"
    assert yard.context.jobs.of_sites(None, Backtest) == []
