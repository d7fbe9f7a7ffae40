"""The contract of a queue's store, held by every implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentbus.agents.queues.stores.store import Batch, QueueStore, Record
from agentbus.agents.queues.stores.store_memory import MemoryQueueStore
from agentbus.agents.queues.stores.store_sqlite import SqliteQueueStore
from agentbus.errors import StoreError

WAIT = 10.0
MakeStore = Callable[[], QueueStore]


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeStore]:
    made: list[QueueStore] = []

    def make_one() -> QueueStore:
        path = tmp_path / f"{len(made)}.db"
        made.append(MemoryQueueStore() if request.param == "memory" else SqliteQueueStore(path, "tasks"))
        return made[-1]

    yield make_one
    for store in made:
        store.close().get(timeout=WAIT)


def test_an_empty_store_begins_with_the_first_epoch(make: MakeStore) -> None:
    opened = make().open("me").get(timeout=WAIT)
    assert (opened.epoch, opened.records, opened.notes) == (1, [], {})


def test_what_was_written_is_there_when_it_is_opened_again(make: MakeStore) -> None:
    store = make()
    store.open("me").get(timeout=WAIT)
    store.write(Batch({2: b"two", 1: b"one"}, {1: b"1", 2: b"2"}, notes={"n": b"note"})).get(timeout=WAIT)
    opened = store.open("me").get(timeout=WAIT)
    assert opened.epoch == 2
    assert opened.records == [Record(1, b"one"), Record(2, b"two")]
    assert opened.notes == {"n": b"note"}


def test_the_last_word_counts(make: MakeStore) -> None:
    store = make()
    store.open("me").get(timeout=WAIT)
    store.write(Batch({1: b"a", 2: b"b"}, {1: b"1", 2: b"2"}, notes={"n": b"x", "m": b"y"}))
    store.write(Batch({1: b"A"}, notes={"n": b"X", "m": None}))
    store.write(Batch({2: b"B"}, {2: b"22"}))
    assert store.bodies([1, 2]).get(timeout=WAIT) == {1: b"1", 2: b"22"}
    opened = store.open("me").get(timeout=WAIT)
    assert opened.records == [Record(1, b"A"), Record(2, b"B")]
    assert opened.notes == {"n": b"X"}


def test_what_is_erased_is_gone_with_its_body(make: MakeStore) -> None:
    store = make()
    store.open("me").get(timeout=WAIT)
    store.write(Batch({1: b"a", 2: b"b"}, {1: b"1", 2: b"2"}))
    store.write(Batch(erased={1, 7}))
    assert store.bodies([1, 2, 3]).get(timeout=WAIT) == {2: b"2"}
    assert store.open("me").get(timeout=WAIT).records == [Record(2, b"b")]


def test_a_closed_store_refuses_and_closes_again(make: MakeStore) -> None:
    store = make()
    store.open("me").get(timeout=WAIT)
    for _ in range(2):
        store.close().get(timeout=WAIT)
    for future in (store.write(Batch({1: b"a"}, {1: b"1"})), store.bodies([1]), store.open("me")):
        with pytest.raises(StoreError, match="closed"):
            future.get(timeout=WAIT)


def test_a_store_that_was_never_opened_closes(make: MakeStore) -> None:
    make().close().get(timeout=WAIT)


def test_a_store_says_what_it_is(make: MakeStore) -> None:
    assert make().text.partition("://")[0] in {"memory", "sqlite"}


numbers = st.integers(1, 6)
batches = st.builds(
    Batch,
    st.dictionaries(numbers, st.binary(max_size=3), max_size=4),
    st.dictionaries(numbers, st.binary(max_size=3), max_size=4),
    st.sets(numbers, max_size=3),
    st.dictionaries(st.sampled_from("ab"), st.none() | st.binary(max_size=3), max_size=2),
)


def apply(batch: Batch, heads: dict[int, bytes], bodies: dict[int, bytes], notes: dict[str, bytes]) -> None:
    heads.update(batch.heads)
    bodies.update(batch.bodies)
    for number in batch.erased:
        heads.pop(number, None)
        bodies.pop(number, None)
    for name, note in batch.notes.items():
        notes.pop(name, None)
        if note is not None:
            notes[name] = note


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(batches, max_size=8))
def test_a_store_does_what_dictionaries_do(make: MakeStore, written: list[Batch]) -> None:
    store = make()
    heads: dict[int, bytes] = {}
    bodies: dict[int, bytes] = {}
    notes: dict[str, bytes] = {}
    store.open("me").get(timeout=WAIT)
    for batch in written:
        apply(batch, heads, bodies, notes)
        store.write(batch)
    assert store.bodies([*range(1, 7)]).get(timeout=WAIT) == bodies
    opened = store.open("me").get(timeout=WAIT)
    assert opened.records == [Record(number, heads[number]) for number in sorted(heads)]
    assert opened.notes == notes
    store.close().get(timeout=WAIT)


def once_each(batch: Batch) -> Batch:
    """Make of a batch one that a core could give: what it erases is in nothing else."""
    kept = {number: head for number, head in batch.heads.items() if number not in batch.erased}
    bodies = {number: body for number, body in batch.bodies.items() if number not in batch.erased}
    return Batch(kept, bodies, batch.erased, batch.notes)


@given(st.lists(batches, min_size=2, max_size=5))
def test_merged_batches_do_what_they_do_one_after_the_other(written: list[Batch]) -> None:
    erased: set[int] = set()
    one_by_one: tuple[dict[int, bytes], dict[int, bytes], dict[str, bytes]] = ({}, {}, {})
    together: tuple[dict[int, bytes], dict[int, bytes], dict[str, bytes]] = ({}, {}, {})
    merged = Batch()
    for batch in written:
        batch.erased |= erased  # a number is never used again
        erased |= batch.erased
        possible = once_each(batch)
        apply(possible, *one_by_one)
        merged.merge(possible)
    apply(merged, *together)
    assert together == one_by_one
