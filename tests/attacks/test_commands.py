"""Commands under attack: forged answers, keys used twice, floods of answers, parts and alarms, clocks that jump."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from gateway.reading import Batch, Reading, Reply
from gateway.uplink import CommandOutcome
from services.commands.asking import CommandRefused
from services.tables import command_events, commands
from tests.services.commands.test_dispatch import Stage, under_way


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    found = Stage(tmp_path)
    found.says(power=400)
    yield found
    found.database.close()


def _count(stage: Stage, table: object) -> int:
    with stage.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())  # type: ignore[arg-type]


# --- who is answered -------------------------------------------------------------------------------------------------


def test_a_command_that_no_gateway_has_fetched_cannot_be_answered(stage: Stage) -> None:
    """Numbers count up, so the next one is known to everybody."""
    id = stage.ask()
    stage.says("", replies=(Reply("cut", "1", True, "ok"),))
    assert stage.look(id).state == "queued"
    (order,) = stage.fetch()
    assert order.nonce == 1, "and it is still sent"


def test_an_answer_to_another_kind_of_command_confirms_nothing(stage: Stage) -> None:
    """Another platform on the same broker counts its commands too."""
    id, order = under_way(stage)
    stage.says("", replies=(Reply("level", str(order.nonce), True, "ok"),))
    assert stage.look(id).state == "sent"
    stage.says("", replies=(Reply("cut", str(order.nonce), True, "ok"),))
    assert stage.look(id).state == "acknowledged"


@pytest.mark.parametrize("number", ["", "0", "-1", "00000", "１", "1.0", "0x1", "9" * 4000, "\0", "🚲"])
def test_numbers_that_are_none(stage: Stage, number: str) -> None:
    id, order = under_way(stage)
    assert order.nonce == 1
    stage.says("port:2", replies=(Reply("cut", number, True, "ok"),))
    assert stage.look(id).state == "sent"


def test_the_word_of_another_gateway_counts_for_nothing(stage: Stage) -> None:
    id = stage.ask()
    (order,) = stage.fetch()
    for status in ("sent", "failed", "expired", "unsure"):
        stage.desk.report("other", [CommandOutcome(order.id, 1, status, stage.ms)])
    stage.desk.report("g", [CommandOutcome("0" * 26, 1, "sent", stage.ms), CommandOutcome(order.id, 7, "sent", 1)])
    assert stage.look(id).state == "queued"


# --- keys ------------------------------------------------------------------------------------------------------------


def test_a_key_is_not_used_for_other_values(stage: Stage) -> None:
    """Who says 600 minutes must not be told that it was queued when 30 were."""
    stage.ask("feed", key="k", minutes=30)
    with pytest.raises(CommandRefused, match="key"):
        stage.ask("feed", key="k", minutes=600)
    assert stage.ask("feed", key="k", minutes=30) == stage.ask("feed", key="k", minutes="30")


# --- floods ----------------------------------------------------------------------------------------------------------


def test_answers_without_end_fill_no_history(stage: Stage) -> None:
    id, order = under_way(stage)
    for _ in range(40):
        stage.says("", replies=(Reply("cut", str(order.nonce), True, "ok"),))
    stage.later(10)
    for _ in range(60):
        stage.says("", replies=(Reply("cut", str(order.nonce), True, "ok"),))
    assert len(stage.look(id).events) < 30


def test_parts_that_are_made_up_are_not_told_anything(stage: Stage) -> None:
    """A rule of the whole device orders every part; who invents parts must not make it say thousands of things."""
    for start in range(0, 3000, 500):
        readings = [
            Reading("plug-1", f"port:x{n}", stage.ms, stage.ms, "t", {"power": 1.0}, profile="plug")
            for n in range(start, start + 500)
        ]
        stage.seq += 1
        stage.intake.take(Batch("g", stage.seq, stage.seq, stage.ms, readings))
    stage.says("", smoke="yes")
    assert _count(stage, commands) <= 600
    assert {"port:1", "port:2"} <= {order.child for order in stage.fetch()}, "the real ones come first"


def test_five_hundred_alarms_at_once(stage: Stage) -> None:
    """Each orders its port off; the batch is taken in seconds, and every order exists once."""
    ports = [f"port:{n}" for n in range(3, 503)]
    stage.seq += 1
    readings = [Reading("plug-1", one, stage.ms, stage.ms, "t", {"temp": 95.0}, profile="plug") for one in ports]
    begun = time.process_time()
    stage.intake.take(Batch("g", stage.seq, stage.seq, stage.ms, readings))
    orders = stage.fetch()
    assert time.process_time() - begun < 20
    assert len(orders) == len({order.child for order in orders}) == 500
    assert len({order.nonce for order in orders}) == 500
    stage.intake.take(Batch("g", stage.seq, stage.seq, stage.ms, readings))
    assert _count(stage, commands) == 500
    assert _count(stage, command_events) < 5000


# --- clocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [-86400, 86400, 3650 * 86400])
def test_a_clock_that_jumps_leaves_no_command_behind(stage: Stage, jump: float) -> None:
    ids = [stage.ask(), stage.ask(child="port:2")]
    order, _ = stage.fetch()
    stage.sent(order)
    stage.later(jump)
    for _ in range(6):
        stage.later(150)
    states = {stage.look(id).state for id in ids}
    if jump > 0:
        assert states <= {"failed", "expired"}
    stage.later(-jump if jump < 0 else 0)
    for _ in range(6):
        stage.later(150)
    assert {stage.look(id).state for id in ids} <= {"failed", "expired"}
    assert stage.look(stage.ask(child="port:2")).state == "queued"
