"""A gateway let in by a token that was made elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services import migrations
from services.accounts import store
from services.accounts.desk import AccountMistake
from services.accounts.enrol import Enrolled, enrol_gateway
from services.accounts.policy import Role
from services.cli.main import app
from services.database import Database

NOW = datetime(2026, 7, 1, tzinfo=UTC)
SECRET, OTHER = "a" * 40, "b" * 40


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.sqlite(tmp_path / "courtyard.db")
    opened.start()
    migrations.upgrade(opened)
    yield opened
    opened.close()


def names_let_in(database: Database, secret: str) -> tuple[str, Role] | None:
    with database.read() as connection:
        token = store.find_token(connection, secret)
    return (token.name, token.role) if token else None


def test_the_gateway_is_let_in_by_its_token_and_enrolling_again_changes_nothing(database: Database) -> None:
    assert enrol_gateway(database, name="gateway-1", secret=SECRET, now=NOW) is Enrolled.NEW
    assert enrol_gateway(database, name="gateway-1", secret=SECRET, now=NOW) is Enrolled.KNOWN
    assert names_let_in(database, SECRET) == ("gateway-1", Role.GATEWAY)
    with database.read() as connection:
        assert len(store.list_tokens(connection)) == 1


def test_a_new_token_ends_the_old_one_of_this_gateway_only(database: Database) -> None:
    enrol_gateway(database, name="gateway-1", secret=SECRET, now=NOW)
    enrol_gateway(database, name="gateway-2", secret="c" * 40, now=NOW)
    assert enrol_gateway(database, name="gateway-1", secret=OTHER, now=NOW) is Enrolled.REPLACED
    assert names_let_in(database, SECRET) is None
    assert names_let_in(database, OTHER) == ("gateway-1", Role.GATEWAY)
    assert names_let_in(database, "c" * 40) == ("gateway-2", Role.GATEWAY)


def test_a_revoked_token_does_not_come_back(database: Database) -> None:
    enrol_gateway(database, name="gateway-1", secret=SECRET, now=NOW)
    enrol_gateway(database, name="gateway-1", secret=OTHER, now=NOW)
    with pytest.raises(AccountMistake, match="revoked"):
        enrol_gateway(database, name="gateway-1", secret=SECRET, now=NOW)
    assert names_let_in(database, OTHER) is not None


def test_one_token_is_not_for_two_gateways(database: Database) -> None:
    enrol_gateway(database, name="gateway-1", secret=SECRET, now=NOW)
    with pytest.raises(AccountMistake, match="belongs to somebody else"):
        enrol_gateway(database, name="gateway-2", secret=SECRET, now=NOW)


def test_a_short_token_is_refused(database: Database) -> None:
    with pytest.raises(AccountMistake, match="32 characters"):
        enrol_gateway(database, name="gateway-1", secret="secret", now=NOW)


def test_the_command(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(SECRET + "\n")
    line = ["enrol", "gateway-1", "--token-file", str(file), "--data", str(tmp_path / "data")]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 0, done.output
    database = Database.sqlite(tmp_path / "data" / "courtyard.db")
    database.start()
    assert names_let_in(database, SECRET) == ("gateway-1", Role.GATEWAY)
    database.close()


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    line = ["enrol", "gateway-1", "--token-file", str(tmp_path / "none"), "--data", str(tmp_path / "data")]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 1
    assert not isinstance(done.exception, FileNotFoundError)
