"""What happens in the demo, so that a visitor sees within a minute what Courtyard is for.

    0:03  the west gate is forced                     alarm and P1 ticket at once
    0:04  the door of building 6 loses its network    its last will: alarm, ticket, access limited for building 6
    0:05  pump 1 fails                                0:10 alarm and ticket; water limited, high and low zone (1 of 2)
    0:06  port 3 of a south station heats up          0:15 it passes 80 °C; 0:45 alarm and P1 ticket, charging limited;
                                                      the rule cuts the port, and its power is seen to be gone
    0:14  the door of building 6 is back              0:44 its alarm clears, access is restored
    0:16  pump 1 runs again                           0:46 its alarm clears, water is restored in both zones
    0:20  the west gate is closed again               from 0:50 its alarm clears; the ticket stays open
    1:15  the high zone loses its pressure            2:20 critical alarm after a minute, four towers without water
    2:50  the pressure returns                        about 4:00 water is restored
    3:30  the port has cooled                         8:30 after five cold minutes charging is restored
    4:25  pump 1 trips for eleven seconds             4:30 alarm and ticket, and water limited, once more
    5:10  pump 1 trips again                          5:15 the same: what docs/rules.md makes calmer
    5:25  pump 2 fails for longer                     5:30 alarm and ticket, rightly
    6:00  quiet life: one of the smaller faults every three to seven minutes, for a week

Times are from the simulator's start; those on the right follow from the rules of the shipped profiles and vary by a
message or two. A test holds them against the real decoder, rules and outages.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import NamedTuple

from gateway.simulator import ScriptedFault

OPENING_ENDS = timedelta(minutes=6)
LASTS = timedelta(days=7)


class _Fault(NamedTuple):
    device: str
    fault: str
    child: str
    minutes: float


_EVERYDAY = (
    _Fault("gate-3", "lock_fault", "", 2),
    _Fault("recorder-east", "no_picture", "camera:lobby_3", 7),
    _Fault("charger-2", "relay_welded", "port:5", 4),
    _Fault("gate-garage", "held_open", "", 7),
    _Fault("sump-1", "high_level", "", 3),
    _Fault("charger-5", "silent", "", 8),
    _Fault("gate-5", "supply_low", "", 4),
    _Fault("recorder-west", "low_fps", "camera:garage_in", 8),
    _Fault("booster-1", "overload", "pump:2", 2),
    _Fault("charger-8", "leakage", "", 3),
    _Fault("gate-8", "tamper", "", 2),
    _Fault("sump-2", "pump_failure", "", 4),
    _Fault("charger-3", "over_power", "port:1", 3),
    _Fault("booster-1", "pump_failure", "pump:2", 5),
    _Fault("charger-6", "smoke", "", 2),
    _Fault("recorder-east", "not_recording", "camera:gate_east", 12),
    _Fault("gate-east", "silent", "", 6),
    _Fault("booster-1", "flood", "", 2),
)


def demo_script(*, seed: int = 430) -> tuple[ScriptedFault, ...]:
    """The opening, then quiet life. The same seed gives the same week."""
    return (*_opening(), *_quiet_life(random.Random(seed)))


def _opening() -> tuple[ScriptedFault, ...]:
    return (
        _fault("gate-west", "forced_open", "", 3, 17),
        _fault("gate-6", "silent", "", 4, 10),
        _fault("booster-1", "pump_failure", "pump:1", 5, 11),
        _fault("charger-7", "hot_port", "port:3", 6, 204),
        _fault("booster-1", "pressure_loss", "zone:2", 75, 95),
        _fault("booster-1", "pump_failure", "pump:1", 265, 11),
        _fault("booster-1", "pump_failure", "pump:1", 310, 11),
        _fault("booster-1", "pump_failure", "pump:2", 325, 34),
    )


def _fault(device: str, fault: str, child: str, after: float, lasting: float) -> ScriptedFault:
    return ScriptedFault(
        device=device,
        fault=fault,
        child=child,
        after=timedelta(seconds=after),
        lasting=timedelta(seconds=lasting),
    )


def _quiet_life(dice: random.Random) -> list[ScriptedFault]:
    # The same order every round: no fault can come again while it still lasts.
    order = dice.sample(_EVERYDAY, len(_EVERYDAY))
    faults: list[ScriptedFault] = []
    at = OPENING_ENDS
    while at < LASTS:
        one = order[len(faults) % len(order)]
        faults.append(_fault(one.device, one.fault, one.child, at.total_seconds(), one.minutes * 60))
        at += timedelta(seconds=dice.randint(180, 420))
    return faults
