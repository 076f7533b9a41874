"""`courtyard grafana` as a person runs it, against a server that answers as Grafana does."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from sqlalchemy import insert
from typer.testing import CliRunner, Result

from services.cli import app, grafana
from services.tables import alarms, devices, sites
from tests.dashboards.grafana_server import ADMIN, EDITOR, EVERYTHING, VIEWER, GrafanaServer, running
from tests.stories.site import opened

NOW = datetime.now(UTC)
assert grafana  # it adds its commands to `app`


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GrafanaServer]:
    with running() as started:
        monkeypatch.setenv("COURTYARD_GRAFANA_URL", started.url)
        monkeypatch.setenv("COURTYARD_GRAFANA_TOKEN", EVERYTHING)
        yield started


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A district of one site with one pump, which is unwell."""
    monkeypatch.setenv("COURTYARD_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    with closing(opened(f"sqlite:///{tmp_path / 'courtyard.db'}")) as database, database.write() as connection:
        site = {"id": "lotus", "name_zh": "荷塘里", "name_en": "Lotus Pond", "timezone": "Asia/Shanghai"}
        connection.execute(insert(sites).values(**site, updated_at=NOW))
        pump = {
            "id": "p1",
            "site": "lotus",
            "profile": "booster_set",
            "address": "p1",
            "name_zh": "泵",
            "name_en": "Pump",
        }
        connection.execute(insert(devices).values(**pump))
        alarm = {"id": "a1", "site": "lotus", "device": "p1", "rule": "low", "profile": "booster_set", "reason": {}}
        connection.execute(insert(alarms).values(**alarm, severity="major", state="active", raised_at=NOW))
    return tmp_path


@pytest.fixture
def boards(tmp_path: Path) -> Path:
    """A few of the shipped dashboards: all of them take seconds, which other tests spend."""
    from dashboards.build import GENERATED

    folder = tmp_path / "boards"
    for name in ("booster_set.json", "families/water_pump.json", "overview/site.json", "overview/district.json"):
        for language in ("zh", "en"):
            target = folder / language / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text((GENERATED / language / name).read_text())
    return folder


def courtyard(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["grafana", *arguments])


def test_a_dry_run_says_all_and_does_nothing_and_then_it_is_done_and_then_nothing_is_to_do(
    server: GrafanaServer, data: Path, boards: Path, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("a reader's password\n")
    command = [
        *("sync", "--boards", str(boards), "--language", "en", "--influx-url", "http://influxdb:8086"),
        *("--postgres-url", "postgresql://grafana@postgres/courtyard", "--postgres-password-file", str(password)),
    ]
    said = courtyard(*command, "--dry-run")
    assert said.exit_code == 0, said.output
    assert re.search(r"create +dashboard +Site overview · Lotus Pond", said.output)
    assert re.search(r"create +datasource +Courtyard InfluxDB", said.output)
    assert "11 to be created; 0 are as they should be" in said.output
    assert server.writes == []

    done = courtyard(*command)
    assert done.exit_code == 0, done.output
    assert "11 created" in done.output
    assert server.datasources["courtyard-postgresql"]["secrets"] == {"password": "a reader's password"}
    assert "a reader's password" not in said.output + done.output

    again = courtyard(*command)
    assert "Nothing to do: 11 are as they should be." in again.output

    server.person_saves("cy-site-en", title="Mine")
    changed = courtyard(*command, "--dry-run")
    assert re.search(r"change +dashboard +Site overview .*\(somebody edited it\)", changed.output)
    assert 'title: "Mine" → "Site overview"' in changed.output
    told = json.loads(courtyard(*command, "--dry-run", "--json").output)
    (step,) = [one for one in told["steps"] if one["do"] == "change"]
    assert step["differences"] == [{"where": "title", "there": "Mine", "wanted": "Site overview"}]


def test_with_teams_only_a_sites_own_team_and_editors_look_into_its_folder(
    server: GrafanaServer, data: Path, boards: Path
) -> None:
    command = ["sync", "--boards", str(boards), "--influx-url", "http://influxdb:8086", "--teams"]
    said = courtyard(*command)
    assert said.exit_code == 0, said.output
    assert list(server.teams.values()) == ["Courtyard lotus"]
    (folder,) = [uid for uid in server.folders if "lotus" in uid]
    assert server.folders[folder]["parentUid"] == "", "within the root it would inherit that everybody looks into it"
    who = {one.get("role") or one["team"]: one["permission"] for one in server.permissions[folder]}
    assert who == {"Editor": 2, "Courtyard lotus": 1}

    server.permissions[folder].append({"userId": 7, "permission": 1, "inherited": False})
    assert "Nothing to do" in courtyard(*command).output
    server.permissions[folder].append({"role": "Viewer", "permission": 1, "inherited": False})
    assert "change permission" in " ".join(courtyard(*command, "--dry-run").output.split())
    assert courtyard(*command).exit_code == 0
    assert {"userId": 7, "permission": 1, "inherited": False} in server.permissions[folder], "who was let in stays"
    assert not any(one.get("role") == "Viewer" for one in server.permissions[folder])


@pytest.mark.parametrize("version", ["10.4.2", "13.2.3"])
def test_without_teams_again_everybody_looks_into_the_folders_again(
    data: Path, boards: Path, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COURTYARD_GRAFANA_TOKEN", EVERYTHING)
    with running(version) as server:
        command = ["sync", "--boards", str(boards), "--influx-url", "http://influxdb:8086", "--url", server.url]
        assert courtyard(*command, "--teams").exit_code == 0
        (folder,) = [uid for uid in server.folders if "lotus" in uid]
        server.permissions[folder].append({"userId": 7, "permission": 2, "inherited": False})

        said = courtyard(*command)
        assert said.exit_code == 0, said.output
        assert "no longer only Courtyard lotus" in said.output and "everybody" in said.output
        assert looks_into(server, folder) == {"Editor": 2, "Viewer": 1, 7: 2}, "who was let in besides stays"
        assert list(server.teams.values()) == ["Courtyard lotus"], "people are in it: it stays"
        assert "Nothing to do" in courtyard(*command).output

        server.permissions[folder] = [{"role": "Editor", "permission": 2, "inherited": False}]
        assert "Nothing to do" in courtyard(*command).output, "who shut viewers out without our team wants it so"
        assert courtyard(*command, "--teams").exit_code == 0
        assert looks_into(server, folder) == {"Editor": 2, "Courtyard lotus": 1}


def looks_into(server: GrafanaServer, folder: str) -> dict[str | int, int]:
    everything = server.permissions[folder]
    return {one.get("role") or one.get("team") or one["userId"]: one["permission"] for one in everything}


def test_a_folder_that_cannot_be_made_is_one_line(server: GrafanaServer, data: Path, boards: Path) -> None:
    command = ["sync", "--boards", str(boards), "--no-datasources"]
    token = data / "viewer"
    token.write_text(VIEWER)
    said = courtyard(*command, "--token-file", str(token))
    text = " ".join(said.output.split())
    assert said.exit_code == 1
    assert text.count("failed folder") == 1 and "failed dashboard" not in text
    assert "not tried, because they belong into it: 1 folder, 7 dashboards" in text, text
    told = json.loads(courtyard(*command, "--token-file", str(token), "--json").output)
    assert all(step["failed"] for step in told["steps"])


def test_status_shows_what_differs_and_how_annotations_fare(server: GrafanaServer, data: Path, boards: Path) -> None:
    before = courtyard("status", "--boards", str(boards))
    assert before.exit_code == 1
    assert "Grafana 13.2.3" in before.output and "none have been sent from here" in before.output
    assert courtyard("sync", "--boards", str(boards), "--influx-url", "http://influxdb:8086").exit_code == 0
    assert courtyard("annotate").exit_code == 0
    after = courtyard("status", "--boards", str(boards))
    assert after.exit_code == 0, after.output
    assert "datasource Courtyard InfluxDB: OK" in after.output
    assert "Annotations: up to date at" in after.output

    server.down = True
    failed = courtyard("annotate")
    assert failed.exit_code == 1 and "is not ready" in failed.output
    server.down = False
    assert "Annotations: failing, 1 times in a row" in courtyard("status", "--boards", str(boards)).output


def test_annotations_of_now_are_there_after_one_command(server: GrafanaServer, data: Path) -> None:
    said = courtyard("annotate")
    assert "1 annotations written" in said.output, said.output
    (one,) = server.annotations.values()
    assert one["tags"][0] == "courtyard:alarm-a1" and "重要" in one["text"]
    assert "0 annotations written" in courtyard("annotate").output


@pytest.mark.parametrize(("options", "role"), [((), "Admin"), (("--dashboards-only",), "Editor")])
def test_a_token_of_the_least_role_goes_into_a_file_and_is_renewed(
    server: GrafanaServer, tmp_path: Path, options: tuple[str, ...], role: str
) -> None:
    password = tmp_path / "admin"
    password.write_text(ADMIN[1] + "\n")
    file = tmp_path / "secrets" / "grafana_token"
    command = ["token", "--to", str(file), "--admin-password-file", str(password), *options]
    said = courtyard(*command)
    assert said.exit_code == 0, said.output
    first = file.read_text().strip()
    assert server.tokens[first] == role
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert first not in said.output

    renewed = courtyard(*command)
    assert "Revoked: courtyard-" in renewed.output
    second = file.read_text().strip()
    assert second != first and second in server.tokens and first not in server.tokens
    assert len(server.accounts) == 1


def test_a_grafana_that_wants_tokens_to_end_is_answered(server: GrafanaServer, tmp_path: Path) -> None:
    server.max_token_days = 30
    password = tmp_path / "admin"
    password.write_text(ADMIN[1])
    command = ["token", "--to", str(tmp_path / "token"), "--admin-password-file", str(password)]
    refused = courtyard(*command)
    assert refused.exit_code == 1 and "--days" in refused.output
    assert courtyard(*command, "--days", "30").exit_code == 0


def test_a_wrong_administrators_password_is_said(server: GrafanaServer, tmp_path: Path) -> None:
    password = tmp_path / "admin"
    password.write_text("wrong")
    said = courtyard("token", "--to", str(tmp_path / "token"), "--admin-password-file", str(password))
    assert said.exit_code == 1 and "Invalid username or password" in said.output
    assert not (tmp_path / "token").exists()


def test_what_is_missing_is_asked_for_in_words(
    server: GrafanaServer, data: Path, boards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COURTYARD_GRAFANA_TOKEN", EDITOR)
    said = courtyard("sync", "--boards", str(boards), "--influx-url", "http://influxdb:8086")
    assert "the token may not look at datasources" in said.output
    nothing = courtyard("sync", "--boards", str(data / "nowhere"))
    assert nothing.exit_code == 1 and "courtyard dashboards build" in nothing.output
    half = courtyard("sync", "--postgres-url", "postgresql://grafana@postgres/courtyard")
    assert half.exit_code == 1 and "--postgres-password-file" in half.output
    monkeypatch.delenv("COURTYARD_GRAFANA_TOKEN")
    assert "no token for Grafana" in courtyard("sync").output
    monkeypatch.delenv("COURTYARD_GRAFANA_URL")
    assert "which Grafana?" in courtyard("sync", "--token-file", str(boards / "zh" / "booster_set.json")).output


def test_files_for_grafanas_own_provisioning_hold_the_same(data: Path, boards: Path, tmp_path: Path) -> None:
    out = tmp_path / "provisioning"
    said = courtyard("provision", "--out", str(out), "--boards", str(boards), "--language", "both")
    assert said.exit_code == 0, said.output
    (provider,) = yaml.safe_load((out / "dashboards" / "courtyard.yaml").read_text())["providers"]
    assert provider["options"] == {"path": str(out / "boards"), "foldersFromFilesStructure": True}
    folders = {folder.name: len(list(folder.glob("*.json"))) for folder in (out / "boards").iterdir()}
    assert folders == {"Courtyard": 4, "Courtyard 社区设施": 4, "Lotus Pond": 3, "荷塘里": 3}
    held = [json.loads(file.read_text()) for file in (out / "boards" / "Lotus Pond").glob("*.json")]
    sites = [one for board in held for one in board["templating"]["list"] if one["name"] == "site"]
    assert {(one["type"], one["query"]) for one in sites} == {("constant", "lotus")}
    kinds = {one["query"] for board in held for one in board["templating"]["list"] if one["type"] == "datasource"}
    assert kinds == {"influxdb", "grafana-postgresql-datasource"}
