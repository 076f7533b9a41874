"""What devices remember for rules over several of them that look back: it hangs on the profiles of their sites."""

from __future__ import annotations

from services.groups.rule import GroupRule
from services.rules.compiled import CompiledProfile, with_watchers
from services.rules.state import DeviceState


class Remembering:
    """The rules that look back, and the profiles with what must be remembered for them."""

    def __init__(self) -> None:
        self._watchers: dict[tuple[str, str], list[GroupRule]] = {}
        """(site, profile) -> rules for which devices must remember something."""
        self._made: dict[str, dict[int, tuple[CompiledProfile, CompiledProfile]]] = {}
        """Site -> id of a profile -> it, and the same with what must be remembered; of the rule book in force there."""

    def add(self, rule: GroupRule) -> None:
        """One more rule that may look back."""
        for profile in rule.watchers:
            self._watchers.setdefault((rule.site, profile), []).append(rule)

    def of(self, device: DeviceState, profile: CompiledProfile | None) -> CompiledProfile | None:
        """A device's profile, with what it must remember; each made once."""
        wanted = self._watchers.get((device.site or "", device.profile_id)) if profile is not None else None
        if profile is None or not wanted:
            return profile
        made = self._made.setdefault(device.site or "", {})
        if id(profile) not in made:
            watching = with_watchers(profile, [one.watchers[device.profile_id] for one in wanted])
            made[id(profile)] = (profile, watching)  # kept with it: an id is only good as long as what it is of lives
        return made[id(profile)][1]

    def forget(self, site: str) -> None:
        """What was made of its profiles: it has others now."""
        self._made.pop(site, None)
