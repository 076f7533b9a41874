"""Who listens on a TCP port of this machine: for messages that name the culprit instead of an errno."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
from collections import deque
from collections.abc import Iterator
from pathlib import Path

_LISTEN = "0A"
_QUIET_PORTS = range(20_000, 32_000)
_TRIES = 50
_MOST_CLAIMS = 64
_claims: deque[int] = deque()
"""Open descriptors, the oldest first: each claims a port that was given out, for as long as it is open."""


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now. Raises OSError where the address itself is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as refused:
            if refused.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """A port where nobody listens, and which no other process is given before somebody does.

    Not one of those that the system gives to clients: who tries again and again to connect to such a port while nobody
    listens comes to be given the same one, meets himself there, and keeps the server from coming back for a minute.
    """
    for _ in range(_TRIES):
        port = secrets.choice(_QUIET_PORTS)
        claim = _claimed(host, port)
        if claim is not None:
            _keep(claim)
            return port
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _claimed(host: str, port: int) -> int | None:
    """The descriptor of a socket that is bound there and does not listen: servers, which say SO_REUSEADDR, come in
    beside it, and connections are refused. None where somebody listens, or has claimed the port before."""
    claim = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        claim.bind((host, port))  # without SO_REUSEADDR, so that another's claim is in the way
    except OSError:
        claim.close()
        return None
    claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return claim.detach()


def _keep(claim: int) -> None:
    """Until this process ends, or so many others were claimed that its server has long come."""
    _claims.append(claim)
    if len(_claims) > _MOST_CLAIMS:
        os.close(_claims.popleft())


def hold(host: str, port: int) -> socket.socket:
    """Listens there for somebody who will come later; who closes it lets go of the port. Raises OSError where it is
    taken."""
    held = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((host, port))
        held.listen(1)  # bound alone it would not keep out who also says SO_REUSEADDR
    except OSError:
        held.close()
        raise
    return held


def holder(port: int) -> str:
    """`"mosquitto (pid 812)"`, or "another program" where the system does not tell."""
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for folder in Path("/proc").glob("[0-9]*") if wanted else ():
        if not wanted.isdisjoint(_open_files(folder)):
            return f"{_name(folder)} (pid {folder.name})"
    return "another program"


def _open_files(process: Path) -> Iterator[str]:
    # A process of another user is closed to us, and files and processes come and go while we look.
    with contextlib.suppress(OSError):
        for link in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                yield str(link.readlink())


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return "a program"


def _listening_inodes(port: int) -> set[str]:
    found: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue  # not Linux
        for line in lines:
            columns = line.split()
            if columns[3] == _LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                found.add(columns[9])
    return found
