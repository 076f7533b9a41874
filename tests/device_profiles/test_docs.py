"""docs/profiles.md cannot lie: it names every key of every section, and no other."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from device_profiles import schema
from device_profiles.expression import DEEPEST, FUNCTIONS, LONGEST
from device_profiles.library import load
from gateway.decode.samples import check_samples
from services.rules.profile_tests import failures

DOCS = Path(__file__).parents[2] / "docs" / "profiles.md"
MODELS = {
    name: model
    for name, model in inspect.getmembers(schema, inspect.isclass)
    if issubclass(model, schema.Part) and model is not schema.Part
}


def section(model: str) -> str:
    found = re.search(rf"^### {model}\n(.*?)(?=^##|\Z)", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found, f"docs/profiles.md has no section {model}"
    return found[1]


@pytest.mark.parametrize("name", MODELS)
def test_every_key_is_documented_and_no_other(name: str) -> None:
    keys = {field.alias or key for key, field in MODELS[name].model_fields.items()}
    first_cells = re.findall(r"^\| (`[^|]*) \|", section(name), re.MULTILINE)
    documented = [key for cell in first_cells for key in re.findall(r"`([^`]+)`", cell)]
    assert sorted(documented) == sorted(keys)


def test_no_section_of_a_model_that_is_gone() -> None:
    sections = set(re.findall(r"^### (\w+)$", DOCS.read_text(encoding="utf-8"), re.MULTILINE))
    assert sections == set(MODELS)


def test_the_limits_are_those_of_the_grammar() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert f"at most {LONGEST:,} characters and {DEEPEST} nested levels" in text
    for word in FUNCTIONS:
        assert f"`{word}(" in text


def test_the_example_is_a_whole_profile(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "lift.yaml").write_text(example, encoding="utf-8")
    profile = load(tmp_path)["lift_json"]
    assert check_samples(profile) == []
    assert list(failures(profile)) == []
