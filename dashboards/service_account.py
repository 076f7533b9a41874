"""A service account for Courtyard with the least role that works, and its token."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from dashboards.grafana import Grafana, GrafanaRefused, answers_of

ACCOUNT = "courtyard"
ROLES = {"everything": "Admin", "dashboards": "Editor"}
"""An Editor may make folders, dashboards and annotations. Datasources and teams are an Admin's (of the organisation,
not of the server)."""


@dataclass(frozen=True)
class Issued:
    account: str
    role: str
    name: str
    revoked: tuple[str, ...]
    """Earlier tokens of this account that no longer work."""


def issue(
    grafana: Grafana, *, role: str, now: datetime, keep: Callable[[str], None], days: int | None = None
) -> Issued:
    """A new token of Courtyard's service account, handed to `keep`; then the earlier ones are revoked.

    `grafana` must be signed in as an administrator. Raises GrafanaRefused.
    """
    with answers_of(grafana):
        return _issued(grafana, role=role, now=now, keep=keep, days=days)


def _issued(grafana: Grafana, *, role: str, now: datetime, keep: Callable[[str], None], days: int | None) -> Issued:
    account = _account(grafana, role)
    path = f"/serviceaccounts/{account['id']}/tokens"
    earlier = [one for one in grafana.get(path) if str(one["name"]).startswith(f"{ACCOUNT}-")]
    name = f"{ACCOUNT}-{now:%Y%m%dT%H%M%S%f}Z"
    made = _token(grafana, path, name, days)
    token = str(made["key"])
    with Grafana(grafana.url, token) as renewed:
        renewed.get("/folders", {"limit": 1})  # it works, or the earlier ones stay
    keep(token)
    for one in earlier:
        grafana.delete(f"{path}/{one['id']}")
    return Issued(account["name"], role, name, tuple(str(one["name"]) for one in earlier))


def _account(grafana: Grafana, role: str) -> dict[str, Any]:
    found = grafana.get("/serviceaccounts/search", {"query": ACCOUNT, "perpage": 100})["serviceAccounts"]
    for one in found:
        if one["name"] == ACCOUNT:
            if one.get("role") != role or one.get("isDisabled"):
                grafana.patch(f"/serviceaccounts/{one['id']}", {"name": ACCOUNT, "role": role, "isDisabled": False})
            return dict(one)
    made: dict[str, Any] = grafana.post("/serviceaccounts/", {"name": ACCOUNT, "role": role, "isDisabled": False})
    return made


def _token(grafana: Grafana, path: str, name: str, days: int | None) -> Any:
    body: dict[str, Any] = {"name": name}
    if days is not None:
        body["secondsToLive"] = days * 86_400
    try:
        return grafana.post(path, body)
    except GrafanaRefused as refused:
        if refused.status == 400 and "seconds" in refused.reason.lower():
            raise GrafanaRefused(
                f"{grafana.url}: this Grafana wants tokens that end, and sets how late ({refused.reason}): "
                "give --days, and renew it in time by the same command",
                status=400,
                reason=refused.reason,
            ) from refused
        raise


def write_secret(file: Path, secret: str) -> None:
    """Into a file that only its owner reads, in one go: whoever reads it finds the old one or the new one, whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(secret + "\n")
        out.flush()
        os.fsync(out.fileno())
    draft.replace(file)
