"""`courtyard simulate`: a site's equipment, played over MQTT, faults included."""

from __future__ import annotations

import os
import random
import re
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from device_profiles.schema import DeviceProfile, parse_duration
from gateway.reading import DeviceEntry
from gateway.simulator import ScriptedFault, filters_for, run_simulation
from services.cli import app
from services.cli.console import Console
from services.cli.shared import explained, settings_with, stopped_by_signal
from services.clock import SystemClock, to_millis

console = Console(stderr=True, soft_wrap=True, highlight=False)
_SHOWN = 8
_FAULT = re.compile(
    r"(?P<device>[^/@]+?)(?:/(?P<child>[^@]+))?:(?P<fault>[a-z][a-z0-9_]*)(?:@(?P<after>[^+@]+)?(?:\+(?P<lasting>[^+@]+))?)?"
)


@app.command()
@explained
def simulate(
    site: Annotated[Path | None, typer.Argument(metavar="SITE.yaml", help="The site whose devices are played.")] = None,
    mqtt: Annotated[
        str | None,
        typer.Option(
            "--mqtt", metavar="URL", help="mqtt://[user:password@]host[:port], or mqtts://…; default: COURTYARD_MQTT."
        ),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Play the demo site; without --fault, a port overheats and a pump fails.")
    ] = False,
    fault: Annotated[
        list[str] | None,
        typer.Option("--fault", metavar="DEVICE[/CHILD]:FAULT[@AFTER[+DURATION]]", help="A fault; may be repeated."),
    ] = None,
    speed: Annotated[float, typer.Option("--speed", min=0.1, max=1000, help="How many times faster than life.")] = 1.0,
    seed: Annotated[int | None, typer.Option("--seed", help="The same seed plays the same values.")] = None,
    profiles: Annotated[
        list[Path] | None, typer.Option("--profiles", metavar="FOLDER", help="More profiles beside the shipped ones.")
    ] = None,
    list_faults: Annotated[bool, typer.Option("--list-faults", help="Say which faults there are, and stop.")] = False,
) -> None:
    """Play all devices of a site: every profile says itself how its device behaves and how it fails.

    [bold]Examples[/bold]

      courtyard simulate --demo --mqtt mqtt://127.0.0.1:1883

      courtyard simulate site.yaml --fault cs-1/port:3:hot_port@10s+2m --fault bp-1:pressure_loss@30s

      courtyard simulate --demo --list-faults
    """
    entries, library = _site(site, demo, profiles or [])
    if list_faults:
        _print_faults(entries, library)
        return
    script = [parse_fault(text) for text in fault or []]
    if demo and not script:
        from services.demo.script import demo_script

        script = list(demo_script())
    chosen = random.randrange(1 << 31) if seed is None else seed
    _play(entries, library, script, mqtt or _broker(), chosen, speed)


def _broker() -> str:
    """The broker of the settings; that of `courtyard up` where they name none."""
    named = settings_with().mqtt
    return "mqtt://127.0.0.1:1883" if named == "embedded" else named


def parse_fault(text: str) -> ScriptedFault:
    """`cs-1/port:3:hot_port@10s+2m`: device, child, fault, when after the start, how long. Raises ValueError."""
    found = _FAULT.fullmatch(text)
    if found is None:
        raise ValueError(f"--fault: expected DEVICE[/CHILD]:FAULT[@AFTER[+DURATION]], found {text!r}")
    return ScriptedFault(
        device=found["device"],
        child=found["child"] or "",
        fault=found["fault"],
        after=parse_duration(found["after"]) if found["after"] else timedelta(0),
        lasting=parse_duration(found["lasting"]) if found["lasting"] else None,
    )


def _site(site: Path | None, demo: bool, folders: list[Path]) -> tuple[list[DeviceEntry], Mapping[str, DeviceProfile]]:
    from device_profiles.library import SHIPPED, load
    from services.demo import SITE
    from services.sites.importer import device_entries, read_site

    if (site is None) == (not demo):
        raise ValueError("expected a site file or --demo, found " + ("both" if demo else "neither"))
    library = load(SHIPPED, *folders)
    return device_entries(read_site(SITE if site is None else site, library)), library


def _play(
    entries: list[DeviceEntry],
    library: Mapping[str, DeviceProfile],
    script: list[ScriptedFault],
    mqtt: str,
    seed: int,
    speed: float,
) -> None:
    from gateway.ears import Ears
    from gateway.mqtt import MqttUnavailable
    from gateway.mqtt_client import MqttPublisher

    clock = SystemClock()
    stopping = stopped_by_signal()
    with MqttPublisher(mqtt, f"courtyard-simulator-{os.getpid()}") as publisher:
        if not publisher.wait_connected(10):
            reason = publisher.last_error or "no answer"
            raise MqttUnavailable(f"{publisher.address}: {reason}. Is a broker running there? courtyard up brings one.")
        console.print(f"Playing {len(entries)} devices over {publisher.address}, seed {seed}. Ctrl-C stops.")
        for one in script[:_SHOWN]:
            console.print(f"  {one.device} {one.child} {one.fault} after {one.after}" + _lasting(one))
        if len(script) > _SHOWN:
            console.print(f"  … and {len(script) - _SHOWN} more")
        ears = Ears(mqtt, f"courtyard-simulator-ears-{os.getpid()}", filters_for(entries, library))
        with ears:
            run_simulation(
                entries,
                library,
                publisher,
                script,
                seed,
                stopping,
                clock=lambda: to_millis(clock.now()),
                speed=speed,
                ears=ears,
            )


def _lasting(fault: ScriptedFault) -> str:
    return "" if fault.lasting is None else f" for {fault.lasting}"


def _print_faults(entries: list[DeviceEntry], library: Mapping[str, DeviceProfile]) -> None:
    for entry in entries:
        for name, fault in library[entry.profile].simulator.faults.items():
            where = entry.id if fault.scope is None else f"{entry.id}/{fault.scope}:…"
            sys.stdout.write(f"{where}:{name}\t{fault.name.zh}\t{fault.name.en}\n")
