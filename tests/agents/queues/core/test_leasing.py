"""The way of a job: put, leased, acked; and what a lease is worth."""

from __future__ import annotations

import msgspec
import pytest

from agentbus.agents.queues.core.job import Effect
from agentbus.agents.queues.messages import Progress, Settlement
from agentbus.errors import BodyTooLargeError, NoSuchJobError, QueueFullError
from tests.agents.queues.core.host import Host, ids_of, job, plain


def test_a_job_is_put_leased_acked_and_its_result_is_known() -> None:
    host = Host()
    assert host.put(job("a", {"n": 1})) == ("a",)
    assert host.core.end_of("a") is None
    host.attach()
    leased = host.one()
    assert (leased.id, leased.type, leased.attempt, leased.key) == ("a", "Task", 1, "a")
    assert msgspec.json.decode(leased.body) == {"n": 1}
    assert host.ack(leased, "fine")
    end = host.end_of("a")
    assert end is not None
    assert end.value is not None
    assert (end.state, end.attempts, end.value.type, end.value.version) == ("done", 1, "Result", 2)
    assert plain(end.value) == "fine"
    assert host.ended == [end]


def test_a_job_that_is_put_again_is_one_job_also_when_it_is_over() -> None:
    host = Host()
    host.attach(capacity=5)
    assert host.put(job("a"), job("a"), job("b")) == ("a", "a", "b")
    assert host.work() == ["a", "b"]
    assert host.put(job("a")) == ("a",)
    assert host.work() == []


def test_a_worker_has_as_many_jobs_as_it_can_take() -> None:
    host = Host()
    host.attach(capacity=2)
    host.put(*(job(str(n)) for n in range(5)))
    first, second = host.got()
    host.ack(second)
    assert ids_of(host.got()) == ["2"]
    host.attach(capacity=1)
    host.ack(first)
    assert host.got() == []


def test_workers_with_free_credit_take_turns() -> None:
    host = Host()
    for name in "ab":
        host.attach(name, capacity=10)
    host.put(*(job(str(n)) for n in range(6)))
    assert [ids_of(host.got(name)) for name in "ab"] == [["0", "2", "4"], ["1", "3", "5"]]


def test_an_ack_counts_once_and_again_when_it_is_said_again() -> None:
    host = Host()
    host.attach()
    host.put(job("a"))
    leased = host.one()
    assert host.ack(leased, 1)
    assert host.ack(leased, 2)
    assert host.value_of("a") == 1
    assert host.settle(Settlement(leased.token, "fail")) == (leased.token,)
    assert len(host.ended) == 1


@pytest.mark.parametrize("token", ["", "1", "zz.9", "1.0", "ffff.1", "-1.1", "1" * 5000 + ".1"])
def test_an_ack_with_a_token_that_nobody_has_is_refused(token: str) -> None:
    host = Host()
    host.attach()
    host.put(job("a"))
    assert host.settle(Settlement(token, "ack")) == (token,)
    assert host.core.end_of("a") is None
    assert host.core.stats(host.now).refused == 1


def test_a_job_whose_lease_ends_is_redelivered_and_its_first_worker_can_not_ack() -> None:
    host = Host(lease=60.0)
    host.attach()
    host.put(job("a"))
    first = host.one()
    host.pass_time(59.4)
    assert host.revoked == {}
    host.pass_time(1.0)
    assert host.revoked == {"w": [first.token]}
    host.attach("other")
    second = host.one("other")
    assert (second.id, second.attempt, second.key) == ("a", 2, first.key)
    assert second.token != first.token
    assert not host.ack(first)
    assert host.ack(second)
    assert host.core.stats(host.now).redelivered == 1


def test_a_lease_is_renewed_for_as_long_as_its_worker_says_so() -> None:
    host = Host(lease=60.0)
    host.attach()
    host.put(job("a"))
    leased = host.one()
    for _ in range(360):  # two hours
        host.pass_time(20.0)
        assert host.attach(holding=(leased.token,)).lost == ()
    assert host.revoked == {}
    assert host.ack(leased)
    assert host.core.stats(host.now).redelivered == 0


def test_a_stalled_job_is_not_renewed() -> None:
    host = Host(lease=60.0)
    host.attach(capacity=2)
    host.put(job("a"), job("b"))
    stalled, running = host.got()
    tokens = (stalled.token, running.token)
    for _ in range(3):
        host.pass_time(20.0)
        host.attach(capacity=2, holding=tokens, stalled=(stalled.token,))
    assert host.attach(capacity=2, holding=tokens).lost == (stalled.token,)
    assert host.revoked == {"w": [stalled.token]}


def test_what_a_certainly_dead_worker_had_is_redelivered_at_once() -> None:
    host = Host()
    host.attach(capacity=2)
    host.put(job("a"), job("b"))
    first, _ = host.got()
    host.attach("other", capacity=5)
    host.core.worker_gone("w", "another life", host.now)
    host.turn()
    assert host.got("other") == []
    host.core.worker_gone("w", "s", host.now)
    host.turn()
    assert [(each.id, each.attempt) for each in host.got("other")] == [("a", 2), ("b", 2)]
    assert not host.ack(first)


def test_a_new_life_of_a_worker_ends_the_leases_of_the_last() -> None:
    host = Host()
    host.attach(session="one")
    host.put(job("a"))
    first = host.one()
    host.attach(session="two")
    assert host.one().attempt == 2
    assert not host.ack(first)


def test_a_worker_without_a_sign_for_a_lease_gets_no_more_jobs() -> None:
    host = Host(lease=60.0)
    host.attach(capacity=5)
    host.pass_time(61.0)
    host.put(job("a"))
    assert host.got() == []
    assert host.core.stats(host.now).workers == 0


def test_no_more_workers_attach_than_may() -> None:
    host = Host(max_workers=1)
    host.attach("a")
    host.attach("a", session="again")
    with pytest.raises(QueueFullError, match="workers"):
        host.attach("b")


def test_a_job_that_nobody_put_is_not_known() -> None:
    host = Host()
    with pytest.raises(NoSuchJobError):
        host.core.end_of("nothing")


def test_progress_is_taken_with_a_valid_token_only() -> None:
    host = Host()
    host.attach()
    host.put(job("a"))
    leased = host.one()
    host.attach(holding=(leased.token,), progress=(Progress(leased.token, 0.5, "half"), Progress("1.1", 1.0)))
    assert host.ack(leased)


# -- clocks -------------------------------------------------------------------------------------------------


def test_a_restart_gives_every_lease_a_full_duration_and_its_token_stays_valid() -> None:
    host = Host(lease=60.0)
    host.attach()
    host.put(job("a"))
    leased = host.one()
    host.pass_time(50.0)
    host.restart(down=3600.0)
    host.pass_time(59.0)
    assert host.attach(holding=(leased.token,)).lost == ()
    assert host.ack(leased, 1)
    host.restart()
    assert host.ack(leased, 1)
    assert host.value_of("a") == 1


def test_leases_that_a_restarted_queue_hears_nothing_of_end_a_duration_later() -> None:
    host = Host(lease=60.0)
    host.attach()
    host.put(job("a"))
    host.restart()
    host.attach("other")
    host.pass_time(59.0)
    assert host.got("other") == []
    host.attach("other")
    host.pass_time(2.0)
    assert host.one("other").attempt == 2


def test_no_lease_runs_out_while_the_queue_stood_still() -> None:
    host = Host(lease=60.0)
    host.attach()
    host.put(job("a"))
    leased = host.one()
    host.pass_time(50.0)
    host.pass_time(600.0, step=600.0)  # SIGSTOP, SIGCONT
    host.pass_time(59.0)
    assert host.ack(leased)


def test_no_lease_runs_out_while_workers_can_not_reach_the_queue() -> None:
    host = Host(lease=60.0)
    host.attach()
    host.put(job("a"))
    leased = host.one()
    host.pass_time(50.0)
    host.connected = False
    host.pass_time(600.0)
    host.connected = True
    host.pass_time(59.0)
    assert host.revoked == {}
    host.pass_time(2.0)
    assert host.revoked == {"w": [leased.token]}


def test_the_next_tick_is_due_while_there_are_leases() -> None:
    host = Host()
    assert host.core.next_due(host.now) > host.now + 10
    host.attach()
    host.put(job("a"))
    assert host.core.next_due(host.now) == host.now + host.options.tick


def test_what_a_host_leased_and_did_not_live_to_tell_is_taken_back_from_who_has_not_got_it() -> None:
    host = Host()
    host.attach(capacity=2)
    host.put(job("a"), job("b"))
    a, b = host.got()
    host.restart()
    host.attach(capacity=2, holding=(a.token,))
    (again,) = host.got()
    assert (again.id, again.attempt, again.token != b.token) == ("b", 1, True)
    assert host.ack(a)
    host.attach(capacity=2)
    assert host.core.job("b", host.now).state == "leased", "what this host has leased may be on its way"


# -- credit, reasons, sizes ----------------------------------------------------------------------------------


def test_a_silent_worker_that_has_a_job_gets_no_more_than_it_can_take_when_it_is_back() -> None:
    host = Host(lease=60.0)
    host.attach(capacity=1)
    host.pass_time(50.0)
    host.put(job("a"), job("b"))
    leased = host.one()
    host.pass_time(20.0)  # no sign for longer than a lease; that of the job has not ended
    host.attach(capacity=1, holding=(leased.token,))
    assert host.got() == [], "its one place is taken"
    host.ack(leased)
    assert host.one().id == "b"


def test_a_recorded_effect_is_a_sign_of_its_worker() -> None:
    host = Host(lease=60.0)
    host.attach(capacity=2)
    host.put(job("a"))
    leased = host.one()
    for number in range(4):
        host.pass_time(40.0)
        host.core.record_effect(leased.token, Effect(f"step {number}"), host.now)
    host.put(job("b"))
    assert host.one().id == "b", "who records effects is there"


def test_a_revoked_token_says_why() -> None:
    host = Host(lease=60.0)
    host.attach(capacity=2)
    host.put(job("a"), job("b"))
    first, second = host.got()
    host.core.steer("cancel", ["a"], host.now)
    turn = host.turn()
    assert turn is not None
    assert turn.cancelled == {first.token}
    host.core.worker_gone("w", None, host.now)
    turn = host.turn()
    assert turn is not None
    assert (turn.revoked, turn.cancelled) == ({("w", "s"): [second.token]}, set())


def test_a_job_that_no_worker_could_be_told_is_refused_and_takes_none_with_it() -> None:
    host = Host(max_job_bytes=1000)
    with pytest.raises(BodyTooLargeError) as caught:
        host.put(job("small"), job("large", "x" * 1000))
    assert caught.value.cap == 1000
    with pytest.raises(BodyTooLargeError):
        host.put(job("name", key="k" * 1000))
    with pytest.raises(BodyTooLargeError):
        host.put(job("flow", flow="group", steps=(job("s", "x" * 1000),)))
    host.attach()
    assert host.got() == []


def test_a_step_whose_inputs_are_too_large_is_a_dead_letter_with_its_reason_and_costs_no_attempt() -> None:
    host = Host(max_job_bytes=1000)
    host.attach(capacity=1)
    host.put(job("c", flow="chain", steps=(job("1", 1), job("2", 2))), job("next"))
    host.ack(host.one(), "x" * 1000)
    end = host.end_of("2")
    assert end is not None
    assert (end.state, end.attempts) == ("rejected", 0)
    assert end.failure is not None
    assert (end.failure.kind, end.failure.fields["cap"]) == ("BodyTooLargeError", 1000)
    assert host.ends()["c"] == "rejected"
    assert host.one().id == "next", "its worker has the next job"
