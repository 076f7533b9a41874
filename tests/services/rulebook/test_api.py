"""A rule book by the API: the version that was looked at, the backtest before it, and nothing lost."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from threading import Event
from typing import Any

from sqlalchemy import select

from services.accounts.audit import Intact, verify
from services.backtest.jobs import Jobs
from services.backtest.recipe import Recipe
from services.backtest.report import Cancelled, Progress, Report
from services.tables import audit
from tests.services.rulebook.kit import PROMPTLY, Yard
from tests.stories.site import MIDNIGHT

LATER = {"rules": {"pumps": {"low": {"for": "5m"}}}}
BOOK = "/api/v1/sites/yard/rule-book"


def test_a_site_begins_with_an_empty_book(yard: Yard) -> None:
    answer = yard.api().get(BOOK)
    assert answer.headers["ETag"] == '"0"'
    assert answer.json() == {
        "site": "yard", "version": 0, "at": None, "who": "", "note": "", "preview": None, "book": {},
    }  # fmt: skip


def test_a_change_needs_a_backtest_of_itself_or_a_reason(yard: Yard) -> None:
    untried = yard.api().put(BOOK, json={"book": LATER, "version": 0})
    assert (untried.status_code, untried.json()["type"]) == (422, "preview-needed")
    without_reason = yard.api().put(BOOK, json={"book": LATER, "version": 0, "without_preview": True})
    assert "reason" in without_reason.json()["next_step"]
    tried = yard.preview(LATER, MIDNIGHT - timedelta(hours=1), MIDNIGHT)
    assert tried["state"] == "done", tried["error"]
    another = {"rules": {"pumps": {"low": {"for": "6m"}}}}
    refused = yard.put(another, preview=tried["id"])
    assert "another change" in refused.json()["detail"]
    assert yard.get("/rule-book")["version"] == 0, "nothing has changed"
    shipped = yard.put(LATER, preview=tried["id"], note="too often")
    assert shipped.status_code == 200, shipped.text
    assert shipped.headers["ETag"] == '"1"'
    assert (shipped.json()["who"], shipped.json()["note"]) == ("token:engineer", "too often")
    assert shipped.json()["preview"]["id"] == tried["id"]
    assert yard.put({}, version=1, without_preview=True, reason="storm tonight").json()["preview"] == {
        "without": "storm tonight"
    }


def test_what_somebody_else_shipped_meanwhile_is_not_overwritten(yard: Yard) -> None:
    assert yard.put(LATER).status_code == 200
    late = yard.put({"params": {"pumps": {"low": 0.25}}})
    assert late.status_code == 409
    assert late.json()["detail"] == (
        "The rule book of 'yard' is at version 1 by token:engineer, and this change began with version 0."
    )
    assert yard.get("/rule-book")["book"] == LATER
    unsaid = yard.api().put(BOOK, json={"book": {}, "without_preview": True, "reason": "x"})
    assert (unsaid.status_code, unsaid.json()["type"]) == (428, "version-needed")
    by_tag = yard.api().put(
        BOOK, json={"book": {}, "without_preview": True, "reason": "x"}, headers={"If-Match": 'W/"1"'}
    )
    assert by_tag.json()["version"] == 2


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"rules": {"pumps": {"lwo": {"mode": "off"}}}}, "rules.pumps.lwo", "no such rule"),
    ({"rules": {"pumps": {"low": {"when": "presure < low"}}}}, "rules.pumps.low", "did you mean pressure?"),
    ({"rules": {"pumps": {"low": {"when": "pressure < low +"}}}}, "rules.pumps.low", "found the end"),
    ({"rules": {"pumpz": {"low": {"mode": "off"}}}}, "rules.pumpz", "no such profile"),
    ({"params": {"pumps": {"low": 9}}}, "params.pumps.low", "expected at least 0 and at most 2 MPa"),
    ({"params": {"pumps": {"pumps": 3}}}, "params.pumps.pumps", "site file"),
    ({"devices": {"pumps-7": {"params": {"low": 0.2}}}}, "devices.pumps-7", "no such device"),
    ({"devices": {"pumps": {"params": {"low": "x"}}}}, "devices.pumps.params.low", "expected a number"),
]


def test_what_does_not_fit_is_refused_at_its_place(yard: Yard) -> None:
    for book, where, said in REFUSED:
        answer = yard.put(book)
        assert answer.status_code == 422, answer.text
        (mistake,) = answer.json()["mistakes"]
        assert mistake["where"] == where
        assert said in mistake["expected"]
    assert yard.get("/rule-book")["version"] == 0


def test_a_preview_is_stopped_by_who_asked_and_a_site_has_its_share(yard: Yard) -> None:
    def endless(_recipe: Recipe, told: Callable[[Progress], None], stopping: Event) -> Report:
        told(Progress(1234, 0, 0.25))
        stopping.wait()
        raise Cancelled

    yard.context = replace(yard.context, jobs=Jobs(endless))
    asked = [yard.api().post(f"{BOOK}/previews", json={"book": LATER, "version": 0}).json() for _ in range(4)]
    full = yard.api().post(f"{BOOK}/previews", json={"book": LATER, "version": 0})
    assert (full.status_code, full.json()["type"]) == (429, "too-many")
    first, second = (f"/rules/previews/{one['id']}" for one in asked[:2])
    wait_until(
        lambda: (
            {"25 %", "1,234 readings"}
            <= set(re.findall(r"25 %|1,234 readings", yard.api().get(f"{first}?site=yard&profile=pumps&rule=low").text))
        )
    )
    assert "It waits for its turn: 1 backtest comes first." in yard.api().get(f"{second}?site=yard").text
    assert yard.api("crew").post(f"{first}/cancel?site=yard").status_code == 403
    assert yard.api().post(f"{first}/cancel?site=yard&profile=pumps&rule=low").status_code == 303
    wait_until(lambda: yard.get(f"/rule-book/previews/{asked[0]['id']}")["state"] == "cancelled")
    assert "It was cancelled." in yard.api().get(f"{first}?site=yard&profile=pumps&rule=low").text
    shipped = yard.put(LATER, preview=asked[0]["id"])
    assert "The backtest is cancelled" in shipped.json()["detail"]
    for one in asked[1:]:
        assert yard.api().delete(f"{BOOK}/previews/{one['id']}").status_code == 200
    yard.context.jobs.close()
    assert {yard.get(f"/rule-book/previews/{one['id']}")["state"] for one in asked} == {"cancelled"}


def wait_until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PROMPTLY
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_versions_are_kept_compared_and_gone_back_to(yard: Yard) -> None:
    yard.put(LATER, note="first")
    second = {**LATER, "params": {"pumps": {"low": 0.25}}}
    yard.put(second, version=1, note="second")
    assert [one["note"] for one in yard.get("/rule-book/versions")["items"]] == ["second", "first"]
    page = yard.get("/rule-book/versions", limit=1)
    assert [one["version"] for one in yard.get("/rule-book/versions", cursor=page["next"])["items"]] == [1]
    assert yard.get("/rule-book/versions/1")["book"] == LATER
    assert yard.get("/rule-book/versions/2/diff") == [
        {"profile": "pumps", "rule": "", "device": "", "field": "low", "before": None, "after": "0.25"}
    ]
    assert yard.get("/rule-book/versions/0/diff", against=2)[0] == {
        "profile": "pumps", "rule": "low", "device": "", "field": "for", "before": "5m", "after": None,
    }  # fmt: skip
    assert yard.api().get(f"{BOOK}/versions/7").status_code == 404
    back = yard.api().post(f"{BOOK}/rollback", json={"to": 1, "version": 2})
    assert (back.json()["version"], back.json()["book"], back.json()["note"]) == (3, LATER, "Back to version 1")
    assert back.json()["preview"] == {"rollback": 1}
    assert yard.api().post(f"{BOOK}/rollback", json={"to": 0, "version": 2}).status_code == 409
    with yard.site.database.read() as connection:
        acts = connection.execute(select(audit).where(audit.c.action.like("rules.%"))).all()
    assert [(row.action, row.subject, row.data["version"]) for row in acts] == [
        ("rules.shipped", "yard", 1),
        ("rules.shipped", "yard", 2),
        ("rules.rolled_back", "yard", 3),
    ]
    assert acts[0].data["without"] == "a test"
    assert isinstance(verify(yard.site.database), Intact)


def test_only_engineers_of_the_site_change_it_and_nobody_elsewhere_sees_it(yard: Yard) -> None:
    yard.put(LATER)
    assert yard.api("crew").get(BOOK).status_code == 200
    assert yard.api("crew").get("/api/v1/sites/yard/rules").status_code == 200
    body = {"book": {}, "version": 1, "without_preview": True, "reason": "x"}
    assert yard.api("crew").put(BOOK, json=body).status_code == 403
    preview = yard.preview({}, MIDNIGHT - timedelta(hours=1), MIDNIGHT, version=1)
    for path in ("", "/versions", "/versions/1", "/versions/1/diff", f"/previews/{preview['id']}"):
        assert yard.api("elsewhere").get(f"{BOOK}{path}").status_code == 404, path
    assert yard.api("elsewhere").get("/api/v1/sites/yard/rules").status_code == 404
    assert yard.api("elsewhere").put(BOOK, json=body).status_code == 404
    assert yard.api("elsewhere").post(f"{BOOK}/rollback", json={"to": 0, "version": 1}).status_code == 404
    assert yard.api("elsewhere").post(f"{BOOK}/previews", json={"book": {}}).status_code == 404
    assert yard.get("/rule-book")["version"] == 1


def test_a_stretch_that_cannot_be_tried_is_refused(yard: Yard) -> None:
    for start, end in ((MIDNIGHT, MIDNIGHT), (MIDNIGHT - timedelta(days=100), MIDNIGHT)):
        asked = {"book": {}, "start": start.isoformat(), "end": end.isoformat()}
        answer = yard.api().post(f"{BOOK}/previews", json=asked)
        assert (answer.status_code, answer.json()["next_step"]) == (
            422,
            "`end` must be after `start`, by at most 92 days.",
        )
    naive = yard.api().post(f"{BOOK}/previews", json={"book": {}, "start": "2026-03-01T00:00:00"})
    assert "zone" in naive.json()["detail"]


def test_the_rules_say_their_thresholds_and_who_says_them(yard: Yard) -> None:
    book = {"params": {"pumps": {"low": 0.25}}, "devices": {"pumps": {"params": {"low": 0.2}}}}
    yard.put({**book, "rules": {"pumps": {"wet": {"mode": "off"}, "gone": {"mode": "shadow", "severity": "minor"}}}})
    found = {one["id"]: one for one in yard.get("/rules", profile="pumps")["rules"]}
    (low,) = found["pumps/low"]["params"]
    assert (low["value"], low["default"], low["origin"], low["differing_devices"]) == (0.25, 0.3, "book", 1)
    assert (found["pumps/wet"]["mode"], found["pumps/wet"]["changed"]) == ("off", ["mode"])
    assert (found["pumps/gone"]["mode"], found["pumps/gone"]["severity"]) == ("shadow", "minor")
    assert found["pumps/low"]["for_seconds"] == 60
