"""Connections that are opened and left, and streams that outlive the right to hear them."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from services.changes import Change
from services.web import live, patience
from services.web.server import Server
from tests.services.web.conftest import prepared, world
from tests.services.web.world import PASSWORD, World

__all__ = ["prepared", "world"]


@pytest.fixture
def server(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """It waits a second for a head or a body: less, and a busy machine's own clients come too late."""
    monkeypatch.setattr(patience, "HEAD_SECONDS", 1.0)
    monkeypatch.setattr(patience, "BODY_SECONDS", 1.0)
    made = Server(world.app, "127.0.0.1", 0)
    made.start()
    yield made
    made.stop()


def opened(server: Server, sent: bytes) -> socket.socket:
    made = socket.create_connection((server.host, server.port), timeout=60)
    made.sendall(sent)
    return made


HEAD = b"POST /login HTTP/1.1\r\nHost: c\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 90\r\n"


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /pub", b"GET / HTTP/1.1\r\nHost: c\r\n", HEAD + b"\r\nlogin=a"],
    ids=["nothing", "half a line", "half a head", "half a body"],
)
def test_a_connection_that_says_no_more_is_closed(server: Server, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    idle = opened(server, sent)
    try:
        said = b""
        while chunk := idle.recv(4096):  # ends when the server closes; the socket's timeout fails the test
            said += chunk
    except ConnectionResetError:
        pass
    finally:
        idle.close()
    assert not said.startswith(b"HTTP/1.1 2")
    monkeypatch.setattr(patience, "HEAD_SECONDS", 60.0)  # for who comes next, and means it
    assert httpx.get(f"{server.url}/api/v1/health").status_code == 200


def test_a_drip_does_not_hold_the_door_open(server: Server) -> None:
    dripping = opened(server, b"GET / HTTP/1.1\r\n")
    began = time.monotonic()
    try:
        while time.monotonic() - began < 60:
            dripping.sendall(b"X-Drip: 1\r\n")
            time.sleep(0.05)
    except OSError:
        pass
    finally:
        dripping.close()
    assert time.monotonic() - began < 50, "seconds, where about one is given"


def test_who_only_rests_between_requests_keeps_the_connection(server: Server) -> None:
    # By itself the client would leave a connection that has rested for five seconds.
    with httpx.Client(base_url=server.url, timeout=60, limits=httpx.Limits(keepalive_expiry=None)) as client:

        def end() -> object:
            return client.get("/api/v1/health").extensions["network_stream"].get_extra_info("client_addr")

        first = end()
        time.sleep(1.3)  # longer than a head may take, and far from the 15 s that the server keeps a connection
        assert end() == first, "the same connection"


@pytest.mark.parametrize("how", ["signs out", "is disabled", "loses the site"])
def test_a_stream_ends_with_the_right_to_hear_it(
    world: World, server: Server, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "HEAD_SECONDS", 60.0)
    monkeypatch.setattr(patience, "BODY_SECONDS", 60.0)
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(live, "PAUSE_SECONDS", 0.05)
    with httpx.Client(base_url=server.url, timeout=60) as client:
        client.post("/login", data={"login": "crew.east", "password": PASSWORD})
        csrf = client.get("/api/v1/me").json()["csrf"]
        with client.stream("GET", "/live") as stream:
            lines = stream.iter_lines()
            assert next(lines) == "event: beat"
            if how == "signs out":
                client.post("/logout", headers={"X-CSRF-Token": csrf})
            else:
                change = {"disabled": True} if how == "is disabled" else {"grants": [{"site": "west", "role": "crew"}]}
                admin = world.client("admin@*")
                person = next(p for p in admin.get("/api/v1/people").json()["items"] if p["login"] == "crew.east")
                assert admin.patch(f"/api/v1/people/{person['id']}", json=change).status_code == 200
            time.sleep(0.3)  # longer than until it is looked whether he may still hear
            world.context.changes.publish([Change("ticket", "east-secret", "east")])
            rest = list(lines)  # to its end; the client's timeout fails the test where there is none
    assert "east-secret" not in json.dumps(rest)
