"""`courtyard notice`: does a message really reach somebody?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from services.cli import app
from services.cli.console import Console
from services.cli.installed import open_installed
from services.cli.shared import errors, explained, settings_with
from services.clock import SystemClock

if TYPE_CHECKING:
    from services.notices.channels import Outcome
    from services.settings import Settings

notice = typer.Typer(name="notice", help="Messages to engineers, crews and residents.", no_args_is_help=True)
app.add_typer(notice)
out = Console()

_TITLE = {"zh": "Courtyard 测试消息", "en": "Courtyard test message"}
_BODY = {
    "zh": "这是一条测试消息,说明 Courtyard 可以通知到您。无需处理。",
    "en": "This is a test: Courtyard can reach you. Nothing needs to be done.",
}
_DEMO_RESTS = "; the demo has it while it runs: start `courtyard up --demo` with this data folder, then try again"


class RecipientUnknown(Exception):
    """Neither a recipient of a site file nor an address."""


@notice.command("test")
@explained
def send_test(
    to: Annotated[
        str,
        typer.Argument(metavar="RECIPIENT|URL", help="Id of a recipient in a site file, an e-mail address, or a URL."),
    ],
    data: Annotated[Path | None, typer.Option("--data", help="Courtyard's data folder, for recipients.")] = None,
) -> None:
    """Send a test message now, past the outbox, and print what came of it.

    Examples:

      courtyard notice test crew-wechat                      a recipient of a site file
      courtyard notice test li.wei@example.org               e-mail (needs COURTYARD_SMTP_URL)
      courtyard notice test https://hooks.example.org/abc    a webhook
      courtyard notice test 'wecombot://BOTKEY'              any Apprise URL
      courtyard notice test env:CREW_HOOK                    the URL is in the environment variable CREW_HOOK
    """
    from services.demo.mailbox import ENVIRONMENT
    from services.ids import new_id
    from services.notices import outbox
    from services.notices.channels import Message

    settings = settings_with(data_dir=data)
    settings, environment = _with_demo(settings)
    try:
        channel, target, shown, language = _resolve(settings, to, environment)
    except (RecipientUnknown, outbox.TargetMissing) as error:
        said = f"{error}{_DEMO_RESTS if ENVIRONMENT in str(error) else ''}"
        errors.print(f"[bold red]Error[/bold red] {escape(said)}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    out.print(f"Sending a test message by {channel} to {escape(shown)} …")
    key = f"test-{new_id(SystemClock().now())}"
    message = Message(
        key=key,
        target=target,
        title=_TITLE.get(language, _TITLE["en"]),
        body=_BODY.get(language, _BODY["en"]),
        data={"kind": "test", "key": key},
    )
    channels = outbox.channels_of(settings)
    try:
        outcome = outbox.without_secrets(channels[channel].send(message), target)
    finally:
        for one in channels.values():
            one.close()
    _report(outcome)


def _with_demo(settings: Settings) -> tuple[Settings, Mapping[str, str]]:
    """Settings and environment as the demo has them, where it runs on this folder: its mailbox is on loopback."""
    from services.demo.mailbox import ENVIRONMENT
    from services.folder import running

    note = running(settings.data_dir)
    if os.environ.get(ENVIRONMENT) or note is None or not note.mailbox:
        return settings, os.environ
    return settings.model_copy(update={"webhook_allow_private": True}), {**os.environ, ENVIRONMENT: note.mailbox}


def channel_of(url: str) -> str:
    """The channel that takes an address somebody typed: web addresses are webhooks, other URLs are Apprise's."""
    if url.startswith(("http://", "https://")):
        return "webhook"
    if "://" in url:
        return "apprise"
    if "@" in url:
        return "email"
    raise RecipientUnknown(
        f"There is no recipient {url!r}, and it is no address. Recipients stand in the site file under `recipients:`."
    )


def _resolve(settings: Settings, to: str, environment: Mapping[str, str]) -> tuple[str, str, str, str]:
    """(channel, target, the target as it may be shown, language)."""
    from services.notices import outbox
    from services.notices.sending import masked

    known = [] if "://" in to or to.startswith("env:") else _recipients(settings)
    # In the database a recipient is `site:id`; people type what stands in the site file.
    named = [row for row in known if to in (row["id"], row["id"].partition(":")[2])]
    if len(named) > 1:
        raise RecipientUnknown(f"More than one site has a recipient {to!r}: {', '.join(row['id'] for row in named)}.")
    for row in named:
        return row["channel"], outbox.resolve_target(row["target"], environment), masked(row["target"]), row["language"]
    target = outbox.resolve_target(to, environment)
    return channel_of(target), target, masked(to), "en"


def _recipients(settings: Settings) -> list[dict[str, Any]]:
    from services.sites.store import list_recipients

    if not settings.database_url and not (settings.data_dir / "courtyard.db").exists():
        return []  # an address can be tried before anything is installed
    with ExitStack() as stack, open_installed(stack, settings).read() as connection:
        return list_recipients(connection, None)


def _report(outcome: Outcome) -> None:
    from services.notices.channels import Delivered, RetryLater

    if isinstance(outcome, Delivered):
        out.print("[green]Delivered.[/green] The other side has taken it.")
        return
    if isinstance(outcome, RetryLater):
        out.print(f"[yellow]Not now:[/yellow] {escape(outcome.reason)}. A real notice would be tried again.")
    else:
        out.print(f"[red]Rejected:[/red] {escape(outcome.reason)}.")
    raise typer.Exit(1)
