"""What people do with tickets."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from services.scope import NotFound
from services.tickets.desk import StepMissing, VersionConflict
from services.tickets.lifecycle import TRANSITIONS, Action, IllegalTransition, TicketState, next_state, possible
from tests.stories.site import Story, opened

ALL = None


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def story(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Story]:
    on_sqlite = request.param == "sqlite"
    database = opened(f"sqlite:///{tmp_path / 't.db'}" if on_sqlite else request.getfixturevalue("postgresql_url"))
    story = Story(database)
    story.keeps_saying("pumps", pressure=0.2).at("00:02").expect_tickets(1)
    yield story
    database.close()


def test_from_open_to_closed_and_back(story: Story) -> None:
    desk, now = story.desk, story.clock.time
    ticket = story.tickets()[0]
    assert (ticket.state, ticket.number, ticket.priority) == ("open", 1, "P1")
    assert ticket.due_at == ticket.opened_at + timedelta(hours=2)
    assert [step.text.en for step in ticket.steps] == ["Look", "Mend"]
    assigned = desk.assign(ALL, ticket.id, to="li", by="wang", version=1, now=now)
    assert (assigned.state, assigned.assignee, assigned.version) == ("assigned", "li", 2)
    started = desk.start(ALL, ticket.id, by="li", version=2, now=now)
    ticked = desk.tick_step(ALL, ticket.id, step=1, by="li", version=started.version, now=now)
    assert [step.done_by for step in ticked.steps] == [None, "li"]
    assert ticked.steps[1].done_at == now
    unticked = desk.untick_step(ALL, ticket.id, step=1, by="li", version=ticked.version, now=now)
    assert unticked.steps[1].done_at is None
    noted = desk.add_note(ALL, ticket.id, text="valve was shut", by="li", now=now)
    assert noted.version == unticked.version, "a note overwrites nothing"
    closed = desk.close(ALL, ticket.id, by="li", version=noted.version, now=now, note="opened the valve")
    assert (closed.state, closed.closed_at) == ("closed", now)
    reopened = desk.reopen(ALL, ticket.id, by="wang", version=closed.version, now=now)
    assert (reopened.state, reopened.closed_at, reopened.assignee) == ("open", None, None)
    assert [event.what for event in reopened.events] == [
        "opened",
        "assigned",
        "started",
        "step_done",
        "step_undone",
        "note",
        "closed",
        "reopened",
    ]
    assert reopened.events[6].note == "opened the valve"
    told = [row.event for row in story.notices("eng") if row.subject_kind == "ticket"]
    assert told == ["opened", "closed", "reopened"]


def test_somebody_was_faster(story: Story) -> None:
    ticket = story.tickets()[0]
    story.desk.start(ALL, ticket.id, by="li", version=1, now=story.clock.time)
    with pytest.raises(VersionConflict) as caught:
        story.desk.assign(ALL, ticket.id, to="zhao", by="wang", version=1, now=story.clock.time)
    assert (caught.value.found, caught.value.given) == (2, 1)
    assert story.tickets()[0].assignee == "li"


def test_what_cannot_be_done_is_refused_and_says_what_can(story: Story) -> None:
    ticket = story.tickets()[0]
    story.desk.cancel(ALL, ticket.id, by="wang", version=1, now=story.clock.time)
    with pytest.raises(IllegalTransition) as caught:
        story.desk.close(ALL, ticket.id, by="wang", version=2, now=story.clock.time)
    assert caught.value.possible == (Action.REOPEN,)
    with pytest.raises(IllegalTransition):
        story.desk.tick_step(ALL, ticket.id, step=0, by="wang", version=2, now=story.clock.time)


def test_a_step_that_is_not_there(story: Story) -> None:
    with pytest.raises(StepMissing):
        story.desk.tick_step(ALL, story.tickets()[0].id, step=2, by="li", version=1, now=story.clock.time)


def test_a_ticket_of_another_site_does_not_exist(story: Story) -> None:
    ticket = story.tickets()[0]
    elsewhere = frozenset({"other"})
    for action in (
        lambda: story.desk.close(elsewhere, ticket.id, by="x", version=1, now=story.clock.time),
        lambda: story.desk.add_note(elsewhere, ticket.id, text="x", by="x", now=story.clock.time),
        lambda: story.desk.tick_step(elsewhere, ticket.id, step=0, by="x", version=1, now=story.clock.time),
        lambda: story.desk.close(ALL, "none", by="x", version=1, now=story.clock.time),
    ):
        with pytest.raises(NotFound):
            action()
    assert story.tickets()[0].version == 1


def test_closing_does_not_hide_the_alarm_and_clearing_does_not_close_the_ticket(story: Story) -> None:
    ticket = story.tickets()[0]
    story.desk.close(ALL, ticket.id, by="li", version=1, now=story.clock.time)
    story.at("00:10").expect_alarms("low").expect_tickets(1)
    story.says("pumps", pressure=0.5).at("00:12").expect_alarms()
    after = story.ticket(ticket.id)
    assert after.state == "closed"
    assert after.alarm_state == "cleared"
    assert after.events[-1].what == "alarm_cleared"


def test_the_table() -> None:
    for state, action in itertools.product(TicketState, Action):
        if (state, action) in TRANSITIONS:
            assert action in possible(state)
        else:
            with pytest.raises(IllegalTransition):
                next_state(state, action)
    reached = {TicketState.OPEN, *TRANSITIONS.values()}
    assert reached == set(TicketState)
