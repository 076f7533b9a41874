"""Keeps Grafana's annotations as the episodes are: opened when they begin, closed when they end.

On a thread of its own. Grafana being away, slow or full of refusals costs nothing but the annotations, which come when
it is back; how it fares stands in a file (services/grafana/record.py) and in `courtyard grafana status`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from dashboards.grafana import Grafana, GrafanaRefused
from services.clock import Clock, to_millis
from services.database import Database
from services.grafana import record
from services.grafana.episodes import Episodes
from services.grafana.record import Record, words_of
from services.grafana.regions import AHEAD, KEY, Region, Write, decide
from services.settings import Settings

log = structlog.get_logger("courtyard.grafana")

LOOK_BACK = timedelta(days=30)
"""How far back the first round goes."""
_OVERLAP = timedelta(hours=1)
"""Rounds overlap: what was committed late is not missed."""
_EVERY_SECONDS = 15.0
_LONGEST_PAUSE_SECONDS = 300.0
_WRITES = 500
"""Of one round, so that it ends; the newest first, and the rest in the next."""
_PAGE = 2000
_TIMEOUT_SECONDS = 10.0
_OF_THIS_ONE = (400, 404, 409, 413, 422)
"""What Grafana answers when only this annotation is the matter."""


@dataclass(frozen=True)
class Round:
    written: int
    waiting: int
    refused: str = ""
    """Grafana's words for one that it does not take as it is; the others went on."""


def annotator(settings: Settings, database: Database, clock: Clock, *, url: str = "", token: str = "") -> Annotator:
    """By the settings, unless told otherwise."""
    return Annotator(
        database=database,
        clock=clock,
        url=url or settings.grafana_url,
        token=token or settings.grafana_token.strip(),
        episodes=Episodes(settings.effective_public_url, settings.grafana_language),
        data_dir=settings.data_dir,
    )


class Annotator:
    """One round at a time, or `start()` and `stop()` for a thread that goes on."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        url: str,
        token: str,
        episodes: Episodes,
        data_dir: Path,
        every_seconds: float = _EVERY_SECONDS,
    ) -> None:
        self._database = database
        self._clock = clock
        self._url, self._token = url, token
        self._episodes = episodes
        self._data_dir = data_dir
        self._every = every_seconds
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._grafana: Grafana | None = None
        self._settled: datetime | None = None
        self._known: dict[str, tuple[Region, datetime]] = {}
        """What Grafana holds for all we know, and until when that holds: rounds without news then ask nothing."""
        self.state = Record(tried_at="")

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="grafana-annotations", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 1.8) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout)
        self.close()

    def close(self) -> None:
        if self._grafana is not None:
            self._grafana.close()
            self._grafana = None

    def _run(self) -> None:
        while not self._stopping.wait(self._pause_seconds()):
            try:
                self.round(self._clock.now())
            except Exception as error:  # the loop's edge: annotations must never end because of one mistake
                expected = isinstance(error, GrafanaRefused | SQLAlchemyError | OSError)
                (log.warning if expected else log.exception)("annotations_failed", error=str(error))

    def _pause_seconds(self) -> float:
        if not self.state.tried_at:
            return 0.0
        waiting = 0.0 if self.state.waiting and not self.state.failures else self._every
        return min(waiting * 2.0 ** min(self.state.failures, 10), _LONGEST_PAUSE_SECONDS)

    # --- one round ----------------------------------------------------------------------------------------------

    def round(self, now: datetime) -> Round:
        """Bring Grafana up to date. Raises GrafanaRefused; what was written by then stays and is found again."""
        try:
            done = self._bring_up(now)
        except Exception as error:
            self._note(replace(self.state, tried_at=words_of(now), failures=self.state.failures + 1, error=str(error)))
            self.close()
            raise
        written = self.state.written + done.written
        self._note(Record(words_of(now), words_of(now), error=done.refused, written=written, waiting=done.waiting))
        return done

    def _note(self, state: Record) -> None:
        self.state = state
        try:
            record.write(self._data_dir, state)
        except OSError as error:  # a full disk; the state is still to be had in this process
            log.warning("annotations_record_not_written", error=str(error))

    def _bring_up(self, now: datetime) -> Round:
        since = self._since(now)
        with self._database.read() as connection:
            regions = self._episodes.since(connection, since)
        news = [region for region in regions if not self._is_known(region, now)]
        if not news:
            self._settled = now
            return Round(0, 0)
        writes = decide(news, self._shown(news, since, now), now)
        done = self._write_all(writes)
        if not done.waiting:
            self._settled = now
            self._remember(regions, now)
        return done

    def _write_all(self, writes: list[Write]) -> Round:
        refused = ""
        for number, write in enumerate(writes[:_WRITES]):
            if self._stopping.is_set():
                return Round(number, len(writes) - number)
            try:
                self._write(write)
            except GrafanaRefused as error:
                if error.status not in _OF_THIS_ONE:
                    raise
                refused = str(error)
        return Round(min(len(writes), _WRITES), max(0, len(writes) - _WRITES), refused)

    def _since(self, now: datetime) -> datetime:
        earliest = now - LOOK_BACK
        if self._settled is None:
            last = record.read(self._data_dir)
            if last is not None and last.succeeded_at and not last.waiting:
                return max(earliest, min(now, datetime.fromisoformat(last.succeeded_at)) - _OVERLAP)
            return earliest
        return max(earliest, min(now, self._settled) - _OVERLAP)

    def _is_known(self, region: Region, now: datetime) -> bool:
        known = self._known.get(region.key)
        return known is not None and known[0] == region and now < known[1] <= now + AHEAD

    def _remember(self, regions: Iterable[Region], now: datetime) -> None:
        fresh = now + AHEAD / 4  # well before what goes on must be prolonged
        before = self._known
        self._known = {
            region.key: before[region.key] if self._is_known(region, now) else (region, fresh) for region in regions
        }

    # --- Grafana ------------------------------------------------------------------------------------------------

    def _shown(self, news: list[Region], since: datetime, now: datetime) -> list[Mapping[str, Any]]:
        """The annotations of ours that may be those of `news`."""
        found = {int(one["id"]): one for one in self._within(since, now + 2 * AHEAD)}
        keys = {tag for one in found.values() for tag in one["tags"]}
        for region in news:
            # It began before the window, and its annotation ended before it: nobody prolonged it for long.
            if region.begins < since and region.key not in keys:
                found |= {int(one["id"]): one for one in self._ask({"tags": region.key, "limit": 100})}
        return list(found.values())

    def _within(self, since: datetime, until: datetime) -> list[Mapping[str, Any]]:
        """All of ours that touch the window; it is halved until each half fits into one answer."""
        window = {"from": to_millis(since), "to": to_millis(until)}
        found = self._ask({"tags": KEY, "type": "annotation", "limit": _PAGE, **window})
        if len(found) < _PAGE or until - since < timedelta(minutes=1):
            return found
        middle = since + (until - since) / 2
        return self._within(since, middle) + self._within(middle, until)

    def _ask(self, params: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self._connection().get("/annotations", params)
        return found

    def _write(self, write: Write) -> None:
        grafana = self._connection()
        if write.id is None:
            grafana.post("/annotations", write.body or {})
        elif write.body is not None:
            grafana.patch(f"/annotations/{write.id}", write.body)
        else:
            grafana.delete(f"/annotations/{write.id}")

    def _connection(self) -> Grafana:
        if self._grafana is None:
            self._grafana = Grafana(self._url, self._token, timeout_seconds=_TIMEOUT_SECONDS)
        return self._grafana
