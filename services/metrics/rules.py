"""Rules that cannot be evaluated, so that somebody is told of silence too."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from threading import Lock

from sqlalchemy.exc import SQLAlchemyError

from gateway.measure import Collector, Metric, Sample
from services.database import Database
from services.intake import Intake
from services.rulebook.problems import KINDS, problems_of
from services.rules.effective import Library

NOT_EVALUATED = Metric(
    "courtyard_rules_not_evaluated",
    "gauge",
    "Reasons why rules say nothing: misfit (a change in a rule book), broken (in a profile), no_profile, benched (a "
    "device that could not be judged), never_sent (a value that no device of its site has ever sent).",
    ("why",),
)
METRICS = (NOT_EVALUATED,)
_FRESH_SECONDS = 60.0


class RuleFigures:
    """Collects from the database, at most once a minute, one reader at a time."""

    def __init__(self, database: Database, library: Library, intake: Intake) -> None:
        self._database = database
        self._library = library
        self._intake = intake
        self._reading = Lock()
        self._read_at: float | None = None
        self._found: list[Sample] = []

    def __call__(self) -> Iterable[Sample]:
        if self._reading.acquire(blocking=False):
            try:
                self._refresh()
            finally:
                self._reading.release()
        return self._found

    def _refresh(self) -> None:
        if self._read_at is not None and time.monotonic() - self._read_at < _FRESH_SECONDS:
            return
        try:
            self._found = self._samples()
        except SQLAlchemyError:
            self._found = []  # `courtyard_database_up` says it
            return
        self._read_at = time.monotonic()

    def _samples(self) -> list[Sample]:
        with self._database.read() as connection:
            found = Counter(one.kind for one in problems_of(connection, self._library, None, self._intake.benched))
        return [NOT_EVALUATED.at(found[why], why) for why in KINDS]


def of_rules(database: Database, library: Library, intake: Intake) -> Collector:
    return RuleFigures(database, library, intake)
