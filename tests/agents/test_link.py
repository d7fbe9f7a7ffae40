"""The link's promise, on a channel that loses, repeats and reorders whatever a reconnect may."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentbus.agents.envelope import Item, Packet
from agentbus.agents.link import Link, Want
from agentbus.agents.link_queue import LinkOptions
from agentbus.agents.outcome import Outcome
from agentbus.errors import MailboxFullError
from tests.agents.pair import ROOM, A, B, Pair, envelope, run_chaos


def test_what_was_taken_back_never_leaves_and_what_has_left_is_not_taken_back() -> None:
    pair = Pair(window=1)
    first, second, third = pair.post(), pair.post(), pair.post(urgent=True)
    pair.transmit(pair.a)
    assert not pair.withdraw(third), "control goes first, so it has left"
    assert pair.withdraw(second)
    assert not pair.withdraw(second)
    pair.settle_all()
    assert pair.arrived == [third, first]
    pair.check_account()


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([2, 5, 256]))
def test_exactly_once_in_order_and_one_outcome_each(seed: int, window: int) -> None:
    pair = Pair(window=window, window_bytes=3000)
    run_chaos(pair, seed, 150)
    pair.settle_all()
    pair.check_account()
    expected = [name for name in pair.posted if name in set(pair.arrived)]
    assert pair.arrived == expected, "in order, none twice"
    fates = Counter(fates[0] for fates in pair.outcomes.values())
    assert fates[Outcome.DELIVERED] == len(pair.handled)
    assert len(pair.posted) == fates[Outcome.DELIVERED] + fates[Outcome.EXPIRED]
    never_late = [name for name in pair.posted if pair.outcomes[name] == [Outcome.DELIVERED]]
    assert sorted(pair.handled) == sorted(never_late)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 150))
def test_a_death_at_any_moment_leaves_every_message_one_outcome(seed: int, steps: int) -> None:
    pair = Pair(window=5)
    run_chaos(pair, seed, steps)
    unsent = pair.a.close()
    pair.collect()
    for never_left in unsent:
        pair.outcomes.setdefault(never_left.token, []).append(Outcome.DEAD_LETTERED)
        assert never_left.token not in pair.arrived
    pair.check_account()
    assert pair.a.idle


def test_one_frame_carries_all_that_fits() -> None:
    pair = Pair()
    for _ in range(10):
        pair.post()
    assert pair.transmit(pair.a) == 1
    pair.settle_all()
    assert pair.arrived == pair.posted


def test_frames_stay_below_the_limit() -> None:
    pair = Pair()
    for _ in range(40):
        pair.post(size=300)
    assert pair.transmit(pair.a) > 6
    pair.settle_all()
    assert pair.arrived == pair.posted


def test_control_traffic_overtakes_what_waits() -> None:
    pair = Pair(window=3)
    for _ in range(6):
        pair.post()
    pair.transmit(pair.a)
    urgent = pair.post(urgent=True)
    assert pair.a.wants(pair.now) is Want.NOTHING, "the window is closed"
    pair.settle_all()
    assert pair.arrived[3] == urgent
    assert sorted(pair.arrived) == sorted(pair.posted)


def test_the_queue_is_bounded_and_says_so() -> None:
    link = Link(A, B, LinkOptions(capacity=3), 0.0)
    for number in range(3):
        link.post(envelope(str(number)))
    with pytest.raises(MailboxFullError):
        link.post(envelope("4"))
    link.post(envelope("5"), urgent=True)
    assert link.queued == 4
    small = Link(A, B, LinkOptions(capacity_bytes=100), 0.0)
    with pytest.raises(MailboxFullError):
        small.post(envelope("big", 200))


def test_the_window_holds_back_what_is_not_acked() -> None:
    pair = Pair(window=4)
    for _ in range(10):
        pair.post()
    pair.transmit(pair.a)
    assert (pair.a.in_flight, pair.a.queued) == (4, 6)


def test_an_ack_alone_waits_at_most_100_ms() -> None:
    pair = Pair()
    pair.post()
    pair.transmit(pair.a)
    pair.deliver_next(pair.a)
    assert pair.transmit(pair.b) == 0
    assert pair.b.next_deadline() == pytest.approx(pair.now + 0.1)
    pair.advance(0.1)
    assert pair.b.wants(pair.now) is Want.ACK
    assert pair.transmit(pair.b) == 1
    pair.deliver_next(pair.b)
    assert pair.a.in_flight == 0


def test_acks_ride_on_what_goes_the_other_way() -> None:
    pair = Pair()
    pair.post()
    pair.transmit(pair.a)
    pair.deliver_next(pair.a)
    pair.handle()
    assert pair.b.wants(pair.now) is Want.RECEIPTS
    pair.transmit(pair.b)
    pair.deliver_next(pair.b)
    assert pair.a.in_flight == 0
    assert pair.outcomes == {"m0": [Outcome.DELIVERED]}


def test_half_a_window_without_an_ack_is_acked_at_once() -> None:
    pair = Pair(window=16)
    for _ in range(16):
        pair.post()
    pair.transmit(pair.a)
    pair.deliver_next(pair.a)
    assert pair.b.wants(pair.now) is Want.ACK


def test_what_expires_in_the_queue_never_leaves() -> None:
    pair = Pair()
    pair.post(lifetime=1.0)
    pair.advance(1.0)
    assert pair.outcomes == {"m0": [Outcome.EXPIRED]}
    assert pair.transmit(pair.a) == 0


def test_deadlines_travel_as_what_is_left_of_them() -> None:
    pair = Pair()
    pair.post(lifetime=5.0)
    pair.transmit(pair.a)
    pair.cut(lose=True)
    pair.advance(3.0)
    pair.transmit(pair.a)
    pair.deliver_next(pair.a)
    assert pair.waiting[0].deadline == pytest.approx(pair.now + 2.0)


def test_what_expired_on_its_way_comes_empty_and_is_settled_by_the_receiver() -> None:
    pair = Pair()
    pair.post(lifetime=1.0, size=100)
    pair.transmit(pair.a)
    pair.cut(lose=True)
    pair.advance(1.5)
    pair.settle_all()
    assert pair.outcomes == {"m0": [Outcome.EXPIRED]}
    assert pair.arrived == []


def test_what_was_cut_for_larger_frames_is_dead_lettered() -> None:
    pair = Pair()
    pair.post(size=ROOM * 3 // 4)
    pair.transmit(pair.a)
    pair.cut(lose=True)
    pair.room = ROOM // 2
    pair.settle_all()
    assert pair.outcomes == {"m0": [Outcome.DEAD_LETTERED]}


def test_silence_brings_a_second_try_and_the_waits_grow() -> None:
    pair = Pair(resend_after=2.0, resend_max=5.0)
    pair.post()
    waits: list[float] = []
    for _ in range(4):
        pair.transmit(pair.a)
        deadline = pair.a.next_deadline()
        assert deadline is not None
        waits.append(deadline - pair.now)
        pair.advance(waits[-1])
    assert waits == pytest.approx([2.0, 4.0, 5.0, 5.0])


def test_a_gap_is_reported_and_mended_without_waiting_for_the_timer() -> None:
    pair = Pair()
    pair.post()
    pair.transmit(pair.a)
    pair.wire[pair.a].clear()
    pair.post()
    pair.transmit(pair.a)
    pair.deliver_next(pair.a)
    assert pair.b.wants(pair.now) is Want.ACK
    pair.transmit(pair.b)
    pair.deliver_next(pair.b)
    pair.transmit(pair.a)
    pair.deliver_next(pair.a)
    assert pair.arrived == ["m0", "m1"]


def test_an_idle_link_beats_if_asked_to() -> None:
    pair = Pair(beat_interval=10.0)
    assert pair.a.next_deadline() == pytest.approx(pair.now + 10)
    pair.advance(10.0)
    assert pair.transmit(pair.a) == 1
    assert Pair().a.next_deadline() is None


def test_hostile_numbers_are_ignored() -> None:
    link = Link(A, B, LinkOptions(), 0.0)
    link.post(envelope("x"), token="x")
    link.take(ROOM, 0.0)
    runs = ((1, 10**15, 99), (5, 10**15, 0), (-(10**15), 0, 0))
    link.receive(Packet(B, A, 10**15, (Item(1, receipts=runs),)), 0.0)
    assert link.in_flight == 1
    assert link.take_settled() == []
    assert link.receive(Packet(B, A, -5, (Item(-3), Item(0))), 0.0) == []
