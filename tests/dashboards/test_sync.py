"""What `courtyard grafana sync` does to a Grafana, against a server that answers as Grafana 10 to 13 do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dashboards.build import GENERATED
from dashboards.capabilities import Capabilities, capabilities
from dashboards.datasources import influxdb, postgresql, prometheus
from dashboards.grafana import Grafana, GrafanaRefused
from dashboards.places import Board, Place, addressed, arrange, read_boards
from dashboards.plan import Do, Step, Wanted, count, mark_of, plan
from dashboards.sync import Failed, apply, health, look
from device_profiles.schema import Text
from gateway.ports import free_port
from tests.dashboards.grafana_server import EDITOR, EVERYTHING, VIEWER, GrafanaServer, running

VERSIONS = ("10.1.0", "10.4.2", "11.2.0", "12.0.1", "13.2.3")
OSMANTHUS = Place("osmanthus", Text(zh="桂花苑", en="Osmanthus Garden"), frozenset({"pump"}), frozenset({"water_pump"}))
LOTUS = Place("lotus", Text(zh="荷塘里", en="Lotus Pond"), frozenset({"gate"}), frozenset({"access_gate"}))
SOURCES = (
    influxdb("http://influxdb:8086", "a token"),
    postgresql("postgresql://grafana@postgres/courtyard", "a password"),
)


def board(name: str, language: str = "en", *tags: str, source: str = "influxdb", **more: Any) -> Board:
    """A small dashboard with what the real ones have."""
    variables = [
        {"name": "datasource", "type": "datasource", "query": source},
        {"name": "site", "type": "query", "multi": True, "allValue": ".*"},
    ]
    target = {"refId": "A", "datasource": {"type": source, "uid": "${datasource}"}}
    panel = {"id": 1, "title": "Pressure", "type": "timeseries", "description": "", "targets": [target]}
    base = {"uid": f"cy-{name}-{language}", "title": f"{name} {language}", "tags": ["courtyard", language, *tags]}
    return {**base, "schemaVersion": 42, "panels": [panel], "templating": {"list": variables}, "links": [], **more}


BOARDS = [
    board("pump", "en", "water_pump"),
    board("water_pump", "en", "family", "water_pump"),
    board("access_gate", "en", "family", "access_gate"),
    board("now", "en", "site"),
    board("tickets", "en", "tickets", source="postgres"),
]


@pytest.fixture(params=VERSIONS)
def server(request: pytest.FixtureRequest) -> Iterator[GrafanaServer]:
    with running(request.param) as started:
        yield started


@pytest.fixture
def current() -> Iterator[GrafanaServer]:
    with running() as started:
        yield started


def steps_for(
    server: GrafanaServer,
    boards: list[Board] = BOARDS,
    places: tuple[Place, ...] = (OSMANTHUS,),
    *,
    sources: tuple[Any, ...] = SOURCES,
    token: str = EVERYTHING,
    languages: tuple[str, ...] = ("en",),
    **options: Any,
) -> list[Step]:
    with Grafana(server.url, token) as grafana:
        abilities = grafana.capabilities()
        wanted = Wanted(sources, tuple(arrange(boards, places, languages, abilities)))
        return plan(wanted, look(grafana, wanted, abilities), abilities, **options)


def applied(server: GrafanaServer, steps: list[Step], token: str = EVERYTHING) -> list[Failed]:
    with Grafana(server.url, token) as grafana:
        return apply(grafana, steps)


def sync(server: GrafanaServer, *arguments: Any, **options: Any) -> list[Step]:
    steps = steps_for(server, *arguments, **options)
    assert applied(server, steps, options.get("token", EVERYTHING)) == []
    return steps


def asked(url: str, token: str = EVERYTHING) -> Capabilities:
    with Grafana(url, token) as grafana:
        return grafana.capabilities()


def done(steps: list[Step]) -> dict[Do, int]:
    return {do: number for do, number in count(steps).items() if number and do is not Do.KEEP}


def titles(steps: list[Step], do: Do) -> list[str]:
    return [step.title for step in steps if step.do is do]


# --- on every version ----------------------------------------------------------------------------------------------


def test_the_first_run_makes_everything_and_the_second_changes_nothing(server: GrafanaServer) -> None:
    assert done(sync(server)) == {Do.CREATE: 2 + 2 + 5 + 4}
    assert set(server.datasources) == {"courtyard-influxdb", "courtyard-postgresql"}
    written = len(server.writes)

    assert done(sync(server)) == {}
    assert len(server.writes) == written


def test_a_site_has_a_folder_with_what_stands_there_and_nothing_of_others(server: GrafanaServer) -> None:
    sync(server)
    (folder,) = [uid for uid in server.folders if "osmanthus" in uid]
    held = {one["dashboard"]["title"]: one["dashboard"] for one in server.boards.values() if one["folderUid"] == folder}
    assert set(held) == {f"{name} en · Osmanthus Garden" for name in ("pump", "water_pump", "now", "tickets")}
    for one in held.values():
        (site,) = [variable for variable in one["templating"]["list"] if variable["name"] == "site"]
        assert site["type"] == "constant" and site["query"] == "osmanthus"
    nested = capabilities(server.version).nested_folders
    assert server.folders[folder]["parentUid"] == ("courtyard-en" if nested else "")
    assert server.folders[folder]["title"] == ("Osmanthus Garden" if nested else "Courtyard · Osmanthus Garden")


def test_datasources_are_as_this_version_calls_them_and_their_secrets_arrive(server: GrafanaServer) -> None:
    sync(server)
    influx, postgres = server.datasources["courtyard-influxdb"], server.datasources["courtyard-postgresql"]
    assert influx["jsonData"] == {
        "version": "InfluxQL",
        "dbName": "telemetry",
        "httpMode": "POST",
        "httpHeaderName1": "Authorization",
    }
    assert influx["secrets"] == {"httpHeaderValue1": "Token a token"}
    assert "database" not in influx and "database" not in postgres
    assert (postgres["user"], postgres["jsonData"]["database"]) == ("grafana", "courtyard")
    assert postgres["type"] == ("postgres" if server.numbers < (10, 2, 3) else "grafana-postgresql-datasource")
    tickets = server.boards["cy-tickets-en"]["dashboard"]
    assert tickets["templating"]["list"][0]["query"] == postgres["type"]


def test_what_changed_is_named_and_only_that_is_written(server: GrafanaServer) -> None:
    sync(server)
    changed = board("now", "en", "site")
    changed["panels"][0]["title"] = "Pressure at the outlet"
    changed["panels"][0]["fieldConfig"] = {"defaults": {"unit": "bar"}}
    before = len(server.writes)
    steps = sync(server, [changed if one["uid"] == changed["uid"] else one for one in BOARDS])
    assert titles(steps, Do.CHANGE) == ["now en", "now en · Osmanthus Garden"]
    differences = {one.where: (one.there, one.wanted) for one in steps[-1].differences}
    step = next(step for step in steps if step.title == "now en")
    differences = {one.where: (one.there, one.wanted) for one in step.differences}
    assert differences["panels[Pressure at the outlet].title"] == ("Pressure", "Pressure at the outlet")
    assert "panels[Pressure at the outlet].fieldConfig" in differences
    assert len(server.writes) == before + 2
    assert done(sync(server, [changed if one["uid"] == changed["uid"] else one for one in BOARDS])) == {}


def test_what_a_person_edited_in_place_is_set_back_and_said(server: GrafanaServer) -> None:
    sync(server)
    server.person_saves("cy-now-en", title="Mine now")
    steps = sync(server)
    (step,) = [step for step in steps if step.do is Do.CHANGE]
    assert step.why == "somebody edited it"
    assert [one.where for one in step.differences] == ["title"]
    assert server.boards["cy-now-en"]["dashboard"]["title"] == "now en"
    assert done(sync(server)) == {}


def test_a_site_that_is_gone_goes_and_what_people_made_stays(server: GrafanaServer) -> None:
    sync(server, BOARDS, (OSMANTHUS, LOTUS))
    lotus, osmanthus = (next(uid for uid in server.folders if name in uid) for name in ("lotus", "osmanthus"))
    server.person_makes("own-board", osmanthus, tags=["courtyard"])
    server.person_makes("cy-of-a-person", "courtyard-en", tags=["courtyard"])
    copied = server.boards["cy-now-en"]["dashboard"]
    server.person_makes("a-copy", "courtyard-en", **{k: v for k, v in copied.items() if k not in ("uid", "version")})

    steps = sync(server, BOARDS, ())
    assert lotus not in server.folders
    assert osmanthus in server.folders
    (kept,) = [step for step in steps if step.do is Do.LEAVE]
    assert (kept.uid, kept.why) == (osmanthus, "it holds what others made")
    assert {"own-board", "a-copy", "cy-of-a-person"} <= set(server.boards)
    assert not [uid for uid, one in server.boards.items() if "·" in one["dashboard"]["title"]]


def test_dashboards_of_files_are_left_alone_with_a_word(server: GrafanaServer) -> None:
    server.file_provides(BOARDS[3], "/etc/courtyard/boards/en/now.json")
    steps = sync(server, BOARDS, ())
    (left,) = [step for step in steps if step.do is Do.LEAVE]
    assert left.uid == "cy-now-en" and "/etc/courtyard/boards/en/now.json" in left.why
    assert server.boards["cy-now-en"]["provisioned"]
    assert done(sync(server, BOARDS, ())) == {Do.LEAVE: 1}
    assert "cy-now-en" in server.boards, "and they are not removed once they are no longer wanted"
    sync(server, BOARDS[:1], ())
    assert "cy-now-en" in server.boards


def test_a_folder_whose_dashboards_all_come_from_files_is_not_made_a_second_time(server: GrafanaServer) -> None:
    for board in BOARDS:
        server.file_provides(board, f"/etc/courtyard/boards/{board['uid']}.json")
    before = set(server.folders)
    steps = sync(server, BOARDS, ())
    assert {step.do for step in steps if step.kind in ("folder", "dashboard")} == {Do.LEAVE}
    assert set(server.folders) == before
    assert done(sync(server, BOARDS, ())) == {Do.LEAVE: len(titles(steps, Do.LEAVE))}


def test_an_editor_is_enough_where_datasources_come_from_files(server: GrafanaServer) -> None:
    steps = sync(server, token=EDITOR, sources=())
    assert done(steps) == {Do.CREATE: 2 + 5 + 4}
    assert done(sync(server, token=EDITOR, sources=())) == {}


def test_the_shipped_dashboards_go_in_whole_in_both_languages(server: GrafanaServer) -> None:
    shipped = read_boards(GENERATED, ("zh", "en"))[::12]
    abilities = capabilities(server.version)
    steps = sync(server, shipped, (), languages=("zh", "en"), sources=(*SOURCES, prometheus("http://prometheus:9090")))
    assert done(steps) == {Do.CREATE: len(shipped) + 2 + 3}, titles(steps, Do.LEAVE)
    again = sync(server, shipped, (), languages=("zh", "en"), sources=(*SOURCES, prometheus("http://prometheus:9090")))
    assert done(again) == {}
    assert abilities.version is not None
    assert {one["folderUid"] for one in server.boards.values()} == {"courtyard-zh", "courtyard-en"}


# --- what does not depend on the version -----------------------------------------------------------------------------


def test_a_plan_writes_nothing(current: GrafanaServer) -> None:
    steps = steps_for(current)
    assert count(steps)[Do.CREATE] > 0
    assert current.writes == []


def test_somebody_elses_dashboard_with_our_uid_is_left_alone(current: GrafanaServer) -> None:
    current.person_makes("cy-now-en", "")
    (left,) = [step for step in sync(current, BOARDS, ()) if step.do is Do.LEAVE]
    assert left.why == "somebody's own dashboard has this uid"
    assert current.boards["cy-now-en"]["dashboard"]["title"] == "of a person cy-now-en"


def test_a_dashboard_moved_by_a_person_comes_back_to_its_folder(current: GrafanaServer) -> None:
    sync(current)
    current.boards["cy-now-en"]["folderUid"] = "elsewhere"
    (step,) = [step for step in sync(current) if step.do is Do.CHANGE]
    assert [(one.where, one.there, one.wanted) for one in step.differences] == [("folder", "elsewhere", "courtyard-en")]
    assert current.boards["cy-now-en"]["folderUid"] == "courtyard-en"


@pytest.mark.parametrize(("version", "status"), [("12.0.1", 412), ("13.2.3", 409)])
def test_what_somebody_saves_between_look_and_write_is_not_lost(version: str, status: int) -> None:
    with running(version) as server:
        sync(server, BOARDS, ())
        changed = [*BOARDS[:3], {**BOARDS[3], "title": "now, better"}, BOARDS[4]]
        server.before_save = lambda uid: server.person_saves(uid, title="saved at the same moment")
        (failed,) = applied(server, steps_for(server, changed, ()))
    assert failed.refused.status == status
    assert "run the command again" in str(failed.refused)
    assert server.boards["cy-now-en"]["dashboard"]["title"] == "saved at the same moment"


def test_a_dashboard_that_somebody_saved_in_the_second_schema_keeps_no_other() -> None:
    """Grafana 12 answers 406 for it; the others are published, and it is named."""
    with running("12.4.0") as server:
        sync(server, BOARDS, ())
        server.boards["cy-now-en"]["schema"] = 2
        changed = [{**one, "description": "changed"} for one in BOARDS]
        steps = sync(server, changed, ())
        assert titles(steps, Do.CHANGE) == [one["title"] for one in BOARDS if one["uid"] != "cy-now-en"]
        (left,) = [step for step in steps if step.do is Do.LEAVE]
    assert left.uid == "cy-now-en" and "second schema" in left.why


def test_what_grafana_rewrites_as_it_stores_is_nobodys_edit() -> None:
    """It calls the first version "Initial save", whatever the publisher said."""
    with running("13.2.3") as server:
        sync(server)
        for one in server.boards.values():
            one["dashboard"]["panels"][0]["pluginVersion"] = "13.2.3"
            one["dashboard"]["panels"][0]["title"] = one["dashboard"]["panels"][0]["title"].upper()
        assert done(sync(server)) == {}


def test_a_name_that_is_taken_is_no_clash_that_passes() -> None:
    """Running the command again would find the same."""
    with running("10.1.0") as server:
        sync(server, BOARDS[:3], ())
        server.person_makes("mine", "courtyard-en", title="now en")
        (failed,) = applied(server, steps_for(server, BOARDS, ()))
    assert failed.step.uid == "cy-now-en" and failed.refused.status == 412
    assert "Rename what has this name there" in str(failed.refused)


def test_one_dashboard_that_is_refused_keeps_no_other(current: GrafanaServer) -> None:
    boards = [board("a"), {**board("b"), "title": ""}, board("c")]
    (failed,) = applied(current, steps_for(current, boards, ()))
    assert failed.step.uid == "cy-b-en" and "title cannot be empty" in str(failed.refused)
    assert {"cy-a-en", "cy-c-en"} <= set(current.boards)


def test_a_dashboard_without_its_datasource_is_left_out_and_said(current: GrafanaServer) -> None:
    steps = sync(current, sources=SOURCES[:1])
    left = [step for step in steps if step.do is Do.LEAVE]
    assert [step.title for step in left] == ["tickets en", "tickets en · Osmanthus Garden"]
    assert {step.why for step in left} == {"no datasource of type grafana-postgresql-datasource is there"}


def test_datasources_of_files_and_of_people_are_left_alone(current: GrafanaServer) -> None:
    sync(current, [], ())
    current.datasources["courtyard-influxdb"] |= {"readOnly": True, "url": "http://elsewhere:8086"}
    current.datasources["of-people"] = current.datasources.pop("courtyard-postgresql") | {"uid": "of-people"}
    left = [step for step in sync(current, [], ()) if step.do is Do.LEAVE]
    assert [step.why for step in left] == [
        "it is of Grafana's provisioning files",
        "one of this name is there, not made here",
    ]


def test_a_datasource_keeps_the_options_a_person_added_and_its_secrets(current: GrafanaServer) -> None:
    sync(current, [], ())
    current.datasources["courtyard-influxdb"]["jsonData"]["timeInterval"] = "30s"
    moved = (influxdb("http://influxdb-2:8086", "a token"),)
    (step,) = [step for step in sync(current, [], (), sources=moved) if step.do is Do.CHANGE]
    assert [(one.where, one.wanted) for one in step.differences] == [("url", "http://influxdb-2:8086")]
    there = current.datasources["courtyard-influxdb"]
    assert there["jsonData"]["timeInterval"] == "30s"
    assert there["secrets"] == {"httpHeaderValue1": "Token a token"}


def test_secrets_are_sent_again_when_asked(current: GrafanaServer) -> None:
    sync(current, [], ())
    new = (influxdb("http://influxdb:8086", "a new token"),)
    assert done(sync(current, [], (), sources=new)) == {}
    steps = sync(current, [], (), sources=new, renew_secrets=True)
    assert done(steps) == {Do.CHANGE: 1}
    assert "a new token" not in repr([step.differences for step in steps])
    assert current.datasources["courtyard-influxdb"]["secrets"] == {"httpHeaderValue1": "Token a new token"}
    with Grafana(current.url, EVERYTHING) as grafana:
        assert health(grafana)["Courtyard InfluxDB"].startswith("OK")


def test_influxdb_1_is_asked_with_user_and_password() -> None:
    source = influxdb("http://influxdb:8086/", "reader:a:password")
    assert (source.url, source.basic_auth_user) == ("http://influxdb:8086", "reader")
    assert source.secrets == {"basicAuthPassword": "a:password"}
    assert "httpHeaderName1" not in source.options


@pytest.mark.parametrize("wrong", ["mysql://u@h/d", "postgresql://h/d", "postgresql://u@h", "postgresql://u:p@h/d"])
def test_an_address_of_postgresql_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"expected postgresql://|as a file"):
        postgresql(wrong, "a password")


def test_without_postgresql_dashboards_show_episodes_out_of_grafanas_own_annotations(current: GrafanaServer) -> None:
    shipped = [
        one for one in read_boards(GENERATED, ("zh",)) if one["uid"] in ("cy-family-water_pump-zh", "cy-site-zh")
    ]
    steps = sync(current, shipped, (OSMANTHUS,), sources=SOURCES[:1], languages=("zh",))
    assert titles(steps, Do.LEAVE) == ["小区总览", "小区总览 · 桂花苑"], "its panels ask PostgreSQL"
    pumps = current.boards["cy-family-water_pump-zh"]["dashboard"]
    assert "postgres" not in str(pumps)
    shown = [one for one in pumps["annotations"]["list"] if one["datasource"].get("type") == "grafana"]
    assert [(one["name"], one["target"]["tags"]) for one in shown] == [
        ("告警", ["courtyard", "alarm"]),
        ("停用", ["courtyard", "outage"]),
        ("工单", ["courtyard", "ticket"]),
    ]
    (held,) = [one["dashboard"] for one in current.boards.values() if "桂花苑" in one["dashboard"]["title"]]
    assert held["annotations"]["list"][-1]["target"]["tags"] == ["courtyard", "ticket", "site:osmanthus"]
    assert done(sync(current, shipped, (OSMANTHUS,), sources=SOURCES[:1], languages=("zh",))) == {Do.LEAVE: 2}


def test_links_lead_to_where_courtyard_is() -> None:
    (pumps,) = [one for one in read_boards(GENERATED, ("en",)) if one["uid"] == "cy-family-water_pump-en"]
    variables = addressed(pumps, "https://facilities.example")["templating"]["list"]
    (address,) = [one for one in variables if one["name"] == "courtyard"]
    assert address["query"] == address["current"]["value"] == "https://facilities.example"
    assert "facilities.example" not in str(pumps)


def test_every_dashboard_has_an_uid_of_its_own_that_grafana_takes() -> None:
    long = Place("a-very-long-name-of-a-site-indeed", Text(zh="长", en="Long"), frozenset({"pump"}), frozenset())
    longer = Place("a-very-long-name-of-a-site-indeed2", Text(zh="长2", en="Long 2"), frozenset({"pump"}), frozenset())
    shelves = arrange(BOARDS, (long, longer, OSMANTHUS), ("en",), capabilities("13.2.3"))
    uids = [one["uid"] for shelf in shelves for one in shelf.boards] + [shelf.folder.uid for shelf in shelves]
    assert len(uids) == len(set(uids))
    assert max(map(len, uids)) <= 40


@pytest.mark.parametrize("language", ["zh", "en"])
def test_no_two_dashboards_of_a_folder_read_the_same(language: str) -> None:
    """Grafana 10 takes one title once per folder."""
    shipped = read_boards(GENERATED, (language,))
    twins = [{**shipped[0], "uid": f"cy-twin-{language}"}, *shipped]
    for shelf in arrange(twins, (OSMANTHUS, LOTUS), (language,), capabilities("10.1.0")):
        titles = [one["title"] for one in shelf.boards]
        assert len({title.casefold() for title in titles}) == len(titles)
        assert shelf.folder.title not in titles


# --- what goes wrong, in words ---------------------------------------------------------------------------------------


def test_a_wrong_token_is_said(current: GrafanaServer) -> None:
    with pytest.raises(GrafanaRefused, match=r"token is not accepted.*courtyard grafana token") as raised:
        steps_for(current, token="glsa_wrong")
    assert raised.value.status == 401


def test_a_lacking_permission_is_named(current: GrafanaServer) -> None:
    failed = applied(current, steps_for(current, BOARDS, (), sources=(), token=VIEWER), VIEWER)
    assert {one.refused.permission for one in failed} == {"folders:create"}
    assert "The token lacks folders:create" in str(failed[0].refused)
    assert current.boards == {}


def test_what_belongs_into_a_folder_that_could_not_be_made_is_not_tried(current: GrafanaServer) -> None:
    """One refusal, not one for each dashboard; and what needs no such folder goes on."""
    steps = steps_for(current, BOARDS, (OSMANTHUS,))
    failed = applied(current, steps, VIEWER)
    (folder,) = [one for one in failed if one.step.kind == "folder"]
    assert folder.step.uid == "courtyard-en"
    held = [step.kind for step in folder.held_up]
    assert held.count("dashboard") == len(BOARDS) + 4 and held.count("folder") == 1, "the site's folder stands within"
    assert {one.step.kind for one in failed} == {"folder", "datasource"}
    assert current.writes == []


def test_a_folder_of_somebody_whose_uid_begins_as_ours_do_stays(server: GrafanaServer) -> None:
    sync(server, BOARDS, (OSMANTHUS, LOTUS))
    (lotus,) = [uid for uid in server.folders if "lotus" in uid]
    theirs = {"courtyard-of-the-church", "courtyard-en-lotus-00000000", "courtyard-plans"}
    for uid in theirs:
        server.folders[uid] = {"title": uid, "parentUid": "", "version": 1}
    steps = sync(server, BOARDS, (OSMANTHUS,))
    assert theirs <= set(server.folders) and lotus not in server.folders
    assert not [step for step in steps if step.uid in theirs], "and nothing is said of them"
    assert done(sync(server, BOARDS, (OSMANTHUS,))) == {}


def test_grafana_9_which_knows_no_search_in_a_folder_keeps_what_others_made() -> None:
    with running("9.4.0") as server:
        sync(server, BOARDS, (OSMANTHUS, LOTUS))
        lotus, osmanthus = (next(uid for uid in server.folders if name in uid) for name in ("lotus", "osmanthus"))
        server.person_makes("own-board", osmanthus)
        sync(server, BOARDS, ())
        assert lotus not in server.folders and osmanthus in server.folders
        assert "own-board" in server.boards


def test_a_folder_of_ours_that_an_earlier_run_left_empty_goes_later(server: GrafanaServer) -> None:
    long = Place("小区-of-a-very-long-name-of-a-site", Text(zh="长", en="Long"), frozenset({"pump"}), frozenset())
    sync(server, BOARDS, (OSMANTHUS, LOTUS, long))
    (lotus,) = [uid for uid in server.folders if "lotus" in uid]
    for uid in [uid for uid, one in server.boards.items() if one["folderUid"] == lotus]:
        del server.boards[uid]
    sync(server, BOARDS, (OSMANTHUS,))
    assert [uid for uid in server.folders if uid not in ("courtyard-en",) and "osmanthus" not in uid] == []


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    current: GrafanaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert str(asked(current.url)) == "Grafana 13.2.3"
    assert str(asked(current.url.replace("127.0.0.1", "localhost"))) == "Grafana 13.2.3"


def test_grafana_9_looks_for_the_database_of_influxdb_beside_the_options() -> None:
    with running("9.4.0") as server:
        sync(server, [], ())
        assert server.datasources["courtyard-influxdb"]["database"] == "telemetry"
        assert done(sync(server, [], ())) == {}


def test_who_may_not_see_datasources_is_told_and_goes_on(current: GrafanaServer) -> None:
    steps = sync(current, BOARDS, (), token=EDITOR)
    left = [step for step in steps if step.do is Do.LEAVE]
    assert {step.why for step in left} == {"the token may not look at datasources"}
    assert len(current.boards) == len(BOARDS)


def test_a_sub_path_works_and_its_absence_is_explained() -> None:
    with running(path="/monitoring/grafana") as server:
        assert str(asked(server.url)) == str(asked(server.url + "/")) == "Grafana 13.2.3"
        with pytest.raises(GrafanaRefused, match="sub-path"):
            asked(server.url.removesuffix("/monitoring/grafana"))


def test_a_password_in_an_address_is_shown_nowhere() -> None:
    with pytest.raises(GrafanaRefused) as raised:
        asked(f"http://admin:secret@127.0.0.1:{free_port()}")
    assert "secret" not in str(raised.value)
    with pytest.raises(GrafanaRefused, match="expected http://HOST:3000") as raised:
        asked("ftp://admin:secret@host")
    assert "secret" not in str(raised.value)


def test_a_grafana_that_hides_its_version_tells_those_it_lets_in() -> None:
    with running("11.6.1", hide_version=True) as server:
        assert asked(server.url) == capabilities("11.6.1")
        assert "does not tell its version" in asked(server.url, "wrong").cannot[0]


def test_a_grafana_that_is_not_ready_is_said(current: GrafanaServer) -> None:
    current.down = True
    with pytest.raises(GrafanaRefused, match="try again later"):
        asked(current.url)


@pytest.mark.parametrize(
    ("version", "word"),
    [("9.4.0", "older than 10"), ("14.0.0", "newer than"), ("10.4.0", "No folders in folders"), ("", "not tell")],
)
def test_what_a_version_cannot_is_said(version: str, word: str) -> None:
    assert any(word in note for note in capabilities(version).cannot)


def test_nothing_is_missing_on_a_current_grafana() -> None:
    assert capabilities("13.2.3").cannot == capabilities("11.6.0").cannot == ()


def test_the_mark_is_of_the_content_alone() -> None:
    assert mark_of(board("now")) == ""


@pytest.mark.parametrize(
    ("asked", "mode"), [("", "disable"), ("?sslmode=require", "require"), ("?sslmode=verify-full", "verify-full")]
)
def test_tables_are_asked_over_tls_where_the_address_says_so(asked: str, mode: str) -> None:
    assert postgresql(f"postgresql://grafana@db.example/courtyard{asked}", "p").options["sslmode"] == mode


def test_a_mode_that_grafana_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="expected sslmode=disable"):
        postgresql("postgresql://grafana@db.example/courtyard?sslmode=prefer", "p")


def test_a_folder_that_cannot_be_kept_apart_is_not_said_to_be(current: GrafanaServer) -> None:
    step = Step(Do.CHANGE, "permission", "courtyard-lotus", "Lotus Pond: only Courtyard lotus", body={"team": "lotus"})
    with Grafana(current.url, EVERYTHING) as grafana:
        grafana.post("/folders", {"uid": "courtyard-lotus", "title": "Lotus Pond"})
        (failed,) = apply(grafana, [step])
    assert "no team 'lotus'" in str(failed.refused)
    assert "courtyard-lotus" not in current.permissions
