"""A backup is taken, lies about for a while, and is needed: what comes back, and what is said when it cannot."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import zipfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text
from typer.testing import CliRunner, Result

from device_profiles.library import SHIPPED, load
from device_profiles.schema import DeviceProfile
from gateway.journal import Journal, NewEntry
from gateway.reading import Reading
from gateway.telemetry.sqlite import SqliteTelemetry
from services import folder, migrations
from services.accounts import audit
from services.accounts.desk import first_start
from services.backup.config import without_password
from services.backup.make import Wanted, make
from services.backup.manifest import BackupUnusable
from services.backup.restore import check, restore
from services.cli.main import app
from services.database import Database
from services.demo import SITE
from services.settings import Settings
from services.sites.importer import import_site
from services.tables import audit as audit_table
from services.tables import devices, gateways, login_attempts, notices, set_aside

NOW = datetime(2026, 7, 1, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=3)
CURSOR = 5_000


class Silent:
    def step(self, what: str, total: int) -> Callable[[int], None]:
        return lambda done: None


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"COURTYARD_{name.upper()}", raising=False)


@pytest.fixture(scope="module")
def library() -> dict[str, DeviceProfile]:
    return dict(load(SHIPPED))


@pytest.fixture
def yard(tmp_path: Path, made_yard: Path) -> Path:
    """A folder as a running Courtyard keeps it, with words that are hard to carry over."""
    return Path(shutil.copytree(made_yard, tmp_path / "yard"))


@pytest.fixture(scope="module")
def made_yard(tmp_path_factory: pytest.TempPathFactory, library: dict[str, DeviceProfile]) -> Path:
    data = tmp_path_factory.mktemp("made")
    database = Database.sqlite(data / "courtyard.db")
    database.start()
    migrations.upgrade(database)
    first_start(database, NOW)
    import_site(database, SITE, library, NOW)
    with database.write() as connection:
        connection.execute(insert(gateways).values(id="gateway-1", cursor=CURSOR, status={"connected": True}))
        connection.execute(insert(login_attempts).values(key="login:x", failures=0.1, at=NOW))
        connection.execute(
            insert(set_aside).values(id="s", at=NOW, device="电梯", error='two\nlines, "quotes" and \\', reading="")
        )
        connection.execute(insert(notices).values(**_notice("n1", "queued")))
        connection.execute(text("UPDATE devices SET announced = NULL WHERE id = 'sump-1'"))
        audit.append(connection, now=NOW, who=None, action="tried", data={"float": 0.1, "word": "泵"})
    database.close()
    journal = Journal(data / "journal.db", consumers=("telemetry", "services"), first_seq=CURSOR - 2)
    journal.start()
    journal.append([NewEntry(n, n, [Reading("d", "", n, n, "b", {"x": float(n)})]) for n in (1, 2)])
    journal.close()
    telemetry = SqliteTelemetry(data / "telemetry.db")
    telemetry.start()
    telemetry.write([Reading("d", "", 1, 1, "b", {"x": 1.0})])
    telemetry.close()
    return data


def _notice(name: str, state: str) -> dict[str, Any]:
    return {
        "id": name, "key": name, "site": "osmanthus", "recipient": "r", "channel": "email", "target": "a@b",
        "title": "t", "subject_kind": "alarm", "subject_id": "a", "event": "raised", "body": "", "data": {"a": None},
        "state": state, "created_at": NOW,
    }  # fmt: skip


def settings(data: Path, **more: object) -> Settings:
    return Settings(data_dir=data, **more)  # type: ignore[arg-type]


def back_up(data: Path, target: Path, wanted: Wanted | None = None, **more: object) -> Path:
    make(target, settings(data, **more), NOW, Silent(), wanted or Wanted())
    return target


def contents(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, as Courtyard itself reads them."""
    from services.database import metadata

    with database.read() as connection:
        return {
            name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]
            for name, table in metadata.tables.items()
        }


def contents_of(data: Path) -> dict[str, list[tuple[Any, ...]]]:
    return contents_at(f"sqlite:///{data / 'courtyard.db'}")


def contents_at(url: str) -> dict[str, list[tuple[Any, ...]]]:
    database = Database(url)
    database.start()
    try:
        return contents(database)
    finally:
        database.close()


def without_the_last_audit(found: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    """A restore adds one row to the audit log, and says so there."""
    assert found["audit"][-1][3] == "restored"
    return {**found, "audit": found["audit"][:-1]}


# --- there and back -------------------------------------------------------------------------------------------------


def test_every_row_comes_back_as_it_was(yard: Path, tmp_path: Path) -> None:
    file = back_up(yard, tmp_path / "b.zip")
    report = restore(file, settings(tmp_path / "new"), LATER, Silent(), replace=False)
    assert without_the_last_audit(contents_of(tmp_path / "new")) == contents_of(yard)
    assert report.notices_waiting == 1
    assert report.rows["devices"] == 25


def test_null_stays_null(yard: Path, tmp_path: Path) -> None:
    restore(back_up(yard, tmp_path / "b.zip"), settings(tmp_path / "new"), LATER, Silent(), replace=False)
    with closing(sqlite3.connect(tmp_path / "new" / "courtyard.db")) as raw:
        found = raw.execute("SELECT typeof(announced) FROM devices WHERE id = 'sump-1'").fetchone()
    assert found == ("null",)


@pytest.mark.postgresql
def test_sqlite_grows_into_postgresql_and_back(yard: Path, tmp_path: Path, postgresql_url: str) -> None:
    file = back_up(yard, tmp_path / "b.zip")
    grown = settings(tmp_path / "grown", database_url=postgresql_url)
    restore(file, grown, LATER, Silent(), replace=False)
    assert without_the_last_audit(contents_at(postgresql_url)) == contents_of(yard)
    again = back_up(tmp_path / "grown", tmp_path / "b2.zip", database_url=postgresql_url)
    restore(again, settings(tmp_path / "small"), LATER, Silent(), replace=False)
    assert without_the_last_audit(contents_of(tmp_path / "small")) == contents_at(postgresql_url)


@pytest.mark.postgresql
def test_numbers_go_on_behind_those_restored(yard: Path, tmp_path: Path, postgresql_url: str) -> None:
    restore(
        back_up(yard, tmp_path / "b.zip"),
        settings(tmp_path / "grown", database_url=postgresql_url),
        LATER,
        Silent(),
        replace=False,
    )
    database = Database(postgresql_url)
    database.start()
    row = {"at": LATER, "action": "tried", "previous_hash": "", "hash": ""}
    with database.write() as connection:
        highest = len(connection.execute(select(audit_table)).all())
        given = connection.execute(insert(audit_table).values(**row).returning(audit_table.c.seq)).scalar_one()
    database.close()
    assert given == highest + 1


def test_the_audit_log_is_intact_and_says_that_it_was_restored(yard: Path, tmp_path: Path) -> None:
    restore(back_up(yard, tmp_path / "b.zip"), settings(tmp_path / "new"), LATER, Silent(), replace=False)
    database = Database.sqlite(tmp_path / "new" / "courtyard.db")
    database.start()
    assert isinstance(audit.verify(database), audit.Intact)
    database.close()


def test_a_journal_gives_no_number_that_services_have_taken(yard: Path, tmp_path: Path) -> None:
    """The journal was copied first; meanwhile services took more, here or elsewhere. New readings must not look like
    old ones, also where services cannot be asked when they come."""
    restore(back_up(yard, tmp_path / "b.zip"), settings(tmp_path / "new"), LATER, Silent(), replace=False)
    journal = Journal(tmp_path / "new" / "journal.db", consumers=("telemetry", "services"))
    journal.start()
    journal.append([NewEntry(9, 9, [Reading("d", "", 9, 9, "b", {"x": 9.0})])])
    assert journal.last_seq > max(CURSOR, LATER.timestamp() * 1_000_000)
    journal.close()


def test_readings_come_along_when_asked_for(yard: Path, tmp_path: Path) -> None:
    plain = back_up(yard, tmp_path / "plain.zip")
    assert any("--telemetry" in said for said in check(plain, Silent()).left_out)
    full = back_up(yard, tmp_path / "full.zip", Wanted(telemetry=True))
    restore(full, settings(tmp_path / "new"), LATER, Silent(), replace=False)
    telemetry = SqliteTelemetry(tmp_path / "new" / "telemetry.db")
    telemetry.start()
    assert telemetry.count() == 1
    telemetry.close()


def test_what_waits_for_influxdb_is_no_older_than_the_cursors_beside_it(yard: Path, tmp_path: Path) -> None:
    """What services have taken in no gateway delivers again: it is in that journal, or the time series lack it."""
    spool = Journal(yard / "telemetry-journal.db", consumers=("telemetry",))
    spool.start()
    spool.append([NewEntry(1, 1, [Reading("d", "", 1, 1, "b", {"x": 1.0})])])
    spool.close()
    file = back_up(yard, tmp_path / "b.zip")
    copied = list(check(file, Silent()).members)
    assert copied.index("journals/journal.db") < copied.index("sql/gateways.jsonl")
    assert copied.index("sql/gateways.jsonl") < copied.index("journals/telemetry-journal.db")
    restore(file, settings(tmp_path / "new"), LATER, Silent(), replace=False)
    again = Journal(tmp_path / "new" / "telemetry-journal.db", consumers=("telemetry",))
    again.start()
    assert again.stats().entries_waiting == {"telemetry": 1}
    again.close()


def test_a_gateway_alone_has_a_backup_too(yard: Path, tmp_path: Path) -> None:
    """Its device list too: where services cannot be asked it decodes by that."""
    (yard / "courtyard.db").unlink()
    (yard / "registry.json").write_text('{"version": "1"}')
    (yard / "running.json").write_text("{}")
    (yard / "commands.db").write_bytes((yard / "journal.db").read_bytes())
    file = back_up(yard, tmp_path / "b.zip")
    report = restore(file, settings(tmp_path / "new"), LATER, Silent(), replace=False)
    assert report.journals == ["commands.db", "journal.db"]
    assert (tmp_path / "new" / "registry.json").read_text() == '{"version": "1"}'
    assert (tmp_path / "new" / "running.json").read_text() == ""
    assert any("gateway alone" in said for said in report.not_restored)


def test_an_older_database_is_brought_forward(tmp_path: Path) -> None:
    old = Database.sqlite(tmp_path / "courtyard.db")
    old.start()
    with old.write() as connection:
        migrations.upgrade_on(connection, "0001")
        connection.execute(
            text("INSERT INTO sites (id, name_zh, name_en, timezone, contact_zh, contact_en, updated_at) "
                 "VALUES ('lotus', '莲', 'Lotus', 'Asia/Shanghai', '', '', '2026-01-01 00:00:00.000000')")
        )  # fmt: skip
    old.close()
    file = back_up(tmp_path, tmp_path / "b.zip")
    assert any("another version" in said for said in check(file, Silent()).left_out)
    report = restore(file, settings(tmp_path / "new"), LATER, Silent(), replace=False)
    assert report.migrated_from == "0001"
    found = contents_of(tmp_path / "new")
    assert [row[0] for row in found["sites"]] == ["lotus"]


# --- secrets and modes ----------------------------------------------------------------------------------------------


def test_secrets_only_when_asked_for(yard: Path, tmp_path: Path) -> None:
    kept = tmp_path / "secrets"
    kept.mkdir()
    (kept / "mqtt_users").write_text("gateway:s3cret\n")
    (tmp_path / "token").write_text("s3cret-token")
    more = {
        "mqtt": "mqtt://gateway:s3cret@broker:1883", "influx_token": "s3cret", "smtp_url": "smtp://a:s3cret@mail",
        "gateway_token_file": tmp_path / "token", "mqtt_client_id": "courtyard-gateway-s3cret",
        "influx_url": "https://s3cret@series:8086", "grafana_url": "http://[s3cret",
    }  # fmt: skip
    plain = zipfile.ZipFile(back_up(yard, tmp_path / "plain.zip", **more))
    with plain:
        assert b"s3cret" not in b"".join(plain.read(name) for name in plain.namelist())
        assert b"mqtt://gateway:***@broker:1883" in plain.read("config/settings.json")
    full = zipfile.ZipFile(back_up(yard, tmp_path / "full.zip", Wanted(secrets=True, secrets_folder=kept), **more))
    with full:
        assert full.read("config/secrets/mqtt_users") == b"gateway:s3cret\n"
        assert full.read("config/gateway-token") == b"s3cret-token"
        assert b"gateway:s3cret@" in full.read("config/settings.json")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u@h/db?sslmode=require&password=s3&x=1", "postgresql://u@h/db?sslmode=require&password=***&x=1"),
        ("postgresql://u:p@ss@h1,h2:2/db", "postgresql://u:***@h1,h2:2/db"),
        ("mqtts://:s3@[::1]:8883", "mqtts://:***@[::1]:8883"),
        ("mqtt://user@broker", "mqtt://user@broker"),
        ("https://token@host", "https://***@host"),
        ("embedded", "embedded"),
        ("http://[s3", "(left out)"),
    ],
)
def test_an_address_is_told_without_its_secrets(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_files_are_for_this_user_alone(yard: Path, tmp_path: Path) -> None:
    file = back_up(yard, tmp_path / "b.zip")
    restore(file, settings(tmp_path / "new"), LATER, Silent(), replace=False)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for one in (tmp_path / "new").rglob("*"):
        assert stat.S_IMODE(one.stat().st_mode) == (0o700 if one.is_dir() else 0o600), one


def test_own_profiles_come_along(yard: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    (own / "pumps").mkdir(parents=True)
    (own / "pumps" / "mine.yaml").write_text("profile: mine\n")
    (own / "link.yaml").symlink_to("/etc/hostname")
    file = back_up(yard, tmp_path / "b.zip", profiles_dir=own)
    report = restore(file, settings(tmp_path / "new"), LATER, Silent(), replace=False)
    assert (tmp_path / "new" / "profiles" / "pumps" / "mine.yaml").read_text() == "profile: mine\n"
    assert not (tmp_path / "new" / "profiles" / "link.yaml").exists()
    assert any("COURTYARD_PROFILES_DIR" in step for step in report.next_steps)


# --- what must not happen -------------------------------------------------------------------------------------------


def test_nothing_is_overwritten(yard: Path, tmp_path: Path) -> None:
    file = back_up(yard, tmp_path / "b.zip")
    with pytest.raises(FileExistsError, match="not overwritten"):
        back_up(yard, file)
    before = contents_of(yard)
    with pytest.raises(ValueError, match=r"not empty: courtyard.db.*--force"):
        restore(file, settings(yard), LATER, Silent(), replace=False)
    assert contents_of(yard) == before


def test_force_keeps_what_stood_there(yard: Path, tmp_path: Path) -> None:
    file = back_up(yard, tmp_path / "b.zip")
    before = contents_of(yard)
    report = restore(file, settings(yard), LATER, Silent(), replace=True)
    assert contents_of(Path(report.set_aside)) == before
    assert without_the_last_audit(contents_of(yard)) == before


@pytest.mark.postgresql
def test_force_saves_a_postgresql_database_first(yard: Path, tmp_path: Path, postgresql_url: str) -> None:
    file = back_up(yard, tmp_path / "b.zip")
    target = settings(tmp_path / "new", database_url=postgresql_url)
    restore(file, target, NOW, Silent(), replace=False)
    first = contents_at(postgresql_url)
    with pytest.raises(ValueError, match=r"not empty: it has \d+ tables"):
        restore(file, settings(tmp_path / "other", database_url=postgresql_url), LATER, Silent(), replace=False)
    report = restore(file, target, LATER, Silent(), replace=True)
    saved = Path(report.set_aside) / "database.zip"
    restore(saved, settings(tmp_path / "looked"), LATER, Silent(), replace=False)
    assert without_the_last_audit(contents_of(tmp_path / "looked")) == first


@pytest.mark.postgresql
def test_a_database_in_use_is_not_replaced(yard: Path, tmp_path: Path, postgresql_url: str) -> None:
    file = back_up(yard, tmp_path / "b.zip")
    restore(file, settings(tmp_path / "new", database_url=postgresql_url), NOW, Silent(), replace=False)
    running = Database(postgresql_url)
    running.start()
    with (
        running.read() as connection,
        pytest.raises(ValueError, match="stop Courtyard's services first"),
    ):
        connection.execute(text("SELECT 1"))
        restore(file, settings(tmp_path / "new", database_url=postgresql_url), LATER, Silent(), replace=True)
    running.close()


def test_not_under_a_running_courtyard(yard: Path, tmp_path: Path) -> None:
    from contextlib import ExitStack

    file = back_up(yard, tmp_path / "b.zip")
    with ExitStack() as stack:
        folder.claim(stack, tmp_path / "new")
        with pytest.raises(folder.FolderInUse):
            restore(file, settings(tmp_path / "new"), LATER, Silent(), replace=True)


def test_a_failed_backup_leaves_nothing(yard: Path, tmp_path: Path) -> None:
    (yard / "courtyard.db").write_bytes(b"not a database, and long enough to be looked at" * 100)
    target = tmp_path / "backups"
    target.mkdir()
    with pytest.raises(Exception, match="not a database"):
        back_up(yard, target / "b.zip")
    assert list(target.iterdir()) == []


def test_a_restore_that_fails_changes_nothing(yard: Path, tmp_path: Path) -> None:
    """A row that the tables refuse; its checksum is right, as only a forger or a bug of ours could make it."""
    file = forged(back_up(yard, tmp_path / "b.zip"), "sql/sites.jsonl", lambda body: body + b'["lotus"]\n')
    with pytest.raises(ValueError):
        restore(file, settings(tmp_path / "new"), LATER, Silent(), replace=False)
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["running.json"]


# --- files that are none --------------------------------------------------------------------------------------------


def forged(file: Path, name: str, change: Callable[[bytes], bytes], *, honest: bool = True) -> Path:
    """The archive with one member changed; an honest one has the checksum of what it holds."""
    import hashlib

    target = file.with_name("forged.zip")
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(target, "w") as into:
        manifest = json.loads(source.read("manifest.json"))
        for one in source.namelist():
            body = source.read(one)
            if one == name:
                body = change(body)
                if honest and one != "manifest.json":
                    manifest["members"][one] = {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
            if one != "manifest.json":
                into.writestr(one, body)
        text = json.dumps(manifest).encode()
        into.writestr("manifest.json", change(text) if name == "manifest.json" else text)
    return target


def test_what_is_no_backup_is_said(tmp_path: Path) -> None:
    (tmp_path / "photo.zip").write_bytes(b"\x89PNG and so on")
    with pytest.raises(BackupUnusable, match="is no backup, or was cut short"):
        check(tmp_path / "photo.zip", Silent())
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("readme.txt", "hello")
    with pytest.raises(BackupUnusable, match=r"zip without manifest\.json"):
        check(tmp_path / "other.zip", Silent())
    with pytest.raises(FileNotFoundError):
        check(tmp_path / "absent.zip", Silent())


def test_a_file_that_was_cut_short_is_said(yard: Path, tmp_path: Path) -> None:
    file = back_up(yard, tmp_path / "b.zip")
    os.truncate(file, file.stat().st_size - 100)
    with pytest.raises(BackupUnusable, match="cut short"):
        check(file, Silent())


def test_a_changed_byte_is_found(yard: Path, tmp_path: Path) -> None:
    file = back_up(yard, tmp_path / "b.zip")
    with zipfile.ZipFile(file) as archive:
        info = archive.getinfo("sql/devices.jsonl")
    with file.open("r+b") as raw:
        raw.seek(info.header_offset + 30 + len(info.filename) + 200)
        raw.write(b"\x00\xff\x00\xff")
    with pytest.raises(BackupUnusable, match=r"sql/devices.jsonl is damaged"):
        restore(file, settings(tmp_path / "new"), LATER, Silent(), replace=False)
    assert not (tmp_path / "new").exists()


def test_another_content_under_the_old_checksum_is_found(yard: Path, tmp_path: Path) -> None:
    file = forged(
        back_up(yard, tmp_path / "b.zip"),
        "sql/people.jsonl",
        lambda body: body.replace(b"admin", b"evil!"),
        honest=False,
    )
    with pytest.raises(BackupUnusable, match=r"people.jsonl is damaged: found"):
        check(file, Silent())


def test_a_newer_version_is_said(yard: Path, tmp_path: Path) -> None:
    file = back_up(yard, tmp_path / "b.zip")
    newer = forged(file, "manifest.json", lambda body: body.replace(b'"format": 1', b'"format": 2, "x": 1'))
    with pytest.raises(BackupUnusable, match=r"in format 2, and this one reads up to 1; install Courtyard"):
        check(newer, Silent())
    revision = migrations.newest() or ""
    later = forged(file, "manifest.json", lambda body: body.replace(f'"{revision}"'.encode(), b'"9999"'))
    with pytest.raises(BackupUnusable, match=r"revision 9999, which Courtyard .* does not know"):
        check(later, Silent())


@pytest.mark.parametrize("name", ["../../escape.db", "/tmp/escape.db"])
def test_a_member_cannot_leave_its_folder(yard: Path, tmp_path: Path, name: str) -> None:
    def lead_away(body: bytes) -> bytes:
        return body.replace(b'"name": "journal.db"', b'"name": "%s"' % name.encode())

    file = forged(back_up(yard, tmp_path / "b.zip"), "manifest.json", lead_away)
    with pytest.raises(BackupUnusable, match="leads elsewhere"):
        restore(file, settings(tmp_path / "new"), LATER, Silent(), replace=False)


# --- the commands ---------------------------------------------------------------------------------------------------


def courtyard(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), prog_name="courtyard")


def test_the_commands(yard: Path, tmp_path: Path) -> None:
    file = tmp_path / "b.zip"
    made = courtyard("backup", str(file), "--data", str(yard))
    assert made.exit_code == 0, made.output
    assert "25 devices" in made.output
    checked = courtyard("backup", "check", str(file), "--json")
    assert json.loads(checked.output)["whole"] is True
    done = courtyard("restore", str(file), "--data", str(tmp_path / "new"), "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["rows"]["devices"] == 25
    again = courtyard("restore", str(file), "--data", str(tmp_path / "new"))
    assert again.exit_code == 1
    assert "--force" in again.output


def test_a_folder_that_is_not_there_is_not_taken_for_one(yard: Path, tmp_path: Path) -> None:
    made = courtyard("backup", str(tmp_path / "none"), "--data", str(yard), "--keep", "2")
    assert made.exit_code == 1
    assert "mkdir -p" in made.output
    assert not (tmp_path / "none").exists()


def test_a_folder_of_backups_keeps_the_newest(yard: Path, tmp_path: Path) -> None:
    kept = tmp_path / "backups"
    kept.mkdir()
    for day in (1, 2, 3):
        (kept / f"courtyard-2026010{day}T000000Z.zip").touch()
    (kept / "mine.zip").touch()
    made = courtyard("backup", str(kept), "--data", str(yard), "--keep", "2", "--json")
    assert made.exit_code == 0, made.output
    assert len(json.loads(made.output)["removed"]) == 2
    left = sorted(file.name for file in kept.iterdir())
    assert left[0] == "courtyard-20260103T000000Z.zip"
    assert left[2] == "mine.zip"
    assert len(left) == 3


def test_an_empty_folder_has_nothing_to_back_up(tmp_path: Path) -> None:
    made = courtyard("backup", str(tmp_path / "b.zip"), "--data", str(tmp_path / "none"))
    assert made.exit_code == 1
    assert "name the folder with --data" in made.output
    assert not (tmp_path / "b.zip").exists()


def test_devices_are_there_for_the_next_import(yard: Path, tmp_path: Path, library: dict[str, DeviceProfile]) -> None:
    """What is restored goes on being an installation: the same site file changes nothing."""
    restore(back_up(yard, tmp_path / "b.zip"), settings(tmp_path / "new"), LATER, Silent(), replace=False)
    database = Database.sqlite(tmp_path / "new" / "courtyard.db")
    database.start()
    assert import_site(database, SITE, library, LATER).is_unchanged
    exported = tmp_path / "new" / "restored" / "sites" / "osmanthus.yaml"
    assert import_site(database, exported, library, LATER).devices is not None
    with database.read() as connection:
        assert len(connection.execute(select(devices)).all()) == 25
    database.close()
