"""Redeliveries are recognised, set-aside messages come back as history, and what decoding learns is kept with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_profiles.schema import DeviceProfile
from gateway.decode import Decoder
from gateway.decode.memory import Memory, PastMemory
from gateway.ingest import Ingest
from gateway.journal import Journal, JournalFull, NewQuarantine
from gateway.journal.memory import MemoryRows
from gateway.mqtt import Message
from gateway.quarantine import Replay, replay
from gateway.reading import DeviceEntry, Quality, Registry
from tests.gateway.kit import Ledger, meter_profile

NOW = 1_800_000_000_000


class Nobody:
    """The acknowledgements never arrive."""

    def acknowledge(self, messages: object) -> None: ...


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal.db", consumers=("services",))
    made.start()
    yield made
    made.close()


def message(n: int, *, dup: bool = False) -> Message:
    return Message("meters/m1/telemetry", b'{"n": %d}' % n, n, 1, dup, False)


def journaled(journal: Journal) -> list[object]:
    reader = journal.reader()
    try:
        return [reading.values["n"] for entry in reader.after(0, 5_000) for reading in entry.readings]
    finally:
        reader.close()


def test_a_message_that_comes_again_on_the_third_connection_is_stored_once(journal: Journal) -> None:
    ingest = Ingest(
        decoder=Decoder([meter_profile()], Ledger().registry()),
        journal=journal,
        now_millis=lambda: NOW,
        on_commit=lambda: None,
    )
    ingest.connection_opened()
    ingest.take([message(1), message(2)], Nobody())
    ingest.connection_opened()
    ingest.take([message(1, dup=True), message(3)], Nobody())  # cut off before 2 came again
    ingest.connection_opened()
    ingest.take([message(1, dup=True), message(2, dup=True), message(3, dup=True), message(4)], Nobody())
    assert journaled(journal) == [1, 2, 3, 4]
    assert ingest.counters.redelivered == 4


def eventful_profile() -> DeviceProfile:
    """A door that is seen to open, and motion that ends by itself."""
    name = {"zh": "事", "en": "Event"}
    return meter_profile().model_validate(
        {
            **meter_profile().model_dump(by_alias=True, exclude_defaults=True),
            "events": {
                "opened": {"name": name},
                "motion": {"name": name, "lasting": True, "auto_clear": "10s"},
            },
            "bindings": [
                {
                    "id": "telemetry",
                    "topic": "meters/{address}/telemetry",
                    "fields": {"n": "n"},
                    "events": [
                        {"event": "opened", "edge": {"path": "door", "to": ["open"]}},
                        {"event": "motion", "when": {"path": "motion", "equals": True}},
                    ],
                }
            ],
        }
    )


def restarted(journal: Journal) -> Ingest:
    """An ingest as after a restart: what is remembered comes from the journal."""
    remembered = dict(MemoryRows(journal._db).load())
    return Ingest(
        decoder=Decoder([eventful_profile()], Ledger().registry(), memory=Memory(remembered.items())),
        journal=journal,
        now_millis=lambda: NOW,
        on_commit=lambda: None,
    )


def said(mid: int, **payload: object) -> Message:
    return Message("meters/m1/telemetry", json.dumps(payload).encode(), mid, 1, False, False)


def events(journal: Journal) -> list[tuple[str, str]]:
    reader = journal.reader()
    try:
        return [(e.id, e.phase) for entry in reader.after(0) for r in entry.readings for e in r.events]
    finally:
        reader.close()


def test_what_decoding_learnt_is_there_after_a_restart(journal: Journal) -> None:
    restarted(journal).take([said(1, n=1, door="shut")], Nobody())
    restarted(journal).take([said(2, n=2, door="open")], Nobody())
    restarted(journal).take([said(3, n=3, door="open")], Nobody())
    assert events(journal) == [("opened", "")]


def test_a_batch_that_is_not_committed_is_not_remembered(tmp_path: Path) -> None:
    small = Journal(tmp_path / "small.db", consumers=("services",), max_bytes=2000)
    small.start()
    ingest = restarted(small)
    ingest.take([said(1, n=1, door="shut")], Nobody())
    with pytest.raises(JournalFull):
        ingest.take([said(n, n=n, door="open") for n in range(2, 60)], Nobody())
    ingest.take([said(2, n=2, door="open")], Nobody())
    assert events(small) == [("opened", "")], "the broker delivered it again, and it is still news"
    small.close()


def test_what_says_nothing_may_still_teach_something(journal: Journal) -> None:
    """A message without readings of its own is stored with what it changed, and acknowledged."""
    ingest = restarted(journal)
    ingest.decoder.memory.put(("edge", "x"), 1)
    ingest.take([], Nobody())
    assert dict(MemoryRows(journal._db).load()) == {("edge", "x"): 1}


def test_time_passes_without_messages(journal: Journal) -> None:
    restarted(journal).take([said(1, n=1, motion=True)], Nobody())
    ingest = restarted(journal)
    ingest.tick(NOW + 9_999)
    assert events(journal) == [("motion", "begin")]
    ingest.tick(NOW + 10_000)
    assert events(journal) == [("motion", "begin"), ("motion", "end")]
    assert ingest.counters.readings == 1
    restarted(journal).tick(NOW + 60_000)
    assert len(events(journal)) == 2, "it has ended, for good"


def test_a_replayed_message_was_measured_when_it_came(journal: Journal) -> None:
    """Its device has spoken since: the past must not look like now."""
    decoder = Decoder([meter_profile()], Ledger().registry())
    hour = 3_600_000
    topic, payload = "meters/m1/telemetry", b'{"n": 7}'
    journal.append([], [NewQuarantine(NOW - hour, 0, topic, payload, False, "no_binding", "")])
    decoder.decode(topic, b'{"n": 8}', NOW)
    assert replay(journal, decoder, None) == (1, 0)
    reader = journal.reader()
    (entry,) = reader.after(0)
    reader.close()
    assert [reading.measured_at for reading in entry.readings] == [NOW - hour]
    (later,) = decoder.decode(topic, b'{"n": 9}', NOW)
    assert later.received_at == NOW + 1, "and the stamps of today go on"


def test_a_mended_profile_takes_in_a_heap_of_messages_in_order(journal: Journal) -> None:
    """Chunk by chunk; what still fails stays, with the reason it has now."""
    poison = [
        NewQuarantine(NOW - 10_000 + n, n, "meters/m1/telemetry", payload, False, "no_binding", "as it was then")
        for n, payload in enumerate([b'{"n": %d}' % n if n % 100 else b"broken" for n in range(2_000)])
    ]
    journal.append([], poison)
    decoder = Decoder([meter_profile()], Ledger().registry())
    run = Replay(journal, None)
    steps = 0
    while run.step(decoder):
        steps += 1
    run.close()
    assert steps == 4
    assert (run.taken, run.refused) == (1_980, 20)
    assert journaled(journal) == [n for n in range(2_000) if n % 100]
    reader = journal.reader()
    left = reader.quarantine()
    readings = [reading for entry in reader.after(0, 5_000) for reading in entry.readings]
    reader.close()
    assert {(one.code, one.payload) for one in left} == {("malformed", b"broken")}
    assert all("expected JSON" in one.reason for one in left)
    assert {reading.quality for reading in readings} == {Quality.HISTORIC}
    stamps = [reading.received_at for reading in readings]
    assert stamps == sorted(set(stamps)), "strictly rising, as when they came"


def test_only_those_that_are_asked_for_are_replayed(journal: Journal) -> None:
    poison = [
        NewQuarantine(NOW + n, n, "meters/m1/telemetry", b'{"n": %d}' % n, False, "no_binding", "") for n in range(5)
    ]
    journal.append([], poison)
    assert replay(journal, Decoder([meter_profile()], Ledger().registry()), [2, 4]) == (2, 0)
    assert journaled(journal) == [1, 3]


def test_the_past_does_not_change_what_has_been_learnt_since(journal: Journal) -> None:
    """Old messages fire no edges and begin nothing; what nobody knew yet, they teach."""
    old = [said(1, n=1, door="open"), said(2, n=2, motion=True)]
    journal.append([], [NewQuarantine(NOW - 5_000, 0, m.topic, m.payload, False, "x", "") for m in old])
    ingest = restarted(journal)
    ingest.take([said(3, n=3, door="shut")], Nobody())
    assert replay(journal, ingest.decoder, None) == (2, 0)
    ingest.take([said(4, n=4, door="open")], Nobody())
    assert events(journal) == [("motion", "begin"), ("opened", "")]
    assert ingest.decoder.tick(NOW + 60_000) == [], "the motion of the past is over"
    assert ingest.decoder.memory.get(("edge", "meter-1", "", "opened", "door")) == "open"


def test_the_past_teaches_only_what_nobody_knew() -> None:
    present = Memory([(("alias", "a"), "new")])
    past = PastMemory(present)
    past.put(("alias", "a"), "old")
    past.put(("alias", "b"), "old")
    assert past.get(("alias", "a")) == "old"
    past.hand_on()
    assert (present.get(("alias", "a")), present.get(("alias", "b"))) == ("new", "old")
    past.put(("alias", "b"), "less old")
    past.hand_on()
    assert present.get(("alias", "b")) == "less old"
    present.put(("alias", "b"), "live")
    past.put(("alias", "b"), "past")
    past.drop(("alias", "a"))
    past.hand_on()
    assert (present.get(("alias", "a")), present.get(("alias", "b"))) == ("new", "live")
    assert past.get(("alias", "a"), "nothing") == "nothing"


def test_what_lasts_at_a_new_device_ends_under_the_id_that_it_gets(journal: Journal) -> None:
    name = {"zh": "甲", "en": "A"}
    profile = DeviceProfile.model_validate(
        {
            "profile": "cam",
            "family": "camera",
            "name": name,
            "availability": {"period": "60s"},
            "metrics": {
                "energy": {"name": name, "counter": {"total": "total"}},
                "total": {"name": name},
            },
            "events": {"motion": {"name": name, "lasting": True}},
            "bindings": [
                {
                    "id": "t",
                    "topic": "cams/{address}",
                    "decode": [{"json": True}],
                    "fields": {"energy": "energy"},
                    "events": [{"event": "motion", "phase_path": "motion", "phases": {"on": "begin", "off": "end"}}],
                }
            ],
        }
    )
    memory = Memory(journal.memory)
    stranger = Decoder([profile], Registry(version="0", devices=[]), memory=memory)
    ingest = Ingest(decoder=stranger, journal=journal, now_millis=lambda: NOW, on_commit=lambda: None)
    said = [b'{"energy": 90, "motion": "on"}', b'{"energy": 5, "motion": "on"}', b'{"energy": 6, "motion": "off"}']
    ingest.take([Message("cams/1", payload, n, 1, False, False) for n, payload in enumerate(said[:2])], Nobody())
    entry = DeviceEntry(id="cam-1", profile="cam", address="1", site="yard")
    adopted = Decoder([profile], Registry(version="1", devices=[entry]), stranger.stamps, memory=memory)
    ingest.adopt(adopted, [entry])
    ingest.take([Message("cams/1", said[2], 3, 1, False, False)], Nobody())
    reader = journal.reader()
    last = list(reader.after(0, 10))[-1].readings[0]
    reader.close()
    assert (last.device, last.values["total"]) == ("cam-1", 96)
    assert [(event.id, event.phase) for event in last.events] == [("motion", "end")]
    journal.close()
    journal.start()
    assert {key[1] for key, _ in journal.memory} == {"cam-1"}, "stored with it"


def test_whose_adoption_is_undone_goes_on_counting_under_the_name_it_calls_itself(journal: Journal) -> None:
    name = {"zh": "甲", "en": "A"}
    profile = DeviceProfile.model_validate(
        {
            "profile": "meter",
            "family": "meter",
            "name": name,
            "availability": {"period": "60s"},
            "metrics": {"energy": {"name": name, "counter": {"total": "total"}}, "total": {"name": name}},
            "bindings": [
                {"id": "t", "topic": "m/{address}", "decode": [{"json": True}], "fields": {"energy": "energy"}}
            ],
        }
    )
    one, two = (DeviceEntry(id=f"meter-{n}", profile="meter", address=str(n), site="yard") for n in (1, 2))
    memory = Memory(journal.memory)
    stamps: dict[str, int] = {}

    def listed(*entries: DeviceEntry) -> Decoder:
        version = ",".join(entry.id for entry in entries)
        return Decoder([profile], Registry(version=version, devices=list(entries)), stamps, memory=memory)

    ingest = Ingest(decoder=listed(one, two), journal=journal, now_millis=lambda: NOW, on_commit=lambda: None)

    def total(device: int, energy: int) -> tuple[str, object]:
        ingest.take([Message(f"m/{device}", b'{"energy": %d}' % energy, energy, 1, False, False)], Nobody())
        reader = journal.reader()
        reading = list(reader.after(0, 100))[-1].readings[0]
        reader.close()
        return reading.device, reading.values["total"]

    for n in (1, 2):
        total(n, 90)
        assert total(n, 5) == (f"meter-{n}", 95), "the counter began anew, the total goes on"
    ingest.adopt(listed(two), [two])
    assert total(1, 6) == ("meter:1", 96)
    renamed = DeviceEntry(id="main-meter", profile="meter", address="2", site="yard")
    ingest.adopt(listed(one, renamed), [one, renamed])
    assert total(1, 7) == ("meter-1", 97)
    assert total(2, 6) == ("main-meter", 96), "another id in the site file, the same device"
    swapped = DeviceEntry(id="main-meter", profile="meter", address="3", site="yard")
    ingest.adopt(listed(one, swapped), [one, swapped])
    assert total(3, 2) == ("main-meter", 98), "another module in its place: the place goes on counting"
