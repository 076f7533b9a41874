"""When a device is unwell, and what follows: rules, tickets, what residents are told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from pydantic import Field

from device_profiles.schema.base import Duration, Identifier, Part, Priority, Severity, Text
from device_profiles.schema.commands import Order


class Source(Part):
    kind: Literal["standard", "vendor", "judgement"]
    ref: str = ""


class Clear(Part):
    when: str | None = None
    """None: the opposite of the rule's condition."""
    for_: Duration = Field(timedelta(0), alias="for")


class RuleTest(Part):
    """`given` steps set values and hold them; `expect` is what the rule says at the end."""

    given: tuple[dict[str, Any], ...]
    expect: Literal["raised", "quiet", "cleared"]


class Rule(Part):
    """When an alarm is raised. Expressions are the closed grammar; besides metrics, states and params they know
    `presence` (online, stale, offline, unknown) and `silence` (seconds since the device was last heard)."""

    id: Identifier
    name: Text
    scope: Identifier | None = None
    when: str
    for_: Duration = Field(timedelta(0), alias="for")
    clear: Clear = Clear()
    severity: Severity
    needs: Literal["good", "any"] = "good"
    source: Source
    ticket: Identifier | None = None
    residents: Identifier | None = None
    order: Order | None = None
    """The command that the alarm sends when it is raised. How it fares is seen as `<command>_command` in rules:
    queued, sent, acknowledged, done, failed or expired."""
    tests: tuple[RuleTest, ...] = ()


class TicketTemplate(Part):
    """The maintenance need that an alarm opens."""

    title: Text
    trade: Literal["electrical", "plumbing", "access", "network", "fire", "general"]
    priority: Priority
    due: Duration
    steps: tuple[Text, ...] = ()


class ResidentWording(Part):
    """What residents lose, in their words: no device ids, no jargon."""

    service: Literal["water", "charging", "access", "video", "parking", "lift", "heating", "lighting"]
    loss: Literal["full", "degraded"] = "full"
    what: Text
    instead: Text | None = None
    """What they can do meanwhile."""
    restored: Text | None = None
    next_news: Duration = timedelta(hours=2)
    """When the next news is promised."""
