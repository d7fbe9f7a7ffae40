"""What queues raise."""

from __future__ import annotations

from agentbus.errors.agents import AgentError


class QueueError(AgentError):
    """Root of what queues raise.

    Attributes:
        queue: its name.
    """

    def __init__(self, queue: str, explanation: str) -> None:
        super().__init__(f"queue {queue!r}: {explanation}")
        self.queue = queue


class QueueOptionsError(AgentError, ValueError):
    """Options that a queue can't have, or has not: it is hosted with others.

    Attributes:
        option: which.
    """

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"QueueOptions(…, {option}=…): {problem}")
        self.option = option


class QueueFullError(QueueError):
    """The queue holds as much as it may; nothing of what was put was taken.

    Attributes:
        what: "jobs" or "bytes".
        cap: how many it may hold.
    """

    def __init__(self, queue: str, what: str, cap: int) -> None:
        super().__init__(
            queue, f"it holds {cap} {what} at most and is full; put it again later, or add workers"
        )
        self.what = what
        self.cap = cap


class QueueTakenError(QueueError):
    """Another live process hosts the queue.

    Attributes:
        holder: who, as far as that is known.
    """

    def __init__(self, queue: str, holder: str) -> None:
        super().__init__(queue, f"{holder or 'another process'} hosts it; use it with bus.queue(name) alone")
        self.holder = holder


class QueueFencedError(QueueError):
    """Somebody has claimed the queue since; this host writes nothing any more.

    Attributes:
        epoch: of this host's claim.
    """

    def __init__(self, queue: str, epoch: int) -> None:
        super().__init__(queue, f"it was claimed by another process after epoch {epoch}; this host has ended")
        self.epoch = epoch


class NoSuchJobError(QueueError):
    """The queue knows no such job: it never did, or its result was kept long enough.

    Attributes:
        job_id: which.
    """

    def __init__(self, queue: str, job_id: str) -> None:
        super().__init__(queue, f"it knows no job {job_id!r}; results are kept for a time only")
        self.job_id = job_id


class NoSuchJobStateError(QueueError, ValueError):
    """Jobs of a state were asked for that no job is ever in.

    Attributes:
        state: what was asked for.
        states: those that there are.
    """

    def __init__(self, queue: str, state: str, states: tuple[str, ...]) -> None:
        super().__init__(queue, f"no job is ever {state!r}; the states are {', '.join(states)}")
        self.state = state
        self.states = states


class ResultsLostError(QueueError):
    """A reader of a queue's stream was too far behind, or away for too long, and its stream has ended.

    Attributes:
        cap: how many items may wait for a reader; how many results are kept, for one that was away.
    """

    def __init__(self, queue: str, cap: int, *, away: bool = False) -> None:
        reason = (
            f"results were forgotten while this reader had no host, as {cap} are kept, for a time"
            if away
            else f"over {cap} items waited for this reader; read faster"
        )
        super().__init__(queue, f"{reason}; or ask for each result")
        self.cap = cap


class LeaseLostError(QueueError):
    """The job is not this worker's any more: its lease has ended, or somebody has cancelled it.

    Attributes:
        job_id: which.
    """

    def __init__(self, queue: str, job_id: str) -> None:
        super().__init__(queue, f"job {job_id!r} is not this worker's any more: its lease has ended")
        self.job_id = job_id


class JobError(QueueError):
    """A job has ended without a result.

    Attributes:
        job_id: which.
        attempts: how often it was tried.
    """

    def __init__(self, queue: str, job_id: str, attempts: int, explanation: str) -> None:
        super().__init__(queue, f"job {job_id!r} {explanation}")
        self.job_id = job_id
        self.attempts = attempts


class JobFailed(JobError):
    """Its last attempt has failed; it is in the dead-letter queue.

    Attributes:
        reason: of the last failure, as text.
    """

    def __init__(self, queue: str, job_id: str, attempts: int, reason: str = "") -> None:
        super().__init__(queue, job_id, attempts, f"failed {attempts} times, at last with: {reason}")
        self.reason = reason


class JobRejected(JobError):
    """Its handler has refused it for good; it is in the dead-letter queue.

    Attributes:
        reason: as its handler has said.
    """

    def __init__(self, queue: str, job_id: str, attempts: int, reason: str = "") -> None:
        super().__init__(queue, job_id, attempts, f"was rejected: {reason}")
        self.reason = reason


class JobCancelled(JobError):
    """Somebody has cancelled it, or the flow that it was a step of."""

    def __init__(self, queue: str, job_id: str, attempts: int) -> None:
        super().__init__(queue, job_id, attempts, "was cancelled")


class JobTimeoutError(JobError, TimeoutError):
    """An attempt took longer than the job allows.

    Attributes:
        limit: seconds.
    """

    def __init__(self, queue: str, job_id: str, attempts: int, limit: float) -> None:
        super().__init__(queue, job_id, attempts, f"took longer than its limit of {limit:g} s")
        self.limit = limit


class EffectInDoubtError(QueueError):
    """An earlier attempt began this effect and never said that it was done: it may or may not have happened.

    Attributes:
        job_id: whose.
        effect: its name.
    """

    def __init__(self, queue: str, job_id: str, effect: str) -> None:
        super().__init__(
            queue,
            f"an earlier attempt of job {job_id!r} began {effect!r} and did not end it: enter it with "
            f"self.effect({effect!r}, retry=True), find out whether it happened, and do it only if not",
        )
        self.job_id = job_id
        self.effect = effect


class Retry(AgentError):
    """Raised by a job's handler: this attempt has failed, and the next one is to begin later.

    Attributes:
        in_: seconds until then; None for the queue's backoff.
        reason: for people.
    """

    def __init__(self, reason: str = "", *, in_: float | None = None) -> None:
        if in_ is not None and not 0 <= in_ < float("inf"):
            raise ValueError(f"a job is tried again in 0 seconds or more, not in {in_:g}")
        super().__init__(reason or "its handler wants it tried again")
        self.in_ = in_
        self.reason = reason


class Reject(AgentError):
    """Raised by a job's handler: the job is wrong, and no further attempt would help; it is a dead letter.

    Attributes:
        reason: for people.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "its handler has rejected it")
        self.reason = reason


class ScheduleError(QueueError, ValueError):
    """A schedule that makes no sense.

    Attributes:
        schedule: its name.
    """

    def __init__(self, queue: str, schedule: str, problem: str) -> None:
        super().__init__(queue, f"schedule {schedule!r}: {problem}")
        self.schedule = schedule
