"""How the replay of the old rules compares with what really happened, in a terminal."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from rich.markup import escape
from rich.table import Column, Table

from services.backtest.agreement import REASONS
from services.backtest.report import Agreement, Episode, Tally, Unlike
from services.cli.console import Console
from services.clock import from_millis

_MOST_LISTED = 12
_KINDS = {
    "only_actual": "was, not replayed",
    "only_replayed": "replayed, was not",
    "moved": "moved",
    "changed": "told otherwise",
}


def _sums(alarms: int, tickets: int, notices: int) -> str:
    counts = ((alarms, "alarm"), (tickets, "ticket"), (notices, "notice"))
    return ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts)


def print_agreement(out: Console, found: Agreement, old: Tally, zone: ZoneInfo) -> None:
    """One line where the two agree, else what is unlike, and why."""
    really = found.actual
    said = _sums(really.alarms, really.tickets, really.notices)
    if not found.unlike:
        out.print(f"[bold]as it really was[/bold]  {said}: the old rules, replayed, give the same")
        return
    replayed = _sums(old.alarms, old.tickets, old.notices)
    out.print(f"[bold]as it really was[/bold]  {said}; the old rules, replayed, give {replayed}")
    table = Table(Column("unlike", min_width=6), Column("rule", overflow="fold"), Column("device", overflow="fold"),
                  "really", Column("replayed", min_width=8), Column("why", overflow="fold"),
                  box=None, pad_edge=False)  # fmt: skip
    for one in found.unlike[:_MOST_LISTED]:
        table.add_row(*_unlike(one, zone))
    out.print(table)
    left = len(found.unlike) - _MOST_LISTED
    if left > 0:
        out.print(f"… and {left} more; --json lists all.")
    for code in dict.fromkeys(code for one in found.unlike for code in one.why):
        out.print(f"[dim]{code}: {escape(REASONS[code].en)}[/dim]", soft_wrap=True)
    if found.unexplained:
        out.print(f"[yellow]{found.unexplained} of {found.compared} episodes are unlike for no known reason.[/yellow]")


def _unlike(one: Unlike, zone: ZoneInfo) -> tuple[str, ...]:
    episode = one.either
    device = f"{episode.device}/{episode.child}" if episode.child else episode.device
    sides = (_side(side, zone) for side in (one.actual, one.replayed))
    rule, why = escape(f"{episode.profile}/{episode.rule}"), ", ".join(one.why) or "?"
    return _KINDS[one.kind], rule, escape(device), *sides, why


def _side(episode: Episode | None, zone: ZoneInfo) -> str:
    if episode is None:
        return "–"
    begin = from_millis(episode.raised_at).astimezone(zone)
    end = "…" if episode.cleared_at is None else f"{from_millis(episode.cleared_at).astimezone(zone):%H:%M:%S}"
    return f"{begin:%m-%d %H:%M:%S} – {end}, {episode.notices} notices"
