"""Jobs in a child process: what their attempts say goes to the parent, who holds the leases."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from agentbus.agents.delivery import Body, Delivery
from agentbus.agents.failures import rebuild
from agentbus.agents.headers import Headers
from agentbus.agents.processes.frames import EffectKept, JobOver, JobProgress, KeepEffect, ToParent
from agentbus.agents.queues.attempt import Attempt, refusal_of
from agentbus.agents.queues.core.job import Effect, LeasedJob
from agentbus.agents.queues.messages import Settlement
from agentbus.runtime import Future, Loop

if TYPE_CHECKING:
    from agentbus.agents.hosted import LocalAgent


class Parent(Protocol):
    """The way to the parent."""

    @property
    def loop(self) -> Loop:
        """The agents' loop."""
        ...

    def post(self, frame: ToParent) -> None:
        """Say something; from any thread."""
        ...

    def post_if_room(self, frame: ToParent) -> None:
        """Say something that may be left out; from any thread."""
        ...

    def job_over(self, frame: JobOver) -> None:
        """Say how a job's handler has ended, and forget the job; from any thread."""
        ...


class GuestJobs:
    """The jobs that the parent has handed over.

    Args:
        parent: the way to it.
    """

    def __init__(self, parent: Parent) -> None:
        self.parent = parent
        self._serials = count(1)
        self._keeping: dict[int, Future[None]] = {}

    def begin(
        self, number: int, job: LeasedJob, queue: str, agent: LocalAgent, body: Body, headers: Headers
    ) -> tuple[Delivery, Future[Any]]:
        """Have the agent handle a job; the future is to be cancelled with it."""
        attempt = Attempt(job, queue, GuestDesk(self, number))
        delivery = Delivery(agent, body, headers, attempt=attempt)
        future = agent.ask(delivery)
        future.quiet().add_done_callback(partial(self._answered, number, attempt))
        return delivery, future

    def _answered(self, number: int, attempt: Attempt, future: Future[Any]) -> None:
        """Say what became of a job whose handler was never called."""
        if not attempt.begun:
            error = None if future.cancelled() else future.exception()
            token = attempt.lease.token
            self.parent.job_over(JobOver(number, None if error is None else refusal_of(token, error)))

    def keep(self, number: int, effect: Effect) -> Future[None]:
        """Have the parent keep an effect."""
        kept: Future[None] = Future()
        self.parent.loop.call_soon(self._ask_to_keep, number, effect, kept)
        return kept

    def _ask_to_keep(self, number: int, effect: Effect, kept: Future[None]) -> None:
        serial = next(self._serials)
        self._keeping[serial] = kept  # bounded: each handler waits for one at a time
        self.parent.post(KeepEffect(number, serial, effect))

    def kept(self, frame: EffectKept) -> None:
        """Take the parent's answer; on the agents' loop."""
        kept = self._keeping.pop(frame.serial, None)
        if kept is None:
            return
        if frame.failure is None:
            kept.try_set(None)
        else:
            kept.try_set_exception(rebuild(frame.failure))


class GuestDesk:
    """What one attempt says, by the number of its message; see `Desk`."""

    def __init__(self, jobs: GuestJobs, number: int) -> None:
        self._jobs = jobs
        self._number = number

    def progress(self, token: str, done: float | None, note: str) -> None:
        """The handling goes on."""
        del token
        self._jobs.parent.post_if_room(JobProgress(self._number, done, note))

    def record(self, token: str, job_id: str, effect: Effect) -> Future[None]:
        """Keep an effect."""
        del token, job_id
        return self._jobs.keep(self._number, effect)

    def ended(self, token: str, settlement: Settlement | None) -> None:
        """The handler has ended."""
        del token
        self._jobs.parent.job_over(JobOver(self._number, settlement))

    def broke(self, token: str, settlement: Settlement) -> None:
        """The agent has ended: this process is about to, and its parent sees that."""
