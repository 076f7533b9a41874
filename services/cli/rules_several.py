"""How the commands about rules tell of those over several devices, which stand in the site file."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from services.cli.rules_said import json_of, out, print_json

if TYPE_CHECKING:
    from services.cli.rules_yard import Yard
    from services.rulebook.several import SeveralRule

_ORIGINS = {"site_file": "site file", "built_in": "built in, by the feeds of the site file"}


def several_table(found: list[SeveralRule]) -> Table:
    """Under a heading of their own."""
    table = Table(box=None, pad_edge=False)
    for column in ("rule", "mode", "severity", "7 days", "for each", "state"):
        table.add_column(column, no_wrap=True)
    for one in found:
        severity = one.severity.value if one.severity else ""
        cells = (one.id, one.mode, severity, str(one.counts.raised), one.per)
        table.add_row(*map(escape, cells), _state(one))
    return table


def _state(one: SeveralRule) -> str:
    if one.problems:
        return "[red]broken[/red]"
    return f"[red]{len(one.active)} active[/red]" if one.active else ""


def explain_several(yard: Yard, found: list[SeveralRule], *, as_json: bool) -> None:
    """What each says, for which places it is judged, and how its members stand now."""
    counts = [yard.counted(one) for one in found]
    if as_json:
        said = [
            {"rule": json_of(one), "now": [each._asdict() for each in now]}
            for one, now in zip(found, counts, strict=True)
        ]
        print_json({"several": said})
        return
    for one, now in zip(found, counts, strict=True):
        _print(yard, one)
        for each in now:
            who = f": {', '.join(each.met)}" if each.met else ""
            unknown = f", {each.unknown} unknown" if each.unknown else ""
            place = one.places[each.place].en
            out.print(f"  now at {escape(place)}: {len(each.met)} of {each.members}{unknown}{escape(who)}")


def _print(yard: Yard, one: SeveralRule) -> None:
    from services.web.pages.render import translations
    from services.web.views.rule_words import RuleWords
    from services.web.views.several import profile_of

    severity = one.severity.value if one.severity else "cannot be read"
    out.print(f"[bold]{escape(one.name.en)}[/bold]  {escape(one.id)}  {severity}, {one.mode}, {_ORIGINS[one.origin]}")
    for problem in one.problems:
        out.print(f"  [red]cannot be evaluated[/red]: {problem.kind} {escape(problem.found)}")
    if (profile := profile_of(one, yard.library)) is not None:
        words = RuleWords(profile, {}, translations()["en"])
        out.print(f"  when   {escape(words.clause(one.when, timedelta(seconds=one.for_seconds)))}")
        clear = words.condition(one.clear_when) if one.clear_when else "that no longer holds"
        out.print(f"  clears {escape(clear)}, for {one.clear_for_seconds:g} s")
    out.print(f"         [dim]{escape(one.when)}[/dim]")
    for label, text, usual in (("grades", one.grades, "none"), ("applies", one.schedule, "always")):
        if text != usual:
            out.print(f"  {label}: {escape(text)}")
    out.print(f"  judged for each {one.per}: {escape(', '.join(each.en for each in one.places.values()) or 'none')}")
    out.print(f"  counts {one.devices} devices of {escape(', '.join(one.profiles) or 'no profile')}")
    out.print(f"  raised {one.counts.raised} times in 7 days; {len(one.active)} active now")
    where = "rules" if one.origin == "site_file" else "feeds"
    out.print(f"  to change it: `{where}` of the site file (courtyard site export {escape(one.site)}), then import it")
