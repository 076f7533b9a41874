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
    assert (
        DOCS.read_text(encoding="utf-8").count("```yaml") == len(fragments()) + 2
    )  # and the tutorial's rules and site
