"""What a history cannot say, said beside the figures."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from device_profiles.schema import Text
from services.backtest.lanes import Focus, Lanes
from services.backtest.past import Past
from services.backtest.report import Note
from services.rules.compiled import CompiledRule, Source

_NAMED = 10

_RAW = Note(
    code="raw_only",
    text=Text(
        zh="只回放原始读数；5 分钟和 1 小时汇总无法回放。原始读数已过保存期的时间没有结果。",
        en="Only readings as measured are replayed; means of 5 minutes and of an hour cannot be. Time whose readings "
        "have gone with their retention gives nothing.",
    ),
)
_GATEWAY = Note(
    code="gateway_unknown",
    text=Text(
        zh="这段时间没有网关失联的记录；早于该记录开始的失联只能当作设备自身沉默。",
        en="No gap of a gateway is on record in this time. One of before such records began counts as the devices' own "
        "silence.",
    ),
)
_PEOPLE = Note(
    code="people_as_they_were",
    text=Text(
        zh="确认和暂停取自当时的记录：在同一时刻，只要该规则上有告警，两边都照样计入。维护时段也是当时的。",
        en="Acknowledgements and snoozes are those that people really made, on either side where an alarm of that rule "
        "stands at that moment; maintenance windows are those that were open then.",
    ),
)
_STORED = Note(
    code="stored_roughly",
    text=Text(
        zh="InfluxDB 不保存 5 秒以内的到达延迟。",
        en="InfluxDB keeps no delay of under 5 s between measuring and hearing.",
    ),
)
_IMPOSSIBLE = Note(
    code="impossible_left_out",
    text=Text(
        zh="被判为不可能的数值不入库，只当作没有测到。",
        en="Values that were called impossible are not stored, and count as not measured.",
    ),
)
_AFFECTED = Note(
    code="affected_only",
    text=Text(
        zh="只重算有改动的规则，以及与它们有抑制关系的规则；其余规则两边相同，不在表内。",
        en="Only rules that differ were judged, with those that they suppress or that suppress them; all others are "
        "the same on both sides and not in the table.",
    ),
)
_PRESENCE = Note(
    code="presence_by_silence",
    text=Text(
        zh="设备自报的上线、离线没有存入历史，在线状态只按沉默时间判断；不带数值的消息也没有留下记录。",
        en="What devices said about their own session is not in the history, nor are messages without values: "
        "presence is judged by silence alone.",
    ),
)


def notes_of(
    lanes: Lanes,
    focus: Focus,
    quiet: Collection[str],
    readings: int,
    seen: Mapping[str, Collection[str]],
    past: Past,
    *,
    influx: bool,
) -> tuple[Note, ...]:
    """`quiet`: devices in question without any reading; `seen`: device -> the values of which it has any; `influx`:
    the readings came from InfluxDB."""
    return (*_notes(lanes, focus, quiet, readings, seen, influx=influx), *_of_past(lanes, past))


def _notes(
    lanes: Lanes,
    focus: Focus,
    quiet: Collection[str],
    readings: int,
    seen: Mapping[str, Collection[str]],
    *,
    influx: bool,
) -> Iterator[Note]:
    rules = _compiled(lanes)
    if not lanes.judged:
        yield _of("nothing_differs", "没有规则有差别，无可回放。", "No rule differs: there is nothing to replay.")
    elif not readings:
        yield _of(
            "no_history",
            "这段时间没有任何读数：请选择更近的时间，或检查时序库。",
            "There is not one reading in this time: choose a later one, or look at the time series "
            "(courtyard telemetry status).",
        )
    elif quiet:
        some = ", ".join(sorted(quiet)[:_NAMED]) + (" …" if len(quiet) > _NAMED else "")
        yield _of(
            "silent_devices",
            f"{len(quiet)} 台设备在这段时间没有读数，不作判断：{some}",
            f"{'1 device has' if len(quiet) == 1 else f'{len(quiet)} devices have'} no reading in this time and"
            f" {'is' if len(quiet) == 1 else 'are'} not judged: {some}",
        )
    yield _RAW
    if readings:
        yield _IMPOSSIBLE
    if readings and influx:
        yield _STORED
    if focus.extent == "affected" and focus.rule is None:
        yield _AFFECTED
    if any(read.source in (Source.PRESENCE, Source.SILENCE) for rule in rules for read in rule.reads):
        yield _PRESENCE
    if readings and (missing := _without_history(lanes, seen)):
        listed = "; ".join(missing[:_NAMED]) + (" …" if len(missing) > _NAMED else "")
        yield _of(
            "values_missing",
            f"以下规则读取的数值在这段历史里一次也没有出现，因此无法判断：{listed}",
            f"These rules read values of which there is not one in this time, so that they cannot be judged: {listed}",
        )


def _of_past(lanes: Lanes, past: Past) -> Iterator[Note]:
    yield _PEOPLE
    if past.gaps:
        yield _gaps(len(past.gaps), sum(gap.ends - gap.begins for gap in past.gaps) / 60_000)
    else:
        yield _GATEWAY
    missing = sorted(lanes.moments - {one.event for one in past.events})
    if missing:
        listed = ", ".join(missing[:_NAMED])
        yield _of(
            "events_missing",
            f"这段时间没有这些事件的记录（可能已过保留期 COURTYARD_EVENT_DAYS）：{listed}",
            f"There is none of these events on record in this time; they may have been forgotten "
            f"(COURTYARD_EVENT_DAYS): {listed}",
        )
    if past.left_out:
        yield _of(
            "events_left_out",
            f"事件太多，最早的 {past.left_out} 条没有回放：请选择更短的时间。",
            f"There are too many events; the {past.left_out} oldest are not replayed. Choose a shorter time.",
        )


def _gaps(count: int, minutes: float) -> Note:
    hours = f"{minutes / 60:.1f}"
    zh, en = (
        (f"共 {hours} 小时", f"{hours} hours") if minutes >= 60 else (f"共 {minutes:.0f} 分钟", f"{minutes:.0f} min")
    )
    if minutes < 1:
        zh, en = "不到 1 分钟", "under a minute"
    said = "1 gap of a gateway is on record" if count == 1 else f"{count} gaps of gateways are on record"
    return _of(
        "gaps_replayed",
        f"记录到 {count} 次网关失联（{zh}），其间时间不走，与当时一样。",
        f"{said} ({en}); no time passes in {'it' if count == 1 else 'them'}.",
    )


def _without_history(lanes: Lanes, seen: Mapping[str, Collection[str]]) -> list[str]:
    """ "profile/rule: value" where no device that was heard has any such value."""
    judged = [
        (id, one.state.profile_id, rule)
        for id, some in lanes.judged.items()
        if id in seen
        for one in some
        if one.state.profile is not None
        for rule in one.state.profile.rules.values()
    ]
    read = {
        (profile, rule.rule.id, name.key): False
        for _, profile, rule in judged
        for name in (*rule.reads, *(one for look in rule.watched for one in look.reads))
        if name.source is Source.OWN
    }
    for id, profile, rule in judged:
        for name in seen[id]:
            if (profile, rule.rule.id, name) in read:
                read[profile, rule.rule.id, name] = True
    return sorted(f"{profile}/{rule}: {name}" for (profile, rule, name), found in read.items() if not found)


def _compiled(lanes: Lanes) -> list[CompiledRule]:
    profiles = {id(one.state.profile): one.state.profile for some in lanes.judged.values() for one in some}
    return [rule for profile in profiles.values() if profile is not None for rule in profile.rules.values()]


def _of(code: str, zh: str, en: str) -> Note:
    return Note(code=code, text=Text(zh=zh, en=en))
