"""The daily digest: alarms below major come once a day, together, and never twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import delete, update

from device_profiles.schema import Text
from services.database import Database
from services.notices.digest import Day, DigestAlarm, day_of, digest
from services.notices.digests import Digests
from services.notices.plan import Audience, Recipient
from services.tables import recipients
from tests.services.notices.sinks import HttpSink, SmtpSink, eventually
from tests.services.notices.test_outbox import House
from tests.stories.site import MIDNIGHT, YARD, Story, opened

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
READER = """
  - {id: calm, audience: engineers, channel: email, to: calm@example.org, lang: en, digest: "08:00", about: [alarm]}
  - {id: ruhig, audience: crew, channel: webhook, to: "https://e.example/calm", digest: "18:30", about: [alarm]}
"""
MARCH_2 = Day(
    date=date(2026, 3, 2),
    since=datetime(2026, 3, 1, tzinfo=UTC),
    until=datetime(2026, 3, 2, tzinfo=UTC),
)
EIGHT = Recipient(id="yard:calm", audience="engineers", channel="email", target="x@y.z", language="en", digest="08:00")
YARD_AUDIENCE = Audience(
    site="yard", name=Text(zh="小院", en="The Yard"), timezone="Asia/Shanghai", contact=Text(zh="", en="")
)


def an_alarm(id: str, hours: float, *, over: float | None = None, **changes: object) -> DigestAlarm:
    """Known so many hours after the day began, and over so many after it."""
    alarm = DigestAlarm(
        id=id,
        severity="minor",
        rule_name=Text(zh="门未关", en="Held open"),
        device_name=Text(zh="南门", en="South gate"),
        known_at=MARCH_2.since + timedelta(hours=hours),
        cleared_at=None if over is None else MARCH_2.since + timedelta(hours=over),
        is_suppressed=False,
        flaps=0,
        step=0,
    )
    return replace(alarm, **changes)  # type: ignore[arg-type]


def of(*alarms: DigestAlarm, to: Recipient = EIGHT):  # type: ignore[no-untyped-def]
    return digest(YARD_AUDIENCE, to, MARCH_2, alarms, public_url="http://c.example")


# --- what belongs to a day --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "at", "now", "expected", "hours"),
    [
        (SHANGHAI, "08:00", "2026-03-02T00:01:00Z", "2026-03-02", 24),
        (SHANGHAI, "08:00", "2026-03-02T00:00:59Z", "2026-03-01", 24),
        (SHANGHAI, "00:00", "2026-03-01T16:01:00Z", "2026-03-02", 24),
        (BERLIN, "08:00", "2026-03-29T06:01:00Z", "2026-03-29", 23),
        (BERLIN, "02:30", "2026-03-29T01:01:00Z", "2026-03-29", 23.5),
        (BERLIN, "08:00", "2026-10-25T07:01:00Z", "2026-10-25", 25),
        (BERLIN, "02:30", "2026-10-25T00:31:00Z", "2026-10-25", 24),
        (BERLIN, "02:30", "2026-10-25T01:31:00Z", "2026-10-25", 24),
    ],
)
def test_a_day_ends_at_its_time_on_the_clock_of_the_site(
    zone: ZoneInfo, at: str, now: str, expected: str, hours: float
) -> None:
    """Also where the clock skips that time, or shows it twice: one digest a day."""
    day = day_of(at, zone, datetime.fromisoformat(now))
    assert day.date.isoformat() == expected
    assert day.until - day.since == timedelta(hours=hours)


def test_one_day_begins_where_the_other_ended() -> None:
    now, days = datetime(2026, 10, 20, 12, tzinfo=UTC), []
    for _ in range(10):
        days.append(day_of("02:30", BERLIN, now))
        now += timedelta(days=1)
    assert all(one.until == after.since for one, after in pairwise(days))


def test_a_digest_counts_what_is_new_what_lasts_what_flaps_and_what_was_suppressed() -> None:
    notice = of(
        an_alarm("a", 1),
        an_alarm("b", 2, over=3, flaps=7),
        an_alarm("c", -10),
        an_alarm("d", -10, over=5),
        an_alarm("e", 4, is_suppressed=True),
        an_alarm("f", 5, severity="major"),
    )
    assert notice is not None
    assert notice.data["counts"] == {"new": 2, "still": 1, "flapping": 1, "suppressed": 1}
    assert notice.title == "The Yard · alarms until 2026-03-02: 2 new, 2 still active"
    assert "- [Minor] Held open · South gate · 7 times\n  http://c.example/alarms/b" in notice.body
    assert "2026-03-01 10:00, cleared 2026-03-01 11:00" in notice.body, "times are the site's"
    assert "Suppressed: 1" in notice.body
    assert "/alarms/f" not in notice.body
    assert notice.key == "digest:yard:2026-03-02:yard:calm"


def test_a_day_without_a_new_alarm_brings_none() -> None:
    assert of() is None
    assert of(an_alarm("c", -10), an_alarm("e", 4, is_suppressed=True)) is None


def test_it_holds_only_what_somebody_wants() -> None:
    assert of(an_alarm("a", 1, severity="warning"), to=replace(EIGHT, min_severity="minor")) is None
    assert of(an_alarm("a", 1), to=replace(EIGHT, step=1)) is None
    assert of(an_alarm("a", 1, step=1), to=replace(EIGHT, step=1)) is not None


def test_a_long_day_is_cut_in_words_and_counted_whole() -> None:
    notice = of(*(an_alarm(f"a{number}", 1) for number in range(300)), to=replace(EIGHT, language="zh"))
    assert notice is not None
    assert notice.title == "小院 · 2026-03-02 告警汇总：新 300 条，仍未解除 300 条"
    assert notice.body.count("/alarms/a") == 20
    assert (notice.data["counts"]["new"], len(notice.data["new"])) == (300, 200)


# --- queued -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = opened(f"sqlite:///{tmp_path / 'digest.db'}")
    yield database
    database.close()


@pytest.fixture
def site(database: Database) -> Story:
    """At midnight UTC it is 08:00 in the yard."""
    return Story(database, text=YARD + READER).keeps_saying("gate-1", door="closed")


def digests(site: Story) -> Digests:
    return Digests(site.database, public_url="http://c.example")


def events(site: Story, who: str) -> list[str]:
    return [one.event for one in site.notices(who)]


def held_open_for_a_while(site: Story) -> None:
    site.at("00:05").keeps_saying("gate-1", door="open")
    site.at("00:10").expect_alarms("held").keeps_saying("gate-1", door="closed")
    site.at("00:11").expect_alarms()


def test_alarms_below_major_wait_for_the_digest_and_others_come_at_once(site: Story) -> None:
    held_open_for_a_while(site)
    assert events(site, "calm") == []
    assert events(site, "eng")[:2] == ["raised", "cleared"]
    site.keeps_saying("gate-1", door="forced").at("00:12").expect_alarms("forced")
    assert events(site, "calm") == ["raised"]


def test_it_is_queued_once_however_often_anybody_looks(site: Story) -> None:
    held_open_for_a_while(site)
    tomorrow = datetime(2026, 3, 3, 0, 1, tzinfo=UTC)
    assert digests(site).tick(tomorrow - timedelta(seconds=2)) == 1, "the other one's, of half past six"
    assert site.notices("calm") == []
    assert digests(site).tick(tomorrow) == 1
    again = digests(site)
    assert [again.tick(tomorrow + timedelta(minutes=n)) for n in range(3)] == [0, 0, 0]
    [notice] = site.notices("calm")
    assert (notice.event, notice.subject_kind, notice.subject_id) == ("digest", "digest", "yard")
    assert "Held open · South gate" in notice.body
    assert digests(site).tick(tomorrow + timedelta(days=1)) == 0, "the day after brought nothing new"


def test_who_was_down_in_the_morning_sends_it_later(site: Story) -> None:
    held_open_for_a_while(site)
    assert digests(site).tick(datetime(2026, 3, 3, 9, tzinfo=UTC)) == 2


def test_after_a_long_stop_one_digest_comes_late_and_says_which_days_it_covers(site: Story) -> None:
    """The alarms of the day on which services stopped are in it, and those of no day twice."""
    assert digests(site).tick(MIDNIGHT + timedelta(minutes=1)) == 0, "nothing yet"
    held_open_for_a_while(site)
    late = MIDNIGHT + timedelta(days=4, hours=3)
    assert digests(site).tick(late) == 2
    assert digests(site).tick(late + timedelta(hours=1)) == 0
    [notice] = site.notices("calm")
    assert notice.data["counts"]["new"] == 1
    assert notice.body.startswith(
        "The digests before this one could not be sent in time. It covers 2026-03-02 08:00 to 2026-03-06 08:00."
    )
    assert digests(site).tick(MIDNIGHT + timedelta(days=5, hours=3)) == 0, "in time again, and nothing new"


def test_who_changes_the_time_of_the_digest_misses_nothing_and_hears_nothing_twice(site: Story) -> None:
    digests(site).tick(MIDNIGHT + timedelta(minutes=1))
    held_open_for_a_while(site)
    with site.database.write() as connection:
        connection.execute(update(recipients).where(recipients.c.id == "yard:calm").values(digest="10:00"))
    assert digests(site).tick(MIDNIGHT + timedelta(hours=2, minutes=1)) == 1
    assert digests(site).tick(MIDNIGHT + timedelta(hours=26, minutes=1)) == 1, "the other one's"
    assert len(site.notices("calm")) == 1


def test_the_day_that_a_recipient_leaves_the_digest_takes_nothing_back(site: Story) -> None:
    held_open_for_a_while(site)
    with site.database.write() as connection:
        connection.execute(update(recipients).values(digest=None))
    assert digests(site).tick(datetime(2026, 3, 3, 9, tzinfo=UTC)) == 0


# --- and sent ---------------------------------------------------------------------------------------------------------


def test_a_digest_and_a_step_arrive_at_a_real_mail_server_and_a_real_web_server(site: Story, tmp_path: Path) -> None:
    with SmtpSink() as mail, HttpSink() as web:
        with site.database.write() as connection:
            connection.execute(delete(recipients).where(recipients.c.id.not_in(["yard:ruhig", "yard:calm"])))
            lead = {"target": web.url("/lead"), "step": 1, "digest": None, "language": "en"}
            connection.execute(update(recipients).where(recipients.c.id == "yard:ruhig").values(**lead))
        site.restart()
        held_open_for_a_while(site)
        site.keeps_saying("gate-1", door="forced").at("00:28")
        assert digests(site).tick(datetime(2026, 3, 3, 0, 1, tzinfo=UTC)) == 1
        house = House(tmp_path, site.database, smtp_url=mail.url)
        house.clock.at = datetime(2026, 3, 3, 0, 2, tzinfo=UTC)
        running = house.outbox()
        try:
            eventually(lambda: len(mail.mails) == 2 and len(web.received) == 1)
        finally:
            running.stop()
    letters = {str(letter["subject"]): letter for _, letter in mail.mails}
    assert set(letters) == {
        "[Critical] Alarm · Forced · South gate",
        "The Yard · alarms until 2026-03-03: 1 new, 0 still active",
    }
    body = letters["The Yard · alarms until 2026-03-03: 1 new, 0 still active"].get_body(("plain",))
    assert body is not None
    assert "Held open · South gate" in body.get_content()
    [step] = web.received
    assert (step.body["event"], step.body["step"], step.body["name"]["en"]) == ("step", 1, "Forced")
