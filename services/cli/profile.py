"""`courtyard profile`: write a device profile, try it on live messages, and look at those there are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from gateway.decode.topics import covers
from services.authoring.capture import Message, Unread, read_capture
from services.authoring.draft import Draft, Wanted, draft
from services.cli import app
from services.cli.capture import check_filters
from services.cli.console import Console
from services.cli.shared import explained
from services.clock import SystemClock, to_millis

profile = typer.Typer(no_args_is_help=True, help="Write device profiles, try them on live messages, look at them.")
app.add_typer(profile, name="profile")
console = Console(stderr=True, soft_wrap=True, highlight=False)
_SHOWN = 8
_KNOWN_ENOUGH = 0.5
_MOST_COMPARED = 500
_MADE_UP = '{"temperature": 21.5, "state": "on"}'


@profile.command()
@explained
def new(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="The profile's id, such as acme_pump; default: from the topics.")
    ] = "",
    capture: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Captured messages (courtyard capture) to draft from.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help='Where to; "-" is stdout. Default: NAME.yaml.')
    ] = None,
    family: Annotated[str, typer.Option("--family", help="Kind of equipment: water_pump, access_gate, meter, …")] = "",
    zh: Annotated[str, typer.Option("--zh", help="Its name in Chinese.")] = "",
    en: Annotated[str, typer.Option("--en", help="Its name in English.")] = "",
    topic: Annotated[
        str, typer.Option("--topic", help="With --from: only what this filter hears. Without: the topic of a message.")
    ] = "",
    payload: Annotated[str, typer.Option("--payload", help="Without --from: one message as text.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing, take what is guessed.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write over a file that exists.")] = False,
) -> None:
    """Draft a profile: from captured messages, or from one message that you type.

    The draft loads as it is: topics, codecs, metrics with units, states, children and samples are worked out of the
    messages. What was guessed is marked "guessed:" in the file; what could not be understood is listed at its top.

    [bold]Examples[/bold]

      courtyard profile new --from capture.jsonl

      courtyard profile new acme_meter --topic meters/m1/data --payload '{"power": 12.5}'
    """
    asking = not yes and sys.stdin.isatty()
    unread: list[Unread] = []
    if capture is not None:
        messages, unread = read_capture(capture)
        messages = _heard(messages, topic)
    else:
        messages = [_one_message(topic, payload, asking)]
    found = draft(messages, Wanted(name, family, zh, en))
    if asking:
        found = draft(messages, _asked(found, Wanted(name, family, zh, en)))
    file = out or Path(f"{found.profile.id}.yaml")
    _write(found, file, overwrite=overwrite)
    _report(found, file, capture, messages, unread)


def _heard(messages: list[Message], filter_: str) -> list[Message]:
    if not filter_:
        return messages
    check_filters([filter_])
    heard = [one for one in messages if covers(filter_, one.topic)]
    if not heard:
        topics = ", ".join(sorted({one.topic for one in messages})[:6])
        raise ValueError(f"--topic: found no message on {filter_} in the capture, expected one such as {topics}")
    return heard


def _one_message(topic: str, payload: str, asking: bool) -> Message:
    if asking and not topic:
        console.print("Without --from, one message is enough to begin. Its topic, as the device publishes it:")
        topic = typer.prompt("Topic", default="devices/dev-001/data")
    if asking and not payload:
        payload = typer.prompt("Payload (text or JSON)", default=_MADE_UP)
    if not topic:
        raise ValueError("expected --from FILE, or --topic and --payload of one message; found neither")
    return Message(to_millis(SystemClock().now()), topic, (payload or _MADE_UP).encode())


def _asked(found: Draft, wanted: Wanted) -> Wanted:
    """What the person says, with what was guessed as default."""
    sheet = found.sheet
    return Wanted(
        wanted.profile or typer.prompt("Id of the profile", default=sheet.profile),
        wanted.family or typer.prompt("Family (kind of equipment)", default=sheet.family),
        wanted.zh or typer.prompt("Name in Chinese", default=sheet.zh),
        wanted.en or typer.prompt("Name in English", default=sheet.en),
    )


def _write(found: Draft, file: Path, *, overwrite: bool) -> None:
    if str(file) == "-":
        sys.stdout.write(found.text)
        return
    if file.exists() and not overwrite:
        raise ValueError(f"{file} exists; choose another with --out, or write over it with --overwrite")
    try:
        file.write_text(found.text, encoding="utf-8")
    except OSError as error:
        raise OSError(f"{file} cannot be written: {error.strerror}. Choose another file with --out") from error


def _report(
    found: Draft, file: Path, capture: Path | None, messages: Sequence[Message], unread: Sequence[Unread]
) -> None:
    sheet, shown = found.sheet, "stdout" if str(file) == "-" else str(file)
    console.print(f"[bold]{escape(shown)}[/bold]: {escape(found.profile.id)}, family {escape(found.profile.family)}")
    console.print(
        f"  {len(sheet.bindings)} bindings, {len(sheet.metrics)} metrics, {len(sheet.states)} states, "
        f"{len(sheet.events)} events, {len(sheet.children)} kinds of children, {len(sheet.samples)} samples"
    )
    if found.heard:
        console.print(f"  {found.understood} of {found.heard} messages decode with it, {_silent(found.silent)}")
    console.print(f"  {found.text.count('guessed:')} places say [bold]guessed:[/bold]; look at them first")
    _list("Not understood or not taken", sheet.left_out)
    _list("Lines that are no messages", [f"line {one.line}: {one.problem}" for one in unread])
    if found.others:
        others = [f"{filter_} ({count} messages): --topic '{filter_}'" for filter_, count in found.others.items()]
        _list("The capture holds other kinds of devices; each wants a profile of its own", others)
    _list("Shipped profiles that understand these messages already", _known_already(messages))
    if str(file) != "-":
        source = f"--from {capture}" if capture is not None else "--mqtt URL"
        console.print(f"Next: courtyard profile watch {escape(shown)} {escape(source)}")


def _silent(many: int) -> str:
    return f"[yellow]and {many} of these give no value[/yellow]" if many else "and all of these give values"


def _list(title: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    console.print(f"[yellow]{escape(title)}:[/yellow]")
    for line in lines[:_SHOWN]:
        console.print(f"  - {escape(line)}")
    if len(lines) > _SHOWN:
        console.print(f"  … and {len(lines) - _SHOWN} more")


def _known_already(messages: Sequence[Message]) -> list[str]:
    """Who has an Aqara sensor behind Zigbee2MQTT needs no profile of his own."""
    from device_profiles.library import survey
    from services.authoring.trial import Trial

    some = messages[:: max(1, len(messages) // _MOST_COMPARED)]
    out: list[tuple[float, str]] = []
    for one in survey()[0].values():
        try:
            trial = Trial(one)
        except ValueError:  # a profile that does not compile understands nothing; `courtyard check` says why
            continue
        taken = sum(bool(trial.decode(message).readings) for message in some)
        if taken >= _KNOWN_ENOUGH * len(some):
            out.append((taken / len(some), f"{one.id} ({taken} of {len(some)}): courtyard profile show {one.id}"))
    return [text for _, text in sorted(out, reverse=True)]
