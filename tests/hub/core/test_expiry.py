"""The queue of ends: order, removal, and that nothing is kept that was removed."""

from __future__ import annotations

import weakref

from hypothesis import given
from hypothesis import strategies as st

from agentbus.hub.core.expiry import ExpiryQueue


class Item:
    pass


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=60), st.integers(0, 31))
def test_what_is_due_comes_in_order_and_what_was_discarded_does_not(
    plan: list[tuple[int, bool]], now: int
) -> None:
    queue: ExpiryQueue[int] = ExpiryQueue()
    for item, (at, _discard) in enumerate(plan):
        queue.add(item, at)
    for item, (_at, discard) in enumerate(plan):
        if discard:
            queue.discard(item)
    kept = sorted((at, item) for item, (at, discard) in enumerate(plan) if not discard)
    assert queue.next_at() == (kept[0][0] if kept else None)
    assert queue.pop_due(now) == [item for at, item in kept if at <= now]
    assert len(queue) == sum(at > now for at, _item in kept)


def test_a_discarded_item_is_not_kept_alive() -> None:
    queue: ExpiryQueue[Item] = ExpiryQueue()
    items = [Item() for _ in range(5)]
    probe = weakref.ref(items[3])
    for at in range(5):
        queue.add(items[at], at)
    queue.discard(items.pop(3))
    assert probe() is None
    assert len(queue) == 4


def test_discarding_a_stranger_is_no_error() -> None:
    queue: ExpiryQueue[int] = ExpiryQueue()
    queue.discard(1)
    assert queue.next_at() is None


def test_empty_slots_do_not_pile_up() -> None:
    queue: ExpiryQueue[int] = ExpiryQueue()
    queue.add(-1, 10.0)
    for item in range(1000):
        queue.add(item, 20.0 + item)
        queue.discard(item)
    assert len(queue._heap) <= 3  # pyright: ignore[reportPrivateUsage] -- the leak to find
