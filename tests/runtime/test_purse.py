"""Amounts that several threads take from."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from agentbus.runtime.purse import Purse, Shortage

Step = tuple[str, int | None, int | None]


def test_all_of_it_is_taken_or_nothing() -> None:
    purse = Purse({"a": 10, "b": 5})
    assert purse.take({"a": 4, "b": 6}) == Shortage("b", 6, 5)
    assert purse.left() == {"a": 10, "b": 5}
    assert purse.take({"a": 4, "b": 5}) == {"a": 4, "b": 5}
    assert purse.left() == {"a": 6, "b": 0}
    assert purse.take({"a": 6, "b": 0}) == {"a": 6, "b": 0}


def test_everything_that_is_left_must_be_something() -> None:
    purse = Purse({"a": 3, "b": None})
    assert purse.take({"a": None, "b": None}) == {"a": 3, "b": None}
    assert purse.take({"a": None}) == Shortage("a", 1, 0)


def test_what_has_no_limit_is_only_counted() -> None:
    purse = Purse({"a": None})
    assert purse.take({"a": 7}) == {"a": 7}
    purse.give({"a": 2})
    purse.give({"a": -4})
    assert purse.left() == {"a": None}
    assert purse.taken() == {"a": 9}


def test_a_closed_purse_gives_and_takes_nothing() -> None:
    purse = Purse({"a": 10, "b": None})
    purse.take({"a": 4, "b": 1})
    assert purse.close() == {"a": 4, "b": 1}
    purse.give({"a": 4})
    assert purse.take({"a": 1}) == Shortage("a", 1, 0)
    assert purse.left() == {"a": 0, "b": None}
    assert purse.close() == {"a": 4, "b": 1}


amounts = st.none() | st.integers(0, 20)
steps = st.lists(st.tuples(st.sampled_from(["take", "give"]), amounts, amounts), max_size=30)


@given(st.integers(0, 50), st.integers(0, 50), steps)
def test_what_was_taken_and_what_is_left_add_up(first: int, second: int, todo: list[Step]) -> None:
    purse = Purse({"a": first, "b": second})
    held: list[dict[str, int | None]] = []
    for kind, one, two in todo:
        if kind == "give" and held:
            purse.give({name: amount or 0 for name, amount in held.pop().items()})
        elif kind == "take":
            taken = purse.take({"a": one, "b": two})
            if not isinstance(taken, Shortage):
                held.append(taken)
        left, out = purse.left(), purse.taken()
        assert out == {name: sum(each[name] or 0 for each in held) for name in out}
        assert left == {"a": first - out["a"], "b": second - out["b"]}
        assert all(amount is not None and amount >= 0 for amount in left.values())


def test_threads_together_take_no_more_than_there_is() -> None:
    purse = Purse({"a": 1000})
    taken: list[int] = []

    def spend() -> None:
        taken.extend(1 for _ in range(400) if not isinstance(purse.take({"a": 1}), Shortage))

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1000
    assert purse.left() == {"a": 0}
