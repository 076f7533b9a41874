"""The committed dashboards are those of the shipped profiles, and Grafana's own model understands them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboards.build import GENERATED, LANGUAGES, all_boards, build, is_drawn, render, unit, write_all
from dashboards.check import panels as all_panels
from dashboards.frame import without_tables
from dashboards.sdk import JSONEncoder, dashboard, plugins
from device_profiles import library

LIBRARY = library.load(library.SHIPPED)
PROFILES = {id_: profile for id_, profile in LIBRARY.items() if is_drawn(profile)}
BOARDS = {(language, str(place)): board for language in LANGUAGES for place, board in all_boards(LIBRARY, language)}
each_profile = pytest.mark.parametrize("name", sorted(PROFILES))


def panels(board: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] == kind]


def queries(board: dict[str, Any]) -> Iterator[str]:
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield target["query"]


def test_the_committed_files_are_what_the_profiles_give(tmp_path: Path) -> None:
    fresh = {file.relative_to(tmp_path): file.read_text() for file in write_all(LIBRARY, tmp_path)}
    committed = {file.relative_to(GENERATED): file.read_text() for file in GENERATED.rglob("*.json")}
    assert set(committed) == set(fresh), "run: courtyard dashboards build"
    for name, text in fresh.items():
        assert committed[name] == text, f"{name} is not what its profile gives; run: courtyard dashboards build"


def test_grafanas_model_reads_every_dashboard_and_writes_the_same() -> None:
    plugins.register_default_plugins()
    for board in BOARDS.values():
        again = json.loads(json.dumps(dashboard.Dashboard.from_json(board), cls=JSONEncoder))
        assert again == board
        assert board["schemaVersion"] == 42


def test_uids_fit_and_are_unique_and_ids_are_unique_within() -> None:
    uids = [board["uid"] for board in BOARDS.values()]
    assert len(set(uids)) == len(uids)
    assert all(len(one) <= 40 for one in uids)
    for board in BOARDS.values():
        ids = [panel["id"] for panel in all_panels(board)]
        assert ids == list(range(1, len(ids) + 1))


def test_both_languages_have_the_same_dashboards_and_no_word_of_the_other() -> None:
    """Names of columns and tiles are words too: they stand in the queries."""
    for (language, place), board in BOARDS.items():
        other = BOARDS["en" if language == "zh" else "zh", place]
        assert len(list(all_panels(board))) == len(list(all_panels(other)))
        if language == "en":
            titles = [board["title"], *(panel.get("title", "") for panel in all_panels(board))]
            assert not [title for title in titles if re.search("[\u4e00-\u9fff]", title)], place
            said = [target.get("rawSql", "") for panel in all_panels(board) for target in panel.get("targets", ())]
            assert not [query for query in said if re.search("[\u4e00-\u9fff]", query)], place


def test_colours_never_stand_alone() -> None:
    """Every value that has a colour has a word; every tile shows its name beside the number."""
    for board in BOARDS.values():
        for panel in all_panels(board):
            config = panel.get("fieldConfig", {})
            overridden = [
                p["value"] for o in config.get("overrides", ()) for p in o["properties"] if p["id"] == "mappings"
            ]
            for mappings in (config.get("defaults", {}).get("mappings", []), *overridden):
                for mapping in mappings:
                    results = (
                        mapping["options"].values() if mapping["type"] == "value" else [mapping["options"]["result"]]
                    )
                    assert all(result["text"] for result in results)
            if panel["type"] == "stat" and len(panel["targets"]) == 1 and "rawSql" in panel["targets"][0]:
                assert panel["options"]["textMode"] == "value_and_name"


def test_every_dashboard_leads_to_courtyard_and_tables_lead_to_the_device_the_alarm_and_the_ticket() -> None:
    for board in BOARDS.values():
        assert {"${courtyard}/", "${courtyard}/alarms", "${courtyard}/tickets"} <= {
            one.get("url") for one in board["links"]
        }
    text = json.dumps(BOARDS["zh", "overview/site.json"])
    for page in (
        "/alarms/${__data.fields.id}",
        "/tickets/${__data.fields.ticket_id}",
        "/devices/${__data.fields.device_id}",
    ):
        assert "${courtyard}" + page in text


def test_episodes_are_regions_where_there_is_a_site() -> None:
    for (_, place), board in BOARDS.items():
        names = [variable["name"] for variable in board["templating"]["list"]]
        if "site" in names and "tickets" not in place:
            regions = [one["target"]["rawSql"] for one in board["annotations"]["list"]]
            assert len(regions) == 3
            assert all("AS timeend" in query and "${site:sqlstring}" in query for query in regions)


def test_without_postgresql_a_family_is_drawn_all_the_same() -> None:
    bare = without_tables(BOARDS["en", "families/camera.json"])
    assert "postgres" not in json.dumps(bare)
    assert len(bare["panels"]) == len(BOARDS["en", "families/camera.json"]["panels"])
    with pytest.raises(ValueError, match="cy-site-en"):
        without_tables(BOARDS["en", "overview/site.json"])


@each_profile
def test_every_metric_and_state_is_drawn_once(name: str) -> None:
    profile = PROFILES[name]
    fields = [field for query in queries(build(profile, "en")) for field in re.findall(r'\("([a-z0-9_]+)"\)', query)]
    assert sorted(fields) == sorted([*profile.metrics, *profile.states])


@each_profile
def test_states_show_their_word_and_a_colour_in_both_languages(name: str) -> None:
    profile = PROFILES[name]
    for language in LANGUAGES:
        drawn = panels(build(profile, language), "state-timeline")
        assert len(drawn) == len(profile.states)
        by_title = {panel["title"]: panel for panel in drawn}
        for state in profile.states.values():
            (mapping,) = by_title[state.name.in_(language)]["fieldConfig"]["defaults"]["mappings"]
            assert set(mapping["options"]) == set(state.values)
            for word, value in state.values.items():
                shown = mapping["options"][word]
                assert shown["text"] == (value.zh if language == "zh" else value.en)
                assert shown["color"]


def test_panels_do_not_overlap() -> None:
    for board in BOARDS.values():
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not cells & taken, f"{board['uid']}: {panel['title']}"
            assert all(x < 24 for x, _ in cells)
            taken |= cells


def test_a_profile_of_ones_own_gives_its_dashboards_without_a_hand(tmp_path: Path) -> None:
    own = PROFILES["sump_pump_json"].model_copy(update={"profile": "my_pump", "family": "fountain"})
    written = {str(file.relative_to(tmp_path)) for file in write_all({**LIBRARY, "my_pump": own}, tmp_path)}
    assert {"zh/my_pump.json", "en/my_pump.json", "zh/families/fountain.json"} <= written
    theirs = tmp_path / "en" / "theirs.json"
    theirs.write_text("{}")
    assert {str(file.relative_to(tmp_path)) for file in write_all(LIBRARY, tmp_path)} < written
    assert theirs.exists()
    assert not (tmp_path / "zh" / "my_pump.json").exists()


@each_profile
def test_queries_are_bounded_by_time_site_and_device(name: str) -> None:
    family = PROFILES[name].family
    for query in queries(build(PROFILES[name], "en")):
        assert f'FROM "$resolution"."{family}" WHERE $timeFilter' in query
        assert '"site" =~ /^${site:regex}$/ AND "device" =~ /^${device:regex}$/' in query


def test_one_axis_has_one_unit() -> None:
    profile = PROFILES["access_gate_json"]
    for panel in panels(build(profile, "en"), "timeseries"):
        drawn = {re.findall(r'\("([a-z0-9_]+)"\)', target["query"])[0] for target in panel["targets"]}
        assert len({profile.metrics[metric].uom for metric in drawn}) == 1


def test_a_limit_of_a_rule_is_a_line() -> None:
    board = build(PROFILES["ebike_charger_json"], "en")
    (panel,) = (panel for panel in panels(board, "timeseries") if panel["title"] == "Port temperature")
    marks = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [(mark["value"], mark["color"]) for mark in marks] == [
        (None, "transparent"),
        (60, "yellow"),
        (80, "dark-red"),
    ]
    assert panel["fieldConfig"]["defaults"]["unit"] == "celsius"
    assert "Port too hot" in panel["description"]


def test_an_unknown_unit_is_written_as_it_is() -> None:
    assert unit("MPa") == "suffix: MPa"
    assert unit("") == "short"


def test_the_same_profile_gives_the_same_bytes() -> None:
    profile = PROFILES["booster_set"]
    assert render(profile, "zh") == render(profile, "zh")


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_series_is_named_after_what_was_chosen_in_an_editor(language: str) -> None:
    """Grafana fills `$m` and `$measurement` from its own editor: of our queries it made one empty name for all."""
    aliases = [
        str(target.get("alias", ""))
        for (spoken, _), board in BOARDS.items()
        if spoken == language
        for panel in all_panels(board)
        for target in panel.get("targets", ())
    ]
    assert any("$0" in alias for alias in aliases)
    assert not [alias for alias in aliases if re.search(r"\$m(easurement)?\b|\[\[m(easurement)?]]", alias)]
