"""What a gateway says, and says once: over a real broker, with services that come and go, and a restart in between."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Condition

import msgspec
import pytest

from gateway.commands.runner import CommandRunner
from gateway.commands.sent import SentCommands
from gateway.commands.waiting import Waiting
from gateway.mqtt_client import MqttListener
from gateway.mqtt_once import OncePublisher, Said
from gateway.reading import DeviceEntry, Registry
from gateway.uplink import CommandOrder, CommandOutcome, UplinkUnavailable
from services.bench.mosquitto import Mosquitto
from tests.commands_kit import come_back, profile
from tests.gateway.kit import now_millis, until


def order(
    id: str = "c1", attempt: int = 1, *, device: str = "plug-1", port: int = 1, lasting: int = 300_000
) -> CommandOrder:
    return CommandOrder(
        id=id,
        attempt=attempt,
        device=device,
        child=f"port:{port}",
        command="cut",
        params={},
        nonce=port,
        expires_at=now_millis() + lasting,
    )


TAKEN = (Said.ACKNOWLEDGED, Said.UNHEARD)


class Office:
    """Services, as far as a runner knows them."""

    def __init__(self) -> None:
        self.away = False
        self.orders_: list[CommandOrder] = []
        self.handed: set[tuple[str, int]] = set()
        self.outcomes: list[CommandOutcome] = []
        self.asked_for_all = 0
        self._changed = Condition()

    def give(self, *orders: CommandOrder) -> None:
        with self._changed:
            self.orders_ += orders
            self._changed.notify_all()

    def orders(self, gateway: str, wait_seconds: float) -> list[CommandOrder]:
        if self.away:
            raise UplinkUnavailable("services are away")
        self.asked_for_all += wait_seconds == 0
        done = {(one.id, one.attempt) for one in self.outcomes}
        with self._changed:
            new = [one for one in self.orders_ if (one.id, one.attempt) not in done]
            if wait_seconds:
                new = [one for one in new if (one.id, one.attempt) not in self.handed]
            if not new:
                self._changed.wait(min(wait_seconds, 0.2))
                return []
            self.handed |= {(one.id, one.attempt) for one in new}
            return new

    def report(self, gateway: str, outcomes: list[CommandOutcome]) -> None:
        if self.away:
            raise UplinkUnavailable("services are away")
        self.outcomes += outcomes

    def statuses(self) -> list[tuple[str, int, str]]:
        return [(one.id, one.attempt, one.status) for one in self.outcomes]


@contextmanager
def runner(folder: Path, url: str, office: Office) -> Iterator[CommandRunner]:
    entries = [DeviceEntry(id=f"plug-{n}", profile="plug", address=f"p{n}", site="yard") for n in (1, 2)]
    publisher = OncePublisher(url, "gateway-commands")
    publisher.start()
    found = CommandRunner(
        uplink=office,
        gateway="g",
        profiles=[profile()],
        registry=lambda: Registry(version="1", devices=entries),
        captures_of=lambda _: {},
        publisher=publisher,
        folder=folder,
        now_millis=now_millis,
        wait_seconds=0.2,
    )
    found.start()
    try:
        yield found
    finally:
        found.stop()
        publisher.close(0)


@pytest.fixture
def ears(mosquitto: Mosquitto) -> Iterator[MqttListener]:
    with MqttListener(mosquitto.url, "ears", ["plugs/+/cmd"], seconds=60) as listener:
        listener.connect()
        yield listener


def heard(ears: MqttListener, count: int, seconds: float = 60) -> list[bytes]:
    found: list[bytes] = []
    until(lambda: len(found) >= count or found.extend(one.payload for one in ears.read(0.1)) or False, seconds)
    return found


def nothing_more(ears: MqttListener) -> bool:
    return [one for _ in range(5) for one in ears.read(0.1)] == []


@pytest.mark.mosquitto
def test_an_order_handed_over_twice_is_said_once_and_reported_again(
    mosquitto: Mosquitto, tmp_path: Path, ears: MqttListener
) -> None:
    office = Office()
    with runner(tmp_path, mosquitto.url, office):
        office.give(order())
        until(lambda: office.statuses() == [("c1", 1, "sent")], 60)
        office.outcomes.clear()  # services lost the report
        office.handed.clear()
        until(lambda: office.statuses() == [("c1", 1, "sent")], 60)
    assert len(heard(ears, 1)) == 1 and nothing_more(ears)


@pytest.mark.mosquitto
def test_a_restart_says_nothing_twice(mosquitto: Mosquitto, tmp_path: Path, ears: MqttListener) -> None:
    office = Office()
    with runner(tmp_path, mosquitto.url, office):
        office.give(order())
        until(lambda: bool(office.outcomes), 60)
    office.outcomes.clear()
    with runner(tmp_path, mosquitto.url, office):
        until(lambda: office.statuses() == [("c1", 1, "sent")], 60)
    assert len(heard(ears, 1)) == 1 and nothing_more(ears)


@pytest.mark.mosquitto
def test_what_was_being_said_when_the_gateway_died_is_unsure_and_never_said_again(
    mosquitto: Mosquitto, tmp_path: Path, ears: MqttListener
) -> None:
    dying = SentCommands(tmp_path / "commands.db")
    dying.open()
    assert dying.begin(order(), now_millis())
    dying.close()  # no end was noted: the process is gone
    office = Office()
    office.give(order())
    with runner(tmp_path, mosquitto.url, office):
        until(lambda: office.statuses() == [("c1", 1, "unsure")], 60)
    assert nothing_more(ears)


@pytest.mark.mosquitto
def test_services_that_are_away_are_told_later(mosquitto: Mosquitto, tmp_path: Path, ears: MqttListener) -> None:
    office = Office()
    with runner(tmp_path, mosquitto.url, office) as running:
        office.give(order(), order("c2", port=2))
        until(lambda: running.waiting > 0 or len(office.outcomes) > 0, 60)
        office.away = True
        assert len(heard(ears, 2)) == 2
        office.away = False
        until(lambda: {one.id for one in office.outcomes} == {"c1", "c2"}, 60)
    assert office.asked_for_all >= 1


@pytest.mark.mosquitto
def test_commands_of_one_device_keep_their_order_and_their_distance(
    mosquitto: Mosquitto, tmp_path: Path, ears: MqttListener
) -> None:
    office = Office()
    with runner(tmp_path, mosquitto.url, office):
        office.give(*(order(f"c{n}", port=n) for n in (3, 1, 2)))
        until(lambda: len(office.outcomes) == 3, 60)
    assert [one.id for one in office.outcomes] == ["c1", "c2", "c3"]
    times = [one.at for one in office.outcomes]
    assert times[1] - times[0] >= 200 and times[2] - times[1] >= 200
    assert all(one.began is not None and one.began <= one.at for one in office.outcomes)


def test_reports_of_an_older_version_do_not_say_when_it_began(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "commands.db")) as db:
        db.execute(
            "CREATE TABLE sent (id TEXT NOT NULL, attempt INTEGER NOT NULL, device TEXT NOT NULL, "
            "status TEXT NOT NULL, at INTEGER NOT NULL, reason TEXT NOT NULL, "
            "reported INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (id, attempt))"
        )
        db.execute("INSERT INTO sent VALUES ('c1', 1, 'plug-1', 'sent', 5, '', 0)")
        db.commit()
    sent = SentCommands(tmp_path / "commands.db")
    sent.open()
    sent.begin(order("c2"), 7)
    sent.end(order("c2"), "sent", 9)
    sent.end(order("c3"), "expired", 11, "too late")
    found = [(one.id, one.began, one.at) for one in sent.unreported()]
    sent.close()
    assert found == [("c1", None, 5), ("c2", 7, 9), ("c3", None, 11)]


@pytest.mark.mosquitto
def test_without_a_broker_it_expires_and_is_not_said_when_the_broker_is_back(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    office = Office()
    mosquitto.kill()
    with runner(tmp_path, mosquitto.url, office) as running:
        office.give(order(lasting=800))
        until(lambda: office.statuses() == [("c1", 1, "expired")], 60)
        assert "broker was not connected" in office.outcomes[0].reason
        come_back(mosquitto)
        with MqttListener(mosquitto.url, "ears-2", ["plugs/+/cmd"], seconds=60) as ears:
            ears.connect()
            office.give(order("c2", port=2))
            until(lambda: ("c2", 1, "sent") in office.statuses(), 60)
            assert len(heard(ears, 1)) == 1 and nothing_more(ears)
        assert running.counters.expired == 1


@pytest.mark.mosquitto
def test_what_the_broker_did_not_acknowledge_is_not_kept_for_later(mosquitto: Mosquitto) -> None:
    """A broker that hangs, and comes back after the command has gone stale."""
    assert mosquitto._process is not None
    with OncePublisher(mosquitto.url, "once") as publisher:
        assert publisher.wait_connected(60)
        pid, before = mosquitto._process.pid, publisher._client
        os.kill(pid, signal.SIGSTOP)
        try:
            assert publisher.say("t", b"1", timeout_seconds=0.5, expires_seconds=9).said is Said.UNSURE
            assert not publisher.is_connected
        finally:
            os.kill(pid, signal.SIGCONT)
        until(lambda: publisher.is_connected, 60)
        assert publisher._client is not before, "nothing waits to be said again"
        assert publisher.expires, "a broker that hung is not an old one"
        until(lambda: publisher.say("t", b"2", timeout_seconds=2, expires_seconds=9).said in TAKEN, 60)


@pytest.mark.mosquitto
def test_what_cannot_be_a_message_fails_with_its_reason(mosquitto: Mosquitto, tmp_path: Path) -> None:
    office = Office()
    with runner(tmp_path, mosquitto.url, office):
        nonsense = CommandOrder("c1", 1, "plug-1", "port:one", "cut", {}, 1, now_millis() + 300_000)
        office.give(nonsense, CommandOrder("c2", 1, "plug-2", "", "fly", {}, 1, now_millis() + 300_000))
        until(lambda: len(office.outcomes) == 2, 60)
    reasons = {one.id: (one.status, one.reason) for one in office.outcomes}
    assert reasons["c1"][0] == "failed" and "whole number" in reasons["c1"][1]
    assert reasons["c2"][0] == "failed" and "expected one of cut, feed, level" in reasons["c2"][1]


@pytest.mark.mosquitto
def test_a_damaged_list_is_moved_aside(mosquitto: Mosquitto, tmp_path: Path, ears: MqttListener) -> None:
    (tmp_path / "commands.db").write_bytes(b"this is no database at all, and long enough to look like one" * 100)
    office = Office()
    with runner(tmp_path, mosquitto.url, office):
        office.give(order())
        until(lambda: office.statuses() == [("c1", 1, "sent")], 60)
    assert len(list(tmp_path.glob("commands.damaged-*"))) == 1


@pytest.mark.mosquitto
def test_what_goes_wrong_while_services_are_away_does_not_end_the_sending(
    mosquitto: Mosquitto, tmp_path: Path, ears: MqttListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    office, asked = Office(), []

    def busy(device: str) -> dict[str, str]:
        asked.append(device)
        raise TimeoutError("the ingest thread is busy")

    with runner(tmp_path, mosquitto.url, office) as running:
        until(lambda: running._publisher.is_connected, 60)
        monkeypatch.setattr(running, "_captures_of", busy)
        office.give(order())
        until(lambda: len(asked) > 0, 60)
        office.away = True
        until(lambda: len(asked) > 2, 60)  # tried again meanwhile
        monkeypatch.setattr(running, "_captures_of", lambda _: {})
        assert len(heard(ears, 1)) == 1
        office.away = False
        until(lambda: office.statuses() == [("c1", 1, "sent")], 60)
        assert running.counters.failures > 0


@pytest.mark.mosquitto
def test_what_was_said_and_could_not_be_noted_is_reported_as_unsure_and_not_said_again(
    mosquitto: Mosquitto, tmp_path: Path, ears: MqttListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = Office()
    with runner(tmp_path, mosquitto.url, office) as running:
        until(lambda: running._publisher.is_connected, 60)
        end, full = SentCommands.end, [True]

        def on_a_full_disk(self: SentCommands, one: CommandOrder, status: str, at: int, reason: str = "") -> None:
            if full.pop() if full else False:
                raise sqlite3.OperationalError("database or disk is full")
            end(self, one, status, at, reason)

        monkeypatch.setattr(SentCommands, "end", on_a_full_disk)
        office.give(order())
        until(lambda: office.statuses() == [("c1", 1, "unsure")], 60)
    assert len(heard(ears, 1)) == 1 and nothing_more(ears)


@pytest.mark.mosquitto
def test_an_order_that_runs_out_while_others_are_said_is_not_said_late(
    mosquitto: Mosquitto, tmp_path: Path, ears: MqttListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = Office()
    with runner(tmp_path, mosquitto.url, office) as running:
        until(lambda: running._publisher.is_connected, 60)
        second = order("c2", device="plug-2", port=2, lasting=300_000)
        now, later = running._now, second.expires_at + 1
        say = running._publisher.say

        def slowly(topic: str, payload: bytes, *, timeout_seconds: float, expires_seconds: float) -> Said:
            monkeypatch.setattr(running, "_now", lambda: max(now(), later))
            return say(topic, payload, timeout_seconds=timeout_seconds, expires_seconds=expires_seconds)

        monkeypatch.setattr(running._publisher, "say", slowly)
        office.give(order(lasting=600_000), second)
        until(lambda: len(office.outcomes) == 2, 60)
    assert sorted(office.statuses()) == [("c1", 1, "sent"), ("c2", 1, "expired")]
    assert len(heard(ears, 1)) == 1 and nothing_more(ears)


def test_waiting_is_in_order_spaced_and_never_late() -> None:
    waiting = Waiting()
    orders = [CommandOrder(f"c{n}", 1, "d1" if n < 3 else "d2", "", "cut", {}, n, 1000 + n * 100) for n in (2, 1, 3)]
    for one in (*orders, *orders):
        waiting.add(one)
    assert len(waiting) == 3
    assert {one.id for one in waiting.due(0, lambda _: 500)} == {"c1", "c3"}
    waiting.said["d1"] = 0
    assert [one.id for one in waiting.due(400, lambda _: 500)] == ["c3"]
    assert {one.id for one in waiting.due(500, lambda _: 500)} == {"c1", "c3"}
    waiting.said["d1"] = 5_000  # the clock was put back
    assert {one.id for one in waiting.due(600, lambda _: 500)} == {"c1", "c3"}
    assert [one.id for one in waiting.take_expired(1_150)] == ["c1"]
    assert len(waiting) == 2


def test_what_a_critical_alarm_orders_goes_first_and_what_would_undo_it_is_not_said() -> None:
    waiting = Waiting()
    said = [("c1", "port:1", False), ("c2", "port:2", False), ("c3", "port:1", True), ("c4", "port:3", True)]
    orders = {id: CommandOrder(id, 1, "d1", child, "set", {}, 1, 10**6, urgent) for id, child, urgent in said}
    waiting.note_said(orders["c1"], 0)
    for one in orders.values():
        waiting.add(one)
    assert [one.id for one in waiting.take_overtaken(orders["c3"])] == ["c1"]
    assert waiting.take_overtaken(orders["c2"]) == []

    def due(now: int) -> list[str]:
        return [one.id for one in waiting.due(now, lambda _: 500)]

    assert due(1) == ["c3"], "it does not wait behind what people asked for"
    waiting.note_said(orders["c3"], 1)
    waiting.remove(orders["c3"])
    assert (due(100), due(501)) == ([], ["c4"]), "a device that is flooded loses what it is told"
    waiting.note_said(orders["c4"], 501)
    waiting.remove(orders["c4"])
    assert (due(600), due(1001)) == ([], ["c2"])


@pytest.mark.mosquitto
def test_an_order_that_waits_gives_way_to_a_critical_one(tmp_path: Path, mosquitto: Mosquitto) -> None:
    office = Office()
    office.orders_ += [order("c1"), msgspec.structs.replace(order("c2"), urgent=True)]
    with runner(tmp_path, mosquitto.url, office):
        until(lambda: len(office.outcomes) == 2, 60)
    assert sorted(office.statuses()) == [("c1", 1, "expired"), ("c2", 1, "sent")]


def test_old_reports_are_forgotten_and_new_ones_are_not(tmp_path: Path) -> None:
    sent = SentCommands(tmp_path / "commands.db")
    sent.open()
    for id, at in (("old", 0), ("new", now_millis())):
        sent.end(order(id), "sent", at)
    sent.reported(sent.unreported())
    sent.forget_old(now_millis())
    sent.close()
    with sqlite3.connect(tmp_path / "commands.db") as db:
        assert [row[0] for row in db.execute("SELECT id FROM sent")] == ["new"]
    db.close()
