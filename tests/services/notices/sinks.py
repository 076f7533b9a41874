"""What stands at the other end: a real HTTP server and a real SMTP server, both on loopback."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from gateway.ports import free_port


def eventually(what: Callable[[], bool], *, within: float = 60) -> None:
    """Poll until it holds."""
    deadline = time.monotonic() + within
    while not what():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.01)


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float


@dataclass
class HttpSink:
    """Answers as told: a status per path, or one status after the other; `hold` keeps answers back until it is set."""

    statuses: dict[str, list[int]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    received: list[Received] = field(default_factory=list)
    holds: dict[str, threading.Event] = field(default_factory=dict)

    def __enter__(self) -> HttpSink:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                said = json.loads(body) if body.startswith(b"{") else {"raw": body.decode(errors="replace")}
                sink.received.append(Received(self.path, dict(self.headers), said, time.monotonic()))
                if self.path in sink.holds:
                    sink.holds[self.path].wait(120)
                waiting = sink.statuses.get(self.path, [200])
                try:
                    self.send_response(waiting.pop(0) if len(waiting) > 1 else waiting[0])
                    for name, value in sink.headers.items():
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(sink.body)))
                    self.end_headers()
                    self.wfile.write(sink.body)
                except OSError:
                    return  # the client did not wait for the answer

            def log_message(self, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for hold in self.holds.values():
            hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return self._server.server_port

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def keys(self, path: str = "/hook") -> list[str]:
        return [one.headers["Idempotency-Key"] for one in self.received if one.path == path]


@dataclass
class SmtpSink:
    """Takes mail, and refuses recipients at `no.example` for good and at `busy.example` for now."""

    mails: list[tuple[Envelope, EmailMessage]] = field(default_factory=list)

    def __enter__(self) -> SmtpSink:
        self._port = free_port()  # aiosmtpd cannot say which one it got for 0
        self._controller = Controller(self, hostname="127.0.0.1", port=self._port, ready_timeout=60)
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self._port}"

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, to: str, options: list[str]) -> str:
        if to.endswith("@no.example"):
            return "550 no such mailbox"
        if to.endswith("@busy.example"):
            return "450 try later"
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        parsed = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        self.mails.append((envelope, parsed))
        return "250 taken"
