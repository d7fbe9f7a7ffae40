"""`Bus`: one node, as its program sees it."""

from __future__ import annotations

import asyncio
import logging
import ssl as tls
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from agentbus.agents.address import Address, check_topic, encode_part, parse_address
from agentbus.agents.agent import AgentContext
from agentbus.agents.broadcasting import TopicSubscription, listener_for
from agentbus.agents.bus_node import BusNode
from agentbus.agents.delivery import Delivery
from agentbus.agents.directory import AgentEntry
from agentbus.agents.envelope import encode_body
from agentbus.agents.events import BusEvent
from agentbus.agents.finder import Finder, Waiter
from agentbus.agents.home import Home, HomeSource, is_simulated
from agentbus.agents.hosting import Hosted, House, SpawnOptions
from agentbus.agents.letters import DeadLetters
from agentbus.agents.message import Message
from agentbus.agents.node import NodeActor
from agentbus.agents.node_parts import NodeOptions
from agentbus.agents.post import PostOffice
from agentbus.agents.ref import AgentRef
from agentbus.agents.scope import current_scope
from agentbus.agents.trust import TrustMode
from agentbus.agents.way import way_of_own, way_to
from agentbus.client import TokenProvider
from agentbus.errors import AgentBusError, BusClosedError
from agentbus.runtime import (
    EventSource,
    Future,
    MailboxOptions,
    RestartPolicy,
    Runtime,
    default_runtime,
)
from agentbus.wire.transport import TransportFactory

M = TypeVar("M", bound=Message)
F = TypeVar("F", bound=Callable[..., object])

STOP_TIMEOUT = 5.0
"""Seconds that agents get to end when the bus is closed."""


class Bus:
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
        self.runtime = runtime or default_runtime()
        self.namespace = namespace
        self.node = self.runtime.new_id() if node is None else node
        encode_part(namespace, "namespace")
        encode_part(self.node, "node")
        try:
            if url is None:
                if api_key is not None or token_provider is not None or transport_factory is not None:
                    raise ValueError("a credential goes with a url; without one the bus brings its own hub")
                self._way = way_of_own(listen, trust=trust, runtime=self.runtime, logger=logger)
            elif listen is not None:
                raise ValueError("give a bus either a url or listen=, not both")
            else:
                self._way = way_to(
                    url,
                    api_key=api_key,
                    token_provider=token_provider,
                    trust=trust,
                    transport_factory=transport_factory,
                    ssl=ssl,
                    logger=logger,
                )
        finally:
            del api_key, url  # a traceback shows the locals of this frame, and secrets were among them

        self._home = Home(loop)
        self.events: EventSource[BusEvent] = HomeSource(self.runtime.callbacks, self._home)
        self.dead_letters = DeadLetters(self.runtime, self, self._home)
        self._house = House(self, self.runtime, self, threads=not is_simulated(self.runtime))
        self._node = BusNode(
            namespace,
            self.node,
            self._way,
            self._house,
            options or NodeOptions(),
            runtime=self.runtime,
            report=self.report,
            bury=self.dead_letters.bury,
        )
        self._post = PostOffice(
            namespace, self.node, self._house, self._node, self.dead_letters, self.runtime, self._home
        )
        self._once: dict[str, Future[None]] = {}
        self._closers: list[Callable[[], Future[Any]]] = []
        self._at_exit = self.runtime.on_close(self.close)

    # -- a life, in order ------------------------------------------------------------------------------------

    def start(self) -> Future[None]:
        """Connect and join the namespace; implied by `with`, and by the first thing that needs it.

        Returns:
            The future of having joined; it waits for the hub as long as that takes. It fails with
            `MissingPermission`, `NodeTakenError`, `BusClosedError`, or `HubConfigError` for a port that is
            taken.
        """
        if "closed" in self._once:
            return Future.failed(BusClosedError())
        self._node.start()
        return self._node.started

    def __enter__(self) -> Self:
        try:
            self.start().get()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close().get()

    async def __aenter__(self) -> Self:
        self._home.found()
        try:
            await self.start()
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def ended(self) -> Future[None]:
        """The future of the end; it fails with what ended the bus against its will."""
        return self._node.ended

    def drain(self, timeout: float = 30.0) -> Future[bool]:
        """Let agents finish what is in their mailboxes and the answers arrive, then close.

        Args:
            timeout: seconds for that; what is not finished then is stopped.

        Returns:
            The future of the end: whether all was finished.
        """
        return self.runtime.io.run(self._drain(timeout))

    async def _drain(self, timeout: float) -> bool:  # noqa: ASYNC109 -- as drain() has it
        try:
            async with asyncio.timeout(timeout):
                await self._end_owned()
                for stopped in [hosted.stop() for hosted in self._house.all()]:
                    await stopped
                await self._node.quiet()
            finished = True
        except TimeoutError:
            finished = False
        await self.close()
        return finished

    def close(self) -> Future[None]:
        """Stop the agents at once, say goodbye, and end the connection; idempotent.

        Returns:
            The future of the end.
        """
        mine: Future[None] = Future()
        closed = self._once.setdefault("closed", mine)
        if closed is mine:
            self._at_exit.cancel()
            if self._node.begun or self._house.all():
                self.runtime.io.run(self._close()).add_done_callback(lambda _done: mine.try_set(None))
            else:
                self._forget()
                mine.set(None)
        return closed

    def before_close(self, closer: Callable[[], Future[Any]]) -> None:
        """Call `closer()` when the bus is closed or drained, and wait for its future before the rest ends."""
        self._closers.append(closer)

    async def _end_owned(self) -> None:
        closers, self._closers = self._closers, []
        for future in [closer() for closer in closers]:
            await future

    async def _close(self) -> None:
        await self._end_owned()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT):
                for stopped in [hosted.stop(now=True) for hosted in self._house.all()]:
                    await stopped
        await self._node.close()
        self._forget()

    def _forget(self) -> None:
        self._node.over_for_good()
        self._post.deadlines.clear()
        self.events.close()
        self.dead_letters.close()

    # -- agents ----------------------------------------------------------------------------------------------

    def spawn(
        self,
        cls: type[Any],
        *args: Any,
        name: str | None = None,
        replicas: int = 1,
        supervision: RestartPolicy | None = None,
        mailbox: MailboxOptions | None = None,
        **kwargs: Any,
    ) -> AgentRef:
        """Start a supervised agent.

        Args:
            cls: a subclass of `AgentActor` or `AsyncAgentActor`, or a plain pykka actor class.
            args: for its constructor, at every start.
            name: on this node; by default a fresh one.
            replicas: how many of it share the name; messages go round.
            supervision: what follows a failure; by default a single agent stops, replicas restart.
            mailbox: how much it holds, and what happens beyond.
            kwargs: for its constructor.

        Raises:
            TypeError: the class can't be spawned, or its handlers are unusable.
            ValueError: there is an agent of that name.
            InvalidNameError: the name has no place in an address.
            BusClosedError: the bus is closed.
        """
        options = SpawnOptions(name=name, replicas=replicas, supervision=supervision, mailbox=mailbox)
        return self._spawn(cls, args, kwargs, options, None)

    def spawn_child(
        self,
        parent: AgentContext,
        cls: type[Any],
        *args: Any,
        name: str | None = None,
        replicas: int = 1,
        supervision: RestartPolicy | None = None,
        mailbox: MailboxOptions | None = None,
        detached: bool = False,
        **kwargs: Any,
    ) -> AgentRef:
        """Start a child of an agent; `self.spawn` is the way to it. See `spawn` and `Agent.spawn`."""
        options = SpawnOptions(
            name=name, replicas=replicas, supervision=supervision, mailbox=mailbox, detached=detached
        )
        return self._spawn(cls, args, kwargs, options, parent)

    def _spawn(
        self,
        cls: type[Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: SpawnOptions,
        parent: AgentContext | None,
    ) -> AgentRef:
        if "closed" in self._once:
            raise BusClosedError
        return self._ref_to(self._house.spawn(cls, args, kwargs, options, parent))

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

    def find(self, *, name: str | None = None, capability: str | None = None) -> list[AgentRef]:
        """Give the agents of a name, of a capability, of both, or all, as known now, here and elsewhere.

        Those of suspect nodes come last; those of dead nodes are not there.
        """
        return [AgentRef(self._post, address) for address in self._finder().find(name, capability)]

    def _finder(self) -> Finder:
        parts = self._node.parts
        membership = None if parts is None else parts.membership
        return Finder(self.namespace, self.node, self._house, membership)

    def wait_for(
        self, *, name: str | None = None, capability: str | None = None, count: int = 1
    ) -> Future[list[AgentRef]]:
        """Give the future of the moment when so many agents are known.

        Args:
            name: of the agents.
            capability: of the agents.
            count: how many.

        Returns:
            The future of their refs; it waits for ever, so `.get(timeout=…)`. It fails with `BusClosedError`.
        """
        refs: Future[list[AgentRef]] = Future(cancellable_by_waiter=True)
        found: Future[list[Address]] = Future()

        def deliver(done: Future[list[Address]]) -> None:
            error = done.exception()
            if error is None:
                refs.try_set([AgentRef(self._post, address) for address in done.get()])
            else:
                refs.try_set_exception(error)

        found.add_done_callback(deliver)
        refs.on_cancel(found.cancel)
        try:
            self._node.tell(NodeActor.WaitFor(Waiter(name, capability, count, found)))
        except BusClosedError as error:
            refs.set_exception(error)
        return refs

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

    def on(self, topic: str, kind: type[M]) -> Callable[[F], F]:
        """Call the decorated function for each message of a type on a topic; it is returned unchanged."""

        def decorate(handler: F) -> F:
            self.listen(topic, kind, handler)
            return handler

        return decorate

    def listen(
        self, topic: str, kind: type[Message], handler: Callable[[Any], Any] | AgentRef
    ) -> TopicSubscription:
        """Hand each message of a type on a topic to a handler.

        Args:
            topic: a path of the program's choice.
            kind: the type of message; `Message` for all.
            handler: sync, async, or an agent's ref, which is told each message.

        Raises:
            InvalidNameError: the topic has no place in a channel name.
            BusClosedError: the bus is closed.
        """
        check_topic(self.namespace, topic)
        listener, lane = listener_for(kind, handler, self.runtime.callbacks, self._home.loop)
        key, ready = object(), Future[None]().quiet()
        self._node.tell(NodeActor.Listen(topic, key, listener, ready))

        def undo() -> None:
            with suppress(BusClosedError):
                self._node.tell(NodeActor.Unlisten(topic, key))
            if lane is not None:
                lane.close()

        return TopicSubscription(ready, undo)

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
        with suppress(BusClosedError):
            self._node.tell(NodeActor.Certify(node))

    # -- for the agents here ---------------------------------------------------------------------------------

    def listed(self, entry: AgentEntry) -> None:
        """Announce an agent of this node."""
        self._node.tell(NodeActor.Listed(entry))

    def unlisted(self, name: str) -> None:
        """Announce that an agent of this node is gone."""
        with suppress(BusClosedError):
            self._node.tell(NodeActor.Unlisted(name))

    def report(self, event: BusEvent) -> None:
        """Emit an event."""
        self.events.emit(event)

    def bury(self, delivery: Delivery, reason: str, error: BaseException | None = None) -> None:
        """Publish a dead letter."""
        self.dead_letters.bury_delivery(delivery, reason, error)
