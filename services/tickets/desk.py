"""Where tickets are worked: opened for alarms by Courtyard, moved on by people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, update

from device_profiles.schema import TicketTemplate
from services.changes import Change, Changes
from services.database import Database
from services.ids import new_id
from services.notices import plan
from services.notices.store import audience_of, queue
from services.scope import NotFound, Scope
from services.tables import ticket_events, tickets
from services.tickets import store
from services.tickets.lifecycle import EVENT_OF, OPEN_STATES, Action, IllegalTransition, TicketState, next_state

_NOTE_MAX = 4000


class VersionConflict(Exception):
    """Somebody else changed the ticket meanwhile: look at it again."""

    def __init__(self, ticket: str, found: int, given: int) -> None:
        super().__init__(f"ticket {ticket} is at version {found}, not {given}: somebody changed it meanwhile")
        self.ticket = ticket
        self.found = found
        self.given = given


class StepMissing(Exception):
    """The ticket has no such step."""


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What a ticket that an alarm opens is made of."""

    site: str
    alarm: str
    device: str
    child: str
    profile: str
    template_id: str
    template: TicketTemplate


def ticket_row(opening: Opening, *, number: int, now: datetime) -> dict[str, Any]:
    """The row of a ticket that one alarm episode opens.

    The unique index on `alarm` makes a second ticket for the same episode impossible.
    """
    template = opening.template
    return {
        "id": new_id(now),
        "number": number,
        "site": opening.site,
        "alarm": opening.alarm,
        "device": opening.device,
        "child": opening.child,
        "template": opening.template_id,
        "profile": opening.profile,
        "title_zh": template.title.zh[:300],
        "title_en": template.title.en[:300],
        "trade": template.trade,
        "priority": template.priority.value,
        "state": TicketState.OPEN.value,
        "assignee": None,
        "steps": [{"zh": step.zh, "en": step.en, "done_at": None, "done_by": None} for step in template.steps],
        "opened_at": now,
        "due_at": now + template.due,
        "closed_at": None,
        "version": 1,
    }


def event_row(
    ticket: str,
    what: str,
    *,
    now: datetime,
    who: str | None = None,
    note: str = "",
    data: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """One line of a ticket's history."""
    return {"id": new_id(now), "ticket": ticket, "at": now, "who": who, "what": what, "note": note, "data": data or {}}


class Desk:
    """What people do with tickets. Every call is one transaction and gives the ticket as it is afterwards.

    Calls take the version that was looked at. They raise NotFound, VersionConflict, IllegalTransition or StepMissing.
    """

    def __init__(self, *, database: Database, changes: Changes, public_url: str = "") -> None:
        self._database = database
        self._changes = changes
        self._public_url = public_url

    def assign(
        self, scope: Scope, ticket: str, *, to: str, by: str, version: int, now: datetime, note: str = ""
    ) -> store.Ticket:
        return self._move(scope, ticket, Action.ASSIGN, by, version, now, note, assignee=to, data={"to": to})

    def unassign(
        self, scope: Scope, ticket: str, *, by: str, version: int, now: datetime, note: str = ""
    ) -> store.Ticket:
        return self._move(scope, ticket, Action.UNASSIGN, by, version, now, note, assignee=None)

    def start(self, scope: Scope, ticket: str, *, by: str, version: int, now: datetime, note: str = "") -> store.Ticket:
        """Whoever starts the work is the assignee from now on."""
        return self._move(scope, ticket, Action.START, by, version, now, note, assignee=by)

    def close(self, scope: Scope, ticket: str, *, by: str, version: int, now: datetime, note: str = "") -> store.Ticket:
        return self._move(scope, ticket, Action.CLOSE, by, version, now, note, closed_at=now)

    def cancel(
        self, scope: Scope, ticket: str, *, by: str, version: int, now: datetime, note: str = ""
    ) -> store.Ticket:
        return self._move(scope, ticket, Action.CANCEL, by, version, now, note, closed_at=now)

    def reopen(
        self, scope: Scope, ticket: str, *, by: str, version: int, now: datetime, note: str = ""
    ) -> store.Ticket:
        return self._move(scope, ticket, Action.REOPEN, by, version, now, note, closed_at=None, assignee=None)

    def add_note(self, scope: Scope, ticket: str, *, text: str, by: str, now: datetime) -> store.Ticket:
        """Notes need no version: they never overwrite anything."""
        with self._database.write() as connection:
            self._find(connection, scope, ticket)
            _record(connection, event_row(ticket, "note", now=now, who=by, note=text[:_NOTE_MAX]))
            after = self._find(connection, scope, ticket)
        self._publish(after)
        return after

    def tick_step(self, scope: Scope, ticket: str, *, step: int, by: str, version: int, now: datetime) -> store.Ticket:
        """Mark a step (from 0) as done."""
        return self._set_step(scope, ticket, step, by, version, now, {"done_at": now.isoformat(), "done_by": by})

    def untick_step(
        self, scope: Scope, ticket: str, *, step: int, by: str, version: int, now: datetime
    ) -> store.Ticket:
        """Take a mark back."""
        return self._set_step(scope, ticket, step, by, version, now, {"done_at": None, "done_by": None})

    def _set_step(
        self, scope: Scope, ticket: str, step: int, by: str, version: int, now: datetime, mark: dict[str, Any]
    ) -> store.Ticket:
        with self._database.write() as connection:
            before = self._find(connection, scope, ticket)
            if TicketState(before.state) not in OPEN_STATES:
                raise IllegalTransition(TicketState(before.state), Action.START)
            if not 0 <= step < len(before.steps):
                raise StepMissing(f"ticket {before.number} has {len(before.steps)} steps, not {step + 1}")
            steps = [_step_row(one) for one in before.steps]
            steps[step] |= mark
            self._update(connection, before, version, {"steps": steps})
            what = "step_done" if mark["done_at"] else "step_undone"
            _record(connection, event_row(ticket, what, now=now, who=by, data={"step": step}))
            after = self._find(connection, scope, ticket)
        self._publish(after)
        return after

    def _move(
        self,
        scope: Scope,
        ticket: str,
        action: Action,
        by: str,
        version: int,
        now: datetime,
        note: str,
        *,
        data: dict[str, Any] | None = None,
        **columns: Any,
    ) -> store.Ticket:
        with self._database.write() as connection:
            before = self._find(connection, scope, ticket)
            if before.version != version:
                raise VersionConflict(ticket, before.version, version)
            state = next_state(TicketState(before.state), action)
            self._update(connection, before, version, {"state": state.value, **columns})
            event = event_row(ticket, EVENT_OF[action], now=now, who=by, note=note[:_NOTE_MAX], data=data)
            _record(connection, event)
            after = self._find(connection, scope, ticket)
            self._tell(connection, after, action, now)
        self._publish(after)
        return after

    def _update(self, connection: Connection, before: store.Ticket, version: int, columns: dict[str, Any]) -> None:
        # The version stands in the WHERE: on PostgreSQL another writer may commit between our read and this.
        done = connection.execute(
            update(tickets)
            .where(tickets.c.id == before.id, tickets.c.version == version)
            .values(version=version + 1, **columns)
        )
        if done.rowcount != 1:
            raise VersionConflict(before.id, before.version, version)

    def _tell(self, connection: Connection, ticket: store.Ticket, action: Action, now: datetime) -> None:
        if action in (Action.ASSIGN, Action.UNASSIGN, Action.START):
            return  # seen on the board; a message for every step of the work would be noise
        audience = audience_of(connection, ticket.site)
        event = plan.TicketEvent(ticket=ticket, event=EVENT_OF[action], at=now)
        queue(connection, plan.for_ticket(event, audience, public_url=self._public_url), now=now)

    @staticmethod
    def _find(connection: Connection, scope: Scope, ticket: str) -> store.Ticket:
        found = store.get_ticket(connection, scope, ticket)
        if found is None:
            raise NotFound("ticket", ticket)
        return found

    def _publish(self, ticket: store.Ticket) -> None:
        self._changes.publish([Change("ticket", ticket.id, ticket.site)])


def _record(connection: Connection, event: dict[str, Any]) -> None:
    connection.execute(insert(ticket_events), event)


def _step_row(step: store.Step) -> dict[str, Any]:
    done = step.done_at.isoformat() if step.done_at else None
    return {"zh": step.text.zh, "en": step.text.en, "done_at": done, "done_by": step.done_by}
