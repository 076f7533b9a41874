"""The words of notices: the engineer's and the resident's, in zh and en. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from device_profiles.schema import Text

SERVICES: dict[str, Text] = {
    "water": Text(zh="供水", en="Water"),
    "charging": Text(zh="电动自行车充电", en="E-bike charging"),
    "access": Text(zh="门禁", en="Entrance doors"),
    "video": Text(zh="视频监控", en="Video"),
    "parking": Text(zh="停车出入口", en="Parking"),
    "lift": Text(zh="电梯", en="Lift"),
    "heating": Text(zh="供暖", en="Heating"),
    "lighting": Text(zh="公共照明", en="Lighting"),
}
LOSSES: dict[str, Text] = {
    "full": Text(zh="中断", en="interrupted"),
    "degraded": Text(zh="受影响", en="limited"),
}
SEVERITIES: dict[str, Text] = {
    "critical": Text(zh="紧急", en="Critical"),
    "major": Text(zh="严重", en="Major"),
    "minor": Text(zh="一般", en="Minor"),
    "warning": Text(zh="提醒", en="Warning"),
}
EVENTS: dict[str, Text] = {
    "raised": Text(zh="告警", en="Alarm"),
    "cleared": Text(zh="告警解除", en="Alarm cleared"),
    "flapping": Text(zh="告警反复", en="Alarm is flapping"),
    "step": Text(zh="告警无人确认", en="Alarm not acknowledged"),
    "opened": Text(zh="新工单", en="New ticket"),
    "closed": Text(zh="工单完成", en="Ticket closed"),
    "cancelled": Text(zh="工单取消", en="Ticket cancelled"),
    "reopened": Text(zh="工单重开", en="Ticket reopened"),
    "started": Text(zh="通知", en="Notice"),
    "worse": Text(zh="情况加重", en="It got worse"),
    "better": Text(zh="有所恢复", en="It got better"),
    "restored": Text(zh="已恢复", en="Restored"),
}
_LABELS: dict[str, Text] = {
    "where": Text(zh="位置", en="Where"),
    "device": Text(zh="设备", en="Device"),
    "why": Text(zh="原因", en="Why"),
    "since": Text(zh="开始", en="Since"),
    "at": Text(zh="时间", en="At"),
    "due": Text(zh="时限", en="Due"),
    "priority": Text(zh="优先级", en="Priority"),
    "instead": Text(zh="您可以", en="Meanwhile"),
    "households": Text(zh="涉及户数", en="Households"),
    "next_news": Text(zh="下次通报不晚于", en="Next news by"),
    "contact": Text(zh="联系", en="Contact"),
    "link": Text(zh="查看", en="See"),
    "whole_site": Text(zh="整个小区", en="The whole community"),
}


def clock(at: datetime, zone: str) -> str:
    """The site's wall clock, to the minute."""
    return at.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M")


def line(label: str, value: str, language: str) -> str:
    """One "label: value" line; nothing where there is no value."""
    return f"{_LABELS[label].in_(language)}{'：' if language.startswith('zh') else ': '}{value}\n" if value else ""


def flaps(times: int, language: str) -> str:
    """What it means that an alarm flaps, on a line of its own."""
    if language.startswith("zh"):
        return f"短时间内已出现 {times} 次，按一条告警处理；稳定之后才解除。\n"
    return f"It has begun {times} times within a short time. It counts as one alarm, and clears once it stays calm.\n"


def goes_on(language: str) -> str:
    """It had cleared, people were told so, and it was not over; on a line of its own."""
    if language.startswith("zh"):
        return "解除后不久再次出现，仍按同一条告警、同一张工单处理。\n"
    return "It had cleared, and came again soon after: it is the same alarm, with the same ticket.\n"


def unacknowledged(waited: timedelta | None, language: str) -> str:
    """ "Nobody has acknowledged it for 15 minutes.", on a line of its own; nothing where it is not about that."""
    if waited is None:
        return ""
    minutes = max(1, round(waited.total_seconds() / 60))
    hours = minutes // 60 if minutes % 60 == 0 else 0
    if language.startswith("zh"):
        return f"已有{f' {hours} 小时' if hours else f' {minutes} 分钟'}无人确认。\n"
    number, unit = (hours, "hour") if hours else (minutes, "minute")
    return f"Nobody has acknowledged it for {number} {unit}{'' if number == 1 else 's'}.\n"


def service_words(service: str, loss: str, language: str) -> str:
    """ "Water interrupted", "供水中断"."""
    between = "" if language.startswith("zh") else " "
    return f"{SERVICES[service].in_(language)}{between}{LOSSES[loss].in_(language)}"


def places(names: tuple[str, ...], language: str) -> str:
    """Names of buildings and units in a row; the whole site when there are none."""
    if not names:
        return _LABELS["whole_site"].in_(language)
    return ("、" if language.startswith("zh") else ", ").join(names)


def outage_what(service: str, loss: str) -> Text:
    """What residents lose, where no profile's wording fits how bad it has become."""
    return _OUTAGE_WHAT[service, loss]


def outage_restored(service: str) -> Text:
    return Text(zh=f"{SERVICES[service].zh}已恢复正常。", en=f"{SERVICES[service].en}: working normally again.")


_OUTAGE_WHAT: dict[tuple[str, str], Text] = {
    ("water", "full"): Text(zh="暂时停水。", en="There is no water at the moment."),
    ("water", "degraded"): Text(zh="水压可能偏低。", en="Water pressure may be low."),
    ("charging", "full"): Text(zh="电动自行车暂时无法充电。", en="E-bikes cannot be charged at the moment."),
    ("charging", "degraded"): Text(zh="部分充电口暂停使用。", en="Some charging ports are out of use."),
    ("access", "full"): Text(zh="门禁暂时无法使用。", en="The entrance does not work at the moment."),
    ("access", "degraded"): Text(zh="部分门禁暂时无法使用。", en="Some entrances do not work at the moment."),
    ("video", "full"): Text(zh="视频监控暂时中断。", en="Video monitoring is interrupted."),
    ("video", "degraded"): Text(zh="部分摄像机暂时中断。", en="Some cameras are out of use."),
    ("parking", "full"): Text(zh="停车出入口暂时无法使用。", en="The parking entrance does not work at the moment."),
    ("parking", "degraded"): Text(zh="部分停车出入口暂时无法使用。", en="Some parking entrances do not work."),
    ("lift", "full"): Text(zh="电梯暂停使用。", en="The lift is out of use."),
    ("lift", "degraded"): Text(zh="部分电梯暂停使用。", en="Some lifts are out of use."),
    ("heating", "full"): Text(zh="供暖暂时中断。", en="There is no heating at the moment."),
    ("heating", "degraded"): Text(zh="供暖温度可能偏低。", en="Rooms may stay cooler than usual."),
    ("lighting", "full"): Text(zh="公共区域照明暂时中断。", en="The lights in shared areas are out."),
    ("lighting", "degraded"): Text(zh="部分公共照明暂时不亮。", en="Some lights in shared areas are out."),
}
