"""`courtyard rules`: what runs at a site and why, and how it is changed: tried on the past, shipped, rolled back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from device_profiles.mistakes import nearest, one_of
from services.cli import app
from services.cli.rules_said import (
    json_of,
    now_json,
    out,
    print_broken,
    print_json,
    print_now,
    print_rule,
    print_tried,
    print_waiting,
    table_of,
    tried_in_words,
)
from services.cli.rules_several import explain_several, several_table
from services.cli.rules_yard import BY, yard_of
from services.cli.shared import explained

if TYPE_CHECKING:
    from services.backtest import Report

rules = typer.Typer(
    name="rules",
    help="What rules run at a site, why they say what they say, and how to change them safely.",
    no_args_is_help=True,
)
app.add_typer(rules)
SiteOption = Annotated[str, typer.Option("--site", help="The site's id; may be left out where there is one.")]
Data = Annotated[Path | None, typer.Option("--data", help="Courtyard's data folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
RuleArgument = Annotated[
    str, typer.Argument(metavar="PROFILE/RULE", help="Such as booster_set/pressure_low.", show_default=False)
]
DeviceOption = Annotated[str, typer.Option("--device", help="For this device only, such as pumps-1.")]
VersionArgument = Annotated[
    int, typer.Argument(metavar="VERSION", min=0, help="A version of the rule book; 0 is as the profiles say.")
]


@rules.command("list")
@explained
def list_rules(
    site: SiteOption = "",
    profile: Annotated[str, typer.Option("--profile", help="Only rules of this profile.")] = "",
    problems: Annotated[
        bool, typer.Option("--problems", help="What is broken, and which rules wait for what value.")
    ] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Every rule of a site: mode, severity, thresholds, how often it raised in 7 days, and what is wrong with it.

    First what is broken, which somebody must mend; last, which rules wait for values that no device here sends. Often
    the site has no such sensor.

    [bold]Example[/bold]: courtyard rules list --site yard --problems
    """
    from services.rules.effective import SITE_RULES

    with yard_of(data, site) as yard:
        found = yard.rules()
    known = {one.profile for one in found.rules} | ({SITE_RULES} if found.several else set())
    if profile and profile not in known:
        raise ValueError(f"--profile: found {profile!r}, expected {one_of(known)}{nearest(profile, known)}")
    here = [one for one in found.rules if profile in ("", one.profile)]
    several = [one for one in found.several if profile in ("", SITE_RULES)]
    if as_json:
        shown = [json_of(one) for one in here if one.problems or not problems]
        loose = [asdict(one) for one in found.problems]
        across = [json_of(one) for one in several if one.problems or not problems]
        said = {"site": yard.site, "version": found.version, "rules": shown, "several": across, "problems": loose}
        print_json(said)
        return
    print_broken([one for one in found.problems if profile in ("", one.profile)])
    if here and not problems:
        out.print(table_of(here, yard.zone))
    elif not here and not several:
        out.print("No rules: the site has no devices with a profile.")
    elif not any(one.is_hard for one in found.problems):
        out.print("[green]Nothing is broken.[/green]")
    if several and not problems:
        out.print("\nOver several devices (they stand in the site file; `courtyard rules explain` says more of one)")
        out.print(several_table(several))
    print_waiting(here, whole=problems)


@rules.command("show")
@explained
def show(rule: RuleArgument, site: SiteOption = "", device: DeviceOption = "", as_json: AsJson = False,
         data: Data = None) -> None:  # fmt: skip
    """One rule as it runs: its condition with the values it has here, delays, and who says the thresholds."""
    with yard_of(data, site) as yard:
        if over := yard.several(rule):
            explain_several(yard, over, as_json=as_json)
            return
        found = yard.rule(rule, device)
        profile = yard.library[found.profile]
    if as_json:
        print_json(json_of(found))
        return
    print_rule(found, profile)


@rules.command("explain")
@explained
def explain(rule: RuleArgument, device: DeviceOption = "", site: SiteOption = "", as_json: AsJson = False,
            data: Data = None) -> None:  # fmt: skip
    """Why a rule says what it says now: which part holds, what it reads, what is unknown, what it waits for.

    It reads the state that services last wrote, and may run while they do. Without --device: every device of the
    profile that the rule does not leave at rest.

    [bold]Example[/bold]: courtyard rules explain booster_set/pressure_low --device pumps-1
    """
    with yard_of(data, site) as yard:
        if over := yard.several(rule):
            explain_several(yard, over, as_json=as_json)
            return
        found = yard.rule(rule, device)
        profile = yard.library[found.profile]
        now = yard.explained(found, device)
    if as_json:
        print_json({"rule": json_of(found), "now": [now_json(one) for one in now]})
        return
    print_rule(found, profile)
    for one in now:
        print_now(one, profile, yard.zone)
    if not now:
        out.print(f"It is at rest on every device of {found.profile} here." if found.mode != "off" else "It is off.")


@rules.command("set")
@explained
def set_rule(
    rule: RuleArgument,
    site: SiteOption = "",
    device: DeviceOption = "",
    mode: Annotated[str, typer.Option("--mode", help="live, shadow (judged and counted, raises nothing) or off.")] = "",
    severity: Annotated[str, typer.Option("--severity", help="critical, major, minor or warning.")] = "",
    when: Annotated[str, typer.Option("--when", help="Another condition.")] = "",
    held: Annotated[str, typer.Option("--for", help="How long it must hold: 90s, 10m, 2h.")] = "",
    clear_when: Annotated[str, typer.Option("--clear-when", help="Another condition for clearing.")] = "",
    clear_for: Annotated[str, typer.Option("--clear-for", help="How long that must hold.")] = "",
    grades: Annotated[
        str, typer.Option("--grades", help="Another severity: 'critical when pressure < 0.1; major after 1h', or none.")
    ] = "",
    schedule: Annotated[
        str, typer.Option("--schedule", help="When it applies: 'mon-fri 08:00-20:00; sat 09:00-12:00', or always.")
    ] = "",
    flapping: Annotated[str, typer.Option("--flapping", help="When it counts as flapping: '4 in 30m'.")] = "",
    acknowledge_within: Annotated[
        str, typer.Option("--acknowledge-within", help="After this it goes a step up: 15m.")
    ] = "",
    suppressed_by: Annotated[
        str, typer.Option("--suppressed-by", help="Rules that are its cause: 'mains_lost, parent_down', or none.")
    ] = "",
    param: Annotated[
        list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="A threshold (may be repeated).")
    ] = None,
    note: Annotated[str, typer.Option("--note", help="Why, for those who read it next.")] = "",
    days: Annotated[int, typer.Option("--days", min=1, max=92, help="How far back it is tried.")] = 7,
    without_preview: Annotated[
        str, typer.Option("--without-preview", metavar="REASON", help="Ship it untried; the reason is recorded.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only try it on the past; nothing changes.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ship it without asking; --json asks nothing.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Change a rule at a site, or on one device: first it is tried on the past, then it is shipped.

    What is not named stays as it is. Services that run follow within a second. With --json give --yes or --dry-run: a
    program is not asked.

    [bold]Examples[/bold]

      courtyard rules set booster_set/pressure_low --for 5m --dry-run

      courtyard rules set booster_set/pressure_low --for 5m --note "raised too often" --yes
    """
    if as_json and not yes and not dry_run:
        raise ValueError("--json: found neither --yes nor --dry-run, expected one of them, because nobody is asked")
    said = {
        "mode": mode, "severity": severity, "when": when, "for": held, "clear_when": clear_when, "clear_for": clear_for,
        "grades": grades, "schedule": schedule, "flapping": flapping, "acknowledge_within": acknowledge_within,
        "suppressed_by": suppressed_by, **_params(param or []),
    }  # fmt: skip
    with yard_of(data, site) as yard:
        book = yard.edited(rule, device, {name: value for name, value in said.items() if value})
        report = None if without_preview else yard.tried(book, days, quiet=as_json)
        if report is not None and not as_json:
            print_tried(report)
        if dry_run:
            _print_untouched(yard.site, report, as_json=as_json)
            return
        if not yes and not typer.confirm(f"Ship it as version {yard.version + 1}?"):
            out.print("Nothing has changed.")
            return
        shipped = yard.ship(book, note, report, without_preview, days)
    if as_json:
        print_json({"site": yard.site, "version": shipped, "preview": None if report is None else report.to_json()})
    else:
        out.print(f"[green]Version {shipped}[/green] of the rule book of {yard.site} is in force.")


@rules.command("diff")
@explained
def diff(
    version: VersionArgument,
    against: Annotated[int | None, typer.Option("--against", min=0, help="Default: the version before it.")] = None,
    site: SiteOption = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """What a version of the rule book changed, or how it differs from any other."""
    from services.rulebook.diff import compare

    with yard_of(data, site) as yard:
        after = yard.book_at(version)
        before = yard.book_at(max(0, version - 1) if against is None else against)
        found = compare(before.book, after.book)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    for one in found:
        place = " ".join(part for part in (one.profile, one.rule, one.device) if part)
        before_text, after_text = (text or "as the profile says" for text in (one.before, one.after))
        out.print(f"{escape(place)}  {one.field}: {escape(before_text)} -> {escape(after_text)}")
    if not found:
        out.print("They say the same.")


@rules.command("versions")
@explained
def versions(site: SiteOption = "", as_json: AsJson = False, data: Data = None) -> None:
    """Every version of a site's rule book: who shipped it, when and why, and what the backtest had said."""
    with yard_of(data, site) as yard:
        found = yard.desk.versions(None, yard.site)
    if as_json:
        print_json([{**asdict(one), "at": one.at} for one in found])
        return
    table = Table("version", "when", "who", "why", "tried", box=None, pad_edge=False)
    for one in found:
        when = "" if one.at is None else f"{one.at.astimezone(yard.zone):%Y-%m-%d %H:%M}"
        table.add_row(
            str(one.version), when, escape(one.who), escape(one.note), escape(tried_in_words(one.preview or {}))
        )
    out.print(table if found else "Nothing was ever changed: every rule is as its profile says.")


@rules.command("rollback")
@explained
def rollback(
    version: VersionArgument,
    note: Annotated[str, typer.Option("--note", help="Why, for those who read it next.")] = "",
    site: SiteOption = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Go back to an older version: what stood there becomes the next one, and nothing is lost."""
    with yard_of(data, site) as yard:
        if yard.book_at(version).content == yard.newest.content:
            raise ValueError(f"nothing would change: version {yard.version} in force says what version {version} says")
        found = yard.desk.rollback(None, yard.site, version, began_with=yard.version, note=note, by=BY, now=yard.now)
    misfits = (found.preview or {}).get("misfits", [])
    if as_json:
        print_json({"site": yard.site, "version": found.version, "misfits": misfits})
        return
    out.print(
        f"[green]Version {found.version}[/green] of the rule book of {yard.site} says what version {version} said."
    )
    for one in misfits:
        out.print(f"[yellow]no longer fits[/yellow] {escape(one)}")
    if misfits:
        out.print("The profile's own rule stands there; `courtyard rules list --problems` names it until it is mended.")


def _print_untouched(site: str, report: Report | None, *, as_json: bool) -> None:
    if as_json:
        print_json({"site": site, "version": None, "preview": None if report is None else report.to_json()})
    else:
        out.print("Nothing has changed.")


def _params(given: list[str]) -> dict[str, str]:
    found = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise ValueError(f"--param: found {one!r}, expected NAME=VALUE such as low=0.25")
        found[f"param.{name}"] = value
    return found
