"""A recipient that cannot be reached is said at import, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_profiles.library import SHIPPED, load
from services.sites.importer import SiteMistakes, read_site

YARD = """
site: yard
name: Yard
timezone: Asia/Shanghai
recipients:
  - id: one
    audience: crew
    channel: {channel}
    to: "{to}"
"""


def read(tmp_path: Path, channel: str, to: str) -> str:
    path = tmp_path / "yard.yaml"
    path.write_text(YARD.format(channel=channel, to=to), encoding="utf-8")
    return read_site(path, load(SHIPPED)).recipients[0].to


@pytest.mark.parametrize(
    ("channel", "to"),
    [
        ("email", "crew@yard.example"),
        ("email", "env:CREW"),
        ("webhook", "https://hooks.yard.example/a?b=c#d"),
        ("webhook", "http://127.0.0.1:9000"),
        ("webhook", "http://[::1]:9000/hook"),
        ("webhook", "env:HOOK"),
        ("apprise", "wecombot://key"),
        ("apprise", "mailtos://user:pass@example.com"),
    ],
)
def test_what_can_be_reached_is_taken(tmp_path: Path, channel: str, to: str) -> None:
    assert read(tmp_path, channel, to) == to


@pytest.mark.parametrize(
    ("channel", "to", "expected"),
    [
        ("email", "crew", "an e-mail address"),
        ("email", "crew@yard.example\\r\\nBcc: all@yard.example", "an e-mail address"),
        ("email", "https://yard.example", "an e-mail address"),
        ("webhook", "http://[", "a URL that begins with"),
        ("webhook", "ftp://yard.example", "a URL that begins with"),
        ("webhook", "https://", "a URL that begins with"),
        ("apprise", "crew@yard.example", "an Apprise URL"),
    ],
)
def test_what_cannot_is_a_mistake_with_its_line(tmp_path: Path, channel: str, to: str, expected: str) -> None:
    with pytest.raises(SiteMistakes) as caught:
        read(tmp_path, channel, to)
    (mistake,) = caught.value.mistakes
    assert mistake.line == 9
    assert expected in str(mistake)
