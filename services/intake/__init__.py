"""One batch of readings, and everything that follows from it, in one transaction."""

from services.intake.intake import BatchRefused, Intake
from services.intake.work import CursorMoved

__all__ = ["BatchRefused", "CursorMoved", "Intake"]
