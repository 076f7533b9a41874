from __future__ import annotations

import json
import os
import re
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert
from typer.testing import CliRunner, Result

from services import folder, migrations
from services.accounts import desk, store
from services.accounts.policy import Grant, Role
from services.cli import account, app, notice
from services.database import Database
from services.demo.mailbox import ENVIRONMENT, Mailbox
from services.tables import recipients, sites
from tests.services.notices.sinks import HttpSink, SmtpSink

NOW = datetime(2026, 3, 1, tzinfo=UTC)
assert account and notice  # they add their commands to `app`


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COURTYARD_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    database = opened(tmp_path)
    migrations.upgrade(database)
    with database.write() as connection:
        row = {"id": "lotus", "name_zh": "莲", "name_en": "Lotus", "timezone": "Asia/Shanghai", "updated_at": NOW}
        connection.execute(insert(sites).values(**row))
    desk.first_start(database, NOW)
    database.close()
    return tmp_path


def opened(folder: Path) -> Database:
    database = Database.sqlite(folder / "courtyard.db")
    database.start()
    return database


def courtyard(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_adding_somebody_prints_a_password_that_works(data: Path) -> None:
    said = courtyard("account", "add", "li.wei", "--role", "crew", "--site", "lotus")
    assert said.exit_code == 0, said.output
    password = re.search(r"once: (\S+)", said.output)
    assert password
    database = opened(data)
    outcome = desk.sign_in(database, login="li.wei", password=password[1], address="", now=NOW)
    assert isinstance(outcome, desk.SignedIn)
    assert outcome.person.grants == (Grant("lotus", Role.CREW),)
    courtyard("account", "add", "li.wei", "--role", "engineer")
    assert "already" in courtyard("account", "add", "li.wei", "--role", "engineer").output
    with database.read() as connection:
        found = store.person_by_login(connection, "li.wei")
    assert found and set(found[0].grants) == {Grant("lotus", Role.CREW), Grant("*", Role.ENGINEER)}
    database.close()
    listed = courtyard("account", "list").output
    assert "li.wei" in listed and "crew of lotus" in listed


def test_a_new_password_ends_the_old_one(data: Path) -> None:
    said = courtyard("account", "password", "admin")
    password = re.search(r"once: (\S+)", said.output)
    assert password
    database = opened(data)
    outcome = desk.sign_in(database, login="admin", password=password[1], address="", now=NOW)
    assert isinstance(outcome, desk.SignedIn)
    database.close()


def test_a_disabled_account_is_closed_but_the_last_admin_stays(data: Path) -> None:
    courtyard("account", "add", "li.wei", "--role", "crew")
    assert courtyard("account", "disable", "li.wei").exit_code == 0
    assert "disabled" in courtyard("account", "list").output
    assert courtyard("account", "disable", "admin").exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("account", "add", "li wei", "--role", "crew"),
        ("account", "add", "li", "--role", "gateway"),
        ("account", "add", "li", "--role", "crew", "--site", "lotos"),
        ("account", "password", "nobody"),
        ("account", "disable", "nobody"),
        ("token", "revoke", "none"),
        ("token", "create", "x", "--role", "crew", "--site", "lotos"),
    ],
)
def test_mistakes_are_said_in_words(data: Path, arguments: tuple[str, ...]) -> None:
    said = courtyard(*arguments)
    assert said.exit_code == 1
    assert "Traceback" not in said.output
    assert not isinstance(said.exception, ValueError)


def test_without_an_installation_it_says_where_it_looked(tmp_path: Path) -> None:
    said = courtyard("account", "list", "--data", str(tmp_path / "none"))
    assert said.exit_code == 2
    assert f"there is no Courtyard in {tmp_path / 'none'}" in said.output
    assert not (tmp_path / "none").exists()


def test_only_the_token_goes_to_standard_output(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")  # the id is what is revoked: it is whole on the narrowest screen
    said = courtyard("token", "create", "gateway-1", "--role", "gateway")
    assert re.fullmatch(r"courtyard_\S{43}\n", said.stdout)
    database = opened(data)
    with database.read() as connection:
        token = store.find_token(connection, said.stdout.strip())
    assert token and (token.name, token.role) == ("gateway-1", Role.GATEWAY)
    assert token.id in courtyard("token", "list").output
    assert courtyard("token", "revoke", token.id).exit_code == 0
    with database.read() as connection:
        assert store.find_token(connection, said.stdout.strip()) is None
    database.close()
    assert "revoked" in courtyard("token", "list").output


def test_the_audit_log_is_checked(data: Path) -> None:
    assert "intact" in courtyard("account", "audit").output
    database = opened(data)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE audit SET action = 'nothing'")
    database.close()
    said = courtyard("account", "audit")
    assert said.exit_code == 1
    assert "broken at row 1" in said.output


@pytest.mark.parametrize("command", [("account",), ("account", "add"), ("token", "create"), ("notice", "test")])
def test_help_teaches(command: tuple[str, ...]) -> None:
    said = courtyard(*command, "--help")
    assert said.exit_code == 0
    assert len(said.output) > 300


class TestNotice:
    def test_a_webhook_is_really_called(self, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COURTYARD_WEBHOOK_ALLOW_PRIVATE", "true")
        with HttpSink() as sink:
            said = courtyard("notice", "test", sink.url("/s3cret"))
            assert said.exit_code == 0, said.output
            assert "Delivered" in said.output
            assert "s3cret" not in said.output
            assert sink.received[0].body["kind"] == "test"
            sink.statuses["/hook"] = [404]
            refused = courtyard("notice", "test", sink.url())
            assert refused.exit_code == 1
            assert "404" in refused.output

    def test_a_recipient_of_a_site_file(self, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with SmtpSink() as sink:
            monkeypatch.setenv("COURTYARD_SMTP_URL", sink.url)
            database = opened(data)
            with database.write() as connection:
                row = {"id": "lotus:crew", "site": "lotus", "name": "Li", "audience": "crew", "channel": "email"}
                connection.execute(insert(recipients).values(**row, target="env:CREW_MAIL", language="zh"))
            database.close()
            monkeypatch.setenv("CREW_MAIL", "li@homes.example")
            said = courtyard("notice", "test", "crew")
            assert said.exit_code == 0, said.output
            assert "homes.example" not in said.output
            assert sink.mails[0][1]["to"] == "li@homes.example"
            assert "测试" in sink.mails[0][1]["subject"]
            assert courtyard("notice", "test", "lotus:crew").exit_code == 0

    def test_one_name_at_two_sites_is_asked_about(self, data: Path) -> None:
        database = opened(data)
        with database.write() as connection:
            row = {"id": "jade", "name_zh": "玉", "name_en": "Jade", "timezone": "Asia/Shanghai", "updated_at": NOW}
            connection.execute(insert(sites).values(**row))
            for site in ("lotus", "jade"):
                row = {"id": f"{site}:crew", "site": site, "name": "", "audience": "crew", "channel": "email"}
                connection.execute(insert(recipients).values(**row, target="a@homes.example", language="zh"))
        database.close()
        said = courtyard("notice", "test", "crew")
        assert said.exit_code == 2
        assert "jade:crew, lotus:crew" in said.output

    @pytest.mark.parametrize("to", ["nobody", "env:NOT_SET", "nonsense://x", "li@homes.example", "http://127.0.0.1:9/"])
    def test_what_cannot_work_says_why(self, data: Path, to: str) -> None:
        said = courtyard("notice", "test", to)
        assert said.exit_code in (1, 2)
        assert "Traceback" not in said.output
        assert said.exception is None or isinstance(said.exception, SystemExit)


def test_lists_for_programs_say_who_may_do_what_and_no_secret(data: Path) -> None:
    courtyard("account", "add", "li.wei", "--role", "crew", "--site", "lotus", "--name", "李伟")
    courtyard("account", "disable", "li.wei")
    made = CliRunner().invoke(app, ["token", "create", "reporting", "--role", "crew"])
    people = json.loads(courtyard("account", "list", "--json").stdout)
    assert [one["login"] for one in people] == ["admin", "li.wei"]
    assert people[1] == {
        "login": "li.wei", "name": "李伟", "grants": [{"site": "lotus", "role": "crew"}], "disabled": True,
    }  # fmt: skip
    listed = courtyard("token", "list", "--json").stdout
    (token,) = json.loads(listed)
    assert (token["name"], token["role"], token["site"], token["revoked_at"]) == ("reporting", "crew", "*", None)
    assert made.stdout.strip() not in listed


def test_a_recipient_of_the_demo_is_reached_while_the_demo_runs_and_else_it_is_said_how(data: Path) -> None:
    database = opened(data)
    with database.write() as connection:
        row = {"id": "lotus:crew", "site": "lotus", "name": "Li", "audience": "crew", "channel": "webhook"}
        connection.execute(insert(recipients).values(**row, target=f"env:{ENVIRONMENT}", language="zh"))
    database.close()
    said = courtyard("notice", "test", "crew")
    assert said.exit_code == 2
    assert f"{ENVIRONMENT} is not set; the demo has it while it runs: start `courtyard up --demo`" in said.stderr
    with ExitStack() as demo:
        folder.claim(demo, data)
        address = Mailbox(data / "mail.jsonl").start(demo)
        folder.describe(data, folder.RunningNote(os.getpid(), mailbox=address))
        said = courtyard("notice", "test", "crew")
    assert said.exit_code == 0, said.output
    assert json.loads((data / "mail.jsonl").read_text())


def test_help_is_broken_by_the_terminal_and_not_by_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = [line.strip() for line in courtyard("account", "add", "--help").stdout.splitlines()]
    roles = next(i for i, line in enumerate(said) if line.startswith("Roles:"))
    assert all(len(line) > 65 for line in said[roles : roles + 3])
    assert "courtyard account add chen --role engineer          (every site)" in said, "examples stand as they are"
