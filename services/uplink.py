"""Readings arrive at services: from the gateway in this process, or from one that delivers over HTTP."""

from __future__ import annotations

from sqlalchemy.exc import SQLAlchemyError

from gateway.reading import Batch, Registry
from gateway.uplink import CommandOrder, CommandOutcome, UplinkUnavailable
from services.commands.desk import Bell, CommandDesk
from services.intake import Intake


class InProcessUplink:
    """The uplink of a gateway that runs beside services. What the database refuses now, the journal keeps."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def cursor(self, gateway: str) -> int:
        try:
            return self._intake.cursor(gateway)
        except SQLAlchemyError as error:
            raise UplinkUnavailable(_said_by(error)) from error

    def deliver(self, batch: Batch) -> int:
        try:
            return self._intake.take(batch)
        except SQLAlchemyError as error:
            raise UplinkUnavailable(_said_by(error)) from error

    def registry(self) -> Registry:
        try:
            return self._intake.registry()
        except SQLAlchemyError as error:
            raise UplinkUnavailable(_said_by(error)) from error


class InProcessCommands:
    """The orders of a gateway that runs beside services."""

    def __init__(self, desk: CommandDesk, bell: Bell) -> None:
        self._desk = desk
        self._bell = bell

    def orders(self, gateway: str, wait_seconds: float) -> list[CommandOrder]:
        try:
            return self._desk.wait_for_orders(gateway, wait_seconds, self._bell)
        except SQLAlchemyError as error:
            raise UplinkUnavailable(_said_by(error)) from error

    def report(self, gateway: str, outcomes: list[CommandOutcome]) -> None:
        try:
            self._desk.report(gateway, outcomes)
        except SQLAlchemyError as error:
            raise UplinkUnavailable(_said_by(error)) from error


def _said_by(error: SQLAlchemyError) -> str:
    """The database's own words, without the statement and its values."""
    return f"the database refuses: {getattr(error, 'orig', None) or type(error).__name__}"
