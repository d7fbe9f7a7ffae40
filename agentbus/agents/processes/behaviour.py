"""A behaviour that is a child process: it starts with one, hands each message on, and ends with it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from agentbus.agents.address import Address
from agentbus.agents.agent import AgentContext
from agentbus.agents.calls import Ask, Parcel, type_and_version
from agentbus.agents.delivery import Body, Delivery
from agentbus.agents.envelope import NOTHING, Envelope, Kind, decode_envelope, encode_body, encode_envelope
from agentbus.agents.events import AgentProgress, ProcessExited, ProcessStarted
from agentbus.agents.failures import rebuild
from agentbus.agents.handlers import HandlerTable
from agentbus.agents.outcome import Outcome
from agentbus.agents.processes.child import Child, Owner
from agentbus.agents.processes.flows import ParentFlow, StreamAsk
from agentbus.agents.processes.frames import (
    Answered,
    Begin,
    Flow,
    Handle,
    JobProgress,
    KeepEffect,
    Progress,
    Steer,
    fitting,
)
from agentbus.agents.processes.spec import ProcessSpec
from agentbus.errors import (
    AgentError,
    AgentStopped,
    BodyTooLargeError,
    EncodeError,
    UndecodableMessageError,
    UnhandledMessageError,
)
from agentbus.runtime.cell_control import Refusal
from agentbus.runtime.cell_core import agent_failed
from agentbus.runtime.cell_job import current_job


class Gone:
    """To a behaviour, on its control lane: its process has ended between two messages."""

    def __init__(self, child: Child, error: AgentError) -> None:
        self.child = child
        self.error = error


class ProcessBehaviour:
    """An agent that lives in a child process.

    Args:
        context: where its cell lives.
        table: its handlers, to refuse early what it does not take.
        spec: what the child makes the agent of.
    """

    def __init__(self, context: AgentContext, table: HandlerTable, spec: ProcessSpec) -> None:
        self._context = context
        self._cell = context.cell
        self._table = table
        self._spec = spec
        self._address = Address(context.bus.namespace, context.bus.node, context.name)
        self._child: Child | None = None
        self._deliveries: dict[int, Delivery] = {}
        self._flows: dict[int, ParentFlow] = {}

    # -- a life, in order ------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Start the process, and wait until its agent has started."""
        bus = self._context.bus
        node = f"{bus.node}.{self._context.name}.{self._cell.runtime.new_id()[:6]}"
        begin = Begin(
            self._spec.target,
            self._spec.pickled,
            self._context.name,
            self._context.address,
            bus.namespace,
            node,
            bus.trust,
            self._spec.main,
            self._spec.takes_jobs,
        )
        owner = Owner(self._marked, self._progress, self._flow, bus.invitation, self._gone, self._said_of_job)
        child = await Child.launch(begin, owner)
        self._cell.loop.create_task(self._follow(child, node), name=f"process of {self._context.address}")
        bus.report(ProcessStarted(0, child.process_id, node))
        try:
            await child.ready
        except BaseException:
            child.kill()
            raise
        self._child = child

    async def _follow(self, child: Child, node: str) -> None:
        exit_code = await child.follow()
        self._context.bus.report(ProcessExited(0, child.process_id, node, exit_code, None))

    async def on_stop(self) -> None:
        """Let the agent end, and wait for its process."""
        if self._child is not None:
            await self._child.stop()

    async def on_failure(self, error: BaseException) -> None:
        """End the process: the next behaviour has one of its own."""
        del error
        if self._child is not None:
            self._child.kill()

    # -- what the process says -------------------------------------------------------------------------------

    def _marked(self, number: int) -> None:
        delivery = self._deliveries.get(number)
        if delivery is not None and self._context.stalls is not None:
            self._context.stalls.mark(delivery)

    def _progress(self, frame: Progress) -> None:
        self._context.bus.report(AgentProgress(self._context.address, frame.note, frame.done))

    def _flow(self, frame: Flow) -> None:
        flow = self._flows.get(frame.number)
        if flow is not None:
            flow.take(frame)

    def _said_of_job(self, frame: JobProgress | KeepEffect) -> None:
        """Take what is said of a job, by an agent that takes some."""

    def _gone(self, error: AgentError | None) -> None:
        """Take an end between two messages: the agent's own wish, or a failure without a message."""
        if error is None:
            self._cell.ref.stop()
        elif self._child is not None:
            self._cell.ref.tell_control(Gone(self._child, error))

    def on_control(self, message: Any) -> Any:
        """Fail with the end of the process; hand on what somebody steers the agent by."""
        if not isinstance(message, Gone):
            return self._steer(message)
        if message.child is self._child:
            raise message.error
        return None

    async def _steer(self, message: Any) -> Refusal | None:
        """Have the agent take advice, and wait for that."""
        child = self._child
        if child is None:
            raise AgentStopped(f"{self._context.address} has no process yet")
        number = child.number()
        try:
            body = _encoded(message)
            envelope = Envelope(str(number), type=body.type, version=body.version, body=body.json)
            steer = Steer(number, fitting(encode_envelope(envelope)))
        except (EncodeError, BodyTooLargeError) as error:
            return Refusal(error)
        answered = await child.handle(steer)
        if answered.envelope != NOTHING:
            failure = decode_envelope(answered.envelope).failure
            return Refusal(
                UndecodableMessageError("no reason was given") if failure is None else rebuild(failure)
            )
        if answered.outcome != Outcome.DELIVERED:
            await (
                asyncio.get_running_loop().create_future()
            )  # the agent has ended: so will this cell, and say so
        return None

    # -- messages --------------------------------------------------------------------------------------------

    async def on_message(self, message: Any) -> None:
        """Hand one `Delivery` to the process; the reply is given as it comes."""
        delivery: Delivery = message
        if self._child is None:
            return
        number = self._child.number()
        try:
            envelope = self._envelope(delivery, number)
        except (UnhandledMessageError, EncodeError, BodyTooLargeError) as error:
            self._refuse(delivery, error)
            return
        job = current_job.get()
        asked = None if job is None else job.future
        credit = 0 if delivery.outlet is None else delivery.outlet.credit
        attached = delivery.attachment is not None
        handle = Handle(number, asked is not None, self._time_left(delivery), envelope, credit, attached)
        make = Ask if delivery.outlet is None else StreamAsk
        ask = None if asked is None else make(asked, delivery.message, delivery.headers.budget)
        self._deliveries[number] = delivery
        try:
            answered = await self._handle(self._child, handle, delivery, ask)
        finally:
            self._deliveries.pop(number, None)
        if ask is not None:
            _answer(ask, answered.envelope)
        self._settle(delivery, Outcome(answered.outcome), told=ask is None)

    async def _handle(self, child: Child, handle: Handle, delivery: Delivery, ask: Ask | None) -> Answered:
        """Hand a message to the process, with the chunks beside it if there are any."""
        if ask is None or not (handle.credit or handle.attached):
            return await child.handle(handle)
        loop, runtime = self._cell.loop, self._cell.runtime
        flow = self._flows[handle.number] = ParentFlow(handle.number, delivery, ask, child.post, loop)
        flow.begin(runtime)
        try:
            return await child.handle(handle)
        except AgentError as error:
            job = current_job.get()
            if flow.begun and job is not None:
                job.fail(
                    agent_failed(error)
                )  # a second try of the message would begin with the first chunk again
            raise
        finally:
            del self._flows[handle.number]
            flow.close()

    def _envelope(self, delivery: Delivery, number: int) -> msgspec.Raw:
        """Put a message into the form in which it goes between nodes.

        Raises:
            UnhandledMessageError: the agent has no handler for it.
            EncodeError: it has no JSON form.
            BodyTooLargeError: it has more bytes than a frame.
        """
        body = delivery.message
        if not isinstance(body, Body):
            self._table.find(body.__class__)
            body = _encoded(body)
        parcel = Parcel(self._address, Kind.TELL, body.json, body.type, body.version, delivery.headers)
        return fitting(encode_envelope(parcel.envelope(str(number))))

    def _time_left(self, delivery: Delivery) -> float | None:
        deadline = delivery.headers.deadline
        return None if deadline is None else deadline - self._cell.clock.monotonic()

    def _refuse(self, delivery: Delivery, error: Exception) -> None:
        job = current_job.get()
        if job is not None:
            job.fail(error)
        delivery.settle(Outcome.DEAD_LETTERED)
        self._context.bus.bury(delivery, _REASONS.get(type(error), "undecodable"), error)

    def _settle(self, delivery: Delivery, outcome: Outcome, *, told: bool) -> None:
        delivery.settle(outcome)
        if told and outcome is Outcome.DEAD_LETTERED:
            error = UndecodableMessageError("the agent's process could not read the message")
            self._context.bus.bury(delivery, "undecodable", error)


_REASONS: dict[type[Exception], str] = {
    UnhandledMessageError: "unhandled",
    BodyTooLargeError: "body_too_large",
}


def _encoded(message: Any) -> Body:
    """Put a message into the form in which it goes between nodes.

    Raises:
        EncodeError: it has no JSON form.
    """
    try:
        encoded = encode_body(message)
    except (TypeError, ValueError, RecursionError) as error:
        raise EncodeError(f"the message has no JSON form: {error}") from None
    return Body(*type_and_version(message), encoded)


def _answer(ask: Ask, data: msgspec.Raw) -> None:
    if data == NOTHING:  # it came too late for its asker, by the process's clock
        ask.settle(Outcome.EXPIRED)
        return
    envelope = decode_envelope(data)
    if envelope.kind == Kind.REPLY:
        ask.reply(envelope)
    else:
        ask.error(envelope)
