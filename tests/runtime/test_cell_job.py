from __future__ import annotations

from agentbus.runtime import CancelToken, Future
from agentbus.runtime.cell_job import job_of
from agentbus.runtime.envelope import Again, Ask


def test_a_told_message_is_a_job_without_an_asker() -> None:
    job = job_of("message")
    assert (job.message, job.future, job.attempts, job.over) == ("message", None, 0, False)
    job.reply("into the void")
    assert not job.fail(ValueError("nobody hears"))


def test_an_asked_message_is_answered_once() -> None:
    future: Future[str] = Future()
    job = job_of(Ask("message", future))
    job.reply("answer")
    assert not job.fail(ValueError("too late"))
    assert (future.get(), job.over) == ("answer", True)


def test_another_try_remembers_the_ones_before() -> None:
    ask = Ask("message", Future())
    job = job_of(Again(ask, 2))
    assert (job.item, job.message, job.attempts) == (ask, "message", 2)


def test_a_token_says_that_the_asker_has_gone() -> None:
    future: Future[None] = Future()
    token = CancelToken(future)
    heard: list[str] = []
    token.on_cancel(lambda: heard.append("before"))
    assert not token.cancelled
    future.cancel()
    token.on_cancel(lambda: heard.append("after"))
    assert (token.cancelled, heard) == (True, ["before", "after"])


def test_a_token_can_be_cancelled_by_the_cell() -> None:
    token = CancelToken()
    heard: list[str] = []
    token.on_cancel(lambda: heard.append("told"))
    token.cancel()
    token.cancel()
    assert (token.cancelled, heard) == (True, ["told"])
