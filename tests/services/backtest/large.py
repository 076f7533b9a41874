"""Results as large as no story makes them: rules that chatter on many devices for weeks."""

from __future__ import annotations

from device_profiles.schema import Text
from gateway.reading import Millis
from services.backtest.compare import tally
from services.backtest.report import Agreement, DeviceResult, Difference, Episode, Report, RuleResult, Tally, Unlike

START: Millis = 1_772_294_400_000
_MINUTE: Millis = 60_000
_PROFILE, _RULE = "booster_set", "pressure_low"


def large(*, devices: int, episodes_each: int, site: str = "yard", chatter: int = 0) -> Report:
    """Under the new rules each device raises that many alarms more than under the old ones, the first `chatter` times
    as many as that."""
    counts = {f"pump-{n}": episodes_each * (chatter if chatter and n == 0 else 1) for n in range(devices)}
    episodes = sorted(
        (_episode(device, n) for device, count in counts.items() for n in range(count)),
        key=lambda one: (one.raised_at, one.key),
    )
    end = START + max(counts.values()) * 10 * _MINUTE
    new = tally(episodes, START, end)
    unlike = tuple(Unlike(kind="only_actual", actual=one, replayed=None, why=("gap",)) for one in episodes)
    return Report(
        site=site,
        timezone="Asia/Shanghai",
        start=START,
        end=end,
        warm_up_from=START,
        grid_seconds=30,
        extent="all",
        rule="",
        readings=1_000_000,
        devices=devices,
        silent_devices=0,
        rules=(_rule(counts, new),),
        old=Tally(),
        new=new,
        differences=tuple(Difference(kind="only_new", old=None, new=one) for one in episodes),
        agreement=Agreement(
            actual=new, outage_notices=0, within_seconds=30, compared=len(episodes), unlike=unlike, unexplained=0
        ),
        total_seconds=10,
    )


def _rule(counts: dict[str, int], new: Tally) -> RuleResult:
    return RuleResult(
        profile=_PROFILE,
        rule=_RULE,
        name=Text(zh="压力低", en="Pressure low"),
        changed=True,
        old=Tally(),
        new=new,
        devices=tuple(
            DeviceResult(device=id, name=Text(zh=id, en=id.title()), old=Tally(), new=Tally(alarms=count))
            for id, count in sorted(counts.items())
        ),
    )


def _episode(device: str, number: int) -> Episode:
    at = START + number * 10 * _MINUTE
    return Episode(
        device=device,
        child="zone:1",
        profile=_PROFILE,
        rule=_RULE,
        severity="critical",
        raised_at=at,
        cleared_at=at + 3 * _MINUTE,
        ticket=True,
        notices=1,
    )
