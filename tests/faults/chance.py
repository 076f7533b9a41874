"""When something is killed: at the same moments on every run, unless others are looked for."""

from __future__ import annotations

import os
import random


def seed() -> int:
    """COURTYARD_SEED: a number, or `random` to search on. Who uses it prints it, so that a failure can be had again."""
    said = os.environ.get("COURTYARD_SEED", "7")
    return random.SystemRandom().randrange(10**6) if said == "random" else int(said)
