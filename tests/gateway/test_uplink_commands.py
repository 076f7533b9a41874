"""Orders and outcomes over HTTP: a real server on loopback with the real intake behind it."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from gateway.uplink import CommandOutcome, UplinkRejected, UplinkUnavailable
from gateway.uplink_http import HttpUplink
from services.changes import Change
from services.clock import to_millis
from services.commands.api import desk_of
from services.tables import commands
from services.web.server import Server
from tests.gateway.kit import until
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


def queued(world: World, id: str, site: str = "east", gateway: str = NAME, **more: Any) -> None:
    row = {
        "id": id,
        "site": site,
        "device": f"{site}-pump",
        "child": id,
        "profile": "pump",
        "command": "stop",
        "params": {"hard": True},
        "terms": {"answers": True, "timeout_seconds": 5, "retries": 0, "effect": None, "within_seconds": 0},
        "gateway": gateway,
        "nonce": 7 + len(id),
        "state": "queued",
        "asked_at": NOW,
        "expires_at": NOW + timedelta(seconds=30),
        "moved_at": NOW,
        **more,
    }
    with world.context.database.write() as connection:
        connection.execute(insert(commands), row)
    world.context.intake.reload()
    world.context.changes.publish([Change("command", id, site)])


def uplink(world: World, server: Server, folder: Path, name: str = NAME, ahead: int = 0) -> HttpUplink:
    token = folder / f"token-{name.partition('@')[2]}"
    token.write_text(world.tokens[name])
    return HttpUplink(server.url, token, now_millis=lambda: to_millis(world.clock.at) + ahead)


def test_an_order_comes_over_whole_and_its_report_goes_back(world: World, server: Server, tmp_path: Path) -> None:
    queued(world, "c1")
    with uplink(world, server, tmp_path) as up:
        (order,) = up.orders(NAME, 0)
        assert (order.id, order.attempt, order.device, order.child) == ("c1", 1, "east-pump", "c1")
        assert (order.command, order.params, order.nonce) == ("stop", {"hard": True}, 9)
        assert order.expires_at == to_millis(NOW) + 30_000
        assert up.orders(NAME, 0.05) == [], "it has been handed over"
        assert up.orders(NAME, 0) == [order], "a gateway that has just started hears of it again"
        for _ in range(2):
            up.report(NAME, [CommandOutcome("c1", 1, "sent", to_millis(NOW)), CommandOutcome("gone", 1, "sent", 0)])
    assert desk_of(world.context).get(None, "c1").state == "sent"


@pytest.mark.parametrize("ahead", [3_600_000, -3_600_000])
def test_a_gateways_clock_may_be_wrong(world: World, server: Server, tmp_path: Path, ahead: int) -> None:
    queued(world, "c1")
    with uplink(world, server, tmp_path, ahead=ahead) as up:
        (order,) = up.orders(NAME, 0)
    assert order.expires_at - (to_millis(NOW) + ahead) == 30_000, "the time left is what counts"


def test_waiting_ends_when_something_is_asked(world: World, server: Server, tmp_path: Path) -> None:
    with uplink(world, server, tmp_path) as up:
        later = threading.Timer(0.3, lambda: queued(world, "c1"))
        later.start()
        began = time.monotonic()
        assert [order.id for order in up.orders(NAME, 20)] == ["c1"]
        assert time.monotonic() - began < 18, "before its time was over"
        later.join()
        began = time.monotonic()
        assert up.orders(NAME, 0.3) == []
        assert time.monotonic() - began >= 0.3


def test_a_gateway_hears_of_its_own_devices_only(world: World, server: Server, tmp_path: Path) -> None:
    queued(world, "c1", gateway="gateway@east")
    queued(world, "c22", site="west", gateway="gateway@east")
    with uplink(world, server, tmp_path) as up:
        assert up.orders(NAME, 0) == []
        with pytest.raises(UplinkRejected, match="is for the gateway"):
            up.orders("gateway@east", 0)
        with pytest.raises(UplinkRejected, match="is for the gateway"):
            up.report("gateway@east", [CommandOutcome("c1", 1, "failed", 0)])
        up.report(NAME, [CommandOutcome("c1", 1, "failed", to_millis(NOW))])
    with uplink(world, server, tmp_path, "gateway@east") as up:
        assert [order.id for order in up.orders("gateway@east", 0)] == ["c1"], "its token does not cover the west"
    assert desk_of(world.context).get(None, "c1").state == "queued"


def test_who_is_no_gateway_gets_no_orders(world: World, server: Server) -> None:
    for who in ("admin@*", "crew@east", ""):
        client = world.client(who)
        assert client.get("/api/v1/intake/orders", params={"gateway": NAME}).status_code in (401, 403)
        assert client.post("/api/v1/intake/outcomes", params={"gateway": NAME}, json=[]).status_code in (401, 403)


def test_services_that_stop_end_the_wait_in_peace(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.web.server._GRACE_SECONDS", 30)  # the wait ends by itself, and is not cut off
    server = Server(world.app, "127.0.0.1", 0)
    server.start()
    with uplink(world, server, tmp_path) as up:
        stopper = threading.Thread(target=_stop_once_asked, args=[server])
        stopper.start()
        began = time.monotonic()
        assert up.orders(NAME, 20) == []
        assert time.monotonic() - began < 18, "before its time was over"
        stopper.join()
        assert server._thread is not None
        server._thread.join(60)  # a slow machine takes longer than `stop` waits
        with pytest.raises(UplinkUnavailable):
            up.orders(NAME, 20)
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


def _stop_once_asked(server: Server) -> None:
    assert server._server is not None
    state = server._server.server_state
    until(lambda: bool(state.tasks), why="nobody asks")
    server.stop()
