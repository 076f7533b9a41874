"""InfluxQL: names are quoted, and an answer that is not whole is no answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from device_profiles.telemetry import FIVE_MINUTES, HOURLY, RAW
from gateway.telemetry import TelemetryUnavailable, retention
from gateway.telemetry.influx_range import level_for
from gateway.telemetry.influxql import InfluxQl, NotSetUp, name, source, word

Answer = Callable[[BaseHTTPRequestHandler, bytes], tuple[int, bytes]]


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def _say(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, said = answer(self, body)
            self.send_response(status)
            self.send_header("X-Influxdb-Version", "v2.9.1")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_PATCH = _say

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()


def test_names_and_words_are_quoted() -> None:
    assert name('a"b\\c\nd') == '"a\\"b\\\\c\\nd"'
    assert word('it\'s "x"\\') == "'it\\'s \"x\"\\\\'"
    assert source("m", HOURLY) == '"telemetry"."1h"."m"'
    with pytest.raises(ValueError, match="NUL"):
        word("a\0b")


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, b'{"code":"unauthorized","message":"unauthorized access"}', "COURTYARD_INFLUX_TOKEN"),
        (400, b'{"error":"error parsing query: found X"}', "error parsing query: found X"),
        (502, b"<html>Bad gateway</html>", "HTTP 502: <html>Bad gateway</html>"),
        (200, b'{"results":[{"statement_id":0,"error":"max-select-point limit exceeed: (5/3)"}]}', "max-select-point"),
        (200, b'{"results":[{"series":[{"columns":["time"]}],"partial":true}]}\n', "a part of the answer"),
        (200, b"", "a part of the answer"),
        (200, b"<html>Welcome to the portal</html>", "expected an answer in JSON"),
    ],
)  # fmt: skip
def test_an_answer_that_is_not_whole_is_said(status: int, body: bytes, said: str) -> None:
    with answering(lambda *_: (status, body)) as url, InfluxQl(url, "") as ql:
        with pytest.raises(TelemetryUnavailable) as caught:
            ql.ask("SELECT 1")
        assert said in str(caught.value)


@pytest.mark.parametrize("words", ["retention policy not found: 5m", "default retention policy not set for: telemetry"])
def test_what_is_not_set_up_names_the_command(words: str) -> None:
    body = msgspec.json.encode({"results": [{"error": words}]})
    with (
        answering(lambda *_: (200, body)) as url,
        InfluxQl(url, "") as ql,
        pytest.raises(NotSetUp, match="courtyard telemetry setup"),
    ):
        ql.ask("SELECT 1")


@pytest.mark.parametrize(("token", "shown"), [("abc=", "Token abc="), ("me:secret", "Basic bWU6c2VjcmV0"), ("", None)])
def test_tokens_of_both_kinds(token: str, shown: str | None) -> None:
    seen: list[str | None] = []

    def answer(request: BaseHTTPRequestHandler, _: bytes) -> tuple[int, bytes]:
        seen.append(request.headers.get("Authorization"))
        return 200, b'{"results":[{"statement_id":0}]}'

    with answering(answer) as url, InfluxQl(url, token) as ql:
        assert ql.ask("SELECT 1") == []
        assert ql.version() == "2.9.1"
    assert seen == [shown, shown]


def test_a_chart_takes_the_coarsest_level_that_hides_nothing() -> None:
    day = 86_400_000
    assert level_for(day, 3_600_000) is RAW
    assert level_for(7 * day, 299_999) is RAW
    assert level_for(7 * day, 604_800) is FIVE_MINUTES
    assert level_for(400 * day, 3_600_000) is HOURLY


def _missing(what: str) -> tuple[int, bytes]:
    return 404, msgspec.json.encode({"code": "not found", "message": f"{what} not found"})


def test_buckets_of_influxdb_2_are_made_and_changed() -> None:
    """Its API, played: a server that keeps buckets as InfluxDB 2 does."""
    buckets: dict[str, dict[str, object]] = {}

    def answer(request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        path = request.path.partition("?")[0]
        if path.startswith("/api/v2/orgs"):
            return 200, b'{"orgs":[{"id":"0123456789abcdef","name":"courtyard"}]}'
        if path == "/api/v2/buckets" and request.command == "POST":
            made = {**msgspec.json.decode(body), "id": f"{len(buckets):016x}"}
            buckets[str(made["name"])] = made
            return 201, msgspec.json.encode(made)
        if request.command == "PATCH":
            changed = msgspec.json.decode(body)
            buckets[changed["name"]].update(changed)
            return 200, msgspec.json.encode(buckets[changed["name"]])
        if path == "/api/v2/buckets":
            asked = parse_qs(urlsplit(request.path).query)
            if asked["org"] != ["courtyard"]:  # without it, buckets of all organisations
                return _missing(f'organization name "{asked["org"][0]}"')
            wanted = [made for name, made in buckets.items() if name in asked["name"]]
            return (200, msgspec.json.encode({"buckets": wanted})) if wanted else _missing(f"bucket {asked['name']}")
        return 204, b""

    def look(url: str, ql: InfluxQl, raw_days: int) -> retention.Found:
        levels = retention.wanted(raw_days=raw_days, five_minutes_days=400, hourly_days=1830)
        return retention.look(ql, url=url, token="t", org="courtyard", levels=levels)

    with answering(answer) as url, InfluxQl(url, "t") as ql:
        found = look(url, ql, 30)
        assert [change.said for change in found.changes] == [
            "make the bucket telemetry, which keeps 30 d",
            "make the bucket telemetry/5m, which keeps 400 d",
            "make the bucket telemetry/1h, which keeps 1830 d",
        ]
        for change in found.changes:
            change.carry_out()
        assert look(url, ql, 30).changes == []
        (shorter,) = look(url, ql, 7).changes
        assert shorter.said == "let the bucket telemetry keep 7 d, and forget what is older"
        shorter.carry_out()
        with pytest.raises(TelemetryUnavailable, match='name "elsewhere" not found; see COURTYARD_INFLUX_ORG'):
            retention.look(ql, url=url, token="t", org="elsewhere", levels={})
        assert look(url, ql, 7).levels[RAW] == retention.Kept(timedelta(days=7), timedelta(days=1))
