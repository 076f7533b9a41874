"""A team per site, and folders that only it looks into.

What it keeps apart are dashboards, not data: whoever may sign in to Grafana can ask its datasources for anything. Give
each team a Grafana organisation of its own where that matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from dashboards.grafana import Grafana, GrafanaRefused
from dashboards.places import Folder, team_of
from dashboards.plan import Difference, Do, Step

_VIEW, _EDIT = 1, 2
_TEAMS = 1000
_EVERYBODY = {"Editor": _EDIT, "Viewer": _VIEW}
"""Whom Grafana lets look into a new folder by itself."""


def team_steps(grafana: Grafana, folders: Sequence[Folder]) -> list[Step]:
    """What is to be done for the folders that have a team; done after the folders are there. Raises GrafanaRefused."""
    steps = []
    for team in sorted({folder.team for folder in folders if folder.team}):
        there = _team(grafana, team) is not None
        steps.append(Step(Do.KEEP if there else Do.CREATE, "team", team, team, body={"name": team}))
    steps += [_permission_step(one, _permissions(grafana, one.uid)) for one in folders if one.team]
    return steps + list(_opened(grafana, [one for one in folders if one.site and not one.team]))


def _opened(grafana: Grafana, folders: Sequence[Folder]) -> Iterator[Step]:
    """Folders that an earlier run kept for a team, and that are everybody's now."""
    known = _known_teams(grafana) if folders else frozenset()
    for folder in folders:
        team = team_of(folder.site)
        there = _permissions(grafana, folder.uid) if team in known else None
        if there is not None and opened_permissions(there, team) is not None:
            who = ", ".join(sorted(_called(one) for one in there))
            differences = (Difference("who looks into it", who, "everybody who looks into Courtyard"),)
            title = f"{folder.title}: no longer only {team}"
            yield Step(
                Do.CHANGE, "permission", folder.uid, title, differences=differences, body={"no_longer_only": team}
            )


def _permission_step(folder: Folder, there: list[Mapping[str, Any]] | None) -> Step:
    title = f"{folder.title}: only {folder.team}"
    if there is not None and wanted_permissions(there, folder.team) is None:
        return Step(Do.KEEP, "permission", folder.uid, title)
    who = ", ".join(sorted(_called(one) for one in there or ())) or "not there yet"
    differences = (Difference("who looks into it", who, f"Editor, {folder.team}"),)
    return Step(Do.CHANGE, "permission", folder.uid, title, differences=differences, body={"team": folder.team})


def wanted_permissions(there: Iterable[Mapping[str, Any]], team: str) -> list[dict[str, Any]] | None:
    """Who may do what, with people and teams that somebody let in besides; None: it is so already. Pure.

    The team stands for itself by name; its number is filled in by who sends it.
    """
    direct = [one for one in there if not one.get("inherited")]
    kept = [_sent(one) for one in direct if one.get("role") != "Viewer" and one.get("team") != team]
    if not any(one.get("role") == "Editor" for one in kept):
        kept.append({"role": "Editor", "permission": _EDIT})
    as_wanted = any(one.get("team") == team and one.get("permission") == _VIEW for one in direct)
    if as_wanted and len(kept) + 1 == len(direct):
        return None
    return [*kept, {"team": team, "permission": _VIEW}]


def opened_permissions(there: Iterable[Mapping[str, Any]], team: str) -> list[dict[str, Any]] | None:
    """Who may do what once the folder is no longer the team's alone; None: it is not, or not by us. Pure.

    Where viewers were shut out without the team having been let in, somebody else wants it so.
    """
    everything = list(there)
    direct = [one for one in everything if not one.get("inherited")]
    if not any(one.get("team") == team for one in direct):
        return None
    kept = [_sent(one) for one in direct if one.get("team") != team]
    roles = {one.get("role") for one in everything}
    lacking = [role for role in _EVERYBODY if role not in roles]  # what is inherited may not be given again
    return [*kept, *({"role": role, "permission": _EVERYBODY[role]} for role in lacking)]


def _sent(one: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one[name] for name in ("role", "teamId", "userId", "permission") if one.get(name)}


def _called(one: Mapping[str, Any]) -> str:
    return str(one.get("role") or one.get("team") or one.get("userLogin") or one.get("userId"))


def _team(grafana: Grafana, name: str) -> int | None:
    found = grafana.get("/teams/search", {"name": name, "perpage": 100})["teams"]
    return next((int(one["id"]) for one in found if one["name"] == name), None)


def _known_teams(grafana: Grafana) -> frozenset[str]:
    """Of ours. Empty where the token may not look at teams: then it cannot have made any, either."""
    names: set[str] = set()
    try:
        for page in count(1):
            found = grafana.get("/teams/search", {"query": team_of("").strip(), "perpage": _TEAMS, "page": page})
            names |= {str(one["name"]) for one in found["teams"]}
            if len(found["teams"]) < _TEAMS:
                break
    except GrafanaRefused as refused:
        if refused.status != 403:
            raise
    return frozenset(names)


def _permissions(grafana: Grafana, folder: str) -> list[Mapping[str, Any]] | None:
    """None: the folder is not there yet."""
    found: list[Mapping[str, Any]] | None = grafana.find(f"/folders/{folder}/permissions")
    return found


# --- doing ---------------------------------------------------------------------------------------------------------


def make_team(grafana: Grafana, step: Step) -> None:
    grafana.post("/teams", step.body)


def set_permissions(grafana: Grafana, step: Step) -> None:
    """Raises GrafanaRefused, also where the team is not there: the folder stays open to every viewer then."""
    if opened := step.body.get("no_longer_only"):
        items = opened_permissions(_permissions(grafana, step.uid) or (), str(opened))
    else:
        items = _only(grafana, step, str(step.body["team"]))
    if items is not None:
        grafana.post(f"/folders/{step.uid}/permissions", {"items": items})


def _only(grafana: Grafana, step: Step, team: str) -> list[dict[str, Any]] | None:
    number = _team(grafana, team)
    if number is None:
        raise GrafanaRefused(
            f"{grafana.url}: there is no team {team!r}; every viewer looks into the folder", status=404
        )
    items = wanted_permissions(_permissions(grafana, step.uid) or (), team)
    if items is None:
        return None
    return [{"teamId": number, "permission": _VIEW} if one.get("team") == team else one for one in items]
