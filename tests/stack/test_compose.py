"""docker-compose.yml without an engine: valid, every name resolves, every setting and start line is real, hardened."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from services.cli.index import read_all
from services.cli.main import app
from services.settings import Settings
from services.stack import compose
from services.stack.catalogue import (
    CATALOGUE,
    CERTIFICATE,
    COURTYARD,
    GRAFANA,
    INFLUXDB,
    KEY,
    MOSQUITTO,
    OWNERS,
    POSTGRES,
)

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = tuple(name for name, service in SERVICES.items() if service["image"].startswith("courtyard:"))
each_service = pytest.mark.parametrize("name", SERVICES)


def names(section: object) -> list[str]:
    return [one["source"] if isinstance(one, dict) else one for one in section or []]  # type: ignore[attr-defined]


def in_the_container(service: dict[str, Any]) -> list[str]:
    """Names of its secret files as it sees them."""
    return [one["target"] if isinstance(one, dict) else one for one in service.get("secrets") or []]


def test_it_follows_the_compose_specification() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, str(ROOT / "docker-compose.yml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "version" not in COMPOSE
    assert COMPOSE["name"] == "courtyard"


@each_service
def test_every_name_a_service_uses_is_declared(name: str) -> None:
    service = SERVICES[name]
    for kind in ("secrets", "networks"):
        assert set(names(service.get(kind))) <= set(COMPOSE[kind]), kind
    assert set(names(service.get("depends_on"))) <= set(SERVICES)
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (ROOT / source).exists(), source
        else:
            assert source in COMPOSE["volumes"], source


def test_everything_declared_is_used() -> None:
    for kind in ("secrets", "networks"):
        assert set(COMPOSE[kind]) == {used for service in SERVICES.values() for used in names(service.get(kind))}
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert set(COMPOSE["volumes"]) <= mounted


@each_service
def test_every_image_is_pinned(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9/_-]+:\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?", SERVICES[name]["image"])


def test_our_image_has_the_version_of_the_package_and_is_built_from_a_pinned_python() -> None:
    assert set(OURS) >= {"influx-setup", "migrate", "enrol", "services", "gateway", "demo"}
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert version
    assert {SERVICES[name]["image"] for name in OURS} == {f"courtyard:{version[1]}"}
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^ARG PYTHON=\d+\.\d+\.\d+-slim-bookworm$", dockerfile, re.M)
    assert re.findall(r"^FROM (\S+)", dockerfile, re.M) == ["python:${PYTHON}"] * 2


@each_service
def test_conditions_can_be_met(name: str) -> None:
    for other, wanted in SERVICES[name].get("depends_on", {}).items():
        if wanted["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other], other
        if wanted["condition"] == "service_completed_successfully":
            assert SERVICES[other]["restart"] == "no", other


@each_service
def test_every_service_is_hardened(name: str) -> None:
    service = SERVICES[name]
    # InfluxDB's entrypoint begins as root and becomes another user; a container of its own cannot be read-only.
    begins_as_root = name == "influxdb"
    assert service["read_only"] is not begins_as_root
    assert service.get("cap_add", []) == (["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"] * begins_as_root)
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in service["tmpfs"]
    assert not {"privileged", "network_mode", "pid", "env_file"} & set(service)
    assert name in OURS or begins_as_root or service["user"]


@each_service
def test_every_service_is_bounded(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["pids_limit"] > 0
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}


@each_service
def test_ports_stay_on_this_machine_unless_asked(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert re.match(r"\$\{(COURTYARD_(HTTP|MQTT|TLS)|GRAFANA)_BIND:-127\.0\.0\.1\}:\d+:\d+$", port), port


@pytest.mark.parametrize(("name", "network"), [("postgres", "state"), ("influxdb", "series")])
def test_a_database_cannot_be_reached_from_outside(name: str, network: str) -> None:
    assert COMPOSE["networks"][network]["internal"] is True
    assert SERVICES[name]["networks"] == [network]
    assert "ports" not in SERVICES[name]


@each_service
def test_who_speaks_to_whom_shares_a_network(name: str) -> None:
    """Every HOST:PORT that a service is given is a service of the file, listens there, and is on a network of both."""
    service = SERVICES[name]
    words = [str(value) for value in service.get("environment", {}).values()]
    words += [secret.text for one in CATALOGUE for secret in one.files if secret.name in names(service.get("secrets"))]
    for host, port in re.findall(r"(?:^|[@/])([a-z][a-z-]+):(\d+)", "\n".join(words), re.M):
        listening = [*SERVICES[host].get("ports", ()), *SERVICES[host].get("expose", ())]
        assert port in {one.rpartition(":")[2] for one in listening}, f"{host}:{port}"
        assert set(SERVICES[host]["networks"]) & set(service["networks"]), host


@each_service
def test_every_variable_has_a_default(name: str) -> None:
    for found in re.findall(r"\$\{([^}]*)\}", str(SERVICES[name])):
        assert re.fullmatch(r"[A-Z_]+:-.+", found), found


@each_service
def test_every_secret_file_that_is_named_is_handed_over(name: str) -> None:
    service = SERVICES[name]
    named = set(re.findall(r"/run/secrets/([\w.]+)", str(service)))
    for volume in service.get("volumes", ()):
        source = ROOT / volume.split(":")[0]
        for file in source.rglob("*") if source.is_dir() else ():
            if file.suffix in (".sh", ".conf", ".yaml"):
                named |= set(re.findall(r"(?:/run/secrets|\$secrets)/(\w+)", file.read_text()))
    assert named <= set(in_the_container(service))
    if name not in OURS:
        assert named == set(in_the_container(service)), "what is handed over is used"


@each_service
def test_no_secret_stands_in_the_environment(name: str) -> None:
    for key, value in SERVICES[name].get("environment", {}).items():
        assert not re.search("password|token|secret", key, re.I) or str(value).startswith("/run/secrets/"), key


@pytest.mark.parametrize("name", OURS)
def test_every_setting_given_is_one_of_the_product(name: str) -> None:
    given = [key for key in SERVICES[name].get("environment", {}) if key.startswith("COURTYARD_")]
    given += [secret for secret in in_the_container(SERVICES[name]) if secret.startswith("courtyard_")]
    # The demo's recipients name this variable as their address.
    assert {key.lower().removeprefix("courtyard_") for key in given} - {"demo_mailbox"} <= set(Settings.model_fields)


@pytest.mark.parametrize("name", OURS)
def test_every_start_line_is_a_command_of_the_product(name: str) -> None:
    service = SERVICES[name]
    if "entrypoint" in service:
        assert service["entrypoint"][:2] == ["python", "-m"]
        assert find_spec(service["entrypoint"][2]) is not None
        return
    read_all()
    check = service.get("healthcheck", {}).get("test", [])
    for line in [service["command"], *([check[2:]] if "courtyard" in check else [])]:
        command: Any = typer.main.get_command(app)
        words = list(map(str, line))
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        assert not hasattr(command, "commands"), f"{line} is no command"
        command.make_context(name, words, resilient_parsing=False)  # raises what typer would say


def test_each_secret_has_one_reader_of_the_user_it_is_made_for() -> None:
    """A file belongs to one user, so no two images can read it; our own image may in several services."""
    users = {"eclipse-mosquitto": MOSQUITTO, "postgres": POSTGRES, "influxdb": INFLUXDB, "grafana/grafana": GRAFANA}
    for service in SERVICES.values():
        image = service["image"].rpartition(":")[0]
        for secret in names(service.get("secrets")):
            file = Path(COMPOSE["secrets"][secret]["file"]).name
            if image == "courtyard":
                assert OWNERS[file] == COURTYARD, file
            elif file in OWNERS:
                assert OWNERS[file] == users[image], file
            else:
                assert file in (CERTIFICATE, KEY), file
        if image in users and "user" in service:
            assert service["user"].split(":")[0] == str(users[image])


def test_every_secret_that_is_made_is_used_and_the_other_way_round() -> None:
    declared = {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    assert declared == set(OWNERS) | {CERTIFICATE, KEY}


def test_our_image_runs_as_the_user_that_the_secrets_are_for() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"--uid {COURTYARD} --gid {COURTYARD}" in dockerfile
    assert f"USER {COURTYARD}" in dockerfile


def test_no_secret_can_be_committed() -> None:
    assert (ROOT / "deploy/secrets/.gitignore").read_text().split() == ["*", "!.gitignore"]


def test_services_start_after_what_they_need() -> None:
    read = compose.read((ROOT / "docker-compose.yml").read_text(), {})
    order = [service.name for service in read.active(["demo", "tls"])]
    assert set(order) == set(SERVICES)
    for name, service in read.services.items():
        assert all(order.index(other) < order.index(name) for other in service.needs), name
    assert {"demo", "demo-site", "mailbox", "proxy"} == set(order) - {one.name for one in read.active([])}


def test_grafana_shows_nothing_to_the_unnamed_and_sends_nothing_away() -> None:
    said = SERVICES["grafana"]["environment"]
    off = ("AUTH_ANONYMOUS", "SNAPSHOTS_EXTERNAL", "PUBLIC_DASHBOARDS", "ANALYTICS_REPORTING", "NEWS_NEWS_FEED")
    assert {said[f"GF_{name}_ENABLED"] for name in off} == {"false"}
    assert said["GF_SECURITY_DISABLE_GRAVATAR"] == "true"
    assert said["GF_USERS_ALLOW_SIGN_UP"] == "false"
    assert not any("PASSWORD" in name and not name.endswith("__FILE") for name in said)
