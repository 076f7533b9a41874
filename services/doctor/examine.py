"""The examination: which facts are gathered for this installation, in which order they are told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import datetime

from device_profiles.schema import DeviceProfile
from services.clock import Clock
from services.database import Database
from services.doctor import findings, probes
from services.doctor.facts import DatabaseFacts, JournalFacts, ProfileFacts
from services.doctor.findings import Finding, Running
from services.folder import running
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
    library, loaded = (load or load_profiles)(settings)
    note = running(settings.data_dir)
    if note is not None and note.http:  # what really runs here, whatever options it was started with
        settings = settings.model_copy(update={"http": note.http, "mqtt": note.mqtt})
    without_broker = note is not None and note.http and not note.mqtt  # services alone: their gateways have one
    journal = probes.journal(settings.data_dir / "journal.db", settings.journal_max_bytes, check_seconds=check_seconds)
    found = [
        findings.python(sys.version_info[:3]),
        findings.urllib3(probes.urllib3()),
        findings.folder(probes.folder(settings.data_dir)),
        findings.profiles(loaded),
        *([] if without_broker else [findings.broker(probes.broker(settings.mqtt, embedded=EMBEDDED))]),
    ]
    if settings.services_url:
        return [*found, *findings.journal(journal), *_gateway_alone(settings, journal, clock)]
    return [*found, *findings.journal(journal), *_services(settings, library, journal, clock, check_seconds)]


def _gateway_alone(settings: Settings, journal: JournalFacts, clock: Clock) -> list[Finding]:
    remote = probes.services(settings.services_url)
    return [
        findings.services(remote),
        findings.token(str(settings.gateway_token_file or ""), probes.readable(settings.gateway_token_file)),
        findings.clock(clock.now(), journal.newest_at, {"services": remote.now} if remote.now else {}),
    ]


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
    found = [
        *findings.database(facts),
        findings.zones(probes.missing_zones(["Asia/Shanghai", *facts.zones])),
        findings.http_port(web),
        *findings.gateways(facts.gateways, clock.now(), running),
        findings.clock(clock.now(), _newest(journal, facts), {"PostgreSQL": facts.now} if facts.now else {}),
    ]
    if facts.revision is not None and facts.revision == facts.newest_revision:
        found.append(findings.outbox(facts.outbox))
    mail = findings.mail(probes.mail(settings.smtp_url))
    return [*found, mail] if mail else found


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
