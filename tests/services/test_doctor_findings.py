"""What the doctor says to which facts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.doctor import findings
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
    Urllib3Facts,
)
from services.doctor.findings import Finding, Level, Running

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
GB = 1000**3
SOUND = DatabaseFacts("SQLite", revision="7", newest_revision="7", admins=1, sites=1, devices=27)


def by_name(found: list[Finding]) -> dict[str, Finding]:
    return {finding.what: finding for finding in found}


def folder(**changes: object) -> FolderFacts:
    facts = {"path": Path("data"), "exists": True, "is_folder": True, "writable": True, "free_bytes": 50 * GB}
    return FolderFacts(**{**facts, **changes})  # type: ignore[arg-type]


def test_an_old_python_is_refused() -> None:
    assert findings.python((3, 10, 12)).level is Level.FAIL
    assert findings.python((3, 11, 0)).level is Level.OK
    assert findings.python((4, 0, 0)).level is Level.OK


def test_a_replaced_urllib3_is_found_with_its_cure() -> None:
    found = findings.urllib3(Urllib3Facts("2.25.904", "/site-packages/urllib3_future.pth"))
    assert found.level is Level.FAIL
    assert "URLLIB3_NO_OVERRIDE=1" in found.next_step
    assert findings.urllib3(Urllib3Facts("2.8.0")).level is Level.OK


@pytest.mark.parametrize(
    ("facts", "level", "says"),
    [
        (folder(), Level.OK, "50.0 GB"),
        (folder(exists=False), Level.OK, "will be made"),
        (folder(exists=False, writable=False), Level.FAIL, "cannot be made"),
        (folder(writable=False), Level.FAIL, "cannot be written"),
        (folder(is_folder=False), Level.FAIL, "is a file"),
        (folder(free_bytes=1 * GB), Level.WARN, "1.0 GB"),
        (folder(free_bytes=GB // 10), Level.FAIL, "100 MB"),
    ],
)
def test_the_data_folder(facts: FolderFacts, level: Level, says: str) -> None:
    found = findings.folder(facts)
    assert found.level is level
    assert says in found.found


def test_a_clock_is_wrong_before_the_product_existed_or_behind_what_was_stored() -> None:
    assert findings.clock(datetime(1970, 1, 1, tzinfo=UTC), None, {}).level is Level.FAIL
    behind = findings.clock(NOW, NOW + timedelta(hours=3), {})
    assert behind.level is Level.FAIL
    assert "3 hours" in behind.found
    assert findings.clock(NOW, NOW + timedelta(seconds=1), {}).level is Level.OK
    apart = findings.clock(NOW, NOW, {"PostgreSQL": NOW - timedelta(seconds=40)})
    assert apart.level is Level.WARN
    assert "PostgreSQL by 40 seconds" in apart.found


def test_the_web_port_is_free_ours_or_somebody_elses() -> None:
    assert findings.http_port(PortFacts("127.0.0.1", 8080, free=True)).level is Level.OK
    assert findings.http_port(PortFacts("127.0.0.1", 8080, courtyard_version="0.1.0")).level is Level.OK
    taken = findings.http_port(PortFacts("127.0.0.1", 8080, holder="nginx (pid 7)"))
    assert taken.level is Level.FAIL
    assert "nginx (pid 7)" in taken.found
    assert "--http 127.0.0.1:8081" in taken.next_step


def test_a_broker_that_refuses_the_password_is_another_matter_than_one_that_is_not_there() -> None:
    refused = findings.broker(BrokerFacts("mqtt://b:1883", said="Not authorized"))
    absent = findings.broker(BrokerFacts("mqtt://b:1883", said="[Errno 111] Connection refused"))
    assert refused.level is absent.level is Level.FAIL
    assert "password" in refused.next_step
    assert "Start the broker" in absent.next_step
    assert findings.broker(BrokerFacts("mqtt://b:1883", accepted=True, said="Success")).level is Level.OK


def test_the_embedded_brokers_port() -> None:
    assert findings.broker(BrokerFacts("127.0.0.1:1883", embedded=True, free=True)).level is Level.OK
    other = findings.broker(BrokerFacts("127.0.0.1:1883", embedded=True, holder="mosquitto (pid 7)", accepted=True))
    assert other.level is Level.WARN, "another program's broker is where ours would be"
    assert "--mqtt mqtt://127.0.0.1:1883" in other.next_step
    taken = findings.broker(BrokerFacts("127.0.0.1:1883", embedded=True, holder="redis (pid 9)", said="?"))
    assert taken.level is Level.WARN
    assert "redis (pid 9)" in taken.found


def test_a_damaged_journal_is_found_and_an_absent_one_is_not_a_fault() -> None:
    (damaged,) = findings.journal(JournalFacts(True, GB, damage="malformed"))
    assert damaged.level is Level.FAIL
    (absent,) = findings.journal(JournalFacts(False, GB))
    assert absent.level is Level.OK


def test_a_journal_half_full_of_what_somebody_does_not_take() -> None:
    stuck = by_name(
        findings.journal(JournalFacts(True, GB, bytes=GB * 3 // 4, waiting={"services": 12, "telemetry": 0}))
    )
    assert stuck["Journal"].level is Level.WARN
    assert "12 for services" in stuck["Journal"].found
    assert "telemetry" not in stuck["Journal"].found
    taken = by_name(findings.journal(JournalFacts(True, GB, bytes=GB * 3 // 4, waiting={"services": 0})))
    assert taken["Journal"].level is Level.OK


def test_quarantine_and_shed_readings_have_a_next_step() -> None:
    found = by_name(findings.journal(JournalFacts(True, GB, quarantine_entries=3, shed=5)))
    assert found["Quarantine"].level is found["Readings given up"].level is Level.WARN
    assert "courtyard quarantine" in found["Quarantine"].next_step


@pytest.mark.parametrize(
    ("facts", "what", "level", "step"),
    [
        (DatabaseFacts("SQLite", exists=False), "Database", Level.OK, ""),
        (
            DatabaseFacts("PostgreSQL", unreachable="connection refused"),
            "Database",
            Level.FAIL,
            "COURTYARD_DATABASE_URL",
        ),
        (DatabaseFacts("SQLite", damage="row missing"), "Database", Level.FAIL, "backup"),
        (DatabaseFacts("SQLite", revision="6", newest_revision="7"), "Database", Level.FAIL, "courtyard migrate"),
        (DatabaseFacts("SQLite", revision=None, newest_revision="7"), "Database", Level.FAIL, "courtyard migrate"),
    ],
)
def test_a_database_that_cannot_be_used(facts: DatabaseFacts, what: str, level: Level, step: str) -> None:
    (found,) = findings.database(facts)
    assert (found.what, found.level) == (what, level)
    assert step in found.next_step


def test_a_sound_database_is_looked_into() -> None:
    assert {finding.level for finding in findings.database(SOUND)} == {Level.OK}
    nobody = DatabaseFacts("SQLite", revision="7", newest_revision="7", unknown_profiles=("old_pump",))
    found = by_name(findings.database(nobody))
    assert found["Administrator"].level is Level.FAIL
    assert found["Sites"].level is Level.WARN
    assert "old_pump" in found["Devices"].found


def test_a_gateway_is_judged_by_its_progress_while_services_run() -> None:
    late = GatewayFacts("gw", NOW - timedelta(minutes=10), last_error="broker refused")
    (found,) = findings.gateways([late], NOW, Running.YES)
    assert found.level is Level.FAIL
    assert "10 minutes" in found.found
    assert "broker refused" in found.found
    (stopped,) = findings.gateways([late], NOW, Running.NO)
    assert stopped.level is Level.OK
    (fresh,) = findings.gateways([GatewayFacts("gw", NOW, messages_per_second=12)], NOW, Running.YES)
    assert fresh.level is Level.OK
    (cut,) = findings.gateways([GatewayFacts("gw", NOW, connected=False)], NOW, Running.YES)
    assert cut.level is Level.FAIL
    assert [finding.level for finding in findings.gateways([], NOW, Running.YES)] == [Level.WARN]
    assert findings.gateways([], NOW, Running.NO) == []


def test_notices_that_failed_or_wait_too_long() -> None:
    assert findings.outbox(OutboxFacts(delivered=3)).level is Level.OK
    assert findings.outbox(OutboxFacts(queued=3, overdue=2)).level is Level.WARN
    failed = findings.outbox(OutboxFacts(failed=1, last_error="550 no such user"))
    assert failed.level is Level.WARN
    assert "550 no such user" in failed.found


def test_profiles_with_mistakes_name_the_first_one() -> None:
    found = findings.profiles(ProfileFacts(0, ("pump.yaml:7: rules: found x, expected y", "other")))
    assert found.level is Level.FAIL
    assert "pump.yaml:7" in found.found
    assert "1 more" in found.found


def test_mail_is_a_choice() -> None:
    assert findings.mail(MailFacts("")) is None
    refused = findings.mail(MailFacts("mail:25", "timed out"))
    assert refused is not None
    assert refused.level is Level.FAIL


def test_a_gateway_alone_can_live_without_services_for_a_while() -> None:
    assert findings.services(RemoteFacts("http://s", mistake="refused")).level is Level.WARN
    assert findings.token("", "no file is named").level is Level.FAIL


def test_time_zones() -> None:
    assert findings.zones(["Mars/Base"]).level is Level.FAIL
    assert findings.zones([]).level is Level.OK


def test_whatever_is_not_fine_says_what_to_do() -> None:
    every = [
        findings.python((3, 9)),
        findings.folder(folder(writable=False)),
        findings.http_port(PortFacts("h", 1, mistake="no such address")),
        findings.broker(BrokerFacts("", mistake="not an MQTT address")),
        *findings.journal(JournalFacts(True, GB, shut="no")),
        *findings.gateways([GatewayFacts("gw", None)], NOW, Running.YES),
        *findings.gateways([GatewayFacts("gw", NOW, last_error="slow")], NOW, Running.YES),
    ]
    assert all(finding.next_step for finding in every if finding.level is not Level.OK)
    assert sum(finding.level is not Level.OK for finding in every) == 7


def test_devices_in_no_site_file_are_named() -> None:
    facts = DatabaseFacts(
        "SQLite", admins=1, sites=1, devices=1, unclaimed=tuple(f"p{n} (booster_set)" for n in range(7))
    )
    found = by_name(findings.database(facts))["New devices"]
    assert found.level is Level.WARN
    assert "p0 (booster_set)" in found.found
    assert "and 2 more" in found.found
    assert "site file" in found.next_step


def test_rules_that_cannot_be_evaluated_are_a_warning_and_missing_sensors_are_not() -> None:
    from services.doctor.facts import RuleFacts

    broken = findings.rules(RuleFacts(("yard pumps/low: no such rule",), 2, ("yard",)))
    assert (broken.level, broken.next_step) == (Level.WARN, "Look: courtyard rules list --site yard --problems")
    assert "yard pumps/low: no such rule" in broken.found
    waiting = findings.rules(RuleFacts((), 2, ("yard",)))
    assert (waiting.level, "2 read what no device of their site has ever sent" in waiting.found) == (Level.OK, True)
    assert findings.rules(RuleFacts()).found == "all work"
