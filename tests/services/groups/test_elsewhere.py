"""Rules over several devices stand in the site file: whoever asks elsewhere is told where."""

from __future__ import annotations

from services.cli.rules_yard import _no_such_rule
from services.rules.book import RuleBook
from services.rules.effective import SITE_RULES, BookInForce, Effective
from tests.stories.site import LIBRARY


def test_a_rule_book_cannot_change_them_and_says_who_can() -> None:
    book = RuleBook.model_validate({"rules": {SITE_RULES: {"doors_open": {"for": "20s"}}}})
    (misfit,) = Effective(LIBRARY, {"yard": BookInForce(1, book)}, {}).misfits("yard", {})
    assert (misfit.profile, misfit.found) == (
        SITE_RULES,
        "rules over several devices stand in the site file: they are changed there",
    )


def test_the_command_line_says_where_they_stand() -> None:
    told = _no_such_rule(f"{SITE_RULES}/doors_open", ["gate/held"])
    assert "stands in the site file" in told
    assert f"courtyard backtest --rule {SITE_RULES}/doors_open" in told
