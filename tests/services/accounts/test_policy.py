from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.accounts.policy import (
    SESSION_IDLE,
    SESSION_LONGEST,
    Failures,
    Grant,
    Role,
    login_mistake,
    password_mistake,
    scope_of,
    session_end,
    session_renewal,
)

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
MIXED = [Grant("east", Role.CREW), Grant("west", Role.ENGINEER)]


@pytest.mark.parametrize(
    ("grants", "role", "scope"),
    [
        (MIXED, Role.CREW, {"east", "west"}),
        (MIXED, Role.ENGINEER, {"west"}),
        (MIXED, Role.ADMIN, set()),
        (MIXED, Role.GATEWAY, set()),
        ([Grant("*", Role.ADMIN)], Role.CREW, None),
        ([Grant("*", Role.ADMIN)], Role.GATEWAY, set()),
        ([Grant("*", Role.GATEWAY)], Role.CREW, set()),
        ([Grant("*", Role.CREW), Grant("east", Role.ADMIN)], Role.ADMIN, {"east"}),
        ([], Role.CREW, set()),
    ],
)
def test_a_role_holds_only_where_it_was_given(grants: list[Grant], role: Role, scope: set[str] | None) -> None:
    assert scope_of(grants, role) == scope


def test_a_session_slides_by_use_and_ends_for_good() -> None:
    assert session_end(NOW, NOW) == NOW + SESSION_IDLE
    assert session_renewal(NOW, NOW + SESSION_IDLE, NOW + timedelta(minutes=5)) is None
    assert session_renewal(NOW, NOW + SESSION_IDLE, NOW + timedelta(hours=1)) == NOW + timedelta(hours=13)
    late = NOW + SESSION_LONGEST - timedelta(hours=1)
    assert session_renewal(NOW, late + timedelta(minutes=1), late) == NOW + SESSION_LONGEST


def test_five_wrong_passwords_are_free_then_each_costs_more() -> None:
    assert Failures("login:a", 4, NOW).wait(NOW) == timedelta(0)
    waits = [Failures("login:a", count, NOW).wait(NOW) for count in (5, 6, 8, 20, 1e9)]
    assert waits == sorted(waits)
    assert waits[0] == timedelta(seconds=1)
    assert waits[-1] == timedelta(minutes=1), "a stranger must not be able to lock somebody out for long"


def test_failures_are_forgotten_in_time() -> None:
    failures = Failures("login:a", 10, NOW)
    assert failures.wait(NOW + timedelta(minutes=1)) == timedelta(0)
    assert failures.faded(NOW + timedelta(minutes=15)).count == 5
    assert failures.faded(NOW + timedelta(days=9)).count == 0
    assert failures.faded(NOW - timedelta(days=1)).count == 10, "a clock set back forgets nothing"


def test_an_office_behind_one_address_has_more_patience() -> None:
    assert Failures("address:10.0.0.1", 20, NOW).wait(NOW) == timedelta(0)
    assert Failures("address:10.0.0.1", 31, NOW).wait(NOW) > timedelta(0)


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaa", "li.wei-2026!!", "x1y2z" * 100])
def test_weak_passwords_are_refused(password: str) -> None:
    assert password_mistake(password, "li.wei")


def test_a_fair_password_and_login_pass() -> None:
    assert password_mistake("four quiet herons", "li.wei") is None
    assert login_mistake("李伟") is None


@pytest.mark.parametrize("login", ["", "x", "a b", "<script>", "a" * 65, "li/wei", "a\nb"])
def test_odd_logins_are_refused(login: str) -> None:
    assert login_mistake(login)
