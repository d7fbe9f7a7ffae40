"""What a cell runs for an agent: decode, look at the deadline, call the handler, settle the message."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pykka
from pykka import messages

from agentbus.agents.agent import Agent, AgentContext, ChildLost
from agentbus.agents.deadlock.reentry import Reentry
from agentbus.agents.delivery import Body, Delivery
from agentbus.agents.handlers import Handler, HandlerTable, decode_reply
from agentbus.agents.outcome import Outcome
from agentbus.agents.scope import Scope, current_scope
from agentbus.agents.streams.producing import Later, streamed
from agentbus.errors import (
    AskTimeoutError,
    BudgetExhausted,
    UndecodableMessageError,
    UnhandledMessageError,
)
from agentbus.runtime.cell_events import ChildDown
from agentbus.runtime.cell_job import current_job

if TYPE_CHECKING:
    from agentbus.runtime.cell_context import CellContext
    from agentbus.runtime.outlet import Outlet


_DELIVERED = Outcome.DELIVERED  # Python 3.11 takes 0.1 us to look up a member of an enum


class AgentBehaviour:
    """An agent in its cell.

    Args:
        context: where it lives.
        table: its handlers.
        make: makes the agent's object, bound to the context.
    """

    def __init__(
        self, context: AgentContext, table: HandlerTable, make: Callable[[AgentContext], Agent]
    ) -> None:
        self._context = context
        self._table = table
        self._idle = Scope(context, None)
        self._silence = context.silence
        self._agent: Agent = self._in_scope(self._idle, make, context)
        if self._agent.receive_timeout is not None and self._silence.seconds is None:
            self._silence.set(self._agent.receive_timeout)

    @property
    def agent(self) -> Agent:
        """The agent's object."""
        return self._agent

    def in_scope(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Call a hook of the agent's as its other hooks are called."""
        return self._in_scope(self._idle, fn, *args)

    @staticmethod
    def _in_scope(scope: Scope, fn: Callable[..., Any], *args: Any) -> Any:
        token = current_scope.set(scope)
        try:
            result = fn(*args)
        finally:
            current_scope.reset(token)
        return _scoped(scope, result) if inspect.iscoroutine(result) else result

    # -- hooks -----------------------------------------------------------------------------------------------

    def on_start(self) -> Any:
        """Run the agent's hook."""
        return self._in_scope(Scope(self._context, None, starting=True), self._agent.on_start)

    def on_stop(self) -> Any:
        """Run the agent's hook."""
        return self._in_scope(self._idle, self._agent.on_stop)

    def on_failure(self, error: BaseException) -> Any:
        """Run the agent's hook."""
        return self._in_scope(self._idle, self._agent.on_failure, error)

    def on_control(self, message: Any) -> Any:
        """Tell the agent of a child that has given up, or what somebody steers it by."""
        if isinstance(message, Reentry):
            return message.run(self.on_message, self._context.cell.loop)
        if isinstance(message, ChildDown):
            child = self._context.bus.ref(message.child.name)
            return self._in_scope(self._idle, self._agent.on_child_lost, ChildLost(child, message.error))
        return self._in_scope(self._idle, self._agent.on_control, message)

    # -- messages --------------------------------------------------------------------------------------------

    def on_message(self, message: Any) -> Any:
        """Handle one `Delivery`; the result, which may be a coroutine, is the reply."""
        delivery: Delivery = message
        if self._silence.seconds is not None and self._silence.is_stale(delivery.message):
            delivery.settle(Outcome.DELIVERED)
            return None
        try:
            body, handler = self._prepare(delivery)
        except (AskTimeoutError, BudgetExhausted, UndecodableMessageError, UnhandledMessageError) as error:
            self._refuse(delivery, error)
            return None
        scope = Scope(self._context, delivery)
        method: Callable[[Any], Any] = getattr(self._agent, handler.method)
        if delivery.outlet is not None:
            method = self._streaming(delivery.outlet, method, handler)
        if handler.asynchronous:  # called by its task: one that is cancelled before must leave no coroutine
            return self._finish(delivery, handler, scope, method, body)
        token = current_scope.set(scope)
        try:
            if self._silence.seconds is not None:
                self._silence.began(delivery)
            result = method(body)
        except handler.answers as error:
            self._answer_with(delivery, error)
            return None
        finally:
            current_scope.reset(token)
            if self._silence.seconds is not None:
                self._silence.ended(delivery)
        if inspect.iscoroutine(result) or result.__class__ is Later:
            return self._finish(delivery, handler, scope, lambda _body: result, body)
        delivery.settle(_DELIVERED)
        return result

    def _streaming(
        self, outlet: Outlet[Any], method: Callable[[Any], Any], handler: Handler
    ) -> Callable[[Any], Any]:
        """Give what puts a handler's chunks into a stream."""
        return lambda body: streamed(outlet, method(body), self._context.cell, handler.answers)

    def _prepare(self, delivery: Delivery) -> tuple[Any, Handler]:
        headers = delivery.headers
        if headers.budget is not None:
            headers.budget.begin(self._context.cell.clock.monotonic)
        deadline = headers.deadline
        if deadline is not None and deadline <= self._context.cell.clock.monotonic():
            raise AskTimeoutError("the deadline had passed before the agent came to this message")
        message = delivery.message
        if isinstance(message, Body):
            message = self._table.decode(message.type, message.version, message.json)
            delivery.message = message
        handler = self._table.find(message.__class__)
        if handler.streams and delivery.outlet is None:
            raise UnhandledMessageError(
                f"the handler for {type(message).__name__} yields chunks: use ref.stream(…) for it"
            )
        if handler.convert is not None:
            message = delivery.message = handler.convert(message)
        return message, handler

    def _refuse(self, delivery: Delivery, error: Exception) -> None:
        """Answer without bothering the agent: nothing of its own has failed."""
        _fail_job(error)
        reason = _REASONS.get(type(error), "")
        if not reason or (isinstance(error, BudgetExhausted) and error.what == "wall"):
            delivery.settle(Outcome.EXPIRED)
        else:
            delivery.settle(Outcome.DEAD_LETTERED)
            self._context.bus.bury(delivery, reason, error)

    async def _finish(
        self,
        delivery: Delivery,
        handler: Handler,
        scope: Scope,
        method: Callable[[Any], Awaitable[Any]],
        body: Any,
    ) -> Any:
        current_scope.set(scope)  # it has a context of its own
        try:
            if self._silence.seconds is not None:
                self._silence.began(delivery)
            result = await method(body)
        except asyncio.CancelledError:
            raise
        except handler.answers as error:
            self._answer_with(delivery, error)
            return None
        finally:
            if self._silence.seconds is not None:
                self._silence.ended(delivery)
        if delivery.on_outcome is not None:
            delivery.settle(_DELIVERED)
        return result

    def _answer_with(self, delivery: Delivery, error: Exception) -> None:
        """Give an exception that is a reply to the asker; a budget that nobody hears of is a dead letter."""
        job = current_job.get()
        _fail_job(error)
        if isinstance(error, BudgetExhausted) and (job is None or job.future is None):
            self._context.bus.bury(delivery, "budget_exhausted", error)
            delivery.settle(Outcome.DEAD_LETTERED)
        else:
            delivery.settle(Outcome.DELIVERED)


_REASONS: dict[type[Exception], str] = {
    BudgetExhausted: "budget_exhausted",
    UndecodableMessageError: "undecodable",
    UnhandledMessageError: "unhandled",
}
"""Why a message that an agent does not start on is a dead letter; what is not named here has expired."""


async def _scoped(scope: Scope, coroutine: Awaitable[Any]) -> Any:
    """Run a coroutine in its scope; it has a task, and so a context, of its own."""
    if scope.starting:
        scope.task = asyncio.current_task()
    token = current_scope.set(scope)
    try:
        return await coroutine
    finally:
        current_scope.reset(token)


def _fail_job(error: Exception) -> None:
    job = current_job.get()
    if job is not None:
        job.fail(error)


def _decoded(message: Any) -> Any:
    """Read what came over the wire for an actor that names no types."""
    if not isinstance(message, Body):
        return message
    return decode_reply(message.type, message.version, message.json, expected=None, near=None)


class PykkaBehaviour:
    """A plain pykka actor in a cell: its hooks and handlers as they are, with our mailbox and supervision.

    Args:
        cell: what the cell gives.
        make: makes the actor's object; its own loop is never started.
    """

    def __init__(self, cell: CellContext, make: Callable[[], pykka.Actor]) -> None:
        self._cell = cell
        self._actor = make()
        self._actor._actor_ref = cell.ref.actor_ref  # pyright: ignore[reportPrivateUsage] -- its address is the cell's

    def on_start(self) -> Any:
        """Run the actor's hook."""
        return self._actor.on_start()

    def on_stop(self) -> Any:
        """Run the actor's hook."""
        return self._actor.on_stop()

    def on_failure(self, error: BaseException) -> Any:
        """Run the actor's hook."""
        return self._actor.on_failure(type(error), error, error.__traceback__)

    def on_control(self, message: Any) -> Any:
        """Ignore it: pykka knows no control lane."""

    def on_message(self, message: Any) -> Any:
        """Handle what came over the bus, or through the actor's own ref."""
        if not isinstance(message, Delivery):
            return self._receive(message)
        deadline = message.headers.deadline
        if deadline is not None and deadline <= self._cell.clock.monotonic():
            _fail_job(AskTimeoutError("the deadline had passed before the actor came to this message"))
            message.settle(Outcome.EXPIRED)
            return None
        try:
            body = _decoded(message.message)
        except UndecodableMessageError as error:
            _fail_job(error)
            message.agent.bury(message, "undecodable", error)
            return None
        result = self._receive(body)
        if message.outlet is not None:
            message.outlet.put(result)
        message.settle(Outcome.DELIVERED)
        return result

    def _receive(self, message: Any) -> Any:
        if isinstance(message, messages._ActorStop):  # pyright: ignore[reportPrivateUsage] -- what `self.stop()` sends
            self._cell.ref.stop()
            return None
        return self._actor._handle_receive(message)  # pyright: ignore[reportPrivateUsage] -- proxies included
