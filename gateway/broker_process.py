"""What runs inside the embedded broker's process. Imported by nothing else: it brings all of amqtt."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from enum import Enum
from typing import Any

from amqtt.broker import Broker

from gateway.broker import READY

_SHUTDOWN_SECONDS = 1.0


class Ending(Enum):
    """What ends the broker."""

    SIGNAL = "signal"
    STDIN = "stdin"
    """The parent's end of stdin closes: it stopped us, or it died, however suddenly. Ctrl-C reaches the whole
    foreground group, and then the parent decides the order in which things stop."""


def config(host: str, port: int) -> dict[str, Any]:
    """No $SYS topics, no topic checks, no packet logs: what is not needed costs time on every message."""
    return {
        "listeners": {"default": {"type": "tcp", "bind": f"{host}:{port}", "max_connections": 0}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }


def serve(host: str, port: int, ending: Ending) -> None:
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="embedded broker: %(message)s")
    # A client that hangs up while connecting is an everyday thing; amqtt calls it an error.
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    asyncio.run(_serve(host, port, ending))
    # Whatever amqtt has left running must not hold up the stop.
    os._exit(0)


async def _serve(host: str, port: int, ending: Ending) -> None:
    over = asyncio.Event()
    _listen_for(ending, over)
    broker = Broker(config(host, port))
    try:
        await broker.start()
    except Exception as refused:  # amqtt wraps and re-raises anything; the reason goes to the parent in one line
        print(f"{refused}", flush=True)  # noqa: T201
        os._exit(1)
    print(f"{READY} {host}:{port}", flush=True)  # noqa: T201
    await over.wait()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(broker.shutdown(), _SHUTDOWN_SECONDS)


def _listen_for(ending: Ending, over: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    if ending is Ending.SIGNAL:
        loop.add_signal_handler(signal.SIGINT, over.set)
        return
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    threading.Thread(target=_tell_when_stdin_closes, args=(loop, over), daemon=True).start()


def _tell_when_stdin_closes(loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
    while os.read(sys.stdin.fileno(), 64):
        pass
    loop.call_soon_threadsafe(over.set)
