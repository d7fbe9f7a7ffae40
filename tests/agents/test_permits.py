from __future__ import annotations

import threading

from agentbus.agents.permits import Permits


def test_permits_are_counted() -> None:
    permits = Permits(2)
    assert permits.unused
    permits.take()
    permits.take()
    assert not permits.unused
    permits.give()
    permits.take()
    permits.give()
    permits.give()
    assert permits.unused


def test_threads_wait_for_permits_and_none_is_forgotten() -> None:
    permits, most = Permits(3), 0
    holders: list[int] = []

    def work(number: int) -> None:
        nonlocal most
        for _ in range(300):
            permits.take()
            holders.append(number)
            most = max(most, len(holders))
            holders.remove(number)
            permits.give()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert not any(thread.is_alive() for thread in threads)
    assert permits.unused
    assert most <= 3


def test_one_permit_wakes_one_waiter_after_the_other() -> None:
    permits = Permits(1)
    order: list[int] = []
    permits.take()

    def wait() -> None:
        permits.take()
        order.append(threading.get_ident())
        permits.give()

    threads = [threading.Thread(target=wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    permits.give()
    for thread in threads:
        thread.join(timeout=20)
    assert len(order) == 5
    assert permits.unused
