"""While the product starts no garbage is looked for; afterwards it is, whatever happened.

Each story runs in a process of its own. What is frozen here would stay frozen for every test that follows, and what
another test froze goes on being freed one by one: a count of frozen objects means something only in a process alone.
"""

from __future__ import annotations

import subprocess
import sys


def run(script: str) -> None:
    subprocess.run([sys.executable, "-c", script], check=True)


def test_what_the_start_made_is_left_alone_from_then_on() -> None:
    run(
        "import gc\n"
        "from services.startup import collector_at_rest\n"
        "with collector_at_rest():\n"
        "    assert not gc.isenabled()\n"
        "    made = [[i] for i in range(1000)]\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 1000\n"
        "assert not any(one is made[0] for one in gc.get_objects())\n"
    )


def test_a_start_that_fails_leaves_the_collector_running() -> None:
    run(
        "import gc\n"
        "from services.startup import collector_at_rest\n"
        "made = []\n"
        "try:\n"
        "    with collector_at_rest():\n"
        "        made.extend([i] for i in range(1000))\n"
        "        raise ValueError('no broker')\n"
        "except ValueError as error:\n"
        "    assert str(error) == 'no broker'\n"
        "else:\n"
        "    raise AssertionError('the error was swallowed')\n"
        "assert gc.isenabled()\n"
        "assert any(one is made[0] for one in gc.get_objects()), 'what a failed start made is looked after as ever'\n"
    )
