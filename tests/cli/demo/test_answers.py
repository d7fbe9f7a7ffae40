from __future__ import annotations

from agentbus.agents.queues.core.job import QueueStats
from agentbus.cli.demo.answers import Answers
from agentbus.cli.demo.digest import Account
from agentbus.cli.demo.rank import FileSummary
from agentbus.cli.demo.sources import Source

SOURCES = [Source("a.md", "markdown"), Source("b.md", "markdown")]


def account(answers: Answers, put: int = 2) -> Account:
    stats = QueueStats("documents", put=put, acked=2, redelivered=1)
    return answers.account(stats, workers_killed=1, connections_cut=0, seconds=1.0)


def summary(path: str) -> FileSummary:
    return FileSummary(path, "T", 1, (), ())


def test_every_file_once_balances() -> None:
    answers = Answers(SOURCES)
    answers.enter(1, summary("b.md"), None, 2)
    assert not answers.finished
    answers.enter(0, None, "empty", 1)
    assert answers.finished
    books = account(answers)
    assert books.balanced
    assert (books.digested, books.set_aside, books.handed_out, books.reassigned) == (1, 1, 3, 1)
    assert [answer.note.path for answer in answers.entered if answer.note] == ["a.md"]


def test_a_file_without_an_answer_is_lost_and_the_books_show_it() -> None:
    answers = Answers(SOURCES)
    answers.enter(0, summary("a.md"), None, 1)
    books = account(answers)
    assert (books.lost, books.balanced) == (1, False)


def test_a_second_answer_for_a_file_is_found_out() -> None:
    answers = Answers(SOURCES)
    for file in (0, 1, 1):
        answers.enter(file, summary("x"), None, 1)
    books = account(answers)
    assert (books.counted_twice, books.balanced) == (1, False)


def test_a_queue_that_holds_other_jobs_than_files_does_not_balance() -> None:
    answers = Answers(SOURCES)
    for file in (0, 1):
        answers.enter(file, summary("x"), None, 1)
    assert account(answers).balanced
    assert not account(answers, put=3).balanced
