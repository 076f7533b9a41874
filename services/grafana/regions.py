"""What of the life of a site is drawn over curves: alarm episodes, outages, and work on tickets. Pure.

Each is one region annotation of Grafana's own, found again by the one tag `courtyard:<kind>-<id>`. Exactly one tag may
have the key `courtyard`: Grafana counts the tags that fit, and with two it would find neither. No tag may have a second
colon: Grafana keeps a key and a value, and drops what follows without a word.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.clock import to_millis

KEY = "courtyard"
AHEAD = timedelta(days=1)
"""An annotation that goes on ends that far ahead, and is prolonged in time: it is then found by whoever looks at now,
and if Courtyard dies it does not claim for ever that something is wrong."""


@dataclass(frozen=True)
class Region:
    key: str
    """courtyard:alarm-<id>, courtyard:outage-<id>, courtyard:ticket-<id>"""
    begins: datetime
    ends: datetime | None
    """None: it goes on."""
    tags: tuple[str, ...]
    text: str

    def body(self, now: datetime) -> dict[str, Any]:
        """What POST and PATCH /api/annotations take."""
        end = self.ends or now + AHEAD
        begins = to_millis(self.begins)
        tags = [self.key, *self.tags]
        return {"time": begins, "timeEnd": max(begins, to_millis(end)), "tags": tags, "text": self.text}


@dataclass(frozen=True)
class Write:
    """`id` None: a new annotation; `body` None: it is to go."""

    id: int | None
    body: Mapping[str, Any] | None


def key_of(annotation: Mapping[str, Any]) -> str:
    """Empty: it is not one of ours."""
    return next((tag for tag in annotation.get("tags") or [] if tag.startswith(f"{KEY}:")), "")


def decide(regions: Iterable[Region], shown: Sequence[Mapping[str, Any]], now: datetime) -> list[Write]:
    """What makes the annotations `shown` those of `regions`. Others are left alone, twins of ours go."""
    by_key: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for annotation in shown:
        by_key[key_of(annotation)].append(annotation)
    writes: list[Write] = []
    for region in regions:
        first, *twins = sorted(by_key.get(region.key, []), key=lambda one: int(one["id"])) or [{}]
        body = region.body(now)
        if not first:
            writes.append(Write(None, body))
        elif not _is(first, region, body, now):
            writes.append(Write(int(first["id"]), body))
        writes += [Write(int(twin["id"]), None) for twin in twins]
    return writes


def _is(there: Mapping[str, Any], region: Region, body: Mapping[str, Any], now: datetime) -> bool:
    if region.ends is None:
        lasts = to_millis(now + AHEAD / 2) <= there["timeEnd"] <= to_millis(now + AHEAD * 2)
    else:
        lasts = there["timeEnd"] == body["timeEnd"]
    return (
        lasts
        and there["time"] == body["time"]
        and there["text"] == body["text"]
        and set(there["tags"]) == set(body["tags"])
    )
