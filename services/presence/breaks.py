"""One alarm and one ticket per broken link: a silent gateway, a gateway without its broker, a parent that is gone.

The rules are built in, because gateways have no profile and because nobody should have to write them. What lies behind
a break is unknown, so the rules of its devices raise nothing; this says instead where to go.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

from device_profiles.schema import DeviceProfile, Text
from gateway.presence import PresenceReason, is_down
from gateway.reading import Millis, Value
from services.clock import to_millis
from services.presence.branches import blocked
from services.rules.automaton import Outcome
from services.rules.compiled import CompiledProfile, CompiledRule, Source, compile_profile
from services.rules.engine import Firing
from services.rules.state import DeviceState, Evidence

BREAKS = "courtyard_breaks"
"""The profile of these alarms."""
UPLINK_CUT, BROKER_DOWN, PARENT_DOWN = "uplink_cut", "broker_down", "parent_down"
SPARE_SILENT = "spare_silent"
"""A gateway is not heard, and another one hears its devices: nothing is out of sight, and nothing is spare any more."""
_BEHIND = frozenset({PresenceReason.UPLINK_CUT, PresenceReason.BROKER_DOWN})

Key = tuple[str, str]
"""(device, rule); the device is the parent, or what `gateways.gateway_device` calls a gateway."""


def break_profile(alarm_after: float) -> DeviceProfile:
    """The built-in rules, in the words of a profile; `alarm_after` seconds before a break is an alarm."""
    return DeviceProfile.model_validate(
        {
            "profile": BREAKS,
            "family": "network",
            "name": {"zh": "通信链路", "en": "Links"},
            "states": _STATES,
            "availability": {"period": "1m"},
            "bindings": [],
            "rules": [_rule(id, name, when, alarm_after) for id, (name, when) in _RULES.items()],
            "tickets": _TICKETS,
        }
    )


def _words(zh: str, en: str) -> dict[str, str]:
    return {"zh": zh, "en": en}


_STATES = {
    "broker": {
        "name": _words("网关与 MQTT 代理", "Gateway and MQTT broker"),
        "values": {
            "connected": {**_words("已连接", "connected"), "tone": "ok"},
            "lost": {**_words("已断开", "no session"), "tone": "bad"},
        },
    },
    "behind": {
        "name": _words("其下设备", "What hangs on it"),
        "values": {
            "heard": {**_words("有消息", "heard"), "tone": "ok"},
            "silent": {**_words("全部无消息", "not heard"), "tone": "bad"},
        },
    },
}
_RULES = {
    UPLINK_CUT: (_words("网关失联", "Gateway not heard"), "silence >= {seconds:g}"),
    BROKER_DOWN: (_words("网关与 MQTT 代理断开", "Gateway without its broker"), "broker == lost"),
    PARENT_DOWN: (_words("上级设备失联", "Nothing heard from it or behind it"), "behind == silent"),
    SPARE_SILENT: (_words("备用网关失联", "Spare gateway not heard"), "silence >= {seconds:g}"),
}
_SEVERITY = {SPARE_SILENT: "minor"}
_TICKETS = {
    UPLINK_CUT: {
        "title": _words("恢复网关通信", "Bring the gateway back"),
        "trade": "network",
        "priority": "P1",
        "due": "2h",
        "steps": [
            _words("看网关指示灯，确认有电。", "See the gateway's lights: has it power?"),
            _words("检查网线或 4G 信号，重启路由器。", "Check cable or 4G signal; restart the router."),
            _words("运行 courtyard doctor 看原因。", "Run courtyard doctor on it for the reason."),
        ],
    },
    BROKER_DOWN: {
        "title": _words("恢复 MQTT 代理", "Bring the MQTT broker back"),
        "trade": "network",
        "priority": "P1",
        "due": "2h",
        "steps": [
            _words("确认 MQTT 代理在运行。", "See that the MQTT broker runs."),
            _words("检查地址、口令与防火墙。", "Check its address, password and firewall."),
        ],
    },
    SPARE_SILENT: {
        "title": _words("恢复备用网关", "Bring the spare gateway back"),
        "trade": "network",
        "priority": "P3",
        "due": "24h",
        "steps": [
            _words("看网关指示灯，确认有电、有网。", "See the gateway's lights: has it power and a network?"),
            _words(
                "如已永久拆除：在“运行状况”页上移除它。",
                "If it was taken down for good: forget it, on the page How Courtyard fares.",
            ),
        ],
    },
    PARENT_DOWN: {
        "title": _words("恢复上级设备通信", "Bring back what the devices hang on"),
        "trade": "network",
        "priority": "P2",
        "due": "8h",
        "steps": [
            _words("到现场看它有没有电。", "See on site whether it has power."),
            _words("检查它的网线、总线与天线。", "Check its cable, bus and antenna."),
        ],
    },
}


def _rule(id: str, name: dict[str, str], when: str, alarm_after: float) -> dict[str, object]:
    return {
        "id": id,
        "name": name,
        "when": when.format(seconds=alarm_after),
        "for": "0s" if "silence" in when else f"{alarm_after:g}s",
        "severity": _SEVERITY.get(id, "major"),
        "source": {"kind": "judgement", "ref": "courtyard"},
        "ticket": id,
    }


# --- the decision -------------------------------------------------------------------------------------------------


class GatewaySeen(NamedTuple):
    """What services know of one gateway."""

    id: str
    heard_at: datetime
    """A start of services counts as hearing it, so that a restart condemns nobody."""
    spoke_at: datetime | None
    """When it was really heard, since services started."""
    connected: bool
    broker_lost_at: datetime | None


class Verdict(NamedTuple):
    """`broken` None: it cannot be told, so an alarm stays as it is."""

    broken: bool | None
    since: Millis
    values: Mapping[str, Value]


class Limits(NamedTuple):
    silent_after: timedelta
    """A gateway's devices are unknown after this without a word."""
    alarm_after: timedelta


def judge_gateway(seen: GatewaySeen, now: datetime, limits: Limits) -> dict[str, Verdict]:
    """Rule -> verdict. Whether it has its broker cannot be told of a gateway that is not heard."""
    silence = now - seen.heard_at
    silent: bool | None = None
    if silence >= max(limits.alarm_after, limits.silent_after):
        silent = True
    elif seen.spoke_at is not None and silence <= limits.silent_after:
        silent = False
    lost_at = seen.broker_lost_at
    lost: bool | None = None
    if seen.spoke_at is not None and silence <= limits.silent_after:
        if seen.connected:
            lost = False
        elif lost_at is not None and now - lost_at >= limits.alarm_after:
            lost = True
    return {
        UPLINK_CUT: Verdict(silent, to_millis(seen.heard_at), {"silence": round(silence.total_seconds(), 1)}),
        BROKER_DOWN: Verdict(lost, to_millis(lost_at or now), {"broker": "lost" if lost else "connected"}),
    }


class Standing(Enum):
    """What the silence of a gateway means, by who else serves its site."""

    ALONE = "alone"  # devices are out of sight behind it, or it is the only one
    SPARE = "spare"  # another one is heard, and hears the devices
    MOOT = "moot"  # another one hears the devices, or did: it is cut off itself, and that is told already


def as_standing(
    verdicts: Mapping[str, Verdict], standing: Standing, alarms: Collection[str]
) -> Iterator[tuple[str, Verdict]]:
    """The verdicts on one gateway, with the rule that fits. What is an alarm already (`alarms`) stays the one it is,
    until the gateway is heard: nobody is told of one silence twice."""
    uplink, broker = verdicts[UPLINK_CUT], verdicts[BROKER_DOWN]
    is_alarm = UPLINK_CUT in alarms or SPARE_SILENT in alarms
    fits = {Standing.ALONE: UPLINK_CUT, Standing.SPARE: SPARE_SILENT, Standing.MOOT: ""}[standing]
    for rule in (UPLINK_CUT, SPARE_SILENT):
        says = not uplink.broken or (rule in alarms if is_alarm else rule == fits)
        yield rule, uplink if says else uplink._replace(broken=None)
    held = broker.broken and standing is Standing.MOOT and BROKER_DOWN not in alarms
    yield BROKER_DOWN, broker._replace(broken=None) if held else broker


def judge_parent(parent: DeviceState, below: list[DeviceState], progress: Millis | None, limits: Limits) -> Verdict:
    """Whether what hangs on a device is out of reach because of it.

    Where the parent's own profile has a rule on its presence, and can tell, that rule speaks and not this one.
    """
    count, since = blocked(below)
    values: dict[str, Value] = {"behind": "silent" if count else "heard", "devices": count}
    if not count:
        hidden = any(one.reason in _BEHIND for one in (parent, *below))
        return Verdict(None if hidden else False, progress or 0, values)
    above = parent.reason in (*_BEHIND, PresenceReason.PARENT_DOWN)
    if above or since is None or progress is None or _says_so_itself(parent):
        return Verdict(None, since or 0, values)
    late = progress - since >= limits.alarm_after.total_seconds() * 1000
    return Verdict(True if late else None, since, values)


def _says_so_itself(parent: DeviceState) -> bool:
    profile = parent.profile
    if profile is None or not watches_presence(profile):
        return False
    if is_down(parent.state_of("")):
        return True
    return not profile.availability.event_driven and parent.heard_at is not None


def watches_presence(profile: CompiledProfile) -> bool:
    """Whether a rule of the device itself looks at its presence or silence."""
    sources = (Source.PRESENCE, Source.SILENCE)
    own = [rule for rule in profile.rules.values() if not rule.rule.scope]
    return any(read.source in sources for rule in own for read in rule.reads)


# --- what comes of it ---------------------------------------------------------------------------------------------


class Breaks:
    """The built-in rules, compiled, as firings that intake follows like any other."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._rules = compile_profile(break_profile(limits.alarm_after.total_seconds())).rules

    def firings(
        self,
        verdicts: Iterable[tuple[DeviceState, str, Verdict]],
        active: Mapping[Key, str],
        name_of: Callable[[str], Text | None],
        now: Millis,
    ) -> Iterator[Firing]:
        """What has changed since: verdicts on (device, rule) against the breaks that are alarms already.

        An alarm about what is not judged any more (a gateway or parent that is gone) is cleared.
        """
        left = dict(active)
        for device, rule, verdict in verdicts:
            key = (device.id, rule)
            was = left.pop(key, None) is not None
            if verdict.broken is not None and verdict.broken != was:
                yield self._firing(device, rule, verdict, name_of(device.id), now)
        for (id, rule), site in left.items():
            gone = DeviceState(id=id, site=site, profile_id=BREAKS, profile=None, params={})
            yield self._firing(gone, rule, Verdict(False, now, {}), name_of(id), now)

    def rule(self, rule: str, name: Text) -> CompiledRule | None:
        """A built-in rule, with the name of what is broken in the title of its ticket."""
        found = self._rules.get(rule)
        return None if found is None else _named(found, name)

    def _firing(self, device: DeviceState, rule: str, verdict: Verdict, name: Text | None, now: Millis) -> Firing:
        compiled = self._rules[rule]
        if name is not None and verdict.broken:
            compiled = _named(compiled, name)
        outcome = Outcome.RAISED if verdict.broken else Outcome.CLEARED
        as_break = DeviceState(id=device.id, site=device.site, profile_id=BREAKS, profile=None, params={})
        evidence = Evidence(dict(verdict.values), now)
        return Firing(as_break, "", compiled, outcome, now, min(verdict.since, now), evidence)


def _named(rule: CompiledRule, name: Text) -> CompiledRule:
    """With the name in the ticket's title: several gateways may be gone at once."""
    if rule.template is None:
        return rule
    title = Text(zh=f"{rule.template.title.zh}：{name.zh}", en=f"{rule.template.title.en}: {name.en}")
    return replace(rule, template=rule.template.model_copy(update={"title": title}))
