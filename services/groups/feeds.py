"""Where is the break: what several devices are fed by (a distribution board, a switch) has an alarm of its own when
nothing is heard of any of them. The rules are built in, so that a site file only says who hangs on what.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import NamedTuple

from services.sites.model import Feed, SiteRule

FEED_DOWN = "feed_down"
"""The rule's id; it explains what is judged by silence behind the feed."""
_QUIET = "presence in (stale, offline)"
"""Late is enough where all are: so that the feed has its alarm before each of them has one of its own."""
_WORDS = {
    "power": {
        "name": {"zh": "同一供电回路的设备全部失联", "en": "Nothing heard from what it powers"},
        "title": {"zh": "恢复供电回路", "en": "Bring the power back"},
        "trade": "electrical",
        "steps": [
            {"zh": "看回路开关是否跳闸。", "en": "See whether its breaker has tripped."},
            {"zh": "在设备处确认有电。", "en": "See at one of the devices whether it has power."},
        ],
    },
    "network": {
        "name": {"zh": "同一网段的设备全部失联", "en": "Nothing heard from what it connects"},
        "title": {"zh": "恢复网段通信", "en": "Bring the connection back"},
        "trade": "network",
        "steps": [
            {"zh": "看交换机或集中器的指示灯。", "en": "See the lights of the switch or concentrator."},
            {"zh": "检查上联的网线或光纤。", "en": "Check its cable or fibre."},
        ],
    },
}


class OfFeeds(NamedTuple):
    """A built-in rule, and the ids of the feeds for which it is judged: a device may have one of each kind."""

    rule: SiteRule
    feeds: frozenset[str]


def rules_of(feeds: Iterable[Feed], telling: Container[str]) -> Iterator[OfFeeds]:
    """One for each kind of feed that a site has. A single device says nothing of its feed.

    `telling`: the devices whose silence says something.
    """
    by_kind: dict[str, list[Feed]] = {}
    for feed in feeds:
        by_kind.setdefault(feed.kind, []).append(feed)
    for kind, some in by_kind.items():
        devices = [id for feed in some for id in feed.devices if id in telling]
        if devices:
            yield OfFeeds(_rule(kind, devices), frozenset(feed.id for feed in some))


def _rule(kind: str, devices: list[str]) -> SiteRule:
    words = _WORDS[kind]
    return SiteRule.model_validate(
        {
            "id": FEED_DOWN,
            "name": words["name"],
            "of": {"devices": list(dict.fromkeys(devices))},
            "per": "feed",
            "when": f"share(device, {_QUIET}) >= 100 % and number(device, {_QUIET}) >= 2",
            "for": "30s",
            "clear": {"for": "0s"},
            "severity": "major",
            "source": {"kind": "judgement", "ref": "courtyard"},
            "ticket": {key: words[key] for key in ("title", "trade", "steps")} | {"priority": "P2", "due": "8h"},
        }
    )
