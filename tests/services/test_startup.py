"""While the product starts no garbage is looked for; afterwards it is, whatever happened."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest

from services.startup import collector_at_rest


def test_what_the_start_made_is_left_alone_from_then_on() -> None:
    # In a process of its own: what is frozen here would stay frozen for every test that follows.
    script = (
        "import gc\n"
        "from services.startup import collector_at_rest\n"
        "with collector_at_rest():\n"
        "    assert not gc.isenabled()\n"
        "    made = [[i] for i in range(1000)]\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 1000\n"
        "assert not any(one is made[0] for one in gc.get_objects())\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONHASHSEED": "0"})


def test_a_start_that_fails_leaves_the_collector_running() -> None:
    before = gc.get_freeze_count()  # a test that starts the product here has frozen some
    with pytest.raises(ValueError, match="no broker"), collector_at_rest():
        raise ValueError("no broker")
    assert gc.isenabled()
    assert gc.get_freeze_count() == before
