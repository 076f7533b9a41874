"""Where the demo's notices arrive: a small HTTP server on loopback that writes them down and bothers nobody."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ENVIRONMENT = "COURTYARD_DEMO_MAILBOX"
"""The demo's recipients name their address by this variable."""
_LARGEST = 1024 * 1024


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 < length <= _LARGEST:
            self._answer(413)
            return
        try:
            notice = json.loads(self.rfile.read(length))
        except ValueError:
            self._answer(400)
            return
        server: Any = self.server
        server.mailbox.keep(notice)
        self._answer(204)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *_: object) -> None:
        """Quiet: the notices page says what was delivered."""


class Mailbox:
    """Notices as JSON lines in a file. `start` returns the address to send them to."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()

    def keep(self, notice: object) -> None:
        with self._lock, self.file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(notice, ensure_ascii=False) + "\n")

    def start(self, stack: ExitStack) -> str:
        server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        server.daemon_threads = True
        server.mailbox = self
        threading.Thread(target=server.serve_forever, name="demo-mailbox", daemon=True).start()
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        return f"http://127.0.0.1:{server.server_address[1]}/notices"
