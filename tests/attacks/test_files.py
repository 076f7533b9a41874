"""Files that people hand over may be broken or hostile: said with a line, within seconds, and nothing is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_profiles.library import ProfileMistakes, load
from services.sites.importer import SiteMistakes, read_site
from tests.stories.site import LIBRARY, YARD

BOMB = (
    "a: &a ["
    + ",".join("x" * 9)
    + "]\n"
    + "".join(
        f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
)
HOSTILE = {
    "aliases that multiply": BOMB,
    "an alias within itself": "site: &a [*a]\n",
    "a tower of brackets": "site: " + "[" * 5000 + "]" * 5000,
    "a staircase of keys": "\n".join(" " * depth + "a:" for depth in range(900)),
    "a key that is a list": "? [a, b]\n: 1\n",
    "a key that is a mapping": "? {a: b}\n: 1\n",
    "half a character": 'site: "\\ud800"\n',
    "a half as a key": '"\\udfff": 1\n',
    "NUL": "site: \0\n",
    "tabs": "site: x\n\tname: y\n",
    "a key twice": "site: x\nsite: y\n",
    "two documents": "site: x\n---\nsite: y\n",
    "a tag that runs something": "site: !!python/object/apply:os.system ['touch pwned']\n",
    "nothing": "\n",
    "a list": "- site\n- name\n",
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_site_file_is_refused_with_a_line(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "site.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SiteMistakes) as caught:
        read_site(file, LIBRARY)
    assert all(str(mistake).startswith(f"{file}:{mistake.line}: ") for mistake in caught.value.mistakes)
    assert len(str(caught.value)) < 4000
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_profile_is_refused_with_a_line(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "profile.yaml"
    file.write_text(text.replace("site", "profile"), encoding="utf-8")
    with pytest.raises(ProfileMistakes) as caught:
        load(tmp_path)
    assert all(str(mistake).startswith(f"{file}:{mistake.line}: ") for mistake in caught.value.mistakes)
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("zone", ["Asia", "../../../etc/passwd", "/etc/passwd", "", "Mars/Base", "a\\0b"])
def test_a_time_zone_that_is_none_is_said_in_a_line(zone: str) -> None:
    with pytest.raises(SiteMistakes) as caught:
        read_site(YARD.replace("Asia/Shanghai", f'"{zone}"'), LIBRARY)
    (mistake,) = caught.value.mistakes
    assert mistake.where == "timezone"
    assert len(str(mistake)) < 500
