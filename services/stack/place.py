"""Where what the containers see stands on this machine: ports, volumes, secrets, and the texts that name them."""

from __future__ import annotations

import json
import re
import shutil
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.ports import free_port, hold
from services.stack.compose import Compose, Service

HOST = "127.0.0.1"
SECRETS = "/run/secrets"
_OWN = r"(?:0\.0\.0\.0|127\.0\.0\.1|localhost)"


@dataclass
class Place:
    """A folder that plays the machine of docker-compose.yml."""

    compose: Compose
    root: Path
    """Folder of the compose file."""
    folder: Path
    secrets: Path
    """Stands for deploy/secrets."""
    ports: dict[str, int] = field(default_factory=dict)
    """`service:port` as the containers know it -> port on this machine."""
    _held: dict[str, socket.socket] = field(default_factory=dict)

    def choose_ports(self, services: Iterable[Service]) -> None:
        """The container's own port where it is free, else another; as at the last start where that is possible.

        They are held until `let_go`: the last service starts half a minute after the first, which knows its port by
        then, and another program might have come to listen there meanwhile.
        """
        file = self.folder / "ports.json"
        before: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
        for service in services:
            for port in service.ports:
                name = f"{service.name}:{port}"
                held = self._held[name] = _hold(before.get(name, port))
                self.ports[name] = int(held.getsockname()[1])
        file.write_text(json.dumps(self.ports, indent=1))

    def let_go(self, services: Iterable[Service]) -> None:
        """Just before their own programs listen on their ports, and at the end."""
        for service in services:
            for port in service.ports:
                if held := self._held.pop(f"{service.name}:{port}", None):
                    held.close()

    def port(self, service: str, port: int) -> int:
        return self.ports[f"{service}:{port}"]

    def volume(self, name: str) -> Path:
        """The folder of a named volume, for this user alone: databases in it say who went where."""
        path = self.folder / "volumes" / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def run_folder(self, service: str) -> Path:
        """What is made anew at every start: secrets, configuration."""
        path = self.folder / "run" / service
        path.mkdir(parents=True, exist_ok=True)
        return path

    def log(self, service: str) -> Path:
        path = self.folder / "logs" / f"{service}.log"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # the first password stands in one of them
        return path

    def prepare(self, service: Service, *, change: Mapping[str, Callable[[str], str]]) -> None:
        """Its secrets and its mounted configuration, with this machine's ports and paths in them.

        `change` turns a secret's text where the program here is another one than in the container.
        """
        folder = self.run_folder(service.name)
        shutil.rmtree(folder)
        (folder / "secrets").mkdir(parents=True, mode=0o700)
        for use in service.secrets:
            text = self.secret_file(use.source).read_text(encoding="utf-8")
            text = change.get(use.source, str)(text)
            target = folder / "secrets" / use.target
            target.touch(mode=0o600)
            target.write_text(self.localised(service, text), encoding="utf-8")
        for mount in service.mounts:
            if not mount.is_volume:
                self._copy(service, self.root / mount.source, self.mounted(service, mount.target))

    def secret_file(self, name: str) -> Path:
        return self.secrets / Path(self.compose.secrets[name]).name

    def mounted(self, service: Service, target: str) -> Path:
        """Where `target` of the container is here. Raises KeyError for what is not mounted."""
        found = {mount.target: mount for mount in service.mounts}[target]
        if found.is_volume:
            return self.volume(found.source)
        return self.run_folder(service.name) / "mounts" / target.strip("/").replace("/", ".")

    def localised(self, service: Service, text: str) -> str:
        """The text with addresses and paths of the containers turned into those of this machine."""
        for name, port in self.ports.items():
            host, _, inside = name.rpartition(":")
            text = re.sub(rf"(?<![\w.-]){re.escape(host)}:{inside}\b", f"{HOST}:{port}", text)
            if host == service.name:
                text = re.sub(rf"{_OWN}:{inside}\b", f"{HOST}:{port}", text)
        text = text.replace(SECRETS, str(self.run_folder(service.name) / "secrets"))
        for mount in sorted(service.mounts, key=lambda one: -len(one.target)):
            here = str(self.mounted(service, mount.target))
            text = re.sub(rf"(?<![\w.-]){re.escape(mount.target)}(?![\w.-])", here.replace("\\", r"\\"), text)
        return text

    def environment(self, service: Service) -> dict[str, str]:
        return {name: self.localised(service, value) for name, value in service.environment.items()}

    def arguments(self, service: Service, words: Iterable[str]) -> list[str]:
        return [self.localised(service, word) for word in words]

    def _copy(self, service: Service, source: Path, target: Path) -> None:
        if not source.exists():
            raise FileNotFoundError(f"{source}, which docker-compose.yml mounts into {service.name}, is not there")
        if source.is_dir():
            for one in source.iterdir():
                self._copy(service, one, target / one.name)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".json":  # dashboards: large, and nothing in them is of this machine
            shutil.copyfile(source, target)
        else:
            target.write_text(self.localised(service, source.read_text(encoding="utf-8")), encoding="utf-8")


def _hold(wanted: int) -> socket.socket:
    try:
        return hold(HOST, wanted)
    except OSError:
        return hold(HOST, free_port())
