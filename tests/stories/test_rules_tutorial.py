"""From "the pump alarm comes too often" to a changed, tried, shipped and rolled-back rule, as docs/rules.md tells it.

Its commands run on what the demo leaves after six and a half minutes, and must say what the page says they say. After a
change of words: COURTYARD_WRITE_TUTORIAL=1 python -m pytest tests/stories/test_rules_tutorial.py writes them anew.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from ruamel.yaml import YAML
from typer.testing import CliRunner

from device_profiles.library import SHIPPED, load
from device_profiles.schema import DeviceProfile
from gateway.telemetry.sqlite import SqliteTelemetry
from services.accounts import desk
from services.accounts.policy import Grant, Role
from services.changes import Changes
from services.cli.main import app
from services.clock import SystemClock
from services.context import Context
from services.database import Database
from services.intake import Intake
from services.rules.profile_tests import check_rule_tests
from services.settings import Settings
from services.web.app import create_app
from tests.stories import demo_past, rules_tutorial

SITE = "osmanthus"
PASSWORD = "seven calm pumps in a row"
RULE = "/rules/booster_set/pump_fault"


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    demo_past.play(folder)
    return folder


@pytest.fixture
def folder(past: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, six and a half minutes after its start, in a terminal that is wide enough."""
    shutil.copytree(past, tmp_path / "data")
    monkeypatch.setenv("COURTYARD_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(SystemClock, "now", lambda _self: demo_past.NOW)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


def test_the_commands_say_what_the_tutorial_says(folder: Path) -> None:
    Path("calmer.yaml").write_text(rules_tutorial.blocks("yaml")[0])
    page = rules_tutorial.DOCS.read_text(encoding="utf-8")

    def run(line: str) -> str:
        found = CliRunner().invoke(app, shlex.split(line)[1:])
        assert found.exit_code == 0, f"{line}: {found.output}{found.stderr}"
        return found.stdout

    again = rules_tutorial.played(page, run)
    if os.environ.get("COURTYARD_WRITE_TUTORIAL"):
        rules_tutorial.DOCS.write_text(again, encoding="utf-8")
    assert rules_tutorial.timeless(again) == rules_tutorial.timeless(page)


@pytest.fixture
def engineer(folder: Path) -> Iterator[TestClient]:
    """The pages over that folder, signed in."""
    with ExitStack() as stack:
        database, clock, changes = Database.sqlite(folder / "courtyard.db"), SystemClock(), Changes()
        database.start()
        stack.callback(database.close)
        telemetry = SqliteTelemetry(folder / "telemetry.db")
        telemetry.start()
        stack.callback(telemetry.close)
        library = load(SHIPPED)
        intake = Intake(database, library, clock, changes)
        intake.start()
        context = Context(
            settings=Settings(data_dir=folder),
            database=database,
            library=library,
            telemetry=telemetry,
            changes=changes,
            clock=clock,
            intake=intake,
        )
        stack.callback(context.jobs.close)
        desk.add_person(
            database,
            login="wu.min",
            password=PASSWORD,
            grants=[Grant(SITE, Role.ENGINEER)],
            now=demo_past.NOW,
            who=None,
        )
        client = TestClient(create_app(context))
        client.headers.update({"Accept": "text/html", "Accept-Language": "en"})
        answer = client.post("/login", data={"login": "wu.min", "password": PASSWORD, "next": "/"})
        assert answer.status_code == 200, answer.text[:500]
        yield client


def fields(page: str) -> dict[str, str]:
    """What its forms hold already."""
    return dict(re.findall(r'<input[^>]* name="([\w.]+)"[^>]* value="([^"]*)"', page))


def test_the_pages_have_what_the_tutorial_presses(engineer: TestClient) -> None:
    words = re.findall(r"\*\*([^*]+)\*\*", rules_tutorial.text().split("### By page")[1].split("###")[0])
    menu, rule, change, field, press, ship, book = words
    listed = engineer.get(f"/rules?site={SITE}").text
    for word in (menu, rule, book):
        assert word in listed, word
    assert change in engineer.get(f"{RULE}?site={SITE}").text
    form = engineer.get(f"{RULE}/edit?site={SITE}").text
    assert field in form
    assert press in form
    tried = engineer.post(f"{RULE}/edit?site={SITE}", data={**fields(form), "for": "20s"})
    deadline = time.monotonic() + 300
    while ship not in tried.text:
        assert time.monotonic() < deadline, tried.text
        time.sleep(0.1)
        tried = engineer.get(str(tried.url))
    why = "its controller starts it again within 15 s"
    shipped = engineer.post(str(tried.url).replace("?", "/ship?"), data={**fields(tried.text), "note": why})
    assert shipped.status_code == 200, shipped.text
    assert why in engineer.get(f"/rules/versions?site={SITE}").text


def test_the_change_in_the_profile_proves_itself() -> None:
    """The snippet of the tutorial replaces the shipped rule's words; with the old delay its tests fail."""
    snippet = YAML(typ="safe").load(rules_tutorial.blocks("yaml")[1])
    shipped = load(SHIPPED)["booster_set"]

    def changed(**words: object) -> DeviceProfile:
        plain = shipped.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        for rule in plain["rules"]:
            if rule["id"] == "pump_fault":
                rule.update(words)
        return DeviceProfile.model_validate(plain)

    assert check_rule_tests(changed(**snippet)) == []
    (failure,) = check_rule_tests(changed(tests=snippet["tests"]))
    assert "pump_fault" in failure
