"""`Bus`: one node, as its program sees it."""

from __future__ import annotations

import asyncio
import logging
import ssl as tls
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from agentbus.agents.address import Address, check_topic, parse_address
from agentbus.agents.agent import AgentContext
from agentbus.agents.broadcasting import TopicSubscription, listener_for
from agentbus.agents.bus_queues import BusQueues
from agentbus.agents.directory import MetadataValue
from agentbus.agents.envelope import encode_body
from agentbus.agents.groups import check_group
from agentbus.agents.hosted import Hosted
from agentbus.agents.lives.stall_watch import OnStall
from agentbus.agents.lives.store import Store
from agentbus.agents.message import Message
from agentbus.agents.node import NodeActor
from agentbus.agents.node_parts import NodeOptions
from agentbus.agents.queues.worker_fleet import start_worker
from agentbus.agents.ref import AgentRef
from agentbus.agents.scope import current_scope
from agentbus.agents.spawning import SpawnOptions
from agentbus.agents.trust import TrustMode
from agentbus.agents.way import find_way
from agentbus.client import TokenProvider
from agentbus.errors import AgentBusError, BusClosedError
from agentbus.runtime import (
    Future,
    MailboxOptions,
    RestartPolicy,
    Runtime,
    default_runtime,
)
from agentbus.runtime.cell_group import CellGroup
from agentbus.wire.transport import TransportFactory

M = TypeVar("M", bound=Message)
F = TypeVar("F", bound=Callable[..., object])


class Bus(BusQueues):
    """A place where agents live, joined with others of its namespace over a hub.

        with Bus() as bus: ...                                    # a hub of its own, in memory
        with Bus(listen="127.0.0.1:0") as bus: ...                # its own, and other processes may join
        bus = Bus("wss://hub.example", token_provider=mint, namespace="prod", node="worker-7")

    It never gives up connecting; only a close code that forbids it, a missing permission or another holder
    of its node id ends it, and `bus.ended` says with what. All methods are safe from any thread.

    Args:
        url: the hub; without it the bus brings its own.
        api_key: a publishable key for the hub. This or `token_provider` goes with `url`.
        token_provider: gives a JWT, called for every attempt.
        listen: `host:port` where the bus's own hub accepts other processes; needs the `hub` extra.
        namespace: agents of different namespaces never meet.
        node: the node's id, which outlives connections and restarts; by default a fresh one.
        trust: "all", or "tokens": only peers whose token has the role of a node may do more than ask and tell
            public agents. By default "all" with an own hub or a development hub on loopback, else "tokens".
        options: times and limits.
        runtime: the loops and threads to live on; by default the process's own.
        loop: where async callbacks run; by default the loop that entered `async with`, else the agents' loop.
        transport_factory: makes the transports; see `agentbus.testing`.
        ssl: the TLS context, say one that trusts a private CA.
        logger: where the client logs.

    Raises:
        ValueError: arguments that do not go together.
        InvalidUrlError: a URL that the protocol refuses.
        InvalidNameError: a namespace or node that has no place in an address.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        token_provider: TokenProvider | None = None,
        listen: str | None = None,
        namespace: str = "default",
        node: str | None = None,
        trust: TrustMode | None = None,
        options: NodeOptions | None = None,
        runtime: Runtime | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        transport_factory: TransportFactory | None = None,
        ssl: tls.SSLContext | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        runtime = runtime or default_runtime()
        try:
            way = find_way(
                url,
                api_key=api_key,
                token_provider=token_provider,
                listen=listen,
                trust=trust,
                transport_factory=transport_factory,
                ssl=ssl,
                logger=logger,
                runtime=runtime,
            )
        finally:
            del api_key, url  # a traceback shows the locals of this frame, and secrets were among them
        super().__init__(way, namespace=namespace, node=node, options=options, runtime=runtime, loop=loop)

    def __repr__(self) -> str:
        if not hasattr(self, "_once"):  # its constructor failed, and a traceback shows the locals there
            return "<Bus, not made>"
        if "closed" in self._once or self._node.ended.done():
            state = "closed"
        else:
            state = "started" if self._node.started.done() else "not started"
        return f"<Bus {self.namespace}/{self.node} at {self.url or 'a hub in memory'}, {state}>"

    # -- agents ----------------------------------------------------------------------------------------------

    def spawn(
        self,
        cls: type[Any],
        *args: Any,
        name: str | None = None,
        replicas: int = 1,
        supervision: RestartPolicy | None = None,
        mailbox: MailboxOptions | None = None,
        metadata: Mapping[str, MetadataValue] | None = None,
        group: CellGroup | None = None,
        stall_timeout: float | None = None,
        on_stall: OnStall | None = None,
        store: Store | None = None,
        process: bool = False,
        queue: str | None = None,
        concurrency: int | None = None,
        drain_timeout: float | None = None,
        **kwargs: Any,
    ) -> AgentRef:
        """Start a supervised agent, or with `queue=` a worker that takes jobs.

        Args:
            cls: a subclass of `AgentActor` or `AsyncAgentActor`, or a plain pykka actor class.
            args: for its constructor, at every start.
            name: on this node; by default a fresh one.
            replicas: how many of it share the name; messages go round.
            supervision: what follows a failure; by default a single agent stops, replicas restart.
            mailbox: how much it holds, and what happens beyond.
            metadata: facts to be found by, in addition to those of the class, and before them.
            group: whose fate it shares; see `group`.
            stall_timeout: seconds that it may be busy with one message without `self.progress()`; by default
                its class's.
            on_stall: "report" an `AgentStalled`, or "restart" it too; by default its class's.
            store: keeps its state; see `Agent.snapshot`.
            process: run it in a child process; its arguments are pickled.
            queue: take the jobs of this queue, wherever on the bus it is; the ref is the worker's.
            concurrency: jobs at a time: of an async class in one agent, else in as many agents, each with a
                thread or a process. Without a queue: messages at a time, instead of the async class's own.
            drain_timeout: seconds that jobs get to end, before they are handed back; by default 30.
            kwargs: for its constructor.

        Raises:
            TypeError: the class can't be spawned, its handlers are unusable, or its metadata, its arguments
                don't pickle, or it has a store and no `snapshot` and `restore`.
            ValueError: there is an agent of that name, capabilities and metadata are over 2000 bytes, or
                options that don't go together.
            InvalidNameError: the name has no place in an address.
            BusClosedError: the bus is closed.
        """
        options = SpawnOptions(
            name=name,
            replicas=replicas,
            supervision=supervision,
            mailbox=mailbox,
            metadata=metadata,
            group=group,
            stall_timeout=stall_timeout,
            on_stall=on_stall,
            store=store,
            process=process,
            queue=queue,
            concurrency=concurrency,
            drain_timeout=drain_timeout,
        )
        return self._spawn(cls, args, kwargs, options, None)

    def group(self, policy: RestartPolicy) -> CellGroup:
        """Make a group of agents under one policy, for `spawn(…, group=…)`; they may live on any thread.

        With `Strategy.ONE_FOR_ALL` the failure of one restarts all, and one failure too many ends all.
        """
        return CellGroup(policy, self.runtime.random)

    def spawn_child(self, parent: AgentContext, cls: type[Any], *args: Any, **options: Any) -> AgentRef:
        """Start a child of an agent; `self.spawn` is the way to it. See `spawn` and `Agent.spawn`."""
        given, kwargs = SpawnOptions.split(options)
        return self._spawn(cls, args, kwargs, given, parent)

    def _spawn(
        self,
        cls: type[Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: SpawnOptions,
        parent: AgentContext | None,
    ) -> AgentRef:
        if options.queue is not None:
            return self._ref_to(start_worker(self, cls, args, kwargs, options, parent))
        return self._ref_to(self.start_agent(cls, args, kwargs, options, parent))

    def start_agent(
        self,
        cls: type[Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: SpawnOptions,
        parent: AgentContext | None,
    ) -> Hosted:
        """Start an agent, or a group of them, as options say; see `spawn`, which is for everybody else."""
        self.runtime.check_fork()
        if "closed" in self._once:
            raise BusClosedError
        if self._node.ended.done():
            raise self._node.over()
        return self._house.spawn(cls, args, kwargs, options, parent)

    def _ref_to(self, hosted: Hosted) -> AgentRef:
        return AgentRef(self._post, Address(self.namespace, self.node, hosted.name), hosted)

    # -- addresses -------------------------------------------------------------------------------------------

    def ref(self, address: str | Address) -> AgentRef:
        """Give the ref of an address; nobody is asked whether the agent is there.

        Args:
            address: `agent`, `node/agent` or `namespace/node/agent`, as refs print.

        Raises:
            InvalidNameError: it is none of these.
        """
        if isinstance(address, str):
            address = parse_address(address, namespace=self.namespace, node=self.node)
        return AgentRef(self._post, address)

    def ref_to(self, name: str) -> AgentRef:
        """Give the ref of an agent of this node by its plain name."""
        return AgentRef(self._post, Address(self.namespace, self.node, name))

    # -- topics ----------------------------------------------------------------------------------------------

    def broadcast(self, topic: str, message: Message) -> Future[None]:
        """Send a message to whoever listens to a topic at this moment, here and elsewhere; at most once.

        Returns:
            The future of the hub's ack. It fails with `MissingPermission`, `MailboxFullError`,
            `OversizedPayloadError`, `BusClosedError`, or a `SignallingError`.

        Raises:
            InvalidNameError: the topic has no place in a channel name.
            TypeError: the message has no JSON form.
        """
        check_topic(self.namespace, topic)
        sent: Future[None] = Future[None]().quiet()
        scope = current_scope.get()
        sender = None if scope is None else scope.agent.address
        try:
            self._node.tell(NodeActor.Broadcast(topic, message, encode_body(message), sender, sent))
        except BusClosedError as error:
            sent.set_exception(error)
        return sent

    def on(self, topic: str, kind: type[M], *, group: str | None = None) -> Callable[[F], F]:
        """Call the decorated function for each message of a type on a topic; it is returned unchanged.

        Args:
            topic: see `listen`.
            kind: see `listen`.
            group: see `listen`.
        """

        def decorate(handler: F) -> F:
            self.listen(topic, kind, handler, group=group)
            return handler

        return decorate

    def listen(
        self,
        topic: str,
        kind: type[Message],
        handler: Callable[[Any], Any] | AgentRef,
        *,
        group: str | None = None,
    ) -> TopicSubscription:
        """Hand each message of a type on a topic to a handler.

        Args:
            topic: a path of the program's choice.
            kind: the type of message; `Message` for all.
            handler: sync, async, or an agent's ref, which is told each message.
            group: listeners of a topic, on any nodes, that share its messages: usually one of them gets each.
                It may be two, or none, while the group changes; who needs exactly one uses a queue.

        Raises:
            InvalidNameError: the topic has no place in a channel name, or the group's name is none.
            BusClosedError: the bus is closed.
        """
        check_topic(self.namespace, topic)
        if group is not None:
            check_group(group)
        listener, lane = listener_for(kind, handler, self.runtime.callbacks, self._home.loop, group)
        key, ready = object(), Future[None]().quiet()
        self._node.tell(NodeActor.Listen(topic, key, listener, ready))

        def undo() -> None:
            with suppress(BusClosedError):
                self._node.tell(NodeActor.Unlisten(topic, key))
            if lane is not None:
                lane.close()

        return TopicSubscription(ready, undo, topic)

    # -- the hub ---------------------------------------------------------------------------------------------

    @property
    def url(self) -> str | None:
        """Where the hub is, for other processes; None for one in memory."""
        return self._way.url

    def credentials_env(self) -> dict[str, str]:
        """Give the environment variables with which a child process joins this bus's own hub.

        Raises:
            BusClosedError: the bus has no hub of its own that listens, or is not started.
        """
        hub = self._way.hub
        if hub is None or self.url is None or not self._node.started.done():
            raise AgentBusError('only a bus with listen="host:port" that is started lets other processes in')
        return {
            "AGENTBUS_URL": hub.url,
            "AGENTBUS_KEY": hub.key,
            "AGENTBUS_NAMESPACE": self.namespace,
            "AGENTBUS_TRUST": "all",
        }

    def certify_exit(self, node: str) -> None:
        """Declare a child process's node dead, here and everywhere: its parent saw it end."""
        self.declare_dead(node)
