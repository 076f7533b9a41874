"""Every command of `courtyard`: where it is, and its line in `courtyard --help`.

Only the command that is asked for is imported. A test compares the lines with what the commands themselves say.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from typer import BadParameter
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Listed:
    """A command or a group of commands as `courtyard --help` lists it."""

    panel: str
    help: str
    modules: tuple[str, ...]
    """Those of this package that add it to `app`, and what belongs to it; the first one makes it."""


RUN, SITE, LOOK, PROFILES, SHOW, KEEP = (
    "Run it",
    "A site, its rules and its people",
    "Look at what happens",
    "Device profiles",
    "The time series and Grafana",
    "Install and look after it",
)

COMMANDS: Mapping[str, Listed] = {
    "up": Listed(RUN, "Start everything: broker, gateway, services and pages, in one command.", ("up",)),
    "gateway": Listed(RUN, "Run a gateway alone, delivering to services elsewhere.", ("run",)),
    "services": Listed(RUN, "Run services and pages alone; gateways elsewhere deliver to them over HTTP.", ("run",)),
    "stack": Listed(RUN, "The stack of docker-compose.yml without containers.", ("stack",)),
    "site": Listed(SITE, "What stands where, what serves whom, who is told.", ("site",)),
    "rules": Listed(
        SITE, "What rules run at a site, why they say what they say, and how to change them safely.", ("rules",)
    ),
    "backtest": Listed(
        SITE,
        "Replay a site's history under the rules that are live, beside changed ones, and count both.",
        ("backtest",),
    ),
    "maintenance": Listed(SITE, "Windows in which what is being worked on disturbs nobody.", ("maintenance",)),
    "account": Listed(SITE, "People who sign in.", ("account",)),
    "token": Listed(SITE, "Tokens for programs: gateways and API clients.", ("account",)),
    "notice": Listed(SITE, "Messages to engineers, crews and residents.", ("notice",)),
    "command": Listed(SITE, "Tell devices what to do.", ("command",)),
    "gateways": Listed(LOOK, "Gateways that deliver here: list them, forget one that is gone.", ("gateways",)),
    "doctor": Listed(LOOK, "Say what is wrong with this installation and what to do.", ("doctor",)),
    "quarantine": Listed(LOOK, "Messages that could not be decoded.", ("quarantine",)),
    "capture": Listed(
        LOOK, "Record what is said on a broker: the first step to a profile of an unknown device.", ("capture",)
    ),
    "profile": Listed(
        PROFILES,
        "Write device profiles, try them on live messages, look at them.",
        ("profile", "profile_show", "profile_watch"),
    ),
    "check": Listed(PROFILES, "Check device profiles: every mistake, every sample, every rule test.", ("check",)),
    "decode": Listed(
        PROFILES, "Decode one message with one profile and print each reading as one line of JSON.", ("decode",)
    ),
    "simulate": Listed(
        PROFILES,
        "Play all devices of a site: every profile says itself how its device behaves and how it fails.",
        ("simulate",),
    ),
    "telemetry": Listed(
        SHOW, "The time series: set up InfluxDB, see how it stands, sum up again, copy, export.", ("telemetry",)
    ),
    "dashboards": Listed(SHOW, "Build Grafana dashboards from device profiles, and check them.", ("dashboards",)),
    "grafana": Listed(
        SHOW,
        "Put dashboards, folders, datasources and annotations into a Grafana, and keep them as they should be.",
        ("grafana",),
    ),
    "backup": Listed(
        KEEP, "One file with everything that makes this installation what it is: `courtyard backup FILE`.", ("backup",)
    ),
    "restore": Listed(
        KEEP, "Make an installation from a backup, in an empty folder and an empty database.", ("backup",)
    ),
    "migrate": Listed(KEEP, "Bring the database to this version's tables. Safe to run again.", ("run",)),
    "enrol": Listed(
        KEEP,
        "Bring the database up to date and let a gateway in by the token of a file; safe to run again.",
        ("enrol",),
    ),
    "secrets": Listed(KEEP, "Passwords and tokens of the stack, as files.", ("secrets",)),
    "sbom": Listed(
        KEEP,
        "Print the bill of materials (CycloneDX 1.6, JSON): every Python package installed, with its licence.",
        ("sbom",),
    ),
    "bench": Listed(
        KEEP, "Measure this machine; a real Mosquitto (for telemetry: InfluxDB) must be installed.", ("bench",)
    ),
}


class NotRead(TyperCommand):
    """Stands in the list of commands for one that has not been imported."""


class Index(TyperGroup):
    """All commands of COMMANDS, of which each is imported when it is run, or asked for its help."""

    def __init__(self, *, commands: Any = None, **attributes: Any) -> None:
        read = commands or {}
        super().__init__(commands={name: read.get(name) or _stand_in(name) for name in COMMANDS}, **attributes)
        for name, command in self.commands.items():
            vars(command)["rich_help_panel"] = COMMANDS[name].panel

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and isinstance(command, NotRead):
            command = _read(name)
            self.commands[name] = command
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BadParameter as wrong:
            wrong.message = _found_and_expected(wrong)
            raise


def _found_and_expected(wrong: BadParameter) -> str:
    """The message, with the value that was found: typer says only what it should be."""
    mistakes = getattr(wrong.__cause__, "errors", None)  # pydantic's
    if not callable(mistakes):
        return wrong.message
    one = mistakes()[0]
    if one["type"] == "value_error":  # it says what was found
        return wrong.message.removeprefix("Value error, ")
    should = one["msg"].removeprefix("Input should be ").partition(", unable to")[0]
    expected = {"a valid integer": "a whole number", "a valid number": "a number"}.get(should, should)
    number = "a number " if expected.startswith(("greater", "less")) else ""
    return f"found {str(one['input'])!r}, expected {number}{expected}"


def read_all() -> None:
    """Import every command, as the reference does."""
    for listed in COMMANDS.values():
        _import(listed)


def _stand_in(name: str) -> NotRead:
    return NotRead(name, help=COMMANDS[name].help)


def _read(name: str) -> Any:
    from typer.main import get_command

    from services.cli import app

    _import(COMMANDS[name])
    whole: Any = get_command(app)
    return whole.commands[name]


def _import(listed: Listed) -> None:
    for module in listed.modules:
        import_module(f"services.cli.{module}")
