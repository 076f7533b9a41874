"""One chart's question to InfluxDB: from which level, in which pieces, how it is put together again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple, cast

from device_profiles.telemetry import LEVELS, RAW, FieldType, Level
from gateway.reading import Millis, Value
from gateway.telemetry import Point
from gateway.telemetry.influx_fields import Fields
from gateway.telemetry.influxql import InfluxQl, between, name, source, word
from gateway.telemetry.thinning import Thinner

EXACT_SPAN: Millis = 2 * 86_400_000
"""Up to here a chart is drawn from what was measured, with the very times of its extremes."""
Points = dict[str, list[Point]]


def width(level: Level) -> Millis:
    """Of one point of the level; 1 ms as measured."""
    return 1 if level.every is None else int(level.every.total_seconds() * 1000)


def level_for(span: Millis, stretch: Millis) -> Level:
    """The coarsest level that hides nothing: none of its points is wider than the stretches that are drawn."""
    if span <= EXACT_SPAN:
        return RAW
    return max((level for level in LEVELS if width(level) <= stretch), key=width)


class Asked(NamedTuple):
    """Some metrics of one device and child in one measurement, `start` <= time < `end`."""

    client: InfluxQl
    fields: dict[Level, Fields]
    measurement: str
    device: str
    child: str
    metrics: tuple[str, ...]
    start: Millis
    end: Millis
    limit: int

    def points(self) -> Points:
        """About `limit` points per metric at most. Raises TelemetryUnavailable."""
        if self.end - self.start <= EXACT_SPAN:
            return self._stitched(RAW)
        held = self._held()
        if held is None:
            return {}
        clipped = self._replace(start=max(self.start, held[0]), end=min(self.end, held[1] + 1))
        return clipped._stitched(level_for(clipped.end - clipped.start, clipped._stretch()))

    def _stretch(self) -> Millis:
        """Two points stand for each: its lowest and its highest."""
        return (self.end - self.start) // max(1, self.limit // 2 - 1) + 1

    def _held(self) -> tuple[Millis, Millis] | None:
        """From the first to the last time on any level; a point of a summed-up level stands for all of its stretch."""
        firsts = [at for level in LEVELS if (at := self._edge(level, "ASC")) is not None]
        lasts = [at + width(level) - 1 for level in LEVELS if (at := self._edge(level, "DESC")) is not None]
        return (min(firsts), max(lasts)) if firsts and lasts else None

    def _has(self, level: Level) -> bool:
        return not self.fields[level].get(self.measurement, {}).keys().isdisjoint(self.metrics)

    def _edge(self, level: Level, order: str) -> Millis | None:
        if not self._has(level):
            return None
        rows = self._rows(f"SELECT {self._names()} {self._where(level)} ORDER BY time {order} LIMIT 1")
        return next((cast(Millis, row[0]) for row in rows), None)

    def _names(self) -> str:
        return ", ".join(map(name, self.metrics))

    def _where(self, level: Level) -> str:
        return (
            f"FROM {source(self.measurement, level)} WHERE {name('device')} = {word(self.device)}"
            f" AND {name('child')} = {word(self.child)} AND {between(self.start, self.end)}"
        )

    def _rows(self, statement: str) -> Iterator[list[Value]]:
        return chain.from_iterable(series.values for series in self.client.stream(statement))

    def _stitched(self, level: Level) -> Points:
        """From this level; after its last point from finer ones, which are ahead of it; before its first from coarser
        ones, which are kept for longer."""
        chosen = LEVELS.index(level)
        pieces: list[Points] = []
        at = self.start
        for finer in LEVELS[chosen::-1]:
            if at < self.end:
                pieces.append(piece := self._replace(start=at)._piece(finer))
                last = max(_times(piece), default=None)
                at = at if last is None else (last // width(finer) + 1) * width(finer)
        first = min(chain.from_iterable(map(_times, pieces)), default=self.end)
        for coarser in LEVELS[chosen + 1 :]:
            # The stretch in which the first point lies is made of the same readings.
            until = first // width(coarser) * width(coarser)
            if self.start < until:
                pieces.insert(0, piece := self._replace(end=until)._piece(coarser))
                first = min(_times(piece), default=first)
        return {metric: [point for piece in pieces for point in piece.get(metric, ())] for metric in self.metrics}

    def _piece(self, level: Level) -> Points:
        if not self._has(level):
            return {}
        return self._measured() if level is RAW and self.end - self.start <= EXACT_SPAN else self._summed(level)

    def _measured(self) -> Points:
        """All that was measured; what is more than `limit` is thinned while it comes."""
        rows = self._rows(f"SELECT {self._names()} {self._where(RAW)}")
        kept: list[list[Value]] = []
        for row in rows:
            kept.append(row)
            if len(kept) > self.limit:
                return self._thinned(chain(kept, rows), cast(Millis, kept[0][0]))
        return {metric: _points(kept, column) for column, metric in enumerate(self.metrics, start=1)}

    def _thinned(self, rows: Iterable[list[Value]], first: Millis) -> Points:
        last = self._edge(RAW, "DESC") or self.end
        thinners = [Thinner(first=first, last=last, limit=self.limit) for _ in self.metrics]
        for row in rows:
            for thinner, value in zip(thinners, row[1:], strict=True):
                if value is not None:
                    thinner.add(cast(Millis, row[0]), typed(value))
        return {metric: thinner.points() for metric, thinner in zip(self.metrics, thinners, strict=True)}

    def _summed(self, level: Level) -> Points:
        """The lowest and the highest of every stretch, found by the database; of words the last one."""
        stretch = -(-self._stretch() // width(level)) * width(level)
        calls = [call for metric in self.metrics for call in self._calls(level, metric)]
        if not calls:
            return {}
        found: Points = {metric: [] for metric in self.metrics}
        grouped = f"GROUP BY time({stretch:d}ms) fill(none)"
        for row in self._rows(f"SELECT {', '.join(call for _, call in calls)} {self._where(level)} {grouped}"):
            self._add(found, cast(Millis, row[0]), stretch, zip(calls, row[1:], strict=True))
        return found

    def _calls(self, level: Level, metric: str) -> list[tuple[str, str]]:
        fields = self.fields[level].get(self.measurement, {})
        type_ = fields.get(metric)
        if type_ is None:
            return []
        if type_ is not FieldType.FLOAT:
            return [(metric, f"last({name(metric)})")]
        low, high = f"{metric}_min", f"{metric}_max"
        if level is RAW or low not in fields:
            low = high = metric
        return [(metric, f"min({name(low)})"), (metric, f"max({name(high)})")]

    def _add(self, found: Points, at: Millis, stretch: Millis, row: Iterable[tuple[tuple[str, str], Value]]) -> None:
        """One stretch: the lowest at its beginning, the highest in its middle. Where they are one, once."""
        begins, ends = max(at, self.start), min(at + stretch, self.end)
        seen: dict[str, Value] = {}
        for (metric, _), raw in row:
            value = typed(raw)
            if value is not None and metric not in seen:
                found[metric].append(Point(begins, value))
            elif value is not None and value != seen[metric]:
                found[metric].append(Point((begins + ends) // 2, value))
            seen[metric] = value


def typed(value: Value) -> Value:
    """Numbers are floats in the database, and JSON says 5 for 5.0."""
    return float(value) if type(value) is int else value


def _points(rows: list[list[Value]], column: int) -> list[Point]:
    """Of one column. Two rows of one time (the device has moved between them) are one point."""
    by_time = {cast(Millis, row[0]): typed(row[column]) for row in rows if row[column] is not None}
    return [Point(at, value) for at, value in by_time.items()]


def _times(piece: Points) -> Iterator[Millis]:
    """Where each metric begins and ends."""
    for points in piece.values():
        if points:
            yield points[0].at
            yield points[-1].at
