"""A recipient that cannot be reached is said at import, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_profiles.library import SHIPPED, load
from services.notices.store import audience_of
from services.sites.export import export_site
from services.sites.importer import SiteMistakes, import_site, read_site
from tests.stories.site import MIDNIGHT, opened

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


def with_more(tmp_path: Path, more: str) -> Path:
    path = tmp_path / "yard.yaml"
    text = YARD.format(channel="email", to="crew@yard.example")
    path.write_text(f"{text}{more}", encoding="utf-8")
    return path


def test_a_step_and_a_digest_come_out_of_the_file_and_go_back_into_it(tmp_path: Path) -> None:
    database = opened(f"sqlite:///{tmp_path / 'courtyard.db'}")
    path = with_more(tmp_path, "    step: 2\n    digest: 08:00\n")
    import_site(database, path, load(SHIPPED), MIDNIGHT)
    with database.read() as connection:
        [to] = audience_of(connection, "yard").recipients
        written = export_site(connection, "yard")
    assert (to.step, to.digest) == (2, "08:00")
    assert import_site(database, written, load(SHIPPED), MIDNIGHT).is_unchanged
    database.close()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("    digest: 8 o'clock\n", 'site.yaml:10: recipients[1].digest: found "8 o\'clock", expected a time of day'),
        ("    digest: 24:00\n", "expected a time of day such as 08:00"),
        ("    step: 10\n", "recipients[1].step: found 10, expected less than or equal to 9"),
        ("    step: -1\n", "recipients[1].step"),
    ],
)
def test_what_is_no_step_and_no_time_of_day_is_a_mistake_with_its_line(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(SiteMistakes) as caught:
        read_site(with_more(tmp_path, more), load(SHIPPED))
    assert said.replace("site.yaml", str(tmp_path / "yard.yaml")) in str(caught.value)


@pytest.mark.parametrize("more", ["    step: 1\n", "    digest: 08:00\n"])
def test_residents_hear_of_outages_only(tmp_path: Path, more: str) -> None:
    path = with_more(tmp_path, more)
    path.write_text(path.read_text(encoding="utf-8").replace("audience: crew", "audience: residents"), encoding="utf-8")
    with pytest.raises(SiteMistakes, match="expected nothing: residents hear of outages only"):
        read_site(path, load(SHIPPED))
