"""The agents that handle a worker's jobs, as their puller uses them."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

import msgspec

from agentbus.agents.budgets.account import BudgetAccount
from agentbus.agents.budgets.wire import Spent, account_of
from agentbus.agents.delivery import Body, Delivery
from agentbus.agents.headers import Headers
from agentbus.agents.hosted import Hosted, LocalAgent, ReplicaGroup
from agentbus.agents.queues.attempt import Attempt, Desk, refusal_of
from agentbus.agents.queues.core.job import LeasedJob
from agentbus.agents.queues.messages import Settlement
from agentbus.errors import AgentRestarted, AgentStopped, ProcessExitedError
from agentbus.runtime import Future


class Replicas:
    """Hands jobs to agents of this node, past everybody's refs: a job belongs to one slot.

    Args:
        hosted: one agent that takes all jobs, or a group with one member for each slot.
        queue: name of the queue.
        sender: the puller's address.
        desk: told what becomes of attempts.
    """

    def __init__(self, hosted: Hosted, queue: str, sender: str, desk: Desk) -> None:
        self._members = list(hosted.members) if isinstance(hosted, ReplicaGroup) else [hosted]
        self._queue = queue
        self._sender = sender
        self._desk = desk
        self._asked: dict[str, tuple[Attempt, Future[Any]]] = {}
        self._accounts: dict[str, BudgetAccount] = {}

    def begin(self, job: LeasedJob, slot: int, now: float) -> None:
        """Have the job handled."""
        attempt = Attempt(job, self._queue, self._desk)
        agent = self._member(slot)
        limits = [limit for limit in (job.soft_timeout, job.hard_timeout) if limit is not None]
        deadline = now + min(limits) if limits else None
        budget = None if job.budget is None else account_of(job.budget, now)
        if budget is not None:
            self._accounts[job.token] = budget
        headers = Headers(self._sender, deadline, budget=budget)
        body = Body(job.type, job.version, job.body)
        future = agent.ask(Delivery(agent, body, headers, attempt=attempt))
        self._asked[job.token] = attempt, future
        future.quiet().add_done_callback(partial(self._answered, attempt))

    def _member(self, slot: int) -> LocalAgent:
        return self._members[slot % len(self._members)]

    def _answered(self, attempt: Attempt, future: Future[Any]) -> None:
        """Take the end of the ask; of a handler that was at work, its attempt has said more by now."""
        token = attempt.lease.token
        if not future.cancelled():
            self._desk.broke(token, _broken(attempt, future.exception()))
        if not attempt.begun:
            self._desk.ended(token, None)

    def stop(self, token: str) -> None:
        """Cancel the handler of a job."""
        asked = self._asked.get(token)
        if asked is not None:
            asked[1].cancel()

    def kill(self, token: str) -> None:
        """End the process in which a job is handled, if it has one."""
        asked = self._asked.get(token)
        if asked is not None and asked[0].kill is not None:
            asked[0].kill()

    def forget(self, token: str) -> None:
        """Let go of an attempt whose handler has ended."""
        self._asked.pop(token, None)
        self._accounts.pop(token, None)

    def spent(self) -> dict[str, Spent]:
        """Give what attempts have used up so far of their jobs' budgets, where that is anything, by token."""
        so_far = {token: account.spent for token, account in self._accounts.items()}
        told = {token: Spent(spent.tokens or 0, spent.money or Decimal(0)) for token, spent in so_far.items()}
        return {token: spent for token, spent in told.items() if spent != _NOTHING}

    def slots_of(self, address: str, slots: int) -> list[int]:
        """Give the slots of one replica, of so many."""
        return [slot for slot in range(slots) if self._member(slot).address == address]


_NOTHING = Spent()


def _broken(attempt: Attempt, error: BaseException | None) -> Settlement:
    """Make the settlement of an attempt of which its handler has said nothing.

    One that never began is handed back; one whose agent has ended under it is tried again at once.
    """
    token = attempt.lease.token
    gone = isinstance(error, AgentRestarted | AgentStopped | ProcessExitedError)
    if error is None or (gone and not attempt.begun):
        return Settlement(token, "release")
    settlement = refusal_of(token, error)
    return msgspec.structs.replace(settlement, retry_in=0.0) if gone else settlement
