"""InfluxDB is not what it should be: something else answers, it hangs, it drips, it never ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Barrier, Event, Thread

import pytest

from dashboards.influxql import gauge
from dashboards.macros import Chosen, influxql
from gateway.reading import DeviceEntry, Registry
from gateway.telemetry import TelemetryUnavailable
from gateway.telemetry import influxql as asking
from gateway.telemetry.influx import InfluxTelemetry
from gateway.telemetry.influxql import InfluxQl
from tests.fixtures_influxdb import Influx
from tests.gateway.kit import until
from tests.gateway.telemetry.influx_kit import count, database, reading, shared, writer
from tests.gateway.telemetry.test_lines import AT

__all__ = ["database", "shared"]

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    server: Hostile

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.heard.append((self.path.partition("?")[0], self.headers.get("Authorization", "")))
        with suppress(ConnectionError):
            self.server.answer(self)

    do_GET = do_POST

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Hostile(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.heard: list[tuple[str, str]] = []
        self.over = Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def hostile(answer: Answer) -> Iterator[Hostile]:
    with Hostile(answer) as server:
        serving = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        serving.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            serving.join()


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206])
def test_a_page_that_says_yes_to_everything_is_no_database(tmp_path: Path, status: int) -> None:
    """The page of a proxy's sign-in comes with 200: nothing of what was sent to it is stored."""
    page = b"<html>Please sign in</html>"
    with hostile(lambda at: at.say(status, page)) as server, writer(server.url, tmp_path) as store:
        with pytest.raises(TelemetryUnavailable, match=f"expected HTTP 204 to what is written, found {status}"):
            store.write([reading(1)])
        assert (store.points_written, store.refused) == (0, 0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_token_goes_to_nobody_else(tmp_path: Path, status: int) -> None:
    with hostile(lambda at: at.say(204)) as thief:
        away = f"{thief.url}/api/v2/write"
        with (
            hostile(lambda at: at.say(status, Location=away)) as server,
            writer(server.url, tmp_path, token="secret-token") as store,
        ):
            with pytest.raises(TelemetryUnavailable, match=str(status)) as refused:
                store.write([reading(1)])
            with pytest.raises(TelemetryUnavailable):
                store.range(device="d", child="", metrics=["flow"], start=AT, end=AT + 1)
            assert "secret-token" not in str(refused.value)
        assert thief.heard == []


def ask(url: str) -> list[object]:
    with InfluxQl(url, "", timeout_seconds=60) as ql:
        return list(ql.ask("SHOW MEASUREMENTS"))


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Please sign in</html>",
        b"",
        b"null",
        b"[]",
        b'{"results": 5}',
        b"\xff\xfe",
        b'{"results": [{"series": [{"columns": ["\xff"]}]}]}',
        b'{"x": ' + b"[" * 100_000,
        b'{"results": [{"error": "timeout"}]}',
    ],
)
def test_an_answer_that_is_none_is_said(body: bytes) -> None:
    with hostile(lambda at: at.say(200, body)) as server, pytest.raises(TelemetryUnavailable, match="InfluxDB"):
        ask(server.url)


def test_an_answer_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_LARGEST_CHUNK", 1_000_000)

    def endless(at: Handler) -> None:
        at.send_response(200)
        at.end_headers()
        while not at.server.over.is_set():
            at.wfile.write(b" " * 100_000)

    with hostile(endless) as server, pytest.raises(TelemetryUnavailable, match="a part of its answer has more than"):
        ask(server.url)


def test_a_refusal_that_never_ends_is_read_no_further() -> None:
    def endless(at: Handler) -> None:
        at.send_response(500)
        at.end_headers()
        while not at.server.over.is_set():
            at.wfile.write(b"no " * 30_000)

    with hostile(endless) as server, pytest.raises(TelemetryUnavailable, match="HTTP 500: no no no"):
        ask(server.url)


def test_an_answer_that_drips_is_given_up() -> None:
    def dripping(at: Handler) -> None:
        at.send_response(200)
        at.end_headers()
        while not at.server.over.wait(0.05):
            at.wfile.write(b" ")
            at.wfile.flush()

    with hostile(dripping) as server, InfluxQl(server.url, "", timeout_seconds=60) as ql:
        ql._timeout_seconds = 0.3  # for the whole of it; between two drops a slow machine has its minute
        with pytest.raises(TelemetryUnavailable, match="drips in"):
            ql.ask("SHOW MEASUREMENTS")  # for ever, if it waited for the end


def test_forty_pages_at_once_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """Each would ask which fields there are, one after the other, and each wait its own second."""

    def hang(at: Handler) -> None:
        at.server.over.wait(20)

    with hostile(hang) as server:
        with writer(server.url, tmp_path, timeout_seconds=1.0) as store:

            def page(together: Barrier) -> float:
                together.wait(60)
                began = time.monotonic()
                with pytest.raises(TelemetryUnavailable):
                    store.range(device="d", child="", metrics=["flow"], start=AT, end=AT + 1)
                return time.monotonic() - began

            with ThreadPoolExecutor(40) as threads:
                waited = list(threads.map(page, [Barrier(40)] * 40))
            assert max(waited) < 20.0, "one after the other they would have waited forty"
            time.sleep(max(0.0, store._ask_again_at - time.monotonic()))
            asked = len(server.heard)
            with ThreadPoolExecutor(20) as threads:
                again = list(threads.map(page, [Barrier(20)] * 20))
            until(lambda: len(server.heard) > asked)
            assert len(server.heard) == asked + 1, "one tries, nineteen are told"
            assert max(again) >= 1.0
        server.over.set()


HOSTILE = [
    "a\\,b", "a\\ b", "a\\=b", "a\\\\,b", "a,b", "a b", "a=b", 'a"b', "a'b", "\\a", "\\,x", 'a\\"b', "a\\nb",
    "$site", "${site}", "$timeFilter", "{{x}}", "%s", ".*", "a.*", "(a", "[a", "a]b", "a|b", "a/b", "a^$", "# x",
    "-- x", "/* x */", "'; DROP DATABASE telemetry --", "time", "__name__", "泵", "🤖",
]  # fmt: skip


def test_names_are_what_they_are_in_lines_queries_and_panels(database: Influx, tmp_path: Path) -> None:
    """The site, the building, the device, its child and its state all bear them; nobody sees another's readings."""
    registry = Registry("1", [DeviceEntry(id=n, profile="pump", address=n, site=n, building=n) for n in HOSTILE])

    def values(store: InfluxTelemetry, device: str, child: str) -> list[object]:
        found = store.range(device=device, child=f"port:{child}", metrics=["flow", "running"], start=AT, end=AT + 100)
        return [point.value for name in ("flow", "running") for point in found[name]]

    with writer(database.url, tmp_path, registry=registry) as store:
        store.write([reading(n, name, f"port:{name}", flow=float(n), running=name) for n, name in enumerate(HOSTILE)])
        assert store.refused == 0
        for number, name in enumerate(HOSTILE):
            assert values(store, name, name) == [float(number), name]
            assert [one.child for one in store.scan(devices=[name], start=AT, end=AT + 100)] == [f"port:{name}"]
            chosen = {"site": [name], "device": [name], "resolution": ["autogen"]}
            begin = datetime.fromtimestamp(AT / 1000, UTC)
            panel = influxql(gauge("water_pump", "flow", ""), Chosen(begin, begin + timedelta(minutes=1), chosen))
            (series,) = database.query(panel)
            assert series["values"][0][1] == number, panel  # type: ignore[index]
            store.rename(name, f"x{name}")
            assert values(store, f"x{name}", name) == [float(number), name]
            assert values(store, name, name) == []


def test_a_name_that_lines_cannot_hold_is_set_aside(database: Influx, tmp_path: Path) -> None:
    """A backslash at the end would swallow what follows; a line break would begin a line of its own."""
    bad = ["a\\", "a\nwater_pump,device=pump-1 flow=666 1", "a\r", "a\0", "a\u2028b", "\ud83d"]
    registry = Registry("1", [DeviceEntry(id=name, profile="pump", address="1", site="s") for name in bad])
    with writer(database.url, tmp_path, registry=registry) as store:
        store.write([*(reading(n, name) for n, name in enumerate(bad)), *(reading(9, "pump-1", name) for name in bad)])
        assert store.refused == 2 * len(bad)
    assert count(database, "flow") == 0
