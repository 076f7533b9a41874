"""A site's life on Grafana's time line: real intake and tickets on one side, Grafana's HTTP API on the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from dashboards.grafana import GrafanaRefused
from services import bootstrap
from services.clock import SystemClock, to_millis
from services.grafana import annotate, record
from services.grafana.annotate import Annotator
from services.grafana.episodes import Episodes
from services.scope import EVERYWHERE
from services.settings import Settings
from services.tables import devices
from tests.dashboards.grafana_server import EDITOR, GrafanaServer, running
from tests.stories.site import MIDNIGHT, Story, opened


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Story]:
    with closing(opened(f"sqlite:///{tmp_path / 'courtyard.db'}")) as database:
        yield Story(database)


@pytest.fixture(params=("10.4.2", "13.2.3"))
def grafana(request: pytest.FixtureRequest) -> Iterator[GrafanaServer]:
    with running(request.param) as server:
        yield server


@pytest.fixture
def keeper(site: Story, grafana: GrafanaServer, tmp_path: Path) -> Iterator[Annotator]:
    with ExitStack() as stack:
        yield keeper_of(stack, site, grafana, tmp_path)


def keeper_of(stack: ExitStack, site: Story, grafana: GrafanaServer, folder: Path, **options: Any) -> Annotator:
    made = Annotator(
        database=site.database,
        clock=site.clock,
        url=grafana.url,
        token=EDITOR,
        episodes=Episodes("http://c.example", "en"),
        data_dir=folder,
        **options,
    )
    stack.callback(made.stop)
    return made


def shown(grafana: GrafanaServer, kind: str) -> list[dict[str, Any]]:
    return [one for one in grafana.annotations.values() if kind in one["tags"]]


def no_water(site: Story) -> Story:
    return site.keeps_saying("pumps", pressure=0.2).at("00:02")


def test_an_alarm_and_its_outage_open_when_they_begin_and_close_when_they_end(
    site: Story, grafana: GrafanaServer, keeper: Annotator
) -> None:
    no_water(site)
    assert keeper.round(site.clock.now()).written == 2
    (alarm,), (outage,) = shown(grafana, "alarm"), shown(grafana, "outage")
    assert alarm["tags"][0] == f"courtyard:alarm-{site.alarms()[0].id}"
    assert {"site:yard", "device:pumps"} <= set(alarm["tags"])
    assert alarm["time"] == to_millis(site.alarms()[0].raised_at)
    assert alarm["timeEnd"] > to_millis(site.clock.now()), "whoever looks at now sees that it goes on"
    assert "Pressure low" in alarm["text"] and f"http://c.example/alarms/{site.alarms()[0].id}" in alarm["text"]
    assert "households" in outage["text"]

    site.keeps_saying("pumps", pressure=0.6).at("00:10").expect_alarms().expect_no_outage()
    assert keeper.round(site.clock.now()).written == 2
    (alarm,), (outage,) = shown(grafana, "alarm"), shown(grafana, "outage")
    assert alarm["timeEnd"] == to_millis(site.alarms("cleared")[0].cleared_at or MIDNIGHT)
    assert outage["timeEnd"] == to_millis(site.outages("restored")[0].restored_at or MIDNIGHT)
    assert len(grafana.annotations) == 2


def test_work_on_a_ticket_is_a_region_from_its_beginning_to_its_closing(
    site: Story, grafana: GrafanaServer, keeper: Annotator
) -> None:
    ticket = no_water(site).tickets()[0]
    keeper.round(site.clock.now())
    assert shown(grafana, "ticket") == [], "nobody has begun"
    site.at("00:05").desk.start(EVERYWHERE, ticket.id, by="li.wei", version=ticket.version, now=site.clock.now())
    keeper.round(site.clock.now())
    (work,) = shown(grafana, "ticket")
    assert work["time"] == to_millis(MIDNIGHT + timedelta(minutes=5))
    assert f"#{ticket.number}" in work["text"]
    assert "li.wei" not in str(grafana.annotations), "who works is nobody's business there"

    site.keeps_saying("pumps", pressure=0.6).at("00:30")
    site.desk.close(
        EVERYWHERE, ticket.id, by="li.wei", version=site.ticket(ticket.id).version, now=site.clock.now(), note="done"
    )
    keeper.round(site.clock.now())
    assert shown(grafana, "ticket")[0]["timeEnd"] == to_millis(site.ticket(ticket.id).closed_at or MIDNIGHT)


def test_a_round_without_news_asks_nothing_and_one_from_scratch_changes_nothing(
    site: Story, grafana: GrafanaServer, keeper: Annotator, tmp_path: Path
) -> None:
    keeper_round = keeper.round(no_water(site).clock.now())
    assert keeper_round.written == 2
    grafana.down = True
    assert keeper.round(site.at("00:03").clock.now()).written == 0, "nothing new, nothing asked"
    grafana.down = False
    (tmp_path / "grafana-annotations.json").unlink()
    with ExitStack() as stack:
        assert keeper_of(stack, site, grafana, tmp_path).round(site.clock.now()).written == 0
    assert len(grafana.annotations) == 2


def test_a_grafana_that_was_away_gets_it_all_when_it_is_back(
    site: Story, grafana: GrafanaServer, keeper: Annotator, tmp_path: Path
) -> None:
    grafana.down = True
    no_water(site)
    for times in (1, 2):
        with pytest.raises(GrafanaRefused):
            keeper.round(site.clock.now())
        seen = record.read(tmp_path)
        assert seen is not None and seen.failures == times
        assert "no success yet" in seen.in_words() and "not ready" in seen.in_words()
    site.keeps_saying("pumps", pressure=0.6).at("00:10")
    grafana.down = False
    assert keeper.round(site.clock.now()).written == 2
    seen = record.read(tmp_path)
    assert seen is not None and seen.failures == 0 and seen.in_words().startswith("up to date at 20")
    (alarm,) = shown(grafana, "alarm")
    assert alarm["timeEnd"] < to_millis(site.clock.now())


def test_what_goes_on_for_days_is_prolonged_and_never_doubled(
    site: Story, grafana: GrafanaServer, keeper: Annotator, tmp_path: Path
) -> None:
    keeper.round(no_water(site).clock.now())
    for hours in range(1, 60):
        now = site.clock.now() + timedelta(hours=hours)
        keeper.round(now)
        (alarm,) = shown(grafana, "alarm")
        assert alarm["timeEnd"] > to_millis(now)
    # And after weeks without Courtyard: the annotation ended long before the window that is looked at.
    later = site.clock.now() + timedelta(days=50)
    with ExitStack() as stack:
        keeper_of(stack, site, grafana, tmp_path).round(later)
    (alarm,) = shown(grafana, "alarm")
    assert alarm["timeEnd"] > to_millis(later)


def test_two_that_annotate_at_once_leave_one_of_each(
    site: Story, grafana: GrafanaServer, keeper: Annotator, tmp_path: Path
) -> None:
    keeper.round(no_water(site).clock.now())
    twins = [{**one, "id": grafana.number()} for one in grafana.annotations.values()]
    grafana.annotations |= {one["id"]: one for one in twins}
    with ExitStack() as stack:
        keeper_of(stack, site, grafana, tmp_path).round(site.clock.now())
    assert len(shown(grafana, "alarm")) == len(shown(grafana, "outage")) == 1


def test_hostile_names_are_words_and_not_html(site: Story, grafana: GrafanaServer, keeper: Annotator) -> None:
    with site.database.write() as connection:
        connection.execute(update(devices).values(name_en="<script>alert(1)</script>"))
    keeper.round(no_water(site).clock.now())
    assert "&lt;script&gt;" in shown(grafana, "alarm")[0]["text"]
    assert "<script>" not in str(grafana.annotations)


def test_one_that_is_refused_keeps_no_other(
    site: Story, grafana: GrafanaServer, keeper: Annotator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_water(site)
    ask = Episodes._text
    monkeypatch.setattr(
        Episodes, "_text", lambda self, head, *rest: "" if "Pressure" in head else ask(self, head, *rest)
    )
    assert keeper.round(site.clock.now()).refused
    assert shown(grafana, "alarm") == [] and len(shown(grafana, "outage")) == 1
    seen = record.read(tmp_path)
    assert seen is not None and "Failed to save annotation" in seen.in_words()


def test_many_go_in_rounds_that_end_and_answers_come_in_pages(
    site: Story, grafana: GrafanaServer, keeper: Annotator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(annotate, "_WRITES", 3)
    monkeypatch.setattr(annotate, "_PAGE", 4)
    for minute in range(2, 32, 6):
        site.keeps_saying("pumps", pressure=0.2).at(f"00:{minute + 2:02}")
        site.keeps_saying("pumps", pressure=0.6).at(f"00:{minute + 5:02}")
    total = len(site.alarms(None)) + len(site.outages(None))
    assert total > 6
    rounds = [keeper.round(site.clock.now())]
    while rounds[-1].waiting:
        rounds.append(keeper.round(site.clock.now()))
    assert sum(one.written for one in rounds) == total == len(grafana.annotations)
    assert max(one.written for one in rounds) == 3
    (tmp_path / "grafana-annotations.json").unlink()
    with ExitStack() as stack:
        assert keeper_of(stack, site, grafana, tmp_path).round(site.clock.now()).written == 0


def test_the_thread_keeps_on_through_an_outage_of_grafana(site: Story, grafana: GrafanaServer, tmp_path: Path) -> None:
    no_water(site)
    grafana.down = True
    with ExitStack() as stack:
        keeper = keeper_of(stack, site, grafana, tmp_path, every_seconds=0.02)
        keeper.start()
        until(lambda: keeper.state.failures >= 1)
        grafana.down = False
        until(lambda: len(grafana.annotations) == 2 and keeper.state.failures == 0)


def test_services_annotate_by_themselves_where_a_grafana_is_given(
    site: Story, grafana: GrafanaServer, tmp_path: Path
) -> None:
    no_water(site)
    with ExitStack() as stack:
        core = bootstrap.start_core(stack, Settings(data_dir=tmp_path), SystemClock())
        assert bootstrap.start_annotations(stack, core) is None, "none is given"
        given = Settings(data_dir=tmp_path, grafana_url=grafana.url, grafana_token=EDITOR, grafana_language="en")
        assert bootstrap.start_annotations(stack, replace(core, settings=given)) is not None
        until(lambda: len(grafana.annotations) == 2)
    assert "Pressure low" in shown(grafana, "alarm")[0]["text"]


def until(true: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
