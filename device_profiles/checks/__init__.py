"""Checks across the sections of a profile: every name that is used is declared, and fits where it is used.

One module per part of a profile. Each is a function from a `Subject` to the mistakes it finds; `limits` goes first, so
that nothing that is too large is looked at any further.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

from device_profiles.checks.bindings import check as bindings
from device_profiles.checks.commands import check as commands
from device_profiles.checks.device import check as device
from device_profiles.checks.limits import check as limits
from device_profiles.checks.rules import check as rules
from device_profiles.checks.show import check as show
from device_profiles.checks.subject import Subject
from device_profiles.mistakes import Mistake
from device_profiles.schema import DeviceProfile
from device_profiles.shape import STAND_IN
from device_profiles.yaml_source import Document

__all__ = ["MOST_MISTAKES", "check"]

MOST_MISTAKES = 200
"""More help nobody: the first ones are said, and the rest when those are mended."""
_PARTS = (device, bindings, commands, rules, show)


def check(profile: DeviceProfile, document: Document, left_out: frozenset[str] = frozenset()) -> list[Mistake]:
    """Every mistake across sections. `left_out` are names that had a mistake of their own: nothing is said of them."""
    subject = Subject(profile, document, left_out)
    too_large = list(islice(limits(subject), MOST_MISTAKES))
    return too_large or list(islice(_said(subject), MOST_MISTAKES))


def _said(subject: Subject) -> Iterator[Mistake]:
    found = chain.from_iterable(part(subject) for part in _PARTS)
    return (mistake for mistake in found if repr(STAND_IN) not in mistake.found and mistake is not subject.unsaid)
