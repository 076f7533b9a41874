"""Lets InfluxDB 1.6 take what is written for InfluxDB 2: a small proxy on loopback in front of it.

Debian ships InfluxDB 1.6.7, which lacks one route that 1.8 and 2 have: `POST /api/v2/write`. Here it becomes `/write`
(bucket `telemetry/1h` is database `telemetry`, retention policy `1h`), `/health` is answered from `/ping`, a token
`USER:PASSWORD` becomes basic authentication, and everything else goes through unchanged.

    python -m services.stack.shim 127.0.0.1:8087 http://127.0.0.1:8086
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, quote, urlencode, urlsplit

WRITE = "/api/v2/write"
_PRECISIONS = {"": "n", "ns": "n", "us": "u", "ms": "ms", "s": "s"}
_TIMEOUT_SECONDS = 300.0
_PIECE = 64 * 1024
_LARGEST_BODY = 64 * 1024**2
_OF_ONE_CONNECTION = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "host", "expect"})


def write_path(query: str) -> str:
    """`org=…&bucket=telemetry/1h&precision=ms` as the path that InfluxDB 1 takes. Raises ValueError."""
    asked = {name: values[-1] for name, values in parse_qs(query).items()}
    database, _, policy = asked.get("bucket", "").partition("/")
    if not database:
        raise ValueError("bucket is missing; expected bucket=DATABASE or bucket=DATABASE/POLICY")
    precision = asked.get("precision", "")
    if precision not in _PRECISIONS:
        raise ValueError(f"precision {precision!r} is unknown; expected ns, us, ms or s")
    names = {"db": database} | ({"rp": policy} if policy else {}) | {"precision": _PRECISIONS[precision]}
    return f"/write?{urlencode(names, quote_via=quote)}"


def basic(authorization: str) -> str:
    """`Token USER:PASSWORD` as basic authentication; anything else as it is."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "token" or ":" not in token:
        return authorization
    return f"Basic {base64.b64encode(token.encode('latin-1')).decode()}"


class Shim:
    """`with Shim("127.0.0.1:8087", "http://127.0.0.1:8086") as shim: shim.url`; port 0 takes a free one."""

    def __init__(self, listen: str, influx_url: str) -> None:
        host, _, port = listen.rpartition(":")
        self._server = _Server((host, int(port)), _Handler, bind_and_activate=False)
        self._server.upstream = urlsplit(influx_url).netloc
        self._thread = Thread(target=self._server.serve_forever, args=(0.1,), name="influxdb-shim", daemon=True)

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host if isinstance(host, str) else host.decode()}:{port}"

    def start(self) -> None:
        """Raises OSError where the address is taken."""
        self._server.server_bind()
        self._server.server_activate()
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(5)
        self._server.server_close()

    def __enter__(self) -> Shim:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client may keep its connection open for ever
    request_queue_size = 64
    upstream = ""

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up in the middle is no news."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    """One thread per connection of a client, with one connection to the database behind it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = _PIECE
    server: _Server
    _sent: bytes | None = None  # the body of the question at hand

    def setup(self) -> None:
        super().setup()
        self._database = http.client.HTTPConnection(self.server.upstream, timeout=_TIMEOUT_SECONDS)

    def finish(self) -> None:
        self._database.close()
        with contextlib.suppress(ConnectionError):
            super().finish()

    def do_GET(self) -> None:
        if urlsplit(self.path).path == "/health":
            self._health()
        else:
            self._pass_on(self.path)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        asked = urlsplit(self.path)
        if asked.path != WRITE:
            self._pass_on(self.path)
            return
        try:
            path = write_path(asked.query)
        except ValueError as error:
            if self._read_body():
                self._say(400, {"code": "invalid", "message": str(error)})
            return
        self._pass_on(path)

    def _read_body(self) -> bool:
        """False where it was refused. The client is told that the connection ends: what it still says is the body."""
        try:
            self._sent = self._body()
        except ValueError as error:
            self._say(413, {"code": "invalid", "message": str(error)}, last=True)
            return False
        return True

    def _pass_on(self, path: str) -> None:
        if not self._read_body():
            return
        try:
            answer = self._ask(path, self._sent)
        except (OSError, http.client.HTTPException) as error:
            self._database.close()
            self._say(503, {"code": "unavailable", "message": f"InfluxDB cannot be reached: {error!r}"})
            return
        self._answer(answer)

    def _ask(self, path: str, body: bytes | None) -> http.client.HTTPResponse:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_ONE_CONNECTION}
        if "Authorization" in headers:
            headers["Authorization"] = basic(headers["Authorization"])
        fresh = self._database.sock is None
        try:
            self._database.request(self.command, path, body, headers)
            return self._database.getresponse()
        except (ConnectionError, http.client.BadStatusLine):
            self._database.close()
            if fresh:
                raise
        # The database has ended a connection that was idle; the same point written twice is one point.
        self._database.request(self.command, path, body, headers)
        return self._database.getresponse()

    def _answer(self, answer: http.client.HTTPResponse) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _OF_ONE_CONNECTION:
                self.send_header(name, value)
        sized = answer.getheader("Content-Length") is not None or answer.status in (204, 304)
        if not sized:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in _pieces(answer):
            self.wfile.write(piece if sized else b"%x\r\n%s\r\n" % (len(piece), piece))
        answer.close()  # an empty answer does not notice by itself that it has been read
        if not sized:
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _body(self) -> bytes | None:
        """Raises ValueError for what this little proxy does not read."""
        length = self.headers.get("Content-Length")
        if "Transfer-Encoding" in self.headers or not (length or "0").isdecimal() or int(length or 0) > _LARGEST_BODY:
            raise ValueError(f"expected a body of a told length of at most {_LARGEST_BODY} bytes")
        return None if length is None else self.rfile.read(int(length))

    def _health(self) -> None:
        try:
            self._database.request("GET", "/ping")
            answer = self._database.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._database.close()
            self._say(503, {"name": "influxdb", "status": "fail", "message": repr(error)})
            return
        version = answer.getheader("X-Influxdb-Version") or ""
        self._say(200, {"name": "influxdb", "status": "pass", "message": "ready", "version": version})

    def _say(self, status: int, body: dict[str, str], *, last: bool = False) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        if last:
            self.send_header("Connection", "close")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Nothing: it would say every write."""


def _pieces(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while piece := answer.read1(_PIECE):
        yield piece


def main() -> None:
    listen, influx_url = sys.argv[1:]
    with Shim(listen, influx_url) as shim:
        print(f"{shim.url} in front of {influx_url}", file=sys.stderr, flush=True)  # noqa: T201
        with contextlib.suppress(KeyboardInterrupt):
            shim._thread.join()


if __name__ == "__main__":
    main()
