"""docker-compose.yml as far as `courtyard stack` plays it. Pure: text in, frozen values out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\})")
HEALTHY, COMPLETED = "service_healthy", "service_completed_successfully"


class ComposeMistake(ValueError):
    """The file cannot be played; the text says where and what was expected."""


class Mount(NamedTuple):
    source: str
    """A named volume, or a path from the compose file's folder, beginning with a dot."""
    target: str

    @property
    def is_volume(self) -> bool:
        return not self.source.startswith(".")


class SecretUse(NamedTuple):
    source: str
    target: str
    """Its file name in /run/secrets."""


@dataclass(frozen=True)
class Service:
    name: str
    image: str
    """Without its tag."""
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: Mapping[str, str]
    secrets: tuple[SecretUse, ...]
    mounts: tuple[Mount, ...]
    ports: tuple[int, ...]
    """On which it listens, in its container."""
    needs: Mapping[str, str]
    """Condition by service."""
    check: tuple[str, ...]
    """The health check's command; empty: none."""
    restarts: bool
    profiles: frozenset[str]


@dataclass(frozen=True)
class Compose:
    services: Mapping[str, Service]
    secrets: Mapping[str, str]
    """File by secret, from the compose file's folder."""

    def active(self, profiles: Iterable[str]) -> list[Service]:
        """What runs with these profiles, everything after what it needs. Raises ComposeMistake for a circle."""
        chosen = set(profiles)
        running = {one.name: one for one in self.services.values() if not one.profiles or one.profiles & chosen}
        graph = {name: [other for other in one.needs if other in running] for name, one in running.items()}
        try:
            return [running[name] for name in TopologicalSorter(graph).static_order()]
        except CycleError as error:
            raise ComposeMistake(f"services that need each other in a circle: {' -> '.join(error.args[1])}") from error


def read(text: str, environment: Mapping[str, str]) -> Compose:
    """The file, its variables filled in from `environment`. Raises ComposeMistake."""
    try:
        raw = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ComposeMistake(f"docker-compose.yml: {error}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("services"), dict):
        raise ComposeMistake("docker-compose.yml: expected a mapping with services")
    filled = _filled(raw, environment)
    services = {name: _service(name, one) for name, one in filled["services"].items()}
    secrets = {name: str(one["file"]) for name, one in (filled.get("secrets") or {}).items()}
    for service in services.values():
        _check_names(service, services, secrets)
    return Compose(services, secrets)


def interpolated(text: str, environment: Mapping[str, str]) -> str:
    """`${NAME:-default}` as Compose fills it in. Raises ComposeMistake for a variable that is needed and not set."""

    def value(found: re.Match[str]) -> str:
        if found["dollar"]:
            return "$"
        set_ = environment.get(found["name"]) or found["default"]
        if set_ is None:
            raise ComposeMistake(f"docker-compose.yml wants the variable {found['name']}, which is not set")
        return set_

    return _VARIABLE.sub(value, text)


def _filled(node: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(node, str):
        return interpolated(node, environment)
    if isinstance(node, dict):
        return {key: _filled(value, environment) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, environment) for value in node]
    return node


def _service(name: str, raw: Mapping[str, Any]) -> Service:
    check = list((raw.get("healthcheck") or {}).get("test") or [])
    if check and check[0] != "CMD":
        raise ComposeMistake(f"{name}: expected a health check [CMD, …], found {check[0]!r}")
    return Service(
        name=name,
        image=str(raw.get("image", "")).rpartition(":")[0],
        entrypoint=tuple(map(str, raw.get("entrypoint") or ())),
        command=tuple(map(str, raw.get("command") or ())),
        environment={key: str(value) for key, value in (raw.get("environment") or {}).items()},
        secrets=tuple(_secret(one) for one in raw.get("secrets") or ()),
        mounts=tuple(Mount(*str(one).split(":")[:2]) for one in raw.get("volumes") or ()),
        ports=tuple(dict.fromkeys(_ports(raw))),
        needs={other: str(wanted["condition"]) for other, wanted in (raw.get("depends_on") or {}).items()},
        check=tuple(map(str, check[1:])),
        restarts=raw.get("restart") != "no",
        profiles=frozenset(raw.get("profiles") or ()),
    )


def _secret(raw: str | Mapping[str, str]) -> SecretUse:
    return SecretUse(raw, raw) if isinstance(raw, str) else SecretUse(raw["source"], raw["target"])


def _ports(raw: Mapping[str, Any]) -> Iterator[int]:
    for one in [*(raw.get("ports") or ()), *(raw.get("expose") or ())]:
        yield int(str(one).rpartition(":")[2])


def _check_names(service: Service, services: Mapping[str, Service], secrets: Mapping[str, str]) -> None:
    unknown = [use.source for use in service.secrets if use.source not in secrets]
    unknown += [other for other in service.needs if other not in services]
    if unknown:
        raise ComposeMistake(f"{service.name} names what is not declared: {', '.join(unknown)}")
