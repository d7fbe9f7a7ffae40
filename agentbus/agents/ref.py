"""`AgentRef`: the address of an agent, here or anywhere; the caller can't tell, save by latency."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from agentbus.agents.address import Address
from agentbus.agents.headers import HOP_LIMIT, Headers, inherited, keyed, waited_for
from agentbus.agents.hosted import Hosted, LocalAgent
from agentbus.agents.message import Message, Request
from agentbus.agents.outcome import Outcome
from agentbus.agents.post import PostOffice
from agentbus.agents.scope import Scope, current_scope
from agentbus.agents.watching import AgentDown
from agentbus.errors import HopLimitError
from agentbus.runtime import Future, Subscription

Reply = TypeVar("Reply")


class AgentRef:
    """An agent's address on a bus. Safe to pass to any thread; prints as text that `bus.ref` reads back.

    Attributes:
        address: namespace, node and name.
    """

    __slots__ = ("_hosted", "_post", "address")

    def __init__(self, post: PostOffice, address: Address, hosted: Hosted | None = None) -> None:
        self._post = post
        self._hosted = hosted
        self.address = address

    def __str__(self) -> str:
        return str(self.address)

    def __repr__(self) -> str:
        return f"<AgentRef {self.address}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AgentRef) and other.address == self.address

    def __hash__(self) -> int:
        return hash(self.address)

    @property
    def name(self) -> str:
        """The agent's name on its node."""
        return self.address.agent

    @property
    def node(self) -> str:
        """The node that hosts it."""
        return self.address.node

    @property
    def is_local(self) -> bool:
        """Whether its node is this one."""
        return self._post.is_local(self.address)

    # -- messages --------------------------------------------------------------------------------------------

    def tell(
        self, message: Message | Any, *, timeout: float | None = None, key: str | None = None
    ) -> Future[Outcome]:
        """Send a message and don't wait.

        A thread that sends to another node faster than the link carries is held up; who awaits the outcome
        is too.

        Args:
            message: a `Message`; a plain pykka actor takes anything.
            timeout: seconds after which nobody needs it handled any more; None = never.
            key: the same for every re-send of this; an agent with a store handles it once.

        Returns:
            The future of what became of it, for those who care. It fails only with `BusClosedError` or
            `EncodeError`.
        """
        deadline = None if timeout is None else self._post.now() + timeout
        headers = inherited(current_scope.get(), deadline)
        if key is not None:
            headers = keyed(headers, key)
        if headers.hops > HOP_LIMIT:
            return self._post.refuse(self.address, message, headers, "hop_limit")
        agent = self._pick()
        if agent is None:
            return self._post.tell(self.address, message, headers)
        return self._post.tell_here(agent, message, headers)

    @overload
    def ask(
        self, message: Request[Reply], *, timeout: float | None = None, key: str | None = None
    ) -> Future[Reply]: ...
    @overload
    def ask(
        self, message: Message | Any, *, timeout: float | None = None, key: str | None = None
    ) -> Future[Any]: ...
    def ask(self, message: Any, *, timeout: float | None = None, key: str | None = None) -> Future[Any]:
        """Send a message and get the future of the reply.

        Inside a handler the handler's own deadline holds too: nobody would wait for the reply after it.

        Args:
            message: a `Message`; a plain pykka actor takes anything.
            timeout: seconds to wait; the deadline travels along, and work that is too late is not started.
            key: the same for every re-send of this; an agent with a store handles it once, and gives the
                same reply.

        Returns:
            The future of the reply. It fails with `AskTimeoutError`, `NoSuchAgentError`, `AgentFailed`,
            `AgentRestarted`, `AgentStopped`, `UndecodableMessageError`, `UnhandledMessageError`,
            `MailboxFullError`, `OutcomeUnknownError`, `NotTrustedError`, `BodyTooLargeError`,
            `HopLimitError`, `EncodeError`, `BusClosedError`, or an exception that the handler declares.
            Cancelling it cancels a local handler.
        """
        scope = current_scope.get()
        deadline = self._deadline(timeout, scope)
        headers = inherited(scope, deadline)
        if key is not None:
            headers = keyed(headers, key)
        if headers.hops > HOP_LIMIT:
            return Future.failed(HopLimitError(HOP_LIMIT))
        if scope is not None and scope.delivery is not None:
            number = self._post.waits.open(scope)
            future = self._ask(message, waited_for(headers, scope, number))
            self._post.waits.follow(number, future)
        else:
            future = self._ask(message, headers)
        return future if scope is None else scope.agent.cell.track(future)

    def _ask(self, message: Any, headers: Headers) -> Future[Any]:
        agent = self._pick()
        if agent is None:
            future = self._post.ask(self.address, message, headers)
        else:
            future = self._post.ask_here(agent, message, headers)
        if headers.deadline is not None and not future.done():
            self._post.deadlines.add(future, headers.deadline)
        return future

    def _pick(self) -> LocalAgent | None:
        """Give the agent if it is here; once found it is kept, as cells outlive what is inside them."""
        self._post.check_fork()
        hosted = self._hosted
        agent = None if hosted is None else hosted.pick()
        if agent is None and self.is_local:
            self._hosted = hosted = self._post.hosted(self.address.agent)
            agent = None if hosted is None else hosted.pick()
        return agent

    def _deadline(self, timeout: float | None, scope: Scope | None) -> float | None:
        own = None if timeout is None else self._post.now() + timeout
        outer = None if scope is None or scope.delivery is None else scope.delivery.headers.deadline
        if own is None or outer is None:
            return own if outer is None else outer
        return min(own, outer)

    # -- the agent's life ------------------------------------------------------------------------------------

    def watch(self, callback: Callable[[AgentDown], Any]) -> Subscription:
        """Call `callback(down)` once, when the agent, or its node, is dead. Suspicion does not count.

        Args:
            callback: sync, on a pool thread, or async, on the loop of `bus.start()`; at once if it is dead
                already.
        """
        return self._post.watch(self.address, callback)

    def stop(self, *, now: bool = False) -> Future[bool]:
        """Ask the agent to end after what is in its mailbox, or at once.

        Returns:
            The future of whether it was alive.
        """
        if not self.is_local:
            return self._post.stop(self.address, now=now)
        hosted = self._post.hosted(self.address.agent)
        return Future.completed(False) if hosted is None else hosted.stop(now=now)  # noqa: FBT003 -- a value
