"""`AgentRef`: the address of an agent, here or anywhere; the caller can't tell, save by latency."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from agentbus.agents.address import Address
from agentbus.agents.budgets.budget import Budget
from agentbus.agents.budgets.reserving import reserved
from agentbus.agents.control import PAUSE, RESUME, Order, carry_out, steer_order
from agentbus.agents.deadlines import deadline_after, too_late
from agentbus.agents.delivery import Delivery
from agentbus.agents.headers import HOP_LIMIT, Headers, check_key, first_to_wait, inherited, keyed, waited_for
from agentbus.agents.hosted import Hosted, LocalAgent
from agentbus.agents.message import Message, Request, Streaming
from agentbus.agents.outcome import Outcome
from agentbus.agents.post import PostOffice
from agentbus.agents.scope import Scope, current_scope
from agentbus.agents.streams.sources import Attachable, check_attachable
from agentbus.agents.streams.stream import DEFAULT_CREDIT, AgentStream
from agentbus.agents.watching import AgentDown
from agentbus.errors import BudgetExhausted, HopLimitError
from agentbus.runtime import Future, Subscription
from agentbus.runtime.cell_job import shielded

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
        self,
        message: Message | Any,
        *,
        timeout: float | None = None,
        budget: Budget | None = None,
        key: str | None = None,
    ) -> Future[Outcome]:
        """Send a message and don't wait.

        A thread that sends to another node faster than the link carries is held up; who awaits the outcome
        is too.

        Args:
            message: a `Message`; a plain pykka actor takes anything.
            timeout: seconds after which nobody needs it handled any more; None = never.
            budget: what it may use up, given away for good; without one it costs the sender nothing.
            key: the same for every re-send of this; an agent with a store handles it once.

        Returns:
            The future of what became of it, for those who care. It fails only with `BusClosedError` or
            `EncodeError`.

        Raises:
            TypeError: the timeout is no number.
        """
        deadline = None if timeout is None else deadline_after(self._post.now(), timeout)
        scope = current_scope.get()
        headers = inherited(scope, deadline)
        if key is not None:
            check_key(key)
            headers = keyed(headers, key)
        if headers.hops > HOP_LIMIT:
            return self._post.refuse(self.address, message, headers, "hop_limit")
        if budget is not None:
            try:
                headers = reserved(headers, scope, budget, self._post.now(), for_good=True)
            except BudgetExhausted as error:
                return self._post.refuse(self.address, message, headers, "budget_exhausted", error)
        agent = self._pick()
        if agent is None:
            return self._post.tell(self.address, message, headers)
        return self._post.tell_here(agent, message, headers)

    @overload
    def ask(
        self,
        message: Request[Reply],
        *,
        timeout: float | None = None,
        budget: Budget | None = None,
        attach: Attachable | None = None,
        key: str | None = None,
    ) -> Future[Reply]: ...
    @overload
    def ask(
        self,
        message: Message | Any,
        *,
        timeout: float | None = None,
        budget: Budget | None = None,
        attach: Attachable | None = None,
        key: str | None = None,
    ) -> Future[Any]: ...
    def ask(
        self,
        message: Any,
        *,
        timeout: float | None = None,
        budget: Budget | None = None,
        attach: Attachable | None = None,
        key: str | None = None,
    ) -> Future[Any]:
        """Send a message and get the future of the reply.

        Inside a handler the handler's own deadline holds too: nobody would wait for the reply after it.

        Args:
            message: a `Message`; a plain pykka actor takes anything.
            timeout: seconds to wait; the deadline travels along, and work that is too late is not started.
            budget: what it may use up with all that it causes; in a handler with a budget it is a part of
                that, all that is left if nothing is said, and what is not spent comes back with the answer.
            attach: chunks that the handler reads as `self.attachment`, no faster than it takes them: an
                iterable or async iterable of messages, JSON values or bytes, or an open binary file.
            key: the same for every re-send of this; an agent with a store handles it once, and gives the
                same reply.

        Returns:
            The future of the reply. It fails with `AskTimeoutError`, `NoSuchAgentError`, `AgentFailed`,
            `AgentRestarted`, `AgentStopped`, `UndecodableMessageError`, `UnhandledMessageError`,
            `MailboxFullError`, `OutcomeUnknownError`, `NotTrustedError`, `BodyTooLargeError`,
            `HopLimitError`, `BudgetExhausted`, `EncodeError`, `BusClosedError`, or an exception that the
            handler declares. Cancelling it cancels the handler that works on it, here or elsewhere, and what
            that has asked.

        Raises:
            TypeError: that can't be attached, or the timeout is no number.
        """
        if attach is not None:
            check_attachable(attach)
        if key is not None:
            check_key(key)
        scope = current_scope.get()
        delivery = None if scope is None else scope.delivery
        if scope is None or delivery is None:
            return self._ask_from_outside(message, timeout, budget, attach, key, scope)
        before = delivery.headers
        deadline = before.deadline
        if timeout is not None or deadline is not None:
            deadline = self._deadline(timeout, deadline)
        wait = self._post.waits.open(scope)
        if wait.done():
            return wait  # nobody wants what the handler does any more
        headers = waited_for(scope, before, deadline, wait.number)
        if budget is None and key is None and before.budget is None and headers.hops <= HOP_LIMIT:
            self._ask(message, headers, attach, wait)
        else:
            self._ask_with(message, headers, scope, budget, key, attach, wait)
        return wait

    def _ask_from_outside(
        self,
        message: Any,
        timeout: float | None,
        budget: Budget | None,
        attach: Attachable | None,
        key: str | None,
        scope: Scope | None,
    ) -> Future[Any]:
        """Ask for a program, or in a hook of an agent: messages wait for the answer only while it starts."""
        headers = inherited(scope, self._deadline(timeout, None))
        if scope is not None and scope.starting:
            wait = self._post.waits.open(scope)
            if not wait.done():
                headers = first_to_wait(headers, wait.number)
                self._ask_with(message, headers, scope, budget, key, attach, wait)
            return wait
        future: Future[Any] = Future(cancellable_by_waiter=True)
        self._ask_with(message, headers, scope, budget, key, attach, future)
        return future if scope is None else scope.agent.cell.track(future)

    def _ask_with(
        self,
        message: Any,
        headers: Headers,
        scope: Scope | None,
        budget: Budget | None,
        key: str | None,
        attach: Attachable | None,
        future: Future[Any],
    ) -> None:
        if key is not None:
            headers = keyed(headers, key)
        try:
            headers = self._paid(headers, scope, budget)
        except (HopLimitError, BudgetExhausted) as error:
            future.set_exception(error)
            return
        self._ask(message, headers, attach, future)

    def _ask(self, message: Any, headers: Headers, attach: Attachable | None, future: Future[Any]) -> None:
        agent = self._pick()
        if agent is not None and attach is None:
            agent.ask(Delivery(agent, message, headers), future)
        elif attach is None:
            self._post.ask(self.address, message, headers, future)
        else:
            self._post.flows.ask(self.address, agent, message, headers, attach, future)
        if headers.budget is not None or headers.deadline is not None:
            self._watch_costs(headers, future)

    def _paid(self, headers: Headers, scope: Scope | None, budget: Budget | None) -> Headers:
        """Set aside what an ask may cost.

        Raises:
            HopLimitError: too many messages have led to it.
            BudgetExhausted: there is not so much left.
        """
        if headers.hops > HOP_LIMIT:
            raise HopLimitError(HOP_LIMIT)
        if budget is None and (scope is None or scope.account is None):
            return headers
        return reserved(headers, scope, budget, self._post.now())

    def _watch_costs(self, headers: Headers, future: Future[Any]) -> None:
        """Settle the account with the answer, and end the wait in time."""
        account = headers.budget
        if account is not None:
            account.until(future)
        if headers.deadline is not None and not future.done():
            late = too_late if account is None else account.late_error(headers.deadline)
            self._post.deadlines.add(future, headers.deadline, late)

    @overload
    def stream(
        self,
        message: Streaming[Reply] | Request[Reply],
        *,
        timeout: float | None = None,
        budget: Budget | None = None,
        credit: int = DEFAULT_CREDIT,
        attach: Attachable | None = None,
    ) -> AgentStream[Reply]: ...
    @overload
    def stream(
        self,
        message: Message | Any,
        *,
        timeout: float | None = None,
        budget: Budget | None = None,
        credit: int = DEFAULT_CREDIT,
        attach: Attachable | None = None,
    ) -> AgentStream[Any]: ...
    def stream(
        self,
        message: Any,
        *,
        timeout: float | None = None,
        budget: Budget | None = None,
        credit: int = DEFAULT_CREDIT,
        attach: Attachable | None = None,
    ) -> AgentStream[Any]:
        """Send a message and get what its handler, a generator, yields; a plain handler's reply is one chunk.

        Args:
            message: a `Message`.
            timeout: seconds until the end, all chunks included; the deadline travels along.
            budget: see `ask`; what is not spent comes back with the end of the stream.
            credit: chunks that may wait for the consumer, 1 to 10 000; then the producer pauses.
            attach: see `ask`.

        Returns:
            The stream. It ends with what an ask fails with, after all chunks that had arrived before.

        Raises:
            ValueError: the credit is out of range.
        """
        scope = current_scope.get()
        delivery = None if scope is None else scope.delivery
        outer = None if delivery is None else delivery.headers.deadline
        headers = inherited(scope, self._deadline(timeout, outer))
        try:
            headers = self._paid(headers, scope, budget)
        except (HopLimitError, BudgetExhausted) as error:
            return AgentStream.failed(error)
        stream = self._post.flows.stream(self.address, self._pick(), message, headers, credit, attach)
        self._watch_costs(headers, stream.future)
        if scope is not None:
            stream.end_with(scope.agent.cell)
        return stream

    def _pick(self) -> LocalAgent | None:
        """Give the agent if it is here; once found it is kept, as cells outlive what is inside them."""
        self._post.check_fork()
        agent = None if self._hosted is None else self._hosted.pick()
        if agent is None and self.is_local:
            self._hosted = self._post.hosted(self.address.agent)
            agent = None if self._hosted is None else self._hosted.pick()
        return agent

    def _deadline(self, timeout: float | None, outer: float | None) -> float | None:
        """Give the deadline of an ask: its own, and that of the message that is handled."""
        own = None if timeout is None else deadline_after(self._post.now(), timeout)
        if outer is None or shielded.get():
            return own
        return outer if own is None else min(own, outer)

    # -- past the mailbox ------------------------------------------------------------------------------------

    def pause(self) -> Future[bool]:
        """Have the agent take no more messages: what it works on goes on, and its mailbox fills.

        A restart keeps the pause; `resume` ends it, and so does a `stop` that waits for the mailbox.

        Returns:
            The future of when that holds: False if the agent ends before. It fails with `NoSuchAgentError`,
            `OutcomeUnknownError`, `NotTrustedError`, `MailboxFullError` or `BusClosedError`.
        """
        return self._control(Order(PAUSE))

    def resume(self) -> Future[bool]:
        """Have the agent take messages again; see `pause`."""
        return self._control(Order(RESUME))

    def steer(self, message: Message | Any) -> Future[bool]:
        """Hand a message to the agent's `on_control`, past its mailbox and while it works.

        Args:
            message: a `Message`, or a plain value.

        Returns:
            The future of when `on_control` has returned, as with `pause`; it fails with `AgentFailed` too, if
            that raised, and with `UndecodableMessageError` and `EncodeError`.
        """
        return self._control(steer_order(message))

    def _control(self, order: Order) -> Future[bool]:
        self._post.check_fork()
        hosted = (self._post.hosted(self.address.agent) or self._hosted) if self.is_local else None
        if hosted is not None:
            return carry_out(hosted, order)
        return self._post.control(self.address, order)

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
        return Future.completed(value=False) if hosted is None else hosted.stop(now=now)
