"""What services.calm decides, asked with what intake remembers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from device_profiles.schema import DeviceProfile, Severity
from gateway.reading import Millis
from services.calm.causes import BREAK_RULES, Place, cause_of, explains
from services.calm.names import STORMS
from services.calm.suppression import Suppression
from services.clock import to_millis
from services.groups.places import is_place
from services.intake.memory import ActiveAlarm, GatewayState, Library, Memory, rule_of
from services.maintenance.windows import Scope
from services.presence.breaks import BREAKS, BROKER_DOWN, UPLINK_CUT
from services.presence.gateways import gateway_device, gateway_of
from services.rules.compiled import CompiledRule, Source
from services.rules.state import DeviceState

_BY_SILENCE = frozenset({Source.PRESENCE, Source.SILENCE})
_BY_VALUES = frozenset({Source.OWN, Source.PARENT})


def family_of(library: Library, profile: str) -> str:
    """What maintenance windows call the kind of a device."""
    known: DeviceProfile | None = library.get(profile)
    return known.family if known is not None else "network" if profile == BREAKS else ""


@dataclass(kw_only=True)
class Calming:
    """For one batch or tick."""

    memory: Memory
    library: Library

    def suppression(self, alarm: ActiveAlarm, rule: CompiledRule, at: Millis) -> Suppression | None:
        """What keeps an alarm from being raised at `at`: its cause, else a maintenance window. A storm is never kept:
        what it stands for was told to nobody."""
        if alarm.profile == STORMS:
            return None
        standing = self.memory.active
        cause = cause_of(self.place(alarm, rule), self._causes_on, standing.by_id, alarm.id)
        if cause is not None:
            return Suppression("cause", cause.id)
        window = self._window(alarm, rule, at)
        return None if window is None else Suppression("maintenance", window)

    def _causes_on(self, device: str) -> list[ActiveAlarm]:
        """The alarms of a device. That its gateway was not heard explains nothing that is found out once it is."""
        found = self.memory.active.on(device)
        gateway = self.memory.gateways.get(gateway_of(device) or "")
        return found if gateway is None else [one for one in found if not _is_mended(one, gateway)]

    def _window(self, alarm: ActiveAlarm, rule: CompiledRule, at: Millis) -> str | None:
        """Who cleans a tank does not expect a fire: smoke and gas are held back where they are what people work on."""
        card, windows = self.memory.cards.get(alarm.device), self.memory.windows
        building = None if card is None else card.building
        find = windows.naming if is_fire(rule, alarm.severity) else windows.covering
        return find(alarm.site, building, family_of(self.library, alarm.profile), alarm.device, at)

    def free_from(self, alarm: ActiveAlarm, rule: CompiledRule, since: Millis) -> Millis:
        """When the maintenance that covered an alarm at `since` was over."""
        card, family = self.memory.cards.get(alarm.device), family_of(self.library, alarm.profile)
        building, is_named = None if card is None else card.building, is_fire(rule, alarm.severity)

        def covers(scope: Scope) -> bool:
            by_name = scope.names if is_named else scope.covers
            return by_name(building, family, alarm.device)

        return self.memory.windows.free_from(alarm.site, since, covers)

    def place(self, alarm: ActiveAlarm, rule: CompiledRule) -> Place:
        """Where an alarm stands among the others."""
        device = self.memory.devices.get(alarm.device)
        return Place(
            device=alarm.device,
            child=alarm.child,
            causes=rule.rule.suppressed_by,
            above=() if device is None else self._all_above(device),
            gateway=self._gateway(device),
            by_silence=alarm.profile == BREAKS or is_by_silence(rule),
        )

    def _above(self, device: DeviceState) -> Iterator[DeviceState]:
        seen = {device.id}
        above = self.memory.devices.get(device.parent)
        while above is not None and above.id not in seen:
            seen.add(above.id)
            yield above
            above = self.memory.devices.get(above.parent)

    def _all_above(self, device: DeviceState) -> tuple[str, ...]:
        """The devices it hangs on, and what these and itself are fed by."""
        above = [one.id for one in self._above(device)]
        return (*above, *(feed for id in (device.id, *above) for feed in self.memory.groups.feeds_of(id)))

    def _gateway(self, device: DeviceState | None) -> str:
        if device is None:
            return ""
        only = next(iter(self.memory.gateways)) if len(self.memory.gateways) == 1 else None
        gateway = device.gateway or only
        return "" if gateway is None else gateway_device(gateway)

    def explained_by(self, cause: ActiveAlarm) -> Iterator[ActiveAlarm]:
        """The alarms that were raised although this one is their cause, because it was raised after them."""
        if cause.rule not in self.memory.cause_rules and cause.rule not in BREAK_RULES:
            return
        for device in self._reach(cause.device):
            for alarm in self.memory.active.on(device):
                rule = rule_of(self.memory, alarm.device, alarm.rule)
                if rule is None or alarm.id == cause.id or alarm.suppressed_by is not None:
                    continue
                if explains(self.place(alarm, rule), cause):
                    yield alarm

    def _reach(self, device: str) -> Iterator[str]:
        """A device and what hangs on it; of a gateway, the devices that it hears."""
        yield device
        gateway = gateway_of(device)
        if gateway is not None:
            yield from (one.id for one in self.memory.devices.values() if self._gateway(one) == device)
            return
        behind = self.memory.groups.fed_by(device) if is_place(device) else [device]
        for id in behind:
            if id != device:
                yield id
            yield from (one.id for one in self.memory.branches.below(id))

    def now_of(self, alarm: ActiveAlarm, progress: Millis | None, now: Millis) -> Millis:
        """The event time of an alarm's device."""
        device = self.memory.devices.get(alarm.device)
        return now if device is None or progress is None else device.event_now(progress)


def _is_mended(alarm: ActiveAlarm, gateway: GatewayState) -> bool:
    """The link works again, though the alarm about it is still to clear with the next tick."""
    if alarm.rule == UPLINK_CUT:
        return gateway.spoke_at is not None and gateway.spoke_at > alarm.raised_at
    return alarm.rule == BROKER_DOWN and gateway.connected


def is_fire(rule: CompiledRule, severity: str) -> bool:
    """Whether lives may depend on it: critical, and a ticket for those who fight fires (smoke, heat, gas)."""
    return severity == Severity.CRITICAL and rule.template is not None and rule.template.trade == "fire"


def is_by_silence(rule: CompiledRule) -> bool:
    """Whether it is judged by what is not heard. What looks at values, or back over them, is judged by values: that
    `smoke == alarm and age(smoke) < 30m` asks for a fresh one does not make it wait for a link that is broken."""
    sources = {read.source for read in rule.reads}
    at_values = rule.looks or not sources.isdisjoint(_BY_VALUES)
    return not sources.isdisjoint(_BY_SILENCE) or (rule.aging and not at_values)


def raised_millis(alarm: ActiveAlarm) -> Millis:
    return to_millis(alarm.raised_at)
