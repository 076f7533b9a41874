"""Where commands are asked for and cancelled by people and programs, and where gateways come for them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from threading import Condition

from sqlalchemy.exc import IntegrityError

from gateway.uplink import CommandOrder, CommandOutcome
from services.accounts.policy import Grant
from services.accounts.store import grants_now
from services.changes import Change, Changes
from services.clock import Clock
from services.commands import store
from services.commands.asking import CommandRefused
from services.commands.dispatch import Asked
from services.commands.store import CommandRecord
from services.database import Database
from services.intake import Intake
from services.scope import EVERYWHERE, NotFound, Scope

LONGEST_WAIT_SECONDS = 25.0
"""A gateway may ask to wait so long for an order."""
_LOOK_SECONDS = 1.0
"""An order that was fetched and not reported on is due again after a while: look at least so often."""


class Bell:
    """Rings when some command has changed, for whoever waits in a thread."""

    def __init__(self, changes: Changes) -> None:
        self._condition = Condition()
        changes.listen(self._heard)

    def wait(self, seconds: float) -> None:
        with self._condition:
            self._condition.wait(seconds)

    def _heard(self, batch: list[Change]) -> None:
        if any(change.kind == "command" for change in batch):
            with self._condition:
                self._condition.notify_all()


class CommandDesk:
    """Every call is one transaction of intake, which holds what is under way."""

    def __init__(self, *, database: Database, intake: Intake, clock: Clock) -> None:
        self._database = database
        self._intake = intake
        self._clock = clock

    # --- people and programs ------------------------------------------------------------------------------------------

    def ask(self, asked: Asked) -> CommandRecord:
        """Queue a command. With a key that was used before: the command it was used for. Raises CommandRefused."""
        known = self._of_key(asked)
        if known is not None:
            return known
        try:
            with self._intake.commanding(self._clock.now()) as commands:
                id = commands.ask(asked)
        except (CommandRefused, IntegrityError) as error:
            # Somebody else may have been faster, with this very key or with the same command.
            known = self._of_key(asked)
            if known is not None:
                return known
            if isinstance(error, CommandRefused):
                raise
            raise CommandRefused("outstanding", "the same command, asked for just now", "one at a time") from error
        return self.get(EVERYWHERE, id)

    def _of_key(self, asked: Asked) -> CommandRecord | None:
        if asked.key is None:
            return None
        with self._database.read() as connection:
            id = store.find_by_key(connection, asked.key)
            found = None if id is None else store.get_command(connection, EVERYWHERE, id)
        if found is None:
            return None
        with self._intake.commanding(self._clock.now()) as commands:
            params = commands.params_of(asked)
        wish = asked.device, asked.child, asked.command, params
        if (found.device, found.child, found.command, found.params) != wish:
            raise CommandRefused("not_valid", "an idempotency key used before", "a new key for another command")
        return found

    def cancel(self, scope: Scope, id: str, *, by: str) -> CommandRecord:
        """While no gateway has fetched it. Raises NotFound, NotCancellable."""
        self.get(scope, id)
        with self._intake.commanding(self._clock.now()) as commands:
            commands.cancel(id, by=by)
        return self.get(scope, id)

    def get(self, scope: Scope, id: str) -> CommandRecord:
        """With its history; raises NotFound."""
        with self._database.read() as connection:
            found = store.get_command(connection, scope, id)
        if found is None:
            raise NotFound("command", id)
        return found

    # --- gateways -----------------------------------------------------------------------------------------------------

    def hand_over(self, gateway: str, sites: Scope, *, again: bool) -> list[CommandOrder]:
        """What a gateway should send now. `again`: also what it has fetched before and not reported on.

        Who asked must have the right to it still: somebody may have lost it while the command waited.
        """
        if not self._intake.commands_under_way(gateway):
            return []
        with self._intake.commanding(self._clock.now()) as commands:
            due = commands.due(gateway, sites, again=again)
            return commands.hand_over(due, self._rights({live.by for live in due if live.by is not None}))

    def _rights(self, logins: set[str]) -> dict[str, tuple[Grant, ...]]:
        if not logins:
            return {}
        with self._database.read() as connection:
            return grants_now(connection, logins)

    def wait_for_orders(self, gateway: str, wait_seconds: float, bell: Bell) -> list[CommandOrder]:
        """The same, for a gateway in this process; 0 seconds means `again`."""
        until = time.monotonic() + min(wait_seconds, LONGEST_WAIT_SECONDS)
        found = self.hand_over(gateway, EVERYWHERE, again=wait_seconds <= 0)
        while not found and (left := until - time.monotonic()) > 0:
            bell.wait(min(left, _LOOK_SECONDS))
            found = self.hand_over(gateway, EVERYWHERE, again=False)
        return found

    def report(self, gateway: str, outcomes: Iterable[CommandOutcome]) -> None:
        """What became of attempts. Saying it again changes nothing."""
        with self._intake.commanding(self._clock.now()) as commands:
            for outcome in outcomes:
                commands.outcome(gateway, outcome)


def with_key(asked: Asked, principal: str, key: str | None) -> Asked:
    """Keys of different principals never meet."""
    return asked if not key else replace(asked, key=f"{principal}:{key}"[:200])
