"""A host of a queue core without a network: what others are told, and a clock that the test moves."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import count
from typing import Any

import msgspec

from agentbus.agents.failures import Failure
from agentbus.agents.queues.core.calendar import next_tick
from agentbus.agents.queues.core.job import JobEnd, JobState, JobStatus, LeasedJob, NewJob, Value
from agentbus.agents.queues.core.options import QueueOptions
from agentbus.agents.queues.core.queue import QueueCore
from agentbus.agents.queues.core.schedules import NextTick
from agentbus.agents.queues.core.turn import Turn
from agentbus.agents.queues.messages import Attach, Attached, Settlement
from agentbus.agents.queues.stores.store import QueueStore
from agentbus.agents.queues.stores.store_memory import MemoryQueueStore

WAIT = 10.0
EPOCH = 1_735_689_600.0  # 2025-01-01T00:00:00Z, a Wednesday


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def job(job_id: str, body: Any = None, **options: Any) -> NewJob:
    return NewJob(id=job_id, type="Task", body=raw(body), **options)


def plain(value: Value | None) -> Any:
    return None if value is None else msgspec.json.decode(value.body)


class Host:
    """Writes every turn at once, unless the test holds it back."""

    def __init__(
        self, store: QueueStore | None = None, *, next_tick: NextTick = next_tick, **options: Any
    ) -> None:
        self.store: QueueStore = store or MemoryQueueStore()
        self._next_tick = next_tick
        self.options = QueueOptions(**options)
        self.now = 1000.0
        self.wall = EPOCH
        self.connected = True
        self.leased: dict[str, list[LeasedJob]] = {}
        self.revoked: dict[str, list[str]] = {}
        self.ended: list[JobEnd] = []
        self.changed: list[JobStatus] = []
        self._tokens = count(1)
        self._random = random.Random(7)
        self.core = self._open()

    def _open(self) -> QueueCore:
        opened = self.store.open("test").get(timeout=WAIT)
        return QueueCore(
            "q",
            self.options,
            opened,
            random=self._random,
            new_token=lambda: f"{next(self._tokens):032x}",
            now=self.now,
            wall=self.wall,
            next_tick=self._next_tick,
        )

    # -- time ------------------------------------------------------------------------------------------------

    def pass_time(self, seconds: float, *, step: float | None = None) -> None:
        """Move both clocks on, with a tick and a turn every `step` seconds."""
        step = step or self.options.tick
        end = self.now + seconds
        while self.now < end - 1e-9:
            forward = min(step, end - self.now)
            self.now += forward
            self.wall += forward
            self.tick()

    def tick(self) -> None:
        self.core.tick(self.now, self.wall, connected=self.connected)
        self.turn()

    def turn(self) -> Turn | None:
        turn = self.core.take(self.now)
        if turn is not None:
            self.store.write(turn.batch).get(timeout=WAIT)
            self.deliver(turn)
        return turn

    def deliver(self, turn: Turn) -> None:
        bodies = self.store.bodies(turn.unread).get(timeout=WAIT)
        for (worker, _session), grants in turn.grants.items():
            self.leased.setdefault(worker, []).extend(grant.filled(bodies) for grant in grants)
        for (worker, _session), tokens in turn.revoked.items():
            self.revoked.setdefault(worker, []).extend(tokens)
        self.ended += turn.ended
        self.changed += turn.changed

    def restart(self, *, down: float = 0.0) -> None:
        """End without another write, and open the store again, with another monotonic clock."""
        self.wall += down
        self.now = self._random.uniform(0.0, 1e6)
        self.leased, self.revoked = {}, {}
        self.core = self._open()

    # -- commands --------------------------------------------------------------------------------------------

    def put(self, *jobs: NewJob) -> tuple[str, ...]:
        ids = self.core.put(jobs, self.now)
        self.turn()
        return ids

    def attach(self, worker: str = "w", capacity: int = 1, *, session: str = "s", **more: Any) -> Attached:
        attached = self.core.attach(Attach(worker, session, capacity, **more), self.now)
        self.turn()
        return attached

    def got(self, worker: str = "w") -> list[LeasedJob]:
        """Give what a worker was told since the last time."""
        return self.leased.pop(worker, [])

    def one(self, worker: str = "w") -> LeasedJob:
        (leased,) = self.got(worker)
        return leased

    def settle(self, *settlements: Settlement) -> tuple[str, ...]:
        refused = self.core.settle(settlements, self.now)
        self.turn()
        return refused

    def ack(self, leased: LeasedJob, value: Any = None, **more: Any) -> bool:
        """Ack a job; whether that counted."""
        given = Value("Result", 2, raw(value))
        return self.settle(Settlement(leased.token, "ack", value=given, **more)) == ()

    def fail(self, leased: LeasedJob, **more: Any) -> bool:
        failure = Failure("AgentFailed", "broke")
        settlement = Settlement(leased.token, "fail", failure=failure, traceback="line 1", **more)
        return self.settle(settlement) == ()

    def work(self, worker: str = "w") -> list[str]:
        """Ack everything that a worker gets until it gets nothing; gives the ids in their order."""
        ids: list[str] = []
        while leased := self.got(worker):
            ids += [each.id for each in leased]
            self.settle(*(Settlement(each.token, "ack") for each in leased))
        return ids

    # -- questions -------------------------------------------------------------------------------------------

    def end_of(self, job_id: str) -> JobEnd | None:
        ended = self.core.end_of(job_id)
        if ended is None:
            return None
        return ended.filled(self.store.bodies([ended.number]).get(timeout=WAIT) if ended.number else {})

    def value_of(self, job_id: str) -> Any:
        end = self.end_of(job_id)
        assert end is not None
        return plain(end.value)

    def ends(self) -> dict[str, JobState]:
        return {end.job_id: end.state for end in self.ended}


def ids_of(leased: Iterable[LeasedJob]) -> list[str]:
    return [each.id for each in leased]
