"""docs/sites.md cannot lie: it names every key of every section and no other, and its example imports."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from device_profiles.library import SHIPPED, load
from services.sites import model
from services.sites.importer import read_site

PAGE = (Path(__file__).parents[3] / "docs" / "sites.md").read_text(encoding="utf-8")
MODELS = {
    name: one
    for name, one in inspect.getmembers(model, inspect.isclass)
    if issubclass(one, model.Part) and one is not model.Part
}


def test_every_key_is_documented_and_no_other() -> None:
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^###|\Z)", PAGE, re.MULTILINE | re.DOTALL))
    assert sections.keys() == MODELS.keys()
    for name, text in sections.items():
        keys = [field.alias or key for key, field in MODELS[name].model_fields.items()]
        assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == keys, name


def test_the_example_is_a_site(tmp_path: Path) -> None:
    example = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(example) == 3
    path = tmp_path / "yard.yaml"
    path.write_text("\n".join(example), encoding="utf-8")
    site = read_site(path, load(SHIPPED))
    assert [device.id for device in site.devices] == ["booster-1", "door-1"]
    assert [rule.id for rule in site.rules] == ["doors_offline", "water_at_risk"]
    assert [feed.id for feed in site.feeds] == ["F1", "SW2"]


@pytest.mark.parametrize(
    "word",
    [
        "COURTYARD_SMTP_URL",
        "COURTYARD_WEBHOOK_ALLOW_PRIVATE",
        "COURTYARD_BREAK_ALARM_AFTER",
        "COURTYARD_GATEWAY_SILENT_AFTER",
    ],
)
def test_settings_it_names_exist(word: str) -> None:
    assert f"`{word}`" in (Path(__file__).parents[3] / "docs" / "settings.md").read_text(encoding="utf-8")
