"""Chains, groups and maps: what follows an ack is durable with it; cancel and budget go down the tree."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from agentbus.agents.budgets.wire import Grant, Spent
from agentbus.agents.queues.core.job import LeasedJob, NewJob, Value
from agentbus.agents.queues.core.turn import Turn
from agentbus.agents.queues.messages import Settlement
from agentbus.errors import QueueFullError
from tests.agents.queues.core.host import WAIT, Host, ids_of, job, plain, raw


class FlowHost(Host):
    """Reads what a turn asks for, as a host does."""

    def deliver(self, turn: Turn) -> None:
        super().deliver(turn)
        for flow, numbers in turn.gather.items():
            self.core.gathered(flow, self.store.bodies(list(numbers)).get(timeout=WAIT), self.now)
        if turn.gather:
            self.turn()

    def state(self, job_id: str) -> str:
        return self.core.job(job_id, self.now).state


def chain(flow_id: str, *steps: NewJob, **options: Any) -> NewJob:
    return NewJob(id=flow_id, flow="chain", steps=steps, **options)


def group(flow_id: str, *steps: NewJob, **options: Any) -> NewJob:
    return NewJob(id=flow_id, flow="group", steps=steps, **options)


def map_of(flow_id: str, window: int, *steps: NewJob, **options: Any) -> NewJob:
    return NewJob(id=flow_id, flow="map", window=window, steps=steps, **options)


def jobs(*ids: str) -> tuple[NewJob, ...]:
    return tuple(job(each) for each in ids)


def inputs_of(leased: LeasedJob) -> list[Any]:
    return [plain(each) for each in leased.inputs]


def ready_host(capacity: int = 100, **options: Any) -> FlowHost:
    host = FlowHost(**options)
    host.attach(capacity=capacity)
    return host


# -- chains --------------------------------------------------------------------------------------------------


def test_a_chain_passes_each_result_to_the_next_step_and_gives_the_last() -> None:
    host = ready_host()
    assert host.put(chain("c", *jobs("one", "two", "three"))) == ("c",)
    first = host.one()
    assert (first.id, first.inputs) == ("one", ())
    host.ack(first, 1)
    second = host.one()
    assert (second.id, inputs_of(second), second.inputs[0].type) == ("two", [1], "Result")
    host.ack(second, 2)
    third = host.one()
    assert inputs_of(third) == [2]
    assert host.state("c") == "waiting"
    host.ack(third, "end")
    assert host.value_of("c") == "end"
    assert host.core.job("one", host.now).parent == "c"


def test_the_next_step_is_durable_with_the_ack_or_not_at_all() -> None:
    """The process dies before the batch with the ack is written: the ack is lost, and so is what followed."""
    host = ready_host()
    host.put(chain("c", *jobs("one", "two")))
    first = host.one()
    host.core.settle([Settlement(first.token, "ack", value=Value(body=raw(1)))], host.now)
    host.core.take(host.now)  # never written
    host.restart()
    assert (host.state("one"), host.state("two")) == ("leased", "waiting")
    host.attach(capacity=100, holding=(first.token,))
    assert host.ack(first, 1)
    host.restart()
    host.attach(capacity=100, session="s")
    assert (host.state("one"), host.state("two")) == ("done", "leased")


def test_a_step_that_is_tried_again_gets_the_same_inputs_after_a_restart() -> None:
    host = ready_host()
    host.put(chain("c", *jobs("one", "two")))
    host.ack(host.one(), {"a": [1]})
    host.restart()
    host.attach(session="another")
    second = host.one()
    assert (second.attempt, inputs_of(second)) == (2, [{"a": [1]}])


# -- groups and maps -----------------------------------------------------------------------------------------


def test_a_group_runs_at_once_and_gives_the_values_in_the_order_of_its_steps() -> None:
    host = ready_host()
    host.put(group("g", *jobs("a", "b", "c")))
    leased = host.got()
    assert ids_of(leased) == ["a", "b", "c"]
    for each in reversed(leased):
        host.ack(each, each.id * 2)
    assert host.value_of("g") == ["aa", "bb", "cc"]
    assert list(host.ends()) == ["c", "b", "a", "g"]


def test_a_group_whose_values_were_not_read_before_a_crash_ends_after_it() -> None:
    host = ready_host()
    host.put(group("g", *jobs("a", "b")))
    first, second = host.got()
    host.ack(first, 1)
    host.core.settle([Settlement(second.token, "ack", value=Value(body=raw(2)))], host.now)
    turn = host.core.take(host.now)
    assert turn is not None
    host.store.write(turn.batch).get(timeout=WAIT)
    host.restart()
    host.turn()
    assert host.value_of("g") == [1, 2]


def test_a_map_has_so_many_steps_under_way_at_most() -> None:
    host = ready_host()
    ids = [str(n) for n in range(10)]
    host.put(map_of("m", 3, *jobs(*ids)))
    under_way = host.got()
    begun = ids_of(under_way)
    while under_way:
        assert len(under_way) <= 3
        host.ack(under_way.pop(0), "x")
        new = host.got()
        under_way += new
        begun += ids_of(new)
    assert begun == ids
    assert host.value_of("m") == ["x"] * 10


def test_flows_within_flows() -> None:
    """A chain of one job, a group of a job and a chain, and one job more; with a restart after every ack."""
    host = ready_host()
    inner = chain("inner", *jobs("c", "d"))
    host.put(chain("outer", job("a"), group("both", job("b"), inner), job("e")))
    seen: dict[str, Any] = {}
    for session in range(20):
        for leased in host.got()[:1]:
            seen[leased.id] = inputs_of(leased)
            host.ack(leased, leased.id.upper())
        host.restart()
        host.attach(capacity=100, session=str(session))
    assert seen == {"a": [], "b": ["A"], "c": ["A"], "d": ["C"], "e": [["B", "D"]]}
    assert host.value_of("outer") == "E"
    stats = host.core.stats(host.now)
    assert (stats.waiting, stats.queued, stats.leased, stats.done) == (0, 0, 0, 8)


@pytest.mark.parametrize(
    ("flow", "value"),
    [(chain("f"), None), (group("f"), []), (map_of("f", 2), [])],
    ids=lambda each: str(each)[:12],
)
def test_a_flow_without_steps_ends_at_once(flow: NewJob, value: object) -> None:
    host = ready_host()
    host.put(flow)
    assert host.value_of("f") == value


def test_values_that_are_too_large_together_fail_the_flow_and_each_is_there() -> None:
    host = ready_host(max_value_bytes=100)
    host.put(group("g", *jobs("a", "b")))
    for leased in host.got():
        host.ack(leased, "x" * 60)
    assert host.state("g") == "failed"
    assert host.value_of("a") == "x" * 60


def test_a_delay_of_a_flow_and_of_its_steps_add_up() -> None:
    host = ready_host()
    host.put(chain("c", job("a", delay=5.0), job("b", delay=7.0), delay=10.0))
    assert host.core.job("a", host.now).due_in == pytest.approx(15.0)
    host.pass_time(15.0)
    host.attach(capacity=100)
    host.ack(host.one())
    assert host.core.job("b", host.now).due_in == pytest.approx(7.0)


# -- ends ----------------------------------------------------------------------------------------------------


def test_a_step_that_is_dead_ends_its_flow_and_cancels_the_others() -> None:
    host = ready_host()
    host.put(chain("c", group("g", *jobs("a", "b")), job("z")))
    a, b = host.got()
    host.settle(Settlement(a.token, "reject"))
    states = {each: host.state(each) for each in ("a", "b", "g", "z", "c")}
    assert states == {"a": "rejected", "b": "cancelled", "g": "rejected", "z": "cancelled", "c": "rejected"}
    assert host.revoked == {"w": [b.token]}
    assert not host.ack(b)
    assert host.settle(Settlement(b.token, "cancel")) == ()
    assert sorted(host.ends()) == ["a", "b", "c", "g", "z"]


def test_cancelling_goes_down_the_tree() -> None:
    host = ready_host()
    host.put(chain("c", group("g", *jobs("a", "b")), job("z")), job("other"))
    leased = host.got()
    assert host.core.steer("cancel", ["c"], host.now) == 5
    host.turn()
    assert host.revoked == {"w": [each.token for each in reversed(leased[:2])]}
    assert set(host.ends().values()) == {"cancelled"}
    assert host.state("other") == "leased"
    assert host.core.steer("cancel", ["c"], host.now) == 0


def test_cancelling_a_step_ends_its_flow() -> None:
    host = ready_host()
    host.put(group("g", *jobs("a", "b")))
    assert host.core.steer("cancel", ["b"], host.now) == 3
    assert host.state("g") == "cancelled"


def test_a_dead_flow_is_tried_again_from_where_it_was() -> None:
    host = ready_host(max_attempts=1)
    host.put(chain("c", job("a"), group("g", *jobs("b", "d")), job("z")))
    host.ack(host.one(), "A")
    b, d = host.got()
    host.ack(d, "D")
    host.fail(b)
    assert host.state("c") == "failed"
    host.restart()
    host.attach(capacity=100)
    assert host.core.steer("retry", ["b"], host.now) == 1
    host.turn()
    again = host.one()
    assert (again.id, again.attempt, inputs_of(again)) == ("b", 1, ["A"])
    host.ack(again, "B")
    last = host.one()
    assert inputs_of(last) == [["B", "D"]]
    host.ack(last, "Z")
    assert host.value_of("c") == "Z"


def test_a_dead_map_that_is_tried_again_repeats_no_step_that_is_done() -> None:
    host = ready_host(max_attempts=1)
    host.put(map_of("m", 2, *jobs(*"abcdef")))
    a, b = host.got()
    host.ack(b, "B")
    c = host.one()
    host.ack(c, "C")
    d = host.one()
    host.fail(a)
    assert host.revoked == {"w": [d.token]}
    assert host.core.steer("retry", ["m"], host.now) == 1
    host.turn()
    assert host.work() == ["a", "d", "e", "f"]
    assert host.value_of("m") == [None, "B", "C", None, None, None]


def test_a_flow_is_forgotten_with_its_steps() -> None:
    host = ready_host(result_ttl=100.0)
    host.put(group("g", *jobs("a", "b")), job("long"))
    for leased in host.got()[:2]:
        host.ack(leased)
    host.pass_time(99.0)
    assert host.state("a") == "done"
    host.pass_time(2.0)
    host.restart()
    stats = host.core.stats(host.now)
    assert (stats.done, stats.leased + stats.queued) == (0, 1)


def test_a_flow_with_too_many_steps_or_levels_is_refused() -> None:
    host = ready_host(max_steps=3)
    with pytest.raises(QueueFullError, match="one flow"):
        host.core.put([group("g", *jobs("a", "b", "c"))], host.now)
    deep = job("x")
    for level in range(60):
        deep = chain(str(level), deep)
    with pytest.raises(QueueFullError, match="levels"):
        FlowHost().core.put([deep], 0.0)
    with pytest.raises(QueueFullError, match="jobs"):
        FlowHost(max_jobs=3).core.put([group("g", *jobs("a", "b", "c"))], 0.0)


def test_steps_whose_ids_are_taken_get_others() -> None:
    host = ready_host()
    host.put(job("a"), group("g", *jobs("a", "b", "b")))
    assert ids_of(host.got()) == ["a", "g/0", "b", "g/2"]


# -- jobs that an ack puts -----------------------------------------------------------------------------------


def test_jobs_that_an_ack_puts_are_there_if_it_counts_and_only_then() -> None:
    host = ready_host(max_jobs=1)
    host.put(job("a"))
    leased = host.one()
    assert host.ack(leased, jobs=jobs("b", "c"))  # they are not bound by what the queue may hold
    assert ids_of(host.got()) == ["b", "c"]
    assert host.ack(leased, jobs=jobs("d"))
    assert host.got() == []
    host.core.steer("cancel", ["b"], host.now)


def test_an_ack_that_puts_too_many_jobs_makes_a_dead_letter() -> None:
    host = ready_host(max_steps=2)
    host.put(job("a"))
    host.ack(host.one(), jobs=jobs("b", "c", "d"))
    assert host.state("a") == "rejected"
    failure = host.core.job("a", host.now).failure
    assert failure is not None
    assert failure.kind == "QueueFullError"


# -- budgets -------------------------------------------------------------------------------------------------


def budgets(leased: list[LeasedJob]) -> list[int | None]:
    return [None if each.budget is None else each.budget.tokens for each in leased]


def spend(host: Host, leased: LeasedJob, tokens: int, outcome: Any = "ack") -> None:
    host.settle(Settlement(leased.token, outcome, spent=Spent(tokens), retry_in=0.0))


def test_attempts_share_the_budget_of_their_job() -> None:
    host = ready_host()
    host.put(job("a", budget=Grant(tokens=100, money=Decimal("1.5"))))
    spend(host, host.one(), 30, "fail")
    second = host.one()
    assert second.budget == Grant(tokens=70, money=Decimal("1.5"))
    spend(host, second, 1000, "fail")
    assert budgets(host.got()) == [0]


def test_a_chain_gives_each_step_what_is_left() -> None:
    host = ready_host()
    host.put(chain("c", *jobs("a", "b"), budget=Grant(tokens=100)))
    first = host.one()
    assert budgets([first]) == [100]
    spend(host, first, 40)
    assert budgets(host.got()) == [60]


def test_a_group_divides_its_budget_and_a_step_has_its_own_limit_too() -> None:
    host = ready_host()
    host.put(group("g", *jobs("a", "b"), job("c", budget=Grant(tokens=5)), budget=Grant(tokens=100)))
    assert budgets(host.got()) == [33, 33, 5]


def test_what_a_step_did_not_spend_goes_to_those_that_begin_later() -> None:
    host = ready_host()
    host.put(map_of("m", 1, *jobs("a", "b"), budget=Grant(tokens=100)))
    first = host.one()
    assert budgets([first]) == [50]
    spend(host, first, 10)
    assert budgets(host.got()) == [90]


def test_a_budget_goes_down_through_flows_and_survives_restarts() -> None:
    host = ready_host()
    inner = group("g", *jobs("b", "c"))
    host.put(chain("c1", job("a"), inner, job("z"), budget=Grant(tokens=100)))
    spend(host, host.one(), 20)
    b, c = host.got()
    assert budgets([b, c]) == [40, 40]
    spend(host, b, 10)
    host.restart()
    host.attach(capacity=100, holding=(c.token,))
    spend(host, c, 10)
    host.turn()
    assert budgets(host.got()) == [60]


def test_what_a_lost_attempt_had_used_up_is_taken_from_its_job_and_its_flow() -> None:
    host = Host()
    host.attach(capacity=1)
    host.put(chain("c", *jobs("a", "b"), budget=Grant(tokens=100)))
    lost = host.one()
    spent = {lost.token: Spent(tokens=30), "1.unknown": Spent(tokens=1)}
    host.attach(capacity=1, holding=(lost.token,), spent=spent)
    host.core.worker_gone("w", None, host.now)
    host.turn()
    host.attach("other", session="t")
    again = host.one("other")
    assert budgets([again]) == [70]
    host.settle(Settlement(again.token, "ack", spent=Spent(tokens=10)))
    assert budgets(host.got("other")) == [60], "the next step has what both have left"


def test_what_was_used_up_counts_however_an_attempt_ends_and_once() -> None:
    host = Host()
    host.attach(capacity=2)
    host.put(job("a", budget=Grant(tokens=100)), job("b", budget=Grant(tokens=100)))
    a, b = host.got()
    spent = {a.token: Spent(tokens=30), b.token: Spent(tokens=30)}
    host.attach(capacity=2, holding=(a.token, b.token), spent=spent)
    host.settle(Settlement(a.token, "release"))
    host.settle(Settlement(b.token, "fail", retry_in=0.0, spent=Spent(tokens=40)))
    assert sorted(budgets(host.got()), key=str) == [60, 70]
