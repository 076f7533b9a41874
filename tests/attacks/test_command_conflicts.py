"""People and rules that want different things of one part: what a critical alarm orders has the last word."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.commands.asking import CommandRefused
from services.commands.lifecycle import NotCancellable
from tests.services.commands.test_dispatch import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    found = Stage(tmp_path)
    found.says(power=400)
    yield found
    found.database.close()


def _ordered(stage: Stage) -> dict[str, int]:
    """What a gateway that comes now is told: command -> its attempt."""
    return {order.command: order.attempt for order in stage.fetch()}


def test_what_a_person_asked_for_is_not_said_again_after_a_rule_has_cut_the_port(stage: Stage) -> None:
    """`feed` is said once more where the device does not answer: after `cut`, that would feed a burning port."""
    fed = stage.ask("feed")
    (order,) = stage.fetch()
    stage.sent(order)
    stage.says(temp=95)
    (cut,) = stage.fetch()
    stage.sent(cut)
    for _ in range(5):
        stage.later(2)
        assert "feed" not in _ordered(stage)
    assert stage.state(fed) == ("failed", "overruled")


@pytest.mark.parametrize("restarted", [False, True])
def test_nor_where_services_start_again_in_between(stage: Stage, restarted: bool) -> None:
    fed = stage.ask("feed")
    (order,) = stage.fetch()
    stage.says(temp=95)
    if restarted:
        stage.restart()
    stage.sent(order)
    for _ in range(4):
        stage.later(2)
        assert "feed" not in _ordered(stage)
    assert stage.state(fed) == ("failed", "overruled")


def test_what_waits_to_be_fetched_is_not_sent_at_all(stage: Stage) -> None:
    fed, other = stage.ask("feed"), stage.ask("feed", "port:2")
    stage.says(temp=95)
    assert {(order.command, order.child) for order in stage.fetch()} == {("cut", "port:1"), ("feed", "port:2")}
    assert stage.state(fed) == ("cancelled", "overruled")
    assert stage.state(other) == ("queued", "")


def test_an_answer_that_comes_all_the_same_is_believed(stage: Stage) -> None:
    fed = stage.ask("feed")
    (order,) = stage.fetch()
    stage.sent(order)
    stage.says(temp=95)
    stage.answers(order)
    assert stage.state(fed)[0] == "done"


def test_nobody_switches_on_what_is_being_cut(stage: Stage) -> None:
    stage.says(temp=95)
    with pytest.raises(CommandRefused, match="ordered") as refused:
        stage.ask("feed")
    assert refused.value.code == "overruled"
    stage.restart()
    with pytest.raises(CommandRefused, match="ordered"):
        stage.ask("feed")
    stage.ask("feed", "port:2")
    (cut,) = (order for order in stage.fetch() if order.command == "cut")
    stage.sent(cut)
    stage.answers(cut)
    stage.later(0.1)
    stage.says(power=0)
    assert stage.state(cut.id)[0] == "done"
    stage.ask("feed")


def test_a_person_cannot_take_back_what_a_rule_relies_on(stage: Stage) -> None:
    """The rule found `cut` under way and asked for no second one."""
    cut = stage.ask("cut")
    stage.says(temp=95)
    assert not stage.look(cut).is_cancellable
    with pytest.raises(NotCancellable, match="rule"):
        stage.desk.cancel(None, cut, by="li.wei")
    assert _ordered(stage) == {"cut": 1}
