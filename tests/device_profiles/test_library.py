"""Loading: every mistake of every file at once, with file and line; and nothing a file can do but be refused."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from device_profiles.library import SHIPPED, ProfileMistakes, load, load_text, survey
from device_profiles.units import misspelt
from device_profiles.yaml_source import LARGEST_FILE
from tests.device_profiles.profiles import LAMP, lamp, line_of, mistakes_of, spoiled


def test_the_lamp_loads() -> None:
    assert lamp().id == "street_lamp"


def test_a_library_is_a_mapping_by_id(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "lamp.yml").write_text(LAMP)
    library = load(SHIPPED, tmp_path)
    assert "street_lamp" in library
    assert set(load()) == set(library) - {"street_lamp"}
    assert "street_lamp" in [profile.id for profile in library.by_family("lighting")]
    assert "street_lamp" not in [profile.id for profile in library.by_family("camera")]
    assert "lighting" in library.families()
    assert library.file_of("street_lamp").name == "lamp.yml"
    assert library.document_of("street_lamp").line("rules", 0, "when") == line_of(LAMP, "when: light")


@pytest.mark.parametrize(
    ("old", "new", "where", "found", "expected"),
    [
        # the shape
        ("family: lighting", "famly: lighting", "famly", "unknown key 'famly'", "did you mean family?"),
        ("  severity: minor", "  severity: minr", "rules[lamp_dark].severity", "'minr'", "did you mean minor?"),
        ("for: 30s", "for: 30 sec", "rules[lamp_dark].for", "'30 sec'", "duration such as"),
        ("availability: {period: 1m}", "availability: {}", "availability.period", "nothing", "the key period"),
        ("trade: electrical", "trade: 7", "tickets.change_lamp.trade", "7", "one of access, electrical"),
        ("{zh: 换灯, en: Change the lamp}", "换灯", "tickets.change_lamp.title", "'换灯'", "a mapping"),
        ("  - id: lamp_dark", "  - id: Lamp-Dark", "rules[Lamp-Dark].id", "'Lamp-Dark'", "lower-case"),
        ("  change_lamp:", "  Lamp!:", "tickets.Lamp!", "the name 'Lamp!'", "lower-case"),
        ("trade: electrical", "trades: electrical", "tickets.change_lamp.trades", "'trades'", "did you mean trade?"),
        # names across sections
        ("count: lamps}", "count: lampz}", "children.lamp.count", "'lampz'", "did you mean lamps?"),
        ("count: lamps}", "count: crew}", "children.lamp.count", "type text", "type integer"),
        ("default: 4,", "default: 12,", "params.lamps.default", "12", "at most 9"),
        ("default: 4,", "default: four,", "params.lamps.default", "'four'", "type integer"),
        ("uom: mA, scope: lamp", "uom: mA, scope: lmp", "metrics.current.scope", "'lmp'", "did you mean lamp?"),
        ("range: [0, 500]", "range: [500, 0]", "metrics.voltage.range", "a list", "the lower bound first"),
        ("topic: lamps/{address}", "topic: lamps/{adress}", "bindings[telemetry].topic", "{adress}", "{address}"),
        ("{voltage: v,", "{voltag: v,", "bindings[telemetry].fields.voltag", "'voltag'", "did you mean voltage?"),
        ("fields: {power: w,", "fields: {voltage: w,", "each[1].fields.voltage", "of the device", "scope: lamp"),
        ("{o: open, c: closed}", "{o: opn, c: closed}", "fields.cabinet.map.o", "'opn'", "did you mean open?"),
        ("- {child: lamp", "- {child: lamb", "each[1].child", "'lamb'", "lamp"),
        ("{event: hit,", "{event: hat,", "events[1].event", "'hat'", "hit"),
        ("decode: [{json: true}]", "decode: [{json: true, text: true}]", "decode[1]", "2 steps", "exactly one"),
        ("scope: lamp\n    when", "scope: lump\n    when", "rules[lamp_dark].scope", "'lump'", "did you mean lamp?"),
        ("when: light == fault", "when: light == falt", "rules[lamp_dark].when", "'falt' at column 10", "fault?"),
        ("when: light == lit,", "when: lihgt == lit,", "clear.when", "'lihgt'", "did you mean light?"),
        ("ticket: change_lamp", "ticket: chnge_lamp", "rules[lamp_dark].ticket", "'chnge_lamp'", "change_lamp"),
        ("residents: dark_path", "residents: dark", "rules[lamp_dark].residents", "'dark'", "dark_path"),
        ("{kind: judgement}", "{kind: vendor}", "rules[lamp_dark].source", "no ref", "the vendor"),
        ("230, hold: 10s", "230, hold: soon", "tests[2].given[1].hold", "'soon'", "duration"),
        ("230, hold: 10s", "230, hld: 10s", "tests[2].given[1].hld", "'hld'", "one of"),
        ("{light: lit, hold: 2m}", "{light: on, hold: 2m}", "given[2].light", "'on'", "one of dark"),
        ("headline: [voltage, light]", "headline: [voltge]", "dashboard.headline[1]", "'voltge'", "voltage?"),
        ("charts: [[power, current]]", "charts: [[light]]", "dashboard.charts[1][1]", "'light'", "metric"[:0]),
        ("plays: [{binding: telemetry", "plays: [{binding: tele", "plays[1].binding", "'tele'", "telemetry"),
        ("cycle: [lit, dark]", "cycle: [lit, drk]", "signals.light.cycle[2]", "'drk'", "did you mean dark?"),
        ("while: {light: [lit]}", "while: {light: [on]}", "signals.power.while.light[1]", "'on'", "lit"),
        ("set: {light: fault}", "set: {voltage: 3}", "faults.broken.set.voltage", "of the device", "scope: lamp"),
        ("ramp: {power: [0, 5s]}", "ramp: {light: [0, 5s]}", "faults.broken.ramp.light", "the state", "a metric"),
        ("values: {power: 58,", "values: {powr: 58,", "samples[two lamps].expect[2].values.powr", "'powr'", "power?"),
        ('{child: "lamp:1",', '{chlid: "lamp:1",', "samples[two lamps].expect[2].chlid", "'chlid'", "child?"),
        ("    text: '{", "    hex: '{", "samples[two lamps].hex", "'{", "hex digits"),
        ("rated_power: {default", "silence: {default", "params.silence", "reserved", "another name"),
        ("rated_power: {default", "voltage: {default", "params.voltage", "also as a metric", "of its own"),
    ],
)
def test_a_mistake_says_where_what_and_what_instead(old: str, new: str, where: str, found: str, expected: str) -> None:
    text = spoiled((old, new))
    said = [one for one in mistakes_of(text) if where in one.where and found in one.found and expected in one.expected]
    assert said, "\n".join(str(one) for one in mistakes_of(text))
    first_changed = next(
        i for i, (a, b) in enumerate(zip(LAMP.split("\n"), text.split("\n"), strict=True), 1) if a != b
    )
    lines = new.count("\n") + 1
    # A missing key is reported at what it is missing from; everything else on the line that is wrong.
    assert first_changed <= said[0].line < first_changed + lines
    assert str(said[0]).startswith(f"lamp.yaml:{said[0].line}: ")


def test_every_mistake_of_every_file_at_once(tmp_path: Path) -> None:
    """A misspelt severity does not hide the misspelt name in the same rule, nor one file another."""
    spoilt = spoiled(
        ("severity: minor", "severity: minr"),
        ("when: light == fault", "when: light == falt"),
        ("ticket: change_lamp", "ticket: chnge"),
        ("priority: P3", "priority: P9"),
        ("headline: [voltage, light]", "headline: [voltge]"),
        ("expect: quiet}", "expect: silent}"),
        ("power: [0, 5s]", "powr: [0, 5s]"),
    )
    (tmp_path / "a.yaml").write_text(spoilt)
    (tmp_path / "b.yaml").write_text("profile: [")
    (tmp_path / "c.yaml").write_text(LAMP)
    (tmp_path / "d.yaml").write_text(LAMP)
    with pytest.raises(ProfileMistakes) as caught:
        load(tmp_path)
    by_file = {name: [m for m in caught.value.mistakes if m.file.name == name] for name in ("a.yaml", "b.yaml")}
    assert [mistake.line for mistake in by_file["a.yaml"]] == sorted(
        line_of(spoilt, part) for part in ("minr", "falt", "chnge", "P9", "voltge", "silent", "powr: [0")
    )
    assert len(by_file["b.yaml"]) == 1
    again = [m for m in caught.value.mistakes if m.file.name == "d.yaml"]
    assert [(m.line, "street_lamp" in m.found, "c.yaml" in m.expected) for m in again] == [(1, True, True)]
    assert len(caught.value.mistakes) == 9


def test_survey_keeps_what_is_sound(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(LAMP)
    (tmp_path / "b.yaml").write_text(spoiled(("street_lamp", "other_lamp"), ("severity: minor", "severity: x")))
    library, mistakes = survey(tmp_path)
    assert list(library) == ["street_lamp"]
    assert [mistake.file.name for mistake in mistakes] == ["b.yaml"]


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("profile: x\nname: [a, b\nfoo: bar\n", 3, "':'"),
        ("profile: x\nfamily: a\nprofile: y\n", 3, "duplicate key"),
        ("profile: x\nname: \tx: y\n", 2, ""),
        ("a: 1\n---\nb: 2\n", 2, "another document"),
        ("profile: *nobody\n", 1, "undefined alias"),
        ("profile: a\nname: !!python/name:os.system x\n", 2, "the tag"),
        ('profile: a\nname: !!python/object/apply:os.system ["true"]\n', 2, "the tag"),
        ("profile: a\n1: 2\n", 2, "the key 1"),
        ("- profile\n", 1, "no mapping"),
        ("", 1, "no mapping"),
        ("profile: \x01\n", 1, "U+0001"),
        ("profile: a\nname: " + "[" * 5000 + "]" * 5000, 2, "nested too deeply"),
        ("profile: a\nname: " + "{a: " * 60 + "1" + "}" * 60, 2, "nested too deeply"),
    ],
)
def test_what_is_no_profile_is_refused_with_its_line(text: str, line: int, found: str) -> None:
    first = mistakes_of(text)[0]
    assert (first.line, found in first.found) == (line, True), str(first)


def test_an_alias_bomb_is_refused_quickly() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 20)]
    began = time.thread_time()
    assert "aliases written out" in mistakes_of("\n".join(levels))[0].found
    assert time.thread_time() - began < 10


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "huge.yaml").write_bytes(b"#" * (LARGEST_FILE + 1))
    with pytest.raises(ProfileMistakes, match=str(LARGEST_FILE + 1)):
        load(tmp_path)


def test_other_bytes_and_missing_folders_are_mistakes_too(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"profile: caf\xe9")
    with pytest.raises(ProfileMistakes) as caught:
        load(tmp_path, tmp_path / "nowhere")
    assert {mistake.where for mistake in caught.value.mistakes} == {"file", "folder"}


def test_aliases_are_written_out() -> None:
    text = spoiled(
        ("values: {closed: {zh: 关, en: closed}, open: {zh: 开, en: open}}", "values: &words {lit: {zh: 亮, en: lit}}"),
        ("values: {lit: {zh: 亮, en: lit}, dark: {zh: 灭, en: dark}, fault: {zh: 坏, en: fault}}", "values: *words"),
        ("{o: open, c: closed}", "{o: lit}"),
        ("when: light == fault and", "when: light == lit and"),
        ("cycle: [lit, dark]", "cycle: [lit]"),
        ("set: {light: fault}", "set: {light: lit}"),
        ("cabinet: closed}", "cabinet: lit}"),
    )
    tests = text[text.index("    tests:") : text.index("tickets:")]
    profile = load_text(text.replace(tests, ""))
    assert list(profile.states["light"].values) == ["lit"]


def test_of_two_that_take_a_message_the_users_own_is_asked_first_and_adapters_last(tmp_path: Path) -> None:
    (tmp_path / "lamp.yaml").write_text(LAMP.replace("street_lamp", "zz_lamp"))
    library = load(SHIPPED, tmp_path)
    assert next(iter(library)) == "zz_lamp"
    families = [profile.family == "adapter" for profile in list(library.values())[1:]]
    assert families == sorted(families) and True in families


@pytest.mark.parametrize(
    ("unit", "meant"),
    [("dBmm", "dBm"), ("Kwh", "kWh"), ("kWhh", "kWh"), ("dBA", None), ("ppb", None), ("furlong", None), ("", None)],
)
def test_a_unit_is_a_mistake_only_where_a_known_one_is_near(unit: str, meant: str | None) -> None:
    assert misspelt(unit) == meant


def test_a_path_with_two_dots_is_a_mistake_on_its_line() -> None:
    text = spoiled(("power: data.power", "power: data..power")) if "power: data.power" in LAMP else ""
    if not text:
        line = next(line for line in LAMP.splitlines() if "path: " in line)
        path = line.split("path: ")[1].split(",")[0].split("}")[0].strip()
        text = LAMP.replace(f"path: {path}", f"path: a..{path}", 1)
    found = [one for one in mistakes_of(text) if ".." in one.found]
    assert [one.line for one in found] == [line_of(text, "..")]
