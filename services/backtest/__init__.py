"""What other rules would have done: a site's history through the live engine, old rules beside new ones."""

from services.backtest.lanes import EVERYTHING, Focus, Variant
from services.backtest.report import Cancelled, Difference, Episode, Note, Progress, Report, RuleResult, Tally
from services.backtest.run import BacktestRefused, Sources, preview, run

__all__ = [
    "EVERYTHING",
    "BacktestRefused",
    "Cancelled",
    "Difference",
    "Episode",
    "Focus",
    "Note",
    "Progress",
    "Report",
    "RuleResult",
    "Sources",
    "Tally",
    "Variant",
    "preview",
    "run",
]
