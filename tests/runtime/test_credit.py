"""Credit: nothing is sent ahead of it, and nobody pauses for ever, however late grants arrive."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agentbus.runtime.credit import MAX_CREDIT, CreditReceiver, CreditSender


class Tube(RuleBasedStateMachine):
    """A producer and a consumer, with chunks and grants under way between them."""

    def __init__(self) -> None:
        super().__init__()
        self.receiver = CreditReceiver(1)
        self.sender = CreditSender()
        self.chunks = 0
        self.grants: deque[int] = deque()
        self.old_grants: list[int] = []

    @precondition(lambda self: self.receiver.received == 0 and not self.old_grants)
    @rule(capacity=st.integers(1, 9))
    def begin(self, capacity: int) -> None:
        self.receiver = CreditReceiver(capacity)
        self.sender = CreditSender()
        self.chunks = 0
        self.grants.clear()
        self.note(self.receiver.open())

    def note(self, limit: int | None) -> None:
        if limit is not None:
            self.grants.append(limit)

    @precondition(lambda self: self.sender.available > 0)
    @rule(count=st.integers(1, 5))
    def produce(self, count: int) -> None:
        for _ in range(min(count, self.sender.available)):
            self.sender.spend()
            self.chunks += 1

    @precondition(lambda self: self.chunks > 0)
    @rule()
    def arrive(self) -> None:
        self.chunks -= 1
        assert self.receiver.receive(), "what was granted is taken"

    @precondition(lambda self: self.receiver.received > self.receiver.taken)
    @rule()
    def consume(self) -> None:
        self.note(self.receiver.take())

    @precondition(lambda self: bool(self.grants))
    @rule()
    def grant(self) -> None:
        self.old_grants.append(self.grants.popleft())
        self.sender.grant(self.old_grants[-1])

    @precondition(lambda self: bool(self.old_grants))
    @rule(data=st.data())
    def grant_an_old_one_again(self, data: st.DataObject) -> None:
        self.sender.grant(data.draw(st.sampled_from(self.old_grants)))

    @invariant()
    def no_more_waits_than_the_consumer_has_room_for(self) -> None:
        waiting = self.receiver.received - self.receiver.taken
        assert self.chunks + waiting <= self.receiver.capacity

    @invariant()
    def the_producer_pauses_only_for_a_reason(self) -> None:
        idle = not self.chunks and not self.grants and self.receiver.received == self.receiver.taken
        assert not idle or self.sender.available > 0 or not self.receiver.granted


TestTube = Tube.TestCase
TestTube.settings = settings(max_examples=40, stateful_step_count=60)


def test_a_chunk_without_credit_is_refused_on_both_sides() -> None:
    sender, receiver = CreditSender(1), CreditReceiver(1)
    sender.spend()
    with pytest.raises(ValueError, match="no credit"):
        sender.spend()
    assert not receiver.receive(), "nothing was granted yet"
    receiver.open()
    assert receiver.receive()
    assert not receiver.receive()
    assert receiver.open() is None


def test_no_grant_lets_a_producer_go_further_than_the_limit() -> None:
    sender = CreditSender(10**9)
    assert sender.available == MAX_CREDIT
    sender.spend()
    sender.grant(10**9)
    assert sender.available == MAX_CREDIT


@pytest.mark.parametrize("capacity", [0, -1, MAX_CREDIT + 1])
def test_a_capacity_out_of_range_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match="credit"):
        CreditReceiver(capacity)
