"""The examination: which facts are gathered for this installation, in which order they are told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import datetime

from device_profiles.schema import DeviceProfile
from services.clock import Clock
from services.database import Database
from services.doctor import findings, probes, stack_findings, stack_probes
from services.doctor.facts import DatabaseFacts, JournalFacts, ProfileFacts
from services.doctor.findings import Finding, Level, Running
from services.doctor.stack_facts import InfluxFacts
from services.folder import running
from services.notices.steps import steps_of
from services.scope import EVERYWHERE
from services.settings import Settings

CHECK_SECONDS = 10.0
"""An integrity check that takes longer is given up: a big database is no reason to wait."""
EMBEDDED = ("127.0.0.1", 1883)
Loaded = tuple[Mapping[str, DeviceProfile], ProfileFacts]
Load = Callable[[Settings], Loaded]


def examine(
    settings: Settings, clock: Clock, *, check_seconds: float = CHECK_SECONDS, load: Load | None = None
) -> list[Finding]:
    """Every finding, the machine first. With `services_url` set this is a gateway alone: no database, no pages."""
    place = probes.folder(settings.data_dir)
    if place.is_shut:
        return [findings.python(sys.version_info[:3]), findings.folder(place)]
    library, loaded = (load or load_profiles)(settings)
    embedded = settings.mqtt == "embedded"  # it is on loopback, and made for whoever is there
    note = running(settings.data_dir)
    if note is not None and note.http:  # what really runs here, whatever options it was started with
        settings = settings.model_copy(update={"http": note.http, "mqtt": note.mqtt})
    without_broker = note is not None and note.http and not note.mqtt  # services alone: their gateways have one
    journal = probes.journal(settings.data_dir / "journal.db", settings.journal_max_bytes, check_seconds=check_seconds)
    found = [
        findings.python(sys.version_info[:3]),
        findings.urllib3(probes.urllib3()),
        findings.folder(place),
        findings.profiles(loaded),
        *([] if without_broker else [findings.broker(probes.broker(settings.mqtt, embedded=EMBEDDED))]),
        *([] if without_broker or embedded else _door(settings)),
        *stack_findings.secrets(stack_probes.secrets(settings)),
    ]
    if settings.services_url:
        return [*found, *findings.journal(journal), *_gateway_alone(settings, journal, clock)]
    return [*found, *findings.journal(journal), *_services(settings, library, journal, clock, check_seconds)]


def _gateway_alone(settings: Settings, journal: JournalFacts, clock: Clock) -> list[Finding]:
    remote = probes.services(settings.services_url)
    series = stack_probes.influx(settings)
    return [
        findings.services(remote),
        findings.token(str(settings.gateway_token_file or ""), probes.readable(settings.gateway_token_file)),
        # Without it a gateway goes on collecting, so that it does not answer is no failure here.
        *_time_series(settings, series, clock, unanswered=Level.WARN),
        *_machine(settings, Running.NO),
        findings.clock(
            clock.now(), journal.newest_at, _clocks(services=remote.now, InfluxDB=series.now if series else None)
        ),
    ]


def _door(settings: Settings) -> list[Finding]:
    door = stack_probes.broker_door(settings.mqtt, settings.data_dir)
    return stack_findings.broker_door(door) if door is not None else []


def _time_series(
    settings: Settings, series: InfluxFacts | None, clock: Clock, *, unanswered: Level = Level.FAIL
) -> list[Finding]:
    if series is None:
        return []
    behind = stack_findings.forward(stack_probes.forward(settings.data_dir), clock.now())
    return [*stack_findings.influx(series, unanswered=unanswered), *behind]


def _machine(settings: Settings, running: Running) -> list[Finding]:
    """Its disk in time to come, and who may ask for figures."""
    listener = stack_probes.metrics(settings.metrics)
    return [
        stack_findings.space(stack_probes.space(settings, probes.folder(settings.data_dir).free_bytes)),
        *([stack_findings.metrics(listener, running)] if listener is not None else []),
    ]


def _clocks(**others: datetime | None) -> dict[str, datetime]:
    return {name: now for name, now in others.items() if now is not None}


def _services(
    settings: Settings,
    library: Mapping[str, DeviceProfile],
    journal: JournalFacts,
    clock: Clock,
    check_seconds: float,
) -> list[Finding]:
    web = probes.http_port(settings.http)
    running = Running.YES if web.courtyard_version else Running.NO
    database = Database(settings.effective_database_url)
    facts = probes.database(database, library, clock.now(), check_seconds=check_seconds)
    series = stack_probes.influx(settings)
    found = [
        *findings.database(facts),
        *_held(settings, facts),
        *_inside(settings, database, library, facts, clock.now()),
        *_time_series(settings, series, clock),
        *_machine(settings, running),
        findings.zones(probes.missing_zones(["Asia/Shanghai", *facts.zones])),
        findings.http_port(web),
        *findings.gateways(facts.gateways, clock.now(), running),
        findings.clock(
            clock.now(), _newest(journal, facts), _clocks(PostgreSQL=facts.now, InfluxDB=series.now if series else None)
        ),
    ]
    if facts.revision is not None and facts.revision == facts.newest_revision:
        found.append(findings.outbox(facts.outbox))
    mail = findings.mail(probes.mail(settings.smtp_url))
    return [*found, mail] if mail else found


def _held(settings: Settings, facts: DatabaseFacts) -> list[Finding]:
    if facts.revision is None or facts.revision != facts.newest_revision:
        return []
    note = running(settings.data_dir)
    found = findings.holder(facts, note.pid if note is not None and note.http else 0)
    return [found] if found is not None else []


def _inside(
    settings: Settings, database: Database, library: Mapping[str, DeviceProfile], facts: DatabaseFacts, now: datetime
) -> list[Finding]:
    """What needs the database: its own figures, and Grafana, whose folders follow the sites."""
    if facts.revision is None or facts.revision != facts.newest_revision:
        shown = stack_probes.grafana(settings, library, None)
        return stack_findings.grafana(shown) if shown is not None else []
    database.start()
    try:
        with database.read() as connection:
            server = [] if database.is_sqlite else stack_findings.postgres(stack_probes.postgres(connection))
            shown = stack_probes.grafana(settings, library, connection)
            rules = findings.rules(probes.rules(connection, library, now))
            steps = findings.steps(steps_of(connection, EVERYWHERE))
    finally:
        database.close()
    return [rules, steps, *server, *(stack_findings.grafana(shown) if shown is not None else [])]


def _newest(journal: JournalFacts, database: DatabaseFacts) -> datetime | None:
    times = [journal.newest_at, *(gateway.progress_at for gateway in database.gateways)]
    return max((at for at in times if at is not None), default=None)


def load_profiles(settings: Settings) -> Loaded:
    """The library, or its mistakes; every profile is tried on its own samples, which takes a second."""
    from device_profiles.library import ProfileMistakes
    from services.profiles import ProfileSamplesFail, load_library

    try:
        library = load_library(settings)
    except ProfileMistakes as mistakes:
        return {}, ProfileFacts(0, tuple(str(mistake) for mistake in mistakes.mistakes))
    except ProfileSamplesFail as failed:
        return {}, ProfileFacts(0, tuple(failed.failures))
    return library, ProfileFacts(len(library), names=frozenset(library))
