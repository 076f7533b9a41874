"""Whether an alarm waits, and when it has waited long enough. What is still wrong then is raised then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from gateway.reading import Millis

SETTLE: Millis = 120_000
"""After its cause has cleared an alarm waits this long, so that fresh data can clear it first."""

Kind = Literal["cause", "maintenance"]


class Suppression(NamedTuple):
    """What keeps an alarm from being raised: the id of another alarm, or of a maintenance window."""

    kind: Kind
    id: str


class Held(NamedTuple):
    """An alarm's suppression as it is stored with it."""

    by: Suppression
    since: Millis
    """From when on this has kept it."""
    over: Millis | None = None
    """When its cause had cleared."""

    def row(self) -> dict[str, Any]:
        row: dict[str, Any] = {"kind": self.by.kind, "id": self.by.id, "since": self.since}
        return row if self.over is None else {**row, "over": self.over}

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Held:
        return cls(Suppression(row["kind"], str(row["id"])), int(row["since"]), row.get("over"))


class Review(NamedTuple):
    """What has become of a suppression: `held` is what stands now, None once it is over."""

    held: Held | None
    reason: Literal["stands", "other", "back", "settling", "cause_cleared", "maintenance_over"]


def review(held: Held, found: Suppression | None, at: Millis) -> Review:
    """Look again at a suppressed alarm; `found` is what suppresses it at `at` (event time of its device)."""
    if found is not None and found != held.by:
        return Review(Held(found, at), "other")
    if found is not None:
        return Review(held, "stands") if held.over is None else Review(held._replace(over=None), "back")
    if held.by.kind == "maintenance":
        return Review(None, "maintenance_over")
    if held.over is None or held.over > at:  # later than now: it was told by a clock that has been put right since
        return Review(held._replace(over=at), "settling")
    return Review(None, "cause_cleared") if at - held.over >= SETTLE else Review(held, "stands")
