"""What the checks find in every section of a profile, and that a hostile or foolish one is refused quickly."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from device_profiles.checks import MOST_MISTAKES
from device_profiles.library import Mistake, load_text
from tests.device_profiles.profiles import LAMP, mistakes_of, spoiled

BINDINGS = "rules:\n  - id: lamp_dark"
EXTRA = """\
  - id: more
    topic: more/{address}/{line}
"""
COMMANDS = """\
commands:
  dim:
    name: {zh: 调光, en: Dim}
    scope: lamp
    topic: lamps/{address}/set
    json: {n: "{key-1}", level: "{level}", id: "{nonce}"}
    params: {level: {type: integer, default: 50, min: 0, max: 100, uom: W}}
    effect: {when: power < level, within: 30s}
  reboot:
    name: {zh: 重启, en: Restart}
    topic: lamps/{address}/frame
    struct:
      layout:
        integrity: [{kind: sum16}]
        fields: [{type: hex, size: 2, const: "55AA"}, {name: n, type: u16}, {name: what, type: u8}]
      values: {n: "{nonce}", what: 3}
"""


def with_binding(lines: str) -> str:
    """The lamp with another binding of these keys."""
    body = "".join(f"    {line}\n" for line in lines.strip().splitlines())
    return LAMP.replace(BINDINGS, EXTRA + body + BINDINGS, 1)


def with_commands(*changes: tuple[str, str]) -> str:
    text = COMMANDS
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return LAMP.replace(BINDINGS, text + BINDINGS, 1)


def said(text: str, where: str, found: str, expected: str) -> None:
    mistakes = mistakes_of(text)
    good = [one for one in mistakes if where in one.where and found in one.found and expected in one.expected]
    assert good, "\n".join(str(one) for one in mistakes)
    assert all(one.line > 1 for one in good)


@pytest.mark.parametrize(
    ("lines", "where", "found", "expected"),
    [
        # chains
        ("decode: [{}]", "decode[1]", "0 steps", "exactly one of json, json_scalar"),
        ("decode: [{text: true}, {struct: {fields: [{name: a, type: u8}]}}]", "decode[2]", "gives text", "bytes"),
        ("decode: [{json: true}, {tlv: {entries: {}}}]", "decode[2]", "gives a value", "at: …"),
        ("decode: [{xml: true}, {hex: true}]", "decode[2]", "gives an object", "at: …"),
        ("decode: [{json: true, at: a}]", "decode[1].at", "a path into bytes", "a step before"),
        ("decode: [{pivot: {}}]", "decode[1]", "pivot after", "an array"),
        ("decode: [{regex: {pattern: '(?=a)b'}}]", "regex.pattern", "invalid perl operator", "no look-around"),
        ("decode: [{regex: {pattern: '(a)\\1'}}]", "regex.pattern", "invalid escape", "no back references"),
        ("decode: [{regex: {pattern: '(a+)+b'}}]", "regex.pattern", "'(a+)+b'", "named group"),
        ("decode: [{regex: {pattern: '(?P<x>\\pL{500})'}}]", "regex.pattern", "too large", "huge repetition"),
        ("decode: [{csv: {columns: [a, b, a]}}]", "csv.columns[3]", "'a' twice", "once"),
        ("decode: [{csv: {header: true}}]", "csv.header", "without rows", "rows: true"),
        ("decode: [{fixed: [{name: a, start: 4, end: 2}]}]", "fixed[a].end", "4 to 2", "behind the start"),
        ("decode: [{sparkplug_b: true}]", "sparkplug_b.node", "'group'", "address, line"),
        ("decode: [{check: {kind: crc16_modbus, size: 1}}]", "check.size", "1 bytes", "2 for crc16_modbus"),
        ("decode: [{check: {kind: length}}]", "check", "no at", "offset of the length"),
        # frames
        ("decode: [{struct: {fields: [{name: a, type: u12}]}}]", "type", "'u12'", "did you mean"),
        (
            "decode: [{struct: {fields: [{name: a, type: ascii}]}}]",
            "fields[a]",
            "neither size nor prefix",
            "one of size",
        ),
        ("decode: [{struct: {fields: [{name: a, type: u8, size: 2}]}}]", "fields[a].size", "type u8", "bcd"),
        (
            "decode: [{struct: {fields: [{name: a, type: hex, size: nn}, {name: nn, type: u8}]}}]",
            "fields[a].size",
            "'nn'",
            "*",
        ),
        ("decode: [{struct: {fields: [{name: a, type: u8, count: 1000000}]}}]", "count", "1000000", "0 to 4096"),
        (
            "decode: [{struct: {fields: [{name: many, type: u8}, {name: a, type: u8, count: mny}]}}]",
            "fields[a].count",
            "'mny'",
            "did you mean many?",
        ),
        ("decode: [{struct: {fields: [{name: a, type: u8}, {name: a, type: u8}]}}]", "fields[a]", "'a' twice", "once"),
        ("decode: [{struct: {fields: [{type: u8}]}}]", "fields[1]", "a u8 without a name", "type: skip"),
        ("decode: [{struct: {fields: [{name: a, type: u8, const: 256}]}}]", "const", "256", "0 to 255"),
        ("decode: [{struct: {fields: [{type: hex, size: 2, const: '5'}]}}]", "const", "'5'", "hex digits"),
        (
            "decode: [{struct: {fields: [{name: a, type: u8, bits: {b: {start: 6, width: 3}}}]}}]",
            "bits.b",
            "bits 6 to 8",
            "0 to 7",
        ),
        ("decode: [{struct: {fields: [{name: a, type: i8, flags: [b]}]}}]", "fields[a]", "type i8", "unsigned"),
        ("decode: [{struct: {fields: [{type: switch, on: a, cases: {}}]}}]", "fields[1].on", "'a'", "none"),
        ("decode: [{struct: {fields: [{name: a, type: u8, on: b}]}}]", "fields[a].on", "on on a field", "type: switch"),
        ("decode: [{struct: {fields: [{name: a, type: group}]}}]", "fields[a]", "without fields", "fields"),
        # tlv
        ("decode: [{tlv: {entries: {'01': {}}}}]", "entries.01", "'01'", "4 hex digits"),
        ("decode: [{tlv: {key_bytes: 1, entries: {'0a': {}, '0A': {}}}}]", "entries.0A", "twice", "once"),
        ("decode: [{tlv: {key_bytes: 1, unknown: skip, entries: {'01': {}}}}]", "unknown", "without a length", "flag"),
        ("decode: [{tlv: {key_bytes: 1, entries: {'01': {many: true}}}}]", "many", "without into", "array"),
        # modbus
        (
            "decode: [{modbus: {polls: [{id: a, start: 10, count: 2, registers: [{name: r, at: 11, type: u32}]}]}}]",
            "registers[r].at",
            "11 to 12",
            "10 to 11",
        ),
        (
            "decode: [{modbus: {polls: [{id: a, start: 0, count: 126, registers: [{name: r, at: 1}]}]}}]",
            "polls[a].count",
            "126",
            "at most 125",
        ),
        (
            "decode: [{modbus: {polls: [{id: a, function: 1, start: 0, count: 9, registers: [{name: r, at: 1,"
            " type: u32}]}]}}]",
            "type",
            "'u32'",
            "coil",
        ),
        (
            "decode: [{modbus: {polls: [{id: a, start: 0, count: 9, every: 10s, registers: [{name: r, at: 1}]}]}}]",
            "every",
            "without request_topic",
            "where requests",
        ),
        (
            "decode: [{modbus: {request_topic: 'x/{lane}', polls: [{id: a, start: 0, count: 9, registers:"
            " [{name: r, at: 1}]}]}}]",
            "request_topic",
            "'lane'",
            "did you mean line?",
        ),
        # conditions
        ("when: [{}]", "when[1]", "no test", "at least one"),
        ("when: [{equals: 3}]", "when[1]", "alone", "path or capture"),
        ("when: [{at: 3}]", "when[1]", "at without byte", "at and byte"),
        ("when: [{prefix: 5x}]", "when[1].prefix", "'5x'", "hex"),
        ("when: [{capture: lime, equals: a}]", "when[1].capture", "'lime'", "did you mean line?"),
        ("when: [{path: a, regex: '(?!a)'}]", "when[1].regex", "invalid perl", "no look-around"),
        ("when: [{all_of: [{path: 'a[0'}]}]", "all_of[1].path", "'a[0'", "a path"),
        ("when: [{any_of: [{path: a}, {path: 'a[0'}]}]", "any_of[2].path", "'a[0'", "a path"),
        ("when: [{any_of: [{path: a}]}]", "any_of", "one condition alone", "at least two"),
        ("when: [{not: {prefix: 5x}}]", "not.prefix", "'5x'", "hex"),
        ("when: [{not: {}}]", "not", "no test", "at least one"),
        ("when: [{path: [a, a]}]", "path[2]", "'a' twice", "each path once"),
        ("when: [{path: []}]", "path", "a list of 0", "a text"),
        ("when: [{path: 5}]", "path", "5", "a text or a list"),
        ("when: [{capture: key, equals: a}]", "when[1].capture", "'key'", "address, line"),
        ("fields: {power: {path: [a, 'b[']}}", "power.path[2]", "'b['", "a path"),
        ("fields: {power: [a, 'b[']}", "power", "'b['", "a path"),
        ("fields: {power: {path: a, unreadable: ignore}}", "unreadable", "'ignore'", "one of reject, skip"),
        ("fields: {power: {path: a, when: {not: {prefix: aa}}}}", "when.not.prefix", "whole payload", "the binding's"),
        ("fields: {power: {path: a, when: {regex: a}}}", "when.regex", "whole payload", "path, absent, kind"),
        ("time: {path: [t, 't[']}", "time.path[2]", "'t['", "a path"),
        ("time: {path: t, when: {text: a}}", "time.when.text", "whole payload", "path, absent, kind"),
        ("time: {path: t, step: 1m}", "time.step", "step without split", "split"),
        ("time: {path: t, step: 0s}\nsplit: [{over: a}]", "time.step", "no time", '"-60s"'),
        ("time: {path: t, step: 1 min}", "time.step", "'1 min'", '"-60s" for backwards'),
        ("split: [{capture: a}]", "split[1]", "nothing", "exactly one of over, zip"),
        ("split: [{over: a, zip: [b]}]", "split[1]", "over and zip", "exactly one"),
        ("split: [{zip: ['a[0]', b]}]", "split[1].zip[1]", "'a[0]'", "by keys alone"),
        ("split: [{zip: [a, b], elements: one}]", "split[1].elements", "without over", "over"),
        ("presence: {a: online}\npresence_path: [a, 'b[']", "presence_path[2]", "'b['", "a path"),
        # fields
        ("fields: {voltage: {path: v, const: 3}}", "fields.voltage", "path and const", "exactly one of path"),
        ("fields: {voltage: {}}", "fields.voltage", "nothing", "exactly one of path"),
        ("fields: {voltage: {path: v, when: {capture: lime, equals: a}}}", "when.capture", "'lime'", "line?"),
        ("fields: {voltage: {path: v, default: 3}}", "fields.voltage.default", "without map", "map"),
        (
            "fields: {voltage: {path: v, missing_value: 0, when_missing: erase}}",
            "fields.voltage",
            "missing_value and when_missing",
            "one of them",
        ),
        ("fields: {voltage: {path: v, scale: 0}}", "fields.voltage.scale", "0", "other than 0"),
        ("fields: {voltage: {path: v, linear: [4, 4, 0, 1]}}", "fields.voltage.linear", "a list", "no point"),
        ("fields: {hit: x}", "fields.hit", "the event hit", "under events"),
        # times
        ("time: {format: iso}", "more].time", "nothing", "exactly one of path, capture, join"),
        ("time: {path: t, format: unix_sec}", "time.format", "'unix_sec'", "did you mean unix_s"),
        ("time: {path: t, format: '%c %Z', zones: {PST: eight}}", "time.zones.PST", "'eight'", "+08:00"),
        # children, events, presence
        ("each: [{child: lamp, over: l, zip: [a], key: '{n}'}]", "each[1]", "over and zip", "one of them"),
        ("each: [{child: lamp, key: '{index+1}'}]", "each[1].key", "'{index+1}'", "over or zip"),
        ("each: [{child: lamp, over: l, key: '{n'}]", "each[1].key", "'{n'", "{port+1}"),
        (
            "each: [{child: lamp, zip: [watts, st], key: '{index}', fields: {power: wats}}]",
            "fields.power",
            "'wats'",
            "watts?",
        ),
        ("each: [{child: lamp, elements: keys, key: a}]", "elements", "without over", "over"),
        ("events: [{event: hit, phase: begin}]", "events[1]", "a phase of hit", "lasting: true"),
        ("events: [{event: hit, edge: {}}]", "events[1].edge", "nothing", "exactly one of path, capture"),
        ("events: [{event: hit, edge: {path: a, from: [1], to: [1]}}]", "edge.to", "as in from", "change"),
        ("presence_path: a", "presence_path", "without presence", "presence"),
        (
            "{presence: {on: online}, says: offline}".strip("{}").replace("}, says", "}\nsays"),
            "more]",
            "says",
            "one of",
        ),
        ("ignore: true\nfields: {voltage: v}", "more].fields", "ignored", "no ignore"),
        ("sequence: {path: s, event: hut}", "sequence.event", "'hut'", "hit"),
        ("reply: {command: dim}", "reply.command", "'dim'", "none"),
        ("split: [{over: a, capture: line}]", "split[1].capture", "'line'", "a name of its own"),
    ],
)
def test_a_binding_s_mistake_says_where_what_and_what_instead(
    lines: str, where: str, found: str, expected: str
) -> None:
    said(with_binding(lines), where, found, expected)


def test_an_address_may_come_from_what_a_message_is_split_by() -> None:
    text = LAMP.replace(
        BINDINGS,
        "  - {id: more, topic: bridge, split: [{over: lamps, elements: keys, capture: address}],\n"
        f"     fields: {{voltage: v}}}}\n{BINDINGS}",
        1,
    )
    assert load_text(text).bindings[1].split[0].capture == "address"


def test_a_topic_that_hears_everybody_must_not_be_discovered() -> None:
    text = LAMP.replace(
        BINDINGS, f"  - {{id: more, topic: '{{address}}/{{rest+}}', fields: {{voltage: v}}}}\n{BINDINGS}", 1
    )
    said(text, "bindings[more].topic", "{address}/{rest+}", "discovery: false")
    load_text(text.replace("family: lighting", "family: lighting\ndiscovery: false"))


# --- commands --------------------------------------------------------------------------------------------------------


def test_sound_commands_load() -> None:
    assert set(load_text(with_commands()).commands) == {"dim", "reboot"}


@pytest.mark.parametrize(
    ("old", "new", "where", "found", "expected"),
    [
        ("topic: lamps/{address}/set", "topic: lamps/{adress}/set", "commands.dim.topic", "'adress'", "address?"),
        ("topic: lamps/{address}/set", "topic: lamps/+/set", "commands.dim.topic", "lamps/+/set", "without +"),
        ('"{level}"', '"{levl}"', "commands.dim.json.level", "'levl'", "did you mean level?"),
        ('level: "{level}"', '"{levl}": "{level}"', "commands.dim.json.{levl}", "'levl'", "did you mean level?"),
        ("scope: lamp", "scope: lump", "commands.dim.scope", "'lump'", "lamp"),
        ("default: 50", "default: 500", "params.level.default", "500", "at most 100"),
        ("params: {level:", "params: {voltage:", "params.voltage", "also as a metric", "another name"),
        ("params: {level:", "params: {nonce:", "params.nonce", "the slot {nonce}", "another name"),
        ("power < level", "powr < level", "effect.when", "'powr'", "did you mean power?"),
        ("power < level", "delta(power, 5m) < 1", "effect.when", "delta(…)", "only rules"),
        ("within: 30s", "within: 0s", "effect.within", "no time", "1m"),
        ("    struct:", '    text: ""\n    struct:', "commands.reboot", "text and struct", "exactly one of json"),
        ("what: 3}", "wat: 3}", "struct.values.wat", "'wat'", "did you mean what?"),
        ('values: {n: "{nonce}", what: 3}', 'values: {n: "{nonce}"}', "struct.values", "no value of what", "what:"),
        ('n: "{nonce}", what', 'n: "{key}", what', "struct.values.n", "'key'", "nonce"),
        ("  reboot:", "  Reboot:", "commands.Reboot", "the name", "lower"),
    ],
)
def test_a_command_s_mistake_says_where_what_and_what_instead(
    old: str, new: str, where: str, found: str, expected: str
) -> None:
    said(with_commands((old, new)), where, found, expected)


@pytest.mark.parametrize(
    ("order", "where", "found", "expected"),
    [
        ("{command: dm}", "order.command", "'dm'", "did you mean dim?"),
        ("{command: dim, params: {level: 101}}", "order.params.level", "101", "at most 100"),
        ("{command: dim, params: {level: high}}", "order.params.level", "'high'", "type integer"),
        ("{command: dim, params: {lvl: 1}}", "order.params.lvl", "'lvl'", "level"),
    ],
)
def test_an_order_s_mistake_says_where_what_and_what_instead(order: str, where: str, found: str, expected: str) -> None:
    said(with_commands().replace("ticket: change_lamp", f"order: {order}"), where, found, expected)


def test_how_a_command_fares_can_be_asked_in_rules() -> None:
    text = with_commands().replace("when: light == fault and", "when: dim_command == failed and")
    load_text(text.replace("light: fault, parent", "dim_command: failed, parent"))
    said(with_commands().replace("when: light == fault", "when: dim_command == faild"), "when", "'faild'", "failed?")
    said(with_commands().replace("when: light == fault", "when: reboot_command == failed"), "when", "reboot", "parent.")


# --- counters, derived metrics, events that last ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "where", "found", "expected"),
    [
        ("kind: counter}", "counter: {}}", "metrics.hours.counter", "on a gauge", "kind: counter"),
        ("kind: counter}", "kind: counter, counter: {total: totl}}", "counter.total", "'totl'", "one of"),
        (
            "kind: counter}",
            "kind: counter, counter: {total: power}}",
            "counter.total",
            "power of lamp",
            "without scope",
        ),
        ("kind: counter}", "kind: counter, counter: {total: hours}}", "counter.total", "itself", "another metric"),
        ("uom: MPa}", "uom: MPa, derive: voltge / 2}", "pressure.derive", "'voltge'", "did you mean voltage?"),
        ("uom: MPa}", "uom: MPa, derive: voltage > 2}", "pressure.derive", "a condition", "a number"),
        ("uom: MPa}", "uom: MPa, derive: voltage + 0 V}", "pressure.derive", "a number in V", "one in MPa"),
        ("uom: MPa}", "uom: MPa, derive: power * 1}", "pressure.derive", "'power'", "one of lamp"),
        ("uom: MPa}", "uom: MPa, derive: mean(voltage, 5m)}", "pressure.derive", "mean(…)", "only rules"),
        ("uom: MPa}", "uom: MPa, derive: pressure * 2}", "pressure.derive", "pressure from pressure", "needs itself"),
        ("  hit: {", "  hit: {auto_clear: 10s, ", "events.hit.auto_clear", "does not last", "lasting: true"),
        ("  hit: {", "  hit: {lasting: true, ", "events.hit", "no end", "auto_clear"),
        ("{period: 1m}", "{period: 1m, offline_after: 1m}", "offline_after", "60s", "at least 120s"),
        ("count: lamps}", "count: 1000000}", "children.lamp.count", "1e+06", "0 to 512"),
    ],
)
def test_what_is_declared(old: str, new: str, where: str, found: str, expected: str) -> None:
    said(spoiled((old, new)), where, found, expected)


def test_metrics_that_need_each_other_are_found() -> None:
    text = spoiled(
        ("uom: MPa}", "uom: MPa, derive: hours * 1}"), ("kind: counter}", "kind: counter, derive: pressure * 1}")
    )
    said(text, "metrics.pressure.derive", "pressure from hours from pressure", "needs itself")


# --- rules and their tests -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "where", "found", "expected"),
    [
        ("{light: fault, hold: 1m, parent.hit: 0}", "given[1].parent.hit", "0", "how often"),
        ("{times: 0, steps: [{light: lit, hold: 1s}]}", "given[1].times", "0", "1 to 100"),
        ("{times: 5}", "given[1].steps", "nothing", "a list"),
        ("{times: 5, steps: [{lihgt: lit, hold: 1s}]}", "steps[1].lihgt", "'lihgt'", "did you mean light?"),
        ("{power: [1, 2, 3], hold: 1m}", "given[1].power", "a list of 3", "[from, to]"),
        ("{rated_power: [1, 2], hold: 1m}", "given[1].rated_power", "a list", "a number"),
    ],
)
def test_a_test_s_mistake(step: str, where: str, found: str, expected: str) -> None:
    text = spoiled(("{light: fault, parent.voltage: 230, hold: 10s}", step))
    said(text, where, found, expected)


def test_a_look_back_must_be_longer_than_the_metric_s_period() -> None:
    text = spoiled(
        ("uom: V, range: [0, 500]}", "uom: V, range: [0, 500], period: 2m}"),
        ("when: light == fault and parent.voltage > 200 V", "when: delta(parent.voltage, 1m) > 10 V"),
    )
    said(text, "rules[lamp_dark].when", "1m in delta(parent.voltage, 1m)", "at least 2m, the period of voltage")


def test_a_missing_source_is_one_mistake() -> None:
    (only,) = mistakes_of(spoiled(("    source: {kind: judgement}\n", "")))
    assert (only.where, only.found, only.expected) == ("rules[lamp_dark].source", "nothing", "the key source")


# --- hostile and foolish ---------------------------------------------------------------------------------------------


def quickly(text: str, seconds: float = 8) -> list[Mistake]:
    """Refused, in a time that a person would wait for; what others do on this machine does not count."""
    began = time.thread_time()
    mistakes = mistakes_of(text)
    assert time.thread_time() - began < seconds
    assert len(mistakes) <= MOST_MISTAKES
    return mistakes


def many(line: Callable[[int], str], times: int) -> str:
    return "".join(line(i) for i in range(times))


HOSTILE = {
    "bindings": LAMP.replace(
        BINDINGS, many(lambda i: f"  - {{id: b{i}, topic: 'b{i}/{{address}}'}}\n", 2_000) + BINDINGS, 1
    ),
    "states": LAMP.replace(
        "values: {closed:", "values: {" + ", ".join(f"w{i}: {{zh: a, en: a}}" for i in range(900)) + ", closed:"
    ),
    "fields": LAMP.replace(
        "fields: {voltage: v,", "fields: {" + ", ".join(f"f{i}: v" for i in range(3_000)) + ", voltage: v,"
    ),
    "all_of": LAMP.replace("when: {path: hit, equals: true}", "when: " + "{all_of: [" * 12 + "{path: a}" + "]}" * 12),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_too_many_of_anything_is_refused_quickly(name: str) -> None:
    mistakes = quickly(HOSTILE[name])
    assert any("of them" in one.found or "levels" in one.found or "nested" in one.found for one in mistakes)


def test_ten_thousand_rules_are_refused_quickly() -> None:
    rule = "  - {id: r%d, name: {zh: a, en: a}, when: voltage > 1, severity: minor, source: {kind: judgement}}\n"
    text = LAMP.replace("tickets:\n", "".join(rule % i for i in range(10_000)) + "tickets:\n", 1)
    assert any("at most" in one.expected for one in quickly(text))


def test_groups_within_groups_are_refused_quickly() -> None:
    deep = "{name: a, type: u8}"
    for _ in range(11):
        deep = f"{{name: g, type: group, count: '*', fields: [{deep}]}}"
    found = quickly(with_binding(f"decode: [{{struct: {{fields: [{deep}]}}}}]"))
    assert any("levels" in one.found for one in found)


def test_ten_thousand_misspelt_names_say_the_first_ones() -> None:
    names = ", ".join(f"voltag{i}: {{uom: V}}" for i in range(5_000))
    assert quickly(LAMP.replace("metrics:\n", f"metrics:\n  # many\n  x: {{name: {{zh: a, en: b}}, {names}}}\n"))


def test_a_huge_text_of_commas_is_refused_before_it_is_parsed() -> None:
    assert "parts" in quickly("profile: [" + "1," * 400_000 + "]", 2)[0].found


def test_an_expression_that_never_ends_is_refused() -> None:
    tower = "(" * 400 + "voltage > 1" + ")" * 400
    said(spoiled(("when: light == fault and parent.voltage > 200 V", f"when: '{tower}'")), "when", "levels", "at most")
    said(
        spoiled(("when: light == fault and parent.voltage > 200 V", "when: " + "light == fault or " * 200 + "true")),
        "when",
        "characters",
        "at most 1000",
    )
