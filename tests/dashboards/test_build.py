"""The committed dashboards are those of the shipped profiles, and Grafana's own model understands them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboards.build import GENERATED, LANGUAGES, build, is_drawn, render, uid, unit, write_all
from dashboards.sdk import JSONEncoder, dashboard, plugins
from device_profiles import library

PROFILES = {id_: profile for id_, profile in library.load(library.SHIPPED).items() if is_drawn(profile)}
each_profile = pytest.mark.parametrize("name", sorted(PROFILES))
each_language = pytest.mark.parametrize("language", LANGUAGES)


def panels(board: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] == kind]


def queries(board: dict[str, Any]) -> Iterator[str]:
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield target["query"]


def test_the_committed_files_are_what_the_profiles_give(tmp_path: Path) -> None:
    fresh = {file.relative_to(tmp_path): file.read_text() for file in write_all(PROFILES, tmp_path)}
    committed = {file.relative_to(GENERATED): file.read_text() for file in GENERATED.rglob("*.json")}
    assert set(committed) == set(fresh), "run: courtyard dashboards build"
    for name, text in fresh.items():
        assert committed[name] == text, f"{name} is not what its profile gives; run: courtyard dashboards build"


@each_profile
@each_language
def test_grafanas_model_reads_it_and_writes_the_same(name: str, language: str) -> None:
    plugins.register_default_plugins()
    board = build(PROFILES[name], language)
    again = json.loads(json.dumps(dashboard.Dashboard.from_json(board), cls=JSONEncoder))
    assert again == board
    assert board["schemaVersion"] == 42
    assert len(board["uid"]) <= 40


def test_uids_are_unique_and_ids_are_unique_within() -> None:
    uids = [uid(profile, language) for profile in PROFILES.values() for language in LANGUAGES]
    assert len(set(uids)) == len(uids)
    for profile in PROFILES.values():
        ids = [panel["id"] for panel in build(profile, "en")["panels"]]
        assert len(set(ids)) == len(ids)


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


@each_profile
def test_panels_do_not_overlap(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in build(PROFILES[name], "zh")["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert all(x < 24 for x, _ in cells)
        taken |= cells


@each_profile
def test_queries_are_bounded_by_time_site_and_device(name: str) -> None:
    family = PROFILES[name].family
    for query in queries(build(PROFILES[name], "en")):
        assert f'FROM "{family}" WHERE $timeFilter' in query
        assert '"site" =~ /^$site$/ AND "device" =~ /^$device$/' in query


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
