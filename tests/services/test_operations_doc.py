"""docs/operations.md is followed to the letter on a real installation, and what it names exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from device_profiles.library import SHIPPED, load
from gateway.journal import Journal
from gateway.ports import free_port
from services import migrations
from services.accounts.desk import first_start
from services.cli.main import app
from services.clock import SystemClock
from services.database import Database
from services.demo import SITE
from services.settings import Settings
from services.sites.importer import import_site

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/operations.md").read_text()


def blocks(mark: str) -> list[list[str]]:
    """Shell blocks behind `<!-- mark -->`, as lines."""
    found = re.findall(rf"<!-- {mark} -->\n```sh\n(.*?)```", PAGE, re.S)
    return [[line for line in block.splitlines() if line and not line.startswith("#")] for block in found]


@pytest.fixture
def srv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Stands for /srv, with an installation in /srv/courtyard and a folder for backups."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"COURTYARD_{name.upper()}", raising=False)
    data = tmp_path / "courtyard"
    data.mkdir(mode=0o700)
    (tmp_path / "backups").mkdir()
    database = Database.sqlite(data / "courtyard.db")
    database.start()
    migrations.upgrade(database)
    first_start(database, SystemClock().now())
    import_site(database, SITE, load(SHIPPED), SystemClock().now())
    database.close()
    journal = Journal(data / "journal.db", consumers=("telemetry", "services"))
    journal.start()
    journal.close()
    monkeypatch.setenv("COURTYARD_DATA_DIR", str(data))
    monkeypatch.setenv("COURTYARD_HTTP", f"127.0.0.1:{free_port()}")
    yield tmp_path


def follow(lines: list[str], srv: Path, **instead: str) -> None:
    for line in lines:
        for found, put in {"/srv/": f"{srv}/", **instead}.items():
            line = line.replace(found, put)
        program, *arguments = shlex.split(line)
        assert program == "courtyard", f"{line}: only Courtyard's own commands can be tried"
        done = CliRunner().invoke(app, arguments, prog_name="courtyard")
        assert done.exit_code == 0, f"{line}\n{done.output}"


def test_every_command_of_the_page_works_in_its_order(srv: Path) -> None:
    found = blocks("run")
    assert len(found) >= 5
    for lines in found:
        follow(lines, srv)


@pytest.mark.postgresql
def test_moving_to_postgresql_as_the_page_says(srv: Path, postgresql_url: str) -> None:
    (lines,) = blocks("run postgresql")
    follow(lines, srv, **{"postgresql://courtyard@db/courtyard": postgresql_url})


def test_alerts_lead_to_a_place_that_exists() -> None:
    wanted = re.findall(r"runbook: (docs/[a-z]+\.md)#([a-z-]+)", (ROOT / "deploy/prometheus/alerts.yml").read_text())
    assert len(wanted) > 15
    for page, anchor in wanted:
        headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(), re.M)
        assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, f"{page} has no {anchor}"


def test_findings_and_alerts_that_the_table_names_exist() -> None:
    (table,) = re.findall(r"\| What fails .*?\n\n", PAGE, re.S)
    said = "".join(file.read_text() for file in (ROOT / "services/doctor").glob("*findings.py"))
    alerts = (ROOT / "deploy/prometheus/alerts.yml").read_text()
    for row in table.strip().splitlines()[2:]:
        doctor, metrics = row.split("|")[3:5]
        for name in re.findall(r"\*([A-Z][^*]+)\*", doctor):
            assert f'"{name.removesuffix(" …")}' in said, f"the doctor has no finding {name!r}"
        for name in re.findall(r"`(Courtyard\w+)`", metrics):
            assert f"alert: {name}\n" in alerts, f"there is no alert {name}"


def test_settings_that_the_page_names_exist() -> None:
    for name in set(re.findall(r"COURTYARD_([A-Z0-9_]+)", PAGE)):
        assert name.lower() in Settings.model_fields, f"there is no setting COURTYARD_{name}"
