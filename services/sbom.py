"""The bill of materials of this installation, as CycloneDX 1.6: which Python packages it consists of.

From what is really installed (names, versions, licences), with the hashes of the lock that it was installed from.
Why not a tool: docs/decisions/0007-bill-of-materials.md.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib.metadata import Distribution, PackageMetadata, distributions
from typing import Any, NamedTuple

_NAMESPACE = uuid.UUID("5b1f8a52-1f0e-5e0c-9f5d-3f3a4f6d9b01")
_PACKAGE = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
PRODUCT = "courtyard"


class Package(NamedTuple):
    name: str
    """As package indexes compare names: lower case, hyphens."""
    version: str
    licence: str
    """An SPDX expression or the maker's own words; empty where it says none."""
    needs: tuple[str, ...]


def installed() -> list[Package]:
    """Every package of this environment, by name."""
    found = {package.name: package for package in map(_package, distributions())}
    return [found[name] for name in sorted(found)]


def locked_hashes(text: str) -> dict[tuple[str, str], list[str]]:
    """SHA-256 of every file that the lock allows, by name and version."""
    hashes: dict[tuple[str, str], list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if package := _PACKAGE.match(line):
            current = hashes.setdefault((normalised(package["name"]), package["version"]), [])
        current.extend(_HASH.findall(line))
    return hashes


def document(packages: Iterable[Package], hashes: Mapping[tuple[str, str], list[str]], now: datetime) -> dict[str, Any]:
    """The bill; the same packages give the same serial number. Raises ValueError where the product is missing."""
    listed = {package.name: package for package in packages}
    if PRODUCT not in listed:
        raise ValueError(f"{PRODUCT} is not installed here as a package; install it (`make up` does) and ask again")
    purls = {name: _purl(package) for name, package in listed.items()}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, ' '.join(purls.values()))}",
        "version": 1,
        "metadata": {
            "timestamp": now.isoformat(timespec="seconds"),
            "component": _component(listed[PRODUCT], []) | {"type": "application"},
        },
        "components": [
            _component(package, hashes.get((name, package.version), []))
            for name, package in listed.items()
            if name != PRODUCT
        ],
        "dependencies": [
            {"ref": purls[name], "dependsOn": sorted(purls[other] for other in set(package.needs) if other in purls)}
            for name, package in listed.items()
        ],
    }


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _package(found: Distribution) -> Package:
    about = found.metadata
    words = next(filter(None, (_said(about, "License-Expression"), _said(about, "License"))), "").splitlines()
    needs = [re.split(r"[\s;<>=!~\[(]", need, maxsplit=1)[0] for need in found.requires or ()]
    return Package(
        name=normalised(about["Name"]),
        version=found.version.removeprefix("v"),  # some write v1.0, which is the same version
        licence=words[0] if words and len(words[0]) < 100 else _classified(about.get_all("Classifier") or []),
        needs=tuple(map(normalised, needs)),
    )


def _said(about: PackageMetadata, key: str) -> str:
    return str((about.get_all(key) or [""])[0]).strip()


def _classified(classifiers: Iterable[str]) -> str:
    return " OR ".join(
        one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License :: OSI Approved :: ")
    )


def _purl(package: Package) -> str:
    return f"pkg:pypi/{package.name}@{package.version}"


def _component(package: Package, hashes: Iterable[str]) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": _purl(package),
        "name": package.name,
        "version": package.version,
        "purl": _purl(package),
    }
    if package.licence:
        component["licenses"] = [{"license": {"name": package.licence}}]
    if allowed := list(hashes):
        # Any of these files may be the one that was installed, so they are no hashes of the component itself.
        component["properties"] = [{"name": "courtyard:allowed-sha256", "value": one} for one in allowed]
    return component
