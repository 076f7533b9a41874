"""The rules that really run: every profile, fitted with the rule book of each site.

Pure. Devices without changes of their own share one compiled profile and one mapping of params, so that a site of
18,000 devices costs as much to load as its distinct changes do. A rule that cannot be compiled is left out, and kept
among the problems: nothing is dropped silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from device_profiles.expression import ExpressionError
from device_profiles.schema import DeviceProfile, Rule
from services.rules.book import Misfit, RuleBook, changes_of, fit, mistake_in, param_misfits, params_of
from services.rules.compiled import CompiledProfile, compile_profile

Library = Mapping[str, DeviceProfile]
SiteParams = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Site -> profile -> param -> value, as the site files say."""


SITE_RULES = "courtyard_site_rules"
"""What alarms of rules over several devices have for a profile; see `services.groups`."""


class BookInForce(NamedTuple):
    """The newest rule book of a site."""

    version: int
    book: RuleBook
    unreadable: str = ""
    """What keeps the stored book from being read; the profiles' own rules stand then."""


class BrokenRule(NamedTuple):
    """A rule that its own profile cannot evaluate."""

    profile: str
    rule: str
    found: str


class Gone(NamedTuple):
    """Why a rule raises no alarms on a device any more."""

    reason: str
    """rule_off | rule_shadow | rule_gone | site_rule_gone | device_gone"""
    version: int
    """Of the rule book that says so; 0: none does."""

    @property
    def text(self) -> str:
        by = f", version {self.version}" if self.version else ""
        return {
            "rule_off": f"the rule was switched off{by}",
            "rule_shadow": f"the rule is on trial and raises nothing{by}",
            "rule_gone": "the rule is no longer in the profile",
            "site_rule_gone": "the rule is no longer in the site file, or it counts nobody here",
            "device_gone": "the device is no longer in service",
        }[self.reason]


NOTHING = BookInForce(0, RuleBook())


class Effective:
    """Profiles, params and problems by site and device. Ask it as often as there are devices."""

    def __init__(self, library: Library, books: Mapping[str, BookInForce], site_params: SiteParams) -> None:
        self.library = library
        self._books = books
        self._site_params = site_params
        self._compiled: dict[tuple[str, str, str], tuple[CompiledProfile, tuple[Misfit, ...]]] = {}
        self._params: dict[tuple[str, str], dict[str, Any]] = {}
        self.broken: dict[str, tuple[BrokenRule, ...]] = {}
        """Profile -> its rules that cannot be evaluated, of the profiles that were asked for."""
        self._sound: dict[str, DeviceProfile] = {}

    def with_book(self, site: str, found: BookInForce) -> Effective:
        """The same with another rule book at one site; what others have compiled is shared."""
        made = Effective(self.library, {**self._books, site: found}, self._site_params)
        made._compiled = {key: one for key, one in self._compiled.items() if key[0] != site}
        made._params = {key: one for key, one in self._params.items() if key[0] != site}
        made._sound, made.broken = dict(self._sound), dict(self.broken)
        return made

    def book(self, site: str | None) -> BookInForce:
        return self._books.get(site or "", NOTHING)

    def profile(self, site: str, profile: str, device: str) -> CompiledProfile | None:
        """What runs on a device; None where the library does not know its profile."""
        return self._fitted(site, profile, device)[0] if profile in self.library else None

    def schema(self, site: str, profile: str, device: str = "") -> DeviceProfile | None:
        """The profile as this site (and device) has it, to read."""
        sound = self._whole(profile)
        return None if sound is None else fit(sound, self.book(site).book, device).profile

    def params(self, site: str, profile: str, device: str, own: Mapping[str, Any]) -> Mapping[str, Any]:
        """Each param's value on a device; `own` is what the site file gives it."""
        known, book = self.library.get(profile), self.book(site).book
        if known is None:
            return {}
        site_wide = self.of_site_file(site, profile)
        if own or (device in book.devices and book.devices[device].params):
            return params_of(known, book, device, own, site_wide)
        key = (site, profile)
        if key not in self._params:
            self._params[key] = params_of(known, book, "", {}, site_wide)
        return self._params[key]

    def of_site_file(self, site: str, profile: str) -> Mapping[str, Any]:
        """What the site file gives all devices of a profile."""
        return self._site_params.get(site, {}).get(profile, {})

    def misfits(self, site: str, devices: Mapping[str, str]) -> list[Misfit]:
        """What the site's book says and cannot be done; `devices`: id -> profile of those in service there."""
        found = self.book(site)
        if found.unreadable:
            return [Misfit("", "", "", f"the rule book cannot be read: {found.unreadable}")]
        return list(dict.fromkeys(_misfits(self, found.book, site, devices)))

    def gone(self, site: str, profile: str, device: str, rule: str) -> Gone:
        """Why a rule that had raised an alarm raises none now."""
        known, found = self.library.get(profile), self.book(site)
        own = next((one for one in known.rules if one.id == rule), None) if known is not None else None
        if own is None:
            return Gone("rule_gone", 0)
        change = changes_of(profile, found.book, device).get(rule)
        if change is not None and change.mode in ("off", "shadow"):
            return Gone("rule_off" if change.mode == "off" else "rule_shadow", found.version)
        return Gone("rule_shadow" if own.mode == "shadow" else "rule_gone", 0)

    def _fitted(self, site: str, profile: str, device: str) -> tuple[CompiledProfile, tuple[Misfit, ...]]:
        book = self.book(site).book
        own = device if device in book.devices and book.devices[device].rules else ""
        key = (site if own or book.rules.get(profile) else "", profile, own)
        if key not in self._compiled:
            sound = self._whole(profile)
            assert sound is not None, "asked for by profile()"
            fitted = fit(sound, book if key[0] else NOTHING.book, own)
            self._compiled[key] = compile_profile(fitted.profile), fitted.misfits
        return self._compiled[key]

    def _whole(self, profile: str) -> DeviceProfile | None:
        """The profile without the rules that cannot be evaluated."""
        if profile not in self._sound and profile in self.library:
            self._sound[profile], self.broken[profile] = sound(self.library[profile])
        return self._sound.get(profile)


def sound(profile: DeviceProfile) -> tuple[DeviceProfile, tuple[BrokenRule, ...]]:
    """A profile without its rules that cannot be evaluated, and those."""
    try:
        compile_profile(profile)
    except ExpressionError:
        found = {rule.id: mistake_in(profile, rule) for rule in profile.rules}
        whole: tuple[Rule, ...] = tuple(rule for rule in profile.rules if not found[rule.id])
        broken = tuple(BrokenRule(profile.profile, rule, mistake) for rule, mistake in found.items() if mistake)
        return profile.model_copy(update={"rules": whole}), broken
    return profile, ()


def _misfits(effective: Effective, book: RuleBook, site: str, devices: Mapping[str, str]) -> Iterator[Misfit]:
    for profile in {**book.rules, **book.params}:
        known = effective.library.get(profile)
        if profile == SITE_RULES:
            yield Misfit(profile, "", "", "rules over several devices stand in the site file: they are changed there")
            continue
        if known is None:
            yield Misfit(profile, "", "", "no such profile is loaded")
            continue
        yield from _of(effective, site, profile, "")
        yield from param_misfits(known, book.params.get(profile, {}))
    for device, change in book.devices.items():
        known = effective.library.get(devices.get(device, ""))
        if device not in devices:
            yield Misfit("", "", device, "no such device is in service here")
        elif known is not None:
            yield from _of(effective, site, known.profile, device)
            yield from param_misfits(known, change.params, device)


def _of(effective: Effective, site: str, profile: str, device: str) -> Iterable[Misfit]:
    """The misfits of a device that are its own: those of its site are told once."""
    _, misfits = effective._fitted(site, profile, device)
    own = effective.book(site).book.devices
    return (one for one in misfits if not device or one.rule in own[device].rules)
