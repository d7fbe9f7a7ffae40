"""The coordinator: puts every file on the queue, and tells people what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from msgspec import Struct, structs

from agentbus.agents import (
    AgentRef,
    AsyncAgentActor,
    BusEvent,
    JobResult,
    Message,
    ProcessExited,
    Queue,
    handles,
)
from agentbus.agents.queues.core.job import JobStatus
from agentbus.cli.demo.answers import Answer, Answers
from agentbus.cli.demo.chaos import Harm
from agentbus.cli.demo.digest import Account
from agentbus.cli.demo.fleet.decisions import Decisions
from agentbus.cli.demo.fleet.messages import Digested, DigestFile, Job, Writing
from agentbus.cli.demo.fleet.reporter import Reporter
from agentbus.runtime import Future, Subscription


class Plan(Struct, frozen=True):
    """What one run does.

    Attributes:
        job: what is the same for every file.
        answers: the files; the coordinator owns it from now on.
        queue: where the workers get them.
        workers: places in the fleet.
        harm: what is done, and with which file; see `plan_harm`.
        kill: ends the process of a node; called with the node.
        harm_at: waits for the moment when this text is about to be carried to a worker; does the harm to the
            connection, and calls back.
        file_timeout: seconds after which a worker that has not answered counts as stuck.
    """

    job: Job
    answers: Answers
    queue: Queue
    workers: int
    harm: tuple[tuple[Harm, int], ...]
    kill: Callable[[str], None]
    harm_at: Callable[[bytes, Harm, Callable[[], object]], None]
    file_timeout: float


class Result(Struct, frozen=True):
    """How it ended: every answer, the books, and what was decided on the way."""

    answers: tuple[Answer, ...]
    account: Account
    decisions: tuple[str, ...]


class Coordinator(AsyncAgentActor):
    """Put the files on the queue; collect what comes of them; harm one worker and one connection.

    Who gets a file, and who gets it again after a death, is the queue's to decide.

    Owns:  the answers, the list of decisions.
    Told:  Begin (by who runs it), Happened (by the bus's events), Ended (by its jobs), Struck (by the wire),
           Writing (by workers).
    Tells: the queue its jobs; the reporter everything worth seeing.

    Args:
        plan: what to do.
        reporter: who shows it.
        result: is set at the end.
    """

    class Begin(Message):
        """Start the work; answered as soon as every file is on the queue."""

    class Follow(Message):
        """Tell people of jobs that begin again."""

    class Happened(Message):
        """The bus reports an event."""

        event: BusEvent

    class Ended(Message):
        """A file's job is over; `error` is set if nobody knows how."""

        file: int
        result: JobResult | None
        error: BaseException | None

    class Struck(Message):
        """The harm that was to come with a file has come."""

        harm: Harm
        file: int

    concurrency: ClassVar[int] = 2  # one handler follows the queue to the end

    def __init__(self, plan: Plan, reporter: AgentRef, result: Future[Result]) -> None:
        self._plan = plan
        self._answers = plan.answers
        self._reporter = reporter
        self._result = result
        self._decisions = Decisions()
        self._said: list[str] = []
        self._events: Subscription | None = None
        self._files: dict[str, int] = {}
        self._with: dict[str, str] = {}
        self._places_left = plan.workers
        self._struck = {Harm.KILL: 0, Harm.CUT: 0}
        self._began = 0.0

    # -- a life, in order ------------------------------------------------------------------------------------

    @handles
    async def begin(self, _: Coordinator.Begin) -> None:
        """Follow the bus's events from now on, arm the harm, and put the files on the queue."""
        self._began = self.clock.monotonic()
        me, plan = self.ref, self._plan
        self._events = self.bus.events.subscribe(lambda event: me.tell(self.Happened(event)))
        me.tell(self.Follow())
        for harm, file in plan.harm:
            plan.harm_at(_mark(file).encode(), harm, partial(me.tell, self.Struck(harm, file)))
        sources = self._answers.sources
        job = structs.replace(plan.job, watcher=str(me))
        jobs = [DigestFile(_mark(file), job, source) for file, source in enumerate(sources)]
        refs = await plan.queue.put_many(jobs, hard_timeout=plan.file_timeout)
        self._files = {ref.id: file for file, ref in enumerate(refs)}
        for file, ref in enumerate(refs):
            ref.outcome().add_done_callback(partial(_pass_on, file, me))

    @handles
    async def follow(self, _: Coordinator.Follow) -> None:
        """Say who has a file that somebody else had before."""
        async with self._plan.queue.tail() as changes:
            async for status in changes:
                if status.state == "leased" and status.worker is not None:
                    self._on_leased(status, status.worker)

    def _on_leased(self, status: JobStatus, worker: str) -> None:
        before = self._with.get(status.id)
        self._with[status.id] = worker
        if before is not None:
            path = self._path(self._files[status.id])
            names = self._name(before), self._name(worker)
            self._say(f"queue: {path} was with {names[0]}, now {names[1]} has it, attempt {status.attempts}")

    @handles
    async def happened(self, message: Coordinator.Happened) -> None:
        """Tell people what becomes of the workers."""
        event = message.event
        line = self._decisions.describe(event)
        if line is not None:
            self._say(line)
        if isinstance(event, ProcessExited) and event.restart_delay is None:
            self._places_left -= 1
            if not self._places_left:
                await self._end()  # the supervisor has given up on all: what has no answer now is lost

    @handles
    async def struck(self, message: Coordinator.Struck) -> None:
        """Count the harm, say whom it has hit, and kill if that is what was to come."""
        plan = self._plan
        self._struck[message.harm] += 1
        job_id = next(known for known, file in self._files.items() if file == message.file)
        worker = (await plan.queue.job(job_id).status()).worker or ""
        name, path = self._name(worker), self._path(message.file)
        if message.harm is Harm.KILL:
            self._say(f"chaos: killing {name}, which {path} is on its way to")
            if worker:
                plan.kill(self._node(worker))
        else:
            self._say(f"chaos: cut the connection of {name} while {path} was on its way to it")

    @handles
    async def ended(self, message: Coordinator.Ended) -> None:
        """Enter what came of a file."""
        result = message.result
        if result is None:
            self._answers.enter(message.file, None, f"its job was lost sight of: {message.error}", 0)
        elif isinstance(result.value, Digested):
            self._answers.enter(message.file, result.value.summary, result.value.note, result.attempts)
        else:
            note = f"set aside after {result.attempts} attempts: {result.error}"
            self._answers.enter(message.file, None, note, result.attempts)
        self._advanced(self._path(message.file))
        if self._answers.finished:
            await self._end()

    @handles
    async def writing(self, message: Writing) -> None:
        """Show what a model writes."""
        self._advanced(f"{message.path}: {message.text}")

    def on_stop(self) -> None:
        """Let go of the bus's events."""
        if self._events is not None:
            self._events.cancel()

    # -- the end ---------------------------------------------------------------------------------------------

    def _path(self, file: int) -> str:
        return self._answers.sources[file].path

    def _node(self, worker: str) -> str:
        return self.bus.ref(worker).node

    def _name(self, worker: str) -> str:
        return self._decisions.name(self._node(worker)) if worker else "a worker"

    def _advanced(self, doing: str) -> None:
        self._reporter.tell(Reporter.Advanced(len(self._answers.entered), doing))

    def _say(self, line: str) -> None:
        self._said.append(line)
        self._reporter.tell(Reporter.Happened(line))

    async def _end(self) -> None:
        account = self._answers.account(
            await self._plan.queue.stats(),
            workers_killed=self._struck[Harm.KILL],
            connections_cut=self._struck[Harm.CUT],
            seconds=self.clock.monotonic() - self._began,
        )
        self._result.try_set(Result(tuple(self._answers.entered), account, tuple(self._said)))


def _mark(file: int) -> str:
    """Name a file by a text that stands nowhere else on the wire."""
    return f"file #{file}#"


def _pass_on(file: int, coordinator: AgentRef, future: Future[JobResult]) -> None:
    error = future.exception()
    coordinator.tell(Coordinator.Ended(file, None if error else future.get(), error))
