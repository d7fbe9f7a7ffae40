"""Routes: messages for whoever has a capability, one of them or all, here and elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Protocol, TypeVar, overload

from agentbus.agents.address import Address
from agentbus.agents.budgets.budget import Budget
from agentbus.agents.candidates import OneBy, pick, that_stay
from agentbus.agents.finder import Sighting
from agentbus.agents.message import Message, Request
from agentbus.agents.outcome import Outcome
from agentbus.agents.query import Query
from agentbus.agents.ref import AgentRef
from agentbus.errors import NoSuchAgentError
from agentbus.runtime import Future

Reply = TypeVar("Reply")

MAX_TRIES = 10
"""Agents that one ask is offered to at most, where it never reached the ones before."""


class Sender(Protocol):
    """What a route needs of its bus; from any thread."""

    def now(self) -> float:
        """Give the time on the clock of deadlines."""
        ...

    def next_turn(self) -> int:
        """Count the messages of all routes."""
        ...

    def look(self, query: Query) -> Iterable[Sighting]:
        """Give the agents that fit."""
        ...

    def ref_of(self, address: Address) -> AgentRef:
        """Give the ref of an agent."""
        ...

    def appear(self, query: Query, timeout: float) -> Future[Any]:
        """Give the future of the moment when an agent that fits is there, or of the end of the time."""
        ...

    def refuse(self, query: Query, message: Any) -> Future[Outcome]:
        """Publish a told message that nobody is there for as a dead letter."""
        ...


class Route:
    """Sends each message to one of the agents that fit. Safe from any thread; made by `Bus.route`.

    Args:
        sender: the bus.
        query: whom it leads to.
        by: see `Bus.route`.
        key: see `Bus.route`.
        wait_timeout: see `Bus.route`.
    """

    def __init__(
        self, sender: Sender, query: Query, by: OneBy, key: str | Callable[[Any], str], wait_timeout: float
    ) -> None:
        self._sender = sender
        self._query = query
        self._by: OneBy = by
        self._key = key
        self._wait_timeout = wait_timeout

    def __repr__(self) -> str:
        return f"<Route to {self._query}, by {self._by}>"

    def tell(self, message: Message | Any, *, timeout: float | None = None) -> Future[Outcome]:
        """Send a message to one agent and don't wait; see `AgentRef.tell`.

        Where nobody is there, it is a dead letter, after `wait_timeout` if the route has one.
        """
        ref = self.choose(message)
        if ref is not None:
            return ref.tell(message, timeout=timeout)
        if not self._wait_timeout:
            return self._sender.refuse(self._query, message)
        outcome: Future[Outcome] = Future()
        context = copy_context()
        appeared = self._sender.appear(self._query, self._wait_timeout)
        appeared.add_done_callback(lambda _: context.run(self._tell_late, message, timeout, outcome))
        return outcome

    def _tell_late(self, message: Any, timeout: float | None, outcome: Future[Outcome]) -> None:
        ref = self.choose(message)
        if ref is None:
            told = self._sender.refuse(self._query, message)
        else:
            told = ref.tell(message, timeout=timeout)
        told.add_done_callback(partial(_pass_on, outcome))

    @overload
    def ask(
        self, message: Request[Reply], *, timeout: float | None = None, budget: Budget | None = None
    ) -> Future[Reply]: ...
    @overload
    def ask(
        self, message: Message | Any, *, timeout: float | None = None, budget: Budget | None = None
    ) -> Future[Any]: ...
    def ask(self, message: Any, *, timeout: float | None = None, budget: Budget | None = None) -> Future[Any]:
        """Ask one agent; see `AgentRef.ask`.

        If the agent goes before the message has reached it, the next one is asked. If the message may have
        reached it, nobody else is: the future fails as that of `AgentRef.ask` does.

        Args:
            message: see `AgentRef.ask`.
            timeout: seconds to wait, for an agent and for the reply together.
            budget: see `AgentRef.ask`; an agent that the message has not reached has cost nothing.

        Returns:
            The future of the reply. It fails with `NoSuchAgentError` where nobody is there, after
            `wait_timeout` if the route has one, and with what `AgentRef.ask` fails with.
        """
        deadline = None if timeout is None else self._sender.now() + timeout
        asking = RoutedAsk(self, message, deadline, budget)
        asking.start(self._wait_timeout)
        return asking.future

    def choose(self, message: Any, without: frozenset[Address] = frozenset()) -> AgentRef | None:
        """Choose the agent for a message; None if there is none.

        Args:
            message: what is to be sent.
            without: agents that are out of the question.
        """
        key = self._key if isinstance(self._key, str) else self._key(message)
        fitting = self._sender.look(self._query)
        if without:
            fitting = [sighting for sighting in fitting if sighting.address not in without]
        chosen = pick(self._by, fitting, turn=self._sender.next_turn(), key=key)
        return None if chosen is None else self._sender.ref_of(chosen.address)

    def appear(self, timeout: float) -> Future[Any]:
        """Give the future of the moment when an agent is there, or of the end of the time."""
        return self._sender.appear(self._query, timeout)

    def time_left(self, deadline: float | None) -> float | None:
        """Give the seconds until a deadline, at least 0; None without one."""
        return None if deadline is None else max(0.0, deadline - self._sender.now())

    def nobody(self) -> NoSuchAgentError:
        """Make the error for where nobody is there."""
        return NoSuchAgentError(str(self._query))


class RoutedAsk:
    """One ask on its way to one of several agents: offered to the next where it never reached the one before.

    Args:
        route: chooses.
        message: what is asked.
        deadline: on the bus's clock, or None.
        budget: see `AgentRef.ask`.

    Attributes:
        future: of the reply.
    """

    def __init__(self, route: Route, message: Any, deadline: float | None, budget: Budget | None) -> None:
        self.future: Future[Any] = Future(cancellable_by_waiter=True)
        self._route = route
        self._message = message
        self._deadline = deadline
        self._budget = budget
        self._context: Context = copy_context()
        self._tried: frozenset[Address] = frozenset()
        self._asked: Future[Any] | None = None
        self.future.on_cancel(self._cancelled)

    def start(self, wait_timeout: float) -> None:
        """Ask the first agent, or wait until there is one."""
        ref = self._route.choose(self._message)
        if ref is not None:
            self._ask(ref)
        elif wait_timeout:
            left = self._route.time_left(self._deadline)
            self._asked = self._route.appear(wait_timeout if left is None else min(wait_timeout, left))
            self._asked.add_done_callback(lambda _appeared: self._in_context(self._next))
        else:
            self.future.set_exception(self._route.nobody())

    def _in_context(self, step: Callable[[], object]) -> None:
        """Go on as part of what the asker's code is part of, wherever this runs."""
        if not self.future.done():
            self._context.copy().run(step)

    def _next(self) -> None:
        ref = self._route.choose(self._message, self._tried)
        if ref is None:
            self.future.try_set_exception(self._route.nobody())
        else:
            self._ask(ref)

    def _ask(self, ref: AgentRef) -> None:
        self._tried |= {ref.address}
        left = self._route.time_left(self._deadline)
        self._asked = ref.ask(self._message, timeout=left, budget=self._budget)
        self._asked.add_done_callback(partial(self._answered, ref))

    def _answered(self, ref: AgentRef, asked: Future[Any]) -> None:
        error = None if asked.cancelled() else asked.exception()
        if _never_arrived(error, ref) and len(self._tried) < MAX_TRIES:
            self._in_context(self._next)
        else:
            _pass_on(self.future, asked)

    def _cancelled(self) -> None:
        if self._asked is not None:
            self._asked.cancel()


class RouteToAll:
    """Sends each message to every agent that fits, those of suspect nodes included; made by `Bus.route`.

    Args:
        sender: the bus.
        query: whom it leads to.
    """

    def __init__(self, sender: Sender, query: Query) -> None:
        self._sender = sender
        self._query = query

    def __repr__(self) -> str:
        return f"<Route to all of {self._query}>"

    def tell(self, message: Message | Any, *, timeout: float | None = None) -> list[Future[Outcome]]:
        """Send a message to all and don't wait: a future each.

        Raises:
            NoSuchAgentError: nobody is there.
        """
        return [ref.tell(message, timeout=timeout) for ref in self._refs()]

    @overload
    def ask(self, message: Request[Reply], *, timeout: float | None = None) -> list[Future[Reply]]: ...
    @overload
    def ask(self, message: Message | Any, *, timeout: float | None = None) -> list[Future[Any]]: ...
    def ask(self, message: Any, *, timeout: float | None = None) -> list[Future[Any]]:
        """Ask all: a future each.

        Raises:
            NoSuchAgentError: nobody is there.
        """
        return [ref.ask(message, timeout=timeout) for ref in self._refs()]

    def _refs(self) -> list[AgentRef]:
        refs = [self._sender.ref_of(each.address) for each in that_stay(self._sender.look(self._query))]
        if not refs:
            raise NoSuchAgentError(str(self._query))
        return refs


def _never_arrived(error: BaseException | None, ref: AgentRef) -> bool:
    """Whether the message reached no agent: the error is about the one asked, or its node, no other."""
    return isinstance(error, NoSuchAgentError) and error.address in {str(ref), ref.node}


def _pass_on(waiting: Future[Any], done: Future[Any]) -> None:
    if done.cancelled():
        waiting.cancel()
        return
    error = done.exception()
    if error is None:
        waiting.try_set(done.get())
    else:
        waiting.try_set_exception(error)
