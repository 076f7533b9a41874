"""kill -9 under load: nothing acknowledged is lost, nothing is stored twice, one ticket per episode.

The publisher keeps a ledger: a message counts once the broker has acknowledged it. Seeds are printed, by failures too.
It kills the gateway eight times and services three times, each run at other moments; COURTYARD_KILLS=20 does it as
docs/performance.md reports it.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.bench.mosquitto import Mosquitto
from tests.faults import chance
from tests.faults.kit import Load, Yard
from tests.gateway.kit import now_millis, until

pytestmark = [pytest.mark.mosquitto, pytest.mark.slow, pytest.mark.timeout(900)]

PER_SECOND = 2000
KILLS = int(os.environ.get("COURTYARD_KILLS", "8"))


def suffer(yard: Yard, strike: Callable[[random.Random], None], kills: int) -> None:
    """Load from before the first strike until after the last; then the books are compared."""
    seed = chance.seed()
    dice = random.Random(seed)
    start_ms = now_millis() - 360_000
    with ExitStack() as stack:
        yard.start(stack)
        load = Load(yard.broker, start_ms, PER_SECOND)
        load.start()
        for number in range(1, kills + 1):
            load.at_most = number * PER_SECOND * 3  # else a slow machine has ever more to catch up with
            strike(dice)
        until(lambda: load.acknowledged > kills * 500, 240, f"there was no real load (seed {seed})")
        acknowledged = load.end()
        try:
            figures = yard.check_against(acknowledged, start_ms)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
    print(json.dumps({"seed": seed, "kills": kills, **figures}))


def test_the_gateway_is_killed_again_and_again(mosquitto: Mosquitto, tmp_path: Path) -> None:
    yard = Yard(tmp_path, mosquitto)

    def strike(dice: random.Random) -> None:
        # Mostly in full flight; now and then while it is still starting.
        if dice.random() < 0.85:
            yard.gateway.wait_until_ready()
        time.sleep(dice.uniform(0.0, 1.5))
        yard.gateway.kill()
        yard.gateway.start()

    suffer(yard, strike, KILLS)


def test_services_are_killed_while_the_gateway_goes_on(mosquitto: Mosquitto, tmp_path: Path) -> None:
    yard = Yard(tmp_path, mosquitto)

    def strike(dice: random.Random) -> None:
        yard.services.wait_until_ready()
        time.sleep(dice.uniform(0.1, 2.0))
        yard.services.kill()
        yard.services.start()

    suffer(yard, strike, KILLS * 3 // 8)
