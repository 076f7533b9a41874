"""Ports are given out once on this machine: tests run side by side, and so do two installations."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from gateway import ports


def test_a_port_that_was_given_out_is_given_to_nobody_else_before_its_server_comes() -> None:
    port = ports.free_port()
    ask = f"from gateway import ports; ports._QUIET_PORTS = range({port}, {port + 1}); print(ports.free_port())"
    other = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert int(other.stdout) != port


def test_until_its_server_comes_connections_are_refused_and_then_it_has_the_port_for_itself() -> None:
    port = ports.free_port()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=60)
    assert ports.is_free("127.0.0.1", port)
    with socket.create_server(("127.0.0.1", port)):
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
        assert not ports.is_free("127.0.0.1", port)


def test_who_asks_for_ever_more_ports_runs_out_of_nothing() -> None:
    given = [ports.free_port() for _ in range(200)]
    assert len(set(given[-ports._MOST_CLAIMS :])) == ports._MOST_CLAIMS
    assert len(ports._claims) == ports._MOST_CLAIMS
