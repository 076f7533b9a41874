"""A gateway behind a real Mosquitto: nothing acknowledged is lost, nothing is stored twice, poison disturbs nobody."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from gateway.decode import Decoder
from gateway.ingest import Ingest
from gateway.journal import Journal, JournalUnwritable
from gateway.mqtt import BrokerAddress, Message, MqttSession, MqttUnavailable
from gateway.reading import Registry
from gateway.uplink import CommandOrder, CommandOutcome
from services.bench.mosquitto import Mosquitto
from tests.gateway.kit import Ledger, make_gateway, meter_profile, now_millis, publish, until

pytestmark = pytest.mark.mosquitto


def telemetry_message(n: int, device: int = 0) -> tuple[str, bytes]:
    return f"meters/m{device}/telemetry", b'{"n": %d}' % n


def session_of(broker: Mosquitto) -> MqttSession:
    session = MqttSession(
        BrokerAddress.parse(broker.url), client_id="gateway-under-test", filters=("meters/+/telemetry",)
    )
    session.connect()
    return session


def first_session_of(broker: Mosquitto) -> MqttSession:
    session = session_of(broker)
    assert session.read(0.5) == []  # the SUBACK
    return session


def read_until(session: MqttSession, count: int) -> list[Message]:
    got: list[Message] = []
    for _ in range(300):
        got += session.read(0.2)
        if len(got) >= count:
            return got
    raise AssertionError(f"{len(got)} of {count} messages came")


def test_messages_become_readings_in_both_stores(mosquitto: Mosquitto, tmp_path: Path) -> None:
    ledger = Ledger()
    gateway, telemetry = make_gateway(tmp_path / "data", mosquitto.url, ledger)
    gateway.start()
    until(lambda: gateway.status().connected)
    publish(mosquitto.port, [telemetry_message(n, n % 20) for n in range(2000)])
    until(lambda: len(ledger.readings) == 2000)
    until(lambda: telemetry.count() == 2000)
    assert {r.device for r in ledger.readings} == {f"meter-{n}" for n in range(20)}
    assert sorted(ledger.numbers) == list(range(2000))  # type: ignore[type-var]
    status = gateway.status()
    assert (status.received, status.quarantined, status.shed) == (2000, 0, 0)
    gateway.stop()
    telemetry.close()


def test_two_messages_in_one_millisecond_are_two_readings(mosquitto: Mosquitto, tmp_path: Path) -> None:
    ledger = Ledger()
    gateway, telemetry = make_gateway(tmp_path / "data", mosquitto.url, ledger)
    gateway.start()
    until(lambda: gateway.status().connected)
    publish(mosquitto.port, [telemetry_message(n) for n in range(1000)])
    until(lambda: telemetry.count() == 1000, why="readings of one device overwrote each other")
    stamps = [r.measured_at for r in ledger.readings]
    assert stamps == sorted(set(stamps))
    gateway.stop()
    telemetry.close()


def test_a_restart_after_a_quiet_time_does_not_look_like_a_clock_that_went_back(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    ledger = Ledger()
    gateway, telemetry = make_gateway(tmp_path / "data", mosquitto.url, ledger)
    gateway.start()
    until(lambda: gateway.status().connected)
    publish(mosquitto.port, [telemetry_message(1)])
    until(lambda: len(ledger.readings) == 1)
    gateway.stop()
    telemetry.close()
    begun = now_millis()
    gateway, telemetry = make_gateway(tmp_path / "data", mosquitto.url, ledger)
    known = len(ledger.batches)
    gateway.start()
    until(lambda: len(ledger.batches) > known and ledger.batches[-1].status is not None)
    assert all(batch.progress_at >= begun for batch in ledger.batches[known:])
    gateway.stop()
    telemetry.close()


def test_two_gateways_with_one_client_id_do_not_fight_without_end(mosquitto: Mosquitto, tmp_path: Path) -> None:
    both = [make_gateway(tmp_path / name, mosquitto.url, Ledger()) for name in ("one", "two")]
    opened: list[None] = []
    for gateway, _ in both:
        gateway.start()
        gateway._ingest.connection_opened = lambda: opened.append(None)  # type: ignore[method-assign]
    until(lambda: any("gateway-under-test" in gateway.status().last_error for gateway, _ in both))
    assert len(opened) < 30, "they throw each other out as fast as they can connect"
    for gateway, telemetry in both:
        gateway.stop()
        telemetry.close()


def test_what_comes_while_the_gateway_is_away_waits_at_the_broker(mosquitto: Mosquitto, tmp_path: Path) -> None:
    ledger = Ledger()
    gateway, telemetry = make_gateway(tmp_path / "data", mosquitto.url, ledger)
    gateway.start()
    until(lambda: gateway.status().connected)
    gateway.stop()
    telemetry.close()
    publish(mosquitto.port, [telemetry_message(n) for n in range(500)])
    gateway, telemetry = make_gateway(tmp_path / "data", mosquitto.url, ledger)
    gateway.start()
    until(lambda: len(ledger.readings) == 500)
    assert ledger.numbers == list(range(500))
    gateway.stop()
    telemetry.close()


def test_the_gateway_comes_back_when_the_broker_does(mosquitto: Mosquitto, tmp_path: Path) -> None:
    ledger = Ledger()
    gateway, telemetry = make_gateway(tmp_path / "data", mosquitto.url, ledger)
    gateway.start()
    until(lambda: gateway.status().connected)
    mosquitto.stop()
    until(lambda: not gateway.status().connected)
    assert "mqtt://127.0.0.1" in gateway.status().last_error
    mosquitto.start()
    until(lambda: gateway.status().connected)
    publish(mosquitto.port, [telemetry_message(1)])
    until(lambda: ledger.numbers == [1])
    assert gateway.status().last_error == ""
    gateway.stop()
    telemetry.close()


def test_services_that_hang_do_not_hold_up_collecting(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """A cut uplink answers nothing for half a minute; a broker keeps only some thousand messages meanwhile."""

    class Hanging(Ledger):
        hangs = threading.Event()
        asked = 0

        def registry(self) -> Registry:
            self.asked += 1
            if self.asked > 1:
                self.hangs.wait(100)
            return super().registry()

    ledger = Hanging()
    gateway, telemetry = make_gateway(tmp_path / "data", mosquitto.url, ledger)
    gateway._registry._ask_seconds = 0.05
    gateway.start()
    until(lambda: ledger.asked > 1)
    until(lambda: gateway.status().connected)
    publish(mosquitto.port, [telemetry_message(n) for n in range(100)])
    until(lambda: telemetry.count() == 100, seconds=60, why="collecting waits for services")
    ledger.hangs.set()
    gateway.stop()
    telemetry.close()


def test_why_commands_do_not_go_out_stands_in_the_status(mosquitto: Mosquitto, tmp_path: Path) -> None:
    class Broken:
        """Services whose answer no gateway expects, until they are mended."""

        mended = False

        def orders(self, gateway: str, wait_seconds: float) -> list[CommandOrder]:
            if not self.mended:
                raise RuntimeError("orders in an unknown form")
            time.sleep(0.05)
            return []

        def report(self, gateway: str, outcomes: list[CommandOutcome]) -> None:
            raise AssertionError("there is nothing to report")

    office = Broken()
    gateway, telemetry = make_gateway(tmp_path / "data", mosquitto.url, Ledger())
    gateway._commands = office
    gateway.start()
    until(lambda: gateway.status().connected)
    until(lambda: gateway.status().last_error == "commands: orders in an unknown form")
    office.mended = True
    until(lambda: gateway.status().last_error == "")
    gateway.stop()
    telemetry.close()


def test_nothing_ends_the_ingest_thread(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Not even a failure that nobody thought of, while it is already waiting after another one."""
    ledger = Ledger()
    gateway, telemetry = make_gateway(tmp_path / "data", mosquitto.url, ledger)
    gateway.start()
    until(lambda: gateway.status().connected)
    maintain, probe = gateway._journal.maintain, gateway._journal.probe

    def fail() -> None:
        raise RuntimeError("never heard of")

    gateway._journal.maintain = gateway._journal.probe = fail  # type: ignore[method-assign]
    until(lambda: gateway.failures >= 3)
    assert "never heard of" in gateway.status().last_error
    gateway._journal.maintain, gateway._journal.probe = maintain, probe  # type: ignore[method-assign]
    publish(mosquitto.port, [telemetry_message(1)])
    until(lambda: ledger.numbers == [1])
    gateway.stop()
    telemetry.close()


class TestAcknowledgement:
    """Journal first, acknowledge second."""

    @pytest.fixture
    def journal(self, tmp_path: Path) -> Journal:
        journal = Journal(tmp_path / "journal.db", consumers=("services",))
        journal.start()
        return journal

    def ingest(self, journal: Journal) -> Ingest:
        decoder = Decoder([meter_profile()], Ledger().registry())
        made = Ingest(decoder=decoder, journal=journal, now_millis=now_millis, on_commit=lambda: None)
        made.connection_opened()
        return made

    def test_unacknowledged_messages_come_again(self, mosquitto: Mosquitto) -> None:
        session = first_session_of(mosquitto)
        publish(mosquitto.port, [telemetry_message(n) for n in range(10)])
        first = read_until(session, 10)
        session.abandon()
        session = session_of(mosquitto)
        again = read_until(session, 10)
        assert [m.payload for m in again] == [m.payload for m in first]
        assert all(m.dup for m in again)
        session.acknowledge(again)
        session.close()
        session = session_of(mosquitto)
        assert session.read(0.5) == []
        session.close()

    def test_journaled_but_unacknowledged_messages_are_not_stored_twice(
        self, mosquitto: Mosquitto, journal: Journal
    ) -> None:
        """Killed between commit and acknowledgement, with payloads that carry no time of their own."""

        class Nobody:
            def acknowledge(self, messages: object) -> None:
                """The process dies here."""

        session = first_session_of(mosquitto)
        publish(mosquitto.port, [telemetry_message(n) for n in range(30)] + [telemetry_message(7)])
        self.ingest(journal).take(read_until(session, 31), Nobody())
        session.abandon()

        session = session_of(mosquitto)
        after_restart = self.ingest(journal)
        again = read_until(session, 31)
        after_restart.take(again, session)
        publish(mosquitto.port, [telemetry_message(99)])
        after_restart.take(read_until(session, 1), session)
        session.close()
        reader = journal.reader()
        numbers = [r.values["n"] for e in reader.after(0) for r in e.readings]
        reader.close()
        assert numbers == [*range(30), 7, 99]
        assert after_restart.counters.redelivered == 31
        journal.close()

    def test_a_disk_that_is_full_stops_acknowledging_and_heals(self, mosquitto: Mosquitto, tmp_path: Path) -> None:
        ledger = Ledger()
        gateway, telemetry = make_gateway(tmp_path / "data", mosquitto.url, ledger)
        gateway.start()
        until(lambda: gateway.status().connected)
        database = gateway._journal._db
        (pages,) = gateway._on_ingest_thread(lambda: database.execute("PRAGMA page_count").fetchone())
        # The same error as a full disk gives, from SQLite itself.
        gateway._on_ingest_thread(lambda: database.execute(f"PRAGMA max_page_count={pages + 3}"))
        # Poison between them stays on the disk until somebody replays it; readings alone are given back once taken.
        poison = ("meters/m1/telemetry", b"x" * 4000)
        mixed = [one for n in range(3000) for one in (telemetry_message(n, n % 20), *([poison] if n % 10 == 0 else []))]
        publish(mosquitto.port, mixed)
        until(lambda: "full" in (now := gateway.status()).last_error and not now.connected)
        got = len(ledger.readings)
        assert got < 3000
        gateway._on_ingest_thread(lambda: database.execute("PRAGMA max_page_count=1000000"))
        until(lambda: len(ledger.readings) >= 3000)
        assert sorted(ledger.numbers) == list(range(3000))  # type: ignore[type-var]
        assert gateway.status().connected
        gateway.stop()
        telemetry.close()

    def test_nothing_of_a_batch_that_could_not_be_written_is_acknowledged(self, journal: Journal) -> None:
        class Witness:
            acknowledged = 0

            def acknowledge(self, messages: list[Message]) -> None:
                self.acknowledged += len(messages)

        journal._db.execute("PRAGMA query_only=1")
        witness = Witness()
        with pytest.raises(JournalUnwritable):
            self.ingest(journal).take([Message("meters/m1/telemetry", b'{"n": 1}', 1, 1, False, False)], witness)
        assert witness.acknowledged == 0
        journal.close()


class TestPoison:
    def test_of_a_message_that_is_far_too_large_the_head_is_kept(self, tmp_path: Path) -> None:
        class Anybody:
            def acknowledge(self, messages: object) -> None: ...

        journal = Journal(tmp_path / "journal.db", consumers=("services",))
        journal.start()
        decoder = Decoder([meter_profile()], Ledger().registry())
        ingest = Ingest(decoder=decoder, journal=journal, now_millis=now_millis, on_commit=lambda: None)
        huge = Message("meters/m1/telemetry", b"x" * 5_000_000, 1, 1, False, False)
        ingest.take([huge, Message(*telemetry_message(1), 2, 1, False, False)], Anybody())
        reader = journal.reader()
        (kept,) = reader.quarantine()
        assert kept.payload == b"x" * 65536
        assert "5000000 bytes" in kept.reason
        assert [r.values["n"] for e in reader.after(0) for r in e.readings] == [1]
        reader.close()
        journal.close()

    BAD = (
        ("meters/m1/telemetry", b"not json"),
        ("meters/m1/telemetry", b""),
        ("meters/m1/telemetry", b"\xff\xfe\x00"),
        ("meters/m1/telemetry", b'{"n": "a word"}'),
        ("meters/m1/telemetry", b'{"n": [1]}'),
        ("meters/m1/telemetry", b'{"n": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
        ("meters/m1/telemetry", b'{"n": ' + b"9" * 400 + b"}"),
        ("meters/m1/telemetry", b'{"pad": "' + b"x" * 1_000_000 + b'", "n": {}}'),
    )

    def test_poison_is_set_aside_with_a_reason_and_the_rest_goes_on(self, mosquitto: Mosquitto, tmp_path: Path) -> None:
        ledger = Ledger()
        gateway, telemetry = make_gateway(tmp_path / "data", mosquitto.url, ledger)
        gateway.start()
        until(lambda: gateway.status().connected)
        mixed = [pair for n, bad in enumerate(self.BAD) for pair in (bad, telemetry_message(n))]
        publish(mosquitto.port, mixed)
        until(lambda: len(ledger.readings) >= len(self.BAD))
        until(lambda: gateway.status().quarantined == len(self.BAD))
        listed = gateway.quarantine_list()
        assert [(q.topic, q.payload) for q in reversed(listed)] == list(self.BAD)
        assert all(len(q.reason) > 10 and len(q.reason) < 1000 for q in listed)
        assert ledger.numbers == list(range(len(self.BAD)))
        gateway.stop()
        telemetry.close()

    def test_nan_is_missing_not_zero(self, mosquitto: Mosquitto, tmp_path: Path) -> None:
        ledger = Ledger()
        profile = meter_profile(decode=[{"text": True}], fields={"n": "$"})
        gateway, telemetry = make_gateway(tmp_path / "data", mosquitto.url, ledger, profile)
        gateway.start()
        until(lambda: gateway.status().connected)
        publish(mosquitto.port, [("meters/m1/telemetry", b"NaN"), ("meters/m1/telemetry", b"5")])
        until(lambda: any(r.values.get("n") == 5 for r in ledger.readings))
        assert all(r.values.get("n") in (None, 5) for r in ledger.readings)
        gateway.stop()
        telemetry.close()

    def test_a_mended_profile_takes_in_what_was_set_aside_in_order_as_history(
        self, mosquitto: Mosquitto, tmp_path: Path
    ) -> None:
        ledger = Ledger()
        gateway, telemetry = make_gateway(tmp_path / "data", mosquitto.url, ledger)
        gateway.start()
        until(lambda: gateway.status().connected)
        publish(mosquitto.port, [("meters/m1/telemetry", b"%d units" % n) for n in range(300)])
        until(lambda: gateway.status().quarantine_entries == 300)
        assert gateway.quarantine_replay() == (0, 300), "the old profile still refuses them"
        gateway.stop()
        telemetry.close()

        mended = meter_profile(
            decode=[{"text": True}], fields={"n": {"path": "$", "strip": " units", "cast": "integer"}}
        )
        gateway, telemetry = make_gateway(tmp_path / "data", mosquitto.url, ledger, mended)
        gateway.start()
        assert gateway.quarantine_replay() == (300, 0)
        until(lambda: len(ledger.readings) == 300)
        assert ledger.numbers == list(range(300))
        assert {r.quality for r in ledger.readings} == {"historic"}
        assert gateway.status().quarantine_entries == 0
        gateway.stop()
        telemetry.close()


def test_a_broker_that_is_not_there_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(MqttUnavailable, match=r"mqtt://127\.0\.0\.1:1: "):
        MqttSession(BrokerAddress.parse("mqtt://127.0.0.1:1"), client_id="x", filters=()).connect()


@pytest.mark.parametrize("url", ["localhost:1883", "http://x", "mqtt://", ""])
def test_a_wrong_broker_url_says_what_is_expected(url: str) -> None:
    with pytest.raises(ValueError, match="expected mqtt://"):
        BrokerAddress.parse(url)
