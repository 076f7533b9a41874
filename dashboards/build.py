"""Every dashboard of a set of device profiles, in classic JSON (schemaVersion 42), once per language.

    <language>/<profile>.json             one kind of device
    <language>/families/<family>.json     all kinds of one family together
    <language>/overview/<name>.json       site, district, tickets, quality; and Courtyard itself

The result is deterministic: the same profiles give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from dashboards import families, overview, product, profiles, quality, work
from dashboards.frame import Json, rendered
from dashboards.places import told_apart
from dashboards.profiles import build, is_drawn, uid
from dashboards.units import unit
from dashboards.words import LANGUAGES
from device_profiles.schema import DeviceProfile

__all__ = ["GENERATED", "LANGUAGES", "all_boards", "build", "is_drawn", "render", "uid", "unit", "write_all"]

GENERATED = Path(__file__).with_name("generated")


def render(profile: DeviceProfile, language: str) -> str:
    """The dashboard of one profile as text for a file."""
    return rendered(build(profile, language))


def all_boards(library: Mapping[str, DeviceProfile], language: str) -> Iterator[tuple[PurePosixPath, Json]]:
    """Every dashboard with the place of its file below the language's folder; no two titles read the same.

    Grafana's file provisioning stops to write a folder in which a title is there twice.
    """
    placed = dict(_placed(library, language))
    return zip(placed, told_apart(list(placed.values())), strict=True)


def _placed(library: Mapping[str, DeviceProfile], language: str) -> Iterator[tuple[PurePosixPath, Json]]:
    for id_, profile in sorted(library.items()):
        if is_drawn(profile):
            yield PurePosixPath(f"{id_}.json"), profiles.build(profile, language)
    for family, members in families.by_family(library).items():
        yield PurePosixPath("families", f"{family}.json"), families.build(family, members, language)
    yield PurePosixPath("overview", "site.json"), overview.site(library, language)
    yield PurePosixPath("overview", "district.json"), overview.district(library, language)
    yield PurePosixPath("overview", "tickets.json"), work.build(language)
    yield PurePosixPath("overview", "quality.json"), quality.build(language)
    yield PurePosixPath("overview", "product.json"), product.build(language)


def write_all(library: Mapping[str, DeviceProfile], folder: Path) -> list[Path]:
    """Write them all; what an earlier run wrote and no profile gives any longer is removed."""
    written = []
    for language in LANGUAGES:
        for place, board in all_boards(library, language):
            file = folder / language / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(rendered(board), encoding="utf-8")
            written.append(file)
        for old in set((folder / language).rglob("*.json")) - set(written):
            if _is_ours(old):
                old.unlink()
    return written


def _is_ours(file: Path) -> bool:
    return '\n "uid": "cy-' in file.read_text(encoding="utf-8")
