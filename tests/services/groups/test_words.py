"""An alarm over several devices explains itself: how many of whom, and which."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from device_profiles.schema import Text
from services.groups.places import behind_place, building_place, is_place, site_place
from services.groups.rule import SITE_RULES
from services.rules.members import Tally, values_of_tally
from services.rules.store import Alarm
from services.web.pages.render import translations
from services.web.views.alarms import explain
from tests.stories.site import LIBRARY

AT = datetime(2026, 3, 2, 8, tzinfo=UTC)


def explained(values: dict[str, Any], language: Any, profile: str = "") -> list[tuple[str, str]]:
    alarm = Alarm(
        **dict.fromkeys(Alarm.__dataclass_fields__)
        | {
            "id": "a",
            "site": "yard",
            "device": "site:yard",
            "device_name": Text(zh="小院", en="The Yard"),
            "child": "",
            "rule": "some",
            "profile": SITE_RULES,
            "severity": "major",
            "state": "active",
            "reason": {"condition": "…", "values": values},
            "raised_at": AT,
        }
    )
    found = explain(alarm, LIBRARY.get(profile), translations()[language])
    return [(one.name, one.text) for one in found.values]


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "en",
            [
                "Pump with Running = fault",
                "Pump with Running = fault, at most: some are unknown",
                "Which of them",
                "Not known of",
            ],
        ),
        ("zh", ["满足 运行 = 故障 的泵数", "满足 运行 = 故障 的泵数，最多（部分未知）", "具体是", "情况不明"]),
    ],
)
def test_a_number_in_words(language: str, words: list[str]) -> None:
    met, unknown = ["pump:1", "pump:4", "pump:7"], ["pump:2", "pump:9"]
    values = values_of_tally("number(pump, run == fault)", "number", Tally(3, 8, 10), met, unknown)
    texts = ["3", "5", "3/10: pump:1, pump:4, pump:7", "2/10: pump:2, pump:9"]
    assert explained(dict(values), language, "pumps") == list(zip(words, texts, strict=True))


def test_a_share_in_words() -> None:
    others = ["gate-2", "gate-3"]
    values = values_of_tally("share(device, door == open)", "share", Tally(1, 3, 4), ["gate-1"], ["gate-4"], others)
    assert explained(dict(values), "en") == [
        ("Share of Devices with door == open", "33%"),
        ("Which of them", "1/4: gate-1"),
        ("Not known of", "1/4: gate-4"),
        ("Not so for", "2/4: gate-2, gate-3"),
    ]


def test_of_many_only_the_first_are_named() -> None:
    names = [f"gate-{n}" for n in range(40)]
    values = values_of_tally("share(device, a)", "share", Tally(40, 50, 50), names)
    assert values == {"share(device, a)": 0.8, "share(device, a) met by": f"40/50: {', '.join(names[:12])}, …"}


def test_places_have_names_of_their_own_and_fit_where_a_device_would() -> None:
    long = "b" * 64
    places = [site_place("yard"), building_place("yard", "1"), behind_place("dtu")]
    assert places == ["site:yard", "building:yard/1", "behind:dtu"]
    assert all(map(is_place, places))
    assert not is_place("gate-1")
    assert len(building_place("s" * 32, long)) == 64
    assert building_place("s" * 32, long) != building_place("s" * 32, f"{long[:-1]}c")
