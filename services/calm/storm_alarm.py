"""The alarm that stands for a storm: a built-in rule, in the words of a profile, as those of broken links are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from device_profiles.schema import DeviceProfile
from gateway.reading import Millis
from services.calm.names import STORMS, storm_device
from services.calm.storms import Cause, Limits
from services.rules.automaton import Outcome
from services.rules.compiled import CompiledRule, compile_profile
from services.rules.engine import Firing
from services.rules.state import DeviceState, Evidence

LAST_CLEARED = "the last alarm under it has cleared"
FIRST_DEVICES = 10
"""So many are named."""


def storm_firing(cause: Cause, folded: Firing, limits: Limits) -> Firing:
    """The storm that one more alarm of a rule begins, as a firing that is followed like any other."""
    device = DeviceState(id=storm_device(cause.site), site=cause.site, profile_id=STORMS, profile=None, params={})
    evidence = Evidence({"alarms": limits.over + 1}, folded.at)
    rule = storm_rule(folded, limits)
    return Firing(device, cause.profile, rule, Outcome.RAISED, folded.at, folded.at, evidence)


def cleared_storm(site: str, profile: str, rule: CompiledRule, at: Millis) -> Firing:
    """A storm of which nothing is left."""
    device = DeviceState(id=storm_device(site), site=site, profile_id=STORMS, profile=None, params={})
    return Firing(device, profile, rule, Outcome.CLEARED, at, at, None)


def storm_rule(folded: Firing, limits: Limits) -> CompiledRule:
    """The built-in rule under the name and severity of the one that was raised so often; its ticket is as urgent."""
    rule, template = folded.rule.rule, folded.rule.template
    severity = folded.severity or rule.severity.value
    ticket = {
        "title": _words(f"查找共同原因：{rule.name.zh}", f"Find the common cause: {rule.name.en}"),
        "trade": template.trade if template is not None else "general",
        "priority": template.priority.value if template is not None else _PRIORITY[severity],
        "due": template.due if template is not None else "8h",
        "steps": _STEPS,
    }
    profile = DeviceProfile.model_validate(
        {
            "profile": STORMS,
            "family": "network",
            "name": _words("告警风暴", "Storms of alarms"),
            "metrics": {"alarms": {"name": _words("告警数", "Alarms"), "uom": "1"}},
            "availability": {"period": "1m"},
            "bindings": [],
            "rules": [
                {
                    "id": rule.id,
                    "name": _words(f"同因大量告警：{rule.name.zh}", f"Many alarms of one cause: {rule.name.en}"),
                    "when": f"alarms > {limits.over}",
                    "severity": severity,
                    "source": {"kind": "judgement", "ref": "courtyard"},
                    "ticket": "find",
                }
            ],
            "tickets": {"find": ticket},
        }
    )
    return compile_profile(profile).rules[rule.id]


def storm_reason(cause: Cause, limits: Limits) -> dict[str, Any]:
    """What the reason of a storm's alarm says besides: whose alarms they are, and how many."""
    counted = {"profile": cause.profile, "rule": cause.rule, "count": limits.over, "told": limits.over + 1}
    return {**counted, "within_seconds": limits.within // 1000, "devices": []}


def one_more(reason: Mapping[str, Any], device: str) -> dict[str, Any]:
    """The reason of a storm's alarm with one more alarm folded under it."""
    storm = dict(reason["storm"])
    storm["count"] += 1
    if len(storm["devices"]) < FIRST_DEVICES and device not in storm["devices"]:
        storm["devices"] = [*storm["devices"], device]
    return {**reason, "values": {**reason["values"], "alarms": storm["count"]}, "storm": storm}


def again(reason: Mapping[str, Any]) -> dict[str, Any]:
    """The reason of a storm's alarm that had cleared and goes on."""
    storm = {**reason["storm"], "again": reason["storm"].get("again", 0) + 1}
    return {name: value for name, value in reason.items() if name != "cleared"} | {"storm": storm}


def told(reason: Mapping[str, Any]) -> dict[str, Any]:
    """After its ticket was told how much it has grown."""
    return {**reason, "storm": {**reason["storm"], "told": reason["storm"]["count"]}}


def _words(zh: str, en: str) -> dict[str, str]:
    return {"zh": zh, "en": en}


_PRIORITY = {"critical": "P1", "major": "P2", "minor": "P3", "warning": "P4"}
_STEPS = [
    _words(
        "看它们有何共同之处：电源、网络、水源、今天做过的改动。",
        "See what they have in common: power, network, water, a change that was made today.",
    ),
    _words("打开此告警，查看归在其下的设备。", "Open the alarm of this ticket: it lists the devices."),
    _words(
        "先处理共同原因；归在其下的告警会随之解除。",
        "Mend the common cause first; the alarms under this one clear with it.",
    ),
]
