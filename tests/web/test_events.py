"""Events on the device page: in words of both languages, with how bad they are, and since when they last."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from device_profiles.schema import EventKind, Severity, Text
from gateway.reading import Event, Quality, Reading
from services.clock import to_millis
from services.events.store import keep, rows_of
from services.tables import device_states
from tests.web.conftest import Courtyard
from tests.web.seed import SITE

GATE = "gate-1"
PATH = f"/devices/{GATE}"


def tell(courtyard: Courtyard, minutes: int, *events: Event, quality: Quality = Quality.GOOD) -> None:
    at = courtyard.context.clock.now() - timedelta(minutes=minutes)
    reading = Reading(GATE, "", to_millis(at), 0, "event", {}, events=events, quality=quality)
    with courtyard.context.database.write() as connection:
        keep(connection, rows_of(reading, GATE, SITE))


def events_of(courtyard: Courtyard, language: str = "en") -> str:
    text = courtyard.client("chen.yu", language=language).get(PATH).text
    return text.split('id="events"', 1)[1].split("</section>", 1)[0]


def test_a_device_to_which_nothing_happened_says_so(courtyard: Courtyard) -> None:
    assert "No events yet" in events_of(courtyard)
    assert "还没有事件" in events_of(courtyard, "zh-CN")


def test_events_have_their_names_their_data_and_their_quality(courtyard: Courtyard) -> None:
    tell(courtyard, 5, Event("passed", {"by": "card", "who": "p-7f3a"}))
    tell(courtyard, 300, Event("refused", {}), quality=Quality.LATE)
    shown = events_of(courtyard)
    assert shown.index("Passed") < shown.index("Refused")
    assert "by: card · who: p-7f3a" in shown
    assert "arrived late" in shown
    assert "刷卡通过" in events_of(courtyard, "zh-CN")


def test_data_off_the_wire_is_text_and_no_markup(courtyard: Courtyard) -> None:
    tell(courtyard, 5, Event("passed", {"who": "<script>alert(1)</script>"}))
    assert "<script>alert" not in events_of(courtyard)


def test_what_lasts_stands_among_the_values_with_its_beginning(
    courtyard: Courtyard, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = courtyard.context.library["access_gate_json"]
    prised = EventKind(name=Text(zh="撬门", en="Prised open"), lasting=True, severity=Severity.MAJOR)
    changed = profile.model_copy(update={"events": {**profile.events, "prised": prised}})
    monkeypatch.setattr(courtyard.context.library, "_profiles", {"access_gate_json": (changed, None)}, raising=False)
    assert "Prised open" not in courtyard.client("chen.yu", language="en").get(PATH).text
    tell(courtyard, 20, Event("prised", {}, "begin"))
    with courtyard.context.database.write() as connection:
        connection.execute(
            update(device_states)
            .where(device_states.c.device == GATE, device_states.c.child == "")
            .values(values={"prised": True}, value_times={"prised": to_millis(courtyard.context.clock.now())})
        )
    text = courtyard.client("chen.yu", language="en").get(PATH).text
    now = text.split("<h2>Now</h2>", 1)[1].split("</section>", 1)[0]
    assert "Prised open" in now
    assert "ongoing" in now
    assert "since" in now
    assert "Prised open begins" in events_of(courtyard)
    assert "Major" in events_of(courtyard)
    assert "撬门 开始" in events_of(courtyard, "zh-CN")
