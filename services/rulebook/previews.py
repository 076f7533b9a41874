"""Backtests that were asked for before a change is shipped, and what is kept of them with the version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.backtest.jobs import Job


@dataclass(kw_only=True)
class Preview(Job):
    """One backtest of a change."""

    began_with: int
    """The version that was in force."""
    content: Mapping[str, Any]
    """The book that was tried."""


def summary_of(done: Preview) -> dict[str, Any]:
    """What is kept with the version that was shipped after it."""
    report = done.report
    assert report is not None, "only what is done is shipped"
    return {
        "id": done.id,
        "by": done.by,
        "start": done.start.isoformat(),
        "end": done.end.isoformat(),
        "readings": report.readings,
        "old": _tally(report.old),
        "new": _tally(report.new),
        "rules": [
            {"profile": one.profile, "rule": one.rule, "old": _tally(one.old), "new": _tally(one.new)}
            for one in report.rules
            if one.changed or one.old != one.new
        ],
    }


def _tally(tally: Any) -> dict[str, Any]:
    return {name: getattr(tally, name) for name in ("alarms", "tickets", "notices", "flaps", "active_seconds")}
