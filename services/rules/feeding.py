"""What rules that look back are told: each new value, event and verdict, once, at the time it was measured.

Only live readings arrive here: what is late, historic or retained, and what is not good enough for the rule, enters no
memory. The memory is stored with the alarm states, in the transaction of the batch: at once where something happened
(a condition became true, a value changed), else now and then: see `Watch.take`.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.reading import Millis, Reading, child_kind
from services.rules.compiled import Feed
from services.rules.seen import visible
from services.rules.state import DeviceState, Key
from services.rules.windows import Count, Watch


def feed_reading(device: DeviceState, reading: Reading, names: tuple[str, ...]) -> tuple[str, ...]:
    """Tell the rules what is new (`names`, and the reading's events); everything that may move a rule."""
    profile, at = device.profile, reading.measured_at
    assert profile is not None
    moments = tuple(event.id for event in reading.events if not event.phase)
    own = profile.fed.get(child_kind(reading.child), {})
    for name in names:
        for feed in own.get(name, ()):
            _tell(device, reading.child, feed, at)
    for moment in moments:
        for feed in own.get(moment, ()):
            _happened(device, reading.child, feed, at)
    if not reading.child and profile.fed_by_parent:
        _tell_children(device, names, moments, at)
    return (*names, *moments)


def _tell_children(device: DeviceState, names: Iterable[str], moments: Iterable[str], at: Millis) -> None:
    assert device.profile is not None
    fed = device.profile.fed_by_parent
    for name in names:
        for feed in fed.get(name, ()):
            for child in _children(device, feed):
                _tell(device, child, feed, at)
    for moment in moments:
        for feed in fed.get(moment, ()):
            for child in _children(device, feed):
                _happened(device, child, feed, at)


def feed_presence(device: DeviceState, at: Millis) -> None:
    """The presence has changed: conditions that are counted may depend on it."""
    assert device.profile is not None
    for feeds in device.profile.fed_by_presence.values():
        for feed in feeds:
            for child in _children(device, feed):
                _tell(device, child, feed, at)


def forget_later_than(device: DeviceState, to: Millis) -> None:
    """A clock was put right: what was remembered by the wrong one is worth nothing."""
    for key, watches in list(device.watches.items()):
        if any((watch.newest() or 0) > to for watch in watches.values()):
            del device.watches[key]
            device.moved.add(key)
    device.rested_until.clear()


def _children(device: DeviceState, feed: Feed) -> list[str]:
    scope = feed.scope
    return [one for one in device.children if child_kind(one) == scope] if scope else [""]


def _watch(device: DeviceState, key: Key, feed: Feed) -> Watch:
    watches = device.watches.setdefault(key, {})
    found = watches.get(feed.look.key)
    if found is None:
        found = watches[feed.look.key] = feed.look.watch()
    return found


def _tell(device: DeviceState, child: str, feed: Feed, at: Millis) -> None:
    look, rule = feed.look, feed.rule
    key = (child, rule.rule.id)
    seen = visible(device, child, rule, look.reads, at)
    value = seen.get(look.look.name) if look.condition is None else look.condition(seen, _ageless)
    if value is not None and _watch(device, key, feed).take(at, value):
        device.moved.add(key)


def _happened(device: DeviceState, child: str, feed: Feed, at: Millis) -> None:
    key = (child, feed.rule.rule.id)
    watch = _watch(device, key, feed)
    assert isinstance(watch, Count)
    watch.happened(at)
    device.moved.add(key)


def _ageless(_name: str) -> float | None:
    """Conditions that are counted know no ages: the grammar refuses them."""
    return None
