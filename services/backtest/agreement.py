"""The replay of the old rules beside what really happened: what is unlike, and why. Pure.

A backtest is worth as much as it says what was, where that is known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from device_profiles.schema import Rule, Text
from gateway.reading import Millis
from services.backtest.actual import Actual, Record
from services.backtest.compare import differences, tally
from services.backtest.past import Past
from services.backtest.report import Agreement, Difference, Episode, Unlike
from services.calm.names import STORMS
from services.clock import to_millis
from services.presence.breaks import BREAKS
from services.rulebook.diff import compare
from services.rules.book import RuleBook
from services.rules.book_store import Version

REASONS = {
    "book_changed": Text(
        zh="此后规则册改过这条规则或它的参数。",
        en="The rule book has changed this rule, or a param that it may read, since.",
    ),
    "rule_changed": Text(
        zh="当时的条件与现在不同（设备模型或规则册改过）。",
        en="Its condition was another one then: the profile or the rule book has changed since.",
    ),
    "ended_otherwise": Text(
        zh="它不是由条件解除的：规则被停用、试运行或删除，或设备退役。",
        en="Its condition did not end it: its rule was switched off, put on trial or taken away, or its device left.",
    ),
    "before": Text(
        zh="它在这段时间之前就已开始；更早的读数没有回放。",
        en="It had begun before this time, and what came earlier is not replayed.",
    ),
    "gap": Text(
        zh="其间网关失联或服务没有收到它的消息。",
        en="A gateway was cut off in it, or services did not hear of it until later.",
    ),
    "silence": Text(
        zh="它按沉默判断，而设备自报的在线状态和不带数值的消息没有存入历史。",
        en="It is judged by silence, and what devices say about their own session, or without any value, is not kept.",
    ),
    "no_readings": Text(zh="这段时间没有该设备的读数。", en="There is no reading of this device in this time."),
    "late_data": Text(
        zh="当时有迟到的数据。",
        en="Readings came late then: they judge nothing, and which of them were late is stored roughly.",
    ),
    "decisions_gone": Text(
        zh="当时的决定（确认、暂停）已过保留期（COURTYARD_DECISION_DAYS）。",
        en="What was decided and said about it has been forgotten since (COURTYARD_DECISION_DAYS).",
    ),
    "notices_gone": Text(
        zh="当时的通知已不在：已过保留期（COURTYARD_NOTICE_DAYS），或接收人是后来才加的。",
        en="There are no notices of then: they have been forgotten since (COURTYARD_NOTICE_DAYS), or recipients were "
        "added later.",
    ),
    "storm": Text(
        zh="它属于一场风暴，取决于同时的其他告警。",
        en="It belongs to a storm, which depends on all the others of that time.",
    ),
}
"""Code -> what it says to people."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What may explain it."""

    past: Past
    rules: Mapping[tuple[str, str], Rule]
    by_silence: Collection[tuple[str, str]]
    """(profile, rule) of those that ask how long something was not heard."""
    reach: Mapping[tuple[str, str], Millis]
    """How long rules still feel what happened; those that are not in it: for a while."""
    quiet: Collection[str]
    """Devices without any reading."""
    late: Mapping[str, Sequence[Millis]]
    """Device -> when readings of it were measured that came late."""
    gateways: Mapping[str, str]
    """Device -> its gateway."""
    versions: Sequence[Version]
    """Of the rule book, the oldest first, version 0 not among them."""
    notices_since: datetime | None
    """The oldest that there is."""


def agreement_of(
    actual: Actual, replayed: Sequence[Episode], known: Known, start: Millis, end: Millis, within: Millis
) -> Agreement:
    """`actual` holds the rules that were replayed, and no others."""
    records = {id(one.episode): one for one in actual.records}
    episodes = [one.episode for one in actual.records]
    found = differences(episodes, replayed, end, within=within)
    reasons = _Reasons(known, start, end, within)
    unlike = tuple(_unlike(one, reasons, records) for one in found)
    return Agreement(
        actual=tally(episodes, start, end),
        outage_notices=actual.outage_notices,
        within_seconds=within / 1000,
        compared=len({id(one) for one in episodes}) + sum(1 for one in found if one.kind == "only_new"),
        unlike=unlike,
        unexplained=sum(1 for one in unlike if not one.why),
    )


def _unlike(one: Difference, reasons: _Reasons, records: Mapping[int, Record]) -> Unlike:
    kind = {"only_old": "only_actual", "only_new": "only_replayed"}.get(one.kind, one.kind)
    record = None if one.old is None else records.get(id(one.old))
    why = tuple(dict.fromkeys(reasons.of(one, record)))
    return Unlike(kind=kind, actual=one.old, replayed=one.new, why=why)  # type: ignore[arg-type]


class _Reasons:
    def __init__(self, known: Known, start: Millis, end: Millis, within: Millis) -> None:
        self._known = known
        self._start, self._end = start, end
        # What is shorter moves nothing that is compared.
        self._gaps = [one for one in known.past.gaps if one.ends - one.begins > within]

    def of(self, one: Difference, record: Record | None) -> Iterator[str]:
        """Those that may explain a difference, the likeliest first."""
        some = [episode for episode in (one.old, one.new) if episode is not None]
        known, key = self._known, (one.either.profile, one.either.rule)
        begins, ends = min(each.raised_at for each in some), max(each.cleared_at or self._end for each in some)
        if record is not None and record.ended_because:
            yield "ended_otherwise"
        rule = known.rules.get(key)
        if record is not None and rule is not None and record.condition and record.condition != rule.when:
            yield "rule_changed"
        if self._book_changed(one.either, begins):
            yield "book_changed"
        yield from self._readings(one, key, begins, ends)
        if record is not None and not record.decided:
            yield "decisions_gone"
        if one.kind == "changed" or one.either.profile == STORMS:
            yield from self._told(one, begins)

    def _readings(self, one: Difference, key: tuple[str, str], begins: Millis, ends: Millis) -> Iterator[str]:
        known, device = self._known, one.either.device
        if any(each is not None and each.carried for each in (one.old, one.new)):
            yield "before"
        if device in known.quiet:
            yield "no_readings"
        where = self._gap(one, key, begins, ends)
        if where == "at it":
            yield "gap"
        if any(begins - _AROUND <= at <= ends for at in known.late.get(device, ())):
            yield "late_data"
        if one.kind != "changed" and (key in known.by_silence or one.either.profile == BREAKS):
            yield "silence"
        if where == "in it":
            yield "gap"

    def _gap(self, one: Difference, key: tuple[str, str], begins: Millis, ends: Millis) -> str:
        """A gap is felt "at it", where the two begin to differ, or somewhere else "in it"; "" where there is none."""
        gateway = self._known.gateways.get(one.either.device)
        felt = [
            (gap.begins, gap.ends + min(gap.ends - gap.begins, _HANDED_OVER) + self._known.reach.get(key, _A_WHILE))
            for gap in self._gaps
            if gateway is None or gap.gateway == gateway
        ]
        apart = _apart(one, self._end)
        if any(since <= at <= until for since, until in felt for at in apart):
            return "at it"
        return "in it" if any(since <= ends and until >= begins for since, until in felt) else ""

    def _told(self, one: Difference, begins: Millis) -> Iterator[str]:
        since = self._known.notices_since
        if since is None or begins < to_millis(since):
            yield "notices_gone"
        some = [each for each in (one.old, one.new) if each is not None]
        if any(each.folded or each.profile == STORMS for each in some):
            yield "storm"

    def _book_changed(self, episode: Episode, begins: Millis) -> bool:
        """Since then, in what concerns this rule on this device."""
        versions = self._known.versions
        then = [one for one in versions if one.at is not None and to_millis(one.at) <= begins]
        if len(then) == len(versions):
            return False
        before = then[-1].book if then else RuleBook()
        return any(
            one.rule == episode.rule or not one.rule
            for one in compare(before, versions[-1].book)
            if one.profile in ("", episode.profile) and one.device in ("", episode.device)
        )


def _apart(one: Difference, end: Millis) -> list[Millis]:
    """The moments at which the two are not alike: all there are, where there is one of them only."""
    times = [{each.raised_at, each.cleared_at or end} for each in (one.old, one.new) if each is not None]
    return sorted(times[0] if len(times) == 1 else times[0] ^ times[1])


_HANDED_OVER: Millis = 15 * 60_000
"""A gateway that comes back hands over what it has collected: within as long as it took, and this at most."""
_A_WHILE: Millis = 15 * 60_000
_AROUND: Millis = 60 * 60_000
