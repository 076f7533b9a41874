"""Where InfluxDB 2 differs from InfluxDB 1, which the other tests have for real: its answers are those of 2.9.1."""

from __future__ import annotations

from datetime import datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec

from gateway.telemetry.refused import listing
from tests.gateway.telemetry.influx_kit import reading, writer
from tests.gateway.telemetry.test_influxql import answering
from tests.gateway.telemetry.test_lines import AT

DAY = 86_400_000
Series = dict[str, object]


def told(*series: Series) -> tuple[int, bytes]:
    return 200, msgspec.json.encode({"results": [{"statement_id": 0, "series": series}]})


class Buckets:
    """One point of one device, in the hourly bucket alone: what was measured has been forgotten meanwhile."""

    def __init__(self) -> None:
        self.hourly: dict[str, float] = {"pump:1": 3.5}
        self.deleted: list[tuple[str, dict[str, str]]] = []

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        asked = urlsplit(request.path)
        bucket = parse_qs(asked.query).get("bucket", [""])[0]
        if asked.path == "/api/v2/write":
            assert bucket == "telemetry/1h"
            self.hourly["pump-1"] = float(body.partition(b"flow=")[2].split()[0])
            return 204, b""
        if asked.path == "/api/v2/delete":
            self.deleted.append((bucket, msgspec.json.decode(body)))
            del self.hourly["pump:1"]
            return 204, b""
        if asked.path == "/query":
            return told(*self.said(parse_qs(body.decode())["q"][0]))
        return 204, b""

    def said(self, statement: str) -> list[Series]:
        """It says what is in the bucket of one level, the default one where none is named."""
        device = statement.partition('"device" = \'')[2].partition("'")[0]
        if statement.startswith("SHOW RETENTION POLICIES"):
            rows = [[level, "0s", "168h0m0s", 1, level == "autogen"] for level in ("1h", "5m", "autogen")]
            return [{"columns": ["name", "duration", "shardGroupDuration", "replicaN", "default"], "values": rows}]
        there = device in self.hourly
        if statement.startswith("SHOW MEASUREMENTS"):
            there = there and statement.startswith('SHOW MEASUREMENTS ON "telemetry".* WHERE')
            columns = ["name", "database", "retention policy"]
            found: list[object] = ["water_pump", "telemetry", "1h"]
            return [{"name": "measurements", "columns": columns, "values": [found]}] if there else []
        if not there or '"telemetry"."1h"."water_pump"' not in statement:
            return []
        if statement.startswith("SELECT COUNT(*)"):
            return [{"name": "water_pump", "columns": ["time", "count_flow"], "values": [[0, 1]]}]
        found = [AT, device, self.hourly[device]]
        return [{"name": "water_pump", "columns": ["time", "device", "flow"], "values": [found]}]


def test_history_that_only_summed_up_levels_still_have_is_renamed_as_well(tmp_path: Path) -> None:
    buckets = Buckets()
    with answering(buckets.answer) as url, writer(url, tmp_path, token="t", org="courtyard") as store:
        for _ in range(2):  # the second time nothing is left
            store.rename("pump:1", "pump-1")
    assert buckets.hourly == {"pump-1": 3.5}
    ((bucket, asked),) = buckets.deleted
    assert bucket == "telemetry/1h"
    assert asked["predicate"] == '_measurement="water_pump" AND device="pump:1"'


def test_what_is_deleted_ends_with_the_last_reading_that_was_moved(tmp_path: Path) -> None:
    """Its `stop` counts as inside: a reading one millisecond later has come since, and is not moved yet."""
    buckets = Buckets()
    with answering(buckets.answer) as url, writer(url, tmp_path, token="t", org="courtyard") as store:
        store.rename("pump:1", "pump-1")
    ((_, asked),) = buckets.deleted
    start, stop = (datetime.fromisoformat(asked[which]).timestamp() * 1000 for which in ("start", "stop"))
    assert start == 0
    assert AT <= stop < AT + 1


def test_what_is_older_than_a_bucket_keeps_is_set_aside_in_one_more_request(tmp_path: Path) -> None:
    bodies: list[list[bytes]] = []

    def answer(request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        bodies.append(body.splitlines())
        old = [line for line in bodies[-1] if int(line.split()[-1]) < AT]
        if not old:
            return 204, b""
        point = "point water_pump,device=pump-1 at 2026-01-01T00:00:00Z dropped because it violates a Retention Policy"
        reason = f"dropped {len(old)} points outside retention policy of duration 720h0m0s - oldest {point}"
        words = f"failure writing points to database: partial write: {reason} dropped={len(old)}"
        return 422, msgspec.json.encode({"code": "unprocessable entity", "message": words})

    with answering(answer) as url, writer(url, tmp_path, token="t", org="courtyard") as store:
        store.write([reading(n - (40 * DAY if n % 2 else 0)) for n in range(1000)])
        assert store.refused == 500
    assert [len(body) for body in bodies if body[0].startswith(b"water_pump")] == [1000, 500]
    assert listing(tmp_path / "refused.db")[0].reason == "older than what the database keeps"
