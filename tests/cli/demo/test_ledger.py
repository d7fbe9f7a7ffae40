from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from agentbus.cli.demo.digest import Account
from agentbus.cli.demo.ledger import Ledger, Task
from agentbus.cli.demo.rank import FileSummary
from agentbus.cli.demo.sources import Source


def sources(count: int) -> list[Source]:
    return [Source(f"{i}.md", "markdown") for i in range(count)]


def summary(task: Task) -> FileSummary:
    return FileSummary(task.source.path, "T", 1, (), ())


def taken(ledger: Ledger, worker: str = "w") -> Task:
    task = ledger.take(worker)
    assert task is not None
    return task


def balance(ledger: Ledger) -> Account:
    return ledger.account(workers_killed=0, connections_cut=0, seconds=0.0)


def test_every_file_goes_out_once_and_comes_back() -> None:
    ledger = Ledger(sources(3))
    tasks = [taken(ledger) for _ in range(3)]
    assert ledger.take("w") is None
    assert ledger.out_at("w") == 3
    for task in tasks:
        assert ledger.enter(task, summary(task), None)
    assert ledger.finished
    account = balance(ledger)
    assert (account.files_in, account.files_processed, account.handed_out) == (3, 3, 3)
    assert account.balanced


def test_a_file_of_a_worker_that_is_gone_goes_out_again_first() -> None:
    ledger = Ledger(sources(2))
    lost = taken(ledger, "dead")
    assert ledger.give_back(lost, "killed")
    again = taken(ledger, "alive")
    assert (again.file, again.attempt) == (lost.file, 2)
    assert (ledger.reassigned, ledger.out_at("dead"), ledger.out_at("alive")) == (1, 0, 1)


def test_a_second_answer_to_the_same_file_is_not_counted() -> None:
    ledger = Ledger(sources(1))
    first = taken(ledger)
    ledger.give_back(first, "seemed dead")
    second = taken(ledger)
    assert ledger.enter(first, summary(first), None)
    assert not ledger.enter(second, summary(second), None)
    assert not ledger.give_back(second, "late")
    account = balance(ledger)
    assert (account.files_processed, account.counted_twice, account.repeats_ignored) == (1, 0, 1)
    assert ledger.finished


def test_a_file_that_ends_its_workers_is_set_aside() -> None:
    ledger = Ledger(sources(1), attempts=2)
    assert ledger.give_back(taken(ledger), "killed")
    assert not ledger.give_back(taken(ledger), "killed")
    assert ledger.finished
    note = ledger.answers[0].note
    assert note is not None
    assert (note.path, note.problem) == ("0.md", "set aside after 2 attempts: killed")
    assert balance(ledger).set_aside == 1


def test_what_is_still_out_counts_as_lost() -> None:
    ledger = Ledger(sources(2))
    task = taken(ledger)
    ledger.enter(task, None, "empty")
    account = balance(ledger)
    assert (account.set_aside, account.lost, account.balanced) == (1, 1, False)


@given(st.integers(0, 12), st.integers(1, 4), st.randoms(use_true_random=False))
def test_whatever_happens_to_workers_the_books_balance(
    files: int, attempts: int, chance: random.Random
) -> None:
    ledger = Ledger(sources(files), attempts=attempts)
    held: list[Task] = []  # every task ever handed out: an old one may answer late
    while not ledger.finished:
        task = ledger.take(chance.choice("abc"))
        held += [task] if task else []
        old = chance.choice(held)
        event = chance.random()
        if event < 0.4:
            ledger.enter(
                old, summary(old) if chance.random() < 0.8 else None, None if event < 0.3 else "note"
            )
        elif event < 0.7:
            ledger.give_back(old, "killed")
    account = balance(ledger)
    assert account.balanced
    assert account.handed_out == len(held)
    assert account.handed_out <= files * attempts
    assert all(ledger.out_at(worker) == 0 for worker in "abc")
