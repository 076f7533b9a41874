"""`courtyard check`: profiles prove themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from device_profiles.library import SHIPPED, Library, Mistake, files_of, survey
from device_profiles.schema import DeviceProfile
from gateway.commands.samples import prove
from services.cli import app
from services.cli.console import Console
from services.cli.shared import explained
from services.rules.profile_tests import failures


@dataclass(frozen=True)
class Finding:
    """Something that does not hold, and where it stands."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


@dataclass(frozen=True)
class Report:
    """What was checked, and what failed."""

    profiles: int
    samples: int
    rule_tests: int
    failed: tuple[Finding, ...]
    unproven: tuple[Finding, ...]
    """Bindings and commands without a sample, rules without a test: no failures, but nothing shows that they work."""


@app.command()
@explained
def check(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER]...", help="Folders (or files) with device profiles of your own."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="The shipped profiles as well as those given.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for programs.")] = False,
) -> None:
    """Check device profiles: every mistake, every sample, every rule test.

    Decodes each sample and plays each rule test of the given profiles; without any, of the shipped ones.

    Mistakes are printed all at once, each as [bold]file:line: where: found …, expected …[/bold]

    Ends with 1 when anything failed. The JSON has the counts profiles, samples, rule_tests and failed, and the lists
    mistakes and unproven (bindings and commands without a sample, rules without a test).
    """
    report = examine(*(folders or ()), shipped=everything or not folders)
    if as_json:
        print(json.dumps(_plain(report), ensure_ascii=False))
    else:
        _print(report)
    if report.failed:
        raise typer.Exit(1)


def examine(*folders: Path, shipped: bool) -> Report:
    """Check the profiles of these folders or files; `shipped`: also those that come with Courtyard.

    An id that a shipped profile has is a mistake either way.
    """
    library, mistakes = survey(SHIPPED, *folders)
    asked = {file.resolve() for file in files_of(*([SHIPPED] if shipped else []), *folders)}
    # A folder that is not there has no files, and is said.
    mistakes = [one for one in mistakes if one.file.resolve() in asked or one.file in folders]
    profiles = [one for one in library.values() if library.file_of(one.id).resolve() in asked]
    failed = [_of_mistake(mistake) for mistake in mistakes]
    unproven: list[Finding] = []
    for profile in profiles:
        failed += _failures(library, profile)
        unproven += _unproven(library, profile)
    return Report(
        profiles=len(profiles) + len({mistake.file for mistake in mistakes}),
        samples=sum(len(profile.samples) for profile in profiles),
        rule_tests=sum(len(rule.tests) for profile in profiles for rule in profile.rules),
        failed=tuple(failed),
        unproven=tuple(unproven),
    )


def _of_mistake(mistake: Mistake) -> Finding:
    text = f"{mistake.where}: found {mistake.found}, expected {mistake.expected}"
    return Finding(str(mistake.file), mistake.line, text)


def _failures(library: Library, profile: DeviceProfile) -> Iterator[Finding]:
    samples, tests = prove(profile), list(failures(profile))
    if not samples and not tests:
        return
    file, document = str(library.file_of(profile.id)), library.document_of(profile.id)
    for text in samples:
        yield Finding(file, document.line("samples", *_sample_of(profile, text)), text)
    rules = [rule.id for rule in profile.rules]
    for rule, i, text in tests:
        line = document.line("rules", rules.index(rule.id), "tests", i)
        yield Finding(file, line, f"rule {rule.id!r}, {text}")


def _sample_of(profile: DeviceProfile, text: str) -> tuple[int, ...]:
    found = (i for i, sample in enumerate(profile.samples) if text.startswith(f"sample {sample.name!r}:"))
    return tuple(found)[:1]


def _unproven(library: Library, profile: DeviceProfile) -> Iterator[Finding]:
    shown = {expected.get("binding") for sample in profile.samples for expected in sample.expect}
    bindings = [
        (("bindings", i), f"binding {binding.id!r}: no sample expects it (`binding: {binding.id}`)")
        for i, binding in enumerate(profile.bindings)
        if binding.id not in shown and not binding.ignore
    ]
    rules = [(("rules", i), f"rule {rule.id!r}: no test") for i, rule in enumerate(profile.rules) if not rule.tests]
    said = {sample.said.command for sample in profile.samples if sample.said is not None}
    commands = [
        (("commands", name), f"command {name!r}: no sample says it (`said: {{command: {name}}}`)")
        for name in profile.commands
        if name not in said
    ]
    unproven: list[tuple[tuple[str | int, ...], str]] = [*bindings, *rules, *commands]
    if unproven:
        file, document = str(library.file_of(profile.id)), library.document_of(profile.id)
        for path, text in unproven:
            yield Finding(file, document.line(*path), text)


def _plain(report: Report) -> dict[str, object]:
    return {
        "profiles": report.profiles,
        "samples": report.samples,
        "rule_tests": report.rule_tests,
        "failed": len(report.failed),
        "mistakes": [asdict(finding) for finding in report.failed],
        "unproven": [asdict(finding) for finding in report.unproven],
    }


def _print(report: Report) -> None:
    console = Console()
    for finding in report.failed:
        console.print(str(finding), style="red", highlight=False, markup=False, soft_wrap=True)
    for finding in report.unproven:
        console.print(f"{finding} (not a failure)", style="dim", highlight=False, markup=False, soft_wrap=True)
    counts = f"{report.profiles} profiles, {report.samples} samples, {report.rule_tests} rule tests"
    verdict = f"[bold red]{len(report.failed)} failed[/bold red]" if report.failed else "[green]all hold[/green]"
    console.print(f"{counts}: {verdict}", highlight=False)
