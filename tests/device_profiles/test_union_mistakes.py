"""A key misspelt where a part may also be left out or be `true`: its own line, its own words, the nearest right one."""

from __future__ import annotations

import pytest

from device_profiles.library import ProfileMistakes, load_text

_PROFILE = """\
profile: x
family: meter
name: {{zh: 表, en: Meter}}
metrics: {{e: {{name: {{zh: 电量, en: Energy}}, kind: counter{metric}}}}}
availability: {{period: 1m}}
bindings:
  - id: a
    topic: t/{{address}}
    decode: [{step}]
    fields: {{e: e}}
"""


@pytest.mark.parametrize(
    ("metric", "step", "line", "where", "nearest"),
    [
        (", counter: {rest: [zero]}", "{json: true}", 4, "metrics.e.counter.rest", "reset"),
        ("", '{csv: {seperator: ","}}', 9, "bindings[a].decode[1].csv.seperator", "separator"),
        ("", "{xml: {list: [b]}}", 9, "bindings[a].decode[1].xml.list", "lists"),
        ("", "{sparkplug_b: {nod: x}}", 9, "bindings[a].decode[1].sparkplug_b.nod", "node"),
    ],
)
def test_the_nearest_key_is_named(metric: str, step: str, line: int, where: str, nearest: str) -> None:
    with pytest.raises(ProfileMistakes) as found:
        load_text(_PROFILE.format(metric=metric, step=step))
    mistake = next(one for one in found.value.mistakes if "unknown key" in one.found)
    assert (mistake.line, mistake.where) == (line, where)
    assert f"(did you mean {nearest}?)" in mistake.expected
    assert "nothing of the kind is declared" not in str(found.value)
