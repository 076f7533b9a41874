"""`courtyard account` and `courtyard token`: who may sign in, and which programs may call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from services.accounts.policy import ANYWHERE, Grant, Role
from services.cli import app
from services.cli.console import Console
from services.cli.installed import open_installed, the_site
from services.cli.shared import explained, settings_with
from services.clock import SystemClock

if TYPE_CHECKING:
    from services.accounts.store import Person, Token
    from services.database import Database

account = typer.Typer(name="account", help="People who sign in.", no_args_is_help=True)
token = typer.Typer(name="token", help="Tokens for programs: gateways and API clients.", no_args_is_help=True)
app.add_typer(account)
app.add_typer(token)
out = Console()

Data = Annotated[Path | None, typer.Option("--data", help="Courtyard's data folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
SiteOption = Annotated[str, typer.Option("--site", help='A site id; "*" is every site.')]


@account.command("add")
@explained
def account_add(
    login: Annotated[str, typer.Argument(metavar="LOGIN", help="What the person types to sign in.")],
    role: Annotated[Role, typer.Option("--role", help="admin, engineer or crew.")],
    site: SiteOption = ANYWHERE,
    name: Annotated[str, typer.Option("--name", help="The person's name, as colleagues know it.")] = "",
    data: Data = None,
) -> None:
    """Add a person; the password is made up and printed once.

    Roles: [bold]crew[/bold] works tickets and acknowledges alarms, [bold]engineer[/bold] also sees notices and the
    gateways' health, [bold]admin[/bold] also manages people. Each includes the ones before. Adding a login that exists
    gives that person the role at one more site.

    Examples:

      courtyard account add li.wei --role crew --site lotus

      courtyard account add chen --role engineer          (every site)
    """
    from services.accounts import desk, store
    from services.accounts.passwords import random_password

    with _opened(data) as (database, now):
        _check_site(database, site)
        with database.read() as connection:
            known = store.person_by_login(connection, login)
        grant = Grant(site, role)
        if known is not None:
            if grant in known[0].grants:
                out.print(f"{escape(login)} is {role.value} of {_place(site)} already; nothing has changed.")
                return
            grants = list(dict.fromkeys([*known[0].grants, grant]))
            desk.change_person(database, known[0].id, now=now, who=None, grants=grants)
            out.print(f"{escape(login)} is now also {role.value} of {_place(site)}.")
            return
        password = random_password()
        desk.add_person(database, login=login, password=password, grants=[grant], name=name, now=now, who=None)
    out.print(f"{escape(login)} is {role.value} of {_place(site)}.")
    out.print(f"Password, shown once: [bold]{password}[/bold]")


@account.command("password")
@explained
def account_password(
    login: Annotated[str, typer.Argument(metavar="LOGIN", help="Whose password.")],
    choose: Annotated[bool, typer.Option("--choose", help="Type one instead of getting a made-up one.")] = False,
    data: Data = None,
) -> None:
    """Give somebody a new password; signs the person out everywhere.

    This is also the way back in when the admin's password is lost: courtyard account password admin
    """
    from services.accounts import desk, store
    from services.accounts.passwords import random_password

    with _opened(data) as (database, now):
        with database.read() as connection:
            known = store.person_by_login(connection, login)
        if known is None:
            raise ValueError(f"There is nobody with the login {login!r}. See `courtyard account list`.")
        password = (
            typer.prompt("New password", hide_input=True, confirmation_prompt=True) if choose else random_password()
        )
        desk.set_password(database, known[0].id, password, now=now, who=None)
    out.print("The password is set." if choose else f"Password, shown once: [bold]{password}[/bold]")


@account.command("list")
@explained
def account_list(as_json: AsJson = False, data: Data = None) -> None:
    """Who may sign in, and what each may do where."""
    from services.accounts import store

    with _opened(data) as (database, _), database.read() as connection:
        people = store.list_people(connection, limit=10_000)
    if as_json:
        typer.echo(json.dumps([_person_json(person) for person in people], ensure_ascii=False, indent=2))
        return
    table = Table("login", "name", "roles", "state")
    for person in people:
        roles = ", ".join(f"{grant.role.value} of {_place(grant.site)}" for grant in person.grants)
        table.add_row(escape(person.login), escape(person.name), escape(roles), "disabled" if person.disabled else "")
    out.print(table)


def _person_json(person: Person) -> dict[str, object]:
    grants = [{"site": grant.site, "role": grant.role.value} for grant in person.grants]
    return {"login": person.login, "name": person.name, "grants": grants, "disabled": person.disabled}


def _token_json(one: Token) -> dict[str, object]:
    """Never the secret, of which only a hash is kept."""
    return {
        "id": one.id,
        "name": one.name,
        "role": one.role.value,
        "site": one.site,
        "created_at": one.created_at.isoformat(),
        "revoked_at": one.revoked_at.isoformat() if one.revoked_at else None,
    }


@account.command("disable")
@explained
def account_disable(
    login: Annotated[str, typer.Argument(metavar="LOGIN", help="Who may no longer sign in.")], data: Data = None
) -> None:
    """Let somebody in no more. Tickets and history keep the name."""
    from services.accounts import desk, store

    with _opened(data) as (database, now):
        with database.read() as connection:
            known = store.person_by_login(connection, login)
        if known is None:
            raise ValueError(f"There is nobody with the login {login!r}. See `courtyard account list`.")
        desk.change_person(database, known[0].id, now=now, who=None, disabled=True)
    out.print(f"{escape(login)} can no longer sign in.")


@account.command("audit")
@explained
def account_audit(data: Data = None) -> None:
    """Check that nobody has changed or removed a row of the audit log. Exit code 1 where somebody has."""
    from services.accounts import audit

    with _opened(data) as (database, _):
        found = audit.verify(database)
    if isinstance(found, audit.Broken):
        out.print(f"[bold red]The audit log is broken at row {found.seq}:[/bold red] {found.reason}.")
        raise typer.Exit(1)
    out.print(f"{found.rows} rows, intact. Note this to prove later that none was cut off: {found.head}")


@token.command("create")
@explained
def token_create(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What the token is for. A gateway's token has the gateway's id.")
    ],
    role: Annotated[Role, typer.Option("--role", help="gateway, or what an API client may do: crew, engineer, admin.")],
    site: SiteOption = ANYWHERE,
    data: Data = None,
) -> None:
    """Make a token; it is printed once.

    Examples:

      courtyard token create gateway-1 --role gateway > gateway-1.token     for COURTYARD_GATEWAY_TOKEN_FILE

      courtyard token create reporting --role crew --site lotus

    Only the token goes to the standard output, everything else to the standard error, so it can be sent into a file.
    """
    from services.accounts import desk

    with _opened(data) as (database, now):
        _check_site(database, site)
        made, secret = desk.add_token(database, name=name, role=role, site=site, now=now, who=None)
    Console(stderr=True).print(f"Token {made.id} for {escape(name)}, {role.value} of {_place(site)}; shown once:")
    typer.echo(secret)


@token.command("list")
@explained
def token_list(as_json: AsJson = False, data: Data = None) -> None:
    """Which tokens there are."""
    from services.accounts import store

    with _opened(data) as (database, _), database.read() as connection:
        found = store.list_tokens(connection)
    if as_json:
        typer.echo(json.dumps([_token_json(one) for one in found], ensure_ascii=False, indent=2))
        return
    table = Table(Column("id", min_width=26, no_wrap=True), "name", "role", "created (UTC)", "state")
    for one in found:
        role = f"{one.role.value} of {_place(one.site)}"
        state = "revoked" if one.revoked_at else ""
        table.add_row(one.id, escape(one.name), role, f"{one.created_at:%Y-%m-%d %H:%M}", state)
    out.print(table)


@token.command("revoke")
@explained
def token_revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="See `courtyard token list`.")], data: Data = None
) -> None:
    """Make a token useless, at once and for good."""
    from services.accounts import desk

    with _opened(data) as (database, now):
        if not desk.revoke_token(database, token_id, now=now, who=None):
            raise ValueError(f"There is no token {token_id!r} in use. See `courtyard token list`.")
    out.print("Revoked.")


@contextmanager
def _opened(data: Path | None) -> Iterator[tuple[Database, datetime]]:
    with ExitStack() as stack:
        yield open_installed(stack, settings_with(data_dir=data)), SystemClock().now()


def _check_site(database: Database, site: str) -> None:
    """A role at a misspelt site would quietly open nothing."""
    if site != ANYWHERE:
        the_site(database, site)


def _place(site: str) -> str:
    return "every site" if site == ANYWHERE else site
