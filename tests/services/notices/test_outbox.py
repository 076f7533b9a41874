from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select, update

from services.changes import Change, Changes
from services.context import Context
from services.database import Database, metadata
from services.ids import new_id
from services.notices import outbox as module
from services.notices import sending
from services.notices.channels import Channel, Delivered, Message, Outcome, Rejected
from services.notices.outbox import Bucket, Outbox, backoff, channels_of
from services.notices.sending import Lane, masked
from services.settings import Settings
from services.tables import notices
from tests.services.notices.sinks import HttpSink, SmtpSink, eventually

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


class HandClock:
    """Goes only when told to."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at

    def go(self, span: timedelta) -> None:
        self.at += span


class House:
    """A database with an outbox, and a clock in our hand."""

    def __init__(self, folder: Path, database: Database | None = None, **settings: Any) -> None:
        self.database = database or Database.sqlite(folder / "courtyard.db")
        if database is None:
            self.database.start()
        metadata.create_all(self.database.engine)
        self.clock = HandClock()
        self.changes = Changes()
        self.settings = Settings(data_dir=folder, webhook_allow_private=True, **settings)
        self.running: list[Outbox] = []

    def outbox(self, channels: dict[str, Channel] | None = None) -> Outbox:
        context: Any = Context(
            settings=self.settings,
            database=self.database,
            library={},
            telemetry=None,  # type: ignore[arg-type]  # the outbox has no use for it
            changes=self.changes,
            clock=self.clock,
            intake=None,  # type: ignore[arg-type]  # nor for this
        )
        made = Outbox(context, channels=channels, dice=lambda: 1.0)
        self.running.append(made)
        made.start()
        return made

    def queue(self, target: str, *, channel: str = "webhook", count: int = 1, key: str = "n") -> list[str]:
        keys = [f"{key}{number}" for number in range(count)]
        with self.database.write() as connection:
            for position, one in enumerate(keys):
                connection.execute(insert(notices).values(**self.row(one, channel, target, position)))
        self.changes.publish([Change("alarm", "a", "east")])
        return keys

    def row(self, key: str, channel: str, target: str, position: int) -> dict[str, Any]:
        return {
            "id": new_id(self.clock.now() + timedelta(milliseconds=position)),
            "key": key,
            "site": "east",
            "recipient": "crew",
            "channel": channel,
            "target": target,
            "subject_kind": "alarm",
            "subject_id": "a",
            "event": "raised",
            "title": "Pump low",
            "body": "0.4 bar",
            "data": {"key": key},
            "state": "queued",
            "created_at": self.clock.now(),
            "next_attempt_at": self.clock.now(),
        }

    def of(self, key: str) -> dict[str, Any]:
        with self.database.read() as connection:
            return dict(connection.execute(select(notices).where(notices.c.key == key)).mappings().one())

    def states(self) -> dict[str, str]:
        with self.database.read() as connection:
            return {row.key: row.state for row in connection.execute(select(notices.c.key, notices.c.state))}

    def close(self) -> None:
        for one in self.running:
            one.stop()
        self.database.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


@pytest.fixture
def sink() -> Iterator[HttpSink]:
    with HttpSink() as sink:
        yield sink


def test_no_failure_ends_the_worker(house: House, sink: HttpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    real, failed = sending.due_lanes, threading.Event()

    def fail_once(*args: Any) -> list[Lane]:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("can't start new thread")
        return real(*args)

    monkeypatch.setattr(sending, "due_lanes", fail_once)
    outbox = house.outbox()
    assert failed.wait(60)
    house.queue(sink.url())
    eventually(lambda: house.states() == {"n0": "delivered"})
    assert outbox.errors == 1


def test_old_notices_are_forgotten_and_what_waits_is_not(house: House) -> None:
    house.queue("http://127.0.0.1:9/", count=3)
    with house.database.write() as connection:
        connection.execute(update(notices).where(notices.c.key == "n0").values(state="delivered"))
        connection.execute(update(notices).where(notices.c.key == "n1").values(state="failed"))
    with house.database.write() as connection:
        assert sending.expire(connection, house.clock.now()) == 0
        assert sending.expire(connection, house.clock.now() + timedelta(seconds=1)) == 2
    assert house.states() == {"n2": "queued"}


def test_a_change_wakes_it_at_once(house: House, sink: HttpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    real, looked = sending.due_lanes, threading.Event()

    def look(*args: Any) -> list[Lane]:
        found = real(*args)
        looked.set()
        return found

    monkeypatch.setattr(sending, "due_lanes", look)
    monkeypatch.setattr(module, "_LOOK_EVERY", 3600.0)
    house.outbox()
    assert looked.wait(60)  # so that only the change can be the reason
    house.queue(sink.url())
    eventually(lambda: house.states() == {"n0": "delivered"})
    done = house.of("n0")
    assert (done["attempts"], done["last_error"], done["next_attempt_at"]) == (1, "", None)
    assert done["delivered_at"] == NOW


def test_notices_to_one_recipient_arrive_in_order(house: House, sink: HttpSink) -> None:
    keys = house.queue(sink.url(), count=60)
    house.outbox()
    eventually(lambda: set(house.states().values()) == {"delivered"})
    assert sink.keys() == keys


def test_a_bad_moment_is_tried_again_with_the_same_key(house: House, sink: HttpSink) -> None:
    sink.statuses["/hook"] = [503, 500, 200]
    worker = house.outbox()
    house.queue(sink.url())
    for attempt, pause in ((1, 2), (2, 4)):
        due_at = house.clock.now() + timedelta(seconds=pause)
        eventually(lambda due_at=due_at: house.of("n0")["next_attempt_at"] == due_at)
        waiting = house.of("n0")
        assert (waiting["state"], waiting["attempts"]) == ("queued", attempt)
        assert waiting["last_error"].startswith("answered 50")
        house.clock.go(timedelta(seconds=pause))
        worker.wake()
    eventually(lambda: house.states() == {"n0": "delivered"})
    assert sink.keys() == ["n0", "n0", "n0"]


def test_what_is_refused_fails_visibly_and_the_next_goes_on(house: House, sink: HttpSink) -> None:
    sink.statuses["/hook"] = [410, 200]
    house.queue(sink.url(), count=2)
    house.outbox()
    eventually(lambda: house.states() == {"n0": "failed", "n1": "delivered"})
    assert house.of("n0")["last_error"] == "answered 410: mend the URL or its secret"


def test_a_hanging_recipient_blocks_nobody(house: House, sink: HttpSink) -> None:
    sink.holds["/hangs"] = threading.Event()
    house.queue(sink.url("/hangs"), count=30, key="h")
    house.queue(sink.url(), count=30)
    house.outbox()
    eventually(lambda: len(sink.keys()) == 30 and len(sink.keys("/hangs")) == 1)
    sink.holds["/hangs"].set()
    eventually(lambda: set(house.states().values()) == {"delivered"})


def test_a_dead_recipient_is_not_hammered(house: House, sink: HttpSink) -> None:
    sink.statuses["/dead"] = [500]
    house.queue(sink.url("/dead"), count=40, key="d")
    worker = house.outbox()
    house.queue(sink.url())
    eventually(lambda: house.states()["n0"] == "delivered")
    eventually(lambda: house.of("d0")["last_error"] != "")
    for _ in range(20):
        worker.wake()
        time.sleep(0.01)
    assert len(sink.keys("/dead")) == 1, "the lane rests after a failure"
    house.clock.go(timedelta(seconds=2))
    worker.wake()
    eventually(lambda: len(sink.keys("/dead")) == 2)


def test_it_gives_up_after_about_a_day(house: House, sink: HttpSink) -> None:
    sink.statuses["/hook"] = [500]
    worker = house.outbox()
    house.queue(sink.url())
    for attempt in range(1, module.ATTEMPTS + 1):
        due_at = house.clock.now() + backoff(attempt, 1) if attempt < module.ATTEMPTS else None
        eventually(lambda due_at=due_at: house.of("n0")["next_attempt_at"] == due_at)
        assert len(sink.keys()) == attempt
        house.clock.go(timedelta(hours=4))
        worker.wake()
    eventually(lambda: house.states() == {"n0": "failed"})
    assert house.of("n0")["last_error"] == "given up: answered 500"
    hours = sum((backoff(n, 0.5) for n in range(1, module.ATTEMPTS)), timedelta()) / timedelta(hours=1)
    assert 12 < hours < 30


def test_a_killed_worker_loses_nothing(house: House, sink: HttpSink) -> None:
    """The claim of a worker that died is a lease: another takes over when it ends, not before."""
    house.queue(sink.url())
    with house.database.write() as connection:
        lane = Lane("webhook", sink.url())
        assert len(sending.claim(connection, lane, now=NOW, lease=module.LEASE, limit=5)) == 1
        assert sending.claim(connection, lane, now=NOW, lease=module.LEASE, limit=5) == []
    worker = house.outbox()
    time.sleep(0.1)
    assert sink.received == []
    house.clock.go(module.LEASE)
    worker.wake()
    eventually(lambda: house.states() == {"n0": "delivered"})
    assert house.of("n0")["attempts"] == 2


def test_two_workers_send_each_notice_once(house: House, sink: HttpSink) -> None:
    keys = house.queue(sink.url(), count=80)
    house.outbox()
    house.outbox()
    eventually(lambda: set(house.states().values()) == {"delivered"})
    assert sorted(sink.keys()) == sorted(keys)


def test_it_stops_within_two_seconds_and_gives_back_what_it_did_not_begin(
    house: House, sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.notices.channels.webhook._TIMEOUT", httpx.Timeout(300))  # the recipient hangs on
    sink.holds["/hook"] = threading.Event()
    house.queue(sink.url(), count=10)
    worker = house.outbox()
    eventually(lambda: len(sink.received) == 1)
    begun = time.monotonic()
    worker.stop()
    assert time.monotonic() - begun < 60, "it waited for a recipient who hangs for two minutes"
    sink.holds["/hook"].set()
    house.clock.go(module.LEASE)
    house.outbox()
    eventually(lambda: set(house.states().values()) == {"delivered"})
    assert sorted(set(sink.keys())) == [f"n{number}" for number in range(10)]
    assert len(sink.keys()) <= 11, "at most the one that was under way is there twice"


def test_a_secret_target_is_read_when_sent_and_kept_nowhere(
    house: House, sink: HttpSink, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CREW_HOOK", sink.url("/s3cret"))
    sink.statuses["/s3cret"] = [404]
    house.queue("env:CREW_HOOK")
    house.queue("env:NOT_SET", key="m")
    house.outbox()
    eventually(lambda: set(house.states().values()) == {"failed"})
    assert len(sink.keys("/s3cret")) == 1
    assert house.of("m0")["last_error"] == "the environment variable NOT_SET is not set"
    assert house.of("n0")["target"] == "env:CREW_HOOK"
    assert "s3cret" not in str(house.of("n0")) + "".join(capsys.readouterr())


def test_mail_and_webhook_and_an_unknown_channel_together(tmp_path: Path, sink: HttpSink) -> None:
    with SmtpSink() as mail:
        house = House(tmp_path, smtp_url=mail.url)
        house.queue("li@homes.example", channel="email", key="m")
        house.queue(sink.url())
        house.queue("x", channel="pigeon", key="p")
        house.outbox()
        eventually(lambda: house.states() == {"m0": "delivered", "n0": "delivered", "p0": "failed"})
        assert "pigeon" in house.of("p0")["last_error"]
        assert mail.mails[0][1]["subject"] == "Pump low"
        house.close()


def test_a_channel_with_a_bug_costs_an_attempt_not_the_worker(house: House) -> None:
    class Buggy:
        def send(self, message: Message) -> Outcome:
            raise ZeroDivisionError

        def close(self) -> None: ...

    class Fine:
        def __init__(self) -> None:
            self.got: list[str] = []

        def send(self, message: Message) -> Outcome:
            self.got.append(message.key)
            return Delivered()

        def close(self) -> None: ...

    fine = Fine()
    house.queue("x", channel="buggy", key="b")
    house.queue("y", channel="fine")
    worker = house.outbox({"buggy": Buggy(), "fine": fine})
    eventually(lambda: fine.got == ["n0"] and bool(house.of("b0")["last_error"]))
    assert house.of("b0")["last_error"] == "the channel failed: ZeroDivisionError"
    assert worker.errors == 1


def test_a_database_that_does_not_answer_is_waited_for(house: House, sink: HttpSink) -> None:
    worker = house.outbox()
    with house.database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE notices RENAME TO away")
    worker.wake()
    eventually(lambda: worker.errors > 0)
    with house.database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO notices")
    house.queue(sink.url())
    eventually(lambda: house.states() == {"n0": "delivered"})


def test_a_failed_notice_can_be_sent_again_within_the_scope(house: House, sink: HttpSink) -> None:
    sink.statuses["/hook"] = [404, 200]
    house.queue(sink.url())
    worker = house.outbox()
    eventually(lambda: house.states() == {"n0": "failed"})
    notice = house.of("n0")["id"]
    with house.database.write() as connection:
        assert sending.requeue(connection, frozenset({"west"}), notice, now=NOW) is None
        assert sending.requeue(connection, frozenset({"east"}), notice, now=NOW)
    worker.wake()
    eventually(lambda: house.states() == {"n0": "delivered"})


def test_pauses_double_up_to_hours_and_are_spread() -> None:
    assert backoff(1, 1) == timedelta(seconds=2)
    assert backoff(4, 1) == timedelta(seconds=16)
    assert backoff(4, 0) == timedelta(seconds=8)
    assert backoff(99, 1) == timedelta(hours=4)


def test_a_bucket_gives_its_burst_then_its_rate() -> None:
    bucket = Bucket(10, timedelta(seconds=3))
    assert bucket.take(25, NOW) == 10
    assert bucket.take(25, NOW + timedelta(seconds=2.9)) == 0
    assert bucket.take(25, NOW + timedelta(seconds=9)) == 3
    assert bucket.take(25, NOW - timedelta(hours=1)) == 0, "a clock set back gives nothing"
    assert bucket.take(25, NOW + timedelta(days=1)) == 10


def test_a_bot_gets_no_more_than_it_takes(house: House) -> None:
    class Bot:
        def __init__(self) -> None:
            self.got = 0

        def send(self, message: Message) -> Outcome:
            self.got += 1
            return Delivered()

        def close(self) -> None: ...

    bot = Bot()
    house.queue("wecombot://x", channel="apprise", count=40)
    worker = house.outbox({"apprise": bot})
    eventually(lambda: bot.got == 10)
    for _ in range(3):
        worker.wake()
        time.sleep(0.02)
    assert bot.got == 10
    house.clock.go(timedelta(seconds=32))
    worker.wake()
    eventually(lambda: bot.got == 20)


def test_shown_targets_hide_what_is_secret() -> None:
    assert masked("https://hooks.example.org/T0/secret") == "https://hooks.example.org/…"
    assert masked("https://user:pw@hooks.example.org/x") == "https://hooks.example.org/…"
    assert masked("wecombot://KEY") == "wecombot://…"
    assert masked("li.wei@homes.example") == "l…@homes.example"
    assert masked("env:CREW_HOOK") == "env:CREW_HOOK"
    assert masked("13800138000") == "…"


def test_every_channel_of_the_settings_is_there(tmp_path: Path) -> None:
    channels = channels_of(Settings(data_dir=tmp_path))
    assert set(channels) == {"webhook", "email", "apprise"}
    outcome = channels["webhook"].send(Message(key="k", target="http://127.0.0.1:9/", title="t", body="b"))
    assert isinstance(outcome, Rejected), "private addresses are refused unless the settings say otherwise"
    for channel in channels.values():
        channel.close()


@pytest.mark.postgresql
def test_on_postgresql_two_workers_claim_each_notice_once(postgresql_url: str, tmp_path: Path, sink: HttpSink) -> None:
    database = Database(postgresql_url)
    database.start()
    house = House(tmp_path, database)
    house.outbox()
    house.outbox()
    keys = house.queue(sink.url(), count=60)
    eventually(lambda: set(house.states().values()) == {"delivered"})
    assert sorted(sink.keys()) == sorted(keys)
    house.close()
