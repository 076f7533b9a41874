"""Profiles that want to hang, to eat memory, to run code or to read files: refused with a line, or bounded.

They come in as a person would paste them: through `read_profile` and `try_profile`, which the page and the API use.
"""

from __future__ import annotations

import textwrap
import time
import tracemalloc
from pathlib import Path

import pytest

from device_profiles.library import ProfileMistakes, load_text, survey
from services.authoring.capture import Message
from services.authoring.tryout import LARGEST_YAML, NotPossible, Tried, read_profile, try_profile

NOW = 1_900_000_000_000
LONGEST_SECONDS = 8.0
"""On a machine that does other things too; about 2 where it does not."""
MOST_MEMORY = 150 << 20

HEAD = textwrap.dedent("""\
    profile: x_lamp
    family: lighting
    name: {zh: 路灯, en: Street lamp}
    params: {lamps: {type: integer, default: 4, min: 1, max: 9}}
    children: {lamp: {name: {zh: 灯, en: Lamp}, count: lamps}}
    metrics:
      voltage: {name: {zh: 电压, en: Voltage}, uom: V, range: [0, 500]}
      power: {name: {zh: 功率, en: Power}, uom: W, scope: lamp}
    states:
      cabinet: {name: {zh: 箱门, en: Cabinet}, values: {closed: {zh: 关, en: closed}, open: {zh: 开, en: open}}}
    availability: {period: 1m}
    """)


def bound(
    *, topic: str = "lamps/{address}/t", decode: str = "{json: true}", fields: str = "{voltage: v}", more: str = ""
) -> str:
    return f"{HEAD}bindings:\n  - id: t\n    topic: '{topic}'\n    decode: [{decode}]\n    fields: {fields}\n{more}"


def with_rule(when: str, given: str) -> str:
    return bound() + textwrap.dedent(f"""\
        rules:
          - id: r
            name: {{zh: x, en: x}}
            when: '{when}'
            severity: minor
            source: {{kind: judgement}}
            tests: [{{given: [{given}], expect: raised}}]
        """)


def tried(text: str, payload: bytes = b"", topic: str = "lamps/a/t") -> Tried | str:
    """What the page would show: mistakes, an outcome, or the words of a refusal. Fails where it takes too much."""
    message = Message(NOW, topic, payload, False) if payload else None
    tracemalloc.start()
    begun = time.thread_time()
    try:
        profile, excerpts = read_profile(text)
        if profile is None:
            return Tried(excerpts=excerpts)
        return try_profile(profile, message, prove=True, seconds=time.monotonic)
    except NotPossible as error:
        assert len(str(error)) < 1000
        return str(error)
    finally:
        spent, most = time.thread_time() - begun, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert spent < 3 * LONGEST_SECONDS, "three times as long while memory is traced"
        assert most < MOST_MEMORY


# --- YAML ------------------------------------------------------------------------------------------------------------

_TENFOLD = ", ".join
MULTIPLIED = {
    "aliases": "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{_TENFOLD([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)),
    "merges of merges": "a0: &a0 {k: 1}\n"
    + "".join(f"a{i}: &a{i} {{<<: [{_TENFOLD([f'*a{i - 1}'] * 10)}], k{i}: 1}}\n" for i in range(1, 12)),
    "a chain of merges": "a0: &a0 {k: 1}\n"
    + "".join(f"a{i}: &a{i} {{<<: *a{i - 1}, k{i}: 1}}\n" for i in range(1, 1500)),
    "wide merges": "a0: &a0 {"
    + ", ".join(f"k{i}: 1" for i in range(4000))
    + "}\n"
    + "".join(f"b{i}: {{<<: *a0}}\n" for i in range(2000)),
    "many merges": "a0: &a0 {k: 1}\n" + "".join(f"b{i}: {{<<: *a0}}\n" for i in range(2000)),
    "a merge into itself": "a: &a\n  <<: *a\n",
    "a merge of what is around": "a: &a\n  b:\n    <<: *a\n",
    "a list in itself": "a: &a [[*a], *a]\n",
    "brackets": "a: " + "[" * 190 + "]" * 190,
    "braces without commas": "a: " + "{a: " * 180 + "}" * 180,
    "dashes": "- " * 90 + "a",
    "steps": "\n".join(" " * i + "a:" for i in range(250)),
    "rows of dashes": "\n".join("- - - - a" for _ in range(4000)),
}


@pytest.mark.parametrize("name", MULTIPLIED)
def test_yaml_that_multiplies(name: str) -> None:
    assert len(MULTIPLIED[name]) <= LARGEST_YAML
    found = tried(MULTIPLIED[name])
    assert isinstance(found, Tried) and found.profile is None and found.excerpts


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system ['touch {}']",
        "a: !!python/object/new:os.system ['touch {}']",
        "a: !!python/name:os.system",
        "a: !!binary aGVsbG8=",
        "a: !include {}",
        "!<x> {a: 1}",
        "a: !!set {x, y}",
        "? [a, b]\n: 1",
    ],
)
def test_tags_do_nothing(text: str, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    found = tried(text.replace("{}", str(touched)))
    assert isinstance(found, Tried) and found.profile is None and found.excerpts
    assert not touched.exists()


@pytest.mark.parametrize(
    "text",
    [
        bound(fields="{voltage: {path: v, scale: 0x" + "f" * 9000 + "}}"),
        bound(fields="{voltage: {path: v, offset: " + "9" * 9000 + "}}"),
        bound(fields="{voltage: {path: v, offset: 0o" + "7" * 400 + "}}"),
        HEAD.replace("default: 4", "default: 0x" + "f" * 9000),
        "profile: 0x" + "f" * 9000,
        bound().replace("period: 1m", "period: " + "9" * 300 + "d"),
        bound().replace("period: 1m", "period: 99999999999d"),
        with_rule("voltage > 1", "{voltage: 5, hold: 9999999999999d}"),
        bound().replace("[0, 500]", "[.nan, .nan]"),
        bound().replace("count: lamps", "count: 1000000000"),
    ],
    ids=range(10),
)
def test_numbers_without_end_are_mistakes(text: str) -> None:
    found = tried(text, b'{"v": 1}')
    assert isinstance(found, Tried) and found.profile is None and found.excerpts
    with pytest.raises(ProfileMistakes) as refused:
        load_text(text)
    assert all(len(str(mistake)) < 1500 for mistake in refused.value.mistakes)


@pytest.mark.parametrize("scale", ["1e-320", "-5e-324", "1e308", ".inf", "-.inf", ".nan", "0"])
def test_strange_scales_do_no_harm(scale: str) -> None:
    found = tried(bound(fields=f"{{voltage: {{path: v, scale: {scale}, offset: 1e308}}}}"), b'{"v": 7}')
    assert isinstance(found, Tried)
    for reading in found.outcome.readings if found.outcome else ():
        assert all(type(value) is float and value - value == 0 for value in reading.values.values())


# --- what it makes of a message --------------------------------------------------------------------------------------

_EACH = "    each:\n"
_LIST = b'{"v": 1, "l": [' + b",".join([b'{"a": 1}'] * 1000) + b"]}"
FOOLISH = {
    "a name of many pieces": (bound(more="    address: '" + "{v}" * 5000 + "'\n"), b'{"v": "' + b"x" * 60000 + b'"}'),
    "a name of some pieces": (bound(more="    address: '" + "{v}" * 64 + "'\n"), b'{"v": "' + b"x" * 60000 + b'"}'),
    "every child searches through all": (
        bound(
            more=_EACH
            + "      - {child: lamp, over: l, key: '{index}', when: {path: \"$.l[?a=='b'].x\"}, "
            + "fields: {power: \"$.l[?a=='b'].x\"}}\n"
            + "      - {child: lamp, over: l, key: 'x{index}', when: {path: \"$.l[?a=='b'].x\"}, fields: {power: a}}\n"
            * 60
        ),
        _LIST,
    ),
    "every element fans out over all": (
        bound(
            more="    keepalive: true\n    split: [{over: l}]\n"
            + _EACH
            + "      - {child: lamp, over: $.l, key: '{index}', when: {path: b}, fields: {power: b}}\n" * 20
        ),
        _LIST,
    ),
    "groups in groups": (
        bound(
            decode="{struct: {tail: ignore, fields: [{name: g, type: group, count: 1000, fields: ["
            "{name: h, type: group, count: 1000, fields: [{name: v, type: u8, optional: true}]}]}]}}"
        ),
        b"a",
    ),
    "base64 of base64": (bound(decode=", ".join(["{base64: true}"] * 16)), b"YWFh" * 15_000),
    "a pattern that turns back": (
        bound(decode='{text: true}, {regex: {pattern: "(?P<v>(a|a|a|a|b)*c)"}}'),
        b"a" * 60_000,
    ),
    "a pattern that repeats": (bound(more='    when: [{path: v, regex: "(?:(a+)+)+$"}]\n'), b'{"v": "' + b"a" * 60_000),
    "a time of digits": (
        bound(more='    time: {path: t, format: "%f%H%M%S%d%m%y%j%Z"}\n'),
        b'{"v": 1, "t": "' + b"1" * 60 + b'"}',
    ),
    "a time of days": (
        bound(more='    time: {path: t, format: "' + "%a" * 20 + '"}\n'),
        b'{"v": 1, "t": "' + b"mon" * 21 + b'"}',
    ),
    "nested pairs": (bound(decode="{pairs: {nest: '.'}}"), b"&".join([b"a." * 40 + b"%d=1" % i for i in range(900)])),
}


@pytest.mark.parametrize("name", FOOLISH)
def test_a_foolish_profile_is_refused_or_bounded(name: str) -> None:
    text, payload = FOOLISH[name]
    begun = time.thread_time()
    tried(text, payload)
    assert time.thread_time() - begun < LONGEST_SECONDS


@pytest.mark.parametrize(
    ("topic", "asked"),
    [
        ("{address+}/a/b", "/".join("a" * 64)),
        ("x/+/+/{address+}", "/".join("x" * 64)),
        ("x{a}y{b}y{address}y", "x" + "y" * 1000),
    ],
)
def test_topics_that_match_in_many_ways(topic: str, asked: str) -> None:
    bindings = "".join(f"  - {{id: b{i}, topic: '{topic}/z{i}', fields: {{voltage: v}}}}\n" for i in range(60))
    begun = time.thread_time()
    tried(f"{HEAD}bindings:\n{bindings}", b'{"v": 1}', asked)
    assert time.thread_time() - begun < LONGEST_SECONDS


def test_hundreds_of_captures_of_many_levels() -> None:
    bindings = "".join(
        f"  - {{id: b{i}, topic: 'x{'/+' * (i % 30)}/{{r{i}+}}', address: '{{r{i}}}', fields: {{voltage: v}}}}\n"
        for i in range(60)
    )
    begun = time.thread_time()
    tried(f"{HEAD}bindings:\n{bindings}", b'{"v": 1}', "x/" + "/".join("x" * 60))
    assert time.thread_time() - begun < LONGEST_SECONDS


# --- templates and expressions run nothing ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "slot", ["{address.__class__}", "{0}", "{address!r:>99999999}", "{address:99999999}", "{__class__.__mro__}"]
)
def test_slots_are_no_format_strings(slot: str) -> None:
    found = tried(bound(more=f"    address: '{slot}'\n"), b'{"v": 1}')
    if isinstance(found, Tried) and found.outcome is not None:
        assert found.outcome.readings == [] and found.outcome.error is not None


@pytest.mark.parametrize(
    "expression",
    [
        "9**9**9",
        "__import__(''os'').system(''id'')",
        "voltage.__class__ > 1",
        "(lambda: voltage)() > 1",
        "[x for x in voltage] > 1",
        "(" * 20_000 + "1" + ")" * 20_000,
        "-" * 20_000 + "1 > 0",
        "9" * 50_000,
        "voltage in (" + ",".join("1" * 9000) + ")",
        "mean(voltage, 3650d) > 1",
    ],
    ids=range(10),
)
def test_expressions_are_a_closed_grammar(expression: str) -> None:
    found = tried(with_rule(expression, "{voltage: 5, hold: 1m}"))
    assert isinstance(found, Tried) and found.profile is None and found.excerpts


def test_metrics_that_need_each_other() -> None:
    chain = "".join(f"  w{i}: {{name: {{zh: w, en: w}}, derive: 'w{i + 1} + 1'}}\n" for i in range(400))
    circle = chain + "  w400: {name: {zh: w, en: w}, derive: 'w0 + 1'}\n"
    found = tried(bound(fields="{w400: v}").replace("metrics:\n", f"metrics:\n{circle}"), b'{"v": 1}')
    assert isinstance(found, Tried) and found.profile is None and "itself" in str(found.excerpts[0].mistake)


def test_a_folder_of_them_is_surveyed(tmp_path: Path) -> None:
    """What `courtyard check` does: the others are still looked at."""
    for i, text in enumerate([*MULTIPLIED.values(), "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")]):
        (tmp_path / f"p{i}.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)) * 10)
    (tmp_path / "large.yaml").write_bytes(b"a" * 2_000_000)
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    (tmp_path / "endless.yaml").symlink_to("/dev/zero")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "sound.yaml").write_text(bound(), encoding="utf-8")
    begun = time.thread_time()
    library, mistakes = survey(tmp_path)
    assert list(library) == ["x_lamp"]
    assert {mistake.file.name for mistake in mistakes} >= {"binary.yaml", "large.yaml", "loop.yaml", "endless.yaml"}
    assert time.thread_time() - begun < 4 * LONGEST_SECONDS
