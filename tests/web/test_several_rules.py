"""Rules over several devices on the pages: listed, in words, with how their members stand, and where to change them."""

from __future__ import annotations

import html
from typing import Any

from sqlalchemy import delete, insert, select, update

from services.groups.rule import SITE_RULES
from services.tables import alarms, sites
from tests.web.conftest import Courtyard
from tests.web.seed import SITE

FREE: dict[str, Any] = {
    "id": "few_free_ports",
    "name": {"zh": "空闲充电口不足两成", "en": "Few ports free"},
    "of": {"families": ["ebike_charger"]},
    "when": "share(port, port_state == idle) < 20 %",
    "for": "10m",
    "severity": "minor",
    "schedule": [{"from": "06:00", "to": "23:00"}],
}
BROKEN = {**FREE, "id": "gone", "name": {"zh": "坏的", "en": "Gone"}, "when": "number(port, no_such == 1) >= 2"}


def ask(courtyard: Courtyard, path: str, rules: list[dict[str, Any]], feeds: list[dict[str, Any]]) -> str:
    database = courtyard.context.database
    with database.write() as connection:
        connection.execute(update(sites).where(sites.c.id == SITE).values(rules=rules, feeds=feeds))
    try:
        page = courtyard.client("li.wei").get(path)
    finally:
        with database.write() as connection:
            connection.execute(update(sites).where(sites.c.id == SITE).values(rules=[], feeds=[]))
    assert page.status_code == 200, page.text
    return html.unescape(page.text)


def test_they_stand_in_the_list_in_a_group_of_their_own(courtyard: Courtyard) -> None:
    page = ask(courtyard, f"/rules?site={SITE}", [FREE, BROKEN], [])
    group = page.split('id="several"')[1].split("</section>")[0]
    assert "share of “Port” (Port state = free) < 20 %, for 10 min" in group
    assert "Applies: 06:00\u201323:00" in group
    assert "from the site file" in group
    assert "It is not judged: " in group
    assert "Gone" not in ask(courtyard, f"/rules?site={SITE}&q=few_free", [FREE, BROKEN], [])
    assert "Few ports free" not in ask(courtyard, f"/rules?site={SITE}&show=problems", [FREE, BROKEN], [])


def test_one_explains_itself_and_says_where_it_is_changed(courtyard: Courtyard) -> None:
    page = ask(courtyard, f"/rules/{SITE_RULES}/few_free_ports?site={SITE}", [FREE], [])
    assert "the whole site" in page
    assert f"courtyard site export {SITE}" in page
    assert "Change it under rules there" in page
    broken = ask(courtyard, f"/rules/{SITE_RULES}/gone?site={SITE}", [BROKEN], [])
    assert "It is not judged: " in broken
    assert courtyard.client("li.wei").get(f"/rules/{SITE_RULES}/other?site={SITE}").status_code == 404


def test_what_a_feed_brings_is_judged_by_a_built_in_rule_that_shows(courtyard: Courtyard) -> None:
    board = {"id": "board-1", "kind": "power", "devices": ["pile-1", "pile-2"]}
    page = ask(courtyard, f"/rules/{SITE_RULES}/feed_down?site={SITE}", [], [board])
    assert "Nothing heard from what it powers" in page
    assert "board-1: 0 of " in page or "board-1: 1 of " in page or "board-1: 2 of " in page
    assert "It is built in." in page


def test_its_alarm_says_its_condition_in_words(courtyard: Courtyard) -> None:
    counted = "number(port, port_state == fault)"
    values = {counted: 2, f"{counted} met by": "2/3: pile-1 port:1, pile-2 port:1"}
    reason = {"condition": f"{counted} >= 2", "clear": f"{counted} < 1", "values": values}
    with courtyard.context.database.write() as connection:
        hot = connection.execute(select(alarms).where(alarms.c.id == "a-hot")).one()._mapping
        own = {"id": "a-over", "device": f"site:{SITE}", "child": "", "profile": SITE_RULES, "reason": reason}
        connection.execute(insert(alarms).values({**hot, **own}))
    try:
        page = html.unescape(courtyard.client("li.wei").get("/alarms/a-over").text)
    finally:
        with courtyard.context.database.write() as connection:
            connection.execute(delete(alarms).where(alarms.c.id == "a-over"))
    assert "number of “Port” (Port state = fault) ≥ 2" in page
    assert "number of “Port” (Port state = fault) < 1" in page
