"""Where a command's log goes."""

from __future__ import annotations

import io
import sys

import pytest
import structlog

from services.cli.shared import set_up_logging


def test_the_log_follows_stderr_when_it_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    set_up_logging("info")
    log = structlog.get_logger("courtyard.test")
    log.info("one")
    monkeypatch.setattr(sys, "stderr", second)
    first.close()
    log.info("two")
    assert '"event": "two"' in second.getvalue()
