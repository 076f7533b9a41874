"""What really happened, beside the replay of the old rules, as pages show it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.backtest.agreement import REASONS
from services.backtest.report import Episode, Report, Unlike
from services.web.i18n import N_, Language, Translations
from services.web.views.backtest import Line, Times, episode_times, lines

_MOST_LISTED = 40
KINDS = {
    "only_actual": N_("happened, and is not replayed"),
    "only_replayed": N_("replayed, and did not happen"),
    "moved": N_("at another time"),
    "changed": N_("told otherwise"),
}


@dataclass(frozen=True)
class UnlikeShown:
    kind: str
    """In words."""
    rule: str
    device: str
    actual: Times | None
    replayed: Times | None
    notices: tuple[str, str]
    """Of each, "–" where there is no such episode."""
    why: str


@dataclass(frozen=True)
class AgreementShown:
    lines: tuple[Line, ...]
    """As it really was, beside the replay of the old rules."""
    compared: int
    unlike: tuple[UnlikeShown, ...]
    more: int
    unexplained: int


def agreement(report: Report, t: Translations, language: Language) -> AgreementShown | None:
    """None where there is nothing to compare."""
    found = report.agreement
    if found is None or not report.readings:
        return None
    names = {(rule.profile, rule.rule): rule.name.in_(language) for rule in report.rules}
    devices = {one.device: one.name.in_(language) for rule in report.rules for one in rule.devices}
    return AgreementShown(
        lines=lines(found.actual, report.old, t),
        compared=found.compared,
        unlike=tuple(_unlike(one, names, devices, t, language) for one in found.unlike[:_MOST_LISTED]),
        more=max(0, len(found.unlike) - _MOST_LISTED) + found.more,
        unexplained=found.unexplained,
    )


def _unlike(
    one: Unlike, names: Mapping[tuple[str, str], str], devices: Mapping[str, str], t: Translations, language: Language
) -> UnlikeShown:
    episode = one.either
    device = devices.get(episode.device, episode.device)
    return UnlikeShown(
        kind=t.gettext(KINDS[one.kind]),
        rule=names.get((episode.profile, episode.rule), episode.rule),
        device=f"{device} {episode.child}".strip(),
        actual=episode_times(one.actual),
        replayed=episode_times(one.replayed),
        notices=(_notices(one.actual), _notices(one.replayed)),
        why=" ".join(REASONS[code].in_(language) for code in one.why),
    )


def _notices(episode: Episode | None) -> str:
    return "–" if episode is None else str(episode.notices)
