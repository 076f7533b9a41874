# ruff: noqa: E501 (a table of small texts)
"""The quick reader gives what the careful one gives, or leaves it to that one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from device_profiles.library import SHIPPED
from device_profiles.yaml_quick import _rare, quick_data
from device_profiles.yaml_source import DEEPEST, MOST_PARTS, Unreadable, parse, read

FILE = Path("any.yaml")
ODD = [
    "a: 0x1f", "a: 0o17", "a: 017", "a: 1e3", "a: 1_000", "a: .5", "a: 5.", "a: +7", "a: -40", "a: -0", "a: 12:30", "a: 1.5e-3",
    "a: yes", "a: on", "a: No", "a: True", "a: TRUE", "a: ~", "a:", "a: null", "a: Null", "a: .inf", "a: .nan", "a: -.inf",
    "a: 30s", "a: 2015-12-12", "a: 2015-12-12T10:00:00Z", "a: '1'", 'a: "1"', "a: =", "a: '<<'", "a: 99999999999999999999",
    "a: 1\na: 2", "1: a", "true: a", "? [a]\n: b", "[a]: b", "a: !!str 1", "a: !x 1", "a: x != 3", "a: [!a b]", "- a\n- b", "a", "",
    "a: &x {b: 1}\nc: *x", "a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", "a: &x {b: 1}\ne: &y {b: 2, f: 3}\nd: {<<: [*x, *y]}",
    "d: {<<: 3}", "a: |\n  x\n  y\n", "a: >-\n  x\n  y\n", "a: x\n  y", "a: 'it''s'", 'a: "\\u00b0C"', "a: [1, 2,]", "a: {b: , c: 1}",
    "a: b: c", "a: [", "\ta: 1", "a: {b}", "a: #c", "a: b #c", "a: b#c", "--- \na: 1", "a: 1\n---\nb: 2", "%YAML 1.1\n---\na: yes",
    "a: @b", "a: `b`", "a: %b", "a: ,", "? a", "a: ? b", "a: - b", "a: {x: 1, x: 2}", "a: {0: idle}", 'a: {"0": idle}', "a: \ud800",
    "a: {k: 1,\n b: 2}", "a: [a?b, 'c:d']", "a: {n: m:k}", "a: é", "a: 温度", "\ufeffa: 1", "a: x\x00y", "a: 1 # é\nb: °C",
    "a: 1.5m", "a: 0d", "a: 250ms", "a: 007s", "a: 1.m", "a: -5s", "a: 5 m", "a: 1e9b9", "a: 1e9s", "a: 1_0s", "a: ٣", "a: ０x1", "a: ｎull",
    "a: 否: 是", "a: 否 #x", "[°: 1]", "°: 1", "a: ÿ\ufffe", "a: é\x07",
]  # fmt: skip


def careful(text: str) -> Any:
    """The data by the careful reader; the mistake where there is one."""
    try:
        return parse(FILE, text).data
    except Unreadable as error:
        return error.mistake


def agree(text: str) -> bool:
    quick = quick_data(text, most_parts=MOST_PARTS, deepest=DEEPEST)
    return quick is None or _same(quick, careful(text))


def _same(one: Any, other: Any) -> bool:
    """Equal, of the same types, keys in the same order."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other) or (one != one and other != other)


@pytest.mark.parametrize("text", ODD)
def test_what_is_odd_reads_the_same_or_not_at_all(text: str) -> None:
    assert agree(text)


SHIPPED_FILES = sorted(SHIPPED.glob("*/*.yaml"))


@pytest.mark.parametrize("file", SHIPPED_FILES[::6], ids=lambda file: file.stem)
def test_shipped_profiles_read_the_same(file: Path) -> None:
    quick = quick_data(file.read_text(), most_parts=MOST_PARTS, deepest=DEEPEST)
    assert quick is not None
    assert _same(quick, careful(file.read_text()))


def test_all_shipped_profiles_are_ordinary() -> None:
    slow = [
        file.name
        for file in SHIPPED_FILES
        if quick_data(file.read_text(), most_parts=MOST_PARTS, deepest=DEEPEST) is None
    ]
    assert slow == []


_SCALARS = st.one_of(
    st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=12),
    st.integers(-(10**12), 10**12),
    st.booleans(),
    st.none(),
    st.sampled_from(["yes", "0x1", "1:2", "5m", "<<", "!x", "- a", "a: b", "~", "3.0", "", " ", "#"]),
)
_KEYS = st.text(st.characters(whitelist_categories=["Ll", "Nd"]), min_size=1, max_size=6)
_DATA = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=4))


@settings(max_examples=120, deadline=None)
@given(st.dictionaries(_KEYS, _DATA, max_size=4))
def test_whatever_is_written_reads_the_same(data: dict[str, Any]) -> None:
    from io import StringIO

    out = StringIO()
    YAML(typ="safe", pure=True).dump(data, out)
    assert agree(out.getvalue())


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab1:-?[]{},&*!|>'\"#%@ \n.x0", max_size=24))
def test_any_text_reads_the_same_or_not_at_all(text: str) -> None:
    assert agree(text)


@pytest.mark.parametrize("text", ["- " * 50_000, "[" * 150 + "]" * 150, "? " * 40_000])
def test_towers_are_left_to_the_careful_reader(text: str, tmp_path: Path) -> None:
    file = tmp_path / "tower.yaml"
    file.write_text(text)
    with pytest.raises(Unreadable):
        print(read(file).data)


def test_lines_are_known_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text("a: 1\nb:\n  - c: 2\n  - d: 3\n")
    assert read(file).line("b", 1, "d") == 4


def test_words_and_durations_of_profiles_are_no_work_for_the_careful_reader() -> None:
    """A start reads a hundred thousand of them; each that is asked about costs as much as a hundred that are not."""
    _rare.cache_clear()
    for file in SHIPPED_FILES:
        quick_data(file.read_text(), most_parts=MOST_PARTS, deepest=DEEPEST)
    assert _rare.cache_info().misses < 5 * len(SHIPPED_FILES)
