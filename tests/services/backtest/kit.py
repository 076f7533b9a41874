"""A community whose readings are stored as they come, so that its history can be replayed."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from gateway.reading import DeviceEntry, Reading, Registry
from gateway.telemetry import TelemetryStore, retention
from gateway.telemetry.influx import InfluxAddress, InfluxTelemetry
from gateway.telemetry.influxql import InfluxQl
from gateway.telemetry.refused import RefusedPoints
from gateway.telemetry.sqlite import SqliteTelemetry
from services.backtest import EVERYTHING, Episode, Focus, Report, Variant, run
from services.clock import to_millis
from services.rules.book import RuleBook
from tests.stories.site import LIBRARY, MIDNIGHT, Story, opened

AS_IS = RuleBook()


@dataclass
class Stored(Story):
    """A story whose gateway writes the time series as well."""

    telemetry: TelemetryStore | None = None

    def _deliver(self, readings: list[Reading]) -> Story:
        if readings and self.telemetry is not None:
            self.telemetry.write(readings)
        return super()._deliver(readings)


def stored(folder: Path, telemetry: TelemetryStore | None = None) -> Stored:
    if telemetry is None:
        telemetry = SqliteTelemetry(folder / "telemetry.db")
        telemetry.start()
    return Stored(opened(f"sqlite:///{folder / 'c.db'}"), telemetry=telemetry)


def influx_store(stack: ExitStack, folder: Path, url: str) -> InfluxTelemetry:
    """A real InfluxDB, set up, that takes the story's profiles."""
    levels = retention.wanted(raw_days=10_000, five_minutes_days=10_000, hourly_days=10_000)
    with InfluxQl(url, "") as ql:
        for change in retention.look(ql, url=url, token="", org="", levels=levels).changes:
            change.carry_out()
    devices = (("pumps", "pumps"), ("gate-1", "gate"))
    places = Registry("1", [DeviceEntry(id=id, profile=profile, address=id, site="yard") for id, profile in devices])
    store = InfluxTelemetry(
        InfluxAddress(url=url),
        library=LIBRARY,
        registry=lambda: places,
        set_aside=RefusedPoints(folder / "refused.db"),
        now_millis=lambda: to_millis(MIDNIGHT),
    )
    store.start()
    stack.callback(store.close)
    return store


def close(site: Stored) -> None:
    assert site.telemetry is not None
    site.telemetry.close()
    site.database.close()


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
