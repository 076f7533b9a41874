"""InfluxDB 1.6.7 behind the shim takes what clients of InfluxDB 2 write, and everything else as it is."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from services.stack.shim import basic, write_path
from tests.fixtures_influxdb import Influx, installed
from tests.needs import missing


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    if not installed():
        missing("InfluxDB is not installed (apt-get install influxdb)")
    with Influx(tmp_path_factory.mktemp("influx")) as running:
        running.query('CREATE RETENTION POLICY "1h" ON telemetry DURATION 0s REPLICATION 1')
        yield running


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("org=o&bucket=telemetry&precision=ms", "/write?db=telemetry&precision=ms"),
        ("bucket=telemetry%2F1h&precision=us", "/write?db=telemetry&rp=1h&precision=u"),
        ("bucket=a+b", "/write?db=a%20b&precision=n"),
    ],
)
def test_a_bucket_is_a_database_and_its_policy(asked: str, path: str) -> None:
    assert write_path(asked) == path


@pytest.mark.parametrize("asked", ["org=o", "bucket=", "bucket=telemetry&precision=minutes"])
def test_what_has_no_meaning_is_refused(asked: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        write_path(asked)


def test_a_token_of_user_and_password_becomes_basic() -> None:
    assert basic("Token cy:secret:1") == "Basic Y3k6c2VjcmV0OjE="
    assert basic("Token opaque") == "Token opaque"
    assert basic("Basic abc") == "Basic abc"


def test_written_for_version_2_read_with_influxql(database: Influx) -> None:
    with httpx.Client(base_url=database.url, trust_env=False, timeout=60) as client:
        raw = {"org": "o", "bucket": "telemetry", "precision": "ms"}
        plain = client.post("/api/v2/write", params=raw, content=b"shim,device=a v=1 1780000000000")
        packed = client.post(
            "/api/v2/write",
            params=raw | {"bucket": "telemetry/1h"},
            content=gzip.compress(b"shim,device=a v=2 1780000000000"),
            headers={"Content-Encoding": "gzip"},
        )
        assert (plain.status_code, packed.status_code) == (204, 204)
        asked = {"db": "telemetry", "epoch": "ms", "q": 'SELECT v FROM shim; SELECT v FROM "1h".shim'}
        for answer in (client.get("/query", params=asked), client.post("/query", data=asked)):
            series = [result["series"][0]["values"] for result in answer.json()["results"]]
            assert series == [[[1780000000000, 1]], [[1780000000000, 2]]]


def test_errors_come_through_and_the_connection_goes_on(database: Influx) -> None:
    with httpx.Client(base_url=database.url, trust_env=False, timeout=60) as client:
        bad = client.post("/api/v2/write?bucket=telemetry&precision=ms", content=b"no line")
        nowhere = client.post("/api/v2/write?bucket=nowhere&precision=ms", content=b"m v=1 1")
        unsaid = client.post("/api/v2/write", content=b"m v=1 1")
        assert "Connection" not in unsaid.headers, "the next question comes on the same connection"
        assert (bad.status_code, nowhere.status_code, unsaid.status_code) == (400, 404, 400)
        assert "unable to parse" in bad.json()["error"]
        assert client.get("/ping").headers["X-Influxdb-Version"].startswith("1.")
        assert client.get("/health").json()["status"] == "pass"


def test_a_long_answer_comes_in_pieces(database: Influx) -> None:
    lines = b"\n".join(b"long,device=d%d v=1 1780000000000" % n for n in range(5000))
    with httpx.Client(base_url=database.url, trust_env=False, timeout=60) as client:
        client.post("/api/v2/write?bucket=telemetry&precision=ms", content=lines).raise_for_status()
        asked = {"db": "telemetry", "q": "SELECT * FROM long", "chunked": "true", "chunk_size": "100"}
        with client.stream("POST", "/query", data=asked) as answer:
            assert sum(1 for line in answer.iter_lines() if line) == 50


def test_a_database_that_is_away_is_said_and_found_again(tmp_path: Path, database: Influx) -> None:
    with httpx.Client(base_url=database.url, trust_env=False, timeout=60) as client:
        client.get("/ping")
        database.kill()
        assert client.get("/health").status_code == 503
        assert client.post("/api/v2/write?bucket=telemetry", content=b"m v=1 1").status_code == 503
        database.start()
        assert client.post("/api/v2/write?bucket=telemetry", content=b"m v=1 1").status_code == 204


@pytest.mark.parametrize(
    "head", ["Content-Length: 99999999999", "Content-Length: -1", "Content-Length: x", "Transfer-Encoding: chunked"]
)
def test_a_body_of_no_or_of_any_length_is_refused_and_no_next_question(database: Influx, head: str) -> None:
    host, _, port = database.url.removeprefix("http://").rpartition(":")
    inner = "GET /ping HTTP/1.1\r\nHost: c\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as one:
        one.sendall(f"POST /api/v2/write?bucket=telemetry HTTP/1.1\r\nHost: c\r\n{head}\r\n\r\n{inner}".encode())
        said = b""
        with suppress(ConnectionError):
            while piece := one.recv(4096):
                said += piece
    assert said.count(b"HTTP/1.1 ") == 1
    assert b"413" in said
    assert b"Connection: close" in said, "else a client sends its next question into a closing connection"
