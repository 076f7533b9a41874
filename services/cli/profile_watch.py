"""`courtyard profile watch`: edit a profile, and see live or captured messages decode with it at once."""

from __future__ import annotations

import time
from collections import Counter, deque
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape

from device_profiles.library import ProfileMistakes, load_text
from device_profiles.schema import DeviceProfile
from gateway.commands.samples import prove
from gateway.decode.topics import covers
from gateway.mqtt import MqttUnavailable
from gateway.mqtt_client import MqttListener
from gateway.reading import Quality, Reading
from services.authoring.capture import Message, read_capture
from services.authoring.trial import Outcome, Trial, rows_of
from services.cli.capture import Mqtt, check_filters, listener
from services.cli.console import Console
from services.cli.decode import zone_of
from services.cli.profile import profile
from services.cli.shared import explained, stopped_by_signal
from services.clock import SystemClock, from_millis, to_millis

out = Console(soft_wrap=True, highlight=False)
_LOOK_SECONDS = 0.25
_RETRY_SECONDS = 1.0
_SHOWN_PAYLOAD = 160
_LARGEST_FILE = 1_000_000
_MOST_FROM_CAPTURE = 20


@dataclass
class Watched:
    """The file as it was last read, and what was last heard."""

    file: Path
    zone: ZoneInfo
    last: deque[Message]
    trial: Trial | None = None
    text: str = ""
    counts: Counter[str] = field(default_factory=Counter)

    def changed(self) -> bool:
        """Whether the file holds something else than before; then it is loaded, and its mistakes are said."""
        try:
            text = self.file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            text = f"\0{error}"
        if text == self.text:
            return False
        self.text = text
        if text.startswith("\0"):
            out.print(f"[red]{escape(str(self.file))}: {escape(text[1:])}[/red]")
            return False
        return self._load(text)

    def _load(self, text: str) -> bool:
        try:
            loaded = load_text(text, self.file)
            self.trial = Trial(loaded, self.zone)
        except (ProfileMistakes, ValueError) as mistakes:
            for line in str(mistakes).splitlines():
                out.print(f"[red]✗ {escape(line)}[/red]")
            out.print("[dim]The version before goes on. Mend it and save.[/dim]")
            return False
        _say_samples(loaded)
        return True


def _say_samples(loaded: DeviceProfile) -> None:
    failures = prove(loaded)
    for failure in failures[:8]:
        out.print(f"[red]✗ {escape(failure)}[/red]")
    failing = {one.name for one in loaded.samples if any(f.startswith(f"sample {one.name!r}: ") for f in failures)}
    held = sum(one.name not in failing for one in loaded.samples)
    colour, mark = ("green", "✓") if not failures else ("yellow", "!") if held else ("red", "✗")
    counted = f"{held} of {len(loaded.samples)} samples hold"
    counted = counted if not failures else f"[{colour}]{counted}: the gateway does not take the profile like this[/]"
    out.print(f"[{colour}]{mark} {escape(loaded.id)} loaded[/]: {counted}")


@profile.command()
@explained
def watch(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The profile you are writing.")],
    mqtt: Mqtt = None,
    topic: Annotated[
        list[str] | None,
        typer.Option("--topic", metavar="FILTER", help="What to listen to; default: the topics of its bindings."),
    ] = None,
    capture: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Captured messages instead of a broker.")
    ] = None,
    last: Annotated[
        int, typer.Option("--last", min=1, max=1000, help="How many messages are decoded again after an edit.")
    ] = 5,
    timezone: Annotated[
        str, typer.Option("--timezone", metavar="ZONE", help="The site's zone, for times without one.")
    ] = "UTC",
    once: Annotated[
        bool, typer.Option("--once", help="With --from: decode all of it, sum up and end; 1 if anything failed.")
    ] = False,
) -> None:
    """Show each message as the profile decodes it, or why not; read the file again whenever it is saved.

    Mistakes appear at once with file and line, and the last messages are decoded again with the new version.

    [bold]Examples[/bold]

      courtyard profile watch acme_pump.yaml --mqtt mqtt://192.168.1.10

      courtyard profile watch acme_pump.yaml --from capture.jsonl
    """
    watched = Watched(file, zone_of(timezone), deque(maxlen=last))
    if not file.is_file():
        raise ValueError(f"{file}: there is no such file; courtyard profile new drafts one")
    if capture is not None:
        _from_capture(watched, capture, topic or [], once=once)
    else:
        _from_broker(watched, mqtt, check_filters(topic) if topic else None)


# --- from a capture -------------------------------------------------------------------------------------------------


def _from_capture(watched: Watched, capture: Path, filters: list[str], *, once: bool) -> None:
    messages, unread = read_capture(capture)
    check_filters(filters)
    chosen = [one for one in messages if not filters or any(covers(filter_, one.topic) for filter_ in filters)]
    if unread:
        out.print(f"[yellow]{len(unread)} lines of {escape(str(capture))} are no messages[/yellow]")
    watched.changed()
    if not filters and watched.trial is not None:
        mine = [one for one in chosen if any(covers(filter_, one.topic) for filter_ in watched.trial.filters)]
        if len(mine) < len(chosen):
            left = len(chosen) - len(mine)
            out.print(f"[dim]{left} messages on topics that the profile does not bind: --topic '#' shows them[/dim]")
        chosen = mine or chosen
    failed = _play(watched, chosen)
    if once:
        if failed or watched.trial is None:
            raise typer.Exit(1)
        return
    stopping = stopped_by_signal()
    out.print("[dim]Edit and save the file to see it again; ctrl-C ends.[/dim]")
    while not stopping.wait(_LOOK_SECONDS):
        if watched.changed():
            _play(watched, chosen)


def _play(watched: Watched, messages: list[Message]) -> int:
    """Decode all, show one of each shape and every kind of failure, and sum up."""
    if watched.trial is None:
        return 0
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    for message in messages:
        outcome = watched.trial.decode(message)
        kind = _kind(outcome)
        counts[kind] += 1
        if kind not in seen and len(seen) < _MOST_FROM_CAPTURE:
            seen.add(kind)
            show(outcome, watched.trial)
    failed = sum(count for kind, count in counts.items() if kind.startswith("✗"))
    out.print(f"[bold]{len(messages) - failed} of {len(messages)} messages decode[/bold]")
    for kind, count in counts.most_common(_MOST_FROM_CAPTURE):
        out.print(f"  {count:>6}  {escape(kind)}")
    return failed


def _kind(outcome: Outcome) -> str:
    if outcome.error is not None:
        where = outcome.error.binding or outcome.message.topic
        return f"✗ {outcome.error.code} {where} {outcome.error.field}".strip()
    return outcome.readings[0].binding if outcome.readings else "ignored on purpose"


# --- from a broker --------------------------------------------------------------------------------------------------


def _from_broker(watched: Watched, mqtt: str | None, filters: list[str] | None) -> None:
    stopping = stopped_by_signal()
    while not watched.changed() and watched.trial is None and not stopping.wait(_LOOK_SECONDS):
        pass
    if watched.trial is None:
        return
    with ExitStack() as stack:
        heard = stack.enter_context(listener(mqtt, filters or list(watched.trial.filters)))
        heard.connect()
        out.print(
            f"Listening at {heard.address} to {escape(', '.join(filters or watched.trial.filters))}; ctrl-C ends."
        )
        _listen(watched, heard, filters, stopping)


def _listen(watched: Watched, heard: MqttListener, filters: list[str] | None, stopping: Event) -> None:
    clock = SystemClock()
    while not stopping.is_set():
        for one in _read(heard, stopping):
            message = Message(to_millis(clock.now()), one.topic, one.payload, one.retained, one.qos)
            watched.last.append(message)
            if watched.trial is not None:
                show(watched.trial.decode(message), watched.trial)
        bound = watched.trial.filters if watched.trial else ()
        if watched.changed() and watched.trial is not None:
            if filters is None and watched.trial.filters != bound:  # asked again, retained messages come again
                heard.subscribe(watched.trial.filters)
            if watched.last:
                out.print(f"[dim]The last {len(watched.last)} messages again:[/dim]")
            for message in watched.last:
                show(watched.trial.decode(message), watched.trial)


def _read(heard: MqttListener, stopping: Event) -> list[Message]:
    now = to_millis(SystemClock().now())
    try:
        return [Message(now, one.topic, one.payload, one.retained, one.qos) for one in heard.read(_LOOK_SECONDS)]
    except MqttUnavailable as lost:
        out.print(f"[yellow]{escape(str(lost))}; trying again[/yellow]")
    stopping.wait(_RETRY_SECONDS)
    try:
        heard.connect()
    except MqttUnavailable as refused:
        out.print(f"[yellow]{escape(str(refused))}[/yellow]")
    return []


# --- one message ----------------------------------------------------------------------------------------------------


def show(outcome: Outcome, trial: Trial) -> None:
    """One message on the terminal: what it became, or why not."""
    message = outcome.message
    at = time.strftime("%H:%M:%S", from_millis(message.received_at).astimezone().timetuple())
    kept = " [dim]retained[/dim]" if message.retained else ""
    out.print(f"[dim]{at}[/dim] [bold]{escape(message.topic)}[/bold]{kept}")
    if outcome.error is not None:
        _show_error(outcome)
    elif not outcome.readings:
        out.print("    [dim]recognised, and ignored on purpose[/dim]")
    for reading in outcome.readings:
        _show_reading(trial, reading)
    if any(reading.quality is Quality.SKEWED for reading in outcome.readings):
        out.print(f"    [yellow]{escape(_clock(trial))}[/yellow]")
    if outcome.absent:
        out.print(f"    [yellow]nothing found for[/yellow] {escape('; '.join(outcome.absent))}")
    if outcome.unread:
        out.print(f"    [dim]not read: {escape(', '.join(outcome.unread))}[/dim]")


def _clock(trial: Trial) -> str:
    return (
        "skewed: the time in it is not believed, so it counts from its arrival. A time without a zone was read in "
        f"{trial.zone}; --timezone says where the device stands"
    )


def _show_error(outcome: Outcome) -> None:
    error = outcome.error
    assert error is not None
    where = "".join(f", {word} {text}" for word, text in (("binding", error.binding), ("field", error.field)) if text)
    out.print(f"    [red]✗ {escape(error.code)}[/red]{escape(where)}")
    out.print(f"      found    {escape(error.found)}")
    out.print(f"      expected {escape(error.expected)}")
    if outcome.hint:
        out.print(f"      hint     {escape(outcome.hint)}")
    payload = outcome.message.payload
    shown = repr(payload[:_SHOWN_PAYLOAD].decode("utf-8", "backslashreplace"))[1:-1]
    out.print(f"      payload  {escape(shown)}{'…' if len(payload) > _SHOWN_PAYLOAD else ''}")


def _show_reading(trial: Trial, reading: Reading) -> None:
    device = reading.device.removeprefix(f"{reading.profile}:")
    who = f"{device} {reading.child}".strip()
    at = from_millis(reading.measured_at).isoformat(timespec="seconds")
    extra = "" if reading.quality.value == "good" else f" [yellow]{reading.quality.value}[/yellow]"
    presence = f" [bold]{reading.presence.value}[/bold]" if reading.presence.value else ""
    out.print(f"    [cyan]{escape(who)}[/cyan] [dim]{reading.binding} at {at}[/dim]{extra}{presence}")
    for row in rows_of(trial.profile, reading):
        flag = f"  [yellow]{row.flag}[/yellow]" if row.flag and row.flag != reading.quality.value else ""
        raw = "" if row.shown.en == str(row.value) or isinstance(row.value, float) else f" [dim]({row.value})[/dim]"
        out.print(f"      {escape(row.name):<24} {escape(row.shown.en)}{raw}{flag}")
    for event in reading.events:
        phase = f" {event.phase}" if event.phase else ""
        out.print(
            f"      [magenta]event {escape(event.id)}{phase}[/magenta] {escape(str(event.data) if event.data else '')}"
        )
    for reply in reading.replies:
        out.print(f"      [magenta]reply to {escape(reply.command)}[/magenta] {'good' if reply.ok else 'refused'}")
