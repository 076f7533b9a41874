"""What decoding remembers: taken back with a message or a batch, bounded, and told apart by kind."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.decode import memory as module
from gateway.decode.memory import Memory

KEYS = st.sampled_from([("a", "1"), ("a", "2"), ("b", "1"), ("c", "9")])
STEPS = st.lists(st.tuples(KEYS, st.one_of(st.none(), st.integers(0, 9))), max_size=12)


def play(memory: Memory, steps: list[tuple[tuple[str, str], int | None]]) -> None:
    for key, value in steps:
        if value is None:
            memory.drop(key)
        else:
            memory.put(key, value)


def held(memory: Memory) -> dict[tuple[str, ...], object]:
    return {key: value for kind in "abc" for key, value in memory.of_kind(kind)}


@given(STEPS, STEPS, STEPS)
def test_a_message_and_a_batch_can_be_taken_back(
    before: list[tuple[tuple[str, str], int | None]],
    batch: list[tuple[tuple[str, str], int | None]],
    message: list[tuple[tuple[str, str], int | None]],
) -> None:
    memory = Memory()
    play(memory, before)
    memory.commit()
    committed = held(memory)
    play(memory, batch)
    after_batch, changes = held(memory), memory.changes()
    mark = memory.mark()
    play(memory, message)
    memory.undo(mark)
    assert held(memory) == after_batch
    assert memory.changes() == changes
    memory.rollback()
    assert held(memory) == committed
    assert memory.changes() == {}


@given(STEPS, STEPS)
def test_the_changes_of_a_batch_lead_from_one_state_to_the_next(
    before: list[tuple[tuple[str, str], int | None]], batch: list[tuple[tuple[str, str], int | None]]
) -> None:
    memory = Memory()
    play(memory, before)
    memory.commit()
    stored = dict(held(memory))
    play(memory, batch)
    for key, value in memory.changes().items():
        stored.pop(key, None)
        if value is not None:
            stored[key] = value
    assert stored == held(memory)


def test_the_entry_that_changed_longest_ago_goes_first() -> None:
    most, module.MOST_ENTRIES = module.MOST_ENTRIES, 3
    try:
        memory = Memory()
        for n in "123":
            memory.put(("a", n), int(n))
        memory.put(("a", "1"), 10)
        memory.put(("a", "4"), 4)
        assert held(memory) == {("a", "1"): 10, ("a", "3"): 3, ("a", "4"): 4}
        assert memory.changes()["a", "2"] is None
        memory.rollback()
        assert len(memory) == 0
    finally:
        module.MOST_ENTRIES = most


def test_what_is_remembered_of_a_device_goes_on_under_its_new_id() -> None:
    memory = Memory([(("counter", "meter:1", "", "n"), [1]), (("captures", "meter:1"), {"a": "1"}), (("counter",), 7)])
    memory.put(("captures", "m1"), {"a": "2"})
    memory.commit()
    memory.rename({"meter:1": "m1", "meter:2": "m2"})
    assert memory.get(("counter", "m1", "", "n")) == [1]
    assert memory.get(("captures", "m1")) == {"a": "2"}, "what has been learnt since stays"
    assert memory.get(("counter", "meter:1", "", "n")) is None and memory.get(("captures", "meter:1")) is None
    assert memory.get(("counter",)) == 7 and len(memory) == 3
    memory.rollback()
    assert memory.get(("counter", "meter:1", "", "n")) == [1] and memory.get(("counter", "m1", "", "n")) is None
