"""The contract of a store, held by every implementation; and what only a file does."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Callable, Generator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentbus.agents.failures import Failure
from agentbus.agents.lives.store import Answer, Commit, Store
from agentbus.agents.lives.store_memory import MemoryStore
from agentbus.agents.lives.store_sqlite import SqliteStore
from agentbus.errors import StoreError

WAIT = 10.0
MakeStore = Callable[[int], Store]


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[MakeStore]:
    made: list[Store] = []

    def make_one(journal_size: int) -> Store:
        path = tmp_path / f"{len(made)}.db"
        store: Store = (
            MemoryStore(journal_size=journal_size)
            if request.param == "memory"
            else SqliteStore(path, journal_size=journal_size)
        )
        made.append(store)
        return store

    yield make_one
    for store in made:
        store.close().get(timeout=WAIT)


def number(value: int) -> Answer:
    return Answer(body=msgspec.Raw(str(value).encode()))


def test_what_was_committed_is_there_and_of_one_agent_only(make: MakeStore) -> None:
    store = make(10)
    assert store.load("a").get(timeout=WAIT) is None
    store.commit(Commit("a", b"1", "k", number(5))).get(timeout=WAIT)
    store.commit(Commit("a", b"2")).get(timeout=WAIT)
    assert store.load("a").get(timeout=WAIT) == b"2"
    assert store.find("a", "k").get(timeout=WAIT) == number(5)
    assert store.load("b").get(timeout=WAIT) is None
    assert store.find("b", "k").get(timeout=WAIT) is None
    assert store.find("a", "other").get(timeout=WAIT) is None


def test_an_exception_is_an_answer_too(make: MakeStore) -> None:
    store = make(10)
    answer = Answer(failure=Failure("declared", "gone", origin="m:E", arguments=["gone"]))
    store.commit(Commit("a", b"1", "k", answer)).get(timeout=WAIT)
    assert store.find("a", "k").get(timeout=WAIT) == answer


def test_forgetting_drops_state_and_journal(make: MakeStore) -> None:
    store = make(10)
    for agent in ("a", "b"):
        store.commit(Commit(agent, b"1", "k", number(1))).get(timeout=WAIT)
    store.forget("a").get(timeout=WAIT)
    assert store.load("a").get(timeout=WAIT) is None
    assert store.find("a", "k").get(timeout=WAIT) is None
    assert store.find("b", "k").get(timeout=WAIT) == number(1)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5)), max_size=20))
def test_the_journal_remembers_the_latest_keys_of_each_agent(
    make: MakeStore, commits: list[tuple[str, int]]
) -> None:
    store, model = make(3), dict[str, dict[str, int]]()
    for turn, (agent, key) in enumerate(commits):
        store.commit(Commit(agent, str(turn).encode(), str(key), number(turn)))
        journal = model.setdefault(agent, {})
        journal.pop(str(key), None)
        journal[str(key)] = turn
        while len(journal) > 3:
            del journal[next(iter(journal))]
    for agent in "ab":
        for key in map(str, range(6)):
            turn_of = model.get(agent, {}).get(key)
            expected = None if turn_of is None else number(turn_of)
            assert store.find(agent, key).get(timeout=WAIT) == expected


def test_a_journal_that_could_hold_nothing_is_refused(make: MakeStore) -> None:
    with pytest.raises(ValueError, match="at least one"):
        make(0)


# -- files --------------------------------------------------------------------------------------------------


def test_another_process_opens_the_file_for_itself(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db", journal_size=7)
    store.commit(Commit("a", b"1", "k", number(3))).get(timeout=WAIT)
    again = pickle.loads(pickle.dumps(store))
    assert again.load("a").get(timeout=WAIT) == b"1"
    for each in (store, again):
        each.close().get(timeout=WAIT)


def test_it_writes_ahead_and_waits_for_the_disk(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    pragmas = store._do(  # pyright: ignore[reportPrivateUsage] -- how it writes is what is tested
        lambda file: [
            file.execute("PRAGMA journal_mode").fetchone()[0],
            file.execute("PRAGMA synchronous").fetchone()[0],
        ]
    )
    assert pragmas.get(timeout=WAIT) == ["wal", 2]
    store.close().get(timeout=WAIT)


def test_what_cannot_be_written_fails_typed_and_closing_still_ends(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "nowhere" / "s.db")
    with pytest.raises(StoreError, match="nowhere"):
        store.commit(Commit("a", b"1")).get(timeout=WAIT)
    store.close().get(timeout=WAIT)
    with pytest.raises(StoreError, match="closed"):
        store.load("a").get(timeout=WAIT)


def test_a_failed_batch_leaves_nothing_and_the_next_goes_on(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")

    def spoil(file: sqlite3.Connection) -> None:
        file.execute("INSERT INTO states VALUES ('a', 'half')")
        file.execute("no sql")

    with pytest.raises(StoreError, match="syntax"):
        store._do(spoil).get(timeout=WAIT)  # pyright: ignore[reportPrivateUsage] -- no public way to spoil it
    assert store.load("a").get(timeout=WAIT) is None
    store.close().get(timeout=WAIT)


def test_what_was_begun_before_the_close_is_finished(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    commits = [store.commit(Commit(f"agent-{index}", b"1")) for index in range(50)]
    store.close().get(timeout=WAIT)
    assert all(commit.done() and commit.exception() is None for commit in commits)
