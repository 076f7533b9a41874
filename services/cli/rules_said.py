"""How the commands about rules say what they found."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape
from rich.table import Table

from services.cli.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from device_profiles.schema import DeviceProfile
    from gateway.reading import Value
    from services.backtest import Report
    from services.rulebook.explain import RuleNow
    from services.rulebook.problems import RuleProblem
    from services.rulebook.rules import SiteRule
    from services.rulebook.several import SeveralRule

out = Console(highlight=False, soft_wrap=True)
_HOLDS = {True: "[yellow]holds[/yellow]", False: "[green]does not hold[/green]", None: "[magenta]unknown[/magenta]"}
_WIDE = 130
_ORIGINS = {
    "profile": "default of the profile",
    "site_file": "site file",
    "site_file_device": "site file, this device",
    "book": "rule book",
    "book_device": "rule book, this device",
}


def _words(found: SiteRule, profile: DeviceProfile) -> Any:
    from services.web.pages.render import translations
    from services.web.views.rule_words import RuleWords

    return RuleWords(profile, {one.name: one.value for one in found.params}, translations()["en"])


def table_of(found: list[SiteRule], zone: ZoneInfo) -> Table:
    """Times on the clock of the site. A narrow terminal leaves out thresholds and the last time: `show` has them."""
    wide, timed = out.width >= _WIDE, any(map(_hours, found))
    table = Table(box=None, pad_edge=False)
    columns = ["rule", "mode", "severity", "7 days", "thresholds", "last"][: 6 if wide else 4]
    for column in columns:
        table.add_column(column, no_wrap=True)
    if timed:
        table.add_column("applies", no_wrap=True)
    table.add_column("")
    for one in found:
        values = ", ".join(f"{each.name}={_value(each.value)}" for each in one.params)
        counts = f"{one.counts.shadow} on trial" if one.mode == "shadow" else str(one.counts.raised)
        counts += f", {one.counts.flapping} flapping" if one.counts.flapping else ""
        raised = one.counts.last_raised_at
        last = "" if raised is None else f"{raised.astimezone(zone):%m-%d %H:%M}"
        name = f"{one.id} *" if one.changed or one.differing_devices else one.id
        cells = [name, one.mode, one.severity.value, counts, values, last][: len(columns)]
        cells += [_hours(one)] if timed else []
        table.add_row(*map(escape, cells), "[red]broken[/red]" if one.broken else "waits" if one.waits_for else "")
    return table


def print_broken(found: Iterable[RuleProblem]) -> None:
    """What somebody must mend, by place."""
    for one in found:
        if one.is_hard:
            place = "/".join(part for part in (one.profile, one.rule) if part)
            where = " ".join(part for part in (place, one.device) if part) or "rule book"
            out.print(f"[red]{one.kind}[/red] {escape(where)}: {escape(one.found)}")


def print_waiting(found: Iterable[SiteRule], *, whole: bool) -> None:
    """Which values no device here sends, and (`whole`) which rules wait for each."""
    from services.rulebook.looking import waiting_of

    rules = [one for one in found if one.waits_for]
    if rules:
        wait = "1 rule waits" if len(rules) == 1 else f"{len(rules)} rules wait"
        more = "" if whole else " (--problems says which)"
        out.print(f"{wait} for values that no device here sends{more}:")
    for profile, values in waiting_of(rules):
        if not whole:
            out.print(f"  {escape(profile)}: {escape(', '.join(values))}")
            continue
        for name, waiting in values.items():
            out.print(f"  never_sent {escape(name)}: {escape(', '.join(one.id for one in waiting))}")


def _hours(one: SiteRule) -> str:
    """When it applies; "" where it does at all times."""
    return "" if one.schedule == "always" else one.schedule.replace("mon-sun ", "")


def print_rule(found: SiteRule, profile: DeviceProfile) -> None:
    words = _words(found, profile)
    out.print(f"[bold]{escape(found.name.en)}[/bold]  {found.id}  {found.severity.value}, {found.mode}")
    out.print(f"  when   {escape(words.clause(found.when, timedelta(seconds=found.for_seconds)))}")
    out.print(f"         [dim]{escape(found.when)}[/dim]")
    clear = words.condition(found.clear_when) if found.clear_when else "that no longer holds"
    out.print(f"  clears {escape(clear)}, for {found.clear_for_seconds:g} s")
    for one in found.params:
        differs = f"; {one.differing_devices} devices differ" if one.differing_devices else ""
        out.print(
            f"  {escape(one.name)} = {escape(words.param(one.name, one.value))} ({_ORIGINS[one.origin]}{differs})"
        )
    for label, text, usual in (
        ("grades", found.grades, "none"),
        ("applies", found.schedule, "always"),
        ("flaps", found.flapping, "4 in 30m"),
        ("goes up unacknowledged after", found.acknowledge_within, ""),
        ("suppressed by", found.suppressed_by, "none"),
    ):
        if text != usual:
            out.print(f"  {label}: {escape(text)}")
    if found.changed:
        out.print(f"  changed by the rule book: {', '.join(found.changed)}")
    counts = found.counts
    raised, tickets = _counted(counts.raised, "time"), _counted(counts.tickets, "ticket")
    out.print(f"  raised {raised} in 7 days, {tickets}, {counts.flapping} flapping")
    if found.mode == "shadow" or counts.shadow:
        out.print(f"  on trial: would have raised {_counted(counts.shadow, 'time')} in 7 days")
    for problem in found.broken:
        out.print(f"  [red]cannot be evaluated[/red]: {problem.kind} {escape(problem.found)}")
    for problem in found.problems:
        if problem.is_hard:
            continue
        since = f", unknown since {problem.since:%Y-%m-%d %H:%M} UTC at least" if problem.since else ""
        out.print(f"  waits for a value that no device here sends: {escape(problem.found)}{since}")


def print_now(now: RuleNow, profile: DeviceProfile, zone: ZoneInfo) -> None:
    place = f"{now.device} {now.child}".strip()
    out.print(f"\n[bold]{escape(place)}[/bold] at {_clock(now.at, zone)}: {_waits(now, zone)}")
    for number, part in enumerate(now.parts):
        joined = f"{now.joined_by} " if number else ""
        out.print(f"  {joined}{escape(part.text)}  {_HOLDS[part.holds]}")
    for one in now.names:
        entry = profile.metrics.get(one.name.removeprefix("parent."))
        uom = f" {entry.uom}" if entry is not None and entry.uom and one.value is not None else ""
        when = f", measured {_clock(one.measured_at, zone)}" if one.measured_at else ""
        why = "" if one.is_known else f"  [magenta]unknown: {one.how.replace('_', ' ')} {one.flag}[/magenta]"
        out.print(f"    {escape(one.name)} = {escape(_value(one.value))}{uom}{when}{why}")


def _waits(now: RuleNow, zone: ZoneInfo) -> str:
    """What the rule waits for, in one sentence."""
    since = _clock(now.since, zone)
    if not now.applies:
        return "outside its hours, so it raises nothing"
    if now.phase in ("pending", "clearing") and now.ends_at is not None:
        what = "raises" if now.phase == "pending" else "clears"
        return f"{now.phase} since {since}, {what} at {_clock(now.ends_at, zone)} if it holds"
    if now.frozen:
        return f"{now.phase} since {since}; its delay stands still: data are missing or too old"
    if now.phase == "active":
        kept = " (suppressed)" if now.suppressed else ""
        return f"active since {since}{kept}" + (f", flapping ({now.flaps} times)" if now.flaps else "")
    if now.holds is None:
        missing = ", ".join(one.name for one in now.unknown)
        return f"unknown{f': it waits for {missing}' if missing else ''}"
    return "holds, and is judged with the next reading" if now.holds else "at rest"


def print_tried(report: Report) -> None:
    table = Table("", "old", "new", box=None, pad_edge=False)
    for what in ("alarms", "tickets", "notices", "flaps"):
        table.add_row(what, str(getattr(report.old, what)), str(getattr(report.new, what)))
    for one in report.rules:
        if one.changed or one.old != one.new:
            table.add_row(escape(f"{one.profile}/{one.rule}"), str(one.old.alarms), str(one.new.alarms))
    out.print(table)
    if not report.readings:
        out.print("[yellow]No readings are kept for this time, so it says nothing about the change.[/yellow]")
    for note in report.notes:
        out.print(f"[dim]{escape(note.text.en)}[/dim]")


def tried_in_words(preview: Mapping[str, Any]) -> str:
    if "without" in preview:
        return f"untried: {preview['without']}"
    if "rollback" in preview:
        return f"back to version {preview['rollback']}"
    if "old" in preview:
        return f"alarms {preview['old']['alarms']} -> {preview['new']['alarms']}"
    return ""


def _clock(at: datetime | None, zone: ZoneInfo) -> str:
    return "" if at is None else f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def _value(value: Value) -> str:
    return "nothing" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def json_of(found: SiteRule | SeveralRule) -> dict[str, Any]:
    return {**asdict(found), "id": found.id}


def now_json(now: RuleNow) -> dict[str, Any]:
    return {**asdict(now), "unknown": [one.name for one in now.unknown]}


def print_json(found: Any) -> None:
    typer.echo(json.dumps(found, ensure_ascii=False, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value.model_dump(mode="json")


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
