from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.errors import ActorStoppedError, MailboxFullError
from agentbus.runtime.envelope import Stop
from agentbus.runtime.mailbox import BoundedMailbox, Mailbox, MailboxOptions, Overflow, make_mailbox


class Consumer:
    """A consumer that looks when the test says so, and counts how often it was woken."""

    def __init__(self, options: MailboxOptions | None = None, *, here: bool = False) -> None:
        self.wakes = 0
        self.dropped: list[Any] = []
        self.mailbox = make_mailbox(
            options or MailboxOptions(), self.wake, self.dropped.append, consumer_is_here=lambda: here
        )
        self.mailbox.rest()

    def wake(self) -> None:
        self.wakes += 1

    def look(self) -> list[Any]:
        taken: list[Any] = []
        while True:
            while self.mailbox.control:
                taken.append(self.mailbox.take_control())
            while self.mailbox.items:
                taken.append(self.mailbox.take())
            if self.mailbox.rest():
                return taken


def gone() -> Exception:
    return ActorStoppedError("gone")


def bounded(overflow: Overflow, capacity: int = 2, **more: Any) -> Consumer:
    return Consumer(MailboxOptions(capacity, overflow), **more)


def stop_request() -> Stop:
    return Stop.__new__(Stop)


def in_thread(work: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_burst_wakes_the_consumer_once() -> None:
    consumer = Consumer()
    for number in range(100):
        consumer.mailbox.put(number)
    assert consumer.wakes == 1
    assert consumer.look() == list(range(100))


def test_a_resting_consumer_is_woken_again() -> None:
    consumer = Consumer()
    consumer.mailbox.put(1)
    consumer.look()
    consumer.mailbox.put(2)
    assert consumer.wakes == 2


def test_rest_says_when_something_slipped_in() -> None:
    consumer = Consumer()
    consumer.mailbox.put(1)
    assert not consumer.mailbox.rest()
    assert consumer.look() == [1]
    assert consumer.mailbox.rest()


def test_the_control_lane_overtakes_and_always_wakes() -> None:
    consumer = Consumer()
    consumer.mailbox.put("slow")
    assert consumer.mailbox.put_control("now")
    assert consumer.wakes == 2
    assert consumer.look() == ["now", "slow"]


def test_the_control_lane_overtakes_a_full_mailbox() -> None:
    consumer = bounded(Overflow.REJECT, 1)
    consumer.mailbox.put("slow")
    consumer.mailbox.put_control("now")
    assert consumer.look() == ["now", "slow"]


def test_an_item_put_back_comes_first_again() -> None:
    consumer = Consumer()
    consumer.mailbox.put(1)
    consumer.mailbox.put(2)
    consumer.mailbox.put_back(consumer.mailbox.take())
    assert consumer.look() == [1, 2]


def test_taking_from_an_empty_mailbox_is_an_index_error() -> None:
    for consumer in (Consumer(), bounded(Overflow.REJECT)):
        with pytest.raises(IndexError):
            consumer.mailbox.take()
        with pytest.raises(IndexError):
            consumer.mailbox.take_control()


def test_reject_tells_the_sender() -> None:
    consumer = bounded(Overflow.REJECT)
    consumer.mailbox.put(1)
    consumer.mailbox.put(2)
    with pytest.raises(MailboxFullError) as caught:
        consumer.mailbox.put(3)
    assert caught.value.capacity == 2
    assert consumer.look() == [1, 2]


def test_drop_newest_keeps_what_is_there() -> None:
    consumer = bounded(Overflow.DROP_NEWEST)
    for number in (1, 2, 3):
        consumer.mailbox.put(number)
    assert (consumer.look(), consumer.dropped) == ([1, 2], [3])


def test_drop_oldest_makes_room_at_the_head() -> None:
    consumer = bounded(Overflow.DROP_OLDEST)
    for number in (1, 2, 3):
        consumer.mailbox.put(number)
    assert (consumer.look(), consumer.dropped) == ([2, 3], [1])


@pytest.mark.parametrize("overflow", list(Overflow))
def test_a_stop_request_always_has_room_and_is_never_dropped(overflow: Overflow) -> None:
    consumer = bounded(overflow, 1)
    consumer.mailbox.put("work")
    stop = stop_request()
    consumer.mailbox.put_stop(stop)
    if overflow is Overflow.DROP_OLDEST:
        consumer.mailbox.put("late")
        assert consumer.look() == [stop, "late"]
    else:
        assert consumer.look() == ["work", stop]


def test_block_waits_for_room() -> None:
    consumer = bounded(Overflow.BLOCK, 1)
    consumer.mailbox.put(1)
    thread = in_thread(lambda: consumer.mailbox.put(2))
    assert consumer.mailbox.take() == 1
    thread.join(5)
    assert not thread.is_alive()
    assert consumer.look() == [2]


def test_block_gives_up_after_its_time_out() -> None:
    consumer = Consumer(MailboxOptions(1, Overflow.BLOCK, block_timeout=0.0))
    consumer.mailbox.put(1)
    with pytest.raises(MailboxFullError):
        consumer.mailbox.put(2)


def test_block_never_blocks_an_event_loop() -> None:
    async def sender(consumer: Consumer) -> None:
        consumer.mailbox.put(2)

    consumer = bounded(Overflow.BLOCK, 1)
    consumer.mailbox.put(1)
    with pytest.raises(MailboxFullError):
        asyncio.run(sender(consumer))


def test_block_never_blocks_the_consumer_itself() -> None:
    consumer = bounded(Overflow.BLOCK, 1, here=True)
    consumer.mailbox.put(1)
    with pytest.raises(MailboxFullError):
        consumer.mailbox.put(2)


def test_who_waits_elsewhere_is_called_once_when_there_is_room() -> None:
    consumer = bounded(Overflow.BLOCK)
    called: list[str] = []
    assert not consumer.mailbox.when_room(lambda: called.append("too early"))
    consumer.mailbox.put(1)
    consumer.mailbox.put(2)
    assert consumer.mailbox.when_room(lambda: called.append("room"))
    assert called == []
    consumer.look()
    assert called == ["room"]


def test_who_waits_elsewhere_is_called_when_the_mailbox_closes() -> None:
    consumer = bounded(Overflow.BLOCK, capacity=1)
    called: list[str] = []
    consumer.mailbox.put(1)
    assert consumer.mailbox.when_room(lambda: called.append("closed"))
    consumer.mailbox.refuse(gone)
    assert called == ["closed"]
    assert not Consumer().mailbox.when_room(lambda: called.append("unbounded"))


def test_a_blocked_sender_learns_that_the_mailbox_closed() -> None:
    consumer = bounded(Overflow.BLOCK, 1)
    consumer.mailbox.put(1)
    caught: list[BaseException] = []
    started = threading.Event()

    def send() -> None:
        started.set()
        try:
            consumer.mailbox.put(2)
        except ActorStoppedError as error:
            caught.append(error)

    thread = in_thread(send)
    assert started.wait(5)
    consumer.mailbox.refuse(gone)
    thread.join(5)
    assert len(caught) == 1


@pytest.mark.parametrize("options", [MailboxOptions(), MailboxOptions(1, Overflow.DROP_NEWEST)])
def test_a_closed_mailbox_refuses(options: MailboxOptions) -> None:
    consumer = Consumer(options)
    consumer.mailbox.refuse(gone)
    with pytest.raises(ActorStoppedError):
        consumer.mailbox.put(1)
    with pytest.raises(ActorStoppedError):
        consumer.mailbox.put_stop(stop_request())
    assert consumer.mailbox.refuses
    assert consumer.mailbox.put_control(1)
    consumer.mailbox.bury(lambda item: None)
    assert not consumer.mailbox.put_control(1)


def test_what_is_left_is_buried_control_first() -> None:
    consumer = Consumer()
    consumer.mailbox.put(1)
    consumer.mailbox.put_control(2)
    buried: list[Any] = []
    consumer.mailbox.refuse(gone)
    consumer.mailbox.bury(buried.append)
    assert buried == [2, 1]


def test_what_slips_in_while_the_mailbox_closes_is_buried_too() -> None:
    """A producer may have passed the check before `refuse`, and append after `bury`."""
    mailbox = Mailbox(lambda: None)
    buried: list[Any] = []
    mailbox.refuse(gone)
    mailbox.bury(buried.append)
    mailbox._refusal = None  # pyright: ignore[reportPrivateUsage]  # what the late producer saw
    mailbox.put("late")
    assert buried == ["late"]


def test_many_threads_lose_nothing_and_keep_their_order() -> None:
    woken = threading.Semaphore(0)
    mailbox = Mailbox(woken.release)
    senders, each = 4, 500

    def send(sender: int) -> None:
        for number in range(each):
            mailbox.put((sender, number))

    threads = [in_thread(lambda sender=sender: send(sender)) for sender in range(senders)]
    taken: list[tuple[int, int]] = []
    while len(taken) < senders * each:
        if mailbox.items:
            taken.append(mailbox.take())
        elif mailbox.rest():
            assert woken.acquire(timeout=10)
    for thread in threads:
        thread.join(5)
    for sender in range(senders):
        assert [number for who, number in taken if who == sender] == list(range(each))


@given(
    capacity=st.integers(1, 4),
    overflow=st.sampled_from([Overflow.REJECT, Overflow.DROP_OLDEST, Overflow.DROP_NEWEST]),
    steps=st.lists(st.booleans(), max_size=40),
)
def test_every_message_is_taken_dropped_or_rejected(
    capacity: int, overflow: Overflow, steps: list[bool]
) -> None:
    consumer = bounded(overflow, capacity)
    taken: list[int] = []
    rejected: list[int] = []
    for number, is_put in enumerate(steps):
        if not is_put:
            taken += [consumer.mailbox.take()] if consumer.mailbox.items else []
            continue
        try:
            consumer.mailbox.put(number)
        except MailboxFullError:
            rejected.append(number)
        assert len(consumer.mailbox) <= capacity
    taken += consumer.look()
    assert taken == sorted(taken)
    puts = [number for number, is_put in enumerate(steps) if is_put]
    assert sorted(taken + consumer.dropped + rejected) == puts


def test_options_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        MailboxOptions(0)
    with pytest.raises(ValueError, match="block_timeout"):
        MailboxOptions(1, block_timeout=-1.0)
    with pytest.raises(ValueError, match="capacity"):
        BoundedMailbox(MailboxOptions(), lambda: None, lambda item: None)
