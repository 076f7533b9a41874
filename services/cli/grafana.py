"""`courtyard grafana`: dashboards, folders, datasources and annotations in a Grafana."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import Progress

from services.cli import app
from services.cli.console import Console
from services.cli.grafana_shown import in_json, out, show
from services.cli.grafana_wanted import (
    Language,
    boards_of,
    connect,
    language_of,
    places_of,
    planned,
    token_of,
    url_of,
    wanted_datasources,
)
from services.cli.installed import open_installed
from services.cli.shared import explained, set_up_logging, settings_with, stopped_by_signal
from services.clock import SystemClock

if TYPE_CHECKING:
    from dashboards.grafana import Grafana
    from dashboards.plan import Step
    from dashboards.sync import Failed

grafana = typer.Typer(
    name="grafana",
    no_args_is_help=True,
    help="Put dashboards, folders, datasources and annotations into a Grafana, and keep them as they should be.\n\n"
    "It knows Grafana 10 to 13. Without its API: `courtyard grafana provision` writes files that it reads at start.",
)
app.add_typer(grafana)


Url = Annotated[
    str | None, typer.Option("--url", help="http://HOST:3000 or https://HOST/grafana; default: COURTYARD_GRAFANA_URL.")
]
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", help="File with a service account's token; default: COURTYARD_GRAFANA_TOKEN."),
]
Languages = Annotated[
    Language | None,
    typer.Option("--language", help="The language of titles and units; default: COURTYARD_GRAFANA_LANGUAGE."),
]
Boards = Annotated[
    Path | None,
    typer.Option("--boards", help="A folder that `courtyard dashboards build` wrote; default: the shipped dashboards."),
]
Data = Annotated[Path | None, typer.Option("--data", help="Courtyard's data folder, for the sites.")]
InfluxUrl = Annotated[
    str | None,
    typer.Option("--influx-url", help="InfluxDB as Grafana reaches it; default: COURTYARD_INFLUX_URL."),
]
InfluxToken = Annotated[
    Path | None,
    typer.Option(
        "--influx-token-file",
        help="File with a token (InfluxDB 2) or USER:PASSWORD (InfluxDB 1) that may only read; default: "
        "COURTYARD_INFLUX_TOKEN, which may write as well.",
    ),
]
PostgresUrl = Annotated[
    str | None,
    typer.Option(
        "--postgres-url",
        help="postgresql://USER@HOST:5432/DATABASE of a role that may only read (courtyard migrate --reader USER); "
        "over a line that is not your own with ?sslmode=require or verify-full.",
    ),
]
PostgresPassword = Annotated[
    Path | None, typer.Option("--postgres-password-file", help="File with the password of that role.")
]
PrometheusUrl = Annotated[
    str | None, typer.Option("--prometheus-url", help="Prometheus as Grafana reaches it, for Courtyard's own metrics.")
]
Teams = Annotated[
    bool,
    typer.Option(
        "--teams",
        help="A team per site, and only it (and Editors) looks into the site's folder. That keeps dashboards apart, "
        "not data: every user of a Grafana can ask its datasources. A run without it opens the folders again.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@grafana.command("sync")
@explained
def sync(
    url: Url = None,
    token_file: TokenFile = None,
    language: Languages = None,
    boards: Boards = None,
    data: Data = None,
    influx_url: InfluxUrl = None,
    influx_token_file: InfluxToken = None,
    postgres_url: PostgresUrl = None,
    postgres_password_file: PostgresPassword = None,
    prometheus_url: PrometheusUrl = None,
    no_datasources: Annotated[
        bool, typer.Option("--no-datasources", help="Leave datasources alone; an Editor's token is then enough.")
    ] = False,
    renew_secrets: Annotated[
        bool, typer.Option("--renew-secrets", help="Send passwords and tokens again: Grafana does not show them.")
    ] = False,
    keep_old: Annotated[
        bool, typer.Option("--keep-old", help="Remove nothing; for two Courtyards that share one Grafana.")
    ] = False,
    teams: Teams = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a Grafana hold Courtyard's folders, datasources and dashboards. The same again changes nothing.

    One folder for all sites, and one per site with the dashboards held to it. It changes and removes only what it made
    itself; what people made stays, and what comes from Grafana's provisioning files is left alone and said.
    """
    settings = settings_with(data_dir=data)
    sources = (
        []
        if no_datasources
        else wanted_datasources(
            settings, influx_url, influx_token_file, postgres_url, postgres_password_file, prometheus_url
        )
    )
    failed: list[Failed] = []
    with connect(settings, url, token_file) as connected:
        abilities, steps = planned(
            settings,
            connected,
            language_of(settings, language),
            boards,
            sources,
            renew_secrets=renew_secrets,
            teams=teams,
        )
        steps = _without_removals(steps) if keep_old else steps
        if not dry_run:
            failed = _applied(connected, steps)
    if as_json:
        typer.echo(in_json(abilities, steps, failed))
    else:
        show(abilities, steps, failed, done=not dry_run)
    if failed:
        raise typer.Exit(1)


@grafana.command("status")
@explained
def status(
    url: Url = None,
    token_file: TokenFile = None,
    language: Languages = None,
    boards: Boards = None,
    data: Data = None,
    teams: Teams = False,
    as_json: AsJson = False,
) -> None:
    """Say what a Grafana holds against what it should, and how annotations fare. Exit code 1 where they differ.

    Changes nothing. Datasources of ours are asked for their health.
    """
    from dashboards.sync import health
    from services.grafana import record

    settings = settings_with(data_dir=data)
    with connect(settings, url, token_file) as connected:
        abilities, steps = planned(
            settings, connected, language_of(settings, language), boards, [], renew_secrets=False, teams=teams
        )
        healthy = health(connected)
    last = record.read(settings.data_dir)
    if as_json:
        typer.echo(in_json(abilities, steps, [], datasources=healthy, annotations=last.as_json() if last else None))
    else:
        show(abilities, steps, [], done=False)
        for name, found in healthy.items():
            out.print(f"  datasource {escape(name)}: {escape(found)}", highlight=False)
        words = last.in_words() if last else "none have been sent from here"
        out.print(f"Annotations: {escape(words)}", highlight=False, soft_wrap=True)
    if any(step.do in ("create", "change", "remove") for step in steps):
        raise typer.Exit(1)


@grafana.command("token")
@explained
def token(
    to: Annotated[Path, typer.Option("--to", help="Where the token goes (mode 0600).", show_default=False)],
    admin_password_file: Annotated[
        Path, typer.Option("--admin-password-file", help="File with the administrator's password.", show_default=False)
    ],
    url: Url = None,
    admin_user: Annotated[str, typer.Option("--admin-user", help="An administrator of the organisation.")] = "admin",
    dashboards_only: Annotated[
        bool,
        typer.Option(
            "--dashboards-only",
            help="The role Editor: folders, dashboards and annotations. Datasources then come from provisioning files.",
        ),
    ] = False,
    days: Annotated[int | None, typer.Option("--days", min=1, help="How long it holds; default: for ever.")] = None,
) -> None:
    """Make a service account `courtyard` in Grafana and write a token of it to a file; renew it by the same command.

    The role is the least that works: Admin of the organisation, because only that may make datasources, or Editor with
    --dashboards-only. Earlier tokens of this account end as soon as the new one has proven to work and is written.
    """
    from dashboards.grafana import Grafana
    from dashboards.service_account import ROLES, issue, write_secret

    settings = settings_with()
    password = admin_password_file.read_text(encoding="utf-8").strip()
    role = ROLES["dashboards" if dashboards_only else "everything"]
    with Grafana(url_of(settings, url), (admin_user, password)) as connected:
        issued = issue(
            connected, role=role, now=SystemClock().now(), days=days, keep=lambda secret: write_secret(to, secret)
        )
    about = f"Service account [bold]{issued.account}[/bold] ({issued.role}), token {issued.name}"
    out.print(f"{about}: {escape(str(to))}", highlight=False, soft_wrap=True)
    if issued.revoked:
        out.print(f"Revoked: {', '.join(issued.revoked)}", highlight=False)


@grafana.command("provision")
@explained
def provision(
    folder: Annotated[Path, typer.Option("--out", help="The folder to write.", show_default=False)],
    language: Languages = None,
    boards: Boards = None,
    data: Data = None,
    mount: Annotated[
        str | None,
        typer.Option("--mount", help="Where Grafana will find the dashboards; default: OUT/boards as it is here."),
    ] = None,
    prometheus_url: PrometheusUrl = None,
    grafana_version: Annotated[str, typer.Option("--grafana", help="The version of Grafana it is for.")] = "13.2.3",
) -> None:
    """Write what Grafana's file provisioning reads: datasources, and the dashboards in a folder per site.

    The datasources take their addresses from the environment of Grafana (INFLUX_URL, POSTGRES_ADDRESS, POSTGRES_DB,
    POSTGRES_USER) and their secrets from files (/run/secrets/influx_grafana_password and
    postgres_grafana_password). Point Grafana at it by GF_PATHS_PROVISIONING=OUT.
    """
    from dashboards.capabilities import capabilities
    from dashboards.places import arrange
    from dashboards.plan import fitted
    from dashboards.provision import shipped_datasources, with_prometheus, write_boards, write_files

    settings = settings_with(data_dir=data)
    abilities = capabilities(grafana_version)
    chosen = language_of(settings, language)
    shelves = arrange(boards_of(settings, boards, chosen), places_of(settings), chosen.codes, abilities)
    sources = shipped_datasources()
    if prometheus_url:
        sources = with_prometheus(sources, prometheus_url)
    where = mount or str((folder / "boards").resolve())
    files = write_files(folder, sources, boards=where, grafana=abilities)
    wanted = {shelf.folder.title: [fitted(board, abilities) for board in shelf.boards] for shelf in shelves}
    written = write_boards(folder, wanted)
    for file in files:
        out.print(str(file), highlight=False, soft_wrap=True)
    out.print(f"{len(written)} dashboards in {len(wanted)} folders below {folder / 'boards'}", soft_wrap=True)


def _applied(connected: Grafana, steps: list[Step]) -> list[Failed]:
    from dashboards.sync import apply

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Grafana", total=len(steps))
        return apply(connected, steps, done=lambda _: progress.advance(task))


@grafana.command("annotate")
@explained
def annotate(
    url: Url = None,
    token_file: TokenFile = None,
    data: Data = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until stopped.")] = False,
) -> None:
    """Draw alarm episodes, outages and work on tickets over the curves, as annotations in Grafana itself.

    For a Grafana that cannot ask PostgreSQL. The last 30 days first, then what begins and ends; again changes nothing.
    Services do the same by themselves where COURTYARD_GRAFANA_URL and COURTYARD_GRAFANA_TOKEN are set.
    """
    from services.grafana.annotate import annotator

    settings = settings_with(data_dir=data)
    clock = SystemClock()
    with ExitStack() as stack:
        database = open_installed(stack, settings)
        keeper = annotator(settings, database, clock, url=url_of(settings, url), token=token_of(settings, token_file))
        stack.callback(keeper.stop)
        written = 0
        while True:
            done = keeper.round(clock.now())
            written += done.written
            if not done.waiting:
                break
            out.print(f"{written} written, {done.waiting} to go …", highlight=False)
        out.print(f"{written} annotations written; {keeper.state.in_words()}", highlight=False, soft_wrap=True)
        if follow:
            set_up_logging(settings.log_level)
            stopping = stopped_by_signal()
            keeper.start()
            stopping.wait()


def _without_removals(steps: list[Step]) -> list[Step]:
    return [step for step in steps if step.do != "remove"]
