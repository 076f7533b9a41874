"""What to do so that a Grafana holds what it should: compare what is wanted with what is there. Pure.

A dashboard of ours carries a mark, the hash of what was published, in a hidden variable. Grafana rewrites dashboards as
it stores them, a little differently in each version, so that a comparison of the two texts would find changes for ever;
the mark is what decides, and the comparison says what differs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from dashboards import datasources
from dashboards.capabilities import Capabilities
from dashboards.datasources import Datasource
from dashboards.frame import without_tables
from dashboards.places import OURS, POSTGRESQL, Board, Folder, Shelf, needs, with_annotations

MARK = "courtyard_build"
_UID = "cy-"


class Do(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    REMOVE = "remove"
    KEEP = "keep"
    LEAVE = "leave"
    """Left alone though it is not as wanted; the step says why."""


@dataclass(frozen=True)
class Difference:
    """One place where two texts differ, such as panels[Pressure].fieldConfig.defaults.unit."""

    where: str
    there: Any
    wanted: Any


@dataclass(frozen=True)
class Step:
    do: Do
    kind: str
    """datasource, folder, dashboard, team or permission"""
    uid: str
    title: str
    why: str = ""
    differences: tuple[Difference, ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict)
    """What is sent; empty where nothing is."""


@dataclass(frozen=True)
class Wanted:
    datasources: tuple[Datasource, ...]
    shelves: tuple[Shelf, ...]


@dataclass(frozen=True)
class FoundBoard:
    board: Board
    folder: str
    version: int
    provisioned: str = ""
    """Where it comes from when it is of files: then it cannot be changed over the API."""
    edited: bool = False
    """Somebody saved it after we did."""
    closed: str = ""
    """Why it cannot be looked into, where Grafana does not show it."""


@dataclass(frozen=True)
class Found:
    """What a Grafana holds. `datasources` None: the token may not look at them."""

    datasources: Mapping[str, Mapping[str, Any]] | None
    folders: Mapping[str, Mapping[str, Any]]
    boards: Mapping[str, FoundBoard]
    """Of ours, and whatever else has an uid that is wanted."""
    occupied: frozenset[str] = frozenset()
    """Folders of ours that hold more than what is ours."""


def plan(wanted: Wanted, found: Found, grafana: Capabilities, *, renew_secrets: bool = False) -> list[Step]:
    """In the order in which it can be done. `renew_secrets`: send those of datasources although they are set."""
    shelves = list(wanted.shelves)
    return [
        *(_datasource(source, found, grafana, renew_secrets) for source in wanted.datasources),
        *(_folder(shelf.folder, found, filed=_is_filed(shelf, shelves, found)) for shelf in shelves),
        *_boards(wanted, found, grafana),
        *_gone(shelves, found),
    ]


# --- datasources ---------------------------------------------------------------------------------------------------


def _datasource(source: Datasource, found: Found, grafana: Capabilities, renew_secrets: bool) -> Step:
    body = datasources.for_api(source, grafana)
    if found.datasources is None:
        return Step(Do.LEAVE, "datasource", source.uid, source.name, why="the token may not look at datasources")
    there = found.datasources.get(source.uid)
    if there is None:
        same_name = any(one.get("name") == source.name for one in found.datasources.values())
        if same_name:
            return Step(Do.LEAVE, "datasource", source.uid, source.name, why="one of this name is there, not made here")
        return Step(Do.CREATE, "datasource", source.uid, source.name, body={**body, **_secrets(source)})
    if there.get("readOnly"):
        return Step(Do.LEAVE, "datasource", source.uid, source.name, why="it is of Grafana's provisioning files")
    differing = tuple(differences(body, there))
    are_set = there.get("secureJsonFields", {})
    sent = [name for name in source.secrets if renew_secrets or not are_set.get(name)]
    if not differing and not sent:
        return Step(Do.KEEP, "datasource", source.uid, source.name)
    differing += tuple(
        Difference(f"secureJsonData.{name}", "set" if are_set.get(name) else "not set", "sent anew") for name in sent
    )
    # What a person added to the options stays.
    merged = {**body, "jsonData": {**there.get("jsonData", {}), **body["jsonData"]}}
    return Step(
        Do.CHANGE, "datasource", source.uid, source.name, differences=differing, body={**merged, **_secrets(source)}
    )


def _secrets(source: Datasource) -> dict[str, Any]:
    return {"secureJsonData": dict(source.secrets)} if source.secrets else {}


# --- folders -------------------------------------------------------------------------------------------------------


def _is_filed(shelf: Shelf, shelves: list[Shelf], found: Found) -> bool:
    """All that belongs into it, and into folders within it, comes from files: those have folders of their own."""
    within = [one for one in shelves if shelf.folder.uid in (one.folder.uid, one.folder.parent)]
    boards = [found.boards.get(board["uid"]) for one in within for board in one.boards]
    return bool(boards) and all(board is not None and board.provisioned for board in boards)


def _folder(folder: Folder, found: Found, *, filed: bool) -> Step:
    there = found.folders.get(folder.uid)
    body = {"uid": folder.uid, "title": folder.title} | ({"parentUid": folder.parent} if folder.parent else {})
    if there is None and filed:
        return Step(Do.LEAVE, "folder", folder.uid, folder.title, why="all its dashboards are of Grafana's files")
    if there is None:
        return Step(Do.CREATE, "folder", folder.uid, folder.title, body=body)
    moved = (there.get("parentUid") or "") != folder.parent
    differing = [Difference("title", there["title"], folder.title)] if there["title"] != folder.title else []
    differing += [Difference("parentUid", there.get("parentUid") or "", folder.parent)] if moved else []
    if differing:
        return Step(Do.CHANGE, "folder", folder.uid, folder.title, differences=tuple(differing), body=body)
    return Step(Do.KEEP, "folder", folder.uid, folder.title)


# --- dashboards ----------------------------------------------------------------------------------------------------


def marked(board: Board) -> Board:
    """The dashboard with the mark of its content."""
    content = json.dumps(board, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    value = hashlib.sha256(content.encode()).hexdigest()[:16]
    variable = {"name": MARK, "type": "constant", "query": value, "hide": 2, "skipUrlSync": True}
    listed = board.get("templating", {}).get("list", [])
    return {**board, "templating": {**board.get("templating", {}), "list": [*listed, variable]}}


def mark_of(board: Board) -> str:
    """Empty: it was not published by `courtyard grafana sync`."""
    for variable in board.get("templating", {}).get("list", []):
        if variable.get("name") == MARK:
            return str(variable.get("query", ""))
    return ""


def _boards(wanted: Wanted, found: Found, grafana: Capabilities) -> Iterator[Step]:
    answered = _answered(wanted, found)
    for shelf in wanted.shelves:
        for board in shelf.boards:
            usable = board if answered is None else usable_with(board, answered, shelf.language)
            if usable is None:
                why = f"no datasource of type {', '.join(sorted(needs(board) - (answered or set())))} is there"
                yield Step(Do.LEAVE, "dashboard", board["uid"], board["title"], why=why)
            else:
                yield _board(fitted(usable, grafana), shelf.folder, found)


def usable_with(board: Board, answered: frozenset[str], language: str) -> Board | None:
    """The dashboard as it is of use with these kinds of datasource; None: it is of none.

    Without PostgreSQL what asks the time series alone goes on, with episodes out of Grafana's own annotations.
    """
    lacking = needs(board) - answered
    if not lacking:
        return board
    if lacking != {POSTGRESQL}:
        return None
    try:
        return with_annotations(without_tables(board), language)
    except ValueError:
        return None


def _answered(wanted: Wanted, found: Found) -> frozenset[str] | None:
    """The kinds of datasource that are or will be there; None: not to be known."""
    if found.datasources is None:
        return None
    there = {str(one.get("type", "")) for one in found.datasources.values()}
    there = {"grafana-postgresql-datasource" if kind == "postgres" else kind for kind in there}
    return frozenset(there | {source.kind for source in wanted.datasources})


def _board(board: Board, folder: Folder, found: Found) -> Step:
    uid, title = board["uid"], board["title"]
    body = {"dashboard": {**marked(board), "id": None}, "folderUid": folder.uid}
    there = found.boards.get(uid)
    if there is None:
        return Step(Do.CREATE, "dashboard", uid, title, body=body)
    if there.closed:
        return Step(Do.LEAVE, "dashboard", uid, title, why=there.closed)
    if there.provisioned:
        return Step(Do.LEAVE, "dashboard", uid, title, why=f"it is of Grafana's files ({there.provisioned})")
    if not is_ours(there.board):
        return Step(Do.LEAVE, "dashboard", uid, title, why="somebody's own dashboard has this uid")
    differing = list(differences(marked(board), there.board))
    same = mark_of(marked(board)) == mark_of(there.board) and not (there.edited and differing)
    if there.folder != folder.uid:
        differing.append(Difference("folder", there.folder, folder.uid))
    elif same:
        return Step(Do.KEEP, "dashboard", uid, title)
    why = "somebody edited it" if there.edited else ""
    body["dashboard"] = {**marked(board), "id": None, "version": there.version}
    return Step(Do.CHANGE, "dashboard", uid, title, why=why, differences=tuple(differing), body=body)


def is_ours(board: Board) -> bool:
    return str(board.get("uid", "")).startswith(_UID) and OURS in (board.get("tags") or [])


def fitted(board: Board, grafana: Capabilities) -> Board:
    """With the names that this version has for its datasources' plugins."""
    kind = grafana.plugin("grafana-postgresql-datasource")
    text = json.dumps(board, ensure_ascii=False)
    for other in ("postgres", "grafana-postgresql-datasource"):
        if other != kind:
            text = text.replace(f'"type": "{other}"', f'"type": "{kind}"')
            text = text.replace(f'"query": "{other}"', f'"query": "{kind}"')
    fitting: Board = json.loads(text)
    return fitting


def _gone(shelves: list[Shelf], found: Found) -> Iterator[Step]:
    """Dashboards and folders that were published once and are wanted no more; only what sync made itself."""
    boards = {board["uid"] for shelf in shelves for board in shelf.boards}
    for uid, there in found.boards.items():
        if uid not in boards and not there.provisioned and is_ours(there.board) and mark_of(there.board):
            yield Step(Do.REMOVE, "dashboard", uid, str(there.board.get("title", uid)), why="no longer wanted")
    folders = {shelf.folder.uid for shelf in shelves}
    inner_first = sorted(found.folders.items(), key=lambda one: not one[1].get("parentUid"))
    for uid, folder in inner_first:
        if uid in folders:
            continue
        if uid in found.occupied:
            yield Step(Do.LEAVE, "folder", uid, str(folder["title"]), why="it holds what others made")
        else:
            yield Step(Do.REMOVE, "folder", uid, str(folder["title"]), why="no longer wanted")


# --- differences ---------------------------------------------------------------------------------------------------

_OWN_OF_GRAFANA = ("id", "version", "iteration")
_MISSING = object()


def differences(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[Difference]:
    """Where `there` lacks what is wanted, or has it otherwise; what Grafana added of its own does not count."""
    for name, value in wanted.items():
        if name not in _OWN_OF_GRAFANA:
            yield from _differ(name, value, there.get(name, _MISSING))


def _differ(where: str, wanted: Any, there: Any) -> Iterator[Difference]:
    if isinstance(wanted, Mapping) and isinstance(there, Mapping):
        for name, value in wanted.items():
            yield from _differ(f"{where}.{name}", value, there.get(name, _MISSING))
    elif isinstance(wanted, list) and isinstance(there, list) and len(wanted) == len(_made_by_people(there)):
        for number, (one, other) in enumerate(zip(wanted, _made_by_people(there), strict=True)):
            yield from _differ(f"{where}[{_called(one, number)}]", one, other)
    elif not (wanted == there or (_is_nothing(wanted) and _is_nothing(there))):
        yield Difference(where, None if there is _MISSING else there, wanted)


def _made_by_people(entries: list[Any]) -> list[Any]:
    """Without the annotations that Grafana puts into every dashboard by itself."""
    return [one for one in entries if not (isinstance(one, Mapping) and one.get("builtIn"))]


def _called(entry: Any, number: int) -> str:
    if isinstance(entry, Mapping):
        return str(entry.get("title") or entry.get("name") or entry.get("refId") or number)
    return str(number)


def _is_nothing(value: Any) -> bool:
    """Grafana leaves out what is empty or false."""
    return value is _MISSING or value is None or value is False or value in ("", [], {})


def count(steps: Iterable[Step]) -> dict[Do, int]:
    found = dict.fromkeys(Do, 0)
    for step in steps:
        found[step.do] += 1
    return found
