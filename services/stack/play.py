"""Brings the services of docker-compose.yml up as processes of this machine, in the order and under the conditions that
the file states."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from services.stack import certificates, compose
from services.stack.catalogue import PASSWORDS
from services.stack.compose import COMPLETED, HEALTHY, Compose, Service
from services.stack.keys import Keys
from services.stack.place import HOST, Place
from services.stack.programs import OPTIONAL, OURS, PLAYERS, Missing, own_program
from services.stack.supervisor import Program, ProgramFailed, Supervisor, tail

STATE = "stack.json"
_WELL_SECONDS = 90.0
_ONCE_SECONDS = 120.0
_LOOK_SECONDS = 0.2
_CERTIFICATE_DAYS = 397
_TRIES = 3
"""Who ends that often before it was well will not become so."""


@dataclass(frozen=True)
class Plan:
    """What is started, in this order, and what stays away with the reason."""

    services: tuple[Service, ...]
    left_out: dict[str, str]
    packages: tuple[str, ...]
    """Debian packages without which it cannot start."""


def plan(file: Compose, profiles: Sequence[str]) -> Plan:
    """Which services this machine can play."""
    chosen, left_out, packages = [], {}, []
    for service in file.active(profiles):
        player = PLAYERS.get(service.image)
        if player is None:
            left_out[service.name] = f"no program here plays the image {service.image}"
        elif package := player.missing():
            left_out[service.name] = f"{package} is not installed"
            if service.image not in OPTIONAL:
                packages.append(package)
        else:
            chosen.append(service)
    return Plan(tuple(chosen), left_out, tuple(dict.fromkeys(packages)))


class Health(NamedTuple):
    """How one service fares."""

    service: str
    state: Literal["well", "unwell", "ended"]
    pid: int
    ports: tuple[int, ...]


def examine(file: Compose, root: Path, data: Path) -> Iterator[Health]:
    """Runs the health check that the file states for all that was started. Raises ValueError where nothing was."""
    place, state = _started(file, root, data)
    for name, pid in state["pids"].items():
        if service := file.services.get(name):
            ports = tuple(place.port(name, port) for port in service.ports)
            yield Health(name, _fares(place, service, pid), pid, ports)


def command(file: Compose, root: Path, data: Path, service: str, words: Sequence[str]) -> Program:
    """A command of courtyard with the settings and secrets of a service that was started.

    Raises ValueError where no stack was started in `data`, or where `service` is not one of ours in it.
    """
    place, state = _started(file, root, data)
    ours = [name for name in state["pids"] if name in file.services and file.services[name].image == OURS]
    if service not in ours:
        raise ValueError(f"expected one of {', '.join(ours)}, found {service!r}")
    return own_program(place, file.services[service], ["courtyard", *words], restarts=False)


def _started(file: Compose, root: Path, data: Path) -> tuple[Place, dict[str, Any]]:
    path = data / STATE
    if not path.exists():
        raise ValueError(f"no stack was started in {data}; courtyard stack up does, --data names another folder")
    state: dict[str, Any] = json.loads(path.read_text())
    return Place(file, root, data.resolve(), data, ports=state["ports"]), state


def _fares(place: Place, service: Service, pid: int) -> Literal["well", "unwell", "ended"]:
    if not Path(f"/proc/{pid}").exists():
        return "ended"
    return "well" if PLAYERS[service.image].is_well(place, service) else "unwell"


class Stack:
    """`up()`, then `watch()` again and again until it is to end; inside `with Supervisor()`."""

    def __init__(
        self, *, file: Path, data: Path, secrets: Path, profiles: Sequence[str], say: Callable[[str], None]
    ) -> None:
        self.file = compose.read(file.read_text(encoding="utf-8"), os.environ)
        self.plan = plan(self.file, profiles)
        self.place = Place(self.file, file.resolve().parent, data.resolve(), secrets.resolve())
        self._say = say
        self._supervisor: Supervisor | None = None

    def up(self, supervisor: Supervisor) -> None:
        """Everything, in order. Raises Missing, ProgramFailed, OSError that say what to do."""
        if self.plan.packages:
            packages = " ".join(self.plan.packages)
            raise Missing(f"not installed: {packages}. On Debian: apt-get install {packages} (make stack does)")
        self._supervisor = supervisor
        self.place.folder.mkdir(parents=True, exist_ok=True)
        for _ in Keys(self.place.secrets).make():
            pass
        if any(use.source == "tls_key" for service in self.plan.services for use in service.secrets):
            certificates.make(self.place.secrets, ["localhost", HOST], _CERTIFICATE_DAYS)
        try:
            self.place.choose_ports(self.plan.services)
            for service in self.plan.services:
                self._wait_for_needs(service)
                self._start(supervisor, service)
        finally:
            self.place.let_go(self.plan.services)
        self._write_state()

    def watch(self) -> list[str]:
        """Start again what ended; what ended since the last look."""
        assert self._supervisor is not None
        ended = self._supervisor.watch()
        self._hand_over_accounts(self._supervisor)
        self._write_state()
        return ended

    def _hand_over_accounts(self, supervisor: Supervisor) -> None:
        """`courtyard secrets device` adds accounts while Mosquitto runs, which here has a copy of the file."""
        shown = self.place.run_folder("mosquitto") / "secrets" / PASSWORDS
        text = (self.place.secrets / PASSWORDS).read_text(encoding="utf-8")
        if shown.exists() and shown.read_text(encoding="utf-8") != text:
            shown.write_text(text, encoding="utf-8")
            supervisor.tell("mosquitto", signal.SIGHUP)

    def wait_until_well(self, name: str, seconds: float = _WELL_SECONDS) -> None:
        """Raises ProgramFailed where the service's health check does not pass in time."""
        assert self._supervisor is not None
        service = self.file.services[name]
        deadline = time.monotonic() + seconds
        ends = 0
        # It runs: another program that answers where it should have listened is not it.
        while not (self._supervisor.is_running(name) and PLAYERS[service.image].is_well(self.place, service)):
            ends += sum(one.startswith(f"{name} ") for one in self._supervisor.watch())
            if ends >= _TRIES:
                raise ProgramFailed(f"{name} ended {ends} times{tail(self.place.log(name))}")
            if time.monotonic() > deadline:
                raise ProgramFailed(f"{name} is not well after {seconds:.0f} s{tail(self.place.log(name))}")
            time.sleep(_LOOK_SECONDS)

    def first_password(self) -> str | None:
        """What services printed at their first start."""
        log = self.place.log("services")
        found = re.findall(r"Sign in as admin with (\S+)", log.read_text(errors="replace")) if log.exists() else []
        return found[-1] if found else None

    def url(self, service: str, port: int) -> str:
        return f"http://127.0.0.1:{self.place.port(service, port)}"

    def _wait_for_needs(self, service: Service) -> None:
        for other, condition in service.needs.items():
            if other in self.plan.left_out:
                continue
            if condition == HEALTHY and self.file.services[other].check:
                self.wait_until_well(other)
            if condition == COMPLETED and self.file.services[other].restarts:
                raise ProgramFailed(f"{service.name} waits for {other} to complete, which is started again for ever")

    def _start(self, supervisor: Supervisor, service: Service) -> None:
        player = PLAYERS[service.image]
        began = time.monotonic()
        self.place.prepare(service, change=self._changes())
        programs = player.programs(self.place, service)
        self.place.let_go([service])
        for program in programs:
            if service.restarts:
                supervisor.start(program)
            else:
                supervisor.run(program, _ONCE_SECONDS)
        if service.image != OURS:
            self.wait_until_well(service.name)
            player.settle(self.place, service)
        elif service.ports and service.restarts:  # the gateway's check takes seconds, and nothing waits for it
            self.wait_until_well(service.name)
        self._say(f"{service.name:<13} {self._where(service):<16} {time.monotonic() - began:5.1f} s")

    def _changes(self) -> dict[str, Callable[[str], str]]:
        return {name: change for one in self.plan.services for name, change in PLAYERS[one.image].change.items()}

    def _where(self, service: Service) -> str:
        if not service.restarts:
            return "done"
        return ", ".join(str(self.place.port(service.name, port)) for port in service.ports) or "running"

    def _write_state(self) -> None:
        """Who runs as which process, for `courtyard stack status` and for tests."""
        assert self._supervisor is not None
        text = json.dumps({"pid": os.getpid(), "ports": self.place.ports, "pids": self._supervisor.pids()}, indent=1)
        path = self.place.folder / STATE
        if not path.exists() or path.read_text() != text:
            fresh = path.with_suffix(".new")
            fresh.write_text(text)
            fresh.replace(path)
