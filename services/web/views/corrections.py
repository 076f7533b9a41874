"""What late data said of rules, in words: it is on record, and has raised and cleared nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from device_profiles.schema import DeviceProfile
from gateway.reading import child_kind
from services.rules.trial_store import Correction
from services.web.i18n import N_, Translations
from services.web.views.alarms import values_said
from services.web.views.devices import child_label

_HELD = N_("Late data said that it held at %(at)s")
_DID_NOT_HOLD = N_("Late data said that it did not hold at %(at)s")

When = Callable[[datetime], str]
"""A moment on the clock of the site."""


@dataclass(frozen=True)
class CorrectionSaid:
    rule: str
    """What it is called."""
    part: str
    """Which part of the device; "" for the device itself."""
    what: str
    values: str
    known_at: datetime


def corrections_said(
    found: Iterable[Correction], profile: DeviceProfile | None, t: Translations, when: When
) -> list[CorrectionSaid]:
    return [_said(one, profile, t, when) for one in found]


def _said(one: Correction, profile: DeviceProfile | None, t: Translations, when: When) -> CorrectionSaid:
    rules = {rule.id: rule.name.in_(t.language) for rule in profile.rules} if profile is not None else {}
    kind = profile.children.get(child_kind(one.child)) if profile is not None else None
    read = values_said({"values": one.values}, profile, t)
    return CorrectionSaid(
        rule=rules.get(one.rule, one.rule),
        part=child_label(kind, one.child, t.language) if one.child else "",
        what=t.gettext(_HELD if one.held else _DID_NOT_HOLD, at=when(one.measured_at)),
        values=" · ".join(f"{value.name} {value.text}" for value in read),
        known_at=one.known_at,
    )
