"""A node of a simulated world: one life after another, each a real `Bus` in a process of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from agentbus.agents.bus import Bus
from agentbus.agents.delivery import Body
from agentbus.agents.events import BusEvent, DeadLetter
from agentbus.agents.trust import node_metadata
from agentbus.errors import AgentBusError
from agentbus.runtime import Future, Loop, RestartMode, RestartPolicy
from agentbus.testing.simulation import tokens
from agentbus.testing.simulation.bus.agents import Done, Job, Worker
from agentbus.testing.simulation.bus.letters import Handling, Letter, LifeLog
from agentbus.testing.simulation.doorway import ClientDoorway
from agentbus.testing.simulation.hub import ORIGIN
from agentbus.testing.simulation.plan import NodeSpec
from agentbus.testing.simulation.process import Process
from agentbus.wire import Target, Transport, TransportHandler

if TYPE_CHECKING:
    from agentbus.testing.simulation.queues.part import QueuePart
    from agentbus.testing.simulation.stage import Stage

NAMESPACE: Final = "sim"
AGENTS: Final = {"worker": 1, "twins": 2}
"""The agents of every node, and how many replicas each has."""

RESTARTING: Final = RestartPolicy(mode=RestartMode.RESTART, intensity=1_000_000)


class NodeLife:
    """One life of a node.

    Args:
        stage: the world around it.
        spec: whose life.
        number: which one.
        ahead: seconds by which the clock of its machine is ahead.

    Attributes:
        bus: its bus.
        part: what it does for the plan's queue, if there is one.
    """

    def __init__(self, stage: Stage, spec: NodeSpec, number: int, ahead: float = 0.0) -> None:
        self._stage = stage
        self._spec = spec
        self.log = LifeLog(spec.name, number, stage.loop.time())
        seed = f"{stage.seed} node {spec.name} {number}"
        self.process = Process(stage.loop, str(self.log), seed, ahead)
        self._dial = stage.network.dialler(spec.name)
        self._letters = 0
        self._tickets = 0
        self.bus: Bus | None = None
        self.part: QueuePart | None = None
        self.process.loop.perform(self._begin)

    def _begin(self) -> None:
        self._note("begins")
        bus = self.bus = self._make_bus()
        bus.events.attach(self._heard)
        bus.dead_letters.attach(self._buried)
        for name, replicas in AGENTS.items():
            bus.spawn(Worker, self, name=name, replicas=replicas, supervision=RESTARTING)
        if self._stage.queue is not None:
            self._stage.queue.join(self)
        bus.start().add_done_callback(self._started)
        bus.ended.add_done_callback(self._ended)

    def _make_bus(self) -> Bus:
        with_token = self._spec.with_token
        return Bus(
            ORIGIN,
            api_key=None if with_token else tokens.PUBLISHABLE_KEY,
            token_provider=self._provide if with_token else None,
            namespace=NAMESPACE,
            node=self._spec.name,
            trust="tokens" if with_token else "all",
            runtime=self.process.runtime,
            transport_factory=self._connect_transport,
            logger=self._logger(),
        )

    def _logger(self) -> logging.Logger:
        return logging.Logger(f"simulation.{self.log}")  # noqa: LOG001 -- nobody else's, and silent

    # -- what the bus asks for -----------------------------------------------------------------------------

    def _connect_transport(self, target: Target, handler: TransportHandler, loop: Loop) -> Transport:
        self._note("dials")
        return self._dial(target, ClientDoorway(handler, self.process.loop), loop)

    async def _provide(self) -> str:
        self._tickets += 1
        expires_at = int(self._stage.loop.clock.wall()) + self._stage.token_lifetime
        ticket = f"{self.log}-{self._tickets}"
        return tokens.mint(self._spec.name, expires_at, ticket, metadata=node_metadata(NAMESPACE))

    # -- what the bus says ---------------------------------------------------------------------------------

    def _heard(self, event: BusEvent) -> None:
        self.log.events.append((self._now(), event))
        self._note(f"reports {type(event).__name__} {_short(event)}")

    def _buried(self, letter: DeadLetter) -> None:
        message: Any = letter.message
        if letter.message_type != Job.__wire_name__:
            self._note(f"buries a {letter.message_type}: {letter.reason}")
            return
        job = msgspec.json.decode(message.json, type=Job) if isinstance(message, Body) else message
        self.log.buried.append(job.name)
        self._note(f"buries {job.name}: {letter.reason}")

    def _started(self, future: Future[None]) -> None:
        error = future.exception()
        self._note("has joined" if error is None else f"did not join: {type(error).__name__}: {error}")
        if error is None:
            self.log.started_at = self._now()

    def _ended(self, future: Future[None]) -> None:
        error = future.exception()
        self._note("is over" if error is None else f"is over: {type(error).__name__}: {error}")
        if error is not None and self.log.closing_at is None:
            self.log.ended_with, self.log.ended_at = error, self._now()

    # -- letters -------------------------------------------------------------------------------------------

    def send(
        self,
        to: str,
        *,
        ask: bool,
        job: JobFields,
        timeout: float | None,
        cancel_after: float | None = None,
    ) -> None:
        """Have the program send a letter, once its process runs, and maybe give it up later."""
        self.process.loop.perform(partial(self._write, to, ask, job, timeout, cancel_after))

    def _write(
        self, to: str, ask: bool, job: JobFields, timeout: float | None, cancel_after: float | None
    ) -> None:
        future = self._send(to, ask=ask, job=job, timeout=timeout)
        if future is not None and cancel_after is not None:
            letter = self._stage.letters[-1]
            self.process.loop.call_later(cancel_after, self._cancel, letter, future)

    def _cancel(self, letter: Letter, future: Future[Any]) -> None:
        if not future.done():
            letter.cancelled_at = self._now()
            self._note(f"gives up {letter.name}")
            future.cancel()

    def _send(
        self, to: str, *, ask: bool, job: JobFields, timeout: float | None, nested: bool = False
    ) -> Future[Any] | None:
        bus = self.bus
        if bus is None or self.log.over:
            return None
        self._letters += 1
        name = f"{self.log}:{self._letters}"
        fails = bool(job.get("fails"))
        letter = Letter(name, self.log, to, ask, timeout, fails, nested, sent_at=self._now())
        self._stage.letters.append(letter)
        self._note(f"{letter}, {timeout=}, {job}")
        try:
            future = self._post(bus, letter, Job(name, **job))
        except AgentBusError as error:
            letter.done_at, letter.error = self._now(), error
            return None
        future.add_done_callback(partial(self._settled, letter))
        return future

    @staticmethod
    def _post(bus: Bus, letter: Letter, message: Job) -> Future[Any]:
        ref = bus.ref(letter.to)
        if letter.ask:
            return ref.ask(message, timeout=letter.timeout)
        return ref.tell(message, timeout=letter.timeout)

    def _settled(self, letter: Letter, future: Future[Any]) -> None:
        letter.done_at, letter.error = self._now(), future.exception()
        if letter.error is not None:
            self._note(f"{letter.name} -> {type(letter.error).__name__}: {letter.error}")
            return
        result: Any = future.get(0)
        if isinstance(result, Done):
            letter.reply = result.name
        else:
            letter.outcome = result
        self._note(f"{letter.name} -> {result}")

    def known(self) -> list[str]:
        """Give the nodes that have a worker, as far as this one knows."""
        return [] if self.bus is None else [ref.node for ref in self.bus.find(name="worker")]

    async def forward(self, to: str, timeout: float) -> None:  # noqa: ASYNC109 -- as asks have it
        """Ask another agent for the same, in the middle of a job; its failures are no failures of the job."""
        future = self._send(to, ask=True, job={}, timeout=timeout, nested=True)
        if future is not None:
            await _outcome(future)

    def began(self, letter: str, agent: str) -> Handling:
        """Hear from an agent that it takes up a letter."""
        handling = Handling(letter, self.log, agent, self._now())
        self._stage.handlings.append(handling)
        self._note(f"{agent} takes up {letter}")
        return handling

    def ended(self, handling: Handling) -> None:
        """Hear from an agent that it is done with a letter, or was stopped."""
        handling.ended_at = self._now()
        self._note(f"{handling.agent} is done with {handling.letter}, raised: {handling.raised}")

    # -- the end -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Have the program close its bus."""
        self.process.loop.perform(self._close)

    def _close(self) -> None:
        if self.bus is not None and self.log.closing_at is None:
            self._note("closes")
            self.log.closing_at = self._now()
            self.bus.close().add_done_callback(self._closed)

    def _closed(self, _future: Future[None]) -> None:
        self.log.closed_at = self._now()
        self._note("is closed")

    def kill(self, *, silently: bool) -> None:
        """Kill the process; silently as in a power cut."""
        if self.process.loop.killed:
            return
        self._note("is killed" + (" silently" if silently else ""))
        self.log.killed_at = self._now()
        self.process.loop.kill()
        connections = [each for each in self._stage.network.connections if each.name == self._spec.name]
        if silently:
            self._stage.bury(connections)
        else:
            for connection in connections:
                connection.cut()

    # -- small things --------------------------------------------------------------------------------------

    def _now(self) -> float:
        return self._stage.loop.time()

    def _note(self, event: str) -> None:
        self._stage.trace.note(str(self.log), event)


JobFields = dict[str, Any]
"""Fields of a `Job`, without its name."""


class SimulatedNode:
    """A node, life after life.

    Args:
        stage: the world around it.
        spec: its options.

    Attributes:
        ahead: seconds by which the clock of its machine is ahead of the world's.
    """

    def __init__(self, stage: Stage, spec: NodeSpec) -> None:
        self._stage = stage
        self.spec = spec
        self.ahead = 0.0
        self.name = spec.name
        self.lives: list[NodeLife] = []

    @property
    def life(self) -> NodeLife | None:
        """The life that goes on, if one does."""
        return self.lives[-1] if self.lives and not self.lives[-1].log.over else None

    @property
    def process(self) -> Process | None:
        """The process of that life."""
        return None if self.life is None else self.life.process

    def start(self) -> None:
        """Begin a life, unless one goes on or is still saying goodbye."""
        last = self.lives[-1].log if self.lives else None
        leaving = last is not None and last.closing_at is not None
        if self.life is None and not (leaving and last is not None and last.closed_at is None):
            self.lives.append(NodeLife(self._stage, self.spec, len(self.lives) + 1, self.ahead))

    def jump_clock(self, seconds: float) -> None:
        """Set the clock of its machine forward, or back."""
        self.ahead += seconds
        if self.life is not None:
            self.life.process.loop.clock.ahead = self.ahead

    def with_life(self, act: Callable[[NodeLife], object]) -> None:
        """Do something with the life that goes on, if one does."""
        if self.life is not None:
            act(self.life)


async def _outcome(future: Future[Any]) -> None:
    try:
        await future
    except AgentBusError:
        return


def _short(event: BusEvent) -> str:
    fields = ((name, getattr(event, name)) for name in event.__struct_fields__ if name != "traceback")
    return ", ".join(f"{name}={value}" for name, value in fields)
