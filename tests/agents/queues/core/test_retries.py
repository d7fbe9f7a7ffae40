"""What becomes of attempts that fail: later ones, dead letters, and what people do about those."""

from __future__ import annotations

import pytest

from agentbus.agents.queues.core.job import JobStatus
from agentbus.agents.queues.messages import ListJobs, Settlement
from tests.agents.queues.core.host import Host, ids_of, job


def dead(host: Host) -> list[str]:
    return [each.id for each in host.core.page(ListJobs("dead"), host.now).jobs]


def status(host: Host, job_id: str = "a") -> JobStatus:
    return host.core.job(job_id, host.now)


def test_a_failed_attempt_is_followed_by_another_after_a_delay_that_grows() -> None:
    host = Host(max_attempts=4, retry_delay=1.0, retry_multiplier=2.0, retry_jitter=0.0)
    host.attach(capacity=5)
    host.put(job("a"))
    for attempt, delay in ((1, 1.0), (2, 2.0), (3, 4.0)):
        leased = host.one()
        assert leased.attempt == attempt
        host.fail(leased)
        assert status(host).state == "delayed"
        assert status(host).due_in == pytest.approx(delay)
        host.pass_time(delay - 0.01, step=0.01)
        assert host.got() == []
        host.pass_time(0.02, step=0.01)
    assert host.one().attempt == 4


def test_jitter_moves_the_delay_by_its_part_at_most() -> None:
    host = Host(retry_delay=10.0, retry_jitter=0.2, max_attempts=2)
    host.attach(capacity=200)
    host.put(*(job(str(n)) for n in range(100)))
    for leased in host.got():
        host.fail(leased)
    delays = [status(host, str(n)).due_in for n in range(100)]
    assert 8.0 <= min(delays) < 9.0
    assert 11.0 < max(delays) <= 12.0


def test_a_handler_says_itself_when_to_try_again() -> None:
    host = Host()
    host.attach()
    host.put(job("a"))
    host.fail(host.one(), retry_in=0.0)
    host.fail(host.one(), retry_in=100.0)
    assert status(host).due_in == pytest.approx(100.0)


def test_the_last_attempt_makes_a_dead_letter_with_its_reason_and_traceback() -> None:
    host = Host()
    host.attach()
    host.put(job("a", max_attempts=2))
    host.fail(host.one(), retry_in=0.0)
    assert dead(host) == []
    assert status(host).failure is not None
    host.fail(host.one())
    assert dead(host) == ["a"]
    end = host.end_of("a")
    assert end is not None
    assert (end.state, end.attempts, end.failure and end.failure.text) == ("failed", 2, "broke")
    host.restart()
    assert (status(host).traceback, status(host).attempts, status(host).max_attempts) == ("line 1", 2, 2)
    assert dead(host) == ["a"]


def test_a_traceback_is_kept_by_its_end() -> None:
    host = Host()
    host.attach()
    host.put(job("a"))
    host.settle(Settlement(host.one().token, "reject", traceback="x" * 100_000 + "the end"))
    assert len(status(host).traceback) == 8000
    assert status(host).traceback.endswith("the end")


def test_a_rejected_job_is_dead_at_its_first_attempt() -> None:
    host = Host()
    host.attach()
    host.put(job("a"))
    host.settle(Settlement(host.one().token, "reject"))
    assert status(host).state == "rejected"
    assert dead(host) == ["a"]


def test_a_job_that_was_handed_back_is_as_if_it_had_not_begun() -> None:
    host = Host()
    host.attach()
    host.put(job("a", max_attempts=1))
    for _ in range(3):
        leased = host.one()
        assert leased.attempt == 1
        host.settle(Settlement(leased.token, "release"))
    assert host.ack(host.one())


def test_a_job_whose_workers_all_die_is_a_dead_letter_in_the_end() -> None:
    host = Host(max_attempts=3)
    host.put(job("a"))
    for session in "123":
        host.attach(session=session)
        assert host.one().attempt == int(session)
    host.core.worker_gone("w", "3", host.now)
    host.turn()
    assert dead(host) == ["a"]
    failure = status(host).failure
    assert failure is not None
    assert failure.kind == "LeaseLostError"


def test_a_job_that_is_tried_again_keeps_its_place() -> None:
    host = Host()
    host.put(*(job(each) for each in "abc"))
    host.attach()
    host.fail(host.one(), retry_in=0.0)
    assert host.one().id == "a"


def test_a_failure_that_is_said_again_counts_and_another_end_does_not() -> None:
    host = Host()
    host.attach()
    host.put(job("a"))
    leased = host.one()
    assert host.fail(leased, retry_in=5.0)
    assert host.fail(leased, retry_in=5.0)
    assert host.core.stats(host.now).failed == 1
    assert not host.ack(leased)


# -- dead letters --------------------------------------------------------------------------------------------


def with_dead_letters(*ids: str, max_dead: int = 100) -> Host:
    host = Host(max_attempts=1, max_dead=max_dead)
    host.attach(capacity=100)
    host.put(*(job(each) for each in ids))
    for leased in host.got():
        host.fail(leased)
    return host


def test_dead_letters_are_tried_again_by_id_or_all() -> None:
    host = with_dead_letters("a", "b", "c")
    assert host.core.steer("retry", ["nothing"], host.now) == 0
    assert host.core.steer("retry", ["b", "nothing"], host.now) == 1
    host.turn()
    leased = host.one()
    assert (leased.id, leased.attempt) == ("b", 1)
    host.ack(leased)
    assert host.core.steer("retry", [], host.now) == 2
    host.turn()
    assert sorted(ids_of(host.got())) == ["a", "c"]
    assert dead(host) == []


def test_no_more_dead_letters_are_kept_than_may_and_the_oldest_go_first() -> None:
    host = with_dead_letters(*"abcde", max_dead=3)
    host.tick()
    assert dead(host) == ["c", "d", "e"]
    host.restart()
    assert dead(host) == ["c", "d", "e"]


def test_dead_letters_are_dropped_by_id() -> None:
    host = with_dead_letters("a", "b")
    assert host.core.steer("drop", ["a"], host.now) == 1
    host.turn()
    host.restart()
    assert dead(host) == ["b"]
    assert host.core.stats(host.now).bytes == len(b"null")
