"""Which job is next: priorities, tenants, delays, rates; and how much is allowed."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.agents.queues.core.queue import QueueCore
from agentbus.agents.queues.core.ready import ReadyQueue
from agentbus.agents.queues.core.timers import Timers
from agentbus.agents.queues.messages import ListJobs, Settlement
from agentbus.errors import QueueFullError
from tests.agents.queues.core.host import WAIT, Host, job


def test_a_higher_priority_goes_first_and_equals_in_the_order_in_which_they_were_put() -> None:
    host = Host()
    host.put(job("low"), job("high 1", priority=5), job("high 2", priority=5), job("lowest", priority=-1))
    host.attach()
    assert host.work() == ["high 1", "high 2", "low", "lowest"]


def test_tenants_get_equal_shares_whatever_they_put() -> None:
    host = Host()
    host.put(*(job(f"big {n}", tenant="big") for n in range(1000)))
    host.put(*(job(f"small {n}", tenant="small") for n in range(100)))
    host.attach(capacity=7)
    served = host.work()
    begin = [each.split()[0] for each in served[:200]]
    assert 95 <= begin.count("small") <= 105
    assert [each for each in served if each.startswith("big")] == [f"big {n}" for n in range(1000)]


def test_two_tenants_at_ten_to_one_get_half_each_while_both_have_jobs() -> None:
    host, chance = Host(), random.Random(3)
    host.attach(capacity=4)
    served: list[str] = []
    number = 0
    for _ in range(300):
        tenants = ["big"] * 10 + ["small"]
        chance.shuffle(tenants)
        host.core.put((job(f"{each} {(number := number + 1)}", tenant=each) for each in tenants), host.now)
        host.turn()
        leased = host.got()[:2]
        served += [each.tenant for each in leased]
        for each in leased:
            host.ack(each)
    while_both = served[20:]
    assert abs(while_both.count("small") / len(while_both) - 0.5) <= 0.05


def test_a_delayed_job_begins_when_its_time_has_come() -> None:
    host = Host()
    host.attach(capacity=5)
    host.put(job("later", delay=10.0), job("now"))
    assert host.work() == ["now"]
    stats = host.core.stats(host.now)
    assert (stats.delayed, stats.queued) == (1, 0)
    host.pass_time(9.5)
    assert host.work() == []
    assert host.core.next_due(host.now) <= host.now + 0.5
    host.pass_time(0.5)
    assert host.work() == ["later"]


def test_time_without_a_host_counts_toward_a_delay() -> None:
    host = Host()
    host.put(job("a", delay=100.0))
    host.restart(down=99.0)
    host.attach()
    host.tick()
    assert host.got() == []
    host.pass_time(1.5)
    assert host.one().id == "a"


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_wall_clock_that_jumps_changes_no_delay(jump: float) -> None:
    host = Host()
    host.attach()
    host.put(job("a", delay=100.0))
    host.pass_time(50.0)
    host.wall += jump
    host.pass_time(49.0)
    assert host.got() == []
    host.attach()
    host.pass_time(1.5)
    assert host.one().id == "a"


@pytest.mark.parametrize("after", [0.0, 5.0])
def test_a_wall_clock_that_went_back_during_a_restart_holds_up_nothing(
    after: float,
) -> None:
    host = Host()
    host.put(job("first"))
    host.pass_time(after)
    host.put(job("second"))
    host.wall -= 3600
    host.restart()
    host.attach(capacity=2)
    assert [leased.id for leased in host.leased["w"]] == ["first", "second"]


def test_a_wall_clock_that_went_back_during_a_restart_adds_to_no_delay_that_was_seen_to_pass() -> None:
    host = Host()
    host.put(job("a", delay=100.0))
    host.pass_time(60.0)
    host.put(job("b"))  # what is written anyway carries the clock
    host.restart(down=-7200.0)
    host.pass_time(38.0)
    assert host.core.stats(host.now).delayed == 1
    host.pass_time(3.0)
    assert host.core.stats(host.now).delayed == 0


def test_a_delayed_job_can_be_started_now() -> None:
    host = Host()
    host.attach()
    host.put(job("a", delay=100.0))
    assert host.core.steer("retry", ["a"], host.now) == 1
    host.turn()
    assert host.one().id == "a"


# -- limits --------------------------------------------------------------------------------------------------


def test_jobs_that_are_too_many_are_refused_together() -> None:
    host = Host(max_jobs=3)
    host.put(job("a"), job("b"))
    with pytest.raises(QueueFullError) as full:
        host.core.put([job("c"), job("d")], host.now)
    assert (full.value.what, full.value.cap) == ("jobs", 3)
    assert host.put(job("a"), job("b"), job("c")) == ("a", "b", "c")
    host.attach()
    host.ack(host.one())
    assert host.put(job("d")) == ("d",)


def test_bodies_that_are_too_large_together_are_refused() -> None:
    host = Host(max_bytes=100)
    host.put(job("a", "x" * 60))
    with pytest.raises(QueueFullError, match="bytes"):
        host.core.put([job("b", "x" * 60)], host.now)
    host.attach()
    host.ack(host.one())
    host.put(job("b", "x" * 60))


def test_unique_holds_while_a_job_is_not_over() -> None:
    host = Host()
    host.attach()
    assert host.put(job("a", unique="u"), job("b", unique="u")) == ("a", "a")
    leased = host.one()
    assert host.put(job("c", unique="u")) == ("a",)
    host.restart()
    assert host.put(job("c", unique="u")) == ("a",)
    host.ack(leased)
    assert host.put(job("c", unique="u"), job("d", unique="other")) == ("c", "d")


def test_a_rate_holds_over_any_time_and_allows_a_burst() -> None:
    host = Host(rate=10, rate_period=1.0)
    host.attach(capacity=1000)
    host.put(*(job(str(n)) for n in range(100)))
    assert len(host.got()) == 10
    assert host.core.next_due(host.now) == pytest.approx(host.now + 0.1)
    host.pass_time(0.5, step=0.1)
    assert len(host.got()) == 5
    host.pass_time(3.0, step=0.1)
    assert len(host.got()) == 30


def test_no_more_jobs_are_leased_at_a_time_than_may() -> None:
    host = Host(concurrency=3)
    for name in "ab":
        host.attach(name, capacity=10)
    host.put(*(job(str(n)) for n in range(10)))
    first = [*host.got("a"), *host.got("b")]
    assert len(first) == 3
    host.ack(first[0])
    assert len([*host.got("a"), *host.got("b")]) == 1


def test_a_paused_queue_takes_jobs_and_gives_none_also_after_a_restart() -> None:
    host = Host()
    host.core.steer("pause", [], host.now)
    host.put(job("a"))
    host.restart()
    host.attach()
    assert host.got() == []
    assert host.core.stats(host.now).paused
    assert host.core.steer("resume", [], host.now) == 1
    host.turn()
    assert host.one().id == "a"
    host.restart()
    assert not host.core.stats(host.now).paused


def test_results_are_forgotten_after_a_time_and_when_they_are_too_many() -> None:
    host = Host(result_ttl=100.0, max_results=3)
    host.attach(capacity=10)
    host.put(*(job(str(n)) for n in range(5)))
    host.work()
    host.tick()
    assert [each.id for each in host.core.page(ListJobs("done"), host.now).jobs] == ["2", "3", "4"]
    host.pass_time(99.0)
    assert host.core.stats(host.now).done == 3
    host.pass_time(1.5)
    assert host.core.stats(host.now).done == 0
    assert host.core.stats(host.now).bytes == 0
    host.restart()
    assert host.core.stats(host.now).done == 0


# -- structures ----------------------------------------------------------------------------------------------

operations = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(0, 2), st.sampled_from("abc")),
        st.tuples(st.just("pop"), st.just(0), st.just("")),
        st.tuples(st.just("remove"), st.integers(0, 30), st.just("")),
        st.tuples(st.just("back"), st.integers(0, 30), st.just("")),
    ),
    max_size=60,
)


class ReadyModel:
    """Says by looking at everything what may come next."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[int, str]] = {}
        self.inside: set[int] = set()

    def may_be_next(self, number: int | None) -> bool:
        if number is None:
            return not self.inside
        priority, tenant = self.known[number]
        peers = [each for each in self.inside if self.known[each] == (priority, tenant)]
        return priority == max(self.known[each][0] for each in self.inside) and number == min(peers)


@given(operations)
def test_the_ready_queue_gives_the_first_of_some_tenant_of_the_highest_priority(
    steps: list[tuple[str, int, str]],
) -> None:
    ready, model = ReadyQueue(), ReadyModel()
    for action, value, tenant in steps:
        if action == "push":
            number = len(model.known)
            model.known[number] = (value, tenant)
            model.inside.add(number)
            ready.push(number, value, tenant)
        elif action == "pop":
            popped = ready.pop()
            assert model.may_be_next(popped)
            model.inside.discard(-1 if popped is None else popped)
        elif action == "remove" and value in model.inside:
            model.inside.discard(value)
            ready.remove(value)
        elif action == "back" and value in model.known and value not in model.inside:
            model.inside.add(value)
            ready.push(value, *model.known[value])
        assert len(ready) == len(model.inside)
        assert ready.oldest() == min(model.inside, default=None)


def test_removed_numbers_do_not_pile_up() -> None:
    ready, timers = ReadyQueue(), Timers()
    for number in range(20_000):
        ready.push(number, number % 3, str(number % 7))
        ready.remove(number)
        timers.push(number, 1e9)
        timers.remove(number)
    assert (len(ready), ready.pop(), timers.next_due()) == (0, None, None)
    kept = ready._gone, timers._heap  # pyright: ignore[reportPrivateUsage] -- that they stay small is the point
    assert all(len(each) < 2000 for each in kept)


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 10)), max_size=30), st.floats(0, 10))
def test_timers_give_what_is_due_by_its_latest_word(pushed: list[tuple[int, float]], now: float) -> None:
    timers, due = Timers(), dict[int, float]()
    for number, time in pushed:
        timers.push(number, time)
        due[number] = time
    assert timers.next_due() == min(due.values(), default=None)
    popped: list[int] = []
    while (number := timers.pop(now)) is not None:
        popped.append(number)
    assert [due[each] for each in popped] == sorted(time for time in due.values() if time <= now)
    assert len(timers) == len(due) - len(popped)


def test_a_queue_that_may_begin_nothing_does_not_look_at_the_clock_all_the_time() -> None:
    host = Host(rate=10, concurrency=1)
    host.attach(capacity=5)
    host.put(job("a"), job("b"))
    assert host.core.next_due(host.now) == pytest.approx(host.now + host.options.tick)
    host.core.steer("pause", (), host.now)
    host.ack(host.one())
    assert host.core.next_due(host.now) == pytest.approx(host.now + host.options.tick)


def test_a_restart_allows_no_fresh_burst() -> None:
    host = Host(rate=10, rate_period=10.0)
    host.attach(capacity=100)
    host.put(*(job(str(number)) for number in range(100)))
    assert len(host.got()) == 10
    for _ in range(3):
        host.restart()
        host.attach(capacity=100)
        assert host.got() == []
    host.restart(down=5.0)
    host.attach(capacity=100)
    assert len(host.got()) == 5, "time in which nobody hosts the queue counts"
    host.restart(down=1000.0)
    host.attach(capacity=100)
    assert len(host.got()) == 10


def test_a_queue_is_taken_over_in_slices() -> None:
    host = Host(max_attempts=1)
    host.attach(capacity=2000)
    host.put(*(job(str(number)) for number in range(3000)))
    leased = host.got()
    host.settle(*(Settlement(each.token, "ack") for each in leased[:1500]))
    host.put(job("flow", flow="group", steps=(job("1"), job("2"))))
    core = QueueCore(
        "q",
        host.options,
        host.store.open("test").get(timeout=WAIT),
        random=random.Random(1),
        new_token=lambda: "token",
        now=host.now,
        wall=host.wall,
        at_once=False,
    )
    slices = 0
    for _ in core.restoring:
        slices += 1
    assert slices >= 4
    assert core.stats(host.now) == msgspec.structs.replace(
        host.core.stats(host.now), epoch=2, workers=1, put=0, acked=0
    )
