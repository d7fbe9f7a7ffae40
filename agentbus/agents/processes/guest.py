"""The bus of a child process, and the host of the one agent in it, which takes what the parent says."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import msgspec

from agentbus.agents.budgets.account import BudgetAccount
from agentbus.agents.budgets.wire import spent_of
from agentbus.agents.bus import Bus
from agentbus.agents.bus_queues import BusQueues
from agentbus.agents.delivery import Body, Delivery
from agentbus.agents.envelope import NOTHING, Envelope, Kind, decode_envelope, encode_envelope
from agentbus.agents.events import AgentFailure, AgentProgress, AgentStarted, BusEvent
from agentbus.agents.handlers import decode_reply
from agentbus.agents.headers import Headers, headers_of
from agentbus.agents.hosted import LocalAgent
from agentbus.agents.lives.store import Store
from agentbus.agents.outcome import Outcome
from agentbus.agents.processes.channel import Channel
from agentbus.agents.processes.flows import ChildFlow
from agentbus.agents.processes.frames import (
    Answered,
    Begin,
    Cancel,
    EffectKept,
    Ended,
    Failed,
    Flow,
    Handle,
    Invite,
    Invited,
    JobOver,
    Marked,
    Progress,
    Ready,
    Steer,
    Stop,
    ToChild,
    ToParent,
    fitting,
)
from agentbus.agents.queues.core.job import LeasedJob
from agentbus.agents.queues.guest_jobs import GuestJobs
from agentbus.agents.reception import error_envelope, reply_envelope
from agentbus.agents.spawning import ROOT_POLICY, SpawnOptions
from agentbus.agents.trust import TrustMode
from agentbus.agents.uplink import RECONNECT
from agentbus.agents.way import Way
from agentbus.client import SignallingClientOptions
from agentbus.errors import AgentBusError, AgentFailed, BodyTooLargeError, UndecodableMessageError
from agentbus.runtime import Future, Loop, Runtime


class Host:
    """The one agent of a child process, as its parent uses it. Its methods are called on the agents' loop.

    Args:
        begin: what the parent wants.
        over: set to the exit code when this process is to end.
        runtime: where it lives.
    """

    def __init__(self, begin: Begin, over: Future[int], runtime: Runtime) -> None:
        self._begin = begin
        self._over = over
        self._runtime = runtime
        self._loop = runtime.agents
        self._asked: dict[int, Future[Any]] = {}
        self._numbers: dict[Delivery, int] = {}
        self._deliveries: dict[int, Delivery] = {}
        self._flows: dict[int, ChildFlow] = {}
        self._invitations: list[Future[Invited]] = []
        self._failed = False
        self._channel: Channel[ToChild] | None = None
        self._unsent: list[ToParent] = []
        self._agent: LocalAgent | None = None
        self._jobs = GuestJobs(self)

    # -- to the parent, from any thread ----------------------------------------------------------------------

    def post(self, frame: ToParent) -> None:
        """Say something to the parent."""
        self._loop.call_soon(self._post_now, frame)

    def _post_now(self, frame: ToParent) -> None:
        if self._channel is None:
            self._unsent.append(frame)  # bounded: no message has come yet, only the agent's start
        else:
            self._channel.post(frame)

    @property
    def loop(self) -> Loop:
        """Where its methods are called that say nothing else."""
        return self._loop

    def post_if_room(self, frame: ToParent) -> None:
        """Say something that may be left out; from any thread."""
        self._loop.call_soon(self._post_if_room, frame)

    def _post_if_room(self, frame: ToParent) -> None:
        if self._channel is not None and not self._channel.congested:
            self._channel.post(frame)

    def report(self, event: BusEvent) -> None:
        """Pass on what is reported of the agent."""
        if getattr(event, "address", None) != self._begin.address:
            return
        if isinstance(event, AgentStarted):
            self.post(Ready())
        elif isinstance(event, AgentFailure):
            self._failed = True
            self.post(Failed(event.error_type, event.error.partition(": ")[2], event.traceback))
        elif isinstance(event, AgentProgress):
            self._loop.call_soon(self._post_if_room, Progress(event.note, event.done))

    def mark(self, delivery: Delivery) -> None:
        """Pass on that the handling of a message goes on."""
        number = self._numbers.get(delivery)
        # a stored agent sees a stand-in of its one message
        for each in list(self._numbers.values()) if number is None else (number,):
            self._loop.call_soon(self._post_if_room, Marked(each))

    def invite(self) -> Future[Invited]:
        """Ask the parent how to reach the hub."""
        invited: Future[Invited] = Future(cancellable_by_waiter=True)
        self._loop.call_soon(self._ask_invitation, invited)
        return invited

    def _ask_invitation(self, invited: Future[Invited]) -> None:
        self._invitations.append(invited)
        self._post_now(Invite())

    # -- a life, in order ------------------------------------------------------------------------------------

    def connect(self, channel: Channel[ToChild], agent: LocalAgent) -> None:
        """Begin to talk."""
        self._channel = channel
        unsent, self._unsent = self._unsent, []
        for frame in unsent:
            channel.post(frame)
        self._agent = agent
        agent.ended().add_done_callback(lambda _done: self._loop.call_soon(self._agent_ended))

    def take(self, frame: ToChild) -> None:
        """Take what the parent says."""
        match frame:
            case Handle():
                self._handle(frame)
            case Steer():
                self._steer(frame)
            case Flow():
                self._flow(frame)
            case Cancel():
                self._cancel(frame)
            case Stop():
                self._stop()
            case EffectKept():
                self._jobs.kept(frame)
            case Invited():
                self._invited(frame)
            case Begin():
                raise AgentBusError("the parent began twice")

    def _flow(self, frame: Flow) -> None:
        flow = self._flows.get(frame.number)
        if flow is not None:
            flow.take(frame)

    def _cancel(self, frame: Cancel) -> None:
        future = self._asked.get(frame.number)
        if future is not None:
            future.cancel()

    def _stop(self) -> None:
        if self._agent is not None:
            self._agent.stop(now=True)

    def _invited(self, frame: Invited) -> None:
        if self._invitations:
            self._invitations.pop(0).try_set(frame)

    def _agent_ended(self) -> None:
        own_wish = not self._failed and not self._over.done()  # a signal is nobody's wish here
        if own_wish:
            self._post_now(Ended())
        self._over.try_set(1 if self._failed else 0)

    async def _close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            await self._channel.closed()

    def flush(self) -> Future[None]:
        """Let out what has been said, and say no more."""
        return self._loop.run(self._close())

    # -- messages --------------------------------------------------------------------------------------------

    def _handle(self, frame: Handle) -> None:
        agent = self._agent
        if agent is None:
            return
        envelope = decode_envelope(frame.envelope)
        deadline = None if frame.left is None else self._runtime.clock.monotonic() + frame.left
        body = Body(envelope.type, envelope.version, envelope.body)
        if frame.job is not None:
            self._handle_job(frame.number, frame.job, frame.queue, body, headers_of(envelope, deadline))
            return
        settled = None if frame.asked else partial(self._settled, frame.number)
        headers, flow = headers_of(envelope, deadline), None
        if frame.credit or frame.attached:
            flow = self._flows[frame.number] = ChildFlow(frame, self._post_now, self._loop)
            delivery: Delivery = Delivery(agent, body, headers, None, flow.outlet, flow.attachment)
        else:
            delivery = Delivery(agent, body, headers, settled)
        self._deliveries[frame.number] = delivery
        self._numbers[delivery] = frame.number
        if frame.asked:
            future = self._asked[frame.number] = agent.ask(delivery)
            if flow is not None:
                flow.begin(future)
            asked = msgspec.structs.replace(envelope, id=str(frame.number), body=NOTHING)
            future.add_done_callback(partial(self._answered, frame.number, asked, delivery.headers.budget))
        else:
            agent.tell(delivery)

    def _handle_job(self, number: int, job: LeasedJob, queue: str, body: Body, headers: Headers) -> None:
        agent = self._agent
        if agent is not None:
            delivery, future = self._jobs.begin(number, job, queue, agent, body, headers)
            self._deliveries[number], self._numbers[delivery] = delivery, number
            self._asked[number] = future

    def job_over(self, frame: JobOver) -> None:
        """Say how a job's handler has ended; from any thread."""
        self._loop.call_soon(self._let_out, frame)

    def _settled(self, number: int, outcome: Outcome) -> None:
        failed = self._failed and outcome is Outcome.DEAD_LETTERED
        self._loop.call_soon(self._let_out, Answered(number, outcome, failed=failed))

    def _answered(
        self, number: int, asked: Envelope, account: BudgetAccount | None, future: Future[Any]
    ) -> None:
        """Encode the reply where it was made; there is none for who waits no more."""
        envelope, outcome = reply_envelope(asked, future)
        failed = self._failed and not future.cancelled() and isinstance(future.exception(), AgentFailed)
        spent = None if account is None else spent_of(account)
        data = NOTHING if envelope is None else _encoded(msgspec.structs.replace(envelope, spent=spent))
        self._loop.call_soon(self._let_out, Answered(number, outcome, data, failed))

    def _let_out(self, frame: Answered | JobOver) -> None:
        self._asked.pop(frame.number, None)
        flow = self._flows.pop(frame.number, None)
        if flow is not None:
            flow.finish()
            if flow.failure is not None:
                error = Envelope("", Kind.ERROR, correlation=str(frame.number), failure=flow.failure)
                frame = msgspec.structs.replace(frame, envelope=_encoded(error))
        delivery = self._deliveries.pop(frame.number, None)
        if delivery is not None:
            self._numbers.pop(delivery, None)
        self._post_now(frame)

    # -- past the mailbox ------------------------------------------------------------------------------------

    def _steer(self, frame: Steer) -> None:
        """Have the agent take advice; if it fails with that, the end of this process is the answer."""
        agent, envelope = self._agent, decode_envelope(frame.envelope)
        if agent is None or agent.cell is None:
            return
        try:
            message = decode_reply(envelope.type, envelope.version, envelope.body, expected=None, near=None)
        except UndecodableMessageError as error:
            refused = _encoded(error_envelope(str(frame.number), error))
            self._post_now(Answered(frame.number, Outcome.DEAD_LETTERED, refused))
            return
        future = self._asked[frame.number] = agent.cell.steer(message)
        future.add_done_callback(partial(self._steered, frame.number))

    def _steered(self, number: int, future: Future[bool]) -> None:
        if future.exception() is None:
            outcome = Outcome.DELIVERED if future.get() else Outcome.EXPIRED
            self._loop.call_soon(self._let_out, Answered(number, outcome))
        elif future.cancelled():
            self._loop.call_soon(self._asked.pop, number, None)


def _encoded(envelope: Envelope) -> msgspec.Raw:
    try:
        return fitting(encode_envelope(envelope))
    except BodyTooLargeError as error:
        refused = error_envelope(envelope.correlation or "", error, envelope.spent)
        return fitting(encode_envelope(refused))


class ParentWay(Way):
    """The way to the hub of the parent's bus; asked for at the first connection.

    Args:
        host: talks with the parent.
        trust: as the parent's bus.
    """

    def __init__(self, host: Host, trust: TrustMode) -> None:
        super().__init__(None, None, trust)
        self._host = host

    async def open(self) -> SignallingClientOptions:
        """Ask the parent.

        Raises:
            AgentBusError: the parent's way can't be taken by another process.
        """
        invited = await self._invited()
        url, is_key = invited.url, invited.kind == "key"
        if is_key:
            return SignallingClientOptions(api_key=invited.secret, url=url, reconnect=RECONNECT)
        return SignallingClientOptions(token_provider=self._token, url=url, reconnect=RECONNECT)

    async def _token(self) -> str:
        return (await self._invited()).secret

    async def _invited(self) -> Invited:
        invited = await self._host.invite()
        if invited.problem:
            raise AgentBusError(invited.problem)
        return invited


class GuestBus(Bus):
    """The bus that an agent in a child process has: a node of its own, which joins when it is first needed.

    Args:
        host: talks with the parent.
        begin: what the parent wants.
        runtime: where it lives.
    """

    def __init__(self, host: Host, begin: Begin, runtime: Runtime) -> None:
        self._host = host
        self._begin = begin
        way = ParentWay(host, cast("TrustMode", begin.trust))
        BusQueues.__init__(
            self, way, namespace=begin.namespace, node=begin.node, options=None, runtime=runtime, loop=None
        )
        self._house.marks = host

    def report(self, event: BusEvent) -> None:
        """Emit an event, here and for the parent."""
        self._host.report(event)
        super().report(event)

    def host(self, cls: type[Any], spec: tuple[tuple[Any, ...], dict[str, Any], Store | None]) -> LocalAgent:
        """Start the agent, under its parent's address; it stops at its first failure, and the parent decides.

        Args:
            cls: its class.
            spec: arguments of its constructor, and its store.
        """
        args, kwargs, store = spec
        name, address = self._begin.name, self._begin.address
        options = SpawnOptions(
            name=name,
            address=address,
            store=store,
            supervision=ROOT_POLICY,
            takes_jobs=self._begin.takes_jobs,
        )
        hosted = self._house.spawn(cls, args, kwargs, options)
        if isinstance(hosted, LocalAgent):
            return hosted
        raise TypeError(f"one process hosts one agent, not {hosted!r}")
