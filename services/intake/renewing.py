"""What a new rule book means for what is in memory: its site's rules are made anew, and all the rest stays as it is.

To read everything again takes seconds at a site of thousands of devices, and nothing is judged meanwhile. What comes of
this is what would be read; a test compares the two after random changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from gateway.reading import Value
from services.clock import to_millis
from services.intake.anew import Alike
from services.intake.loading import (
    cause_rules,
    forget_marks_without_alarm,
    is_built_in,
    is_on_trial,
    judging,
    windows_of,
)
from services.intake.memory import Memory, Stamp
from services.rules.compiled import CompiledProfile
from services.rules.in_force import book_in_force
from services.rules.state import DeviceState, dump_rule, restore_rule


class _New(NamedTuple):
    """What a device is judged by from now on."""

    device: DeviceState
    profile: CompiledProfile | None
    params: Mapping[str, Value]


def only_rules_changed(before: Stamp, after: Stamp) -> bool:
    """Whether rule books and maintenance windows are all that others have written."""
    return [(one.site, one.updated_at) for one in before] == [(one.site, one.updated_at) for one in after]


def with_new_book(before: Stamp, after: Stamp) -> frozenset[str]:
    """The sites whose rule book is not the one in memory."""
    return frozenset(new.site for old, new in zip(before, after, strict=False) if old.book != new.book)


def renew(connection: Connection, memory: Memory, stamp: Stamp, now: datetime) -> frozenset[str]:
    """Take up the rule books and maintenance windows that are not those in memory; `stamp` is as they stand now.

    Returns the devices whose rules or thresholds are others now. Alarms that no rule of theirs raises any more are left
    among the orphans, as they are when everything is read.
    """
    changed = [(before, after) for before, after in zip(memory.stamp, stamp, strict=True) if before != after]
    if any(before.windows != after.windows for before, after in changed):
        memory.windows = windows_of(connection, now)
    renewed: set[str] = set()
    for before, after in changed:
        if before.book != after.book:
            memory.effective = memory.effective.with_book(after.site, book_in_force(connection, after.site))
            renewed |= _renew_site(memory, after.site)
    memory.stamp = stamp
    return frozenset(renewed)


def _renew_site(memory: Memory, site: str) -> set[str]:
    memory.groups.new_book(site)
    new = list(_others(memory, site))
    for one in new:
        _renew_device(one)
    renewed = {one.device.id for one in new}
    _review_alarms(memory, renewed)
    _review_trials(memory, site, renewed)
    forget_marks_without_alarm(memory, (one.device for one in new))
    memory.cause_rules = cause_rules(memory)
    memory.groups.touch(renewed)
    return renewed


def _others(memory: Memory, site: str) -> Iterator[_New]:
    """The devices of a site that are judged by other rules or params from now on."""
    effective, alike = memory.effective, Alike()
    for device in memory.devices.values():
        if device.site != site:
            continue
        profile = effective.profile(site, device.profile_id, device.id)
        profile = memory.groups.remembering(device, profile)
        own = memory.own_params.get(device.id, {})
        params = effective.params(site, device.profile_id, device.id, own) if profile is not None else {}
        if params != device.params or not alike(device.profile, profile):
            yield _New(device, profile, params)


def _renew_device(new: _New) -> None:
    """What is remembered of its rules goes the way that it takes into the store and back."""
    device, profile = new.device, new.profile
    keys = device.marks.keys() | device.watches.keys() | device.past.keys()
    kept = {key: dump_rule(device, key) for key in keys}
    for memories in (device.marks, device.evidence, device.watches, device.past, device.rested_until, device.answers):
        memories.clear()
    device.waiting.clear()
    device.profile, device.params = profile, new.params
    for key, state in kept.items():
        rule = profile.find(key[1]) if profile is not None else None
        if rule is not None and state is not None:
            restore_rule(device, key, rule, state)
        else:
            device.moved.add(key)  # it goes from the store as well
    device.due_at, device.looked_at, device.rules_changed = 0, False, True


def _review_alarms(memory: Memory, renewed: set[str]) -> None:
    for id in renewed:
        for alarm in memory.active.on(id):
            if is_built_in(alarm):
                continue
            if judging(memory, alarm) is None:
                del memory.active[alarm.device, alarm.child, alarm.rule]
                memory.orphans.append(alarm)
            else:
                device = memory.devices[id]
                device.adopt((alarm.child, alarm.rule), to_millis(alarm.raised_at), alarm.severity)


def _review_trials(memory: Memory, site: str, renewed: set[str]) -> None:
    for key, episode in list(memory.shadows.items()):
        if key[0] in renewed and not is_on_trial(memory, site, key[0], key[2]):
            del memory.shadows[key]
            memory.shadow_orphans.append(episode)
