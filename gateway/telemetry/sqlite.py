"""The embedded time series: one row per reading in one SQLite file."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from threading import Lock
from urllib.parse import quote

import msgspec

from gateway.reading import Millis, Reading, Value
from gateway.telemetry import Looked, Only, Point, TelemetryUnavailable
from gateway.telemetry.sqlite_scan import scan
from gateway.telemetry.thinning import Thinner

_SCHEMA = """
CREATE TABLE IF NOT EXISTS series (
  id INTEGER PRIMARY KEY,
  device TEXT NOT NULL,
  child TEXT NOT NULL,
  binding TEXT NOT NULL,
  UNIQUE (device, child, binding)
);
CREATE TABLE IF NOT EXISTS readings (
  series INTEGER NOT NULL,
  at INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  quality TEXT NOT NULL,
  body BLOB NOT NULL,             -- msgpack {metric: value}
  PRIMARY KEY (series, at)
) WITHOUT ROWID;
"""
MOST_SERIES_PER_DEVICE = 4096
"""Children are named by messages: one device that makes up a new name each time must not fill the disk."""
_SPARE_SHARE = 0.05
"""Of a cap on its bytes: how much room a cut leaves below it."""
_MOST_CUTS = 40
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Value]).decode


class SqliteTelemetry:
    """See gateway.telemetry.TelemetryStore. One writer, any number of reading threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._series: dict[tuple[str, str, str], int] = {}
        self._per_device: Counter[str] = Counter()
        self.refused = 0
        """Readings of children beyond the number that is kept per device."""
        self.given_up = 0
        """Readings that went before their time, for want of room; since start."""
        self._writer: sqlite3.Connection
        self._write_lock = Lock()

    def start(self) -> None:
        """Raises sqlite3.DatabaseError where the file is damaged."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=10)
        try:
            self._writer.execute("PRAGMA journal_mode=WAL")
            # NORMAL could lose the last commits with the power; the journal's cursor would then be ahead of this file.
            self._writer.execute("PRAGMA synchronous=FULL")
            self._writer.executescript(_SCHEMA)
            self._read_series()
        except sqlite3.DatabaseError:
            self._writer.close()
            raise

    def close(self) -> None:
        with self._write_lock:
            self._writer.close()

    def write(self, readings: Sequence[Reading]) -> None:
        """One transaction; readings without values (events, presence) leave no row."""
        with self._write_lock:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                self._writer.executemany(
                    "INSERT OR REPLACE INTO readings (series, at, received_at, quality, body) VALUES (?,?,?,?,?)",
                    [
                        (series, r.measured_at, r.received_at, r.quality, _encode(r.values))
                        for r in readings
                        if r.values and (series := self._series_of(r)) is not None
                    ],
                )
                self._writer.execute("COMMIT")
            except sqlite3.DatabaseError as error:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                self._read_series()
                raise TelemetryUnavailable(str(error)) from error

    def _series_of(self, reading: Reading) -> int | None:
        key = (reading.device, reading.child, reading.binding)
        found = self._series.get(key)
        if found is None:
            if self._per_device[reading.device] >= MOST_SERIES_PER_DEVICE:
                self.refused += 1
                return None
            row = self._writer.execute(
                "INSERT INTO series (device, child, binding) VALUES (?,?,?) RETURNING id", key
            ).fetchone()
            found = self._series[key] = row[0]
            self._per_device[reading.device] += 1
        return found

    def _read_series(self) -> None:
        """What is committed; after a failure some of what we remember is not."""
        rows = self._writer.execute("SELECT id, device, child, binding FROM series")
        self._series = {(device, child, binding): row_id for row_id, device, child, binding in rows}
        self._per_device = Counter(device for device, _, _ in self._series)

    def rename(self, old: str, new: str) -> None:
        """Readings hang on series, so this moves names and, where both have the same series, its readings."""
        if not self._per_device.get(old):
            return  # nearly always: renamings are carried out again and again for a day
        with self._write_lock:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                self._move_series(old, new)
                self._writer.execute("COMMIT")
            except sqlite3.DatabaseError as error:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise TelemetryUnavailable(str(error)) from error
            finally:
                self._read_series()

    def _move_series(self, old: str, new: str) -> None:
        for series, child, binding in self._writer.execute(
            "SELECT id, child, binding FROM series WHERE device = ?", (old,)
        ).fetchall():
            twin = self._writer.execute(
                "SELECT id FROM series WHERE device = ? AND child = ? AND binding = ?", (new, child, binding)
            ).fetchone()
            if twin is None:
                self._writer.execute("UPDATE series SET device = ? WHERE id = ?", (new, series))
                continue
            self._writer.execute("UPDATE OR IGNORE readings SET series = ? WHERE series = ?", (twin[0], series))
            self._writer.execute("DELETE FROM readings WHERE series = ?", (series,))
            self._writer.execute("DELETE FROM series WHERE id = ?", (series,))

    def range(
        self, *, device: str, child: str, metrics: Sequence[str], start: Millis, end: Millis, limit: int = 2000
    ) -> dict[str, list[Point]]:
        try:
            with closing(self._reading_connection()) as db:
                return self._range(db, device, child, metrics, start, end, limit)
        except sqlite3.DatabaseError as error:
            raise TelemetryUnavailable(str(error)) from error

    def _range(
        self,
        db: sqlite3.Connection,
        device: str,
        child: str,
        metrics: Sequence[str],
        start: Millis,
        end: Millis,
        limit: int,
    ) -> dict[str, list[Point]]:
        which = (
            "FROM readings WHERE series IN (SELECT id FROM series WHERE device = ? AND child = ?) "
            "AND at >= ? AND at < ?"
        )
        parameters = (device, child, start, end)
        count, first, last = db.execute(f"SELECT COUNT(*), MIN(at), MAX(at) {which}", parameters).fetchone()
        rows = db.execute(f"SELECT at, body {which} ORDER BY at", parameters)
        if count <= limit:
            points: dict[str, list[Point]] = {metric: [] for metric in metrics}
            for at, body in rows:
                values = _decode(body)
                for metric in points.keys() & values.keys():
                    points[metric].append(Point(at, values[metric]))
            return points
        # Thinned while reading: months of a busy device must not come into memory at once.
        thinners = {metric: Thinner(first=first, last=last, limit=limit) for metric in metrics}
        for at, body in rows:
            values = _decode(body)
            for metric, thinner in thinners.items():
                if metric in values:
                    thinner.add(at, values[metric])
        return {metric: thinner.points() for metric, thinner in thinners.items()}

    def scan(
        self,
        *,
        devices: Collection[str],
        start: Millis,
        end: Millis,
        only: Only | None = None,
        looked: Looked | None = None,
    ) -> Iterator[Reading]:
        """See TelemetryStore.scan."""
        try:
            with closing(self._reading_connection()) as db:
                yield from scan(db, devices, start, end, only, looked)
        except sqlite3.DatabaseError as error:
            raise TelemetryUnavailable(str(error)) from error

    def _reading_connection(self) -> sqlite3.Connection:
        """One per call, so that a long chart holds up nobody."""
        return sqlite3.connect(f"file:{quote(str(self._path))}?mode=ro", uri=True, timeout=10)

    def count(self) -> int:
        """Readings stored."""
        with closing(self._reading_connection()) as db:
            (count,) = db.execute("SELECT COUNT(*) FROM readings").fetchone()
        return int(count)

    def used_bytes(self) -> int:
        """What the readings take. The file may be larger: room that was given back is used again first."""
        with self._write_lock:
            pages, free, size = (
                self._writer.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
        return int((pages - free) * size)

    def shrink(self, max_bytes: int) -> int:
        """Delete the oldest readings until the rest takes no more than `max_bytes`, and a little less, so that this is
        not done at every look. Returns how many went; they are counted in `given_up`."""
        gone = 0
        for _ in range(_MOST_CUTS):
            used, ends = self.used_bytes(), self._ends()
            if used <= max_bytes or ends is None:
                break
            first, last = ends
            # As if readings came evenly. Where they did not, the next cut takes what is still too much.
            share = max(0.01, 1 - (1 - _SPARE_SHARE) * max_bytes / used)
            gone += self.expire(first + max(1, int((last - first) * share)))
        self.given_up += gone
        return gone

    def _ends(self) -> tuple[Millis, Millis] | None:
        """Times of the oldest and the newest reading. Asked series by series, as readings are in order in each."""
        with closing(self._reading_connection()) as db:
            ends = [
                db.execute("SELECT MIN(at), MAX(at) FROM readings WHERE series = ?", (series,)).fetchone()
                for series in list(self._series.values())
            ]
        filled = [(first, last) for first, last in ends if first is not None]
        return (min(first for first, _ in filled), max(last for _, last in filled)) if filled else None

    def expire(self, before: Millis) -> int:
        """Delete readings measured before; one short transaction per series. Returns how many went."""
        gone = 0
        for series in list(self._series.values()):
            with self._write_lock:
                gone += self._writer.execute(
                    "DELETE FROM readings WHERE series = ? AND at < ?", (series, before)
                ).rowcount
        with self._write_lock:
            empty = "NOT EXISTS (SELECT 1 FROM readings WHERE series = series.id)"
            if self._writer.execute(f"DELETE FROM series WHERE {empty}").rowcount:  # noqa: S608 - our own text
                self._read_series()
        return gone
