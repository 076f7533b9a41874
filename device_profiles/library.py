"""The library of device profiles: find them, load them, and say every mistake of every file at once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from os.path import realpath
from pathlib import Path
from typing import Any

from device_profiles.checks import check
from device_profiles.mistakes import Mistake, ProfileMistakes
from device_profiles.schema import DeviceProfile
from device_profiles.shape import profile_of
from device_profiles.yaml_source import Document, Unreadable, parse, read

__all__ = [
    "SCHEMA_FILE",
    "SHIPPED",
    "Library",
    "Mistake",
    "ProfileMistakes",
    "files_of",
    "json_schema",
    "load",
    "load_text",
    "survey",
]

SHIPPED = Path(__file__).parent
"""The folder of the profiles that come with Courtyard."""
SCHEMA_FILE = SHIPPED / "profile.schema.json"
"""The same schema as editors read it."""


class Library(Mapping[str, DeviceProfile]):
    """Device profiles by id, in the order in which they are asked for a message that several would take: the user's own
    first, then the shipped ones, adapters last; each of these by id."""

    def __init__(self, profiles: Mapping[str, tuple[DeviceProfile, Path]]) -> None:
        self._profiles = {id_: profiles[id_] for id_ in sorted(profiles, key=lambda id_: _turn(*profiles[id_]))}

    def __getitem__(self, profile: str) -> DeviceProfile:
        return self._profiles[profile][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._profiles)

    def __len__(self) -> int:
        return len(self._profiles)

    def families(self) -> tuple[str, ...]:
        """The families that have a profile here."""
        return tuple(sorted({profile.family for profile in self.values()}))

    def by_family(self, family: str) -> tuple[DeviceProfile, ...]:
        """The profiles of one family."""
        return tuple(profile for profile in self.values() if profile.family == family)

    def file_of(self, profile: str) -> Path:
        """The file a profile was read from."""
        return self._profiles[profile][1]

    def document_of(self, profile: str) -> Document:
        """The profile's file read again, for the lines of its parts."""
        return read(self.file_of(profile))


def _turn(profile: DeviceProfile, file: Path) -> tuple[bool, bool, str]:
    shipped = _real(file).is_relative_to(SHIPPED)
    return shipped, shipped and profile.family == "adapter", profile.id


def load(*folders: Path) -> Library:
    """Load every profile (*.yaml, *.yml) in these folders and below; without folders, the shipped ones.

    Raises ProfileMistakes with every mistake of every file.
    """
    library, mistakes = survey(*folders)
    if mistakes:
        raise ProfileMistakes(mistakes)
    return library


def survey(*folders: Path) -> tuple[Library, list[Mistake]]:
    """Like `load`, but without raising: the profiles that are sound, and the mistakes of the others."""
    gone = [folder for folder in folders if not folder.is_file() and not folder.is_dir()]
    mistakes = [Mistake(folder, 1, "folder", "nothing", "a folder with profiles") for folder in gone]
    profiles: dict[str, tuple[DeviceProfile, Path]] = {}
    # The shipped ones first: an id that they have is the mistake of the other file.
    for file in sorted(files_of(*(folders or (SHIPPED,))), key=lambda one: not _real(one).is_relative_to(SHIPPED)):
        profile, found = _of_file(file)
        mistakes += found
        if profile is None:
            continue
        if profile.id in profiles:
            expected = f"an id of its own: {profiles[profile.id][1]} has it already"
            line = read(file).line("profile")
            mistakes.append(Mistake(file, line, "profile", f"{profile.id!r} again", expected))
        elif not found:
            profiles[profile.id] = (profile, file)
    return Library(profiles), sorted(mistakes)


_SOUND: dict[tuple[Path, int, int], DeviceProfile] = {}
"""Profiles without mistakes by file, time of change and size: one process asks for the library more than once."""


def _of_file(file: Path) -> tuple[DeviceProfile | None, list[Mistake]]:
    try:
        known = file.stat()
        stamp = (_real(file), known.st_mtime_ns, known.st_size)
        if stamp in _SOUND:
            return _SOUND[stamp], []
        profile, mistakes = _checked(read(file))
    except OSError as error:
        return None, [Mistake(file, 1, "file", error.strerror or str(error), "a readable file")]
    except Unreadable as error:
        return None, [error.mistake]
    if profile is not None and not mistakes:
        _SOUND[stamp] = profile
    return profile, mistakes


def load_text(text: str, file: Path = Path("profile.yaml")) -> DeviceProfile:
    """Load one profile from a text; raises ProfileMistakes."""
    try:
        profile, mistakes = _checked(parse(file, text))
    except Unreadable as error:
        raise ProfileMistakes([error.mistake]) from None
    if profile is None or mistakes:
        raise ProfileMistakes(mistakes)
    return profile


def files_of(*folders: Path) -> list[Path]:
    """The files in these folders and below that are profiles; a file is itself."""
    files: dict[Path, Path] = {}
    for folder in folders:
        if folder.is_file():
            files[_real(folder)] = folder
            continue
        for pattern in ("*.yaml", "*.yml"):
            files |= {_real(file): file for file in folder.rglob(pattern)}
    return sorted(files.values())


def _real(file: Path) -> Path:
    """Where it really is; of links that lead round in circles, somewhere on the way."""
    return Path(realpath(file))


def _checked(document: Document) -> tuple[DeviceProfile | None, list[Mistake]]:
    if not isinstance(document.data, dict):
        return None, [Mistake(document.file, 1, "profile", "no mapping", "a profile: keys such as profile, bindings")]
    profile, mistakes, left_out = profile_of(document)
    if profile is not None:
        mistakes += check(profile, document, left_out)
    return profile, mistakes


# --- for editors -----------------------------------------------------------------------------------------------------


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a profile: point an editor at it and it completes and checks while you write."""
    schema = _with_shorthand(DeviceProfile.model_json_schema(by_alias=True))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Courtyard device profile"}


_FIELD = {"$ref": "#/$defs/FieldMap"}


def _with_shorthand(schema: Any) -> Any:
    """A field may be no more than its path, or paths: pydantic cannot know, a validator does it."""
    if schema == _FIELD:
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, _FIELD]}
    if isinstance(schema, dict):
        return {key: _with_shorthand(value) for key, value in schema.items()}
    return [_with_shorthand(value) for value in schema] if isinstance(schema, list) else schema


def write_json_schema() -> None:
    """Bring the exported schema in step with the models: `python -m device_profiles.library`."""
    SCHEMA_FILE.write_text(json.dumps(json_schema(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_json_schema()
