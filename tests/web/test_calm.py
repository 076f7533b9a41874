"""Pages of what is kept quiet: suppressed, folded, flapping alarms, and the storm that stands for many."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser
from sqlalchemy import insert, select

from services.tables import alarms
from tests.web.conftest import Courtyard, build, serving
from tests.web.seed import SITE
from tests.web.test_browser import PHONE, browsing, chromium, too_wide, violations

__all__ = ["chromium"]


def _row(id: str, **columns: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "id": id,
        "site": SITE,
        "device": "pile-2",
        "child": "",
        "rule": "too_hot",
        "profile": "ebike_charger_json",
        "severity": "minor",
        "state": "active",
        "reason": {"name": {"zh": "很热", "en": "Much too hot"}, "condition": "t > 80", "values": {}},
        "pending_since": now,
        "raised_at": now - timedelta(minutes=3),
        "suppressed_by": None,
        "parent": None,
        "flaps": None,
        **columns,
    }


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Courtyard]:
    """A storm with two alarms under it, one that a window keeps quiet, one that its cause does, one that flaps."""
    storm = {"profile": "ebike_charger_json", "rule": "too_hot", "count": 12, "told": 11, "devices": ["pile-1"]}
    reason = {"name": {"zh": "大量告警", "en": "Many alarms of one cause"}, "condition": "alarms > 10", "values": {}}
    found = [
        _row("z-storm", device=f"storm:{SITE}", child="ebike_charger_json", profile="courtyard_storms",
             reason={**reason, "storm": {**storm, "within_seconds": 600}}),
        _row("z-1", parent="z-storm", child="port:1"),
        _row("z-2", parent="z-storm", child="port:2"),
        _row("z-3", child="port:3", state="suppressed", suppressed_by={"kind": "maintenance", "id": "w", "since": 0}),
        _row("z-4", child="port:4", state="suppressed", suppressed_by={"kind": "cause", "id": "z-1", "since": 0}),
        _row("z-5", child="port:5", flaps=6),
    ]  # fmt: skip
    with ExitStack() as stack:
        courtyard = build(stack, tmp_path_factory.mktemp("quiet"))
        with courtyard.context.database.write() as connection:
            connection.execute(insert(alarms), found)
        yield courtyard


def _ids(courtyard: Courtyard, path: str) -> set[str]:
    answer = courtyard.client("chen.yu").get(path)
    assert answer.status_code == 200
    with courtyard.context.database.read() as connection:
        ids = connection.scalars(select(alarms.c.id).where(alarms.c.id.like("z-%"))).all()
    return {id for id in ids if f'href="/alarms/{id}"' in answer.text}


def test_a_storm_is_one_line_and_its_alarms_are_listed_under_it(quiet: Courtyard) -> None:
    assert _ids(quiet, "/alarms") == {"z-storm", "z-5"}
    assert _ids(quiet, "/alarms?state=suppressed") == {"z-3", "z-4"}
    assert _ids(quiet, "/alarms?state=all") == {"z-storm", "z-3", "z-4", "z-5"}
    assert _ids(quiet, "/alarms?under=z-storm") == {"z-storm", "z-1", "z-2"}, "the link back, and what is under it"
    assert _ids(quiet, "/alarms?under=z-storm&state=suppressed") == {"z-storm"}
    assert _ids(quiet, "/") == {"z-storm", "z-5"}
    assert _ids(quiet, "/devices/pile-2") == {"z-1", "z-2", "z-3", "z-4", "z-5"}


@pytest.mark.parametrize(
    ("path", "english", "chinese"),
    [
        ("/alarms", "12 alarms", "12 条告警"),
        ("/alarms", "began 6 times", "已出现 6 次"),
        ("/alarms?state=suppressed", "maintenance window", "维护窗口"),
        ("/alarms?state=suppressed", "another alarm explains it", "另一条告警是其原因"),
        ("/alarms?under=z-storm", "part of a storm of alarms", "告警风暴的一部分"),
        ("/alarms/z-storm", "Several devices", "多台设备"),
        ("/alarms/z-1", "The storm has one ticket for all of them.", "整个风暴共用一张工单。"),
        ("/alarms/z-3", "While it is suppressed nobody is sent.", "抑制期间不派人。"),
        ("/alarms/z-4", "Suppressed", "已抑制"),
        ("/alarms/z-5", "Flapping", "反复"),
    ],
)
def test_states_are_said_in_words(quiet: Courtyard, path: str, english: str, chinese: str) -> None:
    assert english in quiet.client("chen.yu", "en").get(path).text
    assert chinese in quiet.client("chen.yu", "zh-CN").get(path).text


def test_where_a_storm_stands_there_is_no_device(quiet: Courtyard) -> None:
    answer = quiet.client("chen.yu").get(f"/devices/storm:{SITE}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/alarms")


def test_the_api_lists_what_is_under_a_storm(quiet: Courtyard) -> None:
    client = quiet.client("chen.yu")
    client.headers["Accept"] = "application/json"
    found = {one["id"]: one for one in client.get("/api/v1/alarms", params={"under": "z-storm"}).json()["items"]}
    assert set(found) == {"z-1", "z-2"}
    assert found["z-1"]["parent"] == "z-storm"
    (window, cause) = client.get("/api/v1/alarms", params={"state": "suppressed"}).json()["items"][::-1]
    assert (window["suppressed_by"]["kind"], cause["suppressed_by"]["id"]) == ("maintenance", "z-1")


@pytest.mark.browser
@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_a_storm_is_read_on_a_phone(chromium: Browser, quiet: Courtyard, locale: str) -> None:
    """Nothing is wider than the screen, and axe-core finds nothing serious."""
    found: list[str] = []
    with (
        serving(quiet) as server,
        browsing(chromium, server.url, quiet, "chen.yu", viewport=PHONE, locale=locale) as page,
    ):
        for path in ("/alarms", "/alarms?state=suppressed", "/alarms?under=z-storm", "/alarms/z-storm", "/alarms/z-4"):
            page.goto(path)
            found += [*violations(page, "light"), *too_wide(page)]
    assert not found, "\n".join(found)
