"""Makes the levels of the time series: a database with retention policies (InfluxDB 1), or buckets (InfluxDB 2).

Looked at first, changed afterwards: `look` says what is missing or differs, and each change knows how to carry itself
out. Doing so twice changes nothing. Nothing is ever deleted here; but a shorter retention lets the database forget.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import urllib3
from influxdb_client import (  # type: ignore[attr-defined] # the package does not say what it gives away
    Bucket,
    BucketRetentionRules,
    InfluxDBClient,
)
from influxdb_client.rest import ApiException

from device_profiles.telemetry import DATABASE, FIVE_MINUTES, HOURLY, RAW, Level
from gateway.telemetry import TelemetryUnavailable
from gateway.telemetry.influxql import InfluxQl, NotSetUp, name, refusal

_DAY = timedelta(days=1)
_SHARDS = {RAW: _DAY, FIVE_MINUTES: 7 * _DAY, HOURLY: 30 * _DAY}
"""The database forgets shard by shard, and a query opens each shard it touches: some dozens per level are right."""
_TIMEOUT_MILLIS = 30_000
_NOT_FOUND = 404
_DURATION = re.compile(r"(\d+)(h|ms|m|s|us|ns)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


class Kept(NamedTuple):
    """How long a level is kept, and how much time one shard of it holds. Zero is for ever."""

    keep: timedelta
    shard: timedelta


class Change(NamedTuple):
    """Something to do; `said` is for people."""

    said: str
    carry_out: Callable[[], None]
    """Raises TelemetryUnavailable."""


class Found(NamedTuple):
    version: str
    levels: Mapping[Level, Kept]
    """Those that are there."""
    changes: Sequence[Change]


def wanted(*, raw_days: int, five_minutes_days: int, hourly_days: int) -> dict[Level, Kept]:
    days = {RAW: raw_days, FIVE_MINUTES: five_minutes_days, HOURLY: hourly_days}
    return {level: Kept(number * _DAY, min(_SHARDS[level], number * _DAY)) for level, number in days.items()}


def look(ql: InfluxQl, *, url: str, token: str, org: str, levels: Mapping[Level, Kept]) -> Found:
    """What is there, and what there is to do. Raises TelemetryUnavailable."""
    version = ql.version()
    if version.startswith("1."):
        found = _policies(ql)
        return Found(version, found or {}, _of_policies(ql, found, levels))
    if version.startswith("3"):
        raise TelemetryUnavailable(
            f"InfluxDB {version} has no levels that can be set up from here; expected InfluxDB 1 or 2"
        )
    buckets = _Buckets(url, token, org)
    found = buckets.found()
    return Found(version or "2", found, buckets.changes(found, levels))


# --- InfluxDB 1 ----------------------------------------


def _policies(ql: InfluxQl) -> dict[Level, Kept] | None:
    """None where there is no database."""
    try:
        series = ql.ask(f"SHOW RETENTION POLICIES ON {name(DATABASE)}")
    except NotSetUp:
        return None
    rows = [dict(zip(one.columns, row, strict=True)) for one in series for row in one.values]
    named = {str(row["name"]): row for row in rows}
    return {
        level: Kept(
            duration(str(named[level.name]["duration"])), duration(str(named[level.name]["shardGroupDuration"]))
        )
        for level in _SHARDS
        if level.name in named
    }


def _of_policies(ql: InfluxQl, found: Mapping[Level, Kept] | None, levels: Mapping[Level, Kept]) -> list[Change]:
    changes = []
    if found is None:
        changes.append(_asking(ql, f"make the database {DATABASE}", f"CREATE DATABASE {name(DATABASE)}"))
        found = {RAW: Kept(timedelta(0), timedelta(0))}  # it comes with this policy, and keeps for ever
    for level, kept in levels.items():
        verb = "CREATE" if level not in found else "ALTER"
        if found.get(level) == kept:
            continue
        statement = (
            f"{verb} RETENTION POLICY {name(level.name)} ON {name(DATABASE)} DURATION {_hours(kept.keep)}"
            f" REPLICATION 1 SHARD DURATION {_hours(kept.shard)}{' DEFAULT' if level is RAW else ''}"
        )
        changes.append(_asking(ql, _said(f"retention policy {level.name}", found.get(level), kept), statement))
    return changes


def _asking(ql: InfluxQl, said: str, statement: str) -> Change:
    def carry_out() -> None:
        ql.ask(statement)

    return Change(said, carry_out)


def duration(text: str) -> timedelta:
    """InfluxDB's way to write one: `720h0m0s`."""
    return timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in _DURATION.findall(text)))


def _hours(length: timedelta) -> str:
    return f"{length // timedelta(hours=1)}h"


# --- InfluxDB 2 ----------------------------------------


class _Buckets:
    def __init__(self, url: str, token: str, org: str) -> None:
        self._address = (url, token, org)

    @contextmanager
    def _client(self) -> Iterator[InfluxDBClient]:
        url, token, org = self._address
        client = InfluxDBClient(url=url, token=token or "none", org=org, timeout=_TIMEOUT_MILLIS, retries=False)
        try:
            yield client
        except ApiException as error:
            raise TelemetryUnavailable(refusal(error.status or 0, error.body or "")) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TelemetryUnavailable(f"InfluxDB does not answer: {error}") from error
        finally:
            client.close()  # type: ignore[no-untyped-call]

    def found(self) -> dict[Level, Kept]:
        found: dict[Level, Kept] = {}
        with self._client() as client:
            for level in _SHARDS:
                bucket = self._find(client, level)
                if bucket is not None:
                    found[level] = _kept(bucket.retention_rules or [])
        return found

    def _find(self, client: InfluxDBClient, level: Level) -> Bucket | None:
        """In our organisation: others may have one of this name. Raises ApiException where there is no such one."""
        try:
            found = client.buckets_api().find_buckets(name=level.bucket, org=self._address[2])  # type: ignore[no-untyped-call]
        except ApiException as error:
            if error.status == _NOT_FOUND and "organization" not in (error.body or ""):
                return None
            raise
        return next(iter(found.buckets or []), None)

    def changes(self, found: Mapping[Level, Kept], levels: Mapping[Level, Kept]) -> list[Change]:
        return [
            Change(
                _said(f"bucket {level.bucket}", found.get(level), kept),
                self._making(level, kept) if level not in found else self._changing(level, kept),
            )
            for level, kept in levels.items()
            if found.get(level) != kept
        ]

    def _making(self, level: Level, kept: Kept) -> Callable[[], None]:
        def carry_out() -> None:
            with self._client() as client:
                client.buckets_api().create_bucket(bucket_name=level.bucket, retention_rules=_rule(kept))

        return carry_out

    def _changing(self, level: Level, kept: Kept) -> Callable[[], None]:
        def carry_out() -> None:
            with self._client() as client:
                bucket = self._find(client, level)
                if bucket is None:
                    raise TelemetryUnavailable(f"the bucket {level.bucket} has gone meanwhile; try again")
                bucket.retention_rules = [_rule(kept)]
                client.buckets_api().update_bucket(bucket)

        return carry_out


def _kept(rules: Sequence[BucketRetentionRules]) -> Kept:
    seconds = [(rule.every_seconds or 0, rule.shard_group_duration_seconds or 0) for rule in rules] or [(0, 0)]
    keep, shard = seconds[0]
    return Kept(timedelta(seconds=keep), timedelta(seconds=shard))


def _rule(kept: Kept) -> BucketRetentionRules:
    return BucketRetentionRules(  # type: ignore[no-untyped-call]
        type="expire",
        every_seconds=int(kept.keep.total_seconds()),
        shard_group_duration_seconds=int(kept.shard.total_seconds()),
    )


# --- both ----------------------------------------


def _said(what: str, found: Kept | None, kept: Kept) -> str:
    if found is None:
        return f"make the {what}, which keeps {_days(kept.keep)}"
    if found.keep == kept.keep:
        return f"let one shard of the {what} hold {_days(kept.shard)}"
    shorter = kept.keep < found.keep or not found.keep
    return f"let the {what} keep {_days(kept.keep)}{', and forget what is older' if shorter else ''}"


def _days(length: timedelta) -> str:
    if not length:
        return "for ever"
    return f"{length.days} d" if not length % _DAY else f"{length / timedelta(hours=1):g} h"
