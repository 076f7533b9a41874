"""The bill of materials: what is really installed, its licences, and the hashes that the lock allows."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.main import app
from services.sbom import Package, document, locked_hashes

LOCK = Path(__file__).parents[2] / "requirements.lock"
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def test_the_bill_names_what_is_installed_with_version_licence_and_hashes() -> None:
    done = CliRunner().invoke(app, ["sbom", "--lock", str(LOCK)])
    assert done.exit_code == 0, done.output
    bill = json.loads(done.output)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", bill["serialNumber"])
    assert bill["metadata"]["component"]["purl"] == f"pkg:pypi/courtyard@{version('courtyard')}"
    components = {one["name"]: one for one in bill["components"]}
    paho = components["paho-mqtt"]
    assert paho["version"] == version("paho-mqtt")
    assert paho["licenses"]
    assert {one["value"] for one in paho["properties"]} == set(
        locked_hashes(LOCK.read_text())["paho-mqtt", paho["version"]]
    )


def test_every_package_of_the_lock_that_is_installed_is_in_the_bill_with_its_hashes() -> None:
    bill = json.loads(CliRunner().invoke(app, ["sbom", "--lock", str(LOCK)]).output)
    with_hashes = {(one["name"], one["version"]) for one in bill["components"] if "properties" in one}
    listed = {one["name"] for one in bill["components"]}
    assert {locked for locked in locked_hashes(LOCK.read_text()) if locked[0] in listed} == with_hashes
    assert len(with_hashes) > 40


def test_references_of_dependencies_resolve() -> None:
    bill = document(
        [
            Package("courtyard", "1", "Apache-2.0", ("b", "absent")),
            Package("b", "2", "", ()),
        ],
        {},
        NOW,
    )
    assert bill["dependencies"] == [
        {"ref": "pkg:pypi/courtyard@1", "dependsOn": ["pkg:pypi/b@2"]},
        {"ref": "pkg:pypi/b@2", "dependsOn": []},
    ]
    assert bill["components"] == [
        {"type": "library", "bom-ref": "pkg:pypi/b@2", "name": "b", "version": "2", "purl": "pkg:pypi/b@2"}
    ]


def test_an_environment_without_the_product_is_named() -> None:
    with pytest.raises(ValueError, match="courtyard is not installed here"):
        document([], {}, NOW)
