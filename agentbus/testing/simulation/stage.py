"""The world in which a plan is played: one virtual loop, one network, one hub, some clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from random import Random
from types import TracebackType
from typing import Self, TypeVarTuple

from agentbus.runtime import VirtualLoop
from agentbus.testing.network import FaultManager, MemoryNetwork, NetworkConnection
from agentbus.testing.simulation.bus.letters import Handling, Letter
from agentbus.testing.simulation.bus.nodes import NodeLife, SimulatedNode
from agentbus.testing.simulation.client import SimulatedClient
from agentbus.testing.simulation.hub import ORIGIN, SimulatedHub
from agentbus.testing.simulation.plan import Plan, TokenMood
from agentbus.testing.simulation.process import Process
from agentbus.testing.simulation.queues.scene import QueueScene
from agentbus.testing.simulation.record import Stalled
from agentbus.testing.simulation.trace import Trace

Args = TypeVarTuple("Args")

FAREWELL = 10.0
"""Seconds after which a node that was saying goodbye has ended."""

SCHEDULES_REST = 100.0
"""Seconds of a healed world in which schedules go on; then the queue comes to rest."""

ROLL_CALL = 5.0
"""Seconds in which a node of a healthy world answers."""


class Stage:
    """Everything that a plan's steps act on.

    Args:
        plan: who takes part.

    Attributes:
        loop: the one loop.
        trace: what happened.
        stalls: when the process of a name stood still.
        letters: what nodes sent.
        handlings: what their agents took up.
        queue: the plan's queue, if it has one.
        token_lifetime: seconds until tokens of nodes expire.
    """

    def __init__(self, plan: Plan) -> None:
        self.seed = plan.seed
        self.loop = VirtualLoop()
        self.trace = Trace(self.loop.clock)
        self._chance = Random(f"{plan.seed} network")
        self.network = MemoryNetwork(self.loop, self._chance)
        self._quirks = ExitStack()
        self._faults = ExitStack()
        self._paused: list[Process] = []
        self.stalls: dict[str, list[Stalled]] = {}
        self._graves: list[NetworkConnection] = []
        self.hub = SimulatedHub(self, plan.hub)
        self.clients = {spec.name: SimulatedClient(self, spec) for spec in plan.clients}
        self.nodes = {spec.name: SimulatedNode(self, spec) for spec in plan.nodes}
        self.letters: list[Letter] = []
        self.handlings: list[Handling] = []
        self.queue = None if plan.queue is None else QueueScene(self, plan.queue)
        self.token_lifetime = 3600
        if plan.latency or plan.jitter:
            self._quirks.enter_context(self.network.delaying(plan.latency, jitter=plan.jitter))
        if plan.splitting:
            self._quirks.enter_context(self.network.splitting())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process in self.processes():
            process.end()
        self._faults.close()
        self._quirks.close()
        self.loop.exceptions.clear()
        self.loop.close()

    def processes(self) -> list[Process]:
        """Give every process that ever lived."""
        hubs = [process for process, _ in self.hub.lives]
        clients = [client.process for client in self.clients.values()]
        nodes = [life.process for node in self.nodes.values() for life in node.lives]
        return hubs + clients + nodes

    def draw(self) -> str:
        """Draw a number from every source of chance: they agree if the runs drew equally often."""
        numbers = [process.random.getrandbits(32) for process in self.processes()]
        return " ".join(f"{number:08x}" for number in [self._chance.getrandbits(32), *numbers])

    # -- time --------------------------------------------------------------------------------------------

    def advance_to(self, moment: float) -> None:
        """Let everything happen until then."""
        self.loop.advance(max(0.0, moment - self.loop.time()))

    def later(self, delay: float, fn: Callable[[*Args], object], *args: *Args) -> None:
        """Do something to the world later, whatever its processes do."""
        self.loop.call_later(delay, fn, *args)

    # -- faults ------------------------------------------------------------------------------------------

    def keep(self, fault: FaultManager, lasts: float | None = None) -> None:
        """Let a fault begin; it ends after so many seconds, at the latest when everything is healed."""
        stack = self._faults.enter_context(ExitStack())
        stack.enter_context(fault)
        if lasts is not None:
            self.loop.call_later(lasts, stack.close)

    def bury(self, connections: Iterable[NetworkConnection]) -> None:
        """Take the other end of connections away for good, unnoticed, as a power cut does."""
        for connection in connections:
            self._quirks.enter_context(self.network.partition(connection))
            self._graves.append(connection)

    def connections(self) -> list[NetworkConnection]:
        """Give the connections that somebody alive believes in."""
        return [each for each in self.network.connections if each not in self._graves]

    def pause(self, process: Process, whom: str, lasts: float) -> None:
        """Stop a process for some seconds."""
        if process.loop.paused or process.loop.killed:
            return
        self.trace.note(process.name, f"stands still for {lasts:g} s")
        now = self.loop.time()
        self.stalls.setdefault(whom, []).append(Stalled(now, now + lasts))
        process.loop.pause()
        self._paused.append(process)
        held = self._faults.enter_context(ExitStack())
        held.enter_context(self.network.paused(whom))
        self.loop.call_later(lasts, self._resume, process, held)

    def _resume(self, process: Process, held: ExitStack) -> None:
        if process in self._paused:
            self._paused.remove(process)
            self.trace.note(process.name, "goes on")
            process.loop.resume()
        held.close()

    def pause_hub(self, lasts: float) -> None:
        """Stop the hub's process for some seconds."""
        if self.hub.up:
            self.pause(self.hub.process, ORIGIN, lasts)

    def start_hub(self) -> None:
        """Let the hub live again, unless it does."""
        if not self.hub.up:
            self.hub.start()

    # -- the end -----------------------------------------------------------------------------------------

    def heal(self) -> None:
        """End every fault for good."""
        self.trace.note("world", "heals")
        for process in list(self._paused):
            self._paused.remove(process)
            process.loop.resume()
        self._faults.close()
        for client in self.clients.values():
            client.mood = TokenMood()
        self.token_lifetime = 3600
        self.hub.relax()
        if self.queue is not None:
            self.queue.relieve()
        for node in self.nodes.values():
            node.start()
            self.later(FAREWELL, node.start)
        if self.queue is not None:
            self.later(2 * FAREWELL, self.queue.resume)
            self.later(SCHEDULES_REST, self.queue.drop_schedules)

    def at_rest(self) -> bool:
        """Tell whether every node knows all others and has one connection, and nothing is left to be done."""
        names = sorted(self.nodes)
        known = [life.known() for node in self.nodes.values() if (life := node.life) is not None]
        everybody = len(known) == len(names) and all(sorted(each) == names for each in known)
        alone = self.hub.up and self.hub.shell.core.connections() == len(names)
        return everybody and alone and (self.queue is None or self.queue.at_rest())

    def roll_call(self) -> None:
        """Have every node ask every other for a sign of life."""
        for node in self.nodes.values():
            for other in self.nodes:
                node.with_life(partial(self._call_roll, other))
        if self.queue is not None:
            self.queue.count()

    @staticmethod
    def _call_roll(other: str, life: NodeLife) -> None:
        life.send(f"{other}/worker", ask=True, job={}, timeout=ROLL_CALL)

    def dispose(self) -> None:
        """Have every program dispose of its client."""
        for client in self.clients.values():
            client.call("dispose", "", client.client.dispose)
        for node in self.nodes.values():
            node.with_life(lambda life: life.close())
