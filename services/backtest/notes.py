"""What a history cannot say, said beside the figures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from device_profiles.schema import Rule, Text
from services.backtest.report import Note

_GATEWAY = Note(
    code="gateway_unknown",
    text=Text(
        zh="历史里看不出网关是否曾失联：没有读数的时间一律按设备自身沉默来判断。",
        en="History does not tell whether the gateway itself was cut off: time without readings counts as the "
        "device's own silence.",
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
_RAW = Note(
    code="raw_only",
    text=Text(
        zh="只回放原始读数；5 分钟和 1 小时汇总无法回放。原始读数已过保存期的时间没有结果。",
        en="Only readings as measured are replayed; means of 5 minutes and of an hour cannot be. Time whose readings "
        "have gone with their retention gives nothing.",
    ),
)


def notes_of(rules: Mapping[tuple[str, str], Rule]) -> tuple[Note, ...]:
    return tuple(_notes(rules))


def _notes(rules: Mapping[tuple[str, str], Rule]) -> Iterator[Note]:
    yield _RAW
    yield _GATEWAY
    if any(re.search(r"\b(presence|silence)\b", rule.when) for rule in rules.values()):
        yield _PRESENCE
