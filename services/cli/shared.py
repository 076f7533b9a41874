"""What all commands share: errors that say what to do, and logs."""

from __future__ import annotations

import functools
import logging
import signal
import sys
from collections.abc import Callable
from threading import Event
from typing import ParamSpec, TypeVar

import structlog
import typer
from pydantic import ValidationError
from rich.markup import escape

from services.cli.console import Console
from services.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")
errors = Console(stderr=True)


def explained(command: Callable[P, R]) -> Callable[P, R]:
    """Failures that a person can mend are said in words, with exit code 1, and never as a traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except _expected() as error:
            errors.print(f"[bold red]Error[/bold red] {escape(_said(error))}", highlight=False, soft_wrap=True)
            raise typer.Exit(1) from error

    return run


def _expected() -> tuple[type[Exception], ...]:
    from sqlalchemy.exc import OperationalError

    from device_profiles.library import ProfileMistakes
    from gateway.broker import BrokerNotStarted
    from gateway.mqtt import MqttUnavailable
    from gateway.telemetry import TelemetryUnavailable
    from gateway.uplink import UplinkRejected, UplinkUnavailable
    from services.profiles import ProfileSamplesFail
    from services.sites.mistakes import SiteMistakes
    from services.web.server import AddressTaken

    return (
        AddressTaken,
        BrokerNotStarted,
        MqttUnavailable,
        OperationalError,
        OSError,
        ProfileMistakes,
        ProfileSamplesFail,
        SiteMistakes,
        TelemetryUnavailable,
        UplinkRejected,
        UplinkUnavailable,
        ValidationError,
        ValueError,
    )


def _said(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "\n".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    # SQLAlchemy's wrapper quotes the statement; the database's own words are enough.
    original = getattr(error, "orig", None)
    return str(original or error).strip() or type(error).__name__


def settings_with(**options: object) -> Settings:
    """Settings from the environment, overruled by the options that were given."""
    return Settings(**{name: value for name, value in options.items() if value is not None})  # type: ignore[arg-type]


def stopped_by_signal() -> Event:
    """Set by ctrl-C or SIGTERM."""
    stopping = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def set_up_logging(level: str) -> None:
    """Events with fields, on stderr: readable in a terminal, JSON lines elsewhere."""
    number = getattr(logging, level.upper(), None)
    if not isinstance(number, int):
        raise ValueError(f"log level: expected debug, info, warning or error, found {level!r}")
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(
        level=max(number, logging.WARNING), stream=sys.stderr, format="%(levelname)s %(name)s %(message)s"
    )
