"""Heads of columns and titles of the dashboards that ask PostgreSQL. Pure."""

from __future__ import annotations

from device_profiles.schema import Text

_HEADS = {
    "acknowledged": Text(zh="已确认", en="Acknowledged"),
    "alarms": Text(zh="告警", en="Alarms"),
    "assignee": Text(zh="处理人", en="Assignee"),
    "away": Text(zh="非在线", en="Not online"),
    "behind": Text(zh="进度落后", en="Behind"),
    "building": Text(zh="楼栋", en="Building"),
    "bytes": Text(zh="日志占用", en="Journal"),
    "child": Text(zh="部件", en="Part"),
    "closed": Text(zh="已关闭", en="Closed"),
    "connected": Text(zh="代理已连接", en="Broker session"),
    "critical": Text(zh="紧急", en="Critical"),
    "device": Text(zh="设备", en="Device"),
    "devices": Text(zh="设备数", en="Devices"),
    "due": Text(zh="24 小时内到期", en="Due in 24 hours"),
    "error": Text(zh="最近错误", en="Last error"),
    "full": Text(zh="日志已用", en="Journal used"),
    "gateway": Text(zh="网关", en="Gateway"),
    "heard": Text(zh="最近数据", en="Last heard"),
    "households": Text(zh="户数", en="Households"),
    "in_time": Text(zh="按时关闭", en="In time"),
    "kind": Text(zh="类型", en="Kind"),
    "left": Text(zh="剩余时间", en="Time left"),
    "loss": Text(zh="程度", en="Loss"),
    "median": Text(zh="关闭用时（中位）", en="Middle time to close"),
    "news": Text(zh="下次通报", en="Next news"),
    "nobody": Text(zh="无人处理", en="Of nobody"),
    "offline": Text(zh="离线", en="Offline"),
    "open": Text(zh="未关闭", en="Open"),
    "opened": Text(zh="新开", en="Opened"),
    "outages": Text(zh="停用", en="Outages"),
    "overdue": Text(zh="已超期", en="Overdue"),
    "presence": Text(zh="在线状态", en="Presence"),
    "priority": Text(zh="优先级", en="Priority"),
    "quarantine": Text(zh="隔离报文", en="Quarantined"),
    "rate": Text(zh="每秒报文", en="Messages/s"),
    "service": Text(zh="服务", en="Service"),
    "severity": Text(zh="级别", en="Severity"),
    "shed": Text(zh="已丢弃读数", en="Readings given up"),
    "silent": Text(zh="静默", en="Silent for"),
    "since": Text(zh="开始时间", en="Since"),
    "site": Text(zh="小区", en="Site"),
    "slow": Text(zh="关闭用时（九成）", en="Nine in ten closed within"),
    "stale": Text(zh="滞后", en="Stale"),
    "state": Text(zh="状态", en="State"),
    "ticket": Text(zh="工单", en="Ticket"),
    "tickets": Text(zh="工单", en="Tickets"),
    "trade": Text(zh="工种", en="Trade"),
    "unknown": Text(zh="未知", en="Unknown"),
    "waiting": Text(zh="待转发", en="Waiting"),
    "what": Text(zh="内容", en="What"),
    "where": Text(zh="位置", en="Where"),
}


def heads(language: str) -> dict[str, str]:
    return {name: text.in_(language) for name, text in _HEADS.items()}
