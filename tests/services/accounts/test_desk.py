from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from services.accounts import audit, desk, store
from services.accounts.passwords import hash_password, password_matches
from services.accounts.policy import Grant, Role
from services.database import Database, metadata
from services.tables import audit as audit_table
from services.tables import sessions, tokens

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
PASSWORD = "four quiet herons"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    on_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'courtyard.db'}" if on_sqlite else request.getfixturevalue("postgresql_url")
    database = Database(url)
    database.start()
    metadata.create_all(database.engine)
    yield database
    database.close()


@pytest.fixture
def li(database: Database) -> store.Person:
    return desk.add_person(
        database, login="li.wei", password=PASSWORD, grants=[Grant("east", Role.CREW)], now=NOW, who=None
    )


def sign_in(
    database: Database, password: str = PASSWORD, *, login: str = "li.wei", address: str = "10.0.0.1", after: float = 0
) -> desk.SignedIn | desk.Refused:
    return desk.sign_in(database, login=login, password=password, address=address, now=NOW + timedelta(seconds=after))


def everything_in(database: Database) -> str:
    with database.read() as connection:
        return "\n".join(str(row) for table in metadata.sorted_tables for row in connection.execute(select(table)))


def test_first_start_makes_one_admin_and_tells_the_password_once(
    database: Database, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    password = desk.first_start(database, NOW)
    assert password and len(password) >= 20
    assert desk.first_start(database, NOW) is None
    assert password not in everything_in(database) + caplog.text + "".join(capsys.readouterr())
    outcome = sign_in(database, password, login="admin")
    assert isinstance(outcome, desk.SignedIn)
    assert outcome.person.grants == (Grant("*", Role.ADMIN),)


def test_first_start_leaves_existing_people_alone(database: Database, li: store.Person) -> None:
    assert desk.first_start(database, NOW) is None


def test_only_hashes_are_stored(database: Database, li: store.Person) -> None:
    outcome = sign_in(database)
    assert isinstance(outcome, desk.SignedIn)
    _, secret = desk.add_token(database, name="gateway-1", role=Role.GATEWAY, now=NOW, who=None)
    stored = everything_in(database)
    assert "argon2id" in stored
    for hidden in (PASSWORD, outcome.secret, secret):
        assert hidden not in stored


def test_unknown_login_wrong_password_and_disabled_are_the_same_answer(database: Database, li: store.Person) -> None:
    other = desk.add_person(
        database, login="gone", password=PASSWORD, grants=[Grant("east", Role.CREW)], now=NOW, who=None
    )
    with database.write() as connection:
        store.change_person(connection, other.id, disabled=True)
    answers = [
        sign_in(database, "not right at all"),
        sign_in(database, login="nobody"),
        sign_in(database, login="gone"),
    ]
    assert answers == [desk.Refused()] * 3


def test_an_unknown_login_costs_the_same_work() -> None:
    stored = hash_password(PASSWORD)
    password_matches("warm up", None)

    def seconds(stored: str | None) -> float:
        started = time.process_time()
        assert not password_matches("not right", stored)
        return time.process_time() - started

    # In turns, and the quickest of each: whoever works beside us slows both.
    took = [(seconds(stored), seconds(None)) for _ in range(6)]
    known, unknown = (min(some) for some in zip(*took, strict=True))
    assert 0.3 < unknown / known < 3


def test_guessing_one_account_is_slowed_down_from_any_address(database: Database, li: store.Person) -> None:
    for attempt in range(5):
        assert sign_in(database, "wrong", address=f"10.0.1.{attempt}") == desk.Refused()
    blocked = sign_in(database, PASSWORD, address="10.0.9.9")
    assert isinstance(blocked, desk.Refused)
    assert blocked.wait > timedelta(0), "not even the right password is looked at now"
    assert isinstance(sign_in(database, PASSWORD, address="10.0.9.9", after=2), desk.SignedIn)
    assert isinstance(sign_in(database, PASSWORD, address="10.0.9.9", after=3), desk.SignedIn)


def test_unknown_logins_are_throttled_like_known_ones(database: Database) -> None:
    waits = [sign_in(database, login="nobody", address=f"10.0.1.{n}") for n in range(6)]
    assert isinstance(waits[-1], desk.Refused)
    assert waits[-1].wait > timedelta(0)


def test_guesses_sent_together_count_together(database: Database, li: store.Person) -> None:
    outcomes: list[object] = []
    threads = [threading.Thread(target=lambda: outcomes.append(sign_in(database, "wrong"))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(desk.Refused()) == 5, "the others were told to wait, unchecked"


def test_one_address_cannot_try_many_accounts(database: Database, li: store.Person) -> None:
    refusals = [sign_in(database, "wrong", login=f"user{n}", address="2001:db8::1") for n in range(31)]
    assert isinstance(refusals[-1], desk.Refused)
    assert refusals[-1].wait > timedelta(0)
    neighbour = sign_in(database, address="2001:db8::ffff:2")
    assert isinstance(neighbour, desk.Refused), "a /64 is one customer"
    assert isinstance(sign_in(database, address="2001:db8:0:1::1"), desk.SignedIn)


def test_a_session_slides_and_ends(database: Database, li: store.Person) -> None:
    signed_in = sign_in(database)
    assert isinstance(signed_in, desk.SignedIn)
    with database.write() as connection:
        found = store.find_session(connection, signed_in.secret, NOW + timedelta(hours=11))
        assert found and found.renew_until == NOW + timedelta(hours=23)
        store.renew_session(connection, signed_in.secret, found.renew_until)
        assert store.find_session(connection, signed_in.secret, NOW + timedelta(hours=22))
        assert store.find_session(connection, signed_in.secret, NOW + timedelta(hours=24)) is None


def test_signing_in_again_ends_the_session_before(database: Database, li: store.Person) -> None:
    first = sign_in(database)
    assert isinstance(first, desk.SignedIn)
    second = desk.sign_in(
        database, login="li.wei", password=PASSWORD, address="10.0.0.1", now=NOW, old_secret=first.secret
    )
    assert isinstance(second, desk.SignedIn)
    assert second.secret != first.secret
    assert second.csrf != first.csrf
    with database.read() as connection:
        assert store.find_session(connection, first.secret, NOW) is None
        assert store.find_session(connection, second.secret, NOW)


def test_losing_rights_and_changing_the_password_sign_out_everywhere(database: Database, li: store.Person) -> None:
    for change in (
        lambda: desk.change_person(database, li.id, now=NOW, who=None, grants=[Grant("west", Role.CREW)]),
        lambda: desk.set_password(database, li.id, PASSWORD, now=NOW, who=None),
        lambda: desk.change_person(database, li.id, now=NOW, who=None, disabled=True),
    ):
        assert isinstance(sign_in(database), desk.SignedIn)
        change()
        with database.read() as connection:
            assert connection.execute(select(sessions)).all() == []


def test_the_last_admin_of_every_site_cannot_be_lost(database: Database) -> None:
    desk.first_start(database, NOW)
    with database.read() as connection:
        (admin,) = store.everywhere_admins(connection)
    with pytest.raises(desk.AccountMistake, match="admin of every site"):
        desk.change_person(database, admin, now=NOW, who=None, disabled=True)
    with pytest.raises(desk.AccountMistake, match="admin of every site"):
        desk.change_person(database, admin, now=NOW, who=None, grants=[Grant("east", Role.ADMIN)])
    with database.read() as connection:
        assert store.everywhere_admins(connection) == {admin}


def test_logins_are_taken_once(database: Database, li: store.Person) -> None:
    with pytest.raises(desk.LoginTaken):
        desk.add_person(
            database, login="li.wei", password=PASSWORD, grants=[Grant("east", Role.CREW)], now=NOW, who=None
        )


def test_people_are_not_gateways(database: Database) -> None:
    with pytest.raises(desk.AccountMistake, match="gateway"):
        desk.add_person(
            database, login="li.wei", password=PASSWORD, grants=[Grant("*", Role.GATEWAY)], now=NOW, who=None
        )


def test_a_revoked_token_opens_nothing(database: Database) -> None:
    token, secret = desk.add_token(database, name="gateway-1", role=Role.GATEWAY, now=NOW, who=None)
    with database.read() as connection:
        assert store.find_token(connection, secret) == token
        assert store.find_token(connection, secret + "x") is None
    assert desk.revoke_token(database, token.id, now=NOW, who=None)
    assert not desk.revoke_token(database, token.id, now=NOW, who=None)
    with database.read() as connection:
        assert store.find_token(connection, secret) is None
        assert connection.execute(select(tokens.c.revoked_at)).scalar_one() == NOW


class TestAudit:
    def fill(self, database: Database) -> None:
        for number in range(5):
            with database.write() as connection:
                audit.append(
                    connection, now=NOW, who="p1", action="thing.done", subject=str(number), data={"n": number}
                )

    def test_an_untouched_chain_is_intact(self, database: Database) -> None:
        assert audit.verify(database) == audit.Intact(0, "0" * 64)
        self.fill(database)
        found = audit.verify(database)
        assert isinstance(found, audit.Intact)
        assert found.rows == 5

    def test_a_changed_row_shows(self, database: Database) -> None:
        self.fill(database)
        for column, value in (("who", "p2"), ("data", {"n": 7}), ("at", NOW + timedelta(seconds=1)), ("subject", "9")):
            with database.write() as connection:
                before = connection.execute(select(audit_table).where(audit_table.c.seq == 3)).mappings().one()[column]
                connection.execute(update(audit_table).where(audit_table.c.seq == 3).values({column: value}))
            assert audit.verify(database) == audit.Broken(3, "the row was changed")
            with database.write() as connection:
                connection.execute(update(audit_table).where(audit_table.c.seq == 3).values({column: before}))
        assert isinstance(audit.verify(database), audit.Intact)

    def test_a_row_changed_together_with_its_hash_shows_in_the_next(self, database: Database) -> None:
        self.fill(database)
        with database.write() as connection:
            connection.execute(update(audit_table).where(audit_table.c.seq == 3).values(hash="f" * 64))
            connection.execute(update(audit_table).where(audit_table.c.seq == 4).values(previous_hash="f" * 64))
        assert audit.verify(database) == audit.Broken(3, "the row was changed")

    def test_a_removed_row_shows_and_a_cut_tail_shows_in_the_head(self, database: Database) -> None:
        self.fill(database)
        noted = audit.verify(database)
        with database.write() as connection:
            connection.execute(delete(audit_table).where(audit_table.c.seq == 5))
        assert isinstance(audit.verify(database), audit.Intact)
        assert audit.verify(database) != noted
        with database.write() as connection:
            connection.execute(delete(audit_table).where(audit_table.c.seq == 2))
        assert audit.verify(database) == audit.Broken(2, "a row is missing")

    def test_signing_in_leaves_a_trace_and_no_secret(self, database: Database, li: store.Person) -> None:
        sign_in(database, "wrong")
        sign_in(database)
        with database.read() as connection:
            actions = connection.execute(select(audit_table.c.action).order_by(audit_table.c.seq)).scalars().all()
        assert actions == ["person.added", "signin.refused", "signin"]
        assert isinstance(audit.verify(database), audit.Intact)

    def test_many_at_once_make_one_chain(self, database: Database) -> None:
        threads = [threading.Thread(target=self.fill, args=(database,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = audit.verify(database)
        assert isinstance(found, audit.Intact), found
        assert found.rows == 20
