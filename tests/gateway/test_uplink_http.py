"""A gateway delivers to services over HTTP: a real server on loopback with the real intake behind it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.reading import Batch, GatewayStatus, Reading
from gateway.uplink import UplinkRejected, UplinkUnavailable
from gateway.uplink_http import HttpUplink
from services.accounts import desk, store
from services.clock import to_millis
from services.web.server import Server
from tests.services.notices.sinks import HttpSink
from tests.services.web.conftest import Prepared, prepared
from tests.services.web.world import NOW, World, build

__all__ = ["prepared"]

NAME = "gateway@*"


@pytest.fixture
def world(prepared: Prepared, tmp_path: Path) -> Iterator[World]:
    folder, tokens = prepared
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    world = build(tmp_path, tokens)
    yield world
    world.context.telemetry.close()
    world.context.database.close()


@pytest.fixture
def server(world: World) -> Iterator[Server]:
    server = Server(world.app, "127.0.0.1", 0)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def token(world: World, tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(world.tokens[NAME] + "\n")
    return file


@pytest.fixture
def uplink(server: Server, token: Path) -> Iterator[HttpUplink]:
    with HttpUplink(server.url + "/", token) as uplink:
        yield uplink


def batch(first: int, last: int) -> Batch:
    at = to_millis(NOW)
    readings = [
        Reading("east-pump", "", at + seq, at + seq, "b", {"pressure": float(seq)}, profile="pump")
        for seq in range(first, last + 1)
    ]
    return Batch(NAME, first, last, at, readings, GatewayStatus(True, 1, 2, 0, None, 1, 0, 0, 0, 1.0))


def test_batches_are_taken_once_and_the_cursor_survives(uplink: HttpUplink, world: World) -> None:
    assert uplink.cursor(NAME) == 0
    assert uplink.deliver(batch(1, 3)) == 3
    assert uplink.deliver(batch(1, 3)) == 3, "an answer that got lost on the way changes nothing"
    assert uplink.deliver(batch(4, 5)) == 5
    assert uplink.cursor(NAME) == 5
    at = to_millis(NOW)
    points = world.context.telemetry.range(
        device="east-pump", child="", metrics=["pressure"], start=at, end=at + 1000, limit=100
    )["pressure"]
    assert [point.value for point in points] == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_batch_without_readings_is_a_heartbeat(uplink: HttpUplink) -> None:
    uplink.deliver(batch(1, 2))
    heartbeat = Batch(NAME, 3, 2, to_millis(NOW), [])
    assert uplink.deliver(heartbeat) == 2


def test_the_registry_comes_over_whole(uplink: HttpUplink, world: World) -> None:
    assert uplink.registry() == world.context.intake.registry()
    assert {device.id for device in uplink.registry().devices} == {"east-pump", "west-pump"}


def test_a_wrong_token_is_somebodys_move(server: Server, token: Path) -> None:
    token.write_text("wrong")
    with HttpUplink(server.url, token) as uplink, pytest.raises(UplinkRejected, match="courtyard token create"):
        uplink.cursor(NAME)


def test_anothers_name_is_refused(uplink: HttpUplink) -> None:
    with pytest.raises(UplinkRejected, match="COURTYARD_GATEWAY_ID"):
        uplink.cursor("gateway@east")


def test_a_token_can_be_changed_without_a_restart(uplink: HttpUplink, world: World, token: Path) -> None:
    uplink.deliver(batch(1, 1))
    with world.context.database.write() as connection:
        (old,) = [one for one in store.list_tokens(connection) if one.name == NAME]
    desk.revoke_token(world.context.database, old.id, now=NOW, who=None)
    with pytest.raises(UplinkRejected):
        uplink.deliver(batch(2, 2))
    new = desk.add_token(world.context.database, name=NAME, role=old.role, now=NOW, who=None)[1]
    token.write_text(new)
    assert uplink.deliver(batch(2, 2)) == 2


@pytest.mark.parametrize("content", ["", " \n", "ключ", "a\nb"])
def test_an_unusable_token_file_says_so(server: Server, token: Path, content: str) -> None:
    token.write_text(content)
    with HttpUplink(server.url, token) as uplink, pytest.raises(UplinkRejected, match="no token in"):
        uplink.cursor(NAME)


def test_a_missing_token_file_says_so(server: Server, tmp_path: Path) -> None:
    with HttpUplink(server.url, tmp_path / "none") as uplink, pytest.raises(UplinkRejected, match="cannot be read"):
        uplink.cursor(NAME)


def test_a_cut_uplink_is_waited_for(server: Server, uplink: HttpUplink) -> None:
    uplink.deliver(batch(1, 1))
    server.stop()
    assert server._thread is not None
    server._thread.join(60)  # a slow machine takes longer than `stop` waits
    with pytest.raises(UplinkUnavailable, match="cannot be reached"):
        uplink.deliver(batch(2, 2))


def test_services_without_their_database_are_waited_for(uplink: HttpUplink, world: World) -> None:
    uplink.deliver(batch(1, 1))
    world.context.database.close()
    world.context.database.url = "sqlite:////nowhere/at/all.db"
    world.context.database.start()
    with pytest.raises(UplinkUnavailable, match="503"):
        uplink.deliver(batch(2, 2))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, UplinkRejected),
        (401, UplinkRejected),
        (403, UplinkRejected),
        (404, UplinkRejected),
        (409, UplinkUnavailable),
        (413, UplinkRejected),
        (422, UplinkRejected),
        (429, UplinkUnavailable),
        (500, UplinkUnavailable),
        (502, UplinkUnavailable),
        (302, UplinkRejected),
    ],
)
def test_whose_move_a_status_is(token: Path, status: int, error: type[Exception]) -> None:
    with HttpSink() as sink, HttpUplink(sink.url(""), token) as uplink:
        sink.statuses["/api/v1/intake"] = [status]
        sink.body = b"<html>proxy</html>"
        with pytest.raises(error):
            uplink.deliver(batch(1, 1))


def test_something_else_at_the_address_is_not_taken_for_services(token: Path) -> None:
    with HttpSink() as sink, HttpUplink(sink.url(""), token) as uplink:
        sink.body = b"<html>sign in to the hotel</html>"
        with pytest.raises(UplinkUnavailable, match="not one of Courtyard"):
            uplink.deliver(batch(1, 1))
