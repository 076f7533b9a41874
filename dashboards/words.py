"""Words of the dashboards in zh and en, and the colours that always come with them. Pure."""

from __future__ import annotations

from typing import NamedTuple

from device_profiles.schema import Text, Tone

LANGUAGES = ("zh", "en")
TONES = {
    Tone.OK: "green",
    Tone.ACTIVE: "blue",
    Tone.IDLE: "#9aa0a6",
    Tone.WARN: "orange",
    Tone.BAD: "red",
    Tone.UNKNOWN: "#5f6368",
}
GREEN, GREY, ORANGE, RED, YELLOW, BLUE = "green", "#5f6368", "orange", "red", "yellow", "blue"


class Look(NamedTuple):
    """How a stored word is shown: colour never without text."""

    text: Text
    colour: str


def _look(zh: str, en: str, colour: str) -> Look:
    return Look(Text(zh=zh, en=en), colour)


PRESENCE = {
    "online": _look("在线", "online", GREEN),
    "stale": _look("滞后", "stale", YELLOW),
    "offline": _look("离线", "offline", RED),
    "unknown": _look("未知", "unknown", GREY),
}
SEVERITY = {
    "critical": _look("紧急", "critical", "dark-red"),
    "major": _look("严重", "major", RED),
    "minor": _look("一般", "minor", ORANGE),
    "warning": _look("提醒", "warning", YELLOW),
}
QUALITY = {
    "late": _look("迟到", "late", YELLOW),
    "historic": _look("补报", "sent as history", BLUE),
    "skewed": _look("时钟偏差", "clock ahead", "purple"),
    "impossible": _look("超出量程", "out of range", RED),
    "suspect": _look("可疑", "suspect", ORANGE),
    "faulty": _look("设备自报故障", "said to be faulty", "dark-red"),
}
SERVICES = {
    "water": _look("供水", "Water", BLUE),
    "charging": _look("充电", "Charging", BLUE),
    "access": _look("门禁", "Access", BLUE),
    "video": _look("监控", "Video", BLUE),
    "parking": _look("停车", "Parking", BLUE),
    "lift": _look("电梯", "Lift", BLUE),
    "heating": _look("供暖", "Heating", BLUE),
    "lighting": _look("照明", "Lighting", BLUE),
}
LOSS = {"full": _look("全部停用", "none left", RED), "degraded": _look("部分受限", "limited", ORANGE)}
TICKET_STATES = {
    "open": _look("待处理", "open", RED),
    "assigned": _look("已派单", "assigned", ORANGE),
    "in_progress": _look("处理中", "in progress", BLUE),
    "verifying": _look("待核验", "verifying", BLUE),
    "closed": _look("已关闭", "closed", GREEN),
    "cancelled": _look("已取消", "cancelled", GREY),
}
PRIORITIES = {
    "P1": _look("P1 立即", "P1 now", RED),
    "P2": _look("P2 今天", "P2 today", ORANGE),
    "P3": _look("P3 近日", "P3 soon", YELLOW),
    "P4": _look("P4 计划", "P4 planned", GREY),
}
TRADES = {
    "electrical": _look("电气", "electrical", BLUE),
    "plumbing": _look("给排水", "plumbing", BLUE),
    "access": _look("门禁", "access", BLUE),
    "network": _look("网络", "network", BLUE),
    "fire": _look("消防", "fire", BLUE),
    "general": _look("综合", "general", BLUE),
}
TRUTH = {"true": _look("是", "yes", GREEN), "false": _look("否", "no", RED)}
FAMILIES = {
    "access_gate": Text(zh="门禁", en="Access gates"),
    "adapter": Text(zh="经平台接入的设备", en="Devices behind platforms"),
    "barrier": Text(zh="车辆道闸", en="Vehicle barriers"),
    "camera": Text(zh="摄像机", en="Cameras"),
    "current_sensor": Text(zh="电流传感器", en="Current sensors"),
    "ebike_charger": Text(zh="电动自行车充电", en="E-bike charging"),
    "energy_meter": Text(zh="电表", en="Energy meters"),
    "environment": Text(zh="环境监测", en="Environment"),
    "ev_charger": Text(zh="汽车充电桩", en="EV chargers"),
    "fire": Text(zh="消防", en="Fire protection"),
    "fire_door": Text(zh="防火门", en="Fire doors"),
    "gas_detector": Text(zh="燃气探测", en="Gas detectors"),
    "heating": Text(zh="供暖", en="Heating"),
    "iot_platform": Text(zh="物联网平台", en="IoT platforms"),
    "leak_sensor": Text(zh="漏水传感器", en="Leak sensors"),
    "level_sensor": Text(zh="液位传感器", en="Level sensors"),
    "lift": Text(zh="电梯", en="Lifts"),
    "lighting": Text(zh="照明", en="Lighting"),
    "nvr": Text(zh="录像机", en="Video recorders"),
    "personal_alarm": Text(zh="呼救按钮", en="Personal alarms"),
    "pressure_sensor": Text(zh="压力传感器", en="Pressure sensors"),
    "pump_controller": Text(zh="水泵控制器", en="Pump controllers"),
    "relay_board": Text(zh="继电器板", en="Relay boards"),
    "socket": Text(zh="智能插座", en="Sockets"),
    "sump_pump": Text(zh="排水泵", en="Sump pumps"),
    "water_meter": Text(zh="水表", en="Water meters"),
    "water_pump": Text(zh="供水泵", en="Water pumps"),
    "water_tank": Text(zh="水箱", en="Water tanks"),
    "weather_station": Text(zh="气象站", en="Weather stations"),
}


def family_name(family: str) -> Text:
    """A family that nobody named is called as its profiles write it."""
    plain = family.replace("_", " ")
    return FAMILIES.get(family) or Text(zh=plain, en=plain.capitalize())
