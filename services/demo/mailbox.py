"""Where the demo's notices arrive: a small HTTP server that writes them down and bothers nobody.

`courtyard up --demo` starts it on loopback; the compose file's profile `demo` as a process of its own:

    python -m services.demo.mailbox --listen 127.0.0.1:8025 --file notices.jsonl
"""

from __future__ import annotations

import argparse
import json
import signal
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

    def start(self, stack: ExitStack, *, host: str = "127.0.0.1", port: int = 0) -> str:
        server: Any = ThreadingHTTPServer((host, port), _Handler)
        server.daemon_threads = True
        server.mailbox = self
        threading.Thread(target=server.serve_forever, name="demo-mailbox", daemon=True).start()
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        return f"http://127.0.0.1:{server.server_address[1]}/notices"


def main() -> None:
    """Until SIGTERM or ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m services.demo.mailbox", description="Keeps the demo's notices")
    parser.add_argument("--listen", required=True, metavar="HOST:PORT")
    parser.add_argument("--file", required=True, type=Path, metavar="FILE")
    arguments = parser.parse_args()
    host, _, port = arguments.listen.rpartition(":")
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with ExitStack() as stack:
        Mailbox(arguments.file).start(stack, host=host, port=int(port))
        stopping.wait()


if __name__ == "__main__":
    main()
