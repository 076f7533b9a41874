"""An example to begin with: a profile, a message of its own samples, and how the profile says that it is read. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from device_profiles.schema import DeviceProfile, Sample

_LONGEST_PAYLOAD = 400
_MOST_LINES = 60


def example_profile(library: Mapping[str, DeviceProfile], used: Collection[str]) -> DeviceProfile | None:
    """The profile whose example is shown first: one that devices here have, else any; in the library's order, in which
    the user's own come first."""
    able = [profile for profile in library.values() if example_of(profile) is not None]
    return next((profile for profile in able if profile.id in used), able[0] if able else None)


def example_of(profile: DeviceProfile) -> Sample | None:
    """A sample that stands for itself and shows most: the one with the most values among the readable short ones, else
    the first that decodes at all."""
    alone = [one for one in profile.samples if _stands_alone(one)]
    readable = [one for one in alone if one.text is not None and len(one.text) <= _LONGEST_PAYLOAD]
    return max(readable or alone[:1], key=_values, default=None)


def _stands_alone(sample: Sample) -> bool:
    needs = sample.before or sample.registered or sample.params or sample.said or sample.retained or sample.error
    return not needs and bool(sample.expect)


def _values(sample: Sample) -> int:
    return sum(len(expected.get("values") or {}) for expected in sample.expect)


def lines_of_binding(text: str, binding: str) -> str:
    """The lines of a profile's YAML that declare one binding, as they stand there; "" where they are not found."""
    lines = text.splitlines()
    begin = re.compile(rf"^(\s*)-\s+(?:\{{\s*)?id:\s*[\"']?{re.escape(binding)}[\"']?\s*(?:[,#}}].*)?$")
    for number, line in enumerate(lines):
        if found := begin.match(line):
            return "\n".join([line, *_deeper(lines[number + 1 : number + _MOST_LINES], len(found[1]))])
    return ""


def _deeper(lines: list[str], indent: int) -> list[str]:
    """The lines that belong to the list item before them."""
    for number, line in enumerate(lines):
        if line.strip() and len(line) - len(line.lstrip()) <= indent:
            return lines[:number]
    return lines
