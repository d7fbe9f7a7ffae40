"""`Queue`: a queue as programs use it, wherever it is hosted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from agentbus.agents.budgets.budget import Budget
from agentbus.agents.message import Message, Request
from agentbus.agents.queues.calls import QueueCalls
from agentbus.agents.queues.core.calendar import MIN_EVERY
from agentbus.agents.queues.core.job import LISTED, JobStatus, QueueStats
from agentbus.agents.queues.job_ref import JobRef, mapped
from agentbus.agents.queues.messages import (
    DropSchedule,
    GetStats,
    JobPage,
    ListJobs,
    ListSchedules,
    PutSchedule,
    Results,
    Schedule,
    ScheduleStatus,
    Steer,
    Tail,
)
from agentbus.agents.queues.new_jobs import Flow, Job, JobOptions, RawJob, Step, granted, new_job
from agentbus.agents.queues.putting import PutLine
from agentbus.agents.queues.results import QueueStream, ResultStream, result_of
from agentbus.agents.scope import current_scope
from agentbus.errors import BudgetExhausted, NoSuchJobStateError, ScheduleError
from agentbus.runtime import Future

if TYPE_CHECKING:
    from agentbus.agents.bus_queues import BusQueues
    from agentbus.agents.queues.hosting import Hosting

Reply = TypeVar("Reply")

Misfire = Literal["skip", "once"]

_NOTHING_TO_WAIT_FOR: Future[None] = Future.completed(None)

MAX_PAGE = 500
"""Jobs that one answer lists."""


class Queue:
    """A queue. All methods are safe from any thread, in asyncio, and in handlers of agents.

    Every call finds the queue's host in the directory, waits while there is none, and is sent again where a
    host was lost before it answered, to the same host after its restart or to its successor: jobs have ids,
    so none is put twice for that. It gives up when its `timeout` is over, or the deadline of the handler
    that makes it.

    Attributes:
        name: the queue's.
        ready: done once this bus hosts the queue, if `bus.queue` was given a store; done at once if not. It
            fails with `QueueTakenError` where another node hosts it, and with `StoreError`.
    """

    def __init__(self, bus: BusQueues, name: str, hosting: Hosting | None = None) -> None:
        self.name = name
        self.ready: Future[None] = _NOTHING_TO_WAIT_FOR if hosting is None else hosting.ready
        self._bus = bus
        self._hosting = hosting
        self._calls = QueueCalls(bus, name, None if hosting is None else hosting.ready)
        self._line = PutLine(self._calls, bus.runtime.agents, name)

    def __repr__(self) -> str:
        return f"<Queue {self.name}>"

    # -- jobs in ---------------------------------------------------------------------------------------------

    @overload
    def put(self, what: Request[Reply], **options: Any) -> Future[JobRef[Reply]]: ...
    @overload
    def put(self, what: Message | Flow | Job | RawJob, **options: Any) -> Future[JobRef[Any]]: ...
    def put(
        self,
        what: Step,
        *,
        timeout: float | None = None,
        budget: Budget | None = None,
        **options: Any,
    ) -> Future[JobRef[Any]]:
        """Put a job, or a flow: see `chain`, `group` and `map_jobs`.

        Once it has left, it is put, also if the handler that puts it is cancelled meanwhile.

        Args:
            what: the message that a worker is to handle.
            timeout: seconds to wait for the queue; the job may be put all the same then.
            budget: what the job may use up, all attempts together; it is taken out of that of the handler
                that puts it, for good.
            options: `priority`: higher goes first; `delay`: seconds until it may start; `unique`: while a job
                with this text is not over, it is that job; `key`: names its effects, by default its id;
                `tenant`: whose share of the service it takes; `max_attempts`: before it is a dead letter, by
                default the queue's; `soft_timeout` and `hard_timeout`: seconds of an attempt after which its
                handler is cancelled, and after which it is over.

        Returns:
            The future of the job's ref, once it is durable. It fails with `QueueFullError`, `StoreError`,
            `BodyTooLargeError`, `AskTimeoutError`, `BudgetExhausted`, `BusClosedError`, and as `ready` does.

        Raises:
            TypeError: that can be no job, or there is no such option.
            ValueError: an option makes no sense.
        """
        put = self._put((what,), JobOptions(**options), budget, timeout)
        return mapped(put, lambda refs: refs[0], cancellable_by_waiter=False)

    def put_many(
        self,
        whats: Iterable[Step],
        *,
        timeout: float | None = None,
        **options: Any,
    ) -> Future[list[JobRef[Any]]]:
        """Put jobs, all or none; see `put`. `delay` and the other options hold for each.

        Args:
            whats: messages and flows; `job(message, …)` gives one options of its own.
            timeout: see `put`.
            options: see `put`.

        Returns:
            The future of their refs, in order; it fails as that of `put` does.
        """
        return self._put(tuple(whats), JobOptions(**options), None, timeout)

    def _put(
        self, whats: Sequence[Step], options: JobOptions, budget: Budget | None, timeout: float | None
    ) -> Future[list[JobRef[Any]]]:
        scope = current_scope.get()
        new_id = self._bus.runtime.new_id
        try:
            grant = granted(budget, scope, self._bus.now())
        except BudgetExhausted as error:
            return Future.failed(error)
        jobs = [new_job(what, options, new_id, grant) for what in whats]
        put = self._line.put(jobs)
        deadline = self._calls.deadline(timeout, scope)
        if deadline is not None:
            self._bus.fail_at(put, deadline, self._calls.late)

        def refs(ids: tuple[str, ...]) -> list[JobRef[Any]]:
            return [self._ref(what, each) for what, each in zip(whats, ids, strict=True)]

        return mapped(put, refs, cancellable_by_waiter=False)

    def _ref(self, what: Step, job_id: str) -> JobRef[Any]:
        message = what.message if isinstance(what, Job) else what
        return JobRef(self._calls, self.name, job_id, type(message) if isinstance(message, Message) else None)

    def job(self, job_id: str, message: type[Message] | None = None) -> JobRef[Any]:
        """Give the ref of a job by its id.

        Args:
            job_id: `JobRef.id`.
            message: the class of its message, if it says what the job gives.
        """
        return JobRef(self._calls, self.name, job_id, message)

    # -- results ---------------------------------------------------------------------------------------------

    def results(self) -> ResultStream:
        """Stream the ends of jobs from now on, whoever has put them; for `for` and `async for`.

        It outlasts the host: its successor goes on with the first end that the reader has not got. A reader
        that falls too far behind, or lacks ends that are not kept any more, gets a `ResultsLostError`.
        """
        name = self.name
        return ResultStream(self._calls, Results(), lambda end: result_of(name, end))

    def tail(self) -> QueueStream[Any, JobStatus]:
        """Stream what becomes of jobs from now on, for people."""
        return QueueStream(self._calls, Tail(), lambda status: status)

    # -- seeing and steering ---------------------------------------------------------------------------------

    def stats(self, *, timeout: float | None = None) -> Future[QueueStats]:
        """Give the future of the queue in numbers."""
        return self._calls.ask(GetStats(), timeout)

    def jobs(
        self, state: str = "", *, limit: int = 50, after: str = "", timeout: float | None = None
    ) -> Future[JobPage]:
        """Give the future of a page of jobs.

        Args:
            state: only those in it: "queued", "delayed", "leased", "waiting" (a flow whose steps are under
                way), "done", "failed", "rejected" or "cancelled"; "dead" for dead letters, which have failed
                or were rejected; empty for all that are not over. Those that were put first come first.
            limit: jobs at most, up to 500.
            after: `JobPage.after` of the page before.
            timeout: seconds to wait.

        Returns:
            The future of the page: iterating it gives `JobStatus`es, `len` counts them, and `after` begins
            the next page; it is empty after the last.

        Raises:
            NoSuchJobStateError: no job is ever in that state; it lists those that there are.
        """
        if state and state not in LISTED:
            raise NoSuchJobStateError(self.name, state, LISTED)
        return self._calls.ask(ListJobs(state, limit, after), timeout)

    def dead_letters(self, *, limit: int = MAX_PAGE, timeout: float | None = None) -> Future[list[JobStatus]]:
        """Give the future of the jobs that have failed for good, with reasons and tracebacks.

        Args:
            limit: jobs at most, up to 500; `jobs("dead", …)` gives further pages.
            timeout: seconds to wait.
        """
        return mapped(self.jobs("dead", limit=limit, timeout=timeout), lambda page: list(page.jobs))

    def pause(self, *, timeout: float | None = None) -> Future[int]:
        """Have no more jobs begin, until `resume`; those that run go on. Restarts of the host keep it."""
        return self._calls.ask(Steer("pause"), timeout)

    def resume(self, *, timeout: float | None = None) -> Future[int]:
        """Have jobs begin again."""
        return self._calls.ask(Steer("resume"), timeout)

    def cancel(self, job_ids: Iterable[str], *, timeout: float | None = None) -> Future[int]:
        """Cancel jobs, queued or running, with their steps.

        Args:
            job_ids: which.
            timeout: seconds to wait.

        Returns:
            The future of how many were not over; each step of a flow counts, too.
        """
        return self._calls.ask(Steer("cancel", tuple(job_ids)), timeout)

    def retry(self, job_ids: Iterable[str] | None = None, *, timeout: float | None = None) -> Future[int]:
        """Put dead letters back, with all attempts before them, and have delayed jobs start now.

        Args:
            job_ids: which; None for all dead letters.
            timeout: seconds to wait.

        Returns:
            The future of how many that were; a flow is one, whichever of its steps has failed. What is done
            of it stays done.
        """
        return self._steer_some("retry", job_ids, timeout)

    def drop(self, job_ids: Iterable[str] | None = None, *, timeout: float | None = None) -> Future[int]:
        """Forget jobs that are over, or have not begun.

        Args:
            job_ids: which; None for all of them.
            timeout: seconds to wait.

        Returns:
            The future of how many that were. A flow goes as a whole, by its own id, and each of its steps
            counts, too.
        """
        return self._steer_some("drop", job_ids, timeout)

    def _steer_some(
        self, action: Literal["retry", "drop"], job_ids: Iterable[str] | None, timeout: float | None
    ) -> Future[int]:
        """Steer those jobs; an empty list is none of them, and never all."""
        chosen = None if job_ids is None else tuple(job_ids)
        if chosen == ():
            return Future.completed(0)
        return self._calls.ask(Steer(action, chosen or ()), timeout)

    # -- schedules -------------------------------------------------------------------------------------------

    def schedules(self, *, timeout: float | None = None) -> Future[list[ScheduleStatus]]:
        """Give the future of the schedules that the queue keeps; see `Bus.schedule`."""
        return self._calls.ask(ListSchedules(), timeout)

    def drop_schedule(self, name: str, *, timeout: float | None = None) -> Future[bool]:
        """Forget a schedule; gives the future of whether it was there."""
        return self._calls.ask(DropSchedule(name), timeout)

    def schedule(
        self,
        message: Message,
        *,
        name: str,
        cron: str = "",
        every: float | None = None,
        timezone: str = "UTC",
        misfire: Misfire = "skip",
        timeout: float | None = None,
        **options: Any,
    ) -> Future[ScheduleStatus]:
        """Have a job put again and again; see `Bus.schedule`."""
        if bool(cron) == (every is not None):
            raise ScheduleError(self.name, name, "give it cron= or every=, one of the two")
        if every is not None and not every >= MIN_EVERY:
            raise ScheduleError(self.name, name, f"every= is {MIN_EVERY} seconds or more, not {every!r}")
        job = new_job(message, JobOptions(**options), str)
        schedule = Schedule(name, job, cron, every or 0.0, timezone, misfire)
        return self._calls.ask(PutSchedule(schedule), timeout)

    # -- the host --------------------------------------------------------------------------------------------

    @property
    def ended(self) -> Future[None]:
        """The future of the end of this bus's hosting; it never comes where another node hosts the queue.

        It fails with `QueueFencedError` or `QueueTakenError` if somebody else has taken the queue over, and
        with `AgentStopped` if its agent has failed too often.
        """
        return Future[None]().quiet() if self._hosting is None else self._hosting.ended

    def close(self) -> Future[None]:
        """Host the queue no more, if this handle was made with a store: it can be opened again, anywhere.

        Calls wait for the next host then. Closing the bus does this, after all other agents have ended.
        """
        return _NOTHING_TO_WAIT_FOR if self._hosting is None else self._hosting.close()
