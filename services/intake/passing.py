"""Time has passed: what that means for devices, rules over several of them, broken links, what is suppressed, commands,
and alarms that nobody acknowledges."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from weakref import ref

from services.groups.aside import set_aside_at_work
from services.groups.groups import Clock, GatewayTime, Groups, Told
from services.intake.consequences import Consequences
from services.intake.escalation import Escalation
from services.intake.memory import GatewayState, Memory
from services.intake.watch import watch
from services.intake.work import Work
from services.presence.breaks import Breaks
from services.rules import engine
from services.rules.state import DeviceState

Part = Callable[[datetime, Memory, Work, Consequences], None]

_ASKED_AT_ONCE = 30_000
"""Answers of members of rules over several devices, in one tick after a start: about a third of a second."""
_MOST_IN_VAIN = 10


class Passing:
    """The parts of a tick, each within the caller's transaction."""

    def __init__(self, *, silent_after: float, breaks: Breaks) -> None:
        """`silent_after`: seconds after which a gateway says nothing about its devices any more."""
        self._silent_after = silent_after
        self._breaks = breaks
        self.benched: set[str] = set()
        """Devices that cannot be judged, and are left out."""
        self._counting: ref[Groups] | None = None
        """What was not counted whole when time passed last."""
        self._in_vain = 0
        """How often such a count was thrown away with the memory, one after the other."""
        self.others: tuple[tuple[str, Part], ...] = (
            ("groups", self.groups),
            ("breaks", self.broken_links),
            ("calm", self.calm),
            ("commands", self.commands),
            ("escalation", Escalation(silent_after).tick),
        )
        """What comes after the devices, in this order, by name."""

    def devices(self, now: datetime, memory: Memory, work: Work, consequences: Consequences) -> None:
        memory.groups.pass_all(_clock(memory))
        views = {id: memory.view(id, now, self._silent_after) for id in (None, *memory.gateways)}
        view_of = memory.branches.views()
        for device in memory.devices.values():
            if device.id not in self.benched:
                view = view_of(device, views.get(device.gateway, views[None]))
                self._one(device, view, work, consequences)

    def device(self, id: str, now: datetime, memory: Memory, work: Work, consequences: Consequences) -> None:
        """One device by itself."""
        device = memory.devices.get(id)
        if device is not None:
            view = memory.view(device.gateway, now, self._silent_after)
            self._one(device, memory.branches.view_of(device, view), work, consequences)

    def _one(self, device: DeviceState, view: engine.GatewayView, work: Work, consequences: Consequences) -> None:
        before = (device.liveness, device.reason)
        fired = engine.tick(device, view)
        if (device.liveness, device.reason) != before:
            work.touch(device)
            work.change("device", device.id, device.site or "")
        if fired or device.moved:
            consequences.follow_all(device, fired)

    def groups(self, _now: datetime, memory: Memory, work: Work, consequences: Consequences) -> None:
        """What has changed about the rules over several devices up to now."""
        memory.groups.touch({device for device, _ in work.touched} | work.moved.keys())
        clock = _clock(memory)
        set_aside_at_work(memory.groups, memory.windows, clock, memory.sites)
        if self._counted(memory.groups, clock):
            _follow(memory.groups.judge(clock), work, consequences)

    def _counted(self, groups: Groups, clock: Clock) -> bool:
        """Whether everybody has been asked since the memory was read. Where it is read anew again and again before they
        are (devices adopted one by one, a part of the tick that fails each time), twice as many are asked at once each
        time: alarms would wait for ever otherwise."""
        if self._counting is not None and self._counting() is not groups:
            self._in_vain = min(self._in_vain + 1, _MOST_IN_VAIN)
        whole = groups.begin(clock, most=_ASKED_AT_ONCE << self._in_vain)
        self._counting = None if whole else ref(groups)
        if whole:
            self._in_vain = 0
        return whole

    def groups_of_batch(self, gateway: GatewayState, memory: Memory, work: Work, consequences: Consequences) -> None:
        """The same at the end of a batch: its last moment may go on in the next one."""
        memory.groups.pass_to(gateway.id, GatewayTime(gateway.progress, gateway.watching_since))
        _follow(memory.groups.news(), work, consequences)

    def broken_links(self, now: datetime, memory: Memory, _work: Work, consequences: Consequences) -> None:
        watch(memory, self._breaks, consequences, now)

    def calm(self, _now: datetime, memory: Memory, _work: Work, consequences: Consequences) -> None:
        """After the breaks: one that has cleared in this very tick suppresses nothing any more."""
        views = {id: memory.view(id, consequences.work.now, self._silent_after) for id in (None, *memory.gateways)}
        consequences.tick({id: view.progress for id, view in views.items()})

    def commands(self, _now: datetime, _memory: Memory, _work: Work, consequences: Consequences) -> None:
        consequences.commands.tick()


def _clock(memory: Memory) -> Clock:
    return {one.id: GatewayTime(one.progress, one.watching_since) for one in memory.gateways.values()}


def _follow(told: Iterable[Told], work: Work, consequences: Consequences) -> None:
    for key, state, fired in told:
        for firing in fired:
            consequences.follow(firing)
        if state.moved:
            work.moved["/".join(key)] = state
