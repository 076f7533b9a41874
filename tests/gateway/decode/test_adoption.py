"""A device that is put into a site file goes on where it was: counters, edges, what lasts, stamps."""

from __future__ import annotations

import json
from typing import Any

from gateway.decode import Decoder
from gateway.decode.memory import Memory
from gateway.reading import DeviceEntry, Reading, Registry, provisional_id
from tests.gateway.decode.mini import NOW, flat, named, profile

METRICS = {
    "energy": {"name": named("energy"), "kind": "counter", "counter": {"total": "sum", "rate": {"metric": "rise"}}},
    "sum": {"name": named("sum")},
    "rise": {"name": named("rise")},
}
EVENTS = {
    "leak": {"name": named("leak"), "lasting": True, "auto_clear": "1m"},
    "opened": {"name": named("opened")},
    "gap": {"name": named("gap")},
}
BINDING = flat(energy="kwh") | {
    "sequence": {"path": "n", "event": "gap"},
    "events": [
        {"event": "leak", "phase_path": "leak", "phases": {"1": "begin", "0": "end"}},
        {"event": "opened", "edge": {"path": "door", "from": ["shut"], "to": ["open"]}},
    ],
}
PROFILE = profile(BINDING, metrics=METRICS, events=EVENTS)


def gateway(*entries: DeviceEntry, before: Decoder | None = None) -> Decoder:
    registry = Registry(str(len(entries)), list(entries))
    if before is None:
        return Decoder([PROFILE], registry)
    before.memory.rename({provisional_id(entry.profile, entry.address): entry.id for entry in entries})
    before.memory.keep()
    return Decoder([PROFILE], registry, before.stamps, memory=before.memory)


def says(to: Decoder, at: int = 0, **payload: Any) -> Reading:
    return to.decode("t/d~1", json.dumps({"leak": 1, "door": "shut", **payload}).encode(), NOW + at)[0]


MINE = DeviceEntry("pump_3", "mini", "d~1", "yard")


def test_it_goes_on_where_it_was() -> None:
    first = gateway()
    begun = says(first, kwh=100, n=1)
    assert (begun.device, [event.id for event in begun.events]) == ("mini:d~01", ["leak"])
    first.memory.commit()
    second = gateway(MINE, before=first)
    found = says(second, 1000, kwh=7, n=4, door="open")  # it was restarted, and its total counts on
    assert (found.device, found.values) == ("pump_3", {"energy": 7, "sum": 107, "leak": True})
    assert [(event.id, event.phase) for event in found.events] == [("opened", ""), ("gap", "")]
    assert not [key for key in second.memory.changes() if "mini:d~01" in key and second.memory.get(key)]
    ended = says(second, 2000, kwh=8, n=5, leak=0)
    assert [(event.id, event.phase) for event in ended.events] == [("leak", "end")]


def test_what_lasts_ends_under_the_new_id_by_silence_too() -> None:
    first = gateway()
    says(first, kwh=1, n=1)
    [ended] = gateway(MINE, before=first).tick(NOW + 70_000)
    assert (ended.device, ended.events[0].id, ended.values) == ("pump_3", "leak", {"leak": False})


def test_stamps_do_not_go_back() -> None:
    first = gateway()
    stamps = [says(first, kwh=1, n=1).received_at for _ in range(3)]
    assert says(gateway(MINE, before=first), kwh=1, n=1).received_at == stamps[-1] + 1


def test_a_batch_that_is_not_stored_does_not_take_it_back() -> None:
    first = gateway()
    says(first, kwh=100, n=1)
    first.memory.commit()
    stored = dict(first.memory.changes())
    assert stored == {}
    second = gateway(MINE, before=first)
    says(second, 1000, kwh=200, n=2)
    second.memory.rollback()  # the disk was full, and the broker delivers it again
    assert says(second, 2000, kwh=7, n=2).values["sum"] == 107
    changes = second.memory.changes()
    assert changes["counter", "mini:d~01", "", "energy"] is None
    assert changes["counter", "pump_3", "", "energy"] is not None
    second.memory.commit()
    second.memory.put(("counter", "x"), [1])
    second.memory.rollback()
    assert second.memory.changes() == {}
    assert second.memory.get(("counter", "x")) is None


def test_what_it_remembers_under_its_own_id_is_newer() -> None:
    key = ("edge", "mini:d~01", "", "opened", "door")
    own = ("edge", "pump_3", "", "opened", "door")
    memory = Memory([(key, "open"), (own, "shut"), (("sparkplug", "mini:d~01"), {"at": 1})])
    memory.rename({"mini:d~01": "pump_3", "pump_4": "pump_4"})
    assert (memory.get(own), memory.get(key)) == ("shut", None)
    assert memory.get(("sparkplug", "mini:d~01")) == {"at": 1}, "that is a node, which happens to be called so"


def test_nothing_changes_for_a_registry_without_news() -> None:
    first = gateway(MINE)
    says(first, kwh=1, n=1)
    first.memory.commit()
    assert gateway(MINE, before=first).memory.changes() == {}
