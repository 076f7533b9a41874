"""`courtyard decode`: what one message becomes."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import typer
from rich.markup import escape

from device_profiles.mistakes import nearest
from device_profiles.schema import DeviceProfile
from gateway.decode import DecodeError, Decoder
from gateway.reading import Reading, Registry
from services.cli import app
from services.cli.console import Console
from services.cli.shared import explained
from services.clock import SystemClock, from_millis, to_millis
from services.settings import Settings

errors = Console(stderr=True, soft_wrap=True, highlight=False)


@app.command()
@explained
def decode(
    profile: Annotated[str, typer.Argument(metavar="PROFILE", help="A profile's id, or a YAML file.")],
    topic: Annotated[str, typer.Option("--topic", metavar="T", help="The MQTT topic it came on.")],
    payload: Annotated[str | None, typer.Option("--payload", metavar="TEXT", help="The payload as text.")] = None,
    hex_digits: Annotated[str | None, typer.Option("--hex", metavar="HEX", help="The payload as hex digits.")] = None,
    payload_file: Annotated[
        Path | None, typer.Option("--payload-file", metavar="F", help='A file with the payload; "-" is stdin.')
    ] = None,
    timezone: Annotated[
        str, typer.Option("--timezone", metavar="ZONE", help="The site's zone, for times without one.")
    ] = "UTC",
    retained: Annotated[bool, typer.Option("--retained", help="As a retained message: fires no events.")] = False,
) -> None:
    """Decode one message with one profile and print each reading as one line of JSON.

    Times are in ISO and in milliseconds since 1970. What cannot be decoded is explained on stderr, exit code 1.

    [bold]Example[/bold]

      courtyard decode ebike_charger_ap3000 --topic ap3000/04AB373B/up --hex 444e5910003b37ab0401002198080200000905ee02
    """
    message = _payload(payload, hex_digits, payload_file)
    found = _profile(profile)
    decoder = Decoder([found], Registry("decode", []), zone=zone_of(timezone))
    try:
        readings = decoder.decode(topic, message, to_millis(SystemClock().now()), retained)
    except DecodeError as error:
        errors.print(f"[bold red]Not decoded[/bold red] {escape(error.code)}")
        if error.binding:
            errors.print(f"  binding   {escape(error.binding)}")
        if error.field:
            errors.print(f"  field     {escape(error.field)}")
        errors.print(f"  found     {escape(error.found)}\n  expected  {escape(error.expected)}")
        if error.code == "no_binding":
            listed = ", ".join(binding.topic for binding in found.bindings)
            errors.print(f"  bindings  {escape(listed)}")
        raise typer.Exit(1) from None
    if not readings:
        errors.print("Recognised and ignored on purpose: the profile says that this message means nothing.")
    for reading in readings:
        sys.stdout.write(msgspec.json.encode(shown(reading)).decode() + "\n")


def shown(reading: Reading) -> dict[str, Any]:
    """A reading as people read it; empty parts are left out."""
    parts: dict[str, Any] = {
        "device": reading.device,
        "child": reading.child,
        "measured_at": from_millis(reading.measured_at).isoformat(timespec="milliseconds"),
        "measured_at_ms": reading.measured_at,
        "received_at": from_millis(reading.received_at).isoformat(timespec="milliseconds"),
        "received_at_ms": reading.received_at,
        "binding": reading.binding,
        "quality": reading.quality.value,
        "values": reading.values,
    }
    if reading.events:
        parts["events"] = [{"id": event.id, "data": event.data} for event in reading.events]
    if reading.flags:
        parts["flags"] = {name: quality.value for name, quality in reading.flags.items()}
    if reading.presence:
        parts["presence"] = reading.presence.value
    if reading.retained:
        parts["retained"] = True
    return parts


def _payload(text: str | None, digits: str | None, file: Path | None) -> bytes:
    given = [option for option in (text, digits, file) if option is not None]
    if len(given) != 1:
        raise ValueError(f"expected exactly one of --payload, --hex, --payload-file, found {len(given)}")
    if text is not None:
        return text.encode("utf-8", "surrogateescape")
    if digits is not None:
        try:
            return bytes.fromhex(digits.removeprefix("0x"))
        except ValueError as error:
            raise ValueError(f"--hex: expected pairs of hex digits, found {digits[:60]!r}") from error
    return sys.stdin.buffer.read() if str(file) == "-" else Path(str(file)).read_bytes()


def zone_of(name: str) -> ZoneInfo:
    """The zone of an option; raises ValueError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"--timezone: expected an IANA zone such as Asia/Shanghai, found {name!r}") from error


def _profile(name: str) -> DeviceProfile:
    from device_profiles.library import SHIPPED, load

    if name.endswith((".yaml", ".yml")) or Path(name).is_file():
        return next(iter(load(Path(name)).values()))
    own = Settings().profiles_dir
    folders = [SHIPPED, *([own] if own else [])]
    if (file := file_that_says(name, folders)) is not None:
        return load(file)[name]
    library = load(*folders)
    if name not in library:
        near = nearest(name, library)
        raise ValueError(f"expected a YAML file or one of {', '.join(sorted(library))}, found {name!r}{near}")
    return library[name]


def file_that_says(name: str, folders: Iterable[Path]) -> Path | None:
    """The one file with the line `profile: NAME`: reading a whole library for one profile takes a second."""
    line = re.compile(rf"^profile:\s*[\"']?{re.escape(name)}[\"']?\s*(?:#.*)?$", re.MULTILINE)
    files = [
        file
        for folder in folders
        for file in sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")])
        if line.search(file.read_text(encoding="utf-8", errors="replace"))
    ]
    return files[0] if len(files) == 1 else None
