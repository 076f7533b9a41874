from __future__ import annotations

from tests.services.web.conftest import prepared, world

__all__ = ["prepared", "world"]
