"""The agents of one node: cells by name, groups of replicas, and what becomes known of their lives."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import pykka

from agentbus.agents.address import Address
from agentbus.agents.agent import Agent, AgentActor, AgentContext, AsyncAgentActor
from agentbus.agents.behaviour import AgentBehaviour, PykkaBehaviour
from agentbus.agents.delivery import Delivery
from agentbus.agents.directory import AgentEntry, check_entry
from agentbus.agents.events import (
    AgentEnded,
    AgentFailure,
    AgentGaveUp,
    AgentRestarting,
    AgentStarted,
    BusEvent,
)
from agentbus.agents.handlers import HandlerTable, handler_table
from agentbus.agents.hosted import Hosted, Listing, LocalAgent, ReplicaGroup
from agentbus.runtime import LoopActor, MailboxOptions, Overflow, RestartMode, RestartPolicy, Runtime
from agentbus.runtime.cell import Behaviour, CellOptions, start_cell
from agentbus.runtime.cell_context import CellContext
from agentbus.runtime.cell_events import (
    CellEvent,
    Failed,
    GaveUp,
    Restarting,
    Started,
    Stopped,
)

if TYPE_CHECKING:
    from agentbus.agents.bus import Bus

DEFAULT_MAILBOX = MailboxOptions(capacity=100_000)
ROOT_POLICY = RestartPolicy(mode=RestartMode.STOP)
REPLICA_POLICY = RestartPolicy(mode=RestartMode.RESTART)


class SpawnOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent is started.

    Attributes:
        name: on its node; None for a fresh one.
        replicas: how many of it share the name; messages go round.
        supervision: what follows a failure; by default a root stops and replicas restart, 5 times in 60 s.
        mailbox: how much it holds, and what happens beyond.
        detached: for children: outlive the parent's restarts and end.
    """

    name: str | None = None
    replicas: int = 1
    supervision: RestartPolicy | None = None
    mailbox: MailboxOptions | None = None
    detached: bool = False


class House:
    """The agents of one node by name. Names are looked up and taken from any thread.

    Args:
        bus: given to the agents.
        runtime: where they live.
        listing: told what becomes of them.
        threads: whether sync agents get threads; without, in a simulation, they run on the loop.
    """

    def __init__(self, bus: Bus, runtime: Runtime, listing: Listing, *, threads: bool) -> None:
        self._bus = bus
        self._runtime = runtime
        self._listing = listing
        self._threads = threads
        self._hosted: dict[str, Hosted] = {}

    # -- look up ---------------------------------------------------------------------------------------------

    def get(self, name: str) -> Hosted | None:
        """Give the agent, or the group, of a name."""
        return self._hosted.get(name)

    def all(self) -> list[Hosted]:
        """Give everything that is hosted, in the order in which it was started; members of groups apart."""
        return list(self._hosted.values())

    def find(self, name: str | None, capability: str | None) -> list[Hosted]:
        """Give the agents and groups of a name, of a capability, of both, or all."""
        return [
            hosted
            for hosted in self._listed()
            if (name is None or hosted.name == name)
            and (capability is None or capability in hosted.entry.capabilities)
        ]

    def _listed(self) -> list[Hosted]:
        return [hosted for hosted in self.all() if hosted.entry.name == hosted.name]

    # -- start -----------------------------------------------------------------------------------------------

    def spawn(
        self,
        cls: type[Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: SpawnOptions,
        parent: AgentContext | None = None,
    ) -> Hosted:
        """Start an agent, or several under one name.

        Raises:
            TypeError: the class is none that can be spawned, or its handlers are unusable.
            ValueError: the name is taken, or the entry is too large for the directory.
            InvalidNameError: the name breaks the rules.
        """
        table = _table_of(cls)
        name = options.name or f"{cls.__name__.lower()}-{self._runtime.new_id()[:8]}"
        capabilities = tuple(getattr(cls, "capabilities", ()))
        entry = AgentEntry(name, capabilities, bool(getattr(cls, "public", False)))
        check_entry(entry)
        if options.replicas < 1:
            raise ValueError(f"there is at least one replica, not {options.replicas}")
        members = [self._agent(member, entry, table) for member in _member_names(name, options.replicas)]
        hosted: Hosted = members[0]
        if options.replicas > 1:
            hosted = ReplicaGroup(name, self._address(name), entry, members)
            self._take_name(hosted)
        for member in members:
            self._take_name(member)
            self._start(member, cls, partial(_construct, cls, args, kwargs), options, parent)
        self._listing.listed(entry)
        return hosted

    def _agent(self, name: str, entry: AgentEntry, table: HandlerTable | None) -> LocalAgent:
        return LocalAgent(name, self._address(name), entry, table, self._listing)

    def _address(self, name: str) -> str:
        return str(Address(self._bus.namespace, self._bus.node, name))

    def _take_name(self, hosted: Hosted) -> None:
        holder = self._hosted.setdefault(hosted.name, hosted)
        if holder is not hosted:
            raise ValueError(f"there is an agent {hosted.name!r} on this node; give this one another name=")

    def _start(
        self,
        agent: LocalAgent,
        cls: type[Any],
        make: Callable[[AgentContext | None], Any],
        options: SpawnOptions,
        parent: AgentContext | None,
    ) -> None:
        policy = options.supervision or (REPLICA_POLICY if options.replicas > 1 else ROOT_POLICY)
        on_loop = issubclass(cls, AsyncAgentActor)
        if on_loop:
            agent.concurrency, agent.reentrant = cls.concurrency, cls.reentrant
        mailbox = options.mailbox or DEFAULT_MAILBOX
        agent.blocks = mailbox.overflow is Overflow.BLOCK
        cell_options = CellOptions(
            name=agent.address,
            mailbox=mailbox,
            restart=policy,
            concurrency=cls.concurrency if on_loop else 1,
            thread=self._threads and not on_loop,
        )
        factory = partial(self._behaviour, agent, make)
        observer = partial(self._observe, agent)
        if parent is None:
            agent.cell = start_cell(self._runtime, factory, cell_options, observer)
        else:
            agent.cell = parent.cell.start_cell(factory, cell_options, observer, detached=options.detached)

    def _behaviour(
        self, agent: LocalAgent, make: Callable[[AgentContext | None], Any], cell: CellContext
    ) -> Behaviour:
        if agent.table is None:
            return PykkaBehaviour(cell, partial(make, None))
        return AgentBehaviour(AgentContext(self._bus, agent.name, agent.address, cell), agent.table, make)

    # -- lives -----------------------------------------------------------------------------------------------

    def _observe(self, agent: LocalAgent, event: CellEvent) -> None:
        """Report what happens in a cell; on its thread or loop."""
        make = _REPORTS.get(type(event))
        if make is not None:
            self._listing.report(make(agent.address, event))
        if isinstance(event, Stopped):
            self._ended(agent)

    def _ended(self, agent: LocalAgent) -> None:
        self._hosted.pop(agent.name, None)
        group = self._hosted.get(agent.entry.name)
        if isinstance(group, ReplicaGroup):
            if any(self._hosted.get(member.name) is member for member in group.members):
                return
            self._hosted.pop(group.name, None)
        self._listing.unlisted(agent.entry.name)


def _member_names(name: str, replicas: int) -> list[str]:
    return [name] if replicas == 1 else [f"{name}#{number}" for number in range(1, replicas + 1)]


def _construct(
    cls: type[Any], args: tuple[Any, ...], kwargs: dict[str, Any], context: AgentContext | None
) -> Any:
    """Make the object, bound to its context before its own `__init__` runs, which need not know of it."""
    if context is None:
        return cls(*args, **kwargs)
    agent: Any = object.__new__(cls)
    agent._context = context
    agent.__init__(*args, **kwargs)
    return agent


def _table_of(cls: type[Any]) -> HandlerTable | None:
    """Give the handlers of a class; None for a plain pykka actor.

    Raises:
        TypeError: it can't be spawned.
    """
    if issubclass(cls, Agent):
        if not issubclass(cls, AgentActor | AsyncAgentActor):
            raise TypeError(f"{cls.__qualname__} is neither an AgentActor nor an AsyncAgentActor")
        table = handler_table(cls)
        if issubclass(cls, AgentActor):
            _check_sync(cls, table)
        return table
    if issubclass(cls, pykka.Actor) and not issubclass(cls, LoopActor):
        return None
    raise TypeError(
        f"{cls.__qualname__} can't be spawned: subclass AgentActor or AsyncAgentActor, or give a pykka actor"
    )


def _check_sync(cls: type[Any], table: HandlerTable) -> None:
    if getattr(cls, "reentrant", False):
        raise TypeError(
            f"{cls.__qualname__} has a thread of its own, which can't be entered; use AsyncAgentActor"
        )
    hooks = [name for name in ("on_start", "on_stop", "on_failure", "on_child_lost") if _is_async(cls, name)]
    found = [*hooks, *(handler.method for handler in table.handlers if handler.asynchronous)]
    if found:
        raise TypeError(
            f"{cls.__qualname__} has a thread of its own, so {found[0]} can't be async; use AsyncAgentActor"
        )


def _is_async(cls: type[Any], name: str) -> bool:
    return inspect.iscoroutinefunction(getattr(cls, name))


def _failure_of(address: str, event: Any) -> BusEvent:
    error: BaseException = event.error
    delivery: Any = event.message
    trace = "".join(traceback.format_exception(error))
    kind = delivery.type_name if isinstance(delivery, Delivery) else ""
    return AgentFailure(address, kind, f"{type(error).__qualname__}: {error}", trace)


_REPORTS: dict[type, Callable[[str, Any], BusEvent]] = {
    Started: lambda address, _event: AgentStarted(address),
    Failed: _failure_of,
    Restarting: lambda address, event: AgentRestarting(address, event.delay),
    GaveUp: lambda address, event: AgentGaveUp(address, f"{type(event.error).__qualname__}: {event.error}"),
    Stopped: lambda address, _event: AgentEnded(address),
}
