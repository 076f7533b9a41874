"""Where the break is, in words: gateway → broker → what a device hangs on → the device → its values.

The first broken link from our side is the answer; what lies behind it cannot be seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Connection

from device_profiles.schema import DeviceProfile, Metric
from gateway.presence import Fault, PresenceReason, ValueFault
from gateway.reading import child_kind
from services.presence.breaks import BREAKS, BROKER_DOWN, PARENT_DOWN, UPLINK_CUT
from services.presence.gateways import gateway_device
from services.presence.values import faults
from services.rules.store import list_alarms
from services.sites import store
from services.sites.store import GatewayRow, Latest
from services.web.i18n import N_, Translations
from services.web.pages import format as fmt
from services.web.pages.words import Mark

State = Literal["ok", "late", "broken", "hidden"]
__all__ = ["Break", "Chain", "Link", "breaks_of", "chain_of", "faults", "seen_of"]
LINKS = {
    "gateway": N_("Gateway"),
    "broker": N_("MQTT broker"),
    "parent": N_("Hangs on"),
    "device": N_("Device"),
    "values": N_("Values"),
}
STATES: dict[State, Mark] = {
    "ok": Mark("ok", N_("OK"), "ok", "ok"),
    "late": Mark("late", N_("Late"), "warn", "clock"),
    "broken": Mark("broken", N_("Broken here"), "bad", "octagon"),
    "hidden": Mark("hidden", N_("Cannot be seen"), "unknown", "unknown"),
}
_MOST_PARENTS = 8


@dataclass(frozen=True)
class Link:
    """One link of the way from a device to us."""

    key: str
    name: str
    state: State
    said: str
    """Why, with how long."""
    href: str = ""

    @property
    def mark(self) -> Mark:
        return STATES[self.state]

    @property
    def word(self) -> str:
        return LINKS[self.key]


@dataclass(frozen=True)
class Chain:
    links: tuple[Link, ...]
    sentence: str
    """What is known of the device's presence, and why."""

    @property
    def broken(self) -> Link | None:
        return next((link for link in self.links if link.state == "broken"), None)


@dataclass(frozen=True)
class Seen:
    """What the chain of a device is read from."""

    device: store.Device
    profile: DeviceProfile | None
    gateway: GatewayRow | None
    parents: Sequence[store.Device]
    """What it hangs on, the nearest first."""


def seen_of(
    connection: Connection, device: store.Device, library: Mapping[str, DeviceProfile], gateways: Sequence[GatewayRow]
) -> Seen:
    parents: list[store.Device] = []
    above = device.parent
    while above and len(parents) < _MOST_PARENTS and above not in {device.id, *(one.id for one in parents)}:
        found = store.get_device(connection, None, above)
        if found is None or found.retired_at is not None or found.site != device.site:
            break
        parents.append(found)
        above = found.parent
    gateway = next((one for one in gateways if one.id == device.latest.gateway), None)
    if gateway is None and len(gateways) == 1:
        gateway = gateways[0]
    return Seen(device, library.get(device.profile), gateway, parents)


def chain_of(seen: Seen, t: Translations, now: datetime, silent_after: timedelta) -> Chain:
    """Every link, from our side; what lies behind the first broken one is hidden."""
    links: list[Link] = []
    way = (*_way(seen, t, now, silent_after), *_parents(seen, t, now))
    for link in (*way, _device(seen, t, now), _values(seen, t, now)):
        hidden = any(before.state == "broken" for before in links)
        links.append(Link(link.key, link.name, "hidden", "", link.href) if hidden and link.state != "ok" else link)
    return Chain(tuple(links), sentence(seen, t, now))


def _way(seen: Seen, t: Translations, now: datetime, silent_after: timedelta) -> Iterator[Link]:
    gateway = seen.gateway
    if gateway is None:
        yield Link("gateway", "", "hidden", t.gettext("none has been heard with this device yet"))
        return
    heard = fmt.age(gateway.heard_at, t, now=now) if gateway.heard_at else t.gettext("never heard")
    silent = gateway.heard_at is None or now - gateway.heard_at > silent_after
    said = t.gettext("not heard for %(span)s", span=_span(gateway.heard_at, now, t)) if silent else heard
    yield Link("gateway", gateway.id, "broken" if silent else "ok", said)
    connected = bool(gateway.status.get("connected", True))
    if silent or connected:
        # Of a gateway that is not heard, what it said last is old.
        yield Link("broker", "", "hidden" if silent else "ok", "" if silent else t.gettext("connected"))
        return
    lost = gateway.broker_lost_at
    span = _span(lost, now, t)
    said = t.gettext("no session for %(span)s", span=span) if lost else t.gettext("no session")
    yield Link("broker", "", "broken", said)


def _parents(seen: Seen, t: Translations, now: datetime) -> Iterator[Link]:
    for number, parent in enumerate(reversed(seen.parents)):
        nearest = number == len(seen.parents) - 1
        latest, name = parent.latest, parent.name.in_(t.language) or parent.id
        suspected = nearest and seen.device.latest.reason == PresenceReason.PARENT_DOWN
        state: State = _PRESENCE.get(latest.presence, "hidden")
        said = _heard(latest, t, now)
        if state != "broken" and suspected:
            state, said = "broken", t.gettext("nothing is heard of it or behind it")
        yield Link("parent", name, state, said, f"/devices/{parent.id}")


_PRESENCE: dict[str, State] = {"online": "ok", "stale": "late", "offline": "broken", "unknown": "hidden"}


def _device(seen: Seen, t: Translations, now: datetime) -> Link:
    latest = seen.device.latest
    name = seen.device.name.in_(t.language) or seen.device.id
    if latest.reason == PresenceReason.DEVICE_SAID_OFFLINE and latest.presence == "offline":
        return Link("device", name, "broken", t.gettext("it, or the broker for it, says that it is gone"))
    return Link("device", name, _PRESENCE.get(latest.presence, "hidden"), _heard(latest, t, now))


def _values(seen: Seen, t: Translations, now: datetime) -> Link:
    found = faults(seen.device, seen.profile, now, seen.gateway)
    if seen.device.latest.presence not in ("online", "stale") or seen.profile is None:
        return Link("values", "", "hidden", "")
    if not found:
        return Link("values", "", "ok", t.gettext("all that were reported still arrive"))
    said = [fault_text(child, one, seen.profile, t) for child, one in found[:5]]
    more = len(found) - len(said)
    if more > 0:
        said.append(t.gettext("and %(n)s more", n=more))
    return Link("values", "", "broken", t.gettext("; ").join(said))


def _heard(latest: Latest, t: Translations, now: datetime) -> str:
    if latest.last_heard_at is None:
        return t.gettext("never heard")
    return t.gettext("last heard %(age)s", age=fmt.age(latest.last_heard_at, t, now=now))


def _span(since: datetime | None, now: datetime, t: Translations) -> str:
    return fmt.duration(max(timedelta(0), now - since), t) if since is not None else "–"


# --- values -------------------------------------------------------------------------------------------------------


def fault_text(child: str, fault: ValueFault, profile: DeviceProfile, t: Translations) -> str:
    entry = profile.metrics.get(fault.metric) or profile.states[fault.metric]
    name = entry.name.in_(t.language)
    if child:
        kind = profile.children.get(child_kind(child))
        name = f"{kind.name.in_(t.language) if kind else child_kind(child)} {child.partition(':')[2]} {name}"
    if fault.fault is Fault.SENSOR_FAULTY or fault.missing_for is None:
        return t.gettext("%(name)s: the device calls it faulty", name=name)
    every = entry.period if isinstance(entry, Metric) and entry.period else timedelta(0)
    span = fmt.duration(timedelta(milliseconds=fault.missing_for), t)
    return t.gettext(
        "%(name)s: no value for %(span)s, expected every %(every)s",
        name=name,
        span=span,
        every=fmt.duration(every, t),
    )


# --- the sentence -------------------------------------------------------------------------------------------------


def sentence(seen: Seen, t: Translations, now: datetime) -> str:
    """Why a device counts as online, stale, offline or unknown."""
    latest, gateway = seen.device.latest, seen.gateway
    if latest.presence == "unknown":
        broken = _unknown(seen, latest, gateway, t, now)
        if broken:
            return broken
    return presence_reason(seen.device, seen.profile, t, now)


def _unknown(seen: Seen, latest: Latest, gateway: GatewayRow | None, t: Translations, now: datetime) -> str:
    match latest.reason:
        case PresenceReason.UPLINK_CUT if gateway is not None:
            span = _span(gateway.heard_at, now, t)
            return t.gettext(
                "Unknown: the gateway %(name)s has not been heard for %(span)s.", name=gateway.id, span=span
            )
        case PresenceReason.BROKER_DOWN if gateway is not None:
            span = _span(gateway.broker_lost_at, now, t)
            return t.gettext(
                "Unknown: the gateway %(name)s has had no session with its broker for %(span)s.",
                name=gateway.id,
                span=span,
            )
        case PresenceReason.PARENT_DOWN if seen.parents:
            parent = seen.parents[0]
            span = _span(latest.since, now, t)
            return t.gettext(
                "Unknown: %(name)s, on which it hangs, has been out of reach for %(span)s.",
                name=parent.name.in_(t.language),
                span=span,
            )
        case PresenceReason.WAITING:
            return t.gettext("Unknown: the way to it is open again, and it has not spoken yet.")
    return ""


def presence_reason(device: store.Device, profile: DeviceProfile | None, t: Translations, now: datetime) -> str:
    """The same from the device's own side."""
    heard = device.latest.last_heard_at
    if heard is None:
        return t.gettext("Nothing has been heard of it yet.")
    said = fmt.age(heard, t, now=now)
    if profile is None:
        return t.gettext("Heard %(age)s. Its profile is not in the library.", age=said)
    rule, silent = profile.availability, now - heard
    every = fmt.duration(rule.period, t)
    match device.latest.presence:
        case "online" if rule.event_driven:
            return t.gettext("Heard %(age)s. It speaks only when something happens.", age=said)
        case "online":
            return t.gettext("Heard %(age)s, expected every %(every)s.", age=said, every=every)
        case "stale":
            limit = fmt.duration(rule.stale_after, t)
            return t.gettext("Last heard %(age)s; it counts as stale after %(limit)s.", age=said, limit=limit)
        case "offline" if silent >= _rounded(rule.silent_offline_after):
            limit = fmt.duration(rule.silent_offline_after, t)
            return t.gettext("Last heard %(age)s; it counts as offline after %(limit)s.", age=said, limit=limit)
        case "offline":
            return t.gettext("The broker says that its connection is gone. Last heard %(age)s.", age=said)
    return t.gettext("It cannot be judged: its gateway is not delivering. Last heard %(age)s.", age=said)


def _rounded(span: timedelta) -> timedelta:
    return timedelta(seconds=int(span.total_seconds()))


# --- what is broken now -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Break:
    """One broken link of a site, and how many of its devices lie behind it."""

    key: str
    """uplink_cut, broker_down or parent_down."""
    id: str
    """The gateway, or the device that others hang on."""
    name: str
    said: str
    since: datetime | None
    devices: int
    href: str = ""
    alarm: str | None = None


def breaks_of(
    connection: Connection, site: str, t: Translations, now: datetime, gateways: Sequence[GatewayRow]
) -> list[Break]:
    """The broken links of one site, those with the most devices behind them first."""
    scope = frozenset({site})
    found = store.list_devices(connection, scope, limit=5000)
    alarms = {
        (alarm.device, alarm.rule): alarm.id
        for rule in (UPLINK_CUT, BROKER_DOWN, PARENT_DOWN)  # among a storm's thousands they would not be found
        for alarm in list_alarms(connection, scope, state="active", rule=(BREAKS, rule), limit=500)
    }
    known = {one.id: one for one in gateways}
    behind: dict[tuple[str, str], list[store.Device]] = {}
    for device in found:
        key = _break_of(device, known)
        if key is not None:
            behind.setdefault(key, []).append(device)
    named = {device.id: device for device in found}
    broken = [_break(key, devices, known, named, alarms, t, now) for key, devices in behind.items()]
    return sorted(broken, key=lambda one: (-one.devices, one.key, one.id))


def _break_of(device: store.Device, gateways: Mapping[str, GatewayRow]) -> tuple[str, str] | None:
    latest = device.latest
    if latest.presence != "unknown":
        return None
    if latest.reason in (PresenceReason.UPLINK_CUT, PresenceReason.BROKER_DOWN):
        gateway = latest.gateway or (next(iter(gateways)) if len(gateways) == 1 else "")
        return (latest.reason, gateway) if gateway else None
    if latest.reason == PresenceReason.PARENT_DOWN and device.parent:
        return latest.reason, device.parent
    return None


def _break(
    key: tuple[str, str],
    behind: Sequence[store.Device],
    gateways: Mapping[str, GatewayRow],
    named: Mapping[str, store.Device],
    alarms: Mapping[tuple[str, str], str],
    t: Translations,
    now: datetime,
) -> Break:
    reason, id = key
    if reason == PresenceReason.PARENT_DOWN:
        parent = named.get(id)
        name = parent.name.in_(t.language) if parent else id
        since = min((one.latest.since for one in behind if one.latest.since), default=None)
        said = _why(reason, since, t, now)
        return Break(reason, id, name, said, since, len(behind), f"/devices/{id}", alarms.get((id, reason)))
    gateway = gateways.get(id)
    heard_at, lost_at = (gateway.heard_at, gateway.broker_lost_at) if gateway else (None, None)
    since = heard_at if reason == PresenceReason.UPLINK_CUT else lost_at
    alarm = alarms.get((gateway_device(id), reason))
    name = t.gettext("Gateway %(name)s", name=id)
    return Break(reason, id, name, _why(reason, since, t, now), since, len(behind), "", alarm)


def _why(reason: str, since: datetime | None, t: Translations, now: datetime) -> str:
    span = _span(since, now, t)
    match reason:
        case PresenceReason.UPLINK_CUT:
            return t.gettext("not heard for %(span)s", span=span)
        case PresenceReason.BROKER_DOWN:
            return t.gettext("no session with its broker for %(span)s", span=span)
    return t.gettext("out of reach for %(span)s", span=span)
