"""The ticket's states as a table. A pair that is not in it is refused, and says what would be possible."""

from __future__ import annotations

from enum import StrEnum


class TicketState(StrEnum):
    OPEN = "open"
    ASSIGNED = "assigned"
    IN_PROGRESS = "in_progress"
    CLOSED = "closed"
    CANCELLED = "cancelled"


class Action(StrEnum):
    ASSIGN = "assign"
    UNASSIGN = "unassign"
    START = "start"
    CLOSE = "close"
    CANCEL = "cancel"
    REOPEN = "reopen"


OPEN_STATES = (TicketState.OPEN, TicketState.ASSIGNED, TicketState.IN_PROGRESS)

_S, _A = TicketState, Action
TRANSITIONS: dict[tuple[TicketState, Action], TicketState] = {
    (_S.OPEN, _A.ASSIGN): _S.ASSIGNED,
    (_S.OPEN, _A.START): _S.IN_PROGRESS,  # grabbed: whoever starts is the assignee
    (_S.OPEN, _A.CLOSE): _S.CLOSED,
    (_S.OPEN, _A.CANCEL): _S.CANCELLED,
    (_S.ASSIGNED, _A.ASSIGN): _S.ASSIGNED,  # handed on
    (_S.ASSIGNED, _A.UNASSIGN): _S.OPEN,
    (_S.ASSIGNED, _A.START): _S.IN_PROGRESS,
    (_S.ASSIGNED, _A.CLOSE): _S.CLOSED,
    (_S.ASSIGNED, _A.CANCEL): _S.CANCELLED,
    (_S.IN_PROGRESS, _A.ASSIGN): _S.ASSIGNED,  # handed on: the next one starts anew
    (_S.IN_PROGRESS, _A.UNASSIGN): _S.OPEN,
    (_S.IN_PROGRESS, _A.CLOSE): _S.CLOSED,
    (_S.IN_PROGRESS, _A.CANCEL): _S.CANCELLED,
    (_S.CLOSED, _A.REOPEN): _S.OPEN,
    (_S.CANCELLED, _A.REOPEN): _S.OPEN,
}
EVENT_OF: dict[Action, str] = {
    _A.ASSIGN: "assigned",
    _A.UNASSIGN: "unassigned",
    _A.START: "started",
    _A.CLOSE: "closed",
    _A.CANCEL: "cancelled",
    _A.REOPEN: "reopened",
}


class IllegalTransition(Exception):
    """This cannot be done to a ticket in this state."""

    def __init__(self, state: TicketState, action: Action) -> None:
        self.state = state
        self.action = action
        self.possible = possible(state)
        super().__init__(f"a ticket that is {state} cannot be {EVENT_OF[action]}; possible: {', '.join(self.possible)}")


def next_state(state: TicketState, action: Action) -> TicketState:
    try:
        return TRANSITIONS[state, action]
    except KeyError:
        raise IllegalTransition(state, action) from None


def possible(state: TicketState) -> tuple[Action, ...]:
    """What can be done to a ticket in this state; pages show exactly these buttons."""
    return tuple(action for at, action in TRANSITIONS if at == state)
