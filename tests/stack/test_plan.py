"""How docker-compose.yml is read, and how its texts become those of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.ports import is_free
from services.stack import compose
from services.stack.compose import ComposeMistake, Service
from services.stack.place import HOST, Place

TEXT = """
services:
  box:
    image: box:1.0
    command: [run, --listen, "0.0.0.0:9000", --secret, /run/secrets/word, --file, /config/a.conf, --data, /data]
    environment: {NEXT: "http://other:8080/x", MINE: "http://127.0.0.1:9000", NOT: "another:8080 other:80801 /database"}
    ports: ["127.0.0.1:19000:9000"]
    volumes: ["./config:/config:ro", "stuff:/data"]
    secrets: [word, {source: second, target: name_inside}]
    depends_on: {other: {condition: service_healthy}}
    healthcheck: {test: [CMD, check, "127.0.0.1:9000"]}
  other: {image: "other:2", expose: ["8080"], restart: "no", profiles: [more]}
secrets:
  word: {file: ./secrets/word}
  second: {file: ./secrets/second}
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "a.conf").write_text("key /run/secrets/word\nlisten 0.0.0.0:9000\n")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "word").write_text("url://user:pw@other:8080\n")
    (tmp_path / "secrets" / "second").write_text("plain\n")
    file = compose.read(TEXT, {})
    found = Place(file, tmp_path, tmp_path / "stack", tmp_path / "secrets")
    found.ports = {"box:9000": 21000, "other:8080": 22000}
    return found


def box(place: Place) -> Service:
    return place.compose.services["box"]


def test_addresses_and_paths_become_those_of_this_machine(place: Place) -> None:
    service = box(place)
    run = place.folder / "run" / "box"
    assert place.arguments(service, service.command) == [
        *("run", "--listen", "127.0.0.1:21000", "--secret", f"{run}/secrets/word"),
        *("--file", f"{run}/mounts/config/a.conf", "--data", f"{place.folder}/volumes/stuff"),
    ]
    assert place.environment(service) == {
        "NEXT": "http://127.0.0.1:22000/x",
        "MINE": "http://127.0.0.1:21000",
        "NOT": "another:8080 other:80801 /database",
    }


def test_each_service_sees_its_own_secrets_and_configuration_only(place: Place) -> None:
    service = box(place)
    place.prepare(service, change={"second": str.upper})
    secrets = place.folder / "run" / "box" / "secrets"
    assert {file.name: file.read_text() for file in secrets.iterdir()} == {
        "word": "url://user:pw@127.0.0.1:22000\n",
        "name_inside": "PLAIN\n",
    }
    assert all(file.stat().st_mode & 0o077 == 0 for file in [secrets, *secrets.iterdir()])
    assert place.mounted(service, "/config").joinpath("a.conf").read_text() == (
        f"key {secrets}/word\nlisten 127.0.0.1:21000\n"
    )
    (secrets / "left-over").touch()
    place.prepare(service, change={})
    assert not (secrets / "left-over").exists()


def test_what_the_stack_keeps_is_for_this_user_alone(place: Place) -> None:
    assert place.volume("services-data").stat().st_mode & 0o777 == 0o700


def test_a_mounted_file_that_is_not_there_is_named(place: Place) -> None:
    (place.root / "config" / "a.conf").unlink()
    (place.root / "config").rmdir()
    with pytest.raises(FileNotFoundError, match=r"config, which docker-compose\.yml mounts into box, is not there"):
        place.prepare(box(place), change={})


def test_ports_stay_from_start_to_start_and_give_way_where_taken(place: Place) -> None:
    services = list(place.compose.services.values())
    place.folder.mkdir()
    place.choose_ports(services)
    chosen = dict(place.ports)
    assert set(chosen) == {"box:9000", "other:8080"}
    meanwhile = Place(place.compose, place.root, place.folder, place.secrets)
    meanwhile.choose_ports(services)
    assert not set(meanwhile.ports.values()) & set(chosen.values()), "held until their programs start"
    for one in (place, meanwhile):
        one.let_go(services)
    again = Place(place.compose, place.root, place.folder, place.secrets)
    again.choose_ports(services)
    assert again.ports == meanwhile.ports
    assert all(not is_free(HOST, port) for port in again.ports.values())
    again.let_go(services)
    assert all(is_free(HOST, port) for port in again.ports.values())


def test_variables_are_filled_in() -> None:
    assert compose.interpolated("${A:-x}:${B:-y}$$", {"B": "1"}) == "x:1$"
    assert compose.interpolated("${A:-}", {"A": ""}) == ""
    with pytest.raises(ComposeMistake, match="wants the variable C, which is not set"):
        compose.interpolated("${C}", {})


def test_profiles_choose_and_needs_order() -> None:
    file = compose.read(TEXT, {})
    assert [one.name for one in file.active(["more"])] == ["other", "box"]
    assert [one.name for one in file.active([])] == ["box"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services: [", "docker-compose.yml: "),
        ("- a", "expected a mapping with services"),
        ("services: {a: {image: x, depends_on: {b: {condition: service_started}}}}", "a names what is not declared: b"),
        ("services: {a: {image: x, secrets: [s]}}", "a names what is not declared: s"),
        ("services: {a: {image: x, healthcheck: {test: [CMD-SHELL, x]}}}", "a: expected a health check"),
    ],
)
def test_what_cannot_be_played_is_said(text: str, said: str) -> None:
    with pytest.raises(ComposeMistake, match=said):
        compose.read(text, {})


def test_a_circle_is_named() -> None:
    text = """
services:
  a: {image: x, depends_on: {b: {condition: service_started}}}
  b: {image: x, depends_on: {a: {condition: service_started}}}
"""
    with pytest.raises(ComposeMistake, match=r"circle: (a -> b -> a|b -> a -> b)"):
        compose.read(text, {}).active([])
