"""From a complaint to a shipped rule: tried on the past, followed by the next reading, explained, rolled back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from typer.testing import CliRunner

from device_profiles.schema import DeviceProfile
from services.cli.main import app
from services.clock import SystemClock
from services.ids import new_id
from services.rulebook.counts import counts_of
from services.rulebook.explain import explain
from services.rules.effective import Effective, sound
from services.tables import device_states, shadow_episodes, sites
from tests.services.rulebook.kit import Yard, dips
from tests.stories.site import LIBRARY, MIDNIGHT

CALMER = {"rules": {"pumps": {"low": {"for": "5m"}}}}


def test_the_pump_alarm_comes_too_often(yard: Yard) -> None:
    """Six short dips and one long one: old 7, new 1; shipped, the next readings follow it; rolled back."""
    start = MIDNIGHT - timedelta(hours=7)
    lengths = [timedelta(minutes=3)] * 3 + [timedelta(minutes=9)] + [timedelta(minutes=3)] * 3
    yard.history(dips(start, lengths, timedelta(hours=1)))
    tried = yard.preview(CALMER, start, MIDNIGHT)
    report = tried["report"]
    assert (report["old"]["alarms"], report["new"]["alarms"]) == (7, 1), tried["error"]
    assert (report["old"]["tickets"], report["new"]["tickets"]) == (7, 1)
    shipped = yard.put(CALMER, preview=tried["id"], note="the pump alarm comes too often").json()
    assert (shipped["preview"]["old"]["alarms"], shipped["preview"]["new"]["alarms"]) == (7, 1)

    site = yard.site
    site.keeps_saying("pumps", pressure=0.2).at("00:03").expect_alarms()
    site.at("00:05:30").expect_alarms("low").expect_tickets(1)
    assert site.alarms()[0].reason["for_seconds"] == 300
    back = yard.api().post("/api/v1/sites/yard/rule-book/rollback", json={"to": 0, "version": 1, "note": "no"})
    assert back.json()["version"] == 2
    site.says("pumps", pressure=0.5).at("00:20").expect_alarms()
    site.says("pumps", pressure=0.2).at("00:21:30").expect_alarms("low")
    assert site.alarms()[0].reason["for_seconds"] == 60


def test_an_alarm_whose_rule_is_switched_off_or_put_on_trial_ends_and_says_so(yard: Yard) -> None:
    site = yard.site
    site.keeps_saying("pumps", pressure=0.2, room="wet").at("00:02").expect_alarms("low", "wet")
    site.expect_outage("water-low", "full")
    yard.put({"rules": {"pumps": {"low": {"mode": "off"}, "wet": {"mode": "shadow"}}}})
    site.at("00:02:30").expect_alarms().expect_no_outage()
    why = {alarm.rule: alarm.reason["cleared"] for alarm in site.alarms("cleared")}
    assert (why["low"]["why"], why["low"]["reason"]) == ("the rule was switched off, version 1", "rule_off")
    assert why["wet"]["why"] == "the rule is on trial and raises nothing, version 1"
    yard.put({}, version=1)
    site.at("00:05").expect_alarms("low", "wet")


def test_a_device_may_have_its_own_threshold_and_the_book_stands_above_the_site_file(yard: Yard) -> None:
    yard.put({"params": {"pumps": {"low": 0.15}}})
    yard.site.keeps_saying("pumps", pressure=0.2).at("00:02").expect_alarms()
    yard.put({"params": {"pumps": {"low": 0.15}}, "devices": {"pumps": {"params": {"low": 0.25}}}}, version=1)
    yard.site.at("00:04").expect_alarms("low")
    assert yard.site.alarms()[0].reason["values"] == {"pressure": 0.2, "low": 0.25}


def test_what_is_shipped_by_another_process_is_followed_at_the_next_tick(yard: Yard, cli: Any) -> None:
    yard.site.keeps_saying("pumps", pressure=0.2).at("00:00:30")
    cli("set", "pumps/low", "--for", "5m", "--without-preview", "a test", "--note", "x", "--yes")
    yard.site.at("00:03").expect_alarms()
    yard.site.at("00:06").expect_alarms("low")


@pytest.fixture
def cli(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`courtyard rules …` on the yard's data folder, with its profiles and on its clock."""
    monkeypatch.setattr("services.profiles.load_library", lambda _settings: LIBRARY)
    monkeypatch.setattr(SystemClock, "now", lambda _self: yard.site.clock.time)

    def run(*words: str, code: int = 0) -> str:
        found = CliRunner().invoke(app, ["rules", *words, "--data", str(yard.context.settings.data_dir)])
        assert found.exit_code == code, found.output + found.stderr
        return found.output + found.stderr

    yield run


def test_the_command_line_tells_tries_ships_and_goes_back(yard: Yard, cli: Any) -> None:
    start = MIDNIGHT - timedelta(hours=2)
    yard.history(dips(start, [timedelta(minutes=3)] * 2, timedelta(hours=1)))
    assert "pumps/low" in cli("list", "--profile", "pumps")
    assert "Pressure < 0.3\u00a0MPa, for 1 min" in cli("show", "pumps/low")
    shipped = json.loads(
        cli("set", "pumps/low", "--for", "5m", "--note", "too often", "--days", "1", "--json", "--yes")
    )
    assert (shipped["version"], shipped["preview"]["old"]["alarms"], shipped["preview"]["new"]["alarms"]) == (1, 2, 0)
    assert "too often" in cli("versions")
    assert "pumps low  for: as the profile says -> 5m" in cli("diff", "1")
    assert json.loads(cli("show", "pumps/low", "--json"))["for_seconds"] == 300
    cli("rollback", "0")
    assert json.loads(cli("versions", "--json"))[0]["preview"] == {"rollback": 0}
    assert "nothing would change: version 2 in force says what version 0 says" in cli("rollback", "0", code=1)
    assert "found version 7, expected 0 to 2" in cli("diff", "7", code=1)
    assert "nothing would change" in cli("set", "pumps/low", "--for", "1m", code=1)
    refused = cli("set", "pumps/low", "--when", "presure < low", "--param", "low=9", code=1)
    assert "--when: column 1" in refused
    assert "--param low: found 9.0, expected at least 0 and at most 2 MPa" in refused
    assert "expected PROFILE/RULE that runs here (did you mean pumps/low?)" in cli("show", "pumps/lwo", code=1)
    assert "did you mean pumps/low?" in cli("show", "low", code=1)


def test_a_rule_says_what_it_waits_for(yard: Yard, cli: Any) -> None:
    site = yard.site
    yard.put(CALMER)
    site.keeps_saying("pumps", pressure=0.2).at("00:02")
    said = cli("explain", "pumps/low", "--device", "pumps")
    assert "pending since 2026-03-02 08:00:00, raises at 2026-03-02 08:05:00 if it holds" in said
    assert "pressure = 0.2 MPa" in said
    (now,) = json.loads(cli("explain", "pumps/low", "--device", "pumps", "--json"))["now"]
    assert (now["phase"], now["ends_at"], now["parts"]) == (
        "pending",
        "2026-03-02T00:05:00+00:00",
        [{"text": "pressure < low", "holds": True}],
    )
    site.at("00:06").expect_alarms("low")
    assert "active since 2026-03-02 08:05:00" in cli("explain", "pumps/low", "--device", "pumps")
    site.says("pumps", pressure=0.5).at("00:06:10")
    assert "clearing since" in cli("explain", "pumps/low", "--device", "pumps")
    assert "unknown: it waits for parent.pressure, run" not in cli("explain", "pumps/wet", "--device", "pumps")
    assert "unknown: it waits for room" in cli("explain", "pumps/wet", "--device", "pumps")
    site.falls_silent("pumps").at("00:20")
    with site.database.read() as connection:
        (now_,) = explain(connection, yard.effective(), None, "pumps", "low", site.clock.time)
    assert [(one.name, one.how) for one in now_.names] == [("low", "param"), ("pressure", "stale")]
    assert now_.holds is None


def test_silence_of_a_rule_shows(yard: Yard, cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that nobody sends, a change that no longer fits, a profile that is gone, a device that is left out."""
    yard.site.keeps_saying("pumps", pressure=0.5).at("00:01")
    silent = {(one["rule"], one["found"]) for one in yard.get("/rules")["problems"]}
    assert ("wet", "room") in silent, "no device has ever said whether its room is dry"
    assert ("low", "pressure") not in silent
    said = cli("list", "--problems")
    assert "never_sent room: pumps/wet" in said
    assert "Nothing is broken." in said, "a sensor that is not there is not a fault"
    assert "sends (--problems says which):\n  gate: door\n  pumps: run, room" in cli("list")
    detail = yard.api().get("/api/v1/health/detail").json()
    assert {one["kind"] for one in detail["rules_not_evaluated"]} == {"never_sent"}
    yard.site.says("pumps", room="dry")
    assert ("wet", "room") not in {(one["rule"], one["found"]) for one in yard.get("/rules")["problems"]}

    yard.put({"rules": {"pumps": {"low": {"when": "pressure < low * 0.9"}, "wet": {"severity": "major"}}}})
    without_low = LIBRARY["pumps"].model_copy(
        update={"rules": tuple(one for one in LIBRARY["pumps"].rules if one.id != "low")}
    )
    yard.site.library.clear()
    yard.site.library["pumps"] = without_low
    yard.site.intake._benched.add("pumps")
    kinds = {one["kind"]: one for one in yard.get("/rules")["problems"]}
    monkeypatch.setattr("services.profiles.load_library", lambda _settings: {"pumps": without_low})
    listed = cli("list")
    assert listed.index("misfit pumps/low: no such rule") < listed.index("severity"), "what is broken comes first"
    assert "Nothing is broken." not in cli("list", "--problems")
    assert (kinds["misfit"]["rule"], kinds["misfit"]["found"]) == ("low", "no such rule")
    assert kinds["no_profile"]["profile"] == "gate"
    assert kinds["benched"]["device"] == "pumps"
    assert yard.put({"rules": {"pumps": {"wet": {"severity": "major"}}}}, version=1).status_code == 200
    assert "misfit" not in {one["kind"] for one in yard.get("/rules")["problems"]}


def test_a_rule_that_its_own_profile_cannot_evaluate_is_left_out_and_named() -> None:
    whole = LIBRARY["pumps"]
    broken: DeviceProfile = whole.model_copy(
        update={"rules": (whole.rules[0].model_copy(update={"when": "presure < low"}), *whole.rules[1:])}
    )
    found, rules = sound(broken)
    assert [one.id for one in found.rules] == [one.id for one in whole.rules[1:]]
    assert [(one.rule, "presure" in one.found) for one in rules] == [("low", True)]
    effective = Effective({"pumps": broken}, {}, {})
    compiled = effective.profile("yard", "pumps", "a")
    assert compiled is not None and "low" not in compiled.rules
    assert effective.profile("elsewhere", "pumps", "b") is compiled, "what does not differ is compiled once"


def test_rules_on_trial_are_counted_with_what_they_would_have_opened(yard: Yard) -> None:
    now = yard.site.clock.time
    row = {"site": "yard", "child": "", "profile": "pumps", "rule": "low", "severity": "critical", "reason": {}}
    with yard.site.database.write() as connection:
        for days, device in ((1, "pumps"), (2, "pumps"), (3, "pumps-2"), (9, "pumps")):
            at = now - timedelta(days=days)
            connection.execute(
                insert(shadow_episodes).values(id=new_id(at), device=device, raised_at=at, cleared_at=None, **row)
            )
        found = counts_of(connection, "yard", now)["pumps", "low"]
    assert (found.shadow, found.shadow_devices, found.raised) == (3, {"pumps": 2, "pumps-2": 1}, 0)


def test_many_devices_load_as_fast_as_their_distinct_changes(yard: Yard) -> None:
    """Devices without changes of their own share one profile and one mapping of params."""
    book = {"rules": {"pumps": {"low": {"for": "5m"}}}, "devices": {"pumps": {"params": {"low": 0.2}}}}
    assert yard.put(book).status_code == 200
    effective = yard.effective()
    shared = {id(effective.profile("yard", "pumps", f"p{n}")) for n in range(1000)}
    params = {id(effective.params("yard", "pumps", f"p{n}", {})) for n in range(1000)}
    assert (len(shared), len(params)) == (1, 1)
    assert effective.params("yard", "pumps", "pumps", {})["low"] == 0.2


def test_a_device_that_could_not_be_judged_is_told_by_other_processes_until_its_site_changes(yard: Yard) -> None:
    from services.rulebook.problems import benched_lately
    from services.tables import set_aside, sites

    now = yard.site.clock.time + timedelta(minutes=1)
    with yard.site.database.write() as connection:
        connection.execute(insert(set_aside).values(id="a", at=now, device="pumps", error="boom", reading=""))
        connection.execute(insert(set_aside).values(id="b", at=now, device="gate-1", error="boom", reading="{}"))
        assert benched_lately(connection, now) == {"pumps"}
        assert benched_lately(connection, now + timedelta(days=2)) == frozenset()
        assert connection.scalar(select(device_states.c.device).limit(1)) is None
        connection.execute(update(sites).values(window_changes=sites.c.window_changes + 1))
        assert benched_lately(connection, now) == {"pumps"}, "a maintenance window mends nothing"
        with connection.begin_nested() as imported:
            connection.execute(update(sites).values(updated_at=now + timedelta(minutes=1)))
            assert benched_lately(connection, now + timedelta(minutes=2)) == frozenset()
            imported.rollback()
    yard.site.clock.time = now + timedelta(minutes=1)
    assert yard.put({"rules": {"pumps": {"low": {"for": "5m"}}}}).status_code == 200
    with yard.site.database.read() as connection:
        assert benched_lately(connection, now + timedelta(minutes=2)) == frozenset(), "all of the site is tried again"


def test_rules_over_several_devices_are_listed_and_explained(yard: Yard, cli: Any) -> None:
    low = {"id": "all_low", "name": {"zh": "都低", "en": "All of them low"}, "of": {"profiles": ["pumps"]}}
    judged = {"when": "number(device, pressure < 0.2) >= 1", "for": "1m", "severity": "major", "mode": "shadow"}
    broken = {**low, **judged, "id": "gone", "when": "number(device, no_such < 1) >= 1"}
    with yard.site.database.write() as connection:
        connection.execute(update(sites).where(sites.c.id == "yard").values(rules=[{**low, **judged}, broken]))
    yard.site.says("pumps", pressure=0.1)
    listed = cli("list")
    assert listed.index("broken courtyard_site_rules/gone") < listed.index("Over several devices")
    assert re.search(r"courtyard_site_rules/all_low +shadow +major", listed)
    told = {one["id"]: one for one in json.loads(cli("list", "--json"))["several"]}
    assert told["courtyard_site_rules/all_low"]["devices"] == 1
    assert [one["kind"] for one in told["courtyard_site_rules/gone"]["problems"]] == ["broken"]
    explained = cli("explain", "courtyard_site_rules/all_low")
    assert "1 of 1: pumps" in explained
    assert "courtyard site export yard" in explained
    (now_,) = json.loads(cli("explain", "courtyard_site_rules/all_low", "--json"))["several"][0]["now"]
    assert now_["met"] == ["pumps"]
    assert "stands in the site file" in cli("set", "courtyard_site_rules/all_low", "--for", "5m", "--yes", code=1)
    assert {one["rule"] for one in yard.get("/rules")["several"]} == {"all_low", "gone"}
