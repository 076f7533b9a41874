"""What decoding something takes, whatever else this machine and this process do meanwhile."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

QUICK_SECONDS = 0.2
"""What the worst of a mebibyte may take; a quarter of it on a machine that does nothing else."""
MOST_BYTES = 16 << 20
"""What it may hold at once."""


def least_seconds(attempt: Callable[[], object], *, enough: float = QUICK_SECONDS, runs: int = 8) -> float:
    """The processor time of this thread in the quickest of several runs; the first that takes less than `enough` is the
    last."""
    best = float("inf")
    for _ in range(runs):
        began = time.thread_time()
        attempt()
        best = min(best, time.thread_time() - began)
        if best < enough:
            break
    return best


def most_bytes(attempt: Callable[[], object]) -> int:
    """The most that was held at once."""
    tracemalloc.start()
    try:
        attempt()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
