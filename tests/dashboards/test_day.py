"""Every query of every dashboard, asked of a real InfluxDB and a real PostgreSQL that hold a day of the demo site."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from dashboards import macros
from dashboards.build import LANGUAGES, all_boards
from dashboards.check import Answer, Language, ask, filled, panels, questions
from dashboards.frame import Json
from dashboards.macros import ALL, Chosen
from device_profiles.telemetry import RAW
from tests.dashboards.conftest import Day
from tests.dashboards.day import END, LIBRARY, YARD

pytestmark = [pytest.mark.influxdb, pytest.mark.postgresql]
SITE = "osmanthus"
BOARDS = {language: {str(place): board for place, board in all_boards(LIBRARY, language)} for language in LANGUAGES}
DEMO = {
    "access_gate_json",
    "booster_set",
    "camera_frigate",
    "ebike_charger_ap3000",
    "ebike_charger_json",
    "sump_pump_json",
}
SPANS = {"autogen": timedelta(hours=6), "5m": timedelta(hours=24), "1h": timedelta(days=30)}


def chosen(level: str, *sites: str) -> Chosen:
    values = {
        "site": sites,
        "device": [ALL],
        "family": ["access_gate"],
        "resolution": [level],
        "summed": [level if level != RAW.name else "5m"],
        "courtyard": ["http://127.0.0.1:8080"],
    }
    return Chosen(start=END - SPANS[level], end=END, values=values)


def answers(day: Day, boards: dict[str, Json], what: Chosen) -> list[Answer]:
    given = {Language.INFLUXQL: day.influx, Language.SQL: day.tables}
    return list(ask((question for board in boards.values() for question in questions(board)), what, given))


def expect_rows(found: list[Answer]) -> None:
    bad = [one for one in found if one.error or not one.rows]
    said = [
        f"{one.question.uid} · {one.question.where} {one.question.ref}: {one.error or 'no rows'}\n    {one.asked}"
        for one in bad
    ]
    assert not bad, "\n".join(said[:20]) + f"\n{len(bad)} of {len(found)}"


def boards(*, profiles: set[str] | None = None, language: str = "en") -> dict[str, Json]:
    """Families and overviews, and of the profiles all or these."""
    return {
        place: board
        for place, board in BOARDS[language].items()
        if "/" in place or profiles is None or place.removesuffix(".json") in profiles
    }


@pytest.mark.parametrize("level", ["5m", "1h"])
def test_summed_up_levels_fill_every_panel_of_families_and_overviews(day: Day, level: str) -> None:
    found = answers(day, boards(profiles=DEMO), chosen(level, SITE, YARD))
    assert len(found) > 300
    expect_rows(found)


def test_as_measured_every_query_of_every_dashboard_finds_something(day: Day) -> None:
    found = answers(day, boards(), chosen(RAW.name, SITE, YARD))
    assert len(found) > 1500
    expect_rows(found)


def test_what_the_sites_own_devices_said_stands_in_the_panels_and_nothing_else(day: Day) -> None:
    """Without the yard: a panel is empty exactly where no device of the site said that."""
    families = {f"families/{LIBRARY[name].family}.json" for name in DEMO}
    mine = {
        place: board
        for place, board in boards(profiles=DEMO).items()
        if not place.startswith("families/") or place in families
    }
    found = answers(day, mine, chosen(RAW.name, SITE))
    assert len({one.question.uid for one in found}) == len(DEMO) + len(families) + 4
    for one in found:
        assert bool(one.rows) == expected(day, one), f"{one.rows} rows: {one.question}"


def expected(day: Day, answer: Answer) -> bool:
    field = re.search(
        r'(?:mean|last)\("([a-z0-9_]+)"\).* FROM "autogen"."([a-z0-9_]+)"',
        answer.question.query.replace("$resolution", RAW.name),
    )
    if field is not None:
        return (field[2], field[1]) in day.played.said
    quality = re.search(r"cy_quality\" = '(\w+)'", answer.question.query)
    return quality is None or quality[1] == "late"  # the one thing that went wrong with the data of the day


@pytest.mark.parametrize("language", LANGUAGES)
def test_tables_and_tiles_say_what_happened(day: Day, language: str) -> None:
    """The demo's opening, as people will read it."""
    site = BOARDS[language]["overview/site.json"]
    tiles = {
        one.where: day.tables.values(filled(one, chosen(RAW.name, SITE)))
        for one in questions(site)
        if one.language is Language.SQL
    }
    titles = {
        "zh": ("当前告警", "当前问题", "居民缺少的服务"),
        "en": ("Open alarms", "What is wrong now", "What residents lack now"),
    }
    alarms, wrong, missing = (tiles[title] for title in titles[language])
    assert sum(alarms[0]) == len(wrong) >= 4
    assert wrong[0][0] == "critical"
    assert {("ebike_charger_json/port_hot"), ("booster_set/pressure_lost")} & {row[3] for row in wrong}
    assert {row[0] for row in missing} >= {"water", "charging"}
    assert {"zh": "桂花里小区", "en": "Osmanthus Yard"}[language] in {row[2] for row in missing}


def test_a_profile_shows_its_own_devices_by_name_and_part(day: Day) -> None:
    """Each query of a profile's panels finds that profile's device in the yard, once, with its child if it has one."""
    what = chosen(RAW.name, YARD)
    asked = 0
    for name in LIBRARY:
        board = BOARDS["en"].get(f"{name}.json")
        for panel in panels(board) if board else ():
            for target in panel.get("targets", ()):
                series = day.influx.series(macros.influxql(target["query"], what, every="60s"))
                mine = [one["tags"] for one in series if one["tags"]["device"] == f"{name}-1"]
                assert len(mine) == 1, f"{name}: {panel['title']}"
                assert bool(mine[0].get("child")) == ("$tag_child" in target["alias"])
                asked += 1
    assert asked == sum(len(one.metrics) + len(one.states) for one in LIBRARY.values())
