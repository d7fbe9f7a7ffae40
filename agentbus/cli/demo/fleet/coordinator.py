"""The coordinator: hands every file to a worker, and again to another if that one is gone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from msgspec import Struct

from agentbus.agents import (
    AgentRef,
    AsyncAgentActor,
    BusEvent,
    Message,
    NodeDead,
    ProcessExited,
    handles,
)
from agentbus.cli.demo.chaos import Chaos, Harm
from agentbus.cli.demo.digest import Account
from agentbus.cli.demo.fleet.decisions import Decisions
from agentbus.cli.demo.fleet.messages import CAPABILITY, Digested, DigestFile, Job, Writing
from agentbus.cli.demo.fleet.reporter import Reporter
from agentbus.cli.demo.ledger import Answer, Ledger, Task
from agentbus.errors import AgentError, AgentFailed
from agentbus.runtime import Future, Subscription

IN_FLIGHT = 2
"""Files that one worker has at a time: it never waits for the next, and little is lost with it."""


class Plan(Struct, frozen=True):
    """What one run does.

    Attributes:
        job: what is the same for every file.
        ledger: the files; the coordinator owns it from now on.
        workers: places in the fleet.
        chaos: whom to harm, and when.
        kill: ends the process of a node; called with the node.
        cut_at: cuts the connection that is about to carry this text to a worker; calls back when it did.
        file_timeout: seconds after which a worker that has not answered counts as stuck.
    """

    job: Job
    ledger: Ledger
    workers: int
    chaos: Chaos
    kill: Callable[[str], None]
    cut_at: Callable[[bytes, Callable[[], object]], None]
    file_timeout: float


class Result(Struct, frozen=True):
    """How it ended: every answer, the books, and what was decided on the way."""

    answers: tuple[Answer, ...]
    account: Account
    decisions: tuple[str, ...]


class Coordinator(AsyncAgentActor):
    """Own the ledger; keep every worker busy until every file has its answer.

    Owns:  the ledger, the chaos plan, the list of decisions.
    Told:  Begin (by who runs it), Happened (by the bus's events), Heard (by its own asks), Cut (by the
           wire), Writing (by workers).
    Tells: the workers DigestFile; the reporter everything worth seeing.

    Args:
        plan: what to do.
        reporter: who shows it.
        result: is set at the end.
    """

    class Begin(Message):
        """Start the work; answered as soon as no event of the bus can be missed any more."""

    class Happened(Message):
        """The bus reports an event."""

        event: BusEvent

    class Heard(Message):
        """An ask has ended: with the worker's answer, or with why there is none."""

        task: Task
        answer: Digested | None
        error: BaseException | None

    class Cut(Message):
        """A connection was cut with this task on its way."""

        task: Task

    def __init__(self, plan: Plan, reporter: AgentRef, result: Future[Result]) -> None:
        self._plan = plan
        self._ledger = plan.ledger
        self._reporter = reporter
        self._result = result
        self._decisions = Decisions()
        self._said: list[str] = []
        self._events: Subscription | None = None
        self._places_left = plan.workers
        self._killed = 0
        self._cut = 0
        self._began = 0.0

    # -- a life, in order ------------------------------------------------------------------------------------

    @handles
    async def begin(self, _: Coordinator.Begin) -> None:
        """Follow the bus's events from now on, and begin with the workers that are there."""
        self._began = self.clock.monotonic()
        me = self.ref
        self._events = self.bus.events.subscribe(lambda event: me.tell(self.Happened(event)))
        self._hand_out()

    @handles
    async def happened(self, message: Coordinator.Happened) -> None:
        """Tell people; go on with who is there now."""
        event = message.event
        line = self._decisions.describe(event)
        if line is not None:
            self._say(line)
        if isinstance(event, NodeDead):
            self._plan.chaos.on_death(event.node)
        if isinstance(event, ProcessExited) and event.restart_delay is None:
            self._places_left -= 1
        if self._places_left:
            self._hand_out()
        else:
            self._end()  # the supervisor has given up on every worker: what has no answer now is lost

    @handles
    async def heard(self, message: Coordinator.Heard) -> None:
        """Enter the answer, or give the file to another worker; then hand out what waits."""
        if message.answer is not None:
            self._ledger.enter(message.task, message.answer.summary, message.answer.note)
        else:
            self._on_refused(message.task, message.error)
        self._advanced(message.task.source.path)
        if self._ledger.finished:
            self._end()
        else:
            self._hand_out()

    @handles
    async def cut(self, message: Coordinator.Cut) -> None:
        """Count a connection that was cut."""
        self._cut += 1
        task = message.task
        name = self._decisions.name(task.worker)
        self._say(f"chaos: cut the connection of {name} while {task.source.path} was on its way to it")

    @handles
    async def writing(self, message: Writing) -> None:
        """Show what a model writes."""
        self._advanced(f"{message.path}: {message.text}")

    def on_stop(self) -> None:
        """Let go of the bus's events."""
        if self._events is not None:
            self._events.cancel()

    # -- work ------------------------------------------------------------------------------------------------

    def _hand_out(self) -> None:
        workers = self.bus.find(capability=CAPABILITY)
        for slots in range(1, IN_FLIGHT + 1):  # everybody gets one before anybody gets two
            for worker in workers:
                if self._ledger.out_at(worker.node) < slots:
                    task = self._ledger.take(worker.node)
                    if task is None:
                        return
                    self._hand(task, worker)

    def _hand(self, task: Task, worker: AgentRef) -> None:
        harm = self._plan.chaos.on_hand_out(
            task.worker, answered=len(self._ledger.answers), waiting=self._ledger.waiting
        )
        request = DigestFile(f"file {task.file} attempt {task.attempt}", self._plan.job, task.source)
        if harm is Harm.CUT:
            self._plan.cut_at(request.id.encode(), partial(self.ref.tell, self.Cut(task)))
        future = worker.ask(request, timeout=self._plan.file_timeout)
        future.add_done_callback(partial(_pass_on, task, self.ref))
        if harm is Harm.KILL:
            self._killed += 1
            name = self._decisions.name(task.worker)
            self._say(f"chaos: killing {name}, which was just handed {task.source.path}")
            self._plan.kill(task.worker)

    def _on_refused(self, task: Task, error: BaseException | None) -> None:
        name = self._decisions.name(task.worker)
        if isinstance(error, AgentFailed) or not isinstance(error, AgentError):
            self._ledger.enter(task, None, f"{name} failed on it: {error}")
        elif self._ledger.give_back(task, str(error)):
            self._say(f"coordinator: {task.source.path} was with {name}, now it goes to another: {error}")

    # -- the end ---------------------------------------------------------------------------------------------

    def _advanced(self, doing: str) -> None:
        self._reporter.tell(Reporter.Advanced(len(self._ledger.answers), doing))

    def _say(self, line: str) -> None:
        self._said.append(line)
        self._reporter.tell(Reporter.Happened(line))

    def _end(self) -> None:
        account = self._ledger.account(
            workers_killed=self._killed,
            connections_cut=self._cut,
            seconds=self.clock.monotonic() - self._began,
        )
        self._result.try_set(Result(tuple(self._ledger.answers), account, tuple(self._said)))


def _pass_on(task: Task, coordinator: AgentRef, future: Future[Digested]) -> None:
    error = future.exception()
    coordinator.tell(Coordinator.Heard(task, None if error else future.get(), error))
