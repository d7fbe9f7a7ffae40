"""The promise, against a model: nothing acked is lost, nothing lost is acked, and a job is acked once.

A machine of random commands, crashes (before a batch is written, and after it was written and before anybody
was told), failed writes, deaths of workers, cuts and pauses.
"""

from __future__ import annotations

import random
from itertools import count
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agentbus.agents.queues.core.job import Effect, LeasedJob, NewJob, Value
from agentbus.agents.queues.core.options import QueueOptions
from agentbus.agents.queues.core.queue import QueueCore
from agentbus.agents.queues.core.turn import Turn
from agentbus.agents.queues.messages import Attach, ListJobs, Settlement
from agentbus.agents.queues.stores.store import Batch
from agentbus.agents.queues.stores.store_memory import MemoryQueueStore
from agentbus.errors import LeaseLostError
from tests.agents.queues.core.host import EPOCH, job

WORKERS = ("one", "two")
OPTIONS = QueueOptions(max_attempts=3, retry_jitter=0.0, result_ttl=1e9, lease=60.0)
LIVE = {"queued", "delayed", "leased", "waiting"}
States = dict[str, tuple[str, int]]
pick = st.integers(0, 1000)
after = st.sampled_from(["told"] * 12 + ["later"] * 3 + ["write fails", "crash before", "crash after"])


def plain_step(name: str) -> NewJob:
    return job(name, name)


class Promise(RuleBasedStateMachine):
    """A queue, what its users have been told, and what must therefore be true."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryQueueStore()
        self.now, self.wall = 100.0, EPOCH
        self.names, self.tokens = count(), count()
        self.random = random.Random(5)
        self.failed: Batch | None = None
        self.unsent: list[Turn] = []
        self.told: list[tuple[str, LeasedJob]] = []  # worker and job, as workers were told
        self.put: set[str] = set()  # ids that were answered
        self.acked: dict[str, tuple[str, int]] = {}  # token and value of acks that were answered
        self.unanswered_puts: list[str] = []
        self.unanswered_acks: list[tuple[LeasedJob, int]] = []
        self.settled: set[tuple[str, str]] = set()  # tokens and outcomes that were answered
        self.unanswered_ends: list[tuple[str, str]] = []
        self.effects: set[tuple[str, str]] = set()
        self.unanswered_effects: list[tuple[str, str]] = []
        self.sessions: dict[str, int] = dict.fromkeys(WORKERS, 0)
        self.core = self.open()

    def open(self) -> QueueCore:
        return QueueCore(
            "q",
            OPTIONS,
            self.store.open("test").get(),
            random=self.random,
            new_token=lambda: f"{next(self.tokens):032x}",
            now=self.now,
            wall=self.wall,
        )

    # -- the host --------------------------------------------------------------------------------------------

    def write(self) -> list[Turn]:
        """Write what there is, and what could not be written before; gives the turns to tell."""
        turn = self.core.take(self.now)
        batch, turns = self.failed or Batch(), self.unsent
        if turn is not None:
            batch.merge(turn.batch)
            turns.append(turn)
        self.store.write(batch).get()
        self.failed, self.unsent = None, []
        return turns

    def end(self, how: str) -> None:
        """End the turn of a command."""
        if how == "told":
            self.finish()
            self.finish()  # for the flows whose values have just been read
            self.check_flows()
        elif how == "write fails":
            self.fail_to_write()
        elif how == "crash before":
            self.core.take(self.now)
            self.restart(0.0)
        elif how == "crash after":
            self.write()
            self.restart(0.0)

    def finish(self) -> None:
        for turn in self.write():
            self.tell(turn)
        self.answer()

    def tell(self, turn: Turn) -> None:
        bodies = self.store.bodies(turn.unread).get()
        for (worker, _), grants in turn.grants.items():
            for grant in grants:
                leased = grant.filled(bodies)
                assert msgspec.json.decode(leased.body) == leased.id
                assert {name for of, name in self.effects if of == leased.id} <= {
                    e.name for e in leased.effects
                }
                self.told.append((worker, leased))
        for flow, numbers in turn.gather.items():
            self.core.gathered(flow, self.store.bodies(list(numbers)).get(), self.now)

    def answer(self) -> None:
        self.put.update(self.unanswered_puts)
        for leased, value in self.unanswered_acks:
            before = self.acked.setdefault(leased.id, (leased.token, value))
            assert before[0] == leased.token, "two attempts at one job were acked"
        self.settled.update(self.unanswered_ends)
        self.effects.update(self.unanswered_effects)
        self.forget_unanswered()

    def forget_unanswered(self) -> None:
        self.unanswered_puts, self.unanswered_acks = [], []
        self.unanswered_ends, self.unanswered_effects = [], []

    def fail_to_write(self) -> None:
        turn = self.core.take(self.now)
        if turn is not None:
            self.failed = self.failed or Batch()
            self.failed.merge(turn.batch)
            self.unsent.append(turn)

    @rule(down=st.sampled_from([0.0, 100.0, 1e5, -3600.0]))
    def nobody_hosts_the_queue_for_a_time(self, down: float) -> None:
        self.restart(down)

    def restart(self, down: float) -> None:
        self.failed, self.unsent = None, []
        self.forget_unanswered()
        self.wall += down
        self.now = self.random.uniform(0.0, 1e6)
        self.core = self.open()

    # -- who puts jobs ---------------------------------------------------------------------------------------

    @rule(
        then=after,
        delay=st.sampled_from([0.0, 0.0, 30.0]),
        priority=st.integers(0, 1),
        tenant=st.sampled_from("ab"),
    )
    def put_a_job(self, delay: float, priority: int, tenant: str, then: str) -> None:
        name = f"job {next(self.names)}"
        new = job(name, name, delay=delay, priority=priority, tenant=tenant)
        self.unanswered_puts += self.core.put([new], self.now)
        self.end(then)

    @rule(
        then=after,
        kind=st.sampled_from(["chain", "group", "map"]),
        steps=st.integers(1, 3),
        nested=st.booleans(),
    )
    def put_a_flow(self, kind: Any, steps: int, nested: bool, then: str) -> None:
        name = f"flow {next(self.names)}"
        parts = [plain_step(f"{name} step {n}") for n in range(steps)]
        if nested:
            parts.append(NewJob(f"{name} inner", flow="group", steps=(plain_step(f"{name} inmost"),)))
        flow = NewJob(name, flow=kind, steps=tuple(parts), window=2)
        self.unanswered_puts += self.core.put([flow], self.now)
        self.end(then)

    @precondition(lambda self: self.put)
    @rule(which=pick)
    def put_one_again(self, which: int) -> None:
        name = sorted(self.put)[which % len(self.put)]
        assert self.core.put([job(name, "another body")], self.now) == (name,)

    # -- workers ---------------------------------------------------------------------------------------------

    def tokens_of(self, worker: str) -> tuple[str, ...]:
        return tuple(leased.token for name, leased in self.told if name == worker)

    @rule(
        then=after,
        worker=st.sampled_from(WORKERS),
        capacity=st.sampled_from([0, 1, 2, 3, 3]),
        renew=st.booleans(),
    )
    def attach(self, worker: str, capacity: int, renew: bool, then: str) -> None:
        holding = self.tokens_of(worker) if renew else ()
        self.core.attach(Attach(worker, str(self.sessions[worker]), capacity, holding), self.now)
        self.end(then)

    @rule(then=after, worker=st.sampled_from(WORKERS))
    def a_worker_begins_another_life(self, worker: str, then: str) -> None:
        self.sessions[worker] += 1
        self.attach(worker, 1, renew=False, then=then)

    @rule(then=after, worker=st.sampled_from(WORKERS))
    def a_worker_is_certainly_dead(self, worker: str, then: str) -> None:
        self.core.worker_gone(worker, str(self.sessions[worker]), self.now)
        self.end(then)

    @precondition(lambda self: self.told)
    @rule(
        then=after,
        which=pick,
        recent=st.booleans(),
        outcome=st.sampled_from(["ack", "ack", "fail", "reject", "release"]),
    )
    def settle(self, which: int, recent: bool, outcome: Any, then: str) -> None:
        choice = self.told[-3:] if recent else self.told
        _, leased = choice[which % len(choice)]
        value = which
        along = (plain_step(f"{leased.id}#along"),) if which % 5 == 0 else ()
        settlement = Settlement(
            leased.token, outcome, value=Value(body=msgspec.Raw(b"%d" % value)), jobs=along, retry_in=5.0
        )
        refused = self.core.settle([settlement], self.now)
        newest = [each.token for _, each in self.told if each.id == leased.id][-1]
        if not refused:
            again = (leased.token, outcome) in {*self.settled, *self.unanswered_ends}
            assert again or leased.token == newest, "an attempt was settled that was over"
            self.unanswered_ends.append((leased.token, outcome))
            if outcome == "ack":
                self.unanswered_acks.append((leased, value))
        self.end(then)

    @precondition(lambda self: self.told)
    @rule(then=after, which=pick, name=st.sampled_from("xy"))
    def record_an_effect(self, which: int, name: str, then: str) -> None:
        _, leased = self.told[which % len(self.told)]
        try:
            self.core.record_effect(leased.token, Effect(name, done=True), self.now)
        except LeaseLostError:
            return
        self.unanswered_effects.append((leased.id, name))
        self.end(then)

    # -- people and time -------------------------------------------------------------------------------------

    @precondition(lambda self: self.put)
    @rule(
        then=after,
        which=pick,
        action=st.sampled_from(["cancel", "retry", "retry", "pause", "resume", "resume"]),
    )
    def steer(self, which: int, action: str, then: str) -> None:
        self.core.steer(action, [sorted(self.put)[which % len(self.put)]], self.now)
        self.end(then)

    @rule(seconds=st.sampled_from([0.4, 1.0, 20.0, 61.0]), steady=st.booleans(), connected=st.booleans())
    def time_passes(self, seconds: float, steady: bool, connected: bool) -> None:
        steps = int(seconds) + 1 if steady else 1
        for _ in range(steps):
            self.now += seconds / steps
            self.wall += seconds / steps
            self.core.tick(self.now, self.wall, connected=connected)

    # -- what must be true -----------------------------------------------------------------------------------

    def states(self, core: QueueCore) -> States:
        found: States = {}
        for state in ("", "dead", "done", "cancelled"):
            after = ""
            while True:
                page = core.page(ListJobs(state, 500, after), self.now)
                found.update({each.id: (each.state, each.attempts) for each in page.jobs})
                after = page.after
                if not after:
                    break
        return found

    @initialize()
    def begin(self) -> None:
        for worker in WORKERS:
            self.attach(worker, 2, renew=False, then="told")

    @invariant()
    def nothing_acked_is_lost(self) -> None:
        for name, (_, value) in self.acked.items():
            ended = self.core.end_of(name)
            assert ended is not None, f"{name} was acked, and is not over"
            assert ended.end.state == "done"
            end = ended.filled(self.store.bodies([ended.number]).get())
            assert end.value is not None
            assert msgspec.json.decode(end.value.body) == value

    @invariant()
    def nothing_put_is_lost(self) -> None:
        for name in self.put:
            self.core.job(name, self.now)

    @invariant()
    def a_job_has_one_valid_token_at_most(self) -> None:
        tokens = {leased.token: leased.id for _, leased in self.told}
        probe = Attach("probe", "s", 0, tuple(tokens), tuple(tokens))
        attached = self.core.attach(probe, self.now)
        valid = [tokens[each] for each in tokens if each not in {*attached.lost, *attached.cancelled}]
        assert len(valid) == len(set(valid))
        assert not set(valid) & set(self.acked)

    @invariant()
    def numbers_add_up(self) -> None:
        stats, states = self.core.stats(self.now), self.states(self.core)
        found = [state for state, _ in states.values()]
        assert (stats.queued, stats.delayed) == (found.count("queued"), found.count("delayed"))
        assert (stats.leased, stats.waiting) == (found.count("leased"), found.count("waiting"))
        assert (stats.done, stats.dead) == (
            found.count("done"),
            found.count("failed") + found.count("rejected"),
        )

    @rule()
    def what_is_stored_is_what_there_is(self) -> None:
        self.finish()
        self.finish()  # for the flows whose values have just been read
        assert undelayed(self.states(self.open())) == undelayed(self.states(self.core))

    def check_flows(self) -> None:
        """A flow is done when all its steps are, and under way exactly while one of them is."""
        states = {name: state for name, (state, _) in self.states(self.core).items()}
        steps: dict[str, list[str]] = {}
        for name, state in states.items():
            parent = self.core.job(name, self.now).parent
            if parent is not None:
                steps.setdefault(parent, []).append(state)
        for flow, of in steps.items():
            assert (states[flow] == "done") == (set(of) == {"done"})
            assert (states[flow] == "waiting") == bool({*of} & LIVE)


def undelayed(states: States) -> States:
    return {
        name: ("queued" if state == "delayed" else state, tries) for name, (state, tries) in states.items()
    }


Promise.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestPromise = Promise.TestCase
