"""The agents of one node: cells by name, groups of replicas, and what becomes known of their lives."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from agentbus.agents.address import Address
from agentbus.agents.agent import AgentContext, AsyncAgentActor
from agentbus.agents.behaviour import AgentBehaviour, PykkaBehaviour
from agentbus.agents.delivery import Delivery
from agentbus.agents.directory import AgentCondition, AgentEntry, MetadataValue, check_entry
from agentbus.agents.events import (
    AgentEnded,
    AgentFailure,
    AgentGaveUp,
    AgentPaused,
    AgentRestarting,
    AgentResumed,
    AgentStarted,
    BusEvent,
)
from agentbus.agents.handlers import HandlerTable
from agentbus.agents.headers import PLAIN
from agentbus.agents.hosted import Hosted, Listing, LocalAgent, ReplicaGroup, condition_of
from agentbus.agents.lives.layers import stored, watch_for, watched
from agentbus.agents.lives.stall_watch import NO_STALLS, Marks
from agentbus.agents.processes.behaviour import ProcessBehaviour
from agentbus.agents.processes.spec import ProcessSpec, process_spec
from agentbus.agents.query import Query
from agentbus.agents.queues.job_behaviour import JobBehaviour
from agentbus.agents.queues.job_process import JobProcess
from agentbus.agents.silence import ReceiveTimeout, Silence
from agentbus.agents.spawnable import check_arguments, table_of
from agentbus.agents.spawning import DEFAULT_MAILBOX, SpawnOptions
from agentbus.errors import AgentStopped, MailboxFullError
from agentbus.runtime import Overflow, Runtime
from agentbus.runtime.cell import Behaviour, CellOptions, start_cell
from agentbus.runtime.cell_context import CellContext
from agentbus.runtime.cell_core import agent_failed
from agentbus.runtime.cell_events import (
    CellEvent,
    Failed,
    GaveUp,
    Paused,
    Restarting,
    Resumed,
    Started,
    Stopped,
)
from agentbus.runtime.faults import RelayedFailure

if TYPE_CHECKING:
    from agentbus.agents.bus import Bus


class Plan(msgspec.Struct, frozen=True):
    """What an agent's cell is filled with, at every start.

    Attributes:
        cls: its class.
        make: makes its object.
        options: how it is started.
        spec: for a process; None without one.
    """

    cls: type[Any]
    make: Callable[[AgentContext | None], Any]
    options: SpawnOptions
    spec: ProcessSpec | None


class House:
    """The agents of one node by name. Names are looked up and taken from any thread.

    Args:
        bus: given to the agents.
        runtime: where they live.
        listing: told what becomes of them.
        threads: whether sync agents get threads; without, in a simulation, they run on the loop.

    Attributes:
        marks: takes the agents' marks of progress, where somebody else watches them for stalls.
    """

    def __init__(self, bus: Bus, runtime: Runtime, listing: Listing, *, threads: bool) -> None:
        self._bus = bus
        self._runtime = runtime
        self._listing = listing
        self._threads = threads
        self._hosted: dict[str, Hosted] = {}
        # A capability stays when its last agent has gone: any thread may be about to enter the next.
        self._by_capability: dict[str, dict[str, Hosted]] = {}
        self._elsewhere: set[str] = set()
        self.marks: Marks | None = None

    # -- look up ---------------------------------------------------------------------------------------------

    def get(self, name: str) -> Hosted | None:
        """Give the agent, or the group, of a name."""
        return self._hosted.get(name)

    def all(self) -> list[Hosted]:
        """Give everything that is hosted, in the order in which it was started; members of groups apart."""
        return list(self._hosted.values())

    def first_to_end(self) -> list[Hosted]:
        """Give all but those that the others may need to their end."""
        return [hosted for hosted in self.all() if not hosted.ends_last]

    def find(self, query: Query) -> list[Hosted]:
        """Give the agents and groups that fit; only those of the query's name or capability are looked at."""
        return [hosted for hosted in self._candidates(query) if query.matches(hosted.entry)]

    def _candidates(self, query: Query) -> Iterable[Hosted]:
        if query.name is not None:
            hosted = self._hosted.get(query.name)
            listed = hosted is not None and hosted.entry.name == query.name
            return (hosted,) if hosted is not None and listed and query.name not in self._elsewhere else ()
        if query.capability is not None:
            return list(self._by_capability.get(query.capability, {}).values())
        return [
            hosted
            for hosted in self.all()
            if hosted.entry.name == hosted.name and hosted.name not in self._elsewhere
        ]

    def conditions(self) -> list[AgentCondition]:
        """Say how the agents and groups are doing, for other nodes."""
        return [condition_of(hosted) for hosted in self.find(Query())]

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
            TypeError: the class is none that can be spawned, its handlers are unusable, or its metadata; or
                its constructor does not take these arguments.
            ValueError: the name is taken, or the entry is too large for the directory.
            InvalidNameError: the name breaks the rules.
        """
        table = table_of(cls)
        options.check(cls)
        check_arguments(cls, args, kwargs)
        name = options.name or f"{cls.__name__.lower()}-{self._runtime.new_id()[:8]}"
        entry = _entry_of(cls, name, options.metadata or {})
        spec = self._process_spec(cls, args, kwargs, options)
        plan = Plan(cls, partial(_construct, cls, args, kwargs), options, spec)
        members = [
            self._agent(member, entry, table, options) for member in _member_names(name, options.replicas)
        ]
        group = ReplicaGroup(name, self._address(name), entry, members) if options.replicas > 1 else None
        self._take_names(members if group is None else [group, *members])
        hosted = members[0] if group is None else group
        try:
            self._index(hosted, options)
            for member in members:
                self._start(member, plan, parent)
            if options.address is None:
                self._listing.listed(entry)
        except BaseException:
            self._take_back(members, group)
            raise
        return hosted

    def _process_spec(
        self, cls: type[Any], args: tuple[Any, ...], kwargs: dict[str, Any], options: SpawnOptions
    ) -> ProcessSpec | None:
        if not options.process:
            return None
        if not self._threads:
            raise ValueError("a process lives in real time: there is no process=True on virtual time")
        return process_spec(cls, args, kwargs, options.store, takes_jobs=options.takes_jobs)

    def _agent(
        self, name: str, entry: AgentEntry, table: HandlerTable | None, options: SpawnOptions
    ) -> LocalAgent:
        address = options.address or self._address(name)
        if options.address is not None:
            self._elsewhere.add(name)
        return LocalAgent(name, address, entry, table, self._listing)

    def _address(self, name: str) -> str:
        return str(Address(self._bus.namespace, self._bus.node, name))

    def _take_names(self, wanted: Sequence[Hosted]) -> None:
        """Take all names, or none."""
        for number, hosted in enumerate(wanted):
            if self._hosted.setdefault(hosted.name, hosted) is not hosted:
                for taken in wanted[:number]:
                    self._hosted.pop(taken.name, None)
                name = hosted.name
                raise ValueError(f"there is an agent {name!r} on this node; give this one another name=")

    def _take_back(self, members: Sequence[LocalAgent], group: ReplicaGroup | None) -> None:
        """Stop what has started of agents whose owner gets no ref; the others' names are free at once."""
        for member in members:
            if member.cell is None:
                self._hosted.pop(member.name, None)
        if all(member.cell is None for member in members):
            self._unindex(members[0].entry)
            if group is not None:
                self._hosted.pop(group.name, None)
        for member in members:
            member.stop(now=True)

    def _index(self, hosted: Hosted, options: SpawnOptions) -> None:
        for capability in hosted.entry.capabilities if options.address is None else ():
            self._by_capability.setdefault(capability, {})[hosted.name] = hosted

    def _unindex(self, entry: AgentEntry) -> None:
        for capability in entry.capabilities:
            self._by_capability.get(capability, {}).pop(entry.name, None)

    def _start(self, agent: LocalAgent, plan: Plan, parent: AgentContext | None) -> None:
        cls, options = plan.cls, plan.options
        on_loop = issubclass(cls, AsyncAgentActor)
        agent.ends_last = bool(getattr(cls, "ends_last", False))
        if on_loop:
            agent.concurrency = options.concurrency or cls.concurrency
            agent.reentrant = cls.reentrant and plan.spec is None
        mailbox = options.mailbox or DEFAULT_MAILBOX
        agent.blocks = mailbox.overflow is Overflow.BLOCK
        cell_options = CellOptions(
            name=agent.address,
            mailbox=mailbox,
            restart=options.policy(cls),
            group=options.group,
            concurrency=agent.concurrency,
            thread=self._threads and not on_loop and plan.spec is None,
        )
        factory = partial(self._behaviour, agent, plan)
        observer = partial(self._observe, agent)
        if parent is None:
            agent.cell = start_cell(self._runtime, factory, cell_options, observer)
        else:
            agent.cell = parent.cell.start_cell(factory, cell_options, observer, detached=options.detached)

    def _behaviour(self, agent: LocalAgent, plan: Plan, cell: CellContext) -> Behaviour:
        if agent.table is None:
            return PykkaBehaviour(cell, partial(plan.make, None))
        rule = plan.options.stall_rule(plan.cls) if self.marks is None else NO_STALLS
        watch = watch_for(rule, agent.address, cell, self._listing.report)
        silence = Silence(cell, partial(_tell_itself, agent, cell))
        marks = watch or self.marks
        context = AgentContext(self._bus, agent.name, agent.address, cell, silence, agent.table, marks)
        if plan.spec is not None:
            process = JobProcess if plan.options.takes_jobs else ProcessBehaviour
            return watched(process(context, agent.table, plan.spec), watch)
        behaviour = AgentBehaviour(context, agent.table, plan.make)
        inner = JobBehaviour(behaviour) if plan.options.takes_jobs else behaviour
        return stored(watched(inner, watch), behaviour, context, plan.options.store)

    # -- lives -----------------------------------------------------------------------------------------------

    def _observe(self, agent: LocalAgent, event: CellEvent) -> None:
        """Report what happens in a cell; on its thread or loop."""
        make = _REPORTS.get(type(event))
        if make is not None:
            self._listing.report(make(agent.address, event))
        if isinstance(event, Stopped):
            self._ended(agent)

    def _ended(self, agent: LocalAgent) -> None:
        if agent.name in self._elsewhere:
            self._hosted.pop(agent.name, None)
            self._elsewhere.discard(agent.name)
            return
        group = self._hosted.get(agent.entry.name)
        if isinstance(group, ReplicaGroup):
            self._hosted.pop(agent.name, None)
            if any(self._hosted.get(member.name) is member for member in group.members):
                return
        self._unindex(agent.entry)  # while the name is taken: the next of that name is not there
        self._hosted.pop(agent.entry.name, None)
        self._listing.unlisted(agent.entry.name)


def _tell_itself(agent: LocalAgent, cell: CellContext, message: ReceiveTimeout) -> None:
    """Put a message of the agent's own into its mailbox; one that takes none any more needs none."""
    with suppress(AgentStopped, MailboxFullError):
        cell.ref.tell(Delivery(agent, message, PLAIN))


def _entry_of(cls: type[Any], name: str, metadata: Mapping[str, MetadataValue]) -> AgentEntry:
    """Make the entry of an agent for the directory, and refuse one that has no place there."""
    own: Mapping[str, MetadataValue] = getattr(cls, "metadata", {})
    entry = AgentEntry(
        name,
        tuple(getattr(cls, "capabilities", ())),
        bool(getattr(cls, "public", False)),
        {**own, **metadata},
    )
    check_entry(entry)
    return entry


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


def _failure_of(address: str, event: Any) -> BusEvent:
    error: BaseException = event.error
    delivery: Any = event.message
    trace = "".join(traceback.format_exception(error))
    kind = delivery.type_name if isinstance(delivery, Delivery) else ""
    failed = agent_failed(error)
    name = (
        failed.error_type.rpartition(".")[2]
        if isinstance(error, RelayedFailure)
        else type(error).__qualname__
    )
    return AgentFailure(address, kind, f"{name}: {failed.error_message}", trace, failed.error_type)


_REPORTS: dict[type, Callable[[str, Any], BusEvent]] = {
    Started: lambda address, _event: AgentStarted(address),
    Failed: _failure_of,
    Restarting: lambda address, event: AgentRestarting(address, event.delay),
    GaveUp: lambda address, event: AgentGaveUp(address, f"{type(event.error).__qualname__}: {event.error}"),
    Paused: lambda address, _event: AgentPaused(address),
    Resumed: lambda address, _event: AgentResumed(address),
    Stopped: lambda address, _event: AgentEnded(address),
}
