"""`Flows`: jobs that hang together.

A flow is a job without a message, whose steps are jobs of their own; all are put at once, and a step waits
until its turn comes:

    chain   one after the other; each gets the result of the one before it; the last one's is the flow's
    group   all at once; the flow's value is the list of theirs
    map     as a group, but at most `window` of them under way

What an ack causes is in the same turn as the ack, so it is durable with it or not at all. Only the list of
values needs bodies that lie in the store: then the flow stays as it is until the host has read them, which a
restarted queue asks for again. A step that is dead or cancelled ends its flow, and with it the other steps.

A flow's budget is divided over the steps as they begin, evenly over those of a group or map that have not;
what a step did not spend goes back.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from agentbus.agents.failures import describe
from agentbus.agents.queues.core.book import Book
from agentbus.agents.queues.core.ending import Ending
from agentbus.agents.queues.core.job import Value
from agentbus.agents.queues.core.record import LIVE, Job
from agentbus.agents.queues.core.shares import cost, least, less, plus, share


class _Course:
    """How far a flow is.

    Attributes:
        left: steps that are not done.
        running: those among them that have begun.
        next: index of a step before which all have begun.
    """

    __slots__ = ("left", "next", "running")

    def __init__(self, steps: list[Job]) -> None:
        self.left = sum(step.state != "done" for step in steps)
        self.running = self.left - sum(not _begun(step) for step in steps)
        self.next = 0


class Flows:
    """The flows of a queue.

    Args:
        book: its jobs.
        ending: ends jobs.

    Attributes:
        gather: steps whose bodies are wanted, in their order, by the number of their flow.
    """

    def __init__(self, book: Book, ending: Ending) -> None:
        self._book = book
        self._ending = ending
        self._courses: dict[int, _Course] = {}
        self._closing: set[int] = set()
        self.gather: dict[int, tuple[int, ...]] = {}
        ending.step_over = self._step_over

    # -- begin -----------------------------------------------------------------------------------------------

    def begin(self, job: Job, at: float, inputs: tuple[int, ...] = (), delay: float = 0.0) -> None:
        """Let a job begin whose turn has come.

        Args:
            job: it waits; `due` is its own delay in seconds.
            at: the time.
            inputs: numbers of the jobs whose results it gets.
            delay: seconds more that it waits.
        """
        delay += job.due
        if inputs:
            job.more().inputs = inputs
        if not job.flow:
            job.due = at + delay
            self._book.move(job, "queued", at)
            return
        job.due = at
        job.more().begun = True
        self._book.touch(job)
        self.resume(job, at, delay)

    def resume(self, flow: Job, at: float, delay: float = 0.0) -> None:
        """Let those steps begin whose turn it is; end the flow if there are none left."""
        course = self.follow(flow)
        if course.left == 0:
            self._complete(flow, at)
            return
        for _ in range(self._width(flow) - course.running):
            self._begin_next(flow, course, at, delay)

    def follow(self, flow: Job) -> _Course:
        """Find out how far a flow is."""
        course = _Course([self._book.jobs[number] for number in self._steps(flow)])
        self._courses[flow.number] = course
        if flow.more().begun and not course.left and flow.flow != "chain":
            self._want_values(flow)
        return course

    def _steps(self, flow: Job) -> list[int]:
        return self._book.steps.get(flow.number, [])

    def _width(self, flow: Job) -> int:
        if flow.flow == "chain":
            return 1
        steps, window = len(self._steps(flow)), flow.more().window
        return window if flow.flow == "map" and 0 < window < steps else steps

    def _begin_next(self, flow: Job, course: _Course, at: float, delay: float = 0.0) -> None:
        jobs, steps = self._book.jobs, self._steps(flow)
        while course.next < len(steps) and _begun(jobs[steps[course.next]]):
            course.next += 1
        if course.next == len(steps):
            return
        index, step = course.next, jobs[steps[course.next]]
        self._grant(flow, step, 1 if flow.flow == "chain" else course.left - course.running)
        course.running += 1
        chained = flow.flow == "chain" and index > 0
        self.begin(step, at, (steps[index - 1],) if chained else flow.more().inputs, delay)

    # -- budgets ---------------------------------------------------------------------------------------------

    def _grant(self, flow: Job, step: Job, parts: int) -> None:
        whole = flow.more().budget
        if whole is None:
            return
        details = step.more()
        details.budget = details.granted = least(share(whole, parts), details.budget)
        flow.more().budget = less(whole, cost(details.granted))
        self._book.touch(flow)

    def take_back(self, step: Job) -> None:
        """Give back to its flow what a step that is over did not spend."""
        details = step.details
        whole = self._book.jobs[step.parent].more().budget if step.parent else None
        if whole is None or details is None or details.granted is None or details.budget is None:
            return
        self._book.jobs[step.parent].more().budget = plus(whole, details.budget)
        self._book.touch(self._book.jobs[step.parent])
        details.granted, details.budget = None, details.limit

    # -- one step after the other ----------------------------------------------------------------------------

    def _step_over(self, step: Job, at: float) -> None:
        flow = self._book.jobs[step.parent]
        if flow.number in self._closing or flow.state not in LIVE:
            return
        self.take_back(step)
        if step.state != "done":
            self._fail(flow, step, at)
            return
        course = self._courses[flow.number]
        course.left -= 1
        course.running -= 1
        self._begin_next(flow, course, at)
        if course.left == 0:
            self._complete(flow, at)

    def _complete(self, flow: Job, at: float) -> None:
        steps = self._steps(flow)
        if flow.flow != "chain":
            self._want_values(flow)
        elif steps:
            self._pass_on(flow, self._book.jobs[steps[-1]], at)
        else:
            self._done(flow, Value(), at)

    def _pass_on(self, flow: Job, last: Job, at: float) -> None:
        """End a chain with the value of its last step, which has just come."""
        details = last.more()
        body = self._book.changes.bodies.get(last.number, b"null")
        self._done(flow, Value(details.result_type, details.result_version, msgspec.Raw(body)), at)

    def _done(self, flow: Job, value: Value, at: float) -> None:
        self._courses.pop(flow.number, None)
        self._ending.done(flow, value, at)

    def _want_values(self, flow: Job) -> None:
        self.gather[flow.number] = tuple(self._steps(flow))

    def gathered(self, number: int, bodies: Mapping[int, bytes], at: float) -> None:
        """End a group or map whose steps are done.

        Args:
            number: the flow's.
            bodies: of its steps, as the store has given them.
            at: the time.
        """
        flow = self._book.jobs.get(number)
        course = self._courses.get(number)
        if flow is None or course is None or course.left:
            return
        steps = self._steps(flow)
        size = sum(self._book.jobs[step].size + 1 for step in steps)
        if size > self._book.options.max_value_bytes:
            self._give_up(flow, size, at)
            return
        values = b",".join(bodies.get(step, b"null") for step in steps)
        self._done(flow, Value(body=msgspec.Raw(b"[" + values + b"]")), at)

    def _give_up(self, flow: Job, size: int, at: float) -> None:
        cap = self._book.options.max_value_bytes
        text = (
            f"the values of its steps are {size} bytes, and a flow gives {cap} at most: read them one by one"
        )
        self._courses.pop(flow.number, None)
        self._ending.die(flow, "failed", at, describe(ValueError(text)))

    # -- all at once -----------------------------------------------------------------------------------------

    def _fail(self, flow: Job, step: Job, at: float) -> None:
        self._cancel_steps(flow, at)
        self._courses.pop(flow.number, None)
        self._ending.die(flow, step.state, at, None if step.details is None else step.details.failure)

    def cancel(self, job: Job, at: float) -> int:
        """Cancel a job that is not over, its steps, and the flow that it is one of; gives how many."""
        before = self._book.counts["cancelled"]
        self._cancel_steps(job, at)
        self._courses.pop(job.number, None)
        self._ending.cancel(job, at)
        return self._book.counts["cancelled"] - before

    def _cancel_steps(self, flow: Job, at: float) -> None:
        """Cancel the steps of a flow and theirs, those furthest down first."""
        numbers = list(self._book.tree(flow.number))
        self._closing.update(numbers)
        for number in reversed(numbers[1:]):
            if self._book.jobs[number].state in LIVE:
                self._courses.pop(number, None)
                self._ending.cancel(self._book.jobs[number], at)
        self._closing.difference_update(numbers)

    def revive(self, root: Job, at: float) -> None:
        """Try a dead flow again, or a dead job that is none: what is done of it stays done."""
        for number in reversed(list(self._book.tree(root.number))):
            job = self._book.jobs[number]
            self._book.revive(job)
            if job.state != "done":
                self.take_back(job)
                self._reset(job, at)
        self._restart(root, at)

    def _reset(self, job: Job, at: float) -> None:
        details = job.more()
        details.failure, details.traceback, details.begun = None, "", False
        job.attempts, job.due = 0, 0.0
        self._book.move(job, "waiting", at)

    def _restart(self, job: Job, at: float) -> None:
        self.begin(job, at, job.more().inputs)


def _begun(step: Job) -> bool:
    return step.state != "waiting" or (step.details is not None and step.details.begun)
