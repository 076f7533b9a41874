"""What is installed is what we say, may be used together, and does not harm its neighbours."""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())

COMPATIBLE = re.compile(r"MIT|BSD|Apache|ISC|PSF|Python Software Foundation|MPL|Mozilla Public|Unlicense|0BSD|Zlib")
COPYLEFT = re.compile(r"GPL|GNU (General|Affero)|\bSSPL\b|\bBSL\b|BUSL|Commons Clause", re.I)
LESSER = {"psycopg", "psycopg-binary"}  # LGPL: used unchanged and replaceable; docs/dependencies.md says more
SILENT = {"verlib2"}  # no licence in its metadata; its LICENSE file is packaging's


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(line: str) -> str:
    return plain(re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0])


def locked(file: str) -> dict[str, str]:
    """Name -> marker ("" where it is installed everywhere)."""
    lines = re.findall(r"^([A-Za-z0-9._-]+)==\S+\s*(?:;\s*([^\\]+))?", (ROOT / file).read_text(), re.M)
    return {plain(name): marker.strip() for name, marker in lines}


def documented() -> set[str]:
    rows = re.findall(r"^\| ([a-z][^|]*) \|", (ROOT / "docs/dependencies.md").read_text(), re.M)
    return {plain(name) for row in rows for name in row.split(", ")}


def asked_for() -> set[str]:
    groups = PROJECT["dependency-groups"]
    lines = [*PROJECT["project"]["dependencies"], *(line for group in groups.values() for line in group)]
    return {requirement_name(line) for line in lines if isinstance(line, str)}


def licence_of(name: str) -> str:
    facts = metadata.metadata(name)
    classifiers = [line for line in facts.get_all("Classifier") or () if line.startswith("License ::")]
    stated = facts.get("License-Expression") or " ".join(classifiers) or (facts.get("License") or "")[:200]
    return str(stated)


def test_every_dependency_is_documented_with_its_reason_and_nothing_else_is() -> None:
    assert documented() == asked_for()


def test_the_locks_hold_every_dependency_with_hashes_and_no_download_host() -> None:
    names = {requirement_name(line) for line in PROJECT["project"]["dependencies"]}
    assert names <= set(locked("requirements.lock"))
    assert asked_for() <= set(locked("requirements-dev.lock"))
    for file in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / file).read_text()
        assert "://" not in text
        assert "--index-url" not in text
        assert len(re.findall(r"^[A-Za-z0-9._-]+==", text, re.M)) <= text.count("--hash=sha256:")


def test_what_both_locks_hold_has_one_version() -> None:
    versions = {}
    for file in ("requirements.lock", "requirements-dev.lock"):
        versions[file] = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", (ROOT / file).read_text(), re.M))
    run, dev = versions["requirements.lock"], versions["requirements-dev.lock"]
    assert {name: dev.get(name) for name in run} == run


@pytest.mark.parametrize("name", sorted(name for name, marker in locked("requirements.lock").items() if not marker))
def test_every_installed_licence_goes_with_ours(name: str) -> None:
    licence = licence_of(name)
    if name in SILENT:
        assert not licence
        texts = [file for file in metadata.files(name) or () if file.name == "LICENSE"]
        assert "Apache" in texts[0].read_text() or "Redistribution" in texts[0].read_text()
    elif name in LESSER:
        assert re.match(r"LGPL-3|.*Lesser General Public License", licence), licence
    else:
        assert COMPATIBLE.search(licence), f"{name}: {licence!r}"
        assert not COPYLEFT.search(licence), f"{name}: {licence!r}"


def test_the_licences_named_in_the_docs_are_those_of_the_packages() -> None:
    rows = re.findall(r"^\| ([a-z][^|,]*) \| ([^|]+) \|", (ROOT / "docs/dependencies.md").read_text(), re.M)
    for name, said in rows:
        family = re.match(r"[A-Za-z]+", said)
        stated = licence_of(name) or said
        assert family
        assert family[0].upper() in stated.upper().replace("BSD LICENSE", "BSD").replace("ECLIPSE", "EPL"), name


def test_urllib3_is_the_real_one() -> None:
    import urllib3

    found = importlib.util.find_spec("urllib3")
    assert found is not None
    assert found.origin is not None
    assert metadata.version("urllib3") == urllib3.__version__
    assert "future" not in (urllib3.__doc__ or "").lower()
    assert not hasattr(urllib3, "AsyncPoolManager")  # what urllib3-future adds
    site = Path(found.origin).parent.parent
    assert not list(site.glob("urllib3_future*.pth"))


def test_every_room_is_in_the_wheel() -> None:
    rooms = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert rooms == ["device_profiles", "gateway", "services", "dashboards"]
    for room in rooms:
        assert (ROOT / room / "__init__.py").exists()
    module, _, name = PROJECT["project"]["scripts"]["courtyard"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_the_hooks_fetch_nothing_and_call_what_is_there() -> None:
    hooks = YAML(typ="safe").load(ROOT / ".pre-commit-config.yaml")
    assert [repository["repo"] for repository in hooks["repos"]] == ["local"]
    check = subprocess.run(
        [sys.executable, "-m", "pre_commit", "validate-config", str(ROOT / ".pre-commit-config.yaml")],
        capture_output=True,
        text=True,
    )
    assert check.returncode == 0, check.stdout + check.stderr
    programs = {hook["entry"].split()[0] for hook in hooks["repos"][0]["hooks"]} - {"make"}
    scripts = Path(sys.executable).parent
    assert [program for program in programs if not (scripts / Path(program).name).exists()] == []


def test_the_changelog_knows_this_version() -> None:
    assert f"## [{PROJECT['project']['version']}]" in (ROOT / "CHANGELOG.md").read_text()
