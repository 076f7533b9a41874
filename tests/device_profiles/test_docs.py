"""docs/profile-reference.md names every key of every section, and no other; what docs/profiles.md shows works."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from device_profiles import schema
from device_profiles.expression import DEEPEST, FUNCTIONS, LONGEST
from device_profiles.library import load_text
from gateway.decode.samples import check_samples
from services.rules.profile_tests import check_rule_tests
from tests.device_profiles.fragments import whole

DOCS = Path(__file__).parents[2] / "docs" / "profiles.md"
REFERENCE = DOCS.with_name("profile-reference.md")
MODELS = {
    name: model
    for name, model in inspect.getmembers(schema, inspect.isclass)
    if issubclass(model, schema.Part) and model is not schema.Part
}


def section(model: str) -> str:
    found = re.search(
        rf"^## {model}\n(.*?)(?=^## |\Z)", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert found, f"docs/profile-reference.md has no section {model}"
    return found[1]


@pytest.mark.parametrize("name", MODELS)
def test_every_key_is_documented_and_no_other(name: str) -> None:
    keys = {field.alias or key for key, field in MODELS[name].model_fields.items()}
    first_cells = re.findall(r"^\| (`[^|]*) \|", section(name), re.MULTILINE)
    documented = [key for cell in first_cells for key in re.findall(r"`([^`]+)`", cell)]
    assert sorted(documented) == sorted(keys)


@pytest.mark.parametrize("name", MODELS)
def test_the_keys_that_must_be_given_are_marked(name: str) -> None:
    needed = {field.alias or key for key, field in MODELS[name].model_fields.items() if field.is_required()}
    first_cells = re.findall(r"^\| (`[^|]*) \|", section(name), re.MULTILINE)
    marked = {key for cell in first_cells for key in re.findall(r"`([^`]+)` \\\*", cell)}
    assert marked == needed


def test_no_section_of_a_model_that_is_gone() -> None:
    sections = set(re.findall(r"^## (\w+)$", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE))
    assert sections == set(MODELS)


def test_the_limits_are_those_of_the_grammar() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert f"at most {LONGEST:,} characters and {DEEPEST} nested levels" in text
    for word in FUNCTIONS:
        assert f"`{word}(" in text


def fragments() -> dict[str, str]:
    text = DOCS.read_text(encoding="utf-8")
    part = text[text.index("## The primitives by example") : text.index("## Expressions")]
    return dict(re.findall(r"^### (.*?)\n.*?```yaml\n(.*?)```", part, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("title", fragments())
def test_every_example_decodes_as_it_says(title: str) -> None:
    profile = load_text(whole(fragments()[title]))
    assert profile.samples
    assert check_samples(profile) == []


def test_no_example_is_left_out() -> None:
    assert len(fragments()) >= 13
    # Beside them stand the tutorial's rules and site, and the examples of the chapter on rules.
    assert DOCS.read_text(encoding="utf-8").count("```yaml") == len(fragments()) + 2 + len(rule_examples())


# --- the chapter on rules --------------------------------------------------------------------------------------------

STATION = """
profile: station
family: ebike_charger
name: {zh: 桩, en: Station}
children: {port: {name: {zh: 口, en: Port}, count: 2}}
metrics:
  cabinet_temp: {name: {zh: 柜温, en: Cabinet}, uom: °C, range: [-40, 120]}
  port_temp: {name: {zh: 口温, en: Port}, scope: port, uom: °C, range: [-40, 150]}
states:
  mains:
    name: {zh: 市电, en: Mains}
    values: {"on": {zh: 有, en: "on", tone: ok}, "off": {zh: 无, en: "off", tone: bad}}
  door:
    name: {zh: 门, en: Door}
    values: {closed: {zh: 关, en: closed, tone: ok}, open: {zh: 开, en: open, tone: warn}}
  port_state:
    name: {zh: 端口, en: Port}
    scope: port
    values:
      idle: {zh: 空闲, en: idle, tone: idle}
      charging: {zh: 充电, en: charging, tone: active}
      fault: {zh: 故障, en: fault, tone: bad}
availability: {period: 30s}
bindings:
  - id: t
    topic: "station/{address}"
    decode: [{json: true}]
    fields: {cabinet_temp: t, mains: m, door: d}
    each: [{child: port, over: ports, key: "{n}", fields: {port_temp: t, port_state: s}}]
rules:
"""


def rule_examples() -> dict[str, str]:
    text = DOCS.read_text(encoding="utf-8")
    chapter = text[text.index("\n## Rules\n") :]
    return dict(re.findall(r"^### (.*?)\n.*?```yaml\n(.*?)```", chapter, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("title", rule_examples())
def test_every_rule_in_the_chapter_on_rules_passes_its_tests(title: str) -> None:
    profile = load_text(STATION + rule_examples()[title])
    assert all(rule.tests for rule in profile.rules)
    assert check_rule_tests(profile) == []
