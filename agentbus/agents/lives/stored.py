"""An agent whose state outlives it: restored before it starts, stored before each of its answers leaves.

The inner behaviour handles a stand-in of the message, with an asker and an outcome of its own. What becomes
of the message is known only here until the state and the message's key are durable; then it is passed on.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine, Generator
from typing import Any

import msgspec

from agentbus.agents.agent import AgentContext, AsyncAgentActor
from agentbus.agents.behaviour import AgentBehaviour
from agentbus.agents.calls import type_and_version
from agentbus.agents.delivery import Delivery
from agentbus.agents.envelope import encode_body
from agentbus.agents.failures import describe, rebuild
from agentbus.agents.handlers import decode_reply
from agentbus.agents.lives.store import Answer, Commit, Store
from agentbus.agents.message import Message, reply_type
from agentbus.agents.outcome import Outcome
from agentbus.errors import EncodeError
from agentbus.runtime import Future
from agentbus.runtime.cell import Behaviour
from agentbus.runtime.cell_job import Job, current_job

Steps = Generator[Any, Any, Any]
"""Code that waits for futures: on a loop by `await`, on a thread by `get`."""


class StoredBehaviour:
    """A behaviour with a store.

    Args:
        inner: what handles messages.
        agent: the agent in it.
        store: keeps its state.
        context: where it lives.
    """

    def __init__(self, inner: Behaviour, agent: AgentBehaviour, store: Store, context: AgentContext) -> None:
        self._inner = inner
        self._agent = agent
        self._store = store
        self._name = context.name
        self._last: bytes | None = None
        self._awaits = isinstance(agent.agent, AsyncAgentActor)

    # -- hooks -----------------------------------------------------------------------------------------------

    def on_start(self) -> Any:
        """Restore the state, if there is one; then run the agent's hook."""
        return self._run(self._restore())

    def on_stop(self) -> Any:
        """Run the agent's hook."""
        return self._inner.on_stop()

    def on_failure(self, error: BaseException) -> Any:
        """Run the agent's hook; what the failure has left of the state is forgotten with the object."""
        return self._inner.on_failure(error)

    def on_control(self, message: Any) -> Any:
        """Leave it to the inner behaviour."""
        return self._inner.on_control(message)

    def _restore(self) -> Steps:
        state: bytes | None = yield self._store.load(self._name)
        if state is not None:
            self._agent.in_scope(self._agent.agent.restore, msgspec.json.decode(state))
        started = self._inner.on_start()
        if inspect.isawaitable(started):
            yield from _awaited(started)

    def _run(self, steps: Steps) -> Any:
        """Take steps, as the agent's kind waits; whatever is done already is not waited for."""
        try:
            step = next(steps)
            while isinstance(step, Future) and step.done() and step.exception() is None:
                step = steps.send(step.get())
        except StopIteration as over:
            return over.value
        return _await(steps, step) if self._awaits else _block(steps, step)

    # -- messages --------------------------------------------------------------------------------------------

    def on_message(self, message: Any) -> Any:
        """Handle one `Delivery`, or answer it as before if its key was handled before."""
        return self._run(self._handle(message))

    def _handle(self, delivery: Delivery) -> Steps:
        key = delivery.headers.key
        if key is not None:
            answer: Answer | None = yield self._store.find(self._name, key)
            if answer is not None:
                return self._answer_again(delivery, answer)
        if self._last is None:
            self._last = self._snapshot()
        stand_in = StandIn(delivery)
        try:
            result = stand_in.run(self._inner.on_message)
            if inspect.iscoroutine(result):
                result = yield from _awaited(stand_in.scoped(result))
        except BaseException as error:
            if stand_in.gave_in(error):
                self._undo()
            raise
        if stand_in.outcome is Outcome.DELIVERED:
            commit = self._commit(stand_in, result)
            self._last = commit.state  # it is on its way, whoever stops waiting for it
            yield self._store.commit(commit)
        elif stand_in.outcome is Outcome.DEAD_LETTERED:
            self._undo()
        return stand_in.pass_on(result)

    def _commit(self, stand_in: StandIn, result: Any) -> Commit:
        key = stand_in.delivery.headers.key
        answer = None if key is None else stand_in.answer(result)
        return Commit(self._name, self._snapshot(), key, answer)

    def _snapshot(self) -> bytes:
        return msgspec.json.encode(self._agent.in_scope(self._agent.agent.snapshot))

    def _undo(self) -> None:
        """Take back what a message has changed that was not handled to its end."""
        if self._last is not None:
            self._agent.in_scope(self._agent.agent.restore, msgspec.json.decode(self._last))

    def _answer_again(self, delivery: Delivery, answer: Answer) -> Any:
        """Give the answer that was given before."""
        job = current_job.get()
        if answer.failure is not None:
            if job is not None:
                job.fail(rebuild(answer.failure))
            delivery.settle(Outcome.DELIVERED)
            return None
        asked: type[Message] | None = None
        if isinstance(delivery.message, Message):
            asked = type(delivery.message)
        expected = None if asked is None else reply_type(asked)
        near = (asked or type(self._agent.agent)).__module__
        value = decode_reply(answer.type, answer.version, answer.body, expected=expected, near=near)
        delivery.settle(Outcome.DELIVERED)
        return value


class StandIn:
    """A message as the inner behaviour sees it: the same, but what becomes of it is told here only.

    Attributes:
        delivery: what the inner behaviour gets.
        outcome: what became of it; None if it failed.
    """

    def __init__(self, delivery: Delivery) -> None:
        self._outer = delivery
        self._outer_job = current_job.get()
        self.outcome: Outcome | None = None
        self.delivery = Delivery(delivery.agent, delivery.message, delivery.headers, self._settled)
        asked = self._outer_job is not None and self._outer_job.future is not None
        self._future: Future[Any] | None = Future[Any]().quiet() if asked else None
        self._job = Job(self._future, message=self.delivery)
        if self._outer_job is not None:
            self._job.stand_in_for(self._outer_job)

    def _settled(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def gave_in(self, error: BaseException) -> bool:
        """Whether the handler was cut off, and its agent goes on all the same."""
        job = self._outer_job
        return isinstance(error, asyncio.CancelledError) or (job is not None and job.gave_in(error))

    def run(self, handle: Any) -> Any:
        """Hand the message to the inner behaviour."""
        token = current_job.set(self._job)
        try:
            return handle(self.delivery)
        finally:
            current_job.reset(token)
            self._outer.message = self.delivery.message  # decoded meanwhile: events and letters name its type

    async def scoped(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run the rest of the inner handler; it has a task, and so a context, of its own."""
        token = current_job.set(self._job)
        try:
            return await coroutine
        finally:
            current_job.reset(token)

    def answer(self, result: Any) -> Answer:
        """Put what the asker gets into its stored form; a tell is answered with nothing.

        Raises:
            EncodeError: the reply has no JSON form.
        """
        if self._future is None:
            return Answer()
        if self._future.done():
            error = self._future.exception()
            if error is not None:
                return Answer(failure=describe(error, declared=True))
            result = self._future.get()
        try:
            body = encode_body(result)
        except (TypeError, ValueError, RecursionError) as error:
            raise EncodeError(
                f"a reply under a key is stored, and this one has no JSON form: {error}"
            ) from None
        kind, version = type_and_version(result)
        return Answer(kind, version, body)

    def pass_on(self, result: Any) -> Any:
        """Let what became of the message out; gives the reply that is still to be given."""
        job = self._outer_job
        if job is not None and self._future is not None and self._future.done():
            error = self._future.exception()
            if error is None:
                job.reply(self._future.get())
            else:
                job.fail(error)
        if self.outcome is not None:
            self._outer.settle(self.outcome)
        return result


def _awaited(awaitable: Any) -> Steps:
    """Wait for a coroutine of the agent's among the steps; only agents on a loop have such."""
    return (yield awaitable)


async def _await(steps: Steps, step: Any) -> Any:
    while True:
        try:
            value = await step
        except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001 -- given to the steps
            step = _throw(steps, error)
        else:
            step = _send(steps, value)
        if step.__class__ is _Over:
            return step.value


def _block(steps: Steps, step: Any) -> Any:
    while step.__class__ is not _Over:
        try:
            value = step.get()
        except Exception as error:  # noqa: BLE001 -- given to the steps
            step = _throw(steps, error)
        else:
            step = _send(steps, value)
    return step.value


class _Over:
    """The steps have ended."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _send(steps: Steps, value: Any) -> Any:
    try:
        return steps.send(value)
    except StopIteration as over:
        return _Over(over.value)


def _throw(steps: Steps, error: BaseException) -> Any:
    try:
        return steps.throw(error)
    except StopIteration as over:
        return _Over(over.value)
