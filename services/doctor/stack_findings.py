"""The judgements on the rest of the stack: facts in, findings out. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from services.doctor.findings import Finding, Level, Running, fail, lasting, ok, some, warn
from services.doctor.stack_facts import (
    BrokerDoorFacts,
    ForwardFacts,
    GrafanaFacts,
    InfluxFacts,
    MetricsFacts,
    PostgresFacts,
    SecretFacts,
    SpaceFacts,
)
from services.sizes import in_words

LATE = timedelta(minutes=5)
OLDEST_POSTGRESQL = 140000
CONNECTIONS_SHARE = 0.8
FORECAST_SPAN_DAYS = 0.5
"""Of less than this nobody can say how fast it grows."""


# --- time series ----------------------------------------------------------------------------------------------------


def influx(facts: InfluxFacts, *, unanswered: Level = Level.FAIL) -> list[Finding]:
    """`unanswered`: how bad it is that it does not answer; a gateway alone goes on collecting."""
    what = "InfluxDB"
    if facts.mistake:
        step = (
            "Start it, check COURTYARD_INFLUX_URL and COURTYARD_INFLUX_TOKEN; the journal keeps everything meanwhile."
        )
        return [Finding(unanswered, what, f"{facts.where}: {facts.mistake}", step)]
    if facts.not_set_up:
        return [fail(what, f"{facts.where}: {facts.not_set_up}", "Run courtyard telemetry setup.")]
    if facts.cannot_write:
        step = "COURTYARD_INFLUX_TOKEN must be a token, or in InfluxDB 1 a user, that may write telemetry."
        return [fail(what, f"{facts.where} lets nothing be written: {facts.cannot_write}", step)]
    return [ok(what, f"{facts.where}, version {facts.version or 'not told'}, may be read and written"), _levels(facts)]


def _levels(facts: InfluxFacts) -> Finding:
    if facts.to_change:
        step = "Run courtyard telemetry setup, or mend COURTYARD_INFLUX_RAW_DAYS and its like."
        return warn("Retention", f"not as set; to do: {'; '.join(facts.to_change)}", step)
    return ok("Retention", ", ".join(f"{level} {_days(kept)}" for level, kept in facts.kept.items()))


def _days(kept: timedelta) -> str:
    return f"{kept / timedelta(days=1):g} days" if kept else "for ever"


def forward(facts: ForwardFacts, now: datetime) -> list[Finding]:
    """What waits in this machine's journal for the time series, and what they refused."""
    found = []
    if facts.oldest_at is not None and now - facts.oldest_at > LATE:
        step = "See InfluxDB above and the gateway's log; nothing is lost while the journal has room."
        text = f"{facts.waiting} messages wait for them, the oldest for {lasting(now - facts.oldest_at)}"
        found.append(warn("Time series behind", text, step))
    if facts.refused:
        last = f"; the last: {facts.refused_last}" if facts.refused_last else ""
        step = "See them with courtyard telemetry refused; most often a profile gives one name two types."
        found.append(warn("Points refused", f"{facts.refused} so far{last}", step))
    return found


# --- Grafana --------------------------------------------------------------------------------------------------------


def grafana(facts: GrafanaFacts) -> list[Finding]:
    what = "Grafana"
    if facts.mistake:
        step = "Start it, and check COURTYARD_GRAFANA_URL and COURTYARD_GRAFANA_TOKEN (courtyard grafana token)."
        return [fail(what, f"{facts.where}: {facts.mistake}", step)]
    about = f"{facts.where}, {facts.version}"
    found = [warn(what, f"{about}: {facts.cannot[0]}", "Update it to Grafana 13.") if facts.cannot else ok(what, about)]
    for name, said in facts.unsound.items():
        step = "Check its address and secret as Grafana sees them: courtyard grafana sync --renew-secrets"
        found.append(fail(f"Datasource {name}", said, step))
    if facts.datasources and not facts.unsound:
        found.append(ok("Datasources", f"{facts.datasources} answer"))
    if facts.not_as_built:
        found.append(warn("Dashboards", f"not as built: {some(facts.not_as_built)}", "Run courtyard grafana sync."))
    else:
        found.append(ok("Dashboards", f"{facts.as_built} as built"))
    return found


# --- PostgreSQL -----------------------------------------------------------------------------------------------------


def postgres(facts: PostgresFacts) -> list[Finding]:
    what = "PostgreSQL"
    about = f"{facts.version}, {in_words(facts.bytes)}"
    if facts.largest:
        about += ", most of it " + ", ".join(f"{name} {in_words(size)}" for name, size in facts.largest)
    found = []
    if facts.version_number < OLDEST_POSTGRESQL:
        found.append(warn(what, f"{about}; expected 14 or newer", "Upgrade it: docs/operations.md."))
    else:
        found.append(ok(what, about))
    if facts.most_connections and facts.connections >= CONNECTIONS_SHARE * facts.most_connections:
        text = f"{facts.connections} of {facts.most_connections} in use"
        found.append(warn("Connections", text, "Raise max_connections, or see who else uses this server."))
    if not facts.local and not facts.encrypted:
        step = "Add ?sslmode=require to COURTYARD_DATABASE_URL, where the way to it is not your own."
        found.append(warn("Database line", "goes to another machine without TLS", step))
    return found


# --- broker, secrets, metrics ---------------------------------------------------------------------------------------


def broker_door(facts: BrokerDoorFacts) -> list[Finding]:
    found = []
    if facts.anonymous:
        step = "Set allow_anonymous false and give every device an account: courtyard secrets device NAME."
        found.append(warn("Broker's door", f"{facts.where} lets in whoever comes, without a password", step))
    if facts.refused_filters:
        text = f"{len(facts.refused_filters)} of {facts.asked} subscriptions are refused: {some(facts.refused_filters)}"
        step = "Let the gateway's account read these topics in the broker's access list."
        found.append(fail("Broker's access list", text, step))
    if not found and facts.asked:
        found.append(ok("Broker's door", f"asks for a password, and grants the gateway {facts.asked} subscriptions"))
    return found


def secrets(facts: SecretFacts) -> list[Finding]:
    found = []
    if facts.readable_by_others:
        names = some([str(path) for path in facts.readable_by_others])
        found.append(warn("Secret files", f"others on this machine can read {names}", "chmod 600 them."))
    if facts.weak:
        step = "Replace them with random ones: courtyard secrets init --rotate NAME."
        found.append(fail("Passwords", f"short or well-known ones in {', '.join(facts.weak)}", step))
    if not found and facts.files:
        found.append(ok("Secret files", f"{facts.files}, for their user alone"))
    return found


def metrics(facts: MetricsFacts, running: Running) -> Finding:
    what = "Metrics"
    if facts.mistake:
        if running is Running.NO:
            return ok(what, f"{facts.where}; Courtyard is not running")
        step = "Check COURTYARD_METRICS; start Courtyard again after changing it."
        return fail(what, f"{facts.where}: {facts.mistake}", step)
    if facts.open_to_all:
        step = "They need no password: bind them to 127.0.0.1, or to a network that only Prometheus is on."
        return warn(what, f"{facts.where} can be read by other machines", step)
    return ok(what, f"{facts.samples} figures at http://{facts.where}/metrics")


# --- disks ----------------------------------------------------------------------------------------------------------


def space(facts: SpaceFacts) -> Finding:
    """Whether what is on the disk, kept as long as it is set to be, will fit."""
    what = "Disk ahead"
    journal_room = max(0, facts.journal_max_bytes - facts.journal_bytes)
    growth = _telemetry_growth(facts)
    if growth > facts.free_bytes:
        days = facts.free_bytes / (facts.telemetry_bytes / facts.telemetry_days)
        text = (
            f"readings of {facts.telemetry_kept_days} days will take {in_words(facts.telemetry_bytes + growth)}, "
            f"{in_words(growth)} more than now; {in_words(facts.free_bytes)} are free, enough for {days:.0f} days"
        )
        step = "Set COURTYARD_TELEMETRY_MAX_BYTES or lower COURTYARD_TELEMETRY_DAYS, add disk, or move to InfluxDB."
        return warn(what, text, step)
    if journal_room > facts.free_bytes:
        text = f"the journal may grow by {in_words(journal_room)}, and {in_words(facts.free_bytes)} are free"
        return warn(what, text, "Lower COURTYARD_JOURNAL_MAX_BYTES below what is free, or add disk.")
    if growth:
        whole = in_words(facts.telemetry_bytes + growth)
        return ok(what, f"readings will take {whole} of disk; {in_words(facts.free_bytes)} are free")
    return ok(what, f"{in_words(facts.free_bytes)} free, the journal takes {in_words(facts.journal_max_bytes)} at most")


def _telemetry_growth(facts: SpaceFacts) -> float:
    """Bytes that the embedded time series will still grow by."""
    if facts.telemetry_days < FORECAST_SPAN_DAYS:
        return 0
    whole = facts.telemetry_bytes / facts.telemetry_days * facts.telemetry_kept_days
    if facts.telemetry_max_bytes:
        whole = min(whole, facts.telemetry_max_bytes)
    return max(0.0, whole - facts.telemetry_bytes)
