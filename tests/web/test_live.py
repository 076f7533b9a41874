"""What the live feed tells a page, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from services.changes import Change, Changes
from services.web import live


def changes_heard(
    act: Callable[[Changes], Awaitable[None]], messages: int, beat: float = 600, patience: float = 60
) -> list[object]:
    """The first messages of a feed; `act` begins once somebody listens. Raises TimeoutError when they do not come."""

    async def scene() -> list[object]:
        changes = Changes()
        heard: list[object] = []
        feed = live.gathered(changes, pause=0.05, beat=beat)
        acting = asyncio.ensure_future(_once_somebody_listens(changes, act))
        async for batch in feed:
            heard.append(batch)
            if len(heard) == messages:
                break
        await feed.aclose()
        await acting
        assert not changes._subscribers, "a closed page is no longer served"
        return heard

    return asyncio.run(asyncio.wait_for(scene(), patience))


async def _once_somebody_listens(changes: Changes, act: Callable[[Changes], Awaitable[None]]) -> None:
    while not changes._subscribers:
        await asyncio.sleep(0)
    await act(changes)


def device(name: str) -> Change:
    return Change("device", name, "east")


def test_many_changes_in_a_moment_become_one_message() -> None:
    async def act(changes: Changes) -> None:
        for n in range(50):
            changes.publish([device(f"d{n}")])

    messages = changes_heard(act, 3, beat=0.2)
    told = [one for one in messages if one]
    assert told == [[device(f"d{n}") for n in range(50)]]
    assert [one for one in messages if not one] == [[], []], "and beats besides, before or after"


def test_what_comes_during_the_pause_is_not_lost() -> None:
    async def scene() -> list[object]:
        changes = Changes()
        feed = live.gathered(changes, pause=0.05, beat=600)
        asking = asyncio.ensure_future(anext(feed))
        await _once_somebody_listens(changes, lambda changes: _published(changes, "first"))
        first = await asking
        asking = asyncio.ensure_future(anext(feed))
        await asyncio.sleep(0)  # now it pauses
        changes.publish([device("during")])
        second = await asking
        await feed.aclose()
        return [first, second]

    assert asyncio.run(asyncio.wait_for(scene(), 60)) == [[device("first")], [device("during")]]


async def _published(changes: Changes, name: str) -> None:
    changes.publish([device(name)])


def test_silence_is_told_by_a_beat() -> None:
    async def act(changes: Changes) -> None: ...

    assert changes_heard(act, 1, beat=0.1) == [[]]
    with pytest.raises(TimeoutError):
        changes_heard(act, 1, beat=600, patience=0.2)


def test_a_page_that_missed_some_is_told_to_reload() -> None:
    async def act(changes: Changes) -> None:
        for n in range(1001):
            changes.publish([device(f"d{n}")])

    assert None in changes_heard(act, 1)


def heard_since(since: int, changes: Changes) -> object:
    """What a page that has seen `since` is told first."""

    async def scene() -> object:
        feed = live.gathered(changes, since, pause=0, beat=0.05)
        try:
            return await anext(feed)
        finally:
            await feed.aclose()

    return asyncio.run(asyncio.wait_for(scene(), 60))


def test_what_happens_between_reading_a_page_and_hearing_its_feed_is_told() -> None:
    changes = Changes()
    changes.publish([device("before")])
    seen = changes.number
    changes.publish([device("a")])
    changes.publish([device("b")])
    assert heard_since(seen, changes) == [device("a"), device("b")]
    assert heard_since(changes.number, changes) == []


def test_a_page_of_an_earlier_run_or_of_long_ago_is_told_to_reload() -> None:
    changes = Changes()
    seen = changes.number
    for n in range(1001):
        changes.publish([device(f"d{n}")])
    assert heard_since(seen, changes) is None
    assert heard_since(changes.number + 1, changes) is None
    assert heard_since(seen - 1_000_000, changes) is None


def test_nobody_hears_of_other_sites() -> None:
    batch = [device("a"), Change("ticket", "t", "west"), Change("gateway", "g", "")]
    assert live.within(batch, frozenset({"east"}), "") == [batch[0], batch[2]]
    assert live.within(batch, None, "west") == [batch[1], batch[2]]
    assert live.within(batch, frozenset(), "") == [batch[2]]


def test_an_id_is_told_once() -> None:
    assert live.by_kind([device("a"), device("b"), device("a")]) == {"device": ["a", "b"]}


def test_an_event_is_framed() -> None:
    assert live.event("changes", {"device": ["a\nb"]}) == 'event: changes\ndata: {"device":["a\\nb"]}\n\n'
