from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentbus.client.pending import PendingRequests
from agentbus.protocol import request_tail


def test_a_request_is_taken_once() -> None:
    pending: PendingRequests[str] = PendingRequests(timeout=15.0, capacity=10)
    tail = pending.add("publish", now=0.0)
    assert tail is not None
    assert tail in pending
    assert pending.take(tail) == "publish"
    assert pending.take(tail) is None


def test_its_tails_are_those_of_numbers() -> None:
    pending: PendingRequests[None] = PendingRequests(timeout=1.0, capacity=100)
    assert [pending.add(None, 0.0) for _ in range(11)] == [request_tail(str(n)) for n in range(1, 12)]


def test_ids_are_the_same_again_on_every_connection() -> None:
    first, second = (PendingRequests[str](timeout=1.0, capacity=3) for _ in range(2))
    assert [first.add("a", 0.0) for _ in range(3)] == [second.add("b", 0.0) for _ in range(3)]


def test_what_runs_out_is_the_oldest() -> None:
    pending: PendingRequests[str] = PendingRequests(timeout=15.0, capacity=10)
    for moment, name in [(0.0, "a"), (1.0, "b"), (2.0, "c")]:
        pending.add(name, now=moment)
    assert pending.next_deadline() == 15.0
    assert [name for _, name in pending.take_expired(16.0)] == ["a", "b"]
    assert pending.next_deadline() == 17.0
    assert [name for _, name in pending.take_all()] == ["c"]
    assert pending.next_deadline() is None


def test_it_takes_no_more_than_it_may() -> None:
    pending: PendingRequests[int] = PendingRequests(timeout=1.0, capacity=2)
    taken = [pending.add(number, now=0.0) for number in range(3)]
    assert [tail is not None for tail in taken] == [True, True, False]
    assert len(pending) == 2


def test_everything_may_be_added_to_while_it_is_emptied() -> None:
    """A failed request's callback may make the next request."""
    pending: PendingRequests[int] = PendingRequests(timeout=1.0, capacity=10)
    pending.add(1, now=0.0)
    seen: list[int] = []
    for _, request in pending.take_all():
        seen.append(request)
        if request < 3:
            pending.add(request + 1, now=0.0)
    assert seen == [1, 2, 3]


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), max_size=30), st.floats(0, 40))
def test_every_request_is_answered_or_expired_or_left(steps: list[tuple[float, bool]], end: float) -> None:
    pending: PendingRequests[int] = PendingRequests(timeout=15.0, capacity=100)
    now, answered = 0.0, 0
    for delay, answer in steps:
        now += delay
        tail = pending.add(0, now)
        assert tail is not None
        if answer:
            answered += pending.take(tail) is not None
    expired = list(pending.take_expired(end))
    assert answered + len(expired) + len(pending) == len(steps)
    deadline = pending.next_deadline()
    assert deadline is None or deadline > end
