from __future__ import annotations

from agentbus.hub.core.attempts import WINDOW, Attempts


def test_the_last_one_allowed_is_counted_and_nothing_is_heard_after_it() -> None:
    attempts = Attempts(3)
    assert [attempts.count("a", 10.0 + number) for number in range(3)] == [False, False, True]
    assert attempts.wait("a", 13.0) == 57.0
    assert attempts.wait("b", 13.0) is None


def test_the_window_slides_from_one_to_the_next() -> None:
    attempts = Attempts(2)
    attempts.count("a", 0.0)
    attempts.count("a", 30.0)
    assert attempts.wait("a", WINDOW - 0.001) is not None
    assert attempts.wait("a", WINDOW) is None
    attempts.count("a", WINDOW)
    assert attempts.wait("a", WINDOW) == 30.0


def test_nothing_is_kept_of_an_address_that_has_been_quiet() -> None:
    attempts = Attempts(2)
    attempts.count("a", 0.0)
    assert attempts.wait("a", WINDOW) is None
    assert len(attempts) == 0


def test_zero_turns_it_off() -> None:
    attempts = Attempts(0)
    assert [attempts.count("a", 0.0) for _ in range(100)] == [False] * 100
    assert attempts.wait("a", 0.0) is None
    assert len(attempts) == 0


def test_the_memory_for_addresses_is_bounded_and_the_oldest_is_forgotten() -> None:
    attempts = Attempts(1, max_addresses=2)
    for number, address in enumerate("abc"):
        attempts.count(address, float(number))
    assert [attempts.wait(address, 3.0) is None for address in "abc"] == [True, False, False]
