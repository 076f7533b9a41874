"""What a backtest found: counts per rule and device under the old and the new rules, and which episodes differ."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Literal, NamedTuple

from device_profiles.schema import Text
from gateway.reading import Millis
from services.clock import from_millis

_TELLING_SHARE, _TELLING_SECONDS = 0.01, 3.0


class Cancelled(Exception):
    """Raised by whoever is told of the progress and wants no more of it."""


class NoRoom(Exception):
    """A disk that a backtest needs is full."""


class Progress(NamedTuple):
    """How far it is."""

    readings: int
    until: Millis
    """Event time reached."""
    share: float
    """Of the whole stretch, warm-up included: 0 to 1."""
    seconds: float = 0.0
    """That it has taken so far."""

    @property
    def left(self) -> timedelta | None:
        """If the rest is like what was; None while too little was to tell."""
        if self.share < _TELLING_SHARE or self.seconds < _TELLING_SECONDS:
            return None
        return timedelta(seconds=self.seconds * (1 - self.share) / self.share)


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One alarm from raise to clear, as the calm layer left it."""

    device: str
    child: str
    profile: str
    rule: str
    severity: str
    """The highest it reached."""
    raised_at: Millis
    cleared_at: Millis | None
    """None: it goes on at the end."""
    ticket: bool = False
    notices: int = 0
    flaps: int = 0
    suppressed_by: str = ""
    """What kept it from raising to its end; "" where it raised."""
    folded: bool = False
    """It stands under the alarm of a storm."""
    shadow: bool = False
    """Its rule is on trial: it is counted and raises nothing."""
    carried: bool = False
    """It was there when the stretch began: its time counts, its raising does not."""

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.device, self.child, self.profile, self.rule

    def active_millis(self, start: Millis, end: Millis) -> Millis:
        """Of its time, what lies within the stretch."""
        return max(0, min(self.cleared_at or end, end) - max(self.raised_at, start))


class Side(NamedTuple):
    """What was found on one side."""

    episodes: list[Episode]
    outage_notices: int


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Counts of one side."""

    alarms: int = 0
    """Episodes raised within the stretch, those that were folded included."""
    tickets: int = 0
    notices: int = 0
    """To all recipients of the site, about alarms and their tickets."""
    flaps: int = 0
    """Beginnings that flapping alarms have swallowed."""
    active_seconds: float = 0
    suppressed: int = 0
    """Episodes that a cause above or a maintenance window kept from raising, to their end."""
    folded: int = 0
    shadow: int = 0
    """Episodes of rules on trial."""
    going_on: int = 0
    """Still active at the end."""

    def __add__(self, other: Tally) -> Tally:
        return Tally(**{name: value + getattr(other, name) for name, value in asdict(self).items()})


@dataclass(frozen=True, kw_only=True)
class DeviceResult:
    device: str
    name: Text
    old: Tally
    new: Tally
    actual: Tally = Tally()
    """As it really was."""


@dataclass(frozen=True, kw_only=True)
class RuleResult:
    profile: str
    rule: str
    name: Text
    changed: bool
    """The two sides differ in this rule, or in a param that it reads."""
    old: Tally
    new: Tally
    devices: tuple[DeviceResult, ...]
    actual: Tally = Tally()
    """As it really was."""
    more_devices: int = 0
    """That are counted and not listed,"""
    more_differing: int = 0
    """and of these, those that the two sides count differently."""


DifferenceKind = Literal["only_old", "only_new", "moved", "changed"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """An episode that only one side has, one whose times moved, or one that was told otherwise (`changed`)."""

    kind: DifferenceKind
    old: Episode | None
    new: Episode | None

    @property
    def either(self) -> Episode:
        found = self.new or self.old
        assert found is not None, "a difference is of some episode"
        return found


UnlikeKind = Literal["only_actual", "only_replayed", "moved", "changed"]


@dataclass(frozen=True, kw_only=True)
class Unlike:
    """An episode in which the replay of the old rules differs from what really happened, and why, as far as is known:
    codes, see `services.backtest.agreement.REASONS`."""

    kind: UnlikeKind
    actual: Episode | None
    replayed: Episode | None
    why: tuple[str, ...]

    @property
    def either(self) -> Episode:
        found = self.actual or self.replayed
        assert found is not None, "it is of some episode"
        return found


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How the replay of the old rules compares with what really happened. Where the two agree, what a backtest says of
    other rules can be trusted."""

    actual: Tally
    outage_notices: int
    within_seconds: float
    """Times that are off by no more than this count as the same."""
    compared: int
    """Episodes, of either."""
    unlike: tuple[Unlike, ...]
    unexplained: int
    """Of these, how many for no known reason."""
    more: int = 0
    """Unlike ones that are counted and not listed."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """What the figures do not say, or why they may be off. `code` is for programs."""

    code: str
    text: Text


@dataclass(frozen=True, kw_only=True)
class Report:
    """Times are milliseconds, UTC."""

    site: str
    timezone: str
    start: Millis
    end: Millis
    warm_up_from: Millis
    grid_seconds: float
    """Silence, ages and schedules are judged this often: what depends on them may be off by as much."""
    extent: Literal["all", "affected", "rule"]
    """Which rules were judged: all, those that differ with what they suppress, or one."""
    rule: str
    """That one, as "profile/rule", else ""."""
    readings: int
    """Of the devices in question, warm-up included."""
    devices: int
    """Those with a rule in question."""
    silent_devices: int
    """Of these, without any reading."""
    rules: tuple[RuleResult, ...]
    old: Tally
    new: Tally
    differences: tuple[Difference, ...]
    more_differences: int = 0
    """That are not listed; the sums hold them."""
    old_outage_notices: int = 0
    """About outages, to all recipients of the site."""
    new_outage_notices: int = 0
    agreement: Agreement | None = None
    """None where nobody asked for it."""
    notes: tuple[Note, ...] = ()
    misfits: tuple[str, ...] = ()
    """Changes that could not be made, in words; the profile's own rule was judged instead."""
    scan_seconds: float = 0
    engine_seconds: float = 0
    total_seconds: float = 0
    processes: int = 1

    @property
    def readings_per_second(self) -> int:
        return round(self.readings / self.total_seconds) if self.total_seconds else 0

    @property
    def lines(self) -> int:
        """What it holds, whatever it counts."""
        unlike = 0 if self.agreement is None else len(self.agreement.unlike)
        return len(self.differences) + unlike + sum(len(one.devices) for one in self.rules)

    def to_json(self) -> dict[str, Any]:
        """Plain: times as ISO 8601, UTC."""
        plain: dict[str, Any] = _plain(asdict(self))
        for name in ("start", "end", "warm_up_from"):
            plain[name] = _iso(plain[name])
        plain["differences"] = [
            {"kind": one.kind, "old": _episode(one.old), "new": _episode(one.new)} for one in self.differences
        ]
        if self.agreement is not None:
            plain["agreement"]["unlike"] = list(map(_unlike, self.agreement.unlike))
        return plain | {"readings_per_second": self.readings_per_second}


def _plain(part: Any) -> Any:
    if isinstance(part, Text):
        return {"zh": part.zh, "en": part.en}
    if isinstance(part, dict):
        return {name: _plain(one) for name, one in part.items()}
    return [_plain(one) for one in part] if isinstance(part, list | tuple) else part


def _unlike(one: Unlike) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "actual": _episode(one.actual),
        "replayed": _episode(one.replayed),
        "why": list(one.why),
    }


def _episode(episode: Episode | None) -> dict[str, Any] | None:
    if episode is None:
        return None
    times = {"raised_at": _iso(episode.raised_at), "cleared_at": _iso(episode.cleared_at)}
    return asdict(episode) | times


def _iso(at: Millis | None) -> str | None:
    return None if at is None else from_millis(at).isoformat()
