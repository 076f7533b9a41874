"""The web server in a thread of its own, so that gateway, outbox and pages stop together in good order."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import uvicorn
from fastapi import FastAPI

from services.web.patience import PatientProtocol


class AddressTaken(OSError):
    """Somebody else listens there."""


_GRACE_SECONDS = 1
"""How long requests under way may finish; an open event stream would never."""


class Server:
    """`start()` returns once requests are answered, `stop()` within two seconds, open event streams or not."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        """Port 0 takes a free one; `port` tells which."""
        self.host, self.port = host, port
        self._app = app
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def start(self) -> None:
        """Raises AddressTaken."""
        # Bound here, not in the thread: a taken address is the caller's to know, and requests queue from now on.
        self._socket = _listen(self.host, self.port)
        self.port = self._socket.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            http=PatientProtocol,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            timeout_keep_alive=15,
            limit_concurrency=1000,
            h11_max_incomplete_event_size=64 * 1024,
            proxy_headers=False,  # whoever can set X-Forwarded-For could dodge the throttling of sign-ins
            ws="none",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="web", daemon=True)
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the web server did not start; the log says why")
            time.sleep(0.005)

    def stop(self) -> None:
        if self._server is None or self._thread is None or self._socket is None:
            return
        self._app.state.stopping = True  # who waits for news in a request ends by himself
        self._server.should_exit = True
        self._thread.join(_GRACE_SECONDS + 0.5)
        if self._thread.is_alive():
            self._server.force_exit = True
            self._thread.join(0.5)
        if not self._thread.is_alive():  # else the loop still looks at it, and closes it at its own end
            self._socket.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(512)
    except OSError as error:
        with contextlib.suppress(OSError):
            listener.close()
        raise AddressTaken(
            f"{host}:{port} cannot be listened on: {error.strerror}. Choose another with --http"
        ) from error
    return listener
