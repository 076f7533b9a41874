"""Commands within services: who may be told what, which answer is whose, what counts as seen; no gateway needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from device_profiles.schema import DeviceProfile
from gateway.reading import Batch, Quality, Reading, Reply, Value
from gateway.uplink import CommandOrder, CommandOutcome
from services.accounts import desk as accounts
from services.accounts.audit import Intact, verify
from services.accounts.policy import Grant, Role
from services.accounts.store import add_person
from services.changes import Changes
from services.clock import to_millis
from services.commands import store
from services.commands.asking import CommandRefused
from services.commands.desk import CommandDesk, with_key
from services.commands.dispatch import LEASE, Asked
from services.commands.lifecycle import NotCancellable
from services.commands.store import CommandRecord
from services.intake import Intake
from services.rules.store import list_alarms
from services.sites.importer import import_site
from services.tables import audit
from tests.commands_kit import SITE, hire, profile
from tests.migrated import opened

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
LIBRARY = {"plug": profile()}


class Clock:
    at = START

    def now(self) -> datetime:
        return self.at


class Stage:
    """The intake and its database; readings and time are handed in."""

    def __init__(self, folder: Path, *, enabled: bool = True, library: Mapping[str, DeviceProfile] = LIBRARY) -> None:
        self.library = library
        self.clock = Clock()
        self.database = opened(f"sqlite:///{folder / 'courtyard.db'}")
        (folder / "site.yaml").write_text(SITE)
        import_site(self.database, folder / "site.yaml", library, START)
        self.intake = Intake(self.database, library, self.clock, Changes(), commands_enabled=enabled)
        self.intake.start()
        self.desk = CommandDesk(database=self.database, intake=self.intake, clock=self.clock)
        self.li_wei = hire(self.database, "li.wei", Role.ENGINEER)
        self.seq = 0
        self.asker = "li.wei"

    def restart(self) -> None:
        self.intake = Intake(self.database, self.library, self.clock, Changes())
        self.intake.start()
        self.desk = CommandDesk(database=self.database, intake=self.intake, clock=self.clock)

    @property
    def ms(self) -> int:
        return to_millis(self.clock.at)

    def says(self, child: str = "port:1", *, behind: float = 0, replies: tuple[Reply, ...] = (), **more: Any) -> None:
        """A reading arrives now, measured `behind` seconds ago."""
        values: dict[str, Value] = {key: more.pop(key) for key in ("power", "temp", "smoke") if key in more}
        reading = Reading(
            more.pop("device", "plug-1"), child, self.ms - round(behind * 1000), self.ms, more.pop("binding", "t"),
            values, replies=replies, profile="plug", **more,
        )  # fmt: skip
        self.seq += 1
        self.intake.take(Batch("g", self.seq, self.seq, self.ms, [reading]))

    def later(self, seconds: float) -> None:
        self.clock.at += timedelta(seconds=seconds)
        self.intake.take(Batch("g", self.seq, self.seq, self.ms, []))
        self.intake.tick(self.clock.at)

    def ask(self, command: str = "cut", child: str = "port:1", key: str | None = None, **params: object) -> str:
        asked = Asked(device="plug-1", child=child, command=command, params=params, by=self.asker)
        return self.desk.ask(with_key(asked, self.asker, key)).id

    def fetch(self) -> list[CommandOrder]:
        return self.desk.hand_over("g", None, again=False)

    def sent(self, order: CommandOrder) -> None:
        self.desk.report("g", [CommandOutcome(order.id, order.attempt, "sent", self.ms)])

    def answers(self, order: CommandOrder, result: str = "ok") -> None:
        self.says(replies=(Reply(order.command, str(order.nonce), result == "ok", result),))

    def look(self, id: str) -> CommandRecord:
        return self.desk.get(None, id)

    def state(self, id: str) -> tuple[str, str]:
        found = self.look(id)
        return found.state, found.reason


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    found = Stage(tmp_path)
    found.says(power=400)
    yield found
    found.database.close()


def under_way(stage: Stage, *, command: str = "cut", child: str = "port:1") -> tuple[str, CommandOrder]:
    id = stage.ask(command, child)
    stage.later(1)
    (order,) = stage.fetch()
    stage.sent(order)
    return id, order


@pytest.mark.parametrize(
    ("asked", "code", "field"),
    [
        ({"command": "fly"}, "unknown", ""),
        ({"child": "port:3"}, "not_valid", "child"),
        ({"child": ""}, "not_valid", "child"),
        ({"command": "level", "child": "port:1"}, "not_valid", "child"),
        ({"command": "feed", "minutes": 0}, "not_valid", "minutes"),
        ({"command": "feed", "minutes": 601}, "not_valid", "minutes"),
        ({"command": "feed", "minutes": 1.5}, "not_valid", "minutes"),
        ({"command": "feed", "minutes": "nan"}, "not_valid", "minutes"),
        ({"command": "feed", "minutes": "1e999"}, "not_valid", "minutes"),
        ({"command": "feed", "minutes": True}, "not_valid", "minutes"),
        ({"command": "feed", "minutes": ["1"]}, "not_valid", "minutes"),
        ({"command": "cut", "force": 1}, "not_valid", "force"),
    ],
)
def test_what_is_wrong_is_named(stage: Stage, asked: dict[str, Any], code: str, field: str) -> None:
    with pytest.raises(CommandRefused) as refused:
        stage.ask(**{"child": "port:1", **asked})
    assert (refused.value.code, refused.value.field) == (code, field)
    assert stage.fetch() == []


def test_texts_of_a_form_become_what_the_profile_says(stage: Stage) -> None:
    stage.ask("feed", minutes="30")
    (order,) = stage.fetch()
    assert order.params == {"minutes": 30} and isinstance(order.params["minutes"], int)


def test_a_device_nobody_has_heard_and_commands_that_are_off(tmp_path: Path) -> None:
    silent = Stage(tmp_path)
    with pytest.raises(CommandRefused, match="no gateway has heard"):
        silent.ask()
    silent.database.close()
    (tmp_path / "off").mkdir()
    off = Stage(tmp_path / "off", enabled=False)
    off.says(power=400)
    with pytest.raises(CommandRefused, match="COURTYARD_COMMANDS=off"):
        off.ask()
    off.says(temp=95)
    with off.database.read() as connection:
        assert {alarm.rule for alarm in list_alarms(connection, None)} == {"hot", "not_cut"}, "its rule is not obeyed"
    assert off.desk.hand_over("g", None, again=True) == []
    off.database.close()


def test_a_key_is_one_command_and_belongs_to_one_wish(stage: Stage) -> None:
    first = stage.ask(key="k")
    assert stage.ask(key="k") == first
    with pytest.raises(CommandRefused, match="key"):
        stage.ask(child="port:2", key="k")
    with pytest.raises(CommandRefused, match="under way"):
        stage.ask(key="another")


def test_an_order_is_handed_to_its_gateway_only_and_again_after_a_while(stage: Stage) -> None:
    stage.ask()
    assert stage.desk.hand_over("other", None, again=True) == []
    assert stage.desk.hand_over("g", frozenset({"elsewhere"}), again=True) == []
    assert len(stage.fetch()) == 1
    assert stage.fetch() == []
    assert len(stage.desk.hand_over("g", None, again=True)) == 1
    stage.later(LEASE.total_seconds())
    assert len(stage.fetch()) == 0, "it has expired meanwhile"


def taken_away(stage: Stage) -> None:
    accounts.change_person(stage.database, stage.li_wei, now=START, who=None, grants=[Grant("elsewhere", Role.ADMIN)])


def less(stage: Stage) -> None:
    accounts.change_person(stage.database, stage.li_wei, now=START, who=None, grants=[Grant("yard", Role.CREW)])


def deactivated(stage: Stage) -> None:
    accounts.change_person(stage.database, stage.li_wei, now=START, who=None, disabled=True)


@pytest.mark.parametrize("lost", [taken_away, less, deactivated])
def test_whoever_loses_the_right_has_asked_in_vain(stage: Stage, lost: Callable[[Stage], None]) -> None:
    with stage.database.write() as connection:  # somebody must remain who is admin of every site
        add_person(connection, login="admin", password_hash="-", grants=[Grant("*", Role.ADMIN)], now=START)
    id = stage.ask("feed")
    lost(stage)
    assert stage.fetch() == []
    over = stage.desk.get(None, id)
    assert (over.state, over.reason, over.detail) == ("failed", "right_gone", {"by": "li.wei", "role": "engineer"})
    with stage.database.read() as connection:
        written = connection.execute(select(audit.c.subject).where(audit.c.action == "command.right_gone")).scalars()
        assert list(written) == [id]


def test_a_revoked_token_has_asked_in_vain_and_another_of_its_name_has_not(stage: Stage) -> None:
    stage.asker = "token:lobby"
    token, _ = accounts.add_token(stage.database, name="lobby", role=Role.ENGINEER, site="yard", now=START, who=None)
    first = stage.ask("feed")
    accounts.revoke_token(stage.database, token.id, now=START, who=None)
    assert stage.fetch() == []
    assert stage.desk.get(None, first).reason == "right_gone"
    accounts.add_token(stage.database, name="lobby", role=Role.ENGINEER, site="yard", now=START, who=None)
    stage.ask("feed")
    assert len(stage.fetch()) == 1


def test_what_a_gateway_may_have_said_is_not_called_unsent_and_a_rule_needs_nobody_s_right(stage: Stage) -> None:
    fed = stage.ask("feed", child="port:2")
    assert len(stage.fetch()) == 1
    cut = stage.ask("cut")
    stage.says(temp=95)  # its rule orders the same
    deactivated(stage)
    orders = stage.desk.hand_over("g", None, again=True)
    assert [order.id for order in orders] == [cut]
    assert stage.desk.get(None, fed).state == "queued"
    stage.sent(CommandOrder(fed, 1, "plug-1", "port:2", "feed", {}, 1, 0))
    assert stage.desk.get(None, fed).state == "sent"


def test_numbers_are_each_their_own(stage: Stage) -> None:
    ids = [stage.ask(child="port:1"), stage.ask(child="port:2"), stage.ask("feed", child="port:1")]
    nonces = [order.nonce for order in stage.fetch()]
    assert len(set(nonces)) == len(ids) and all(1 <= nonce <= 65535 for nonce in nonces)


def test_an_answer_finds_its_command_by_its_number_and_no_other(stage: Stage) -> None:
    one, first = under_way(stage)
    two, second = under_way(stage, child="port:2")
    stage.says("", replies=(Reply("cut", str(second.nonce), True, "ok"), Reply("feed", str(second.nonce), True, "ok")))
    assert (stage.look(one).state, stage.look(two).state) == ("sent", "acknowledged")
    stage.says("", device="plug-2", replies=(Reply("cut", str(first.nonce), True, "ok"),))
    assert stage.look(one).state == "sent", "another device answers for itself"
    stage.says("", replies=(Reply("cut", "65000", True, "ok"),))
    assert stage.intake.unmatched_answers == 2


def test_an_answer_without_a_number_is_for_the_oldest_of_its_part(stage: Stage) -> None:
    one, _ = under_way(stage)
    two, _ = under_way(stage, child="port:2")
    stage.says("port:2", replies=(Reply("cut"),))
    assert (stage.look(one).state, stage.look(two).state) == ("sent", "acknowledged")
    stage.says("", replies=(Reply("cut"),))
    assert stage.look(one).state == "acknowledged"


def test_an_answer_that_comes_too_late_stands_in_its_history(stage: Stage) -> None:
    id, order = under_way(stage)
    stage.later(3)
    assert stage.state(id) == ("failed", "no_answer")
    stage.says("", replies=(Reply("cut", str(order.nonce), True, "ok"),))
    record = stage.look(id)
    assert record.state == "failed"
    assert record.events[-1].what == "late_answer"


@pytest.mark.parametrize(
    "reading",
    [
        {"power": 0, "behind": 30},  # measured before it was sent
        {"power": 0, "quality": Quality.LATE},
        {"power": 0, "quality": Quality.HISTORIC},
        {"power": 0, "retained": True},
        {"power": 0, "flags": {"power": Quality.SUSPECT}},
        {"power": 0, "child": "port:2"},
        {"power": 6},
    ],
)
def test_what_is_no_proof_of_an_effect(stage: Stage, reading: dict[str, Any]) -> None:
    id, _ = under_way(stage)
    stage.later(0.5)
    stage.says(**reading)
    assert stage.look(id).state == "sent"


def test_a_clock_that_is_slow_hides_no_effect(stage: Stage) -> None:
    stage.later(60)
    for power in (400, 390):
        stage.says(power=power, behind=40)
        stage.later(1)
    id, _ = under_way(stage)
    stage.later(0.5)
    stage.says(power=0, behind=40)
    assert stage.state(id) == ("done", "effect_seen")


def test_an_effect_may_be_here_before_the_gateways_own_word(stage: Stage) -> None:
    id = stage.ask()
    (order,) = stage.fetch()
    at = stage.ms + 100
    stage.later(0.5)
    stage.says(power=0)
    assert stage.look(id).state == "queued"
    stage.desk.report("g", [CommandOutcome(order.id, 1, "sent", at)])
    assert stage.state(id) == ("done", "effect_seen")


def fetched(stage: Stage) -> tuple[str, CommandOrder, int]:
    """A cut that the gateway has fetched, and when it began to say it."""
    id = stage.ask()
    (order,) = stage.fetch()
    stage.later(0.05)
    return id, order, stage.ms


def test_a_device_may_be_quicker_than_the_word_of_the_broker(stage: Stage) -> None:
    id, order, began = fetched(stage)
    stage.later(0.02)
    stage.says(power=0)
    stage.later(0.03)  # a busy gateway notes only now that the broker has it
    stage.desk.report("g", [CommandOutcome(order.id, 1, "sent", stage.ms, began=began)])
    assert stage.state(id) == ("done", "effect_seen")


@pytest.mark.parametrize("apart", [0, 0.02])
@pytest.mark.parametrize("answers_first", [True, False])
@pytest.mark.parametrize("told_first", [True, False])
def test_an_effect_is_seen_in_whatever_order_the_words_come(
    stage: Stage, apart: float, answers_first: bool, told_first: bool
) -> None:
    id, order, began = fetched(stage)
    if told_first:
        stage.later(0.04)
        stage.desk.report("g", [CommandOutcome(order.id, 1, "sent", stage.ms, began=began)])
    stage.later(0.01)
    steps = [lambda: stage.answers(order), lambda: stage.says(power=0)]
    for step in steps if answers_first else reversed(steps):
        step()
        stage.later(apart)
    if not told_first:
        stage.desk.report("g", [CommandOutcome(order.id, 1, "sent", stage.ms, began=began)])
    assert stage.state(id) == ("done", "effect_seen")


def test_what_was_measured_before_the_gateway_began_is_no_effect(stage: Stage) -> None:
    id = stage.ask()
    (order,) = stage.fetch()
    stage.later(0.5)
    stage.says(power=0)
    stage.later(0.5)
    began = stage.ms
    stage.later(0.1)
    stage.desk.report("g", [CommandOutcome(order.id, 1, "sent", stage.ms, began=began)])
    assert stage.look(id).state == "sent"
    stage.later(0.1)
    stage.says(power=0)
    assert stage.state(id) == ("done", "effect_seen")


def test_a_device_that_tells_whole_seconds_may_act_within_the_same_one(stage: Stage) -> None:
    stage.later(60)
    stage.says(power=400)  # on the second
    stage.later(0.3)
    id, order, began = fetched(stage)
    stage.desk.report("g", [CommandOutcome(order.id, 1, "sent", stage.ms, began=began)])
    stage.later(0.4)
    stage.says(power=0, behind=0.75)
    assert stage.ms - 750 == 60_000 + to_millis(START)
    assert stage.state(id) == ("done", "effect_seen")


def test_while_the_uplink_is_cut_no_command_fails_for_want_of_an_answer(stage: Stage) -> None:
    id, _ = under_way(stage)
    stage.clock.at += timedelta(seconds=120)
    stage.intake.tick(stage.clock.at)  # the gateway's progress stands still
    assert stage.look(id).state == "sent"
    sent_at = stage.look(id).sent_at
    assert sent_at is not None
    backlog = Reading(
        "plug-1", "port:1", to_millis(sent_at) + 900, to_millis(sent_at) + 900, "t", {"power": 0}, profile="plug"
    )
    stage.seq += 1
    stage.intake.take(Batch("g", stage.seq, stage.seq, stage.ms, [backlog]))
    assert stage.state(id) == ("done", "effect_seen")


def test_a_restart_forgets_nothing(stage: Stage) -> None:
    id, order = under_way(stage)
    stage.restart()
    stage.says("", replies=(Reply("cut", str(order.nonce), True, "ok"),))
    stage.restart()
    assert stage.look(id).state == "acknowledged"
    stage.later(3)
    assert stage.state(id) == ("failed", "no_effect")
    with stage.database.read() as connection:
        assert [alarm.rule for alarm in list_alarms(connection, None)] == ["not_cut"]


def test_a_rule_orders_once_per_alarm_and_its_failure_is_a_worse_one(stage: Stage) -> None:
    stage.says(temp=95)
    stage.restart()
    stage.says(temp=96)
    (order,) = stage.fetch()
    record = stage.look(order.id)
    assert (record.by, record.command, record.child) == (None, "cut", "port:1")
    stage.later(12)  # nobody sends it
    stage.later(30)
    assert stage.state(order.id) == ("expired", "not_reported")
    with stage.database.read() as connection:
        raised = {alarm.rule: alarm for alarm in list_alarms(connection, None)}
    assert raised.keys() == {"hot", "not_cut"}
    assert record.alarm == raised["hot"].id
    stage.says(temp=30)
    stage.says(temp=99)
    assert len(stage.fetch()) == 1, "a new alarm orders anew"


def test_two_rules_that_want_the_same_send_it_once(stage: Stage) -> None:
    stage.says("port:1", temp=95)
    stage.says("", smoke="yes")
    orders = stage.fetch()
    assert sorted(order.child for order in orders) == ["port:1", "port:2"]
    first = next(order for order in orders if order.child == "port:1")
    assert "ordered_too" in [event.what for event in stage.look(first.id).events]


def test_what_people_and_rules_do_is_in_the_audit_log(stage: Stage) -> None:
    id = stage.ask(child="port:2")
    stage.desk.cancel(None, id, by="chen.yu")
    stage.says(temp=95)
    with stage.database.read() as connection:
        rows = connection.execute(select(audit).order_by(audit.c.seq)).all()
    found = [(row.who, row.action, row.data.get("rule")) for row in rows if row.action.startswith("command.")]
    assert found == [
        ("li.wei", "command.queued", None),
        ("chen.yu", "command.cancelled", None),
        (None, "command.queued", "hot"),
    ]
    assert isinstance(verify(stage.database), Intact)


def test_what_is_long_over_is_forgotten_and_what_is_under_way_is_not(stage: Stage) -> None:
    over = stage.ask(child="port:2")
    stage.desk.cancel(None, over, by="li.wei")
    waiting = stage.ask()
    with stage.database.write() as connection:
        assert store.expire(connection, START) == 0
        assert store.expire(connection, START + timedelta(days=1)) == 1
    with stage.database.read() as connection:
        assert [one.id for one in store.list_commands(connection, None)] == [waiting]


def test_a_refusal_costs_nobody_else_the_state(stage: Stage) -> None:
    id, order = under_way(stage)
    stage.sent(order)
    before = stage.intake._remembered.memory
    assert before is not None
    with pytest.raises(CommandRefused, match="under way"):
        stage.ask()
    with pytest.raises(CommandRefused, match="to: found"):
        stage.ask("level", "", to="high")
    with pytest.raises(NotCancellable):
        stage.desk.cancel(None, id, by="li.wei")
    assert stage.intake._remembered.memory is before and stage.state(id)[0] == "sent"
