"""A gateway says since when it has listened: across restarts, kills, lost sessions, clocks put right and trimming."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.forward import UplinkConsumer
from gateway.journal import Entry, Journal, JournalFull, JournalUnwritable, NewEntry, Stretch, listening
from gateway.parts import parts_of
from gateway.reading import Batch, Listening, Presence, Reading
from services.bench.mosquitto import Mosquitto
from tests.gateway.kit import Ledger, publish, until
from tests.gateway.test_forward import STATUS

SECOND = 1_000
HOUR = 3_600 * SECOND
NOON = 1_700_000_000_000


def entry(at: int) -> NewEntry:
    return NewEntry(at, 1, [Reading("d", "", at, at, "t", {"n": 1})])


Open = Callable[..., Journal]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    made: list[Journal] = []

    def open_(keep: int | None = None) -> Journal:
        journal = Journal(tmp_path / "journal.db", consumers=("services",), keep=keep)
        journal.start()
        made.append(journal)
        return journal

    yield open_
    for one in made:
        one.close()


def killed(journal: Journal) -> None:
    journal._db.close()


def handed_over(journal: Journal, known: int, *, batch: int = 500) -> list[Batch]:
    """Everything that waits, as services get it."""
    ledger = Ledger()
    ledger.held = journal.cursor("services")
    consumer = UplinkConsumer(
        ledger, "gateway-1", progress_at=lambda: known, status=lambda: STATUS, stretches=lambda: journal.stretches
    )
    consumer.resume()
    reader = journal.reader()
    entries: list[Entry] | None = None
    while entries is None or len(entries) == batch:
        consumer.prepare()
        entries = reader.after(journal.cursor("services"), batch)
        journal.advance("services", consumer.take(entries, all_read=len(entries) < batch))
    reader.close()
    return ledger.batches


def test_listening_goes_on_through_a_short_break_and_a_small_correction_of_the_clock(opened: Open) -> None:
    journal = opened()
    assert journal.listen(NOON, "gateway")
    for at in (10, 40, 35, 65):
        assert not journal.listen(NOON + at * SECOND, "broker")
    assert journal.listened_until == NOON + 65 * SECOND
    assert journal.last_seq == 1, "saying it again costs no entry"


def test_a_longer_break_and_a_clock_put_right_begin_a_new_stretch(opened: Open) -> None:
    journal = opened()
    journal.listen(NOON, "gateway")
    journal.append([entry(NOON)])
    assert journal.listen(NOON + HOUR, "broker")
    assert journal.listen(NOON + 10 * SECOND, "gateway")
    assert [(one.seq, one.begins - NOON, one.after) for one in journal.stretches] == [
        (1, 0, "gateway"), (3, HOUR, "broker"), (4, 10 * SECOND, "gateway"),
    ]  # fmt: skip


def test_after_a_kill_it_is_known_to_seconds_when_it_last_listened(opened: Open) -> None:
    journal = opened()
    for at in range(0, 601, 5):
        journal.listen(NOON + at * SECOND, "gateway")
        journal.maintain()
    killed(journal)
    again = opened()
    assert again.listened_until is not None
    assert NOON + 585 * SECOND <= again.listened_until <= NOON + 600 * SECOND


def test_what_was_journaled_says_it_as_well(opened: Open) -> None:
    journal = opened()
    journal.listen(NOON, "gateway")
    journal.listen(NOON + 9 * SECOND, "gateway")
    journal.append([entry(NOON + 9 * SECOND)])
    killed(journal)
    assert opened().listened_until == NOON + 9 * SECOND


def test_a_stop_says_it_exactly(opened: Open) -> None:
    journal = opened()
    journal.listen(NOON, "gateway")
    journal.listen(NOON + 9 * SECOND, "gateway")
    journal.close()
    assert opened().listened_until == NOON + 9 * SECOND


def test_what_ends_a_break_begins_a_stretch_with_it_or_not_at_all(opened: Open) -> None:
    """A journal that is full of events for an hour refuses them: nothing was heard of what it refused."""
    journal = opened()
    journal.listen(NOON, "gateway")
    event = Reading("d", "", NOON, NOON, "t", {"n": 1}, presence=Presence.ONLINE)
    size = journal.stats().bytes
    journal.append([NewEntry(NOON, 1, [event])])
    journal.max_bytes = 2 * journal.stats().bytes - size
    with pytest.raises(JournalFull):
        journal.append([NewEntry(NOON + HOUR, 1, [event] * 2)], after="broker")
    assert (journal.last_seq, journal.listened_until, len(journal.stretches)) == (2, NOON, 1)
    journal.max_bytes *= 9
    journal.append([entry(NOON + HOUR), entry(NOON + HOUR + 1)], after="broker")
    journal.append([entry(NOON + HOUR + SECOND)], after="gateway")
    assert [(one.seq, one.begins - NOON, one.after) for one in journal.stretches] == [
        (1, 0, "gateway"), (3, HOUR, "broker"),
    ]  # fmt: skip
    told = [(one.listening, one.progress_at - NOON) for one in handed_over(journal, NOON + HOUR + SECOND)]
    assert told[0] == (Listening(NOON, "gateway"), 0), "not a word of the hour"
    assert told[-1] == (Listening(NOON + HOUR, "broker"), HOUR + SECOND)


def test_a_stretch_whose_commit_fails_has_not_begun(opened: Open) -> None:
    journal = opened()
    journal.listen(NOON, "gateway")
    journal._db.execute("PRAGMA query_only=1")
    for say in (
        lambda: journal.listen(NOON + HOUR, "broker"),
        lambda: journal.append([entry(NOON + HOUR)], after="broker"),
    ):
        with pytest.raises(JournalUnwritable):
            say()
        assert [one.seq for one in journal.stretches] == [1]
        assert journal.listened_until == NOON
    journal._db.execute("PRAGMA query_only=0")
    journal.append([entry(NOON + HOUR)], after="broker")
    assert [one.seq for one in journal.stretches] == [1, 2]


def test_a_batch_tells_of_one_stretch_and_how_far_that_went(opened: Open) -> None:
    journal = opened()
    journal.listen(NOON, "gateway")
    journal.append([entry(NOON + 1)])
    journal.listen(NOON + 20 * SECOND, "gateway")
    journal.listen(NOON + HOUR, "broker")
    journal.listen(NOON + 2 * HOUR, "gateway")
    journal.append([entry(NOON + 2 * HOUR + 5)])
    for size in (1, 2, 3, 500):
        journal.advance("services", 0)
        batches = handed_over(journal, NOON + 3 * HOUR, batch=size)
        last = {one.listening: one.progress_at for one in batches}
        assert last == {
            Listening(NOON, "gateway"): NOON + 20 * SECOND,
            Listening(NOON + HOUR, "broker"): NOON + HOUR,
            Listening(NOON + 2 * HOUR, "gateway"): NOON + 3 * HOUR,
        }, f"in batches of {size}"
        assert [one.first_seq for one in batches[1:] if one.readings or one.first_seq == 3] != []
        assert sum(len(one.readings) for one in batches) == 2


def test_a_heartbeat_tells_it_as_well(opened: Open) -> None:
    journal = opened()
    journal.listen(NOON, "gateway")
    handed_over(journal, NOON)
    [beat] = handed_over(journal, NOON + 7)
    assert (beat.readings, beat.listening, beat.progress_at) == ([], Listening(NOON, "gateway"), NOON + 7)


def test_of_an_older_journal_nothing_is_said_until_it_listens_again(opened: Open) -> None:
    journal = opened()
    journal.append([entry(NOON), entry(NOON + HOUR)])
    journal._db.execute("DROP TABLE listening")  # as an older version left it
    killed(journal)
    again = opened()
    assert again.listened_until is None
    again.listen(NOON + 2 * HOUR, "gateway")
    assert [one.listening for one in handed_over(again, NOON)] == [None, Listening(NOON + 2 * HOUR, "gateway")]


def test_where_readings_were_given_up_nothing_is_vouched_for() -> None:
    stretch = Stretch(1, NOON, NOON, "gateway")
    entries = [Entry(n, entry(NOON + n).readings) for n in (7, 8)]
    assert [one.listening for one in parts_of(entries, [stretch], cursor=3)] == [None]
    assert [one.listening for one in parts_of(entries, [stretch], cursor=6)] == [Listening(NOON, "gateway")]


def test_what_is_given_back_takes_its_stretches_along(opened: Open) -> None:
    journal = opened(keep=25)
    for n in range(30):
        if n % 10 == 0:
            journal.listen(NOON + n * HOUR, "gateway")
        journal.append([entry(NOON + n * HOUR)])
    journal.advance("services", journal.last_seq)
    journal.maintain()
    assert [one.seq for one in journal.stretches] == [1, 12, 23], "the oldest entry that stays lies in the first"
    journal.append([entry(NOON + n * HOUR) for n in range(30, 40)])
    journal.advance("services", journal.last_seq)
    journal.maintain()
    assert [one.seq for one in journal.stretches] == [12, 23]
    journal.close()
    assert [one.seq for one in opened(keep=25).stretches] == [12, 23]


def test_their_number_is_bounded(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "MOST", 20)
    journal = opened()
    for n in range(25):
        journal.listen(NOON + n * HOUR, "broker")
    assert [one.seq for one in journal.stretches] == list(range(6, 26))
    killed(journal)
    assert len(opened().stretches) == 20


RUN = """
import sys, threading, time
from pathlib import Path
from gateway.uplink import UplinkUnavailable
from tests.gateway.kit import Ledger, make_gateway, now_millis

class Away(Ledger):
    def cursor(self, gateway): raise UplinkUnavailable("services are down")

folder, url, ahead = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
gateway, _ = make_gateway(folder, url, Away(), now=lambda: now_millis() + ahead)
gateway.start()
while not gateway.status().connected:
    time.sleep(0.01)
(folder / f"connected-{ahead}").touch()
while gateway.status().received == 0:
    time.sleep(0.01)
(folder / f"received-{ahead}").touch()
threading.Event().wait()
"""


@pytest.mark.mosquitto
def test_a_gateway_that_was_killed_says_that_it_was_off(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """By its clock it was off for an hour; services were down all the while."""
    for ahead in (0, HOUR):
        command = [sys.executable, "-c", RUN, str(tmp_path), mosquitto.url, str(ahead)]
        runs = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until((tmp_path / f"connected-{ahead}").exists, 240)
            publish(mosquitto.port, [("meters/m1/telemetry", b'{"n": 1}')])
            until((tmp_path / f"received-{ahead}").exists, 240)
        finally:
            runs.send_signal(signal.SIGKILL)
            runs.wait()
    journal = Journal(tmp_path / "journal.db", consumers=("services", "telemetry"))
    journal.start()
    told = [one for one in handed_over(journal, 0) if one.readings]
    journal.close()
    (first, since), (second, since_then) = ((one, one.listening) for one in told)
    assert (len(first.readings), len(second.readings)) == (1, 1)
    assert since is not None
    assert since_then is not None
    assert since_then.since - first.progress_at >= HOUR, "nothing of what it was off is taken for listening"
