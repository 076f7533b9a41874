"""Who is told what. Pure: an event and an audience give the notices to queue, each with an idempotency key.

Engineers and crews get alarms and tickets from their least severity on. Residents get outages only, in their words
and their language, and never a device id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from device_profiles.expression import at_most, failed_by, met_by
from device_profiles.schema import Severity, Text
from services.notices.wording import (
    EVENTS,
    SEVERITIES,
    clock,
    flaps,
    goes_on,
    line,
    outage_restored,
    places,
    service_words,
    unacknowledged,
)
from services.outages.impact import parts_touched
from services.tickets.store import Ticket

_RANK = {severity: rank for rank, severity in enumerate(reversed(Severity))}
_SUITS: dict[str, tuple[str, ...]] = {
    "engineers": ("alarm", "ticket", "outage"),
    "crew": ("alarm", "ticket"),
    "residents": ("outage",),
}


@dataclass(frozen=True, kw_only=True)
class Recipient:
    id: str
    audience: str
    channel: str
    target: str
    language: str = "zh"
    about: tuple[str, ...] = ()
    min_severity: str = "warning"
    buildings: tuple[str, ...] = ()
    step: int = 0
    """Told of an alarm once it has gone this many steps up, because nobody acknowledged it."""
    digest: str | None = None
    """HH:MM of the site: alarms below major come once a day, together."""


@dataclass(frozen=True, kw_only=True)
class Audience:
    """One site's recipients, and what their messages need to know of the site."""

    site: str
    name: Text
    timezone: str
    contact: Text
    buildings: Mapping[str, Text] = field(default_factory=dict)
    units: Mapping[tuple[str, str], Text] = field(default_factory=dict)
    """(building, unit) -> what it is called."""
    recipients: tuple[Recipient, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One message to one recipient on one channel, ready for the outbox."""

    key: str
    site: str
    recipient: str
    channel: str
    target: str
    subject_kind: str
    subject_id: str
    event: str
    title: str
    body: str
    data: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class AlarmEvent:
    """`event` is raised, cleared, flapping, step, or worse: more severe than when it was snoozed."""

    id: str
    event: str
    at: datetime
    severity: str
    rule: str
    rule_name: Text
    device: str
    device_name: Text
    place: Text
    child: str
    profile: str
    reason: Mapping[str, Any]
    step: int = 0
    """How many steps up it has gone."""
    unacknowledged: timedelta | None = None
    """Of a step: how long nobody has acknowledged it."""
    worst: str = ""
    """The worst that people were told of it, where it is less severe now: they hear of what follows as well."""
    already: str = ""
    """It was this severe before: who wanted to know of it then has been told."""
    flaps: int = 0
    """How often it has begun, where it flaps."""
    again: int = 0
    """How often it has gone on after it had cleared."""


@dataclass(frozen=True, kw_only=True)
class TicketEvent:
    """`event` is opened, closed, cancelled or reopened."""

    ticket: Ticket
    event: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class OutageEvent:
    """`event` is started, worse, better or restored; `update` is the id of the update that tells it."""

    id: str
    update: str
    event: str
    at: datetime
    service: str
    loss: str
    what: Text
    instead: Text
    buildings: tuple[str, ...]
    units: tuple[str, ...]
    households: int
    started_at: datetime
    next_news_at: datetime | None


def for_alarm(event: AlarmEvent, audience: Audience, *, public_url: str) -> list[Notice]:
    """One notice when it is raised and one when it clears, per recipient who wants alarms this severe."""
    links = {"device": f"{public_url}/devices/{event.device}", "alarm": f"{public_url}/alarms/{event.id}"}
    data = _data("alarm", event.event, event.id, audience.site, event.at, links) | {
        "severity": event.severity,
        "rule": event.rule,
        "name": _both(event.rule_name),
        "device": event.device,
        "device_name": _both(event.device_name),
        "child": event.child,
        "profile": event.profile,
        "reason": dict(event.reason),
        "step": event.step,
        "flaps": event.flaps,
    }
    occasion = {"step": f"step.{event.step}", "worse": f"worse.{event.severity}"}.get(event.event, event.event)
    if event.again and event.event in ("raised", "cleared"):
        occasion = f"{occasion}.{event.again}"
    return [
        _notice(audience, to, "alarm", event.id, event.event, occasion, data, *_alarm_words(event, audience, to, links))
        for to in told_of(event, audience)
    ]


def told_of(event: AlarmEvent, audience: Audience) -> list[Recipient]:
    """Who hears of this at once. A step tells those who stand on it; the end tells everybody who was told before."""
    stepped = event.event == "step"
    return [
        to
        for to in _wanting(audience, "alarm", event.worst or event.severity)
        if (to.step == event.step if stepped else to.step <= event.step)
        and not in_digest(to, event.worst or event.severity)
        and not _was_told(to, event.already)
    ]


def _was_told(to: Recipient, severity: str) -> bool:
    wanted = severity and _RANK[Severity(severity)] >= _RANK[Severity(to.min_severity)]
    return bool(wanted) and not in_digest(to, severity)


def in_digest(to: Recipient, severity: str) -> bool:
    """Whether they hear of such an alarm once a day only."""
    return to.digest is not None and _RANK[Severity(severity)] < _RANK[Severity.MAJOR]


def for_ticket(event: TicketEvent, audience: Audience, *, public_url: str) -> list[Notice]:
    """One notice per turn of the ticket that people elsewhere must know of."""
    ticket = event.ticket
    links = {"ticket": f"{public_url}/tickets/{ticket.id}"}
    data = _data("ticket", event.event, ticket.id, audience.site, event.at, links) | {
        "number": ticket.number,
        "title": _both(ticket.title),
        "trade": ticket.trade,
        "priority": ticket.priority,
        "state": ticket.state,
        "severity": ticket.severity,
        "alarm": ticket.alarm,
        "device": ticket.device,
        "device_name": _both(ticket.device_name) if ticket.device_name else None,
        "child": ticket.child,
        "assignee": ticket.assignee,
        "opened_at": ticket.opened_at.isoformat(),
        "due_at": ticket.due_at.isoformat() if ticket.due_at else None,
        "closed_at": ticket.closed_at.isoformat() if ticket.closed_at else None,
        "steps": [_both(step.text) for step in ticket.steps],
    }
    # A ticket may be closed and reopened again: its version tells those turns apart.
    occasion = f"{event.event}.{ticket.version}"
    return [
        _notice(
            audience, to, "ticket", ticket.id, event.event, occasion, data, *_ticket_words(event, audience, to, links)
        )
        for to in _wanting(audience, "ticket", ticket.severity or Severity.CRITICAL)
    ]


def for_outage(event: OutageEvent, audience: Audience, *, public_url: str) -> list[Notice]:
    """One notice per update, to residents of the buildings it touches and to engineers who want it."""
    links = {"page": f"{public_url}/public/{audience.site}"}
    data = _data("outage", event.event, event.id, audience.site, event.at, links) | {
        "service": event.service,
        "loss": event.loss,
        "what": _both(event.what),
        "instead": _both(event.instead),
        "buildings": list(event.buildings),
        "units": list(event.units),
        "households": event.households,
        "started_at": event.started_at.isoformat(),
        "restored_at": event.at.isoformat() if event.event == "restored" else None,
        "next_news_at": event.next_news_at.isoformat() if event.next_news_at else None,
    }
    return [
        _notice(
            audience,
            to,
            "outage",
            event.id,
            event.event,
            event.update,
            data,
            *_outage_words(event, audience, to, links),
        )
        for to in _wanting(audience, "outage", Severity.CRITICAL)
        if _touches(to, event)
    ]


def _wanting(audience: Audience, kind: str, severity: str) -> Iterable[Recipient]:
    for to in audience.recipients:
        if wants(to, kind, severity):
            yield to


def wants(to: Recipient, kind: str, severity: str) -> bool:
    return may_hear(to, kind) and _RANK[Severity(severity)] >= _RANK[Severity(to.min_severity)]


def may_hear(to: Recipient, kind: str) -> bool:
    """Whether somebody is told of alarms, tickets or outages at all."""
    # Who stands on a later step wants to know what others leave lying, not every ticket that is opened.
    default = ("alarm",) if to.step else _SUITS[to.audience]
    return kind in (to.about or default) and kind in _SUITS[to.audience]


def _touches(to: Recipient, event: OutageEvent) -> bool:
    return not to.buildings or not event.buildings or bool(set(to.buildings) & set(event.buildings))


def _notice(
    audience: Audience,
    to: Recipient,
    kind: str,
    id: str,
    event: str,
    occasion: str,
    data: dict[str, Any],
    title: str,
    body: str,
) -> Notice:
    return Notice(
        key=f"{kind}:{id}:{occasion}:{to.id}",
        site=audience.site,
        recipient=to.id,
        channel=to.channel,
        target=to.target,
        subject_kind=kind,
        subject_id=id,
        event=event,
        title=title[:300],
        body=body,
        data=data,
    )


def _data(kind: str, event: str, id: str, site: str, at: datetime, links: dict[str, str]) -> dict[str, Any]:
    return {"kind": kind, "event": event, "id": id, "site": site, "at": at.isoformat(), "links": links}


def _both(text: Text) -> dict[str, str]:
    return {"zh": text.zh, "en": text.en}


def _alarm_words(event: AlarmEvent, audience: Audience, to: Recipient, links: dict[str, str]) -> tuple[str, str]:
    lang = to.language
    severity = SEVERITIES[event.severity].in_(lang)
    title = (
        f"[{severity}] {EVENTS[event.event].in_(lang)} · {event.rule_name.in_(lang)} · {event.device_name.in_(lang)}"
    )
    since = event.reason.get("since") or ""
    body = (
        unacknowledged(event.unacknowledged, lang)
        + (goes_on(lang) if event.again and event.event == "raised" else "")
        + (flaps(event.flaps, lang) if event.event == "flapping" else "")
        + line("device", _device_words(event.device_name, event.device, event.child, lang), lang)
        + line("where", _where(audience, event.place, lang), lang)
        + line("why", _why(event.reason), lang)
        + line("since", clock(datetime.fromisoformat(since), audience.timezone) if since else "", lang)
        + line("at", clock(event.at, audience.timezone), lang)
        + line("link", links["alarm"], lang)
    )
    return title, body


def _ticket_words(event: TicketEvent, audience: Audience, to: Recipient, links: dict[str, str]) -> tuple[str, str]:
    lang, ticket = to.language, event.ticket
    title = f"{EVENTS[event.event].in_(lang)} #{ticket.number} · {ticket.title.in_(lang)}"
    device = _device_words(ticket.device_name, ticket.device, ticket.child, lang) if ticket.device_name else ""
    body = (
        line("priority", ticket.priority, lang)
        + line("device", device, lang)
        + line("where", _where(audience, ticket.place, lang), lang)
        + line("due", clock(ticket.due_at, audience.timezone) if ticket.due_at else "", lang)
        + "".join(f"- {step.text.in_(lang)}\n" for step in ticket.steps)
        + line("link", links["ticket"], lang)
    )
    return title, body


def _outage_words(event: OutageEvent, audience: Audience, to: Recipient, links: dict[str, str]) -> tuple[str, str]:
    lang = to.language
    parts = parts_touched(event.buildings, event.units)
    names = tuple(_place_name(audience, building, unit, lang) for building, unit in parts)
    over = event.event == "restored"
    restored, limited = outage_restored(event.service).in_(lang), service_words(event.service, event.loss, lang)
    title = f"{audience.name.in_(lang)} · {restored if over else limited}"
    body = (
        f"{event.what.in_(lang)}\n"
        + line("where", places(names, lang), lang)
        + line("since", clock(event.started_at, audience.timezone), lang)
        + ("" if over else line("instead", event.instead.in_(lang), lang))
        + line("next_news", clock(event.next_news_at, audience.timezone) if event.next_news_at else "", lang)
        + line("contact", audience.contact.in_(lang), lang)
        + line("link", links["page"], lang)
    )
    return title, body


def _place_name(audience: Audience, building: str, unit: str | None, lang: str) -> str:
    name = audience.buildings.get(building, Text(zh=building, en=building)).in_(lang)
    if unit is None:
        return name
    return f"{name} {audience.units.get((building, unit), Text(zh=unit, en=unit)).in_(lang)}"


def _device_words(name: Text, device: str | None, child: str, lang: str) -> str:
    return f"{name.in_(lang)} ({device}{' ' + child if child else ''})"


def _where(audience: Audience, place: Text | None, lang: str) -> str:
    return " · ".join(part for part in (audience.name.in_(lang), place.in_(lang) if place else "") if part)


def _why(reason: Mapping[str, Any]) -> str:
    found = dict(reason.get("values") or {})
    # Of what was counted: who it was and who was heard last; how many says the same line, and the page the rest.
    beside = {name for key in found for name in (at_most(key), failed_by(key)) if name in found}
    counted = {key for key in found if met_by(key) in found}
    values = ", ".join(f"{name} = {value}" for name, value in found.items() if name not in beside | counted)
    return f"{reason.get('condition', '')}{f' ({values})' if values else ''}"
