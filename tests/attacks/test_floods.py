"""Who may publish may flood. What names are made up must stay bounded, and the others must not notice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from gateway.decode import decoder as decoding
from gateway.journal import Journal, NewQuarantine
from gateway.reading import DeviceEntry, Reading
from gateway.telemetry.sqlite import MOST_SERIES_PER_DEVICE, SqliteTelemetry
from services.intake import hearing
from services.sites.store import unclaimed_devices
from services.tables import device_states
from tests.gateway.decode.mini import NOW, decoder, error, flat
from tests.stories.site import MIDNIGHT, Story, opened

DAY = 24 * 3600 * 1000


# --- quarantine: all of a message counts, not only its payload -------------------------------------------------------

CAP = 500_000


def poison(n: int, *, topic: str = "t", payload: bytes = b"") -> NewQuarantine:
    return NewQuarantine(
        NOW + n, n, f"{topic}{n}", payload, False, "malformed", "found an empty payload, expected JSON"
    )


def journal(path: Path) -> Journal:
    made = Journal(path, consumers=("services",), quarantine_max_bytes=CAP)
    made.start()
    return made


@pytest.mark.parametrize(
    ("topic", "payload", "floods"),
    [("t", b"", 20_000), ("t" * 60_000, b"", 50), ("水" * 20_000, b"", 50), ("t", b"x" * 50_000, 60)],
    ids=["empty payloads", "long topics", "long topics of wide characters", "long payloads"],
)
def test_a_flood_of_poison_takes_no_more_room_than_the_cap(
    tmp_path: Path, topic: str, payload: bytes, floods: int
) -> None:
    path = tmp_path / "journal.db"
    made = journal(path)
    for start in range(0, floods, 500):
        numbers = range(start, min(start + 500, floods))
        made.append([], [poison(n, topic=topic, payload=payload) for n in numbers])
    kept = made.stats().quarantine_entries
    newest = made.reader()
    assert newest.quarantine(limit=1)[0].topic == f"{topic}{floods - 1}"
    newest.close()
    made.close()
    assert 0 < kept < floods
    assert path.stat().st_size < 3 * CAP
    again = journal(path)
    assert again.stats().quarantine_entries == kept
    again.append([], [poison(floods, topic=topic, payload=payload)])
    assert again.stats().quarantine_entries <= kept + 1, "what was counted before the restart is counted the same after"
    again.close()


# --- devices nobody knows --------------------------------------------------------------------------------------------


def test_made_up_addresses_are_taken_up_to_a_number_a_day_and_then_quarantined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.decode.routes.MOST_STRANGERS", 20)
    made = decoder(flat(power="p"), entries=(DeviceEntry(id="pump", profile="mini", address="known", site="yard"),))
    for n in range(20):
        made.decode(f"t/made-up-{n}", b'{"p": 1}', NOW + n)
    refused = error_of(made, "t/one-more", NOW + 100)
    assert (refused.code, refused.field) == ("too_many", "address")
    assert "stands in no site file" in str(refused)
    assert "at most 20" in str(refused)
    assert made.decode("t/known", b'{"p": 1}', NOW + 101)[0].device == "pump"
    assert made.decode("t/made-up-3", b'{"p": 1}', NOW + 102)[0].device == "mini:made-up-3"
    # Tomorrow a device that is really new has its chance again.
    assert made.decode("t/one-more", b'{"p": 1}', NOW + DAY)[0].device == "mini:one-more"


def test_a_clock_that_goes_back_does_not_keep_strangers_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.decode.routes.MOST_STRANGERS", 1)
    made = decoder(flat(power="p"))
    made.decode("t/first", b'{"p": 1}', NOW)
    assert made.decode("t/second", b'{"p": 1}', NOW - 30 * DAY)[0].device == "mini:second"


def test_a_replay_of_old_messages_does_not_begin_the_day_of_strangers_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.decode.routes.MOST_STRANGERS", 1)
    made = decoder(flat(power="p"))
    made.decode("t/first", b'{"p": 1}', NOW)
    with pytest.raises(decoding.DecodeError) as caught:
        made.decode_as_history("t/second", b'{"p": 1}', NOW - 30 * DAY, False, made.memory)
    assert caught.value.code == "too_many"
    assert error_of(made, "t/third", NOW + 1).code == "too_many", "what is live is bounded as before the replay"
    assert made.decode("t/third", b'{"p": 1}', NOW + DAY)[0].device == "mini:third"


def error_of(made: decoding.Decoder, topic: str, now: int) -> decoding.DecodeError:
    with pytest.raises(decoding.DecodeError) as caught:
        made.decode(topic, b'{"p": 1}', now)
    return caught.value


def test_a_fan_out_is_refused_as_a_whole() -> None:
    binding = flat(power="p") | {
        "each": [{"child": "port", "over": "ports", "key": "{n}", "fields": {"port_power": "w"}}]
    }
    payload = '{"ports": [' + ",".join(f'{{"n": {n}, "w": 1}}' for n in range(20_000)) + "]}"
    assert error(binding, payload).code == "too_many"


# --- children that a known device makes up ---------------------------------------------------------------------------


def child(n: int, *, device: str = "pumps", at: int = NOW) -> Reading:
    return Reading(device, f"pump:x{n}", at + n, at + n, "t", {"current": 1.0})


def test_the_history_keeps_a_number_of_children_per_device(tmp_path: Path) -> None:
    store = SqliteTelemetry(tmp_path / "telemetry.db")
    store.start()
    store.write([child(n) for n in range(MOST_SERIES_PER_DEVICE + 500)])
    store.write([child(7, at=NOW + DAY), child(1, device="gate")])
    assert store.refused == 500
    assert store.count() == MOST_SERIES_PER_DEVICE + 2
    store.close()


def test_the_history_forgets_names_with_their_last_reading(tmp_path: Path) -> None:
    store = SqliteTelemetry(tmp_path / "telemetry.db")
    store.start()
    store.write([child(n) for n in range(MOST_SERIES_PER_DEVICE)])
    store.expire(NOW + DAY)
    store.write([child(n, at=NOW + DAY) for n in range(10_000, 10_100)])
    assert (store.refused, store.count()) == (0, 100)
    store.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Story]:
    database = opened(f"sqlite:///{tmp_path / 'site.db'}")
    yield Story(database)
    database.close()


def states(site: Story) -> int:
    with site.database.read() as connection:
        return connection.scalar(select(func.count()).select_from(device_states)) or 0


def test_a_device_that_makes_up_children_cannot_fill_the_database(site: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "_MOST_CHILDREN", 10)
    site.keeps_saying("pumps", pressure=0.5)
    for n in range(300):
        site.says("pumps", f"pump:x{n}", current=1.0)
    assert states(site) < 20
    assert site.intake.refused_children > 280
    # The others go on, and so does the device itself.
    site.says("gate-1", door="forced").expect_alarms("forced")
    assert site.says("pumps", pressure=0.4).device("pumps").latest.values == {"pressure": 0.4}


def test_a_device_with_too_many_children_still_counts_as_heard(site: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "_MOST_CHILDREN", 1)
    site.says("pumps", "pump:1", current=1.0)
    for minute in range(1, 15):
        site.at(f"00:{minute:02}").says("pumps", f"pump:x{minute}", current=1.0)
    assert site.device("pumps").latest.presence in ("online", "stale")


def test_strangers_that_fell_silent_make_room(site: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "_MOST_UNCLAIMED", 5)
    site.deliver(*(site.reading(f"pumps:made-up-{n}", values={"pressure": 1.0}) for n in range(20)))
    assert strangers(site) == {f"pumps:made-up-{n}" for n in range(5)}
    site.clock.time = MIDNIGHT + timedelta(hours=23)
    site.deliver(site.reading("pumps:made-up-2", values={"pressure": 1.0}))
    site.clock.time = MIDNIGHT + timedelta(hours=25)
    site.intake.forget_unclaimed(site.clock.time)
    site.deliver(site.reading("pumps:really-new", values={"pressure": 1.0}))
    assert strangers(site) == {"pumps:made-up-2", "pumps:really-new"}
    assert site.device("pumps").id == "pumps"


def strangers(site: Story) -> set[str]:
    with site.database.read() as connection:
        return {device.id for device in unclaimed_devices(connection)}
