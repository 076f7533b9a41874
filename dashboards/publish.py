"""Dashboards into a Grafana, through its API. Publishing again changes only what differs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grafana_client.api import GrafanaApi
from grafana_client.client import GrafanaClientError, GrafanaException

FOLDER_UID = "courtyard"
FOLDER_TITLE = "Courtyard"


class GrafanaRefused(Exception):
    """Grafana cannot be reached, or does not take it; the text says why."""


@dataclass(frozen=True)
class Published:
    uid: str
    title: str
    url: str


def publish(url: str, token: str, files: Iterable[Path], *, timeout_seconds: float = 15.0) -> list[Published]:
    """Put dashboard files into the folder "Courtyard". `token` is of a service account. Raises GrafanaRefused."""
    # grafana-client is only half typed: what it answers is plain JSON anyway.
    grafana: Any = GrafanaApi.from_url(url, credential=token, timeout=timeout_seconds)
    try:
        _ensure_folder(grafana)
        return [_publish_one(grafana, json.loads(file.read_text(encoding="utf-8"))) for file in files]
    except (GrafanaException, OSError) as refused:  # niquests' errors are OSErrors
        raise GrafanaRefused(f"{url}: {refused}") from refused


def _ensure_folder(grafana: Any) -> None:
    try:
        grafana.folder.get_folder(FOLDER_UID)
    except GrafanaClientError as missing:
        if missing.status_code != 404:
            raise
        grafana.folder.create_folder(FOLDER_TITLE, uid=FOLDER_UID)


def _publish_one(grafana: Any, board: dict[str, Any]) -> Published:
    # No numeric id: it is of one Grafana only, the uid is everywhere the same.
    body = {"dashboard": {**board, "id": None}, "folderUid": FOLDER_UID, "overwrite": True}
    answer = grafana.dashboard.update_dashboard(body)
    return Published(uid=answer["uid"], title=board["title"], url=answer.get("url", ""))
