"""The episodes that are not over, found by device, by id, by what suppresses them and by what they are folded under."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.intake.memory import ActiveAlarm

AlarmKey = tuple[str, str, str]
"""(device, child, rule): one of them at a time."""


class Standing(MutableMapping[AlarmKey, "ActiveAlarm"]):
    """(device, child, rule) -> its episode. An episode is replaced, never changed, so that all of this stays true."""

    def __init__(self) -> None:
        self._all: dict[AlarmKey, ActiveAlarm] = {}
        self._on: dict[str, dict[AlarmKey, ActiveAlarm]] = defaultdict(dict)
        self._keys: dict[str, AlarmKey] = {}
        self._held: dict[str, dict[AlarmKey, None]] = defaultdict(dict)
        self._folded: dict[str, dict[AlarmKey, None]] = defaultdict(dict)
        self._suppressed: dict[AlarmKey, None] = {}

    # --- asking -----------------------------------------------------------------------------------------------------

    def __getitem__(self, key: AlarmKey) -> ActiveAlarm:
        return self._all[key]

    def __iter__(self) -> Iterator[AlarmKey]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def on(self, device: str) -> list[ActiveAlarm]:
        """Of one device and its children."""
        return list(self._on.get(device, {}).values())

    def by_id(self, alarm: str) -> ActiveAlarm | None:
        key = self._keys.get(alarm)
        return None if key is None else self._all[key]

    def suppressed(self) -> list[ActiveAlarm]:
        return [self._all[key] for key in self._suppressed]

    def held_by(self, cause: str) -> list[ActiveAlarm]:
        """Suppressed by this alarm or maintenance window."""
        return [self._all[key] for key in self._held.get(cause, ())]

    def is_bare(self, parent: str) -> bool:
        """Whether nothing is folded under this alarm."""
        return not self._folded.get(parent)

    # --- changing ---------------------------------------------------------------------------------------------------

    def __setitem__(self, key: AlarmKey, alarm: ActiveAlarm) -> None:
        if key in self._all:
            del self[key]
        self._all[key] = self._on[alarm.device][key] = alarm
        self._keys[alarm.id] = key
        if alarm.suppressed_by is not None:
            self._held[str(alarm.suppressed_by["id"])][key] = None
            self._suppressed[key] = None
        if alarm.parent is not None:
            self._folded[alarm.parent][key] = None

    def __delitem__(self, key: AlarmKey) -> None:
        alarm = self._all.pop(key)
        del self._keys[alarm.id]
        _drop(self._on, alarm.device, key)
        self._suppressed.pop(key, None)
        if alarm.suppressed_by is not None:
            _drop(self._held, str(alarm.suppressed_by["id"]), key)
        if alarm.parent is not None:
            _drop(self._folded, alarm.parent, key)


def _drop(
    index: dict[str, dict[AlarmKey, None]] | dict[str, dict[AlarmKey, ActiveAlarm]], name: str, key: AlarmKey
) -> None:
    kept = index[name]
    kept.pop(key, None)
    if not kept:
        del index[name]
