"""What an engine must offer for holding a database."""

from __future__ import annotations

from typing import Protocol

from services.holding.owner import Owner


class Keeper(Protocol):
    """From one thread at a time."""

    def try_to_take(self) -> Owner | None:
        """None: it is ours from now on. Else whose it is."""
        ...

    def reach(self) -> None:
        """Raises SQLAlchemyError where a server does not answer."""
        ...

    def is_ours(self) -> bool:
        """Whether what was taken is still ours."""
        ...

    def let_go(self) -> None: ...
