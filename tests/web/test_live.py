"""What the live feed tells a page, and how often."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from services.changes import Change, Changes
from services.web import live


def changes_heard(act: Callable[[Changes], Awaitable[None]], messages: int, beat: float = 20) -> list[object]:
    async def scene() -> list[object]:
        changes = Changes()
        heard: list[object] = []
        feed = live.gathered(changes, pause=0.05, beat=beat)
        acting = asyncio.ensure_future(act(changes))
        async for batch in feed:
            heard.append(batch)
            if len(heard) == messages:
                break
        await feed.aclose()
        await acting
        assert not changes._subscribers, "a closed page is no longer served"
        return heard

    return asyncio.run(asyncio.wait_for(scene(), 60))


def device(name: str) -> Change:
    return Change("device", name, "east")


def test_many_changes_in_a_moment_become_one_message() -> None:
    async def act(changes: Changes) -> None:
        await asyncio.sleep(0.01)
        for n in range(50):
            changes.publish([device(f"d{n}")])

    first, second = changes_heard(act, 2, beat=0.2)
    assert first == [device(f"d{n}") for n in range(50)]
    assert second == []


def test_what_comes_during_the_pause_is_not_lost() -> None:
    async def act(changes: Changes) -> None:
        await asyncio.sleep(0.01)
        changes.publish([device("first")])
        await asyncio.sleep(0.02)
        changes.publish([device("during")])

    assert changes_heard(act, 2) == [[device("first")], [device("during")]]


def test_silence_is_told_by_a_beat() -> None:
    async def act(changes: Changes) -> None: ...

    started = time.monotonic()
    assert changes_heard(act, 1, beat=0.1) == [[]]
    assert time.monotonic() - started < 15, "the usual beat would be twenty seconds"


def test_a_page_that_missed_some_is_told_to_reload() -> None:
    async def act(changes: Changes) -> None:
        await asyncio.sleep(0.01)
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
