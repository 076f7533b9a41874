"""A community whose readings are stored as they come, so that its history can be replayed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from device_profiles.schema import DeviceProfile
from gateway.reading import Reading
from gateway.telemetry import TelemetryStore
from gateway.telemetry.sqlite import SqliteTelemetry
from services.backtest import EVERYTHING, Episode, Focus, Report, Variant, run
from services.database import Database
from services.rules.book import RuleBook
from tests.stories.site import MIDNIGHT, Story, opened

AS_IS = RuleBook()


@dataclass
class Stored(Story):
    """A story whose gateway writes the time series as well."""

    telemetry: TelemetryStore | None = None

    def _deliver(self, readings: list[Reading]) -> Story:
        if readings and self.telemetry is not None:
            self.telemetry.write(readings)
        return super()._deliver(readings)


@dataclass(frozen=True)
class Sources:
    database: Database
    library: Mapping[str, DeviceProfile]
    telemetry: TelemetryStore


def stored(folder: Path, telemetry: TelemetryStore | None = None) -> Stored:
    if telemetry is None:
        telemetry = SqliteTelemetry(folder / "telemetry.db")
        telemetry.start()
    return Stored(opened(f"sqlite:///{folder / 'c.db'}"), telemetry=telemetry)


def close(site: Stored) -> None:
    assert site.telemetry is not None
    site.telemetry.close()
    site.database.close()


def sources(site: Stored) -> Sources:
    assert site.telemetry is not None
    return Sources(site.database, site.library, site.telemetry)


def clock(text: str) -> datetime:
    hours, minutes = (int(part) for part in text.split(":"))
    return MIDNIGHT + timedelta(hours=hours, minutes=minutes)


def replayed(
    site: Stored, begin: str, end: str, book: dict[str, object] | None = None, focus: Focus = EVERYTHING
) -> Report:
    """Its history under the profiles' own rules, beside those of a rule book."""
    new = RuleBook.model_validate(book or {})
    old, changed = (Variant(site.library, one) for one in (AS_IS, new))
    assert site.telemetry is not None
    return run(site.database, site.telemetry, "yard", old, changed, clock(begin), clock(end), focus=focus)


def episodes(site: Stored, begin: datetime, end: datetime) -> list[Episode]:
    """Every episode of the live rules: what would be gone if all of them were off."""
    off = {
        id: {rule.id: {"mode": "off"} for rule in profile.rules}
        for id, profile in site.library.items()
        if profile.rules
    }
    assert site.telemetry is not None
    live, none = (Variant(site.library, RuleBook.model_validate(one)) for one in ({}, {"rules": off}))
    found = run(site.database, site.telemetry, "yard", live, none, begin, end)
    assert all(one.kind == "only_old" for one in found.differences)
    return [one.either for one in found.differences]
