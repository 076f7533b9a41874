"""`courtyard profile list` and `show`: which profiles there are, and what one of them says."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from device_profiles.library import SHIPPED, Library, load, survey
from device_profiles.mistakes import nearest
from device_profiles.schema import DeviceProfile, Rule
from services.cli.console import Console
from services.cli.decode import file_that_says
from services.cli.profile import profile
from services.cli.shared import errors, explained
from services.settings import Settings

out = Console(highlight=False)
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs.")]
Folders = Annotated[
    list[Path] | None, typer.Option("--profiles", metavar="FOLDER", help="More profiles beside the shipped ones.")
]


@profile.command("list")
@explained
def list_(
    family: Annotated[str, typer.Option("--family", help="Only this kind of equipment.")] = "",
    profiles: Folders = None,
    as_json: AsJson = False,
) -> None:
    """Which profiles there are: shipped ones, and those of your own folder."""
    library = _sound(profiles)
    if family and family not in library.families():
        known = library.families()
        raise ValueError(f"--family: expected one of {', '.join(known)}, found {family!r}{nearest(family, known)}")
    chosen = [one for one in library.values() if not family or one.family == family]
    if as_json:
        print(json.dumps([_brief(one) for one in chosen], ensure_ascii=False))
        return
    # One line each, and the id never cut: it is what the other commands want to be told.
    table = Table(box=None, pad_edge=False)
    table.add_column("Profile", no_wrap=True, min_width=2 + max((len(one.id) for one in chosen), default=0))
    table.add_column("Name", no_wrap=True, max_width=28)
    for counted in ("Shapes", "Rules", "Cmds"):
        table.add_column(counted, justify="right", min_width=len(counted))
    before = ""
    for one in sorted(chosen, key=lambda one: (one.family, one.id)):
        if one.family != before:
            before = one.family
            table.add_row(f"[bold]{before}[/bold]")
        counts = str(len(one.bindings)), str(len(one.rules)), str(len(one.commands))
        table.add_row(f"  {one.id}", one.name.en, *counts)
    out.print(table)
    out.print(f"{len(chosen)} profiles. courtyard profile show PROFILE says what one of them reads and watches.")


@profile.command()
@explained
def show(
    name: Annotated[str, typer.Argument(metavar="PROFILE", help="A profile's id, or a YAML file.")],
    profiles: Folders = None,
    as_json: AsJson = False,
) -> None:
    """What a profile reads, which alarms it raises and why, and what its devices can be told."""
    one, file = _found(name, profiles)
    if as_json:
        print(json.dumps(_whole(one, file), ensure_ascii=False))
        return
    out.print(f"[bold]{escape(one.id)}[/bold] · {escape(one.name.zh)} · {escape(one.name.en)}")
    for title, text in (("family", one.family), ("vendor", one.vendor), ("source", one.source), ("file", str(file))):
        if text:
            out.print(f"  {title:<8}{escape(text)}", soft_wrap=True)
    _table("Reads", ("Name", "What", "Unit", "Of", "Range or words"), _values(one))
    _table("Hears", ("Message", "Topic"), ([binding.id, binding.topic] for binding in one.bindings))
    _table("Raises", ("Alarm", "When", "Severity", "Source"), (_rule(rule) for rule in one.rules))
    _table("Can be told", ("Command", "What", "Of", "Role"), _commands(one))


def _sound(folders: list[Path] | None) -> Library:
    """Those that load: a mistake in one profile must not hide the others."""
    own = Settings().profiles_dir
    library, mistakes = survey(SHIPPED, *([own] if own else []), *(folders or []))
    for file in sorted({mistake.file for mistake in mistakes}):
        errors.print(f"[yellow]{escape(str(file))} has mistakes and is left out: courtyard check says which[/yellow]")
    return library


def _found(name: str, folders: list[Path] | None) -> tuple[DeviceProfile, Path]:
    if name.endswith((".yaml", ".yml")) or Path(name).is_file():
        library = load(Path(name))
        return next(iter(library.values())), Path(name)
    own = Settings().profiles_dir
    if (file := file_that_says(name, [SHIPPED, *([own] if own else []), *(folders or [])])) is not None:
        return load(file)[name], file
    library = _sound(folders)
    if name not in library:
        own_folder = "" if own else ". Your own profiles: name their folder with COURTYARD_PROFILES_DIR or --profiles"
        near = nearest(name, library)
        raise ValueError(f"expected a YAML file or one of {', '.join(library)}, found {name!r}{near}{own_folder}")
    return library[name], library.file_of(name)


def _table(title: str, columns: tuple[str, ...], rows: Iterable[list[str]]) -> None:
    table = Table(*columns, title=title, title_justify="left", title_style="bold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    if table.row_count:
        out.print(table)


def _values(one: DeviceProfile) -> Iterable[list[str]]:
    for name, metric in one.metrics.items():
        limits = "" if metric.range is None else f"{metric.range[0]:g} … {metric.range[1]:g}"
        yield [name, f"{metric.name.zh} · {metric.name.en}", metric.uom, metric.scope or "", limits]
    for name, state in one.states.items():
        yield [name, f"{state.name.zh} · {state.name.en}", "", state.scope or "", ", ".join(state.values)]
    for name, event in one.events.items():
        kind = "begins and ends" if event.lasting else "happens"
        yield [name, f"{event.name.zh} · {event.name.en}", "", event.scope or "", kind]


def _rule(rule: Rule) -> list[str]:
    lasting = "" if rule.for_ == timedelta(0) else f" for {rule.for_.total_seconds():g} s"
    scope = f"{rule.scope}: " if rule.scope else ""
    source = f"{rule.source.kind}: {rule.source.ref}" if rule.source.ref else rule.source.kind
    return [f"{rule.name.zh} · {rule.name.en}", f"{scope}{rule.when}{lasting}", rule.severity.value, source]


def _commands(one: DeviceProfile) -> Iterable[list[str]]:
    for name, command in one.commands.items():
        yield [name, f"{command.name.zh} · {command.name.en}", command.scope or "", command.role]


def _brief(one: DeviceProfile) -> dict[str, Any]:
    return {
        "profile": one.id,
        "version": one.version,
        "family": one.family,
        "name": one.name.model_dump(),
        "bindings": len(one.bindings),
        "rules": len(one.rules),
        "commands": len(one.commands),
    }


def _whole(one: DeviceProfile, file: Path) -> dict[str, Any]:
    return {
        **_brief(one),
        "vendor": one.vendor,
        "source": one.source,
        "file": str(file),
        "reads": [dict(zip(("name", "what", "unit", "of", "range"), row, strict=True)) for row in _values(one)],
        "hears": [{"binding": binding.id, "topic": binding.topic} for binding in one.bindings],
        "raises": [
            {"rule": rule.id, **dict(zip(("name", "when", "severity", "source"), _rule(rule), strict=True))}
            for rule in one.rules
        ],
        "commands": [dict(zip(("command", "what", "of", "role"), row, strict=True)) for row in _commands(one)],
    }
