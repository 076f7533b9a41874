"""Every query of every dashboard, asked as Grafana would ask it: which fail, which find nothing, how long each takes.

The questions are worked out from the dashboards' JSON; who answers them is given.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from dashboards import macros
from dashboards.frame import PUBLIC_URL, Json
from dashboards.macros import ALL, Chosen
from device_profiles.telemetry import RAW


class Language(StrEnum):
    """What a query is written in."""

    INFLUXQL = "influxql"
    SQL = "sql"


_LANGUAGES = {"influxdb": Language.INFLUXQL, "postgres": Language.SQL}


class Question(NamedTuple):
    """One query of a panel, a variable or an annotation."""

    board: str
    """Title of the dashboard."""
    uid: str
    where: str
    """The panel's title, or "variable x", or "annotation x"."""
    ref: str
    language: Language
    query: str
    least: str
    """The panel's shortest interval, such as "5m"; "" where it has none."""


class Refused(Exception):
    """The database does not take the query; the text is the database's."""


class Answerer(Protocol):
    def rows(self, query: str) -> int:
        """How many rows the answer has. Raises Refused."""
        ...


@dataclass(frozen=True)
class Answer:
    question: Question
    asked: str
    rows: int
    seconds: float
    error: str = ""


def questions(board: Json) -> Iterator[Question]:
    """Variables first, then annotations, then panels in order, those in closed rows too. What is asked of neither
    InfluxDB nor PostgreSQL is left out."""
    return (one for one in _questions(board) if one is not None)


def _questions(board: Json) -> Iterator[Question | None]:
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield _question(board, f"variable {variable['name']}", variable["datasource"], str(variable["query"]))
    for annotation in board.get("annotations", {}).get("list", []):
        target = annotation.get("target") or {}
        if "rawSql" in target:
            yield _question(board, f"annotation {annotation['name']}", target["datasource"], target["rawSql"])
    for panel in panels(board):
        for target in panel.get("targets", ()):
            query = target.get("rawSql") or target.get("query")
            if query is not None:
                least = str(panel.get("interval") or "")
                yield _question(board, panel["title"], target["datasource"], query, target["refId"], least)


def panels(board: Json) -> Iterator[Json]:
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", ())


def _question(
    board: Json, where: str, source: Mapping[str, Any], query: str, ref: str = "", least: str = ""
) -> Question | None:
    language = _LANGUAGES.get(source["type"])
    if language is None:
        return None
    return Question(board["title"], board["uid"], where, ref, language, query, least)


def chosen(level: str, *, sites: Sequence[str], family: str, end: datetime, hours: float) -> Chosen:
    """What a viewer would choose: these sites, every device, range and level; of repeated rows the one of `family`."""
    values: dict[str, Sequence[str]] = {
        "site": sites,
        "device": [ALL],
        "family": [family],
        "resolution": [level],
        "summed": ["5m" if level == RAW.name else level],
        "courtyard": [PUBLIC_URL],
    }
    return Chosen(start=end - timedelta(hours=hours), end=end, values=values)


def filled(question: Question, chosen: Chosen) -> str:
    """The query as the database gets it. Raises macros.UnknownVariable."""
    if question.language == Language.SQL:
        return macros.sql(question.query, chosen, every="1h")
    every = macros.interval(chosen, least=question.least)
    return macros.influxql(question.query, chosen, every=every)


def ask(asked: Iterable[Question], chosen: Chosen, answerers: Mapping[Language, Answerer]) -> Iterator[Answer]:
    """Ask one after another; a language without an answerer is passed over, and the same query is asked once."""
    known: dict[str, Answer] = {}
    for question in asked:
        answerer = answerers.get(question.language)
        if answerer is None:
            continue
        query = filled(question, chosen)
        if query not in known:
            known[query] = _one(question, query, answerer)
        yield replace(known[query], question=question)


def _one(question: Question, query: str, answerer: Answerer) -> Answer:
    began = time.perf_counter()
    try:
        rows, error = answerer.rows(query), ""
    except Refused as refused:
        rows, error = 0, str(refused)
    return Answer(question, query, rows, time.perf_counter() - began, error)
