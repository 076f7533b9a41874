"""Which folders there are in Grafana, and which dashboards stand in which.

    Courtyard                     what concerns all sites, and one dashboard per kind of device
      Osmanthus Garden            one folder per site: the same dashboards, held to that site
      …

With one language the root is `Courtyard`; with both there is one root for each.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboards.capabilities import Capabilities
from device_profiles.schema import Text

Board = dict[str, Any]
OURS = "courtyard"
"""The tag of every dashboard of ours."""
ROOTS: Mapping[str, str] = {"zh": "Courtyard 社区设施", "en": "Courtyard"}
"""The folder of each language that holds every dashboard."""


@dataclass(frozen=True)
class Place:
    """A site, as far as dashboards care."""

    id: str
    name: Text
    profiles: frozenset[str]
    """Of the devices that stand there; and the families of these."""
    families: frozenset[str]


@dataclass(frozen=True)
class Folder:
    uid: str
    title: str
    parent: str = ""
    """The uid of the folder around it; empty: none."""
    team: str = ""
    """The team that may look into it, where teams are kept apart."""
    site: str = ""
    """The id of the site it is of; empty: of all."""


@dataclass(frozen=True)
class Shelf:
    """A folder and what belongs into it."""

    folder: Folder
    language: str
    boards: tuple[Board, ...]


def read_boards(folder: Path, languages: Sequence[str]) -> list[Board]:
    """The dashboards that `courtyard dashboards build` wrote: `<folder>/<language>/….json`. Raises ValueError."""
    found = [
        json.loads(file.read_text(encoding="utf-8"))
        for language in languages
        for file in sorted((folder / language).rglob("*.json"))
    ]
    if not found:
        raise ValueError(f"no dashboards in {folder}/{'|'.join(languages)}; write some: courtyard dashboards build")
    return found


def arrange(
    boards: Iterable[Board],
    places: Sequence[Place],
    languages: Sequence[str],
    grafana: Capabilities,
    *,
    apart: bool = False,
) -> list[Shelf]:
    """Every folder with its dashboards, roots first. `boards`: of all languages; each has its language as a tag.

    `apart`: each site's folder is its team's alone. Such folders stand beside the root: within it they would inherit
    that everybody may look into it.
    """
    nested = grafana.nested_folders and not apart
    everything = list(boards)
    return [
        shelf
        for language in languages
        for shelf in _of_language(
            told_apart([board for board in everything if language in board["tags"]]), places, language, nested, apart
        )
    ]


def _of_language(
    boards: list[Board], places: Sequence[Place], language: str, nested: bool, apart: bool
) -> Iterator[Shelf]:
    root = Folder(f"{OURS}-{language}", ROOTS[language])
    yield Shelf(root, language, tuple(boards))
    for place in places:
        mine = [held_to(board, place, language) for board in boards if concerns(board, place)]
        if mine:
            yield Shelf(_folder_of(place, root, language, nested, apart), language, tuple(mine))


def _folder_of(place: Place, root: Folder, language: str, nested: bool, apart: bool) -> Folder:
    name = place.name.in_(language) or place.id
    title = name if nested else f"{root.title} · {name}"
    parent = root.uid if nested else ""
    uid = _short(f"{root.uid}-{place.id}", place.id)
    return Folder(uid, title, parent, team=team_of(place.id) if apart else "", site=place.id)


def team_of(site: str) -> str:
    """The name of the team that looks into the site's folder, where teams are kept apart."""
    return f"Courtyard {site}"


def proves_ours(uid: str) -> bool:
    """Whether a folder's uid alone says that it was made here: it ends with the mark of the site that it names.

    Of a long id, or one with other signs, only a part is in it: such a uid proves nothing.
    """
    if uid in {f"{OURS}-{language}" for language in ROOTS}:
        return True
    named = re.fullmatch(rf"{OURS}-(?:{'|'.join(ROOTS)})-(.+)-[0-9a-f]{{8}}", uid)
    return named is not None and uid.endswith(f"-{_mark(named.group(1))}")


def told_apart(boards: Sequence[Board]) -> list[Board]:
    """With titles of which no two read the same: Grafana 10 refuses the second one of a folder, and people are lost."""
    alike = Counter(_read(board["title"]) for board in boards)
    return [
        {**board, "title": f"{board['title']} ({_kind(board)})"} if alike[_read(board["title"])] > 1 else board
        for board in boards
    ]


def _read(title: str) -> str:
    return "".join(sign for sign in title.casefold() if sign.isalnum())


def _kind(board: Board) -> str:
    """cy-family-relay_board-zh: family-relay_board"""
    return str(board["uid"]).removeprefix("cy-").rpartition("-")[0]


def concerns(board: Board, place: Place) -> bool:
    """Whether this dashboard can be held to one site, and has something to show there."""
    tags = set(board["tags"])
    if not any(variable["name"] == "site" for variable in _variables(board)):
        return False
    if "family" in tags:
        return bool(place.families & tags)
    return bool(tags & {"site", "tickets"}) or board["uid"].rpartition("-")[0] in {
        f"cy-{profile}"[:37] for profile in place.profiles
    }


def held_to(board: Board, place: Place, language: str) -> Board:
    """The same dashboard with its site fixed; the choice of a site is gone from its head."""
    held = copy.deepcopy(board)
    held["uid"] = _short(f"{board['uid']}-{place.id}", f"{board['uid']} {place.id}")
    held["title"] = f"{board['title']} · {place.name.in_(language) or place.id}"
    fixed = {"name": "site", "type": "constant", "query": place.id, "hide": 2, "skipUrlSync": True}
    variables = _variables(held)
    variables[:] = [fixed if variable["name"] == "site" else variable for variable in variables]
    return held


def _variables(board: Board) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = board.get("templating", {}).get("list", [])
    return found


def _short(readable: str, whole: str) -> str:
    """An uid that says what it is and stays one of a kind: Grafana takes 40 of letters, digits, `-` and `_`."""
    clean = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_") else "-" for sign in readable)
    return f"{clean[:31]}-{_mark(whole)}"


def _mark(whole: str) -> str:
    return hashlib.sha256(whole.encode()).hexdigest()[:8]


def addressed(board: Board, public_url: str) -> Board:
    """The same dashboard with its links leading to Courtyard's pages there."""
    option = {"selected": True, "text": public_url, "value": public_url}
    placed = {"query": public_url, "current": option, "options": [option]}
    listed = [{**one, **placed} if one["name"] == "courtyard" else one for one in _variables(board)]
    return {**board, "templating": {**board.get("templating", {}), "list": listed}}


# --- what a dashboard needs ----------------------------------------------------------------------------------------

POSTGRESQL = "grafana-postgresql-datasource"
_SAME = {"postgres": POSTGRESQL}


def needs(board: Board) -> frozenset[str]:
    """The kinds of datasource it asks, as newest Grafana calls them."""
    kinds = {str(variable["query"]) for variable in _variables(board) if variable.get("type") == "datasource"}
    return frozenset(_SAME.get(kind, kind) for kind in kinds)


def with_annotations(board: Board, language: str) -> Board:
    """The same dashboard, showing the episodes that Courtyard keeps in Grafana's own annotations.

    For installations whose Grafana cannot ask PostgreSQL: there the dashboards' own annotations find nothing.
    """
    if POSTGRESQL in needs(board) or not any(one["name"] == "site" for one in _variables(board)):
        return board
    shown = copy.deepcopy(board)
    listed = shown.setdefault("annotations", {}).setdefault("list", [])
    sites = [f"site:{v['query']}" for v in _variables(board) if v["name"] == "site" and v["type"] == "constant"]
    listed.extend(_query([kind, *sites], name.in_(language), colour) for kind, (name, colour) in _SHOWN.items())
    return shown


_SHOWN: Mapping[str, tuple[Text, str]] = {
    "alarm": (Text(zh="告警", en="Alarms"), "red"),
    "outage": (Text(zh="停用", en="Outages"), "purple"),
    "ticket": (Text(zh="工单", en="Tickets"), "blue"),
}


def _query(tags: list[str], name: str, colour: str) -> dict[str, Any]:
    return {
        "name": name,
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": True,
        "iconColor": colour,
        # One tag with the key `courtyard` each: with two, Grafana would count two hits for one and find none.
        "target": {"type": "tags", "tags": [OURS, *tags], "matchAny": False, "limit": 500},
    }
