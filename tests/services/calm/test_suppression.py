"""How long an alarm waits."""

from __future__ import annotations

import pytest

from services.calm.suppression import SETTLE, Held, Review, Suppression, review

CAUSE, OTHER, WINDOW = Suppression("cause", "a"), Suppression("cause", "b"), Suppression("maintenance", "w")
HELD, SETTLING = Held(CAUSE, 1000), Held(CAUSE, 1000, over=5000)


@pytest.mark.parametrize(
    ("held", "found", "at", "expected"),
    [
        (HELD, CAUSE, 5000, Review(HELD, "stands")),
        (HELD, None, 5000, Review(SETTLING, "settling")),
        (SETTLING, None, 5000 + SETTLE - 1, Review(SETTLING, "stands")),
        (SETTLING, None, 5000 + SETTLE, Review(None, "cause_cleared")),
        (SETTLING, CAUSE, 6000, Review(HELD, "back")),
        (SETTLING, OTHER, 6000, Review(Held(OTHER, 6000), "other")),
        (HELD, WINDOW, 6000, Review(Held(WINDOW, 6000), "other")),
        (Held(WINDOW, 1000), WINDOW, 6000, Review(Held(WINDOW, 1000), "stands")),
        (Held(WINDOW, 1000), None, 6000, Review(None, "maintenance_over")),  # at once: the people have gone
        (Held(WINDOW, 1000), CAUSE, 6000, Review(Held(CAUSE, 6000), "other")),
        (SETTLING, None, 4000, Review(SETTLING._replace(over=4000), "settling")),  # a clock that was put back
    ],
)
def test_a_suppression_is_looked_at_again(held: Held, found: Suppression | None, at: int, expected: Review) -> None:
    assert review(held, found, at) == expected


@pytest.mark.parametrize("held", [HELD, SETTLING, Held(WINDOW, 7)])
def test_it_is_stored_whole(held: Held) -> None:
    assert Held.of_row(held.row()) == held
