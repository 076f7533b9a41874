"""The journal keeps what it has committed, in order, within its cap, whatever happens to its file."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gateway.journal import Journal, JournalFull, JournalUnwritable, NewEntry, NewQuarantine, open_journal
from gateway.reading import Event, Presence, Reading


def reading(n: int, *, events: tuple[Event, ...] = (), presence: Presence = Presence.UNSAID) -> Reading:
    return Reading(
        device=f"pump-{n % 3}",
        child="",
        measured_at=1_700_000_000_000 + n,
        received_at=1_700_000_000_000 + n,
        binding="telemetry",
        values={"outlet_pressure": n / 100, "run": "running"},
        events=events,
        presence=presence,
    )


def entry(n: int, **more: object) -> NewEntry:
    return NewEntry(received_at=1_700_000_000_000 + n, token=n, readings=[reading(n, **more)])  # type: ignore[arg-type]


def opened(path: Path, **options: object) -> Journal:
    journal = Journal(path, consumers=("services", "telemetry"), **options)  # type: ignore[arg-type]
    journal.start()
    return journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def everything(journal: Journal, after: int = 0) -> list[float]:
    reader = journal.reader()
    try:
        return [r.values["outlet_pressure"] for e in reader.after(after, 10**6) for r in e.readings]  # type: ignore[misc]
    finally:
        reader.close()


def test_readings_come_back_in_order_and_whole(path: Path) -> None:
    journal = opened(path)
    journal.append([entry(1), entry(2, events=(Event("door_forced", {"door": 2}),))])
    journal.append([entry(3)])
    reader = journal.reader()
    entries = reader.after(0)
    assert [e.seq for e in entries] == [1, 2, 3]
    assert entries[1].readings == [reading(2, events=(Event("door_forced", {"door": 2}),))]
    assert [e.seq for e in reader.after(2)] == [3]
    reader.close()
    journal.close()


def test_a_consumer_goes_on_where_it_stopped_after_a_restart(path: Path) -> None:
    journal = opened(path)
    journal.append([entry(n) for n in range(10)])
    journal.advance("services", 7)
    journal.maintain()
    journal.close()
    journal = opened(path)
    assert journal.cursor("services") == 7
    assert journal.cursor("telemetry") == 0
    assert everything(journal, journal.cursor("services")) == [0.07, 0.08, 0.09]
    journal.close()


def test_an_unclean_end_keeps_every_committed_entry(path: Path) -> None:
    journal = opened(path)
    journal.append([entry(n) for n in range(100)])
    # The process is gone without a close; the log file still holds the commit.
    again = opened(path)
    assert len(everything(again)) == 100
    assert again.last_seq == 100
    again.append([entry(100)])
    assert again.last_seq == 101
    again.close()
    journal.close()


@pytest.mark.parametrize(("cap", "stay"), [(4 * 1024**2, 2000), (2 * 1024**3, 20_000)])
def test_what_every_consumer_has_taken_is_given_back_but_the_newest_stay(path: Path, cap: int, stay: int) -> None:
    journal, all_ = opened(path, max_bytes=cap), stay * 5 // 4
    journal.append([entry(n) for n in range(all_)])
    before = journal.stats().bytes
    journal.advance("services", all_)
    journal.maintain()
    assert journal.stats().bytes == before, "telemetry has not taken them yet"
    journal.advance("telemetry", all_)
    for _ in range(20):
        journal.maintain()
    assert journal.stats().bytes == pytest.approx(before * stay / all_, rel=0.05)
    assert len(journal.newest_tokens()) == 2000
    assert not any(journal.stats().shed.values())
    journal.append([entry(all_)])
    assert journal.last_seq == all_ + 1
    journal.close()


def test_at_the_cap_the_oldest_telemetry_is_shed_and_counted_and_alarms_stay(path: Path) -> None:
    journal = opened(path, max_bytes=100_000)
    journal.append([entry(0, presence=Presence.OFFLINE), entry(1, events=(Event("smoke"),))])
    for start in range(2, 2002, 100):
        journal.append([entry(n) for n in range(start, start + 100)])
    stats = journal.stats()
    kept = everything(journal)
    assert stats.bytes <= 100_000
    assert kept[:2] == [0.0, 0.01], "presence and events are never shed before telemetry"
    assert kept[-1] == 20.01, "the newest is there"
    assert stats.shed["services"] == 2002 - len(kept) > 0
    assert stats.shed["telemetry"] == 2002 - len(kept)
    journal.close()
    again = opened(path, max_bytes=100_000)
    assert again.stats().shed == stats.shed, "the count survives a restart"
    again.close()


def test_readings_a_consumer_already_has_do_not_count_as_lost_for_it(path: Path) -> None:
    journal = opened(path, max_bytes=100_000)
    journal.append([entry(n) for n in range(300)])
    journal.advance("services", 300)
    for start in range(300, 2000, 100):
        journal.append([entry(n) for n in range(start, start + 100)])
    stats = journal.stats()
    gone = 2000 - len(everything(journal))
    assert stats.shed["telemetry"] == gone > 300
    assert stats.shed["services"] == gone - 300
    journal.close()


def test_events_that_only_the_time_series_still_wants_make_room_for_new_alarms(path: Path) -> None:
    """InfluxDB is away for weeks: collecting goes on, for services have taken everything."""
    journal = opened(path, max_bytes=20_000)
    for n in range(1000):
        journal.append([entry(n, events=(Event("smoke"),))])
        journal.advance("services", n + 1)
    stats = journal.stats()
    assert stats.shed["services"] == 0
    assert stats.shed["telemetry"] == 1000 - len(everything(journal)) > 500
    journal.close()


def test_a_journal_full_of_events_refuses_rather_than_forgets(path: Path) -> None:
    journal = opened(path, max_bytes=20_000)
    with pytest.raises(JournalFull):
        for n in range(1000):
            journal.append([entry(n, events=(Event("smoke"),))])
    kept = everything(journal)
    assert kept == [n / 100 for n in range(len(kept))]
    assert journal.stats().bytes <= 20_000
    journal.close()


def test_a_commit_that_fails_has_dropped_no_message(path: Path) -> None:
    journal = opened(path, quarantine_max_bytes=3400)
    poison = [NewQuarantine(n, n, "t/x", bytes([n]) * 500, False, "bad_json", "not JSON") for n in range(6)]
    journal.append([], poison)
    (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
    journal._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(JournalUnwritable):
        journal.append([], [*poison, NewQuarantine(7, 7, "t/x", bytes(10**6), False, "bad_json", "not JSON")])
    assert (journal.stats().quarantine_dropped, journal.stats().quarantine_entries) == (0, 6)
    journal.close()


def test_quarantine_is_listed_bounded_and_released_with_its_readings(path: Path) -> None:
    journal = opened(path, quarantine_max_bytes=3400)
    poison = [NewQuarantine(n, n, "t/x", bytes([n]) * 500, False, "bad_json", "not JSON") for n in range(10)]
    journal.append([], poison)
    reader = journal.reader()
    listed = reader.quarantine()
    assert [q.received_at for q in listed] == [9, 8, 7, 6, 5, 4], "the oldest went at the cap"
    assert journal.stats().quarantine_dropped == 4
    assert listed[0].payload == b"\x09" * 500
    journal.release([listed[0].id], [entry(9)])
    assert journal.stats().quarantine_entries == 5
    assert everything(journal) == [0.09]
    reader.close()
    journal.close()
    again = opened(path, quarantine_max_bytes=3400)
    assert again.stats().quarantine_dropped == 4, "what is gone stays counted"
    again.close()


def test_a_new_journal_numbers_on_behind_a_lost_one(path: Path) -> None:
    journal = opened(path, first_seq=5_000_000)
    assert journal.cursor("services") == 4_999_999
    journal.append([entry(1)])
    assert journal.last_seq == 5_000_000
    assert journal.stats().entries_waiting == {"services": 1, "telemetry": 1}
    journal.close()
    again = opened(path, first_seq=9_000_000)
    again.append([entry(2)])
    assert again.last_seq == 5_000_001, "only a new file starts anew"
    again.close()


def test_probe_leaves_nothing_behind(path: Path) -> None:
    journal = opened(path)
    journal.probe()
    assert journal.stats().quarantine_entries == 0
    reader = journal.reader()
    assert reader.quarantine() == []
    reader.close()
    journal.close()


class TestDamage:
    """A damaged file is kept aside; what stands before the damage is kept; the gateway starts."""

    def _filled(self, path: Path) -> None:
        journal = opened(path)
        for start in range(0, 5000, 500):
            journal.append([entry(n) for n in range(start, start + 500)])
        journal.advance("services", 1000)
        journal.maintain()
        journal.close()
        db = sqlite3.connect(path)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()

    def _reopened(self, path: Path) -> Journal:
        return open_journal(path, consumers=("services", "telemetry"), max_bytes=10**9)

    @pytest.mark.parametrize("damage", ["zeroed page", "flipped bits", "cut tail", "not a database"])
    def test_the_journal_opens_again(self, path: Path, damage: str) -> None:
        self._filled(path)
        content = bytearray(path.read_bytes())
        middle = len(content) // 2 // 4096 * 4096
        if damage == "zeroed page":
            content[middle : middle + 4096] = bytes(4096)
        elif damage == "flipped bits":
            for offset in range(middle, middle + 64):
                content[offset] ^= 0xFF
        elif damage == "cut tail":
            del content[-8 * 4096 :]
        else:
            content[:100] = b"\xff" * 100
        path.write_bytes(content)
        journal = self._reopened(path)
        kept = everything(journal)
        assert kept == [n / 100 for n in range(len(kept))], "in order, from the first, none invented"
        if damage != "not a database":
            assert len(kept) > 1000
            assert journal.cursor("services") == 1000
            assert journal.last_seq >= 5000, "numbers that consumers may have seen are not given again"
        journal.append([entry(9999)])
        assert everything(journal)[-1] == 99.99
        journal.close()
        assert list(path.parent.glob("journal.damaged-*.db")), "the damaged file is kept aside"

    def test_a_sound_journal_is_left_alone(self, path: Path) -> None:
        self._filled(path)
        journal = self._reopened(path)
        assert len(everything(journal)) == 5000
        journal.close()
        assert not list(path.parent.glob("*damaged*"))
