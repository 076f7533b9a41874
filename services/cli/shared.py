"""What all commands share: errors that say what to do, settings, and logs. It imports little: all of them import it."""

from __future__ import annotations

import errno
import functools
import getpass
import inspect
import logging
import re
import signal
import sys
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import typer
from rich.markup import escape

from services.cli.console import Console

if TYPE_CHECKING:
    import structlog
    from pydantic import ValidationError

    from services.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")
errors = Console(stderr=True)
_EXPECTED = (
    ("gateway.broker", "BrokerNotStarted"),
    ("gateway.mqtt", "MqttUnavailable"),
    ("gateway.telemetry", "TelemetryUnavailable"),
    ("gateway.uplink", "UplinkRejected"),
    ("gateway.uplink", "UplinkUnavailable"),
    ("dashboards.check", "Refused"),
    ("device_profiles.library", "ProfileMistakes"),
    ("services.backtest.parallel", "WorkerDied"),
    ("services.backtest.report", "NoRoom"),
    ("services.profiles", "ProfileSamplesFail"),
    ("services.sites.mistakes", "SiteMistakes"),
    ("services.web.server", "AddressTaken"),
    ("sqlalchemy.exc", "OperationalError"),
    ("sqlite3", "DatabaseError"),
)
"""Errors that a person can mend, by module and name, beside ValueError and OSError."""
_OPTIONS = {
    "data_dir": "--data",
    "database_url": "--database",
    "gateway_id": "--id",
    "gateway_token_file": "--token-file",
    "http": "--http",
    "influx_url": "--influx-url",
    "mqtt": "--mqtt",
    "services_url": "--services",
}
"""Which option overrules a setting."""


class NoCourtyard(ValueError):
    """A command needs an installation that exists, and there is none where it looked; exit code 2."""


def explained(command: Callable[P, R]) -> Callable[P, R]:
    """Failures that a person can mend are said in words, with exit code 1 or 2, and never as a traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except _expected() as error:
            errors.print(f"[bold red]Error[/bold red] {escape(said(error))}", highlight=False, soft_wrap=True)
            raise typer.Exit(2 if isinstance(error, NoCourtyard) else 1) from error

    run.__doc__ = flowing(inspect.getdoc(command) or "")
    return run


def flowing(text: str) -> str:
    """Help whose paragraphs are broken by the terminal and not by the source; what is indented stays as it is."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(one if re.search("^ ", one, re.MULTILINE) else one.replace("\n", " ") for one in paragraphs)


def _expected() -> tuple[type[Exception], ...]:
    """Only modules that are loaded can have raised something, so that nothing is loaded to end a command."""
    loaded = ((sys.modules.get(module), name) for module, name in _EXPECTED)
    return (OSError, ValueError, *(getattr(module, name) for module, name in loaded if module is not None))


def said(error: Exception) -> str:
    """What was found, what was expected, and the next step, as far as the error knows."""
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return _file_said(error)
    wrong = getattr(error, "errors", None)
    if callable(wrong):  # pydantic's
        return "\n".join(f"{'.'.join(map(str, one['loc']))}: {_wrong(one)}" for one in wrong())
    # SQLAlchemy's wrapper quotes the statement; the database's own words are enough.
    original = getattr(error, "orig", None)
    return str(original or error).strip() or type(error).__name__


def _file_said(error: OSError) -> str:
    file = error.filename if isinstance(error.filename, str) else str(error.filename)
    match error.errno:
        case errno.ENOENT:
            return f"{file}: there is no such file or folder; is the path right?"
        case errno.EISDIR:
            return f"{file} is a folder; expected a file"
        case errno.ENOTDIR | errno.EEXIST:
            return f"{file}: found a file where a folder is expected; choose another path"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return (
                f"{file}: {_user()} may not read or write there ({error.strerror}); run this as the user "
                "that Courtyard runs as, or choose another path"
            )
        case errno.ENOSPC:
            return f"{file}: the disk is full; make room and do it again"
    return f"{file}: {error.strerror}"


def _user() -> str:
    try:
        return f"the user {getpass.getuser()}"
    except (KeyError, OSError):  # a container's user without a name
        return "this user"


def settings_with(**options: object) -> Settings:
    """Settings from the environment, overruled by the options that were given.

    Raises ValueError with the option or the variable that is wrong, what was found and what is expected."""
    from pydantic import ValidationError

    from services.settings import Settings

    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        raise ValueError("\n".join(_settings_said(error, set(given)))) from error


def _settings_said(error: ValidationError, given: set[str]) -> list[str]:
    lines = []
    for one in error.errors():
        name = str(one["loc"][0]) if one["loc"] else ""
        where = _OPTIONS[name] if name in given and name in _OPTIONS else f"COURTYARD_{name.upper()}"
        lines.append(f"{where}: {_wrong(one)}")
    return lines


def _wrong(one: Any) -> str:
    text = str(one["msg"]).removeprefix("Value error, ")
    # Our own checks say what they found, or keep quiet where it may hold a password.
    return text if one["type"] == "value_error" else f"found {one['input']!r}; {text[:1].lower()}{text[1:]}"


def stopped_by_signal() -> Event:
    """Set by ctrl-C or SIGTERM."""
    stopping = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def set_up_logging(level: str) -> None:
    """Events with fields, on stderr: readable in a terminal, JSON lines elsewhere."""
    import structlog

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
        # What stderr is when something is said: it may have been replaced, and closed, since this was set up.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(
        level=max(number, logging.WARNING), stream=sys.stderr, format="%(levelname)s %(name)s %(message)s"
    )
