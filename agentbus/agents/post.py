"""The post office of a bus: to agents here straight into their mailboxes, to others through the node."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from agentbus.agents.address import Address, parse_address
from agentbus.agents.bus_node import BusNode
from agentbus.agents.calls import Ask, Call, Parcel, Tell, type_and_version
from agentbus.agents.control import Order
from agentbus.agents.deadlines import Deadlines
from agentbus.agents.deadlock.waits import Waits
from agentbus.agents.delivery import Body, Delivery
from agentbus.agents.envelope import Kind, encode_body
from agentbus.agents.events import DeadLetter
from agentbus.agents.headers import PLAIN, Headers
from agentbus.agents.home import Home
from agentbus.agents.hosted import Hosted, LocalAgent
from agentbus.agents.hosting import House
from agentbus.agents.letters import DeadLetters
from agentbus.agents.node import NodeActor
from agentbus.agents.outcome import Outcome
from agentbus.agents.permits import Permits
from agentbus.agents.streams.opening import Flows
from agentbus.agents.watching import AgentDown, LocalWatches
from agentbus.errors import BusClosedError, EncodeError, MailboxFullError, NoSuchAgentError, RuntimeFault
from agentbus.runtime import Future, Lane, Runtime, Subscription
from agentbus.runtime.blocking import running_loop

MAX_UNUSED = 64
QUEUED_PER_CAPACITY = 10
"""Messages that may wait for the node, per message that a link holds: a loop is refused, not held up."""


class PostOffice:
    """What refs need of their bus. Safe from any thread.

    Args:
        namespace: of the bus.
        node: its id.
        house: its agents.
        node_actor: the way to the others.
        letters: its dead letters.
        runtime: where it lives.
        home: where async callbacks run.
        capacity: messages to one node that threads may have under way.

    Attributes:
        check_fork: refuses to work in a child of the process that made this bus, with `ForkedError`.
        deadlines: fails asks in time.
        waits: knows which handlers wait for what.
        flows: opens streams.
    """

    def __init__(
        self,
        namespace: str,
        node: str,
        house: House,
        node_actor: BusNode,
        letters: DeadLetters,
        runtime: Runtime,
        home: Home,
        capacity: int,
    ) -> None:
        self._namespace = namespace
        self._node = node
        self._house = house
        self._node_actor = node_actor
        self._letters = letters
        self._runtime = runtime
        self._home = home
        self.check_fork = runtime.check_fork
        self.deadlines = Deadlines(runtime.io)
        self.waits = Waits(runtime.io)
        self.flows = Flows(node_actor, runtime, self.request)
        self._capacity = capacity
        self._agent_capacity = max(1, capacity // 5)
        self._max_queued = capacity * QUEUED_PER_CAPACITY
        self._permits: dict[Address | str, Permits] = {}
        self._watches = LocalWatches(runtime.io)

    def now(self) -> float:
        """Give the time on the clock of deadlines."""
        return self._runtime.clock.monotonic()

    def is_local(self, address: Address) -> bool:
        """Whether an address is of this node."""
        return address.node == self._node and address.namespace == self._namespace

    def hosted(self, name: str) -> Hosted | None:
        """Give an agent or a group of this node."""
        return self._house.get(name)

    # -- here ------------------------------------------------------------------------------------------------

    @staticmethod
    def tell_here(agent: LocalAgent, message: Any, headers: Headers) -> Future[Outcome]:
        """Put a message into a mailbox of this node; the future is of what becomes of it."""
        outcome: Future[Outcome] = Future()
        agent.tell(Delivery(agent, message, headers, outcome.try_set))
        return outcome

    def refuse(
        self, address: Address, message: Any, headers: Headers, reason: str, error: Exception | None = None
    ) -> Future[Outcome]:
        """Publish a told message that will not leave as a dead letter."""
        self._letters.bury(str(address), reason, message, headers.sender, error=error)
        return Future.completed(Outcome.DEAD_LETTERED)

    def resend(self, letter: DeadLetter) -> Future[Outcome]:
        """Tell the message of a dead letter once more; a replica that is gone has others of its name."""
        address = parse_address(letter.address, namespace=self._namespace, node=self._node)
        headers = Headers(letter.sender)
        if self.is_local(address):
            hosted = self.hosted(address.agent) or self.hosted(address.agent.partition("#")[0])
            agent = None if hosted is None else hosted.pick()
            if agent is not None:
                return self.tell_here(agent, letter.message, headers)
        return self.tell(address, letter.message, headers)

    # -- anywhere --------------------------------------------------------------------------------------------

    def tell(self, address: Address, message: Any, headers: Headers) -> Future[Outcome]:
        """Send a message to an agent that is not here."""
        if self.is_local(address) or address.namespace != self._namespace:
            return self.refuse(address, message, headers, "no_such_agent")
        outcome: Future[Outcome] = Future()
        self._wait_for_room(address, outcome)
        failure = self._send(address, Kind.TELL, message, headers, Tell(outcome))
        if isinstance(failure, MailboxFullError):
            self._letters.bury(str(address), "mailbox_full", message, headers.sender, error=failure)
            outcome.set(Outcome.DEAD_LETTERED)
        elif failure is not None:
            outcome.set_exception(failure)
        return outcome

    def ask(self, address: Address, message: Any, headers: Headers, future: Future[Any]) -> None:
        """Ask an agent that is not here; the future is of the reply."""
        self.request(address, Kind.ASK, message, headers, Ask(future, message, headers.budget))

    def request(self, address: Address, kind: str, message: Any, headers: Headers, call: Ask) -> Future[Any]:
        """Send what has a reply to an agent that is not here."""
        future = call.future
        if self.is_local(address) or address.namespace != self._namespace:
            call.fail(NoSuchAgentError(str(address)), Outcome.DEAD_LETTERED)
            return future
        self._wait_for_room(address, future)
        failure = self._send(address, kind, message, headers, call)
        if failure is not None:
            call.fail(failure, Outcome.DEAD_LETTERED)
        return future

    def stop(self, address: Address, *, now: bool) -> Future[bool]:
        """Ask an agent of another node to end."""
        future: Future[bool] = Future()
        failure = self._send(address, Kind.STOP, now, PLAIN, Ask(future, now))
        if failure is not None:
            future.try_set_exception(failure)
        return future

    def control(self, address: Address, order: Order) -> Future[bool]:
        """Tell an agent of another node something past its mailbox."""
        future: Future[bool] = Future(cancellable_by_waiter=True)
        if self.is_local(address) or address.namespace != self._namespace:
            future.set_exception(NoSuchAgentError(str(address)))
            return future
        failure = self._send(address, Kind.CONTROL, order, PLAIN, Ask(future, order))
        if failure is not None:
            future.try_set_exception(failure)
        return future

    def _send(
        self,
        address: Address,
        kind: str,
        message: Any,
        headers: Headers,
        call: Call,
    ) -> Exception | None:
        """Encode on the caller's thread, and hand over to the node; gives what went wrong."""
        if self._node_actor.queued >= self._max_queued:
            return MailboxFullError(self._max_queued)
        try:
            body = message.json if isinstance(message, Body) else encode_body(message)
        except (TypeError, ValueError, RecursionError, msgspec.ValidationError) as error:
            return EncodeError(f"the message has no JSON form: {error}")
        name, version = type_and_version(message)
        try:
            self._node_actor.tell(Parcel(address, kind, body, name, version, headers, call, message))
        except BusClosedError as error:
            return error
        return None

    def _wait_for_room(self, address: Address, future: Future[Any]) -> None:
        """Hold up a thread that sends faster than the other node handles; a loop is never held up.

        One agent that is full holds up who sends to it, long before the others of its node.
        """
        if running_loop() is None:
            self._take_permit(address, self._agent_capacity, future)
            self._take_permit(address.node, self._capacity, future)

    def _take_permit(self, whose: Address | str, count: int, future: Future[Any]) -> None:
        permits = self._permits.get(whose)
        if permits is None:
            self._forget_unused()
            permits = self._permits.setdefault(whose, Permits(count))
        permits.take()
        future.add_done_callback(lambda _future: permits.give())

    def _forget_unused(self) -> None:
        """Drop the permits of those that nothing is under way to, once there are many."""
        if len(self._permits) > MAX_UNUSED:
            for whose, permits in list(self._permits.items()):
                if permits.unused:
                    self._permits.pop(whose, None)

    # -- lives -----------------------------------------------------------------------------------------------

    def watch(self, address: Address, callback: Callable[[AgentDown], Any]) -> Subscription:
        """Call back once, when an agent is dead."""
        lane = self._runtime.callbacks.lane(callback, loop=self._home.loop)
        watch = self._watch_here if self.is_local(address) else self._watch_there
        undo = watch(address, object(), lane)

        def cancel() -> None:
            lane.close()
            with suppress(BusClosedError, RuntimeFault):  # then there is nothing to undo
                undo()

        return Subscription(cancel)

    def _watch_there(self, address: Address, key: object, lane: Lane[AgentDown]) -> Callable[[], object]:
        self._node_actor.tell(NodeActor.Watch(address, key, lane.post))
        return partial(self._node_actor.tell, NodeActor.Unwatch(address, key))

    def _watch_here(self, address: Address, key: object, lane: Lane[AgentDown]) -> Callable[[], object]:
        hosted = self._house.get(address.agent)
        if hosted is None:
            lane.post(AgentDown(str(address), "no_such_agent"))
            return lambda: None
        on_loop = self._runtime.io.call_soon
        on_loop(self._watches.add, hosted, key, lane.post)
        return lambda: on_loop(self._watches.remove, hosted, key)
