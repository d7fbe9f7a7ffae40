"""The way from the callers' threads to the actors of one client."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from agentbus.client.connection import ConnectionActor
from agentbus.client.listeners import Home, Listeners
from agentbus.client.options import SignallingClientOptions, SubscribeOptions
from agentbus.client.requests import Reply, not_connected
from agentbus.client.subscription import ChannelClaim
from agentbus.client.supervisor import SupervisorActor
from agentbus.client.view import ClientView
from agentbus.errors import ActorStoppedError, MailboxFullError
from agentbus.protocol.codec import named_head
from agentbus.runtime import Future, Runtime, forks
from agentbus.runtime.blocking import running_loop
from agentbus.runtime.down import StartOptions
from agentbus.runtime.ref import LoopActorRef


class Switchboard:
    """Everything that a client's actors share with its facade, and the ways to them.

    Args:
        options: what the client is made of.
        runtime: where its actors live.
        loop: where async callbacks run, if the caller named a loop.
    """

    def __init__(
        self, options: SignallingClientOptions, runtime: Runtime, loop: asyncio.AbstractEventLoop | None
    ) -> None:
        self.options = options
        self.view = ClientView(runtime.random)
        self._runtime = runtime
        self._generation = forks.generation
        self._home = Home(runtime.agents, loop)
        self.listeners = Listeners(runtime, self._home)
        self._log = options.logger or logging.getLogger("agentbus.client")
        self._most_waiting = options.max_pending_requests
        self._started: dict[str, LoopActorRef[SupervisorActor]] = {}

    # -- the supervisor --------------------------------------------------------------------------------------

    def ask(self, message: Any) -> bool:
        """Tell the supervisor, which is started when it is first needed; False if it has ended."""
        self._runtime.check_fork()
        try:
            self._supervisor().tell(message)
        except ActorStoppedError:
            return False
        return True

    def _supervisor(self) -> LoopActorRef[SupervisorActor]:
        return self._started.get("supervisor") or self._start()

    def _start(self) -> LoopActorRef[SupervisorActor]:
        start = StartOptions(runtime=self._runtime, loop=self._runtime.io, name="supervisor")
        args = (self.options, self.view, self.listeners, self._home, self._log)
        mine = SupervisorActor.start_with(start, *args)
        ref = self._started.setdefault("supervisor", mine)  # one atomic step, from whatever thread
        if ref is not mine:
            mine.stop(block=False)
        return ref

    # -- the connection --------------------------------------------------------------------------------------

    def request(self, message: Any, reply: Reply) -> None:
        """Hand a request to the connection. Whatever becomes of it, its reply hears of it."""
        if self._generation != forks.generation:
            self._runtime.check_fork()
        inbox = self.view.inbox
        if inbox is None:
            reply.try_set_exception(not_connected())
        elif len(inbox.items) >= self._most_waiting:
            reply.try_set_exception(MailboxFullError(self._most_waiting))
        else:
            try:
                inbox.put(message)
            except ActorStoppedError:
                reply.try_set_exception(not_connected())
            # The connection may have ended before it saw this; if it did see it, it has answered.
            if inbox.refuses:
                reply.try_set_exception(not_connected())

    def retry(self, head: bytes, data: bytes, reply: Future[None]) -> None:
        """Hand in a message that is to be sent until it is acked."""
        named = named_head(head, self.view.producer.next_id())

        def request(retried: Reply) -> Any:
            return ConnectionActor.Submit(named, data, retried)

        if not self.ask(SupervisorActor.Retry(request, len(data), reply)):
            reply.try_set_exception(not_connected())

    def claim(self, channel: str, options: SubscribeOptions | None, reply: Future[None]) -> ChannelClaim:
        """Make the claim that goes with a subscribe, or with an unsubscribe if `options` is None."""

        def tell(message: Any) -> None:
            self._supervisor().tell(SupervisorActor.ForChannel(channel, message))

        return ChannelClaim(tell, options, reply)

    def caller_s_loop(self) -> asyncio.AbstractEventLoop | None:
        """Give the loop that the calling code runs on, unless it is one of the runtime's own."""
        if self._runtime.io.is_current() or self._runtime.agents.is_current():
            return None
        return running_loop()
