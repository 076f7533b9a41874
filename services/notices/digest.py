"""The daily digest: alarms below major, told once a day and together. Pure: what a day brought gives a notice, or none.

A digest of a day has a key, so that it is queued once however often anybody looks; what belongs to it follows from the
stored times alone, so that a restart changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from device_profiles.schema import Severity, Text
from services.maintenance.windows import from_wall
from services.notices.plan import Audience, Notice, Recipient, in_digest, wants
from services.notices.wording import SEVERITIES, clock, line

BELOW_MAJOR = (Severity.MINOR.value, Severity.WARNING.value)
SETTLE = timedelta(minutes=1)
"""What was taken in just before the time of the digest is committed by then."""
MOST_DAYS = timedelta(days=31)
"""A digest goes back no further."""
_SHOWN = 20
_FLAPPERS = 5
_MOST = 200
"""Alarms in the data of a webhook."""


@dataclass(frozen=True)
class Day:
    """From the digest before until this one: (since, until]. More than a day where services were down meanwhile."""

    date: date
    since: datetime
    until: datetime
    is_late: bool = False
    """It begins with a day whose own digest was not sent."""


@dataclass(frozen=True, kw_only=True)
class DigestAlarm:
    """An alarm as a digest lists it; `known_at` is when it was raised and taken in."""

    id: str
    severity: str
    rule_name: Text
    device_name: Text
    known_at: datetime
    cleared_at: datetime | None
    is_suppressed: bool
    """Kept from being raised, and not raised afterwards."""
    flaps: int
    step: int


def day_of(at: str, zone: ZoneInfo, now: datetime) -> Day:
    """The last day whose digest is due; `at` is HH:MM on the clock of the site."""
    wanted = time.fromisoformat(at)
    today = now.astimezone(zone).date()
    due = from_wall(datetime.combine(today, wanted), zone)
    day = today if due + SETTLE <= now else today - timedelta(days=1)
    before = from_wall(datetime.combine(day - timedelta(days=1), wanted), zone)
    return Day(day, before, from_wall(datetime.combine(day, wanted), zone))


def since_last(day: Day, done_until: datetime | None) -> Day | None:
    """A day together with those before it that no digest has told of; None where it has been told already.

    `done_until`: until when the digests of the recipient have gone; None where there was none yet.
    """
    if done_until is None:
        return day
    if done_until >= day.until:
        return None
    since = max(done_until, day.until - MOST_DAYS)
    return replace(day, since=since, is_late=since < day.since)


def key_of(site: str, day: Day, to: Recipient) -> str:
    return f"digest:{site}:{day.date.isoformat()}:{to.id}"


def digest(
    audience: Audience, to: Recipient, day: Day, alarms: Sequence[DigestAlarm], *, public_url: str
) -> Notice | None:
    """None where nothing is new. `alarms`: those that were not over when the day began, or began within it."""
    theirs = [one for one in alarms if _is_theirs(to, one)]
    told = [one for one in theirs if not one.is_suppressed]
    new = [one for one in told if day.since < one.known_at <= day.until]
    if not new:
        return None
    parts = {
        "new": new,
        "still": [one for one in told if one.known_at <= day.since and _was_active(one, day.until)],
        "flapping": sorted((one for one in told if one.flaps), key=lambda one: (-one.flaps, one.id))[:_FLAPPERS],
        "suppressed": [one for one in theirs if one.is_suppressed and one.known_at > day.since],
    }
    links = {"alarms": f"{public_url}/alarms?state=all"}
    data = {
        "kind": "digest",
        "event": "digest",
        "id": audience.site,
        "site": audience.site,
        "date": day.date.isoformat(),
        "at": day.until.isoformat(),
        "since": day.since.isoformat(),
        "links": links,
        **{name: [_as_data(one, public_url) for one in found[:_MOST]] for name, found in parts.items()},
        "counts": {name: len(found) for name, found in parts.items()},
    }
    title, body = _words(audience, to, day, parts, links["alarms"], public_url)
    return Notice(
        key=key_of(audience.site, day, to),
        site=audience.site,
        recipient=to.id,
        channel=to.channel,
        target=to.target,
        subject_kind="digest",
        subject_id=audience.site,
        event="digest",
        title=title,
        body=body,
        data=data,
    )


def _is_theirs(to: Recipient, alarm: DigestAlarm) -> bool:
    return wants(to, "alarm", alarm.severity) and in_digest(to, alarm.severity) and alarm.step >= to.step


def _was_active(alarm: DigestAlarm, at: datetime) -> bool:
    return alarm.cleared_at is None or alarm.cleared_at > at


def _as_data(alarm: DigestAlarm, public_url: str) -> dict[str, object]:
    return {
        "id": alarm.id,
        "severity": alarm.severity,
        "name": {"zh": alarm.rule_name.zh, "en": alarm.rule_name.en},
        "device_name": {"zh": alarm.device_name.zh, "en": alarm.device_name.en},
        "raised_at": alarm.known_at.isoformat(),
        "cleared_at": alarm.cleared_at.isoformat() if alarm.cleared_at else None,
        "flaps": alarm.flaps,
        "link": f"{public_url}/alarms/{alarm.id}",
    }


# --- words ------------------------------------------------------------------------------------------------------------

_HEADS = {
    "new": Text(zh="新告警", en="New"),
    "still": Text(zh="仍未解除", en="Still active"),
    "flapping": Text(zh="反复最多", en="Flapping most"),
    "suppressed": Text(zh="已抑制", en="Suppressed"),
}


def _words(
    audience: Audience, to: Recipient, day: Day, parts: dict[str, list[DigestAlarm]], link: str, public_url: str
) -> tuple[str, str]:
    lang, count = to.language, len(parts["new"])
    still = sum(1 for one in parts["new"] if _was_active(one, day.until)) + len(parts["still"])
    name = audience.name.in_(lang)
    if lang.startswith("zh"):
        title = f"{name} · {day.date.isoformat()} 告警汇总：新 {count} 条，仍未解除 {still} 条"
    else:
        title = f"{name} · alarms until {day.date.isoformat()}: {count} new, {still} still active"
    body = "\n".join(
        _section(part, found, audience.timezone, day, lang, public_url) for part, found in parts.items() if found
    )
    return title[:300], f"{_late(day, audience.timezone, lang)}{body}\n{line('link', link, lang)}"


def _late(day: Day, zone: str, lang: str) -> str:
    """Which days it covers, where these are more than one."""
    if not day.is_late:
        return ""
    since, until = clock(day.since, zone), clock(day.until, zone)
    if lang.startswith("zh"):
        return f"此前的汇总未能按时发送。本次包含 {since} 至 {until} 的告警。\n\n"
    return f"The digests before this one could not be sent in time. It covers {since} to {until}.\n\n"


def _section(part: str, found: list[DigestAlarm], zone: str, day: Day, lang: str, public_url: str) -> str:
    between = "：" if lang.startswith("zh") else ": "
    lines = [f"{_HEADS[part].in_(lang)}{between}{len(found)}"]
    if part != "suppressed":
        lines += [_line(one, part, zone, day, lang, public_url) for one in found[:_SHOWN]]
        lines += ["- …"] if len(found) > _SHOWN else []
    return "\n".join(lines) + "\n"


def _line(one: DigestAlarm, part: str, zone: str, day: Day, lang: str, public_url: str) -> str:
    chinese = lang.startswith("zh")
    if part == "flapping":
        when = f"{one.flaps} 次" if chinese else f"{one.flaps} times"
    elif _was_active(one, day.until) or one.cleared_at is None:
        when = clock(one.known_at, zone)
    else:
        over = clock(one.cleared_at, zone)
        when = (
            f"{clock(one.known_at, zone)}，{over} 解除" if chinese else f"{clock(one.known_at, zone)}, cleared {over}"
        )
    severity = SEVERITIES[one.severity].in_(lang)
    what = f"{one.rule_name.in_(lang)} · {one.device_name.in_(lang)}"
    return f"- [{severity}] {what} · {when}\n  {public_url}/alarms/{one.id}"
