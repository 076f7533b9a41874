"""Rules over several devices in a site file: what is refused, at which line, and what an export gives back."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from services.sites.export import export_site
from services.sites.importer import import_site, read_site
from services.sites.mistakes import SiteMistake, SiteMistakes
from services.tables import sites
from tests.stories.site import LIBRARY, MIDNIGHT, opened

SITE = """\
site: yard
name: {zh: 小院, en: The Yard}
timezone: Asia/Shanghai
buildings: [{id: 1, units: [{id: 1, households: 20}]}, {id: 2}]
devices:
  - {id: pumps, profile: pumps, building: 1}
  - {id: gate-1, profile: gate}
supplies:
  - {id: water, service: water, members: [{device: pumps}]}
  - {id: door, service: access, members: [{device: gate-1}]}
rules:
"""
RULE = """\
  - id: pumps_out
    name: {zh: 水泵故障, en: Pumps out}
    of: {families: [water_pump]}
    when: number(pump, run == fault) >= 2
    for: 1m
    severity: major
"""
FULL = """\
  - id: pumps_out
    name: Pumps out
    of: {profiles: [pumps], devices: [gate-1], buildings: [1]}
    per: building
    when: number(pump, run == fault) >= 2
    for: 90s
    clear: {when: "number(pump, run == fault) == 0", for: 5m}
    severity: major
    grades: [{severity: critical, after: 1h}, {severity: minor, when: "share(pump, run == fault) < 50 %"}]
    schedule: [{days: [mon, sun], from: "06:00", to: "22:00"}]
    flapping: {times: 3, within: 20m}
    acknowledge_within: 10m
    mode: shadow
    needs: any
    source: {kind: standard, ref: "a standard, 4.2"}
    ticket: {title: {zh: 修泵, en: Mend}, trade: plumbing, priority: P2, due: 8h, steps: [{zh: 看, en: Look}]}
    residents: {service: water, loss: degraded, what: {zh: 水小。, en: Weak water.}, next_news: 1h}
    supplies: [water]
"""


def refused(rules: str) -> list[SiteMistake]:
    with pytest.raises(SiteMistakes) as caught:
        read_site(SITE + rules, LIBRARY)
    return caught.value.mistakes


@pytest.mark.parametrize(
    ("spoilt", "instead", "line", "where", "found", "expected"),
    [
        ("{families: [water_pump]}", "{}", 14, "rules[1].of", "nobody", "families, profiles or devices"),
        ("[water_pump]", "[water_pmp]", 14, "rules[1].of.families[1]", "'water_pmp'", "did you mean water_pump?"),
        (
            "{families: [water_pump]}",
            "{profiles: [pump]}",
            14,
            "rules[1].of.profiles[1]",
            "'pump'",
            "(did you mean",
        ),
        (
            "{families: [water_pump]}",
            "{devices: [gate-2]}",
            14,
            "rules[1].of.devices[1]",
            "'gate-2'",
            "mean gate-1",
        ),
        (
            "[water_pump]}",
            "[water_pump], buildings: [2]}",
            14,
            "rules[1].of.buildings",
            "no such device there",
            "stand",
        ),
        ("[water_pump]}", "[water_pump], buildings: [3]}", 14, "rules[1].of.buildings[1]", "'3'", "one of 1, 2"),
        ("    for: 1m", "    per: parent", 16, "rules[1].per", "parent", "devices with a parent"),
        ("run == fault", "run == broken", 15, "rules[1].when", "'broken' at column 21", "one of fault, running"),
        ("number(pump,", "number(pmup,", 15, "rules[1].when", "'pmup' at column 8", "did you mean pump?"),
        (
            "number(pump, run == fault) >= 2",
            "presence == offline",
            15,
            "rules[1].when",
            "'presence'",
            "number(device, …)",
        ),
        (">= 2", "", 15, "rules[1].when", "a number", "a condition such as a comparison"),
        ("    for: 1m", "    fro: 1m", 16, "rules[1]", "unknown key 'fro'", "did you mean for?"),
        ("severity: major", "severity: grave", 17, "rules[1].severity", "'grave'", "'critical'"),
        ("    for: 1m", "    supplies: [water]", 16, "rules[1].supplies", "no residents", "what they lose"),
        (
            "    for: 1m",
            "    supplies: [door]\n    residents: {service: water, what: {zh: 无, en: None}}",
            16,
            "rules[1].supplies[1]",
            "a supply of access",
            "one of water",
        ),
        (
            "    for: 1m",
            "    residents: {service: water, what: {zh: 无, en: None}}",
            16,
            "rules[1].residents",
            "no supplies",
            "supplies that are touched",
        ),
    ],
)
def test_a_mistake_is_said_with_its_line(
    spoilt: str, instead: str, line: int, where: str, found: str, expected: str
) -> None:
    assert RULE.count(spoilt) == 1
    (mistake,) = refused(RULE.replace(spoilt, instead))
    assert (mistake.line, mistake.where) == (line, where)
    assert found in mistake.found
    assert expected in mistake.expected


def test_two_rules_of_one_name_and_every_mistake_at_once() -> None:
    spoilt = RULE.replace("run == fault", "run == broken")
    assert [mistake.where for mistake in refused(RULE + spoilt)] == ["rules[2].id", "rules[2].when"]


def test_of_a_family_every_profile_must_understand_it() -> None:
    both = RULE.replace("[water_pump]", "[water_pump, access_gate]")
    (mistake,) = refused(both.replace("pump, run == fault", "device, door == open"))
    assert "'door'" in mistake.found
    assert "read for pumps" in mistake.found


def test_what_is_exported_imports_again_and_changes_nothing(tmp_path: Path) -> None:
    database = opened(f"sqlite:///{tmp_path / 'r.db'}")
    import_site(database, SITE + FULL + RULE.replace("pumps_out", "more"), LIBRARY, MIDNIGHT)
    with database.read() as connection:
        text = export_site(connection, "yard")
        stored = connection.scalar(select(sites.c.rules))
    assert read_site(text, LIBRARY).rules == read_site(SITE + FULL + RULE.replace("pumps_out", "more"), LIBRARY).rules
    assert import_site(database, text, LIBRARY, MIDNIGHT).is_unchanged
    assert [one["id"] for one in stored] == ["pumps_out", "more"]
    assert stored[0]["for"] == "90s"
    changed = (SITE + FULL).replace("90s", "95s")
    report = import_site(database, changed, LIBRARY, MIDNIGHT)
    assert not report.is_unchanged
    assert (str(report.rules), str(report.feeds)) == ("1 changed, 1 retired", "none"), "an import says what it did"
    database.close()
