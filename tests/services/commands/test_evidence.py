"""What shows the effect of a command, and what does not, in whatever order words and values come."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from device_profiles.schema import DeviceProfile
from gateway.reading import Batch, Quality, Reading
from gateway.uplink import CommandOrder, CommandOutcome
from tests.commands_kit import PROFILE
from tests.services.commands.test_dispatch import Stage, fetched

EFFECT = "effect: {when: power < 5 W, within: 3s}"


def staged(folder: Path, old: str, new: str) -> Stage:
    text = PROFILE.replace(old, new, 1)
    assert text != PROFILE
    found = Stage(folder, library={"plug": DeviceProfile.model_validate(YAML(typ="safe").load(text))})
    found.says(power=400)
    return found


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    found = staged(tmp_path, EFFECT, f"retries: 1\n    {EFFECT}")
    yield found
    found.database.close()


def word(stage: Stage, order: CommandOrder, began: int) -> None:
    stage.desk.report("g", [CommandOutcome(order.id, order.attempt, "sent", stage.ms, began=began)])


def test_an_answer_makes_no_effect_of_what_was_measured_before_it_was_said(stage: Stage) -> None:
    id = stage.ask()
    (order,) = stage.fetch()
    stage.later(0.2)
    stage.says(power=0)  # nothing draws power for a moment, while the order waits at the gateway
    stage.later(0.2)
    stage.says(power=400)
    stage.later(0.2)
    began = stage.ms
    stage.later(0.1)
    stage.answers(order)
    assert stage.look(id).state == "acknowledged"
    word(stage, order, began)
    stage.restart()
    stage.says(temp=30)
    assert stage.look(id).state == "acknowledged", "it burns on"


@pytest.mark.parametrize("lag", [0.09, 6])
def test_a_message_under_way_while_it_was_said_is_no_effect(stage: Stage, lag: float) -> None:
    id, order, began = fetched(stage)
    stage.later(0.05)
    stage.says(power=0, behind=lag)
    word(stage, order, began)
    assert stage.look(id).state == "sent"


def test_a_slow_message_about_something_else_makes_nothing_newer(stage: Stage) -> None:
    id = stage.ask()
    (order,) = stage.fetch()
    stage.later(0.1)
    stage.says(power=0)
    stage.later(0.01)
    began = stage.ms
    stage.later(1.2)
    stage.says("port:2", power=300, behind=0.9)
    word(stage, order, began)
    assert stage.look(id).state == "sent"


def test_what_the_broker_had_kept_is_no_effect_later_either(stage: Stage) -> None:
    id, order, began = fetched(stage)
    stage.later(0.1)
    stage.says(power=0, retained=True)
    stage.later(0.1)
    word(stage, order, began)
    stage.says(temp=30)
    stage.answers(order)
    assert stage.look(id).state == "acknowledged"


def test_a_whole_second_that_was_heard_before_is_no_effect(stage: Stage) -> None:
    stage.later(60)
    id = stage.ask()
    (order,) = stage.fetch()
    stage.later(0.1)
    stage.says(power=0, behind=0.1)  # on the second
    stage.later(0.2)
    began = stage.ms
    stage.later(0.1)
    word(stage, order, began)
    assert stage.look(id).state == "sent"


def test_another_gateways_clock_proves_nothing(stage: Stage) -> None:
    id, order, began = fetched(stage)
    ahead = stage.ms + 3_600_000
    reading = Reading("plug-1", "port:1", ahead, ahead, "t", {"power": 0}, profile="plug")
    stage.intake.take(Batch("h", 1, 1, ahead, [reading]))
    word(stage, order, began)
    assert stage.look(id).state == "sent"


def test_an_effect_of_two_values_needs_both_from_after_it_was_said(tmp_path: Path) -> None:
    stage = staged(tmp_path, "when: power < 5 W", "when: power < 5 W and temp < 40 °C")
    id = stage.ask()
    (order,) = stage.fetch()
    stage.later(0.1)
    stage.says(temp=30)
    stage.later(0.1)
    began = stage.ms
    stage.later(0.1)
    stage.says(power=0)
    word(stage, order, began)
    assert stage.look(id).state == "sent"
    stage.later(0.1)
    stage.says(temp=31)
    assert stage.state(id) == ("done", "effect_seen")
    stage.database.close()


def test_presence_alone_can_be_an_effect(tmp_path: Path) -> None:
    stage = staged(tmp_path, "when: power < 5 W", "when: presence == online")
    id, order, began = fetched(stage)
    word(stage, order, began)
    assert stage.look(id).state == "sent"
    stage.later(0.1)
    stage.says(temp=30)
    assert stage.state(id) == ("done", "effect_seen")
    stage.database.close()


def test_a_clock_put_right_by_hours_ends_no_hope(stage: Stage) -> None:
    stage.clock.at += timedelta(hours=2)
    stage.says(power=400)
    id, order, began = fetched(stage)
    word(stage, order, began)
    stage.clock.at -= timedelta(hours=2)
    stage.later(0)
    assert stage.look(id).state == "sent"
    stage.later(0.5)
    stage.says(power=0)
    assert stage.state(id) == ("done", "effect_seen")


def test_what_works_late_is_not_said_again(stage: Stage) -> None:
    id, order, began = fetched(stage)
    word(stage, order, began)
    stage.later(2.1)
    assert (stage.look(id).state, stage.look(id).attempt) == ("queued", 2)
    stage.restart()
    stage.says(power=0)
    assert stage.state(id) == ("done", "effect_seen")
    assert stage.fetch() == []


NOISE = (
    "effect", "effect", "effect", "in_flight", "burns", "temp", "retained", "late", "historic", "suspect",
    "other_port", "other_word", "restart", "fetch", "tick",
)  # fmt: skip
WORDS = ("word", "answer", "word", "silence")
READINGS: dict[str, dict[str, Any]] = {
    "effect": {"power": 0},
    "in_flight": {"power": 0, "behind": 0.1},
    "burns": {"power": 400},
    "temp": {"temp": 30},
    "retained": {"power": 0, "retained": True},
    "late": {"power": 0, "quality": Quality.LATE},
    "historic": {"power": 0, "quality": Quality.HISTORIC},
    "suspect": {"power": 0, "flags": {"power": Quality.SUSPECT}},
    "other_port": {"child": "port:2", "power": 0},
}


class Tale:
    """One command, and what really happened of it: the truth that the device and the gateway know."""

    def __init__(self, stage: Stage, slow: float) -> None:
        self.stage, self.slow = stage, slow
        stage.later(120)
        stage.says(power=400, behind=slow)
        self.id = stage.ask()
        (self.order,) = stage.fetch()
        self.began: int | None = None
        self.told = False
        self.must = False
        """An effect was measured and heard after it began."""
        self.may = False

    def goes_on(self, step: str) -> None:
        self.stage.clock.at += timedelta(milliseconds=30)
        if step in READINGS:
            self._reads(step, **READINGS[step])
        elif step == "begin":
            self.began = self.began or self.stage.ms
        elif step == "restart":
            self.stage.restart()
        elif step == "silence":
            self.stage.later(2.1)
        elif step == "tick":
            self.stage.later(0)
        elif step == "fetch":
            self.order = next(iter(self.stage.fetch()), self.order)
        elif step == "other_word":
            self.stage.desk.report("g", [CommandOutcome(self.id, 7, "sent", self.stage.ms, began=0)])
        elif self.began is not None and step == "word":
            word(self.stage, self.order, self.began)
            self.told = True
        elif self.began is not None and step == "answer":
            self.stage.answers(self.order)

    def _reads(self, step: str, *, behind: float = 0, **reading: Any) -> None:
        self.stage.says(behind=self.slow + behind, **reading)
        is_after = self.began is not None and self.stage.ms - behind * 1000 > self.began
        self.must |= is_after and step == "effect"
        self.may |= is_after and step in ("effect", "in_flight")

    def ends(self) -> None:
        for _ in range(8):
            if self.stage.look(self.id).ended_at is not None:
                return
            self.stage.later(60)
        raise AssertionError(f"it does not end: {self.stage.look(self.id)}")


@pytest.fixture(scope="module")
def long_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    found = staged(tmp_path_factory.mktemp("tales"), EFFECT, f"retries: 1\n    {EFFECT}")
    found.clock.at += timedelta(milliseconds=7)  # nothing is ever measured on a whole second
    yield found
    found.database.close()


@st.composite
def orders(draw: st.DrawFn) -> list[str]:
    """It begins, and then the words come in any order, twice or never; whatever else may happen between any two."""
    words = draw(st.permutations(WORDS))[: draw(st.integers(0, len(WORDS)))]
    between = [draw(st.lists(st.sampled_from(NOISE), max_size=2)) for _ in range(len(words) + 2)]
    return [step for pair in zip(between, ["begin", *words, "tick"], strict=True) for step in (*pair[0], pair[1])]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(steps=orders(), slow=st.sampled_from((0, 40)))
def test_the_effect_is_seen_if_and_only_if_it_was_measured_after_the_gateway_began(
    long_stage: Stage, steps: list[str], slow: float
) -> None:
    tale = Tale(long_stage, slow)
    for step in steps:
        tale.goes_on(step)
    seen = tale.stage.look(tale.id).reason == "effect_seen"
    assert not seen or tale.may, "nothing that was measured after it began shows it"
    assert seen or not (tale.must and tale.told), "it was measured, heard, and the gateway has told"
    tale.ends()
