"""Dashboards and datasources by files alone, as Grafana's provisioning reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards import provision
from dashboards.build import GENERATED
from dashboards.capabilities import capabilities
from dashboards.places import read_boards
from dashboards.provision import (
    SHIPPED,
    providers_yaml,
    shipped_datasources,
    with_prometheus,
    write_boards,
    write_files,
)
from services.stack.catalogue import CATALOGUE

_DATASOURCE_KEYS = {
    *("name", "type", "uid", "access", "orgId", "url", "user", "database", "basicAuth", "basicAuthUser", "isDefault"),
    *("jsonData", "secureJsonData", "editable", "version", "withCredentials", "correlations"),
}
"""What Grafana's documentation lists for a datasource in a provisioning file."""


def read(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def board(uid: str, title: str = "Now") -> dict[str, Any]:
    return {"uid": uid, "title": title, "tags": ["courtyard"]}


def test_the_shipped_files_are_what_the_code_writes(tmp_path: Path) -> None:
    written = write_files(tmp_path, shipped_datasources())
    assert {file.relative_to(tmp_path) for file in written} == {
        file.relative_to(SHIPPED) for file in SHIPPED.rglob("*.yaml")
    }
    for file in written:
        assert (SHIPPED / file.relative_to(tmp_path)).read_text() == file.read_text(), (
            f"write {SHIPPED} anew: courtyard grafana provision"
        )


def test_grafana_knows_every_key_and_secrets_are_read_from_files_by_grafana_itself() -> None:
    influx, postgres = read(SHIPPED / "datasources" / "courtyard.yaml")["datasources"]
    for source in (influx, postgres):
        assert set(source) <= _DATASOURCE_KEYS
        assert all("$__file{/run/secrets/" in secret for secret in source["secureJsonData"].values())
    assert influx["jsonData"] == {"version": "InfluxQL", "dbName": "telemetry", "httpMode": "POST"}
    assert influx["database"] == influx["jsonData"]["dbName"], "Grafana before 9.5 reads it there, newer ones here"
    assert [influx["isDefault"], postgres["isDefault"]] == [True, False]


def test_the_account_of_influxdb_is_told_as_a_name_and_a_password() -> None:
    """InfluxDB 2.9.1 answers 401 to `Authorization: Token grafana:PASSWORD`: a header like that shows empty panels."""
    influx = read(SHIPPED / "datasources" / "courtyard.yaml")["datasources"][0]
    assert (influx["basicAuth"], influx["basicAuthUser"]) == (True, "grafana")
    assert influx["secureJsonData"] == {"basicAuthPassword": "$__file{/run/secrets/influx_grafana_password}"}
    script = (Path(__file__).parents[2] / "deploy" / "influxdb" / "reader.sh").read_text()
    assert "v1 auth create --username grafana --password" in script
    (secret,) = (one for one in CATALOGUE if one.name == "influx-reader")
    assert {file.text for file in secret.files} == {"{word}"}, "both programs read the bare password"


def test_the_compose_file_gives_grafana_what_the_files_ask_for() -> None:
    compose = read(Path(__file__).parents[2] / "docker-compose.yml")
    grafana = compose["services"]["grafana"]
    asked = (SHIPPED / "datasources" / "courtyard.yaml").read_text()
    for variable in ("INFLUX_URL", "POSTGRES_ADDRESS", "POSTGRES_DB", "POSTGRES_USER"):
        assert f"${{{variable}}}" in asked and variable in grafana["environment"]
    for path in (provision.INFLUX_PASSWORD_FILE, provision.POSTGRESQL_PASSWORD_FILE):
        assert path in asked and path.removeprefix("/run/secrets/") in grafana["secrets"]
    providers = yaml.safe_load(providers_yaml())["providers"]
    mounts = {volume.split(":")[1]: volume.split(":")[0] for volume in grafana["volumes"]}
    assert mounts["/etc/grafana/provisioning"] == "./dashboards/provisioning"
    assert grafana["read_only"] is True and grafana["environment"]["GF_PLUGINS_PREINSTALL_DISABLED"] == "true", (
        "Grafana 13 unloads plugins that it cannot replace in a read-only image"
    )
    (inside,) = {path for path, here in mounts.items() if here == "./dashboards/generated"}
    here = Path(__file__).parents[2] / "dashboards" / "generated"
    for provider in providers:
        assert list((here / Path(provider["options"]["path"]).relative_to(inside)).rglob("*.json"))


def test_each_language_has_its_folder_and_none_of_its_titles_twice() -> None:
    """Grafana takes the innermost folder's name: `families` of both languages would be one, under no name of ours."""
    providers = {one["folder"]: one for one in read(SHIPPED / "dashboards" / "courtyard.yaml")["providers"]}
    assert list(providers) == ["Courtyard 社区设施", "Courtyard"]
    for provider in providers.values():
        assert set(provider["options"]) == {"path"}
        language = Path(provider["options"]["path"]).name
        assert provider["folderUid"] == f"courtyard-{language}", "the folder that sync would make, and no second one"
        titles = [one["title"] for one in read_boards(GENERATED, (language,))]
        assert len({title.casefold() for title in titles}) == len(titles), "Grafana 10 takes a title once per folder"


def test_an_old_grafana_gets_the_names_it_knows(tmp_path: Path) -> None:
    write_files(tmp_path, with_prometheus(shipped_datasources(), "http://p:9090"), grafana=capabilities("10.1.0"))
    kinds = [one["type"] for one in read(tmp_path / "datasources" / "courtyard.yaml")["datasources"]]
    assert kinds == ["influxdb", "postgres", "prometheus"]


def test_folders_become_folders_and_what_is_no_longer_wanted_goes(tmp_path: Path) -> None:
    write_boards(tmp_path, {"Courtyard": [board("cy-a"), board("cy-b")], "桂花苑 1/2": [board("cy-c")]})
    files = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.json"))
    assert files == ["boards/Courtyard/cy-a.json", "boards/Courtyard/cy-b.json", "boards/桂花苑 1∕2/cy-c.json"]
    assert json.loads((tmp_path / files[0]).read_text()) == board("cy-a")

    own = tmp_path / "boards" / "Courtyard" / "of-a-person.json"
    own.write_text("{}")
    write_boards(tmp_path, {"Courtyard": [board("cy-a", "Later")]})
    left = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.json"))
    assert left == ["boards/Courtyard/cy-a.json", "boards/Courtyard/of-a-person.json"]


@pytest.mark.parametrize("title", ["..", ".", "", "/etc", "a\0b"])
def test_no_title_leaves_the_folder(tmp_path: Path, title: str) -> None:
    (file,) = write_boards(tmp_path, {title: [board("cy-a")]})
    assert file.resolve().parent.parent == (tmp_path / "boards").resolve()
