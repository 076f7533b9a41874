"""The judgements: facts in, one finding out. Pure; who gathered the facts is examine's matter.

Every finding that is not fine says the next step in words that can be typed or done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from services.doctor.facts import (
    BrokerFacts,
    DatabaseFacts,
    FolderFacts,
    GatewayFacts,
    JournalFacts,
    MailFacts,
    OutboxFacts,
    PortFacts,
    ProfileFacts,
    RemoteFacts,
    RuleFacts,
    Urllib3Facts,
)
from services.notices.steps import Steps
from services.sizes import GB, MB, in_words

OLDEST_PYTHON = (3, 11)
EARLIEST = datetime(2025, 11, 1, tzinfo=UTC)
"""Before this Courtyard did not exist, so a clock that says so is wrong."""
FREE_LOW = 2 * GB
FREE_NONE = 200 * MB
GATEWAY_LATE = timedelta(minutes=2)
CLOCK_SLACK = timedelta(seconds=10)
BACKLOG_SHARE = 0.5
_NAMED = 5


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    level: Level
    what: str
    found: str
    next_step: str = ""


def ok(what: str, found: str) -> Finding:
    return Finding(Level.OK, what, found)


def warn(what: str, found: str, next_step: str) -> Finding:
    return Finding(Level.WARN, what, found, next_step)


def fail(what: str, found: str, next_step: str) -> Finding:
    return Finding(Level.FAIL, what, found, next_step)


# --- this machine -------------------------------------------------------------------------------------------------


def python(version: Sequence[int]) -> Finding:
    found = ".".join(str(part) for part in version[:3])
    if tuple(version[:2]) < OLDEST_PYTHON:
        return fail("Python", found, "Install Python 3.11 or newer and start again with make PYTHON=/path/to/it up.")
    return ok("Python", found)


def urllib3(facts: Urllib3Facts) -> Finding:
    if facts.replaced_by:
        return fail(
            "urllib3",
            f"replaced by urllib3-future ({facts.replaced_by}); InfluxDB writes fail with it",
            "Install again with make clean && make up, or: "
            "URLLIB3_NO_OVERRIDE=1 pip install --force-reinstall --no-binary urllib3-future urllib3-future urllib3",
        )
    return ok("urllib3", facts.version)


def zones(missing: Sequence[str]) -> Finding:
    if missing:
        return fail(
            "Time zones", f"no data for {', '.join(missing)}", "pip install tzdata, or mend the site's timezone."
        )
    return ok("Time zones", "data is there")


def clock(now: datetime, newest_seen: datetime | None, others: Mapping[str, datetime]) -> Finding:
    """`newest_seen`: the latest time stored here; `others`: clocks of other machines, read just now."""
    step = "Switch time synchronisation on (timedatectl set-ntp true) and restart Courtyard."
    if now < EARLIEST:
        return fail("Clock", f"says {now:%Y-%m-%d %H:%M} UTC", step)
    if newest_seen is not None and newest_seen - now > CLOCK_SLACK:
        return fail("Clock", f"is {lasting(newest_seen - now)} behind what has been stored already", step)
    for name, theirs in others.items():
        if abs(theirs - now) > CLOCK_SLACK:
            return warn("Clock", f"differs from that of {name} by {lasting(abs(theirs - now))}", step)
    return ok("Clock", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def folder(facts: FolderFacts) -> Finding:
    what = "Data folder"
    if facts.exists and not facts.is_folder:
        return fail(what, f"{facts.path} is a file", "Name a folder with --data DIR or COURTYARD_DATA_DIR.")
    if facts.is_shut:
        return fail(
            what,
            f"{facts.path} cannot be read by this user, {facts.user}; nothing else has been looked at",
            "Run this as the user that Courtyard runs as, such as sudo -u courtyard courtyard doctor.",
        )
    if not facts.writable:
        missing = "cannot be made" if not facts.exists else "cannot be written"
        return fail(
            what, f"{facts.path} {missing} by this user", f"chown it to the user that runs Courtyard: {facts.user}."
        )
    space = f"{in_words(facts.free_bytes)} free"
    if facts.free_bytes < FREE_NONE:
        return fail(
            what, f"{facts.path}: {space}", "Free some space now: at a full disk the gateway stops acknowledging."
        )
    if facts.free_bytes < FREE_LOW:
        return warn(what, f"{facts.path}: {space}", "Free some space, or lower COURTYARD_TELEMETRY_DAYS.")
    if facts.damaged:
        names = ", ".join(facts.damaged)
        return warn(
            what, f"{facts.path}: set aside as damaged: {names}", "Check the disk; then look at or delete them."
        )
    if not facts.exists:
        return ok(what, f"{facts.path} will be made at the first start, {space}")
    return ok(what, f"{facts.path}, {space}")


def http_port(facts: PortFacts) -> Finding:
    what = "Web port"
    where = f"{facts.host}:{facts.port}"
    if facts.mistake:
        return fail(what, f"{where}: {facts.mistake}", "Give COURTYARD_HTTP an address of this machine as HOST:PORT.")
    if facts.courtyard_version:
        return ok(what, f"Courtyard {facts.courtyard_version} answers on {where}")
    if facts.free:
        return ok(what, f"{where} is free; Courtyard is not running")
    return fail(
        what, f"{where} is taken by {facts.holder}", f"Stop it, or start with --http {facts.host}:{facts.port + 1}."
    )


# --- broker -------------------------------------------------------------------------------------------------------


def broker(facts: BrokerFacts) -> Finding:
    what = "MQTT broker"
    if facts.mistake:
        return fail(what, facts.mistake, "Write it as mqtt://[user:password@]host[:port] in --mqtt or COURTYARD_MQTT.")
    if facts.embedded and facts.free:
        return ok(what, f"embedded; {facts.where} is free")
    if facts.embedded:
        step = "Devices that expect ours there will not find it. Stop the other program, or choose another broker."
        if facts.accepted:
            step = f"It is a broker: use it with --mqtt mqtt://{facts.where}, or stop it. Devices reach it, not ours."
        return warn(what, f"embedded, on another port: {facts.where} is taken by {facts.holder}", step)
    if facts.accepted:
        return ok(what, f"{facts.where} lets the gateway in")
    if "not authori" in facts.said.lower() or "bad user" in facts.said.lower():
        return fail(
            what,
            f"{facts.where} says: {facts.said}",
            "Check user and password in COURTYARD_MQTT and the broker's password file.",
        )
    return fail(what, f"{facts.where}: {facts.said}", "Start the broker, and check host, port and firewall.")


# --- what the product keeps ---------------------------------------------------------------------------------------


def journal(facts: JournalFacts) -> list[Finding]:
    what = "Journal"
    if not facts.exists:
        return [ok(what, "will be made at the first start")]
    if facts.damage:
        step = (
            "Start Courtyard: it keeps the damaged file aside and goes on with what can be read. Then check the disk."
        )
        return [fail(what, f"damaged: {facts.damage}", step)]
    if facts.shut:
        return [fail(what, facts.shut, "Run the doctor as the user that runs Courtyard.")]
    findings = [_backlog(facts)]
    if facts.shed:
        step = "Raise COURTYARD_JOURNAL_MAX_BYTES, and see why a consumer stood still."
        findings.append(warn("Readings given up", f"{facts.shed} at the journal's cap so far", step))
    if facts.quarantine_entries:
        step = "See why with courtyard quarantine list, mend the profile, then replay them on the page /quarantine."
        findings.append(warn("Quarantine", f"{facts.quarantine_entries} could not be decoded", step))
    else:
        findings.append(ok("Quarantine", "empty"))
    return findings


def _backlog(facts: JournalFacts) -> Finding:
    waiting = ", ".join(f"{count} for {consumer}" for consumer, count in sorted(facts.waiting.items()) if count)
    share = facts.bytes / facts.max_bytes
    found = f"{in_words(facts.bytes)} of {in_words(facts.max_bytes)}, waiting: {waiting or 'nothing'}"
    if share >= BACKLOG_SHARE and waiting:
        step = "See which consumer stands still (its error is on the board), or raise COURTYARD_JOURNAL_MAX_BYTES."
        return warn("Journal", found, step)
    return ok("Journal", found)


def database(facts: DatabaseFacts) -> list[Finding]:
    what = "Database"
    if not facts.exists:
        return [ok(what, "will be made at the first start")]
    if facts.unreachable:
        return [fail(what, facts.unreachable, "Start PostgreSQL, and check COURTYARD_DATABASE_URL.")]
    if facts.damage:
        step = "Stop Courtyard, keep a copy of the file, and restore the last backup."
        return [fail(what, f"damaged: {facts.damage}", step)]
    if facts.revision != facts.newest_revision:
        found = f"schema {facts.revision or 'empty'}, this version needs {facts.newest_revision}"
        return [fail(what, found, "Run courtyard migrate (courtyard up does it by itself).")]
    findings = [ok(what, f"{facts.kind}, schema {facts.revision}")]
    if facts.admins:
        findings.append(ok("Administrator", f"{facts.admins} can sign in"))
    else:
        findings.append(
            fail(
                "Administrator",
                "nobody may administer every site",
                "Start Courtyard once: it makes one and prints the password.",
            )
        )
    findings.append(_sites(facts))
    if facts.unknown_profiles:
        names = ", ".join(facts.unknown_profiles)
        findings.append(
            fail(
                "Devices",
                f"profiles that are not loaded: {names}",
                "Give their folder with COURTYARD_PROFILES_DIR, or mend the site file.",
            )
        )
    if facts.unclaimed:
        findings.append(_unclaimed(facts.unclaimed))
    if facts.silent_values:
        step = "The devices speak, these sensors do not: look at their cables, or at the period in the profile."
        findings.append(warn("Values missing", some(facts.silent_values), step))
    if facts.faulty_values:
        findings.append(warn("Sensors faulty", some(facts.faulty_values), "Their devices say so: replace them."))
    return findings


def holder(facts: DatabaseFacts, here: int) -> Finding | None:
    """`here`: the process that runs services on this folder, 0 where none does. None: there is nothing to say."""
    what = "Database held"
    if facts.holder is None:
        if not here:
            return None
        step = "It takes it again by itself; if this stays, start it again: until then a second one could start."
        return warn(what, f"by nobody, though process {here} runs here", step)
    if here and facts.holder.pid and facts.holder.pid != here:
        step = f"One of the two must stop; process {here} does so by itself within seconds."
        return warn(what, f"by {facts.holder}, and process {here} runs here", step)
    return ok(what, f"by {facts.holder}")


def some(named: Sequence[str]) -> str:
    return ", ".join(named[:_NAMED]) + (f" and {len(named) - _NAMED} more" if len(named) > _NAMED else "")


def _unclaimed(heard: tuple[str, ...]) -> Finding:
    step = "Give them their place on the page /unclaimed. Is an address in the site file misspelt? Mend it there."
    return warn("New devices", f"heard, and without a place: {some(heard)}", step)


def _sites(facts: DatabaseFacts) -> Finding:
    if not facts.sites:
        return warn("Sites", "none yet", "Import one with courtyard site import FILE, or try courtyard up --demo.")
    if not facts.devices:
        return warn("Sites", f"{facts.sites} without devices", "Add devices to the site file and import it again.")
    return ok("Sites", f"{facts.sites} with {facts.devices} devices")


def gateways(facts: Sequence[GatewayFacts], now: datetime, running: Running) -> list[Finding]:
    if not facts:
        return (
            []
            if running is Running.NO
            else [warn("Gateway", "none has reported yet", "Wait a minute; then see its log.")]
        )
    return [_gateway(one, now, running) for one in facts]


class Running(StrEnum):
    """Whether services answer on their port."""

    YES = "yes"
    NO = "no"


def _gateway(facts: GatewayFacts, now: datetime, running: Running) -> Finding:
    what = f"Gateway {facts.id}"
    if facts.progress_at is None:
        return warn(what, "has never reported", "Start it, and see its log.")
    age = now - facts.progress_at
    found = f"last progress {lasting(age)} ago"
    if running is Running.NO:
        return ok(what, f"{found}; Courtyard is not running")
    if age > GATEWAY_LATE:
        step = "See whether it runs and reaches services; its devices count as unknown meanwhile, nothing is lost."
        return fail(what, found + (f": {facts.last_error}" if facts.last_error else ""), step)
    if not facts.connected:
        return fail(
            what, f"not connected to its broker: {facts.last_error or 'no reason given'}", "See the MQTT broker above."
        )
    if facts.last_error:
        return warn(what, facts.last_error, "It tries again by itself; if this stays, act on what it says.")
    return ok(what, f"{found}, {facts.messages_per_second:g} messages a second")


def outbox(facts: OutboxFacts) -> Finding:
    what = "Notices"
    if facts.failed:
        step = "Mend the recipient's address or channel in the site file and import it again."
        return warn(
            what, f"{facts.failed} could not be delivered; the last: {facts.last_error or 'no reason given'}", step
        )
    if facts.overdue:
        return warn(what, f"{facts.overdue} are overdue", "See that services run and that the channel can be reached.")
    return ok(what, f"{facts.queued} waiting, {facts.delivered} delivered")


def profiles(facts: ProfileFacts) -> Finding:
    if facts.mistakes:
        more = f" (and {len(facts.mistakes) - 1} more)" if len(facts.mistakes) > 1 else ""
        return fail(
            "Device profiles",
            facts.mistakes[0] + more,
            "Mend them; courtyard check lists every mistake with file and line.",
        )
    return ok("Device profiles", f"{facts.count} load")


def rules(facts: RuleFacts) -> Finding:
    """What somebody must mend is a warning; a value that nobody sends may be a sensor that is not there."""
    waiting = f"{facts.never_sent} read what no device of their site has ever sent" if facts.never_sent else ""
    look = f"Look: courtyard rules list --site {facts.sites[0]} --problems" if facts.sites else ""
    if facts.problems:
        more = len(facts.problems) - _NAMED
        named = "; ".join(facts.problems[:_NAMED]) + (f"; and {more} more" if more > 0 else "")
        return warn("Rules", f"cannot be evaluated: {named}", look)
    return ok("Rules", f"none is broken; {waiting} (courtyard rules list --problems)" if waiting else "all work")


def steps(facts: Steps) -> Finding:
    """Whether what nobody acknowledges finds somebody."""
    ended = f"; {facts.ended} on the last step, and nobody has acknowledged them" if facts.ended else ""
    if facts.gaps:
        named = [f"{gap.site} step {gap.step} ({gap.severity})" for gap in facts.gaps[:_NAMED]]
        more = f", and {len(facts.gaps) - _NAMED} more" if len(facts.gaps) > _NAMED else ""
        return warn(
            "Alarms that nobody acknowledges",
            f"nobody hears of them on {', '.join(named)}{more}{ended}",
            "Give the site file a recipient with that `step` and a `min_severity` that includes them, and import it.",
        )
    if facts.without:
        sites = ", ".join(facts.without[:_NAMED])
        return ok("Alarms that nobody acknowledges", f"go to nobody else at {sites}: no recipient has a `step`")
    return ok("Alarms that nobody acknowledges", f"every step has somebody{ended}")


# --- others -------------------------------------------------------------------------------------------------------


def mail(facts: MailFacts) -> Finding | None:
    """None where no mail server is set: e-mail is a choice."""
    if not facts.where:
        return None
    if facts.mistake:
        return fail(
            "Mail server",
            f"{facts.where}: {facts.mistake}",
            "Check COURTYARD_SMTP_URL, and that its port can be reached.",
        )
    return ok("Mail server", f"{facts.where} answers")


def services(facts: RemoteFacts) -> Finding:
    """What a separate gateway depends on. Without it the gateway goes on collecting, so this is never a failure."""
    if facts.mistake:
        step = "Start services, check COURTYARD_SERVICES_URL; the journal keeps everything meanwhile."
        return warn("Services", f"{facts.url}: {facts.mistake}", step)
    return ok("Services", f"{facts.url} answers (Courtyard {facts.version})")


def token(path: str, mistake: str) -> Finding:
    if mistake:
        return fail(
            "Gateway token",
            f"{path or 'not given'}: {mistake}",
            "Make one in services and name its file in COURTYARD_GATEWAY_TOKEN_FILE.",
        )
    return ok("Gateway token", f"{path} can be read")


def lasting(duration: timedelta) -> str:
    seconds = int(duration.total_seconds())
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"
