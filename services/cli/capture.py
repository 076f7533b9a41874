"""`courtyard capture`: what is said on a broker, recorded to a file."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Annotated, TextIO

import typer
from rich.markup import escape
from rich.status import Status

from device_profiles.schema import parse_duration
from gateway.mqtt import MqttUnavailable
from gateway.mqtt_client import Heard, MqttListener
from services.authoring.capture import LARGEST, Message, line_of
from services.authoring.shapes import rough_shape
from services.cli import app
from services.cli.console import Console
from services.cli.shared import explained, stopped_by_signal
from services.clock import Clock, SystemClock, to_millis
from services.settings import Settings

console = Console(stderr=True, soft_wrap=True, highlight=False)
_LOCAL = "mqtt://127.0.0.1:1883"
_LOOK_SECONDS = 0.25
_RETRY_SECONDS = 1.0
_SHAPES_SHOWN = 12
_MOST_TOPICS = 50_000
Mqtt = Annotated[
    str | None,
    typer.Option("--mqtt", metavar="URL", help="mqtt://[user:password@]host[:port], or mqtts://… for TLS."),
]


@dataclass
class Tally:
    """What came so far."""

    messages: int = 0
    retained: int = 0
    bytes: int = 0
    too_large: int = 0
    topics: set[str] = field(default_factory=set)
    shapes: dict[str, int] = field(default_factory=dict)

    def take(self, message: Message) -> None:
        self.messages += 1
        self.retained += message.retained
        self.bytes += len(message.payload)
        if len(self.topics) < _MOST_TOPICS:
            self.topics.add(message.topic)
            shape = rough_shape(message.topic)
            self.shapes[shape] = self.shapes.get(shape, 0) + 1

    def __str__(self) -> str:
        return f"{self.messages} messages · {len(self.topics)} topics · {len(self.shapes)} shapes"


@app.command()
@explained
def capture(
    mqtt: Mqtt = None,
    topic: Annotated[
        list[str] | None,
        typer.Option("--topic", metavar="FILTER", help="What to listen to; may be repeated. Default: # (all)."),
    ] = None,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="How long, such as 60s or 10m; default: until ctrl-C.")
    ] = None,
    most: Annotated[int, typer.Option("--max", metavar="N", min=1, help="Stop after so many messages.")] = 100_000,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help='Where to; "-" is stdout. One JSON object per line.')
    ] = Path("capture.jsonl"),
    append: Annotated[bool, typer.Option("--append", help="Go on in a file that exists.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin a file that exists anew.")] = False,
) -> None:
    """Record what is said on a broker: the first step to a profile of an unknown device.

    Only listens, and leaves nothing behind at the broker. Retained messages come at once, so that even a device that
    speaks rarely is in the file.

    [bold]Example[/bold]

      courtyard capture --mqtt mqtt://192.168.1.10 --topic 'pumps/#' --for 60s --out capture.jsonl
    """
    filters = check_filters(topic or ["#"])
    seconds = None if for_ is None else parse_duration(for_).total_seconds()
    stopping = stopped_by_signal()
    with _opened(out, append=append, overwrite=overwrite) as file, listener(mqtt, filters) as heard:
        heard.connect()
        if overwrite and file is not sys.stdout:
            file.truncate(0)  # not before the broker has let us in
        where = "stdout" if str(out) == "-" else str(out)
        ends = "" if seconds is None else f" for {for_}"
        console.print(f"Listening to {escape(', '.join(filters))} at {heard.address}{ends}, into {escape(where)}.")
        console.print("Ctrl-C ends it; what was heard until then is kept.")
        tally = _record(heard, file, stopping, seconds=seconds, most=most, clock=SystemClock())
    _report(tally, out, filters)


def check_filters(filters: list[str]) -> list[str]:
    """MQTT topic filters; raises ValueError for what a broker would hang up on."""
    for one in filters:
        levels = one.split("/")
        if (
            not one
            or "#" in "".join(levels[:-1])
            or any(len(level) > 1 and set(level) & {"#", "+"} for level in levels)
        ):
            raise ValueError(f"--topic: expected a filter such as pumps/# or +/status, found {one!r}")
    return filters


def listener(mqtt: str | None, filters: list[str]) -> MqttListener:
    """A listener at the given broker, or at the one of the settings."""
    configured = Settings().mqtt
    url = mqtt or (configured if "://" in configured else _LOCAL)
    return MqttListener(url, f"courtyard-capture-{secrets.token_hex(4)}", filters)


@contextmanager
def _opened(out: Path, *, append: bool, overwrite: bool) -> Iterator[TextIO]:
    """The file, which must not exist unless one says what to do with it; removed where nothing was written."""
    if str(out) == "-":
        yield sys.stdout
        return
    if out.exists() and not (append or overwrite):
        raise ValueError(f"{out} exists; go on in it with --append, begin it anew with --overwrite, or choose --out")
    try:
        # Who passed which door may stand in it: for this user only.
        number = os.open(out, os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else 0), 0o600)
    except OSError as error:
        raise OSError(f"{out} cannot be written: {error.strerror}. Choose another file with --out") from error
    with os.fdopen(number, "w", encoding="utf-8") as file:
        try:
            yield file
        finally:
            file.flush()
            if os.fstat(file.fileno()).st_size == 0 and out.is_file():
                out.unlink()


def _record(
    heard: MqttListener, file: TextIO, stopping: Event, *, seconds: float | None, most: int, clock: Clock
) -> Tally:
    tally, began = Tally(), time.monotonic()
    shown = Status("", console=console) if console.is_terminal else None
    with shown or nullcontext():
        while not stopping.is_set() and tally.messages < most:
            left = None if seconds is None else began + seconds - time.monotonic()
            if left is not None and left <= 0:
                break
            wait = _LOOK_SECONDS if left is None else min(_LOOK_SECONDS, left)
            _write(_read(heard, wait, stopping), file, tally, most, clock)
            if shown is not None:
                shown.update(f"{tally}" + ("" if left is None else f" · {left:.0f} s left"))
    return tally


def _read(heard: MqttListener, wait: float, stopping: Event) -> list[Heard]:
    """What came; after a loss the connection is sought again: a capture may run for days."""
    try:
        return heard.read(wait)
    except MqttUnavailable as lost:
        console.print(f"[yellow]{escape(str(lost))}; trying again[/yellow]")
    stopping.wait(_RETRY_SECONDS)
    try:
        heard.connect()
    except MqttUnavailable as refused:
        console.print(f"[yellow]{escape(str(refused))}[/yellow]")
    return []


def _write(found: list[Heard], file: TextIO, tally: Tally, most: int, clock: Clock) -> None:
    now = to_millis(clock.now())
    for one in found[: most - tally.messages]:
        if len(one.payload) > LARGEST:
            tally.too_large += 1
            continue
        message = Message(now, one.topic, one.payload, one.retained, one.qos)
        file.write(line_of(message) + "\n")
        tally.take(message)
    try:
        file.flush()
    except OSError as error:
        raise OSError(
            f"{error.strerror} after {tally.messages} messages; what was written until then is kept"
        ) from error


def _report(tally: Tally, out: Path, filters: list[str]) -> None:
    console.print(f"[bold]{tally}[/bold], {tally.retained} of them retained, {tally.bytes} bytes of payload")
    for shape, count in sorted(tally.shapes.items(), key=lambda one: -one[1])[:_SHAPES_SHOWN]:
        console.print(f"  {count:>6}  {escape(shape)}")
    if len(tally.shapes) > _SHAPES_SHOWN:
        console.print(f"          … and {len(tally.shapes) - _SHAPES_SHOWN} more")
    if tally.too_large:
        console.print(f"[yellow]{tally.too_large} messages above {LARGEST} bytes were left out[/yellow]")
    if not tally.messages:
        console.print(
            f"Nothing was said on {escape(', '.join(filters))}. Is the topic right (try --topic '#')? Does the device "
            "publish to this broker, and may this user read it?"
        )
    elif str(out) != "-":
        console.print(f"Next: courtyard profile new --from {escape(str(out))}")
