"""`courtyard grafana sync`: what a Grafana holds becomes what it should. A second run finds nothing to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dashboards.capabilities import Capabilities
from dashboards.grafana import Grafana, GrafanaRefused, answers_of
from dashboards.places import OURS, proves_ours
from dashboards.plan import Do, Found, FoundBoard, Step, Wanted, differences, mark_of, marked
from dashboards.teams import make_team, set_permissions

MESSAGE = "Published by Courtyard"
"""In the history of a dashboard: whether the last who saved it was us."""
_FIRST = "Initial save"
"""What Grafana says of a dashboard's first version, whatever we said; one that carries our mark was saved by us."""
_PAGE = 1000
_OTHER_SCHEMA = 406
_SAVED_AS_V2 = "somebody saved it in the second schema, which this Grafana does not show over this API: delete it there"


@dataclass(frozen=True)
class Failed:
    step: Step
    refused: GrafanaRefused
    held_up: tuple[Step, ...] = ()
    """What belongs into this folder, which could not be made; not tried."""


# --- looking -------------------------------------------------------------------------------------------------------


def look(grafana: Grafana, wanted: Wanted, abilities: Capabilities) -> Found:
    """What is there of all that is wanted, and of what was published before. Raises GrafanaRefused."""
    with answers_of(grafana):
        return _look(grafana, wanted, abilities)


def _look(grafana: Grafana, wanted: Wanted, abilities: Capabilities) -> Found:
    listed = {str(one["uid"]): one for one in _search(grafana, {"type": "dash-db", "tag": OURS})}
    by_uid = {board["uid"]: board for shelf in wanted.shelves for board in shelf.boards}
    boards = {}
    for uid in [*by_uid, *(uid for uid in listed if uid not in by_uid and uid.startswith("cy-"))]:
        there = _board(grafana, uid, listed=uid in listed, wanted=by_uid.get(uid))
        if there is not None:
            boards[uid] = there
    folders = _folders(grafana, {shelf.folder.uid for shelf in wanted.shelves}, abilities)
    going = {uid: there.folder for uid, there in boards.items() if uid not in by_uid and mark_of(there.board)}
    kept = {shelf.folder.uid for shelf in wanted.shelves}
    # Somebody's own folder may have a uid that begins as ours do.
    folders = {uid: one for uid, one in folders.items() if uid in kept | set(going.values()) or proves_ours(uid)}
    gone = set(folders) - kept
    occupied = frozenset(uid for uid in gone if _others_in(grafana, uid, gone | set(going)))
    return Found(_datasources(grafana), folders, boards, occupied)


def _search(grafana: Grafana, params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    page = 1
    while True:
        found = grafana.get("/search", {**params, "limit": _PAGE, "page": page})
        yield from found
        if len(found) < _PAGE:
            return
        page += 1


def _datasources(grafana: Grafana) -> dict[str, Mapping[str, Any]] | None:
    try:
        listed = grafana.get("/datasources")
    except GrafanaRefused as refused:
        if refused.status == 403:
            return None
        raise
    # The list leaves out which secrets are set; only the single one says.
    return {
        str(one["uid"]): grafana.get(f"/datasources/uid/{one['uid']}")
        if str(one["uid"]).startswith(f"{OURS}-")
        else one
        for one in listed
    }


def _board(grafana: Grafana, uid: str, *, listed: bool, wanted: Mapping[str, Any] | None) -> FoundBoard | None:
    try:
        answer = _find(grafana, f"/dashboards/uid/{uid}", listed=listed)
    except GrafanaRefused as refused:
        if refused.status == _OTHER_SCHEMA:
            return FoundBoard({"uid": uid}, "", 0, closed=_SAVED_AS_V2)
        raise
    if answer is None:
        return None
    board, meta = answer["dashboard"], answer.get("meta", {})
    edited = False
    if wanted is not None and mark_of(board) and any(differences(marked(dict(wanted)), board)):
        edited = not _last_saved_by_us(grafana, uid)
    return FoundBoard(board, str(meta.get("folderUid") or ""), int(board.get("version") or 0), _origin(meta), edited)


def _origin(meta: Mapping[str, Any]) -> str:
    if meta.get("provisioned"):
        return str(meta.get("provisionedExternalId") or "a provisioning file")
    # Since Grafana 12 a repository can own dashboards as well.
    return str(meta.get("managedBy") or meta.get("managerKind") or "")


def _find(grafana: Grafana, path: str, *, listed: bool) -> Any | None:
    """None where it is not there. Who is no administrator is told 403 of what is not there, too."""
    try:
        return grafana.get(path)
    except GrafanaRefused as refused:
        if refused.status == 404 or (refused.status == 403 and not listed):
            return None
        raise


def _last_saved_by_us(grafana: Grafana, uid: str) -> bool:
    """True as well where there is no history to look at: what differs is then Grafana's own rewriting."""
    try:
        answer = grafana.get(f"/dashboards/uid/{uid}/versions", {"limit": 1})
    except GrafanaRefused:
        return True
    versions = answer.get("versions", []) if isinstance(answer, dict) else answer
    said = str(versions[0].get("message", "")) if versions else _FIRST
    return said == _FIRST or said.startswith(MESSAGE)


def _folders(grafana: Grafana, wanted: Iterable[str], abilities: Capabilities) -> dict[str, Mapping[str, Any]]:
    found = {str(one["uid"]): one for one in grafana.get("/folders", {"limit": _PAGE})}
    ours = {uid: folder for uid, folder in found.items() if uid.startswith(f"{OURS}-")}
    if abilities.nested_folders:
        for root in list(ours):
            for one in grafana.get("/folders", {"parentUid": root, "limit": _PAGE}):
                if str(one["uid"]).startswith(f"{OURS}-"):
                    ours[str(one["uid"])] = {**one, "parentUid": root}
    for uid in wanted:
        # Somebody may have moved it somewhere else.
        if uid not in ours and (moved := _find(grafana, f"/folders/{uid}", listed=False)):
            ours[uid] = moved
    return ours


def _others_in(grafana: Grafana, folder: str, going: set[str]) -> bool:
    shown = list(_search(grafana, {"folderUIDs": folder}))
    # No folder is within itself: Grafana 9 does not know `folderUIDs`, and shows everything.
    unsaid = "" if any(one["uid"] == folder for one in shown) else folder
    within = (one for one in shown if one.get("folderUid", unsaid) == folder)
    return any(str(one["uid"]) not in going for one in within)


def health(grafana: Grafana) -> dict[str, str]:
    """What Grafana says of each datasource of ours when it asks it. Empty where the token may not look."""
    with answers_of(grafana):
        return _health(grafana)


def _health(grafana: Grafana) -> dict[str, str]:
    found = {}
    for uid, source in (_datasources(grafana) or {}).items():
        if uid.startswith(f"{OURS}-"):
            try:
                told = grafana.get(f"/datasources/uid/{uid}/health")
                found[str(source["name"])] = f"{told.get('status', '')}: {told.get('message', '')}".strip(": ")
            except GrafanaRefused as refused:
                found[str(source["name"])] = refused.reason or str(refused)
    return found


# --- doing ---------------------------------------------------------------------------------------------------------


def apply(grafana: Grafana, steps: Iterable[Step], done: Callable[[Step], None] = lambda _: None) -> list[Failed]:
    """Do every step that is to be done; one that fails does not keep the others, but those that need its folder.

    `done` hears of each.
    """
    failed: dict[str, Failed] = {}
    unmade: dict[str, str] = {}  # a folder that is not there, and the step because of which
    for step in steps:
        cause = unmade.get(_folder_needed(step))
        if cause is not None:
            failed[cause] = replace(failed[cause], held_up=(*failed[cause].held_up, step))
        elif refused := _refused(grafana, step):
            failed[_key(step)] = Failed(step, refused)
        if step.kind == "folder" and step.do is Do.CREATE and (cause or _key(step) in failed):
            unmade[step.uid] = cause or _key(step)
        done(step)
    return list(failed.values())


def _refused(grafana: Grafana, step: Step) -> GrafanaRefused | None:
    try:
        if step.do in (Do.CREATE, Do.CHANGE, Do.REMOVE):
            _APPLY[step.kind](grafana, step)
    except GrafanaRefused as refused:
        if refused.status in (0, 401):
            raise  # it is gone, or lets nobody in: the others would fare no better
        return refused
    return None


def _key(step: Step) -> str:
    return f"{step.kind} {step.uid}"


def _folder_needed(step: Step) -> str:
    """The uid of the folder without which this step cannot be done; empty: it needs none."""
    if step.do not in (Do.CREATE, Do.CHANGE):
        return ""
    if step.kind == "permission":
        return step.uid
    return str(step.body.get("parentUid" if step.kind == "folder" else "folderUid", ""))


def _apply_datasource(grafana: Grafana, step: Step) -> None:
    if step.do is Do.CREATE:
        grafana.post("/datasources", step.body)
    else:
        grafana.put(f"/datasources/uid/{step.uid}", step.body)


def _apply_folder(grafana: Grafana, step: Step) -> None:
    if step.do is Do.CREATE:
        grafana.post("/folders", step.body)
    elif step.do is Do.REMOVE:
        grafana.delete(f"/folders/{step.uid}")
    else:
        for difference in step.differences:
            if difference.where == "title":
                grafana.put(f"/folders/{step.uid}", {"title": step.body["title"], "overwrite": True})
            else:
                grafana.post(f"/folders/{step.uid}/move", {"parentUid": step.body.get("parentUid", "")})


def _apply_dashboard(grafana: Grafana, step: Step) -> None:
    if step.do is Do.REMOVE:
        grafana.delete(f"/dashboards/uid/{step.uid}")
        return
    # Not `overwrite`: what somebody saved since we looked is not lost without a word.
    grafana.post("/dashboards/db", {**step.body, "overwrite": False, "message": MESSAGE})


_APPLY: Mapping[str, Callable[[Grafana, Step], None]] = {
    "datasource": _apply_datasource,
    "folder": _apply_folder,
    "dashboard": _apply_dashboard,
    "team": make_team,
    "permission": set_permissions,
}
