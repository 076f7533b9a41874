"""Members of rules over several devices on which people are at work: live, and in a backtest."""

from __future__ import annotations

from collections.abc import Collection

from services.groups.groups import Clock, Groups
from services.groups.places import Placed
from services.maintenance.windows import Windows


def set_aside_at_work(groups: Groups, windows: Windows, clock: Clock, sites: Collection[str]) -> None:
    """What they say says nothing of several of them. By the clocks of their gateways, as everything that happens to
    several; a device that none has heard goes by the newest of these."""
    if not groups:
        return
    times = {id: time.progress for id, time in clock.items() if time.progress is not None}
    newest = max(times.values(), default=0)

    def covered(one: Placed, gateway: str) -> bool:
        at = times.get(gateway, newest)
        return windows.covering(one.site, one.building or None, one.family, one.id, at) is not None

    open_now = {(site, id): found for site in sites for id, at in times.items() if (found := windows.open_at(site, at))}
    groups.at_work(open_now, covered)
