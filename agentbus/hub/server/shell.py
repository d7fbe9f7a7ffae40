"""The shell around the hub's core: it gives the core bytes and times, and does what the core commands.

It lives on one loop, and knows neither HTTP servers nor sockets: its connections come from uvicorn's upgrade,
or over the in-memory pipe, and look the same to it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agentbus.hub.core import (
    Broadcast,
    CatchUp,
    Close,
    Command,
    HistoryStore,
    Hub,
    HubConfig,
    Instant,
    Send,
    Session,
    TokenVerifier,
    UsageStore,
    no_tokens,
)
from agentbus.hub.server.addresses import TrustedProxies
from agentbus.hub.server.entrance import MOST_UNAUTHENTICATED, Entrance
from agentbus.hub.server.feeder import Feeder
from agentbus.hub.server.journal import Journal
from agentbus.hub.server.latency import Handover
from agentbus.hub.server.plane import Membership, Plane
from agentbus.hub.server.traffic import Traffic
from agentbus.protocol import CloseCode
from agentbus.runtime.loop import Loop
from agentbus.wire.framing import frame_text
from agentbus.wire.server import ServerConnection, ServerOptions
from agentbus.wire.writer import Flusher

if TYPE_CHECKING:
    from agentbus.hub.server.session import SessionHandler


class HubShell:
    """One hub core and the connections that it commands.

    Args:
        config: apps, limits, extensions.
        loop: on which everything happens.
        new_id: gives a fresh UUID text.
        verify: checks a token's signature; by default every token is refused.
        usage_store: keeps message counts over restarts.
        history_store: keeps histories over restarts.
        options: idle pings and time-outs of connections; the size limit is the core's.
        trusted_proxies: addresses and networks whose `X-Forwarded-For` is believed.
        most_unauthenticated: sockets without an accepted credential that are held.
        life: names this life of the hub, and no other; by default random.

    Attributes:
        hub: the core; call it only through this shell, or on its loop with `execute`.
        slow_consumers: connections closed with 1013 so far.
        traffic: what connections have carried and how they ended.
        journal: the log of connections.
        entrance: who is not let in yet, or never.
        handover: samples how long frames take through the hub.
        plane: its way to other hubs, once it has joined them.
    """

    def __init__(
        self,
        config: HubConfig,
        *,
        loop: Loop,
        new_id: Callable[[], str],
        verify: TokenVerifier = no_tokens,
        usage_store: UsageStore | None = None,
        history_store: HistoryStore | None = None,
        options: ServerOptions | None = None,
        trusted_proxies: Iterable[str] = (),
        most_unauthenticated: int = MOST_UNAUTHENTICATED,
        life: str | None = None,
    ) -> None:
        self.hub = Hub(
            config,
            new_id=new_id,
            verify=verify,
            usage_store=usage_store,
            history_store=history_store,
            life=life or uuid.uuid4().hex,
        )
        self._feeder = Feeder(self, config.limits.max_backlog_bytes)
        self.loop = loop
        self.trusted_proxies = TrustedProxies(trusted_proxies)
        self.slow_consumers = 0
        self.traffic = Traffic()
        self.journal = Journal(loop)
        self.entrance = Entrance(loop, self.traffic.refused, self.journal, most_unauthenticated)
        self.handover = Handover()
        self._connections = 0
        self.plane: Plane | None = None
        self.handlers: dict[SessionHandler, None] = {}  # in order, so that a run can be repeated
        self._new_flusher: Flusher | None = None
        self._max_backlog = config.limits.max_backlog_bytes
        given = options or ServerOptions()
        self.options = ServerOptions(
            self.hub.max_frame_bytes,
            given.ping_interval,
            given.ping_timeout,
            given.close_timeout,
            given.max_bare_frames,
        )
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._idle: asyncio.Event | None = None

    @property
    def flusher(self) -> Flusher:
        """What gathers this hub's writes: one per connection and turn of the loop."""
        if self._new_flusher is None:
            self._new_flusher = Flusher(self.loop.asyncio_loop)
        return self._new_flusher

    def now(self) -> Instant:
        """Read the loop's clock."""
        clock = self.loop.clock
        return Instant(clock.monotonic(), clock.wall())

    async def join(self, membership: Membership) -> None:
        """Become one with the other hubs on a backplane; to be called before the first connection.

        Raises:
            HubConfigError: the backplane will never let this hub in.
        """
        self.plane = Plane(self, membership)
        await self.plane.start()

    # -- what is counted -----------------------------------------------------------------------------------

    def count_connection(self, app: str) -> int:
        """Count a connection that was let in; return its number, from 1."""
        self.traffic.accept(app)
        self._connections += 1
        return self._connections

    def end_sample(self) -> None:
        """End the sample under way once this turn's writes are done; called at the end of its chunk."""
        self.handover.pending = False
        self.loop.asyncio_loop.call_soon(self._end_sample)

    def _end_sample(self) -> None:
        self.handover.end(self.loop.clock.monotonic())

    def reconfigure(self, config: HubConfig) -> None:
        """Go on with other apps, keys and limits; whom they do not let in is closed."""
        self.execute(self.hub.reconfigure(config, self.now()))
        self._max_backlog = config.limits.max_backlog_bytes
        self.options = replace(self.options, max_inbound_bytes=self.hub.max_frame_bytes)
        self.rearm()

    # -- commands ------------------------------------------------------------------------------------------

    def execute(self, commands: Iterable[Command]) -> None:
        """Do what the core commands, in order."""
        for command in commands:
            _EXECUTE[type(command)](self, command)

    def send(self, command: Send) -> None:
        """Send one frame to one connection."""
        self._send_one(command.session, command.payload)

    def _send_one(self, session: Session, payload: bytes) -> None:
        connection: ServerConnection | None = session.handle
        if connection is None:
            return
        connection.send_text(payload)
        if connection.congested and connection.backlog_bytes > self._max_backlog:
            self._drop_slow((session,))

    def broadcast(self, command: Broadcast) -> None:
        """Send one frame to many connections; it is framed once."""
        if len(command.sessions) == 1 and command.exclude is None:
            self._send_one(command.sessions[0], command.payload)
            return
        data, exclude = frame_text(command.payload), command.exclude
        slow: list[Session] = []
        for session in command.sessions:
            connection: ServerConnection | None = session.handle
            if session is exclude or connection is None:
                continue
            connection.send_frames(data)
            if connection.congested and connection.backlog_bytes > self._max_backlog:
                slow.append(session)
        if slow:
            self._drop_slow(slow)

    def catch_up(self, command: CatchUp) -> None:
        """Have one connection fed with what it missed."""
        self._feeder.feed(command.session)

    def close(self, command: Close) -> None:
        """Begin the closing handshake of one connection."""
        connection: ServerConnection | None = command.session.handle
        command.session.handle = None
        if connection is not None:
            connection.close(command.code, command.reason)

    def _drop_slow(self, sessions: Iterable[Session]) -> None:
        # the core hears of it in the loop's next call: the commands that run now are of one piece
        for session in sessions:
            self.slow_consumers += 1
            self.close(Close(session, CloseCode.TRY_AGAIN_LATER, "slow consumer"))
            self.loop.asyncio_loop.call_soon(self._forget, session)

    def _forget(self, session: Session) -> None:
        self.execute(self.hub.disconnect(session, self.now()))
        self.rearm()

    # -- time ----------------------------------------------------------------------------------------------

    def rearm(self) -> None:
        """Have the core woken when it next has something to do; call it after whatever may change that."""
        due = self.hub.next_deadline()
        if due == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = None
        if due is not None:
            delay = max(0.0, due - self.loop.clock.monotonic())
            self._timer = self.loop.call_later(delay, self._tick)

    def _tick(self) -> None:
        self._timer = self._timer_at = None
        self.execute(self.hub.tick(self.now()))
        self.rearm()

    # -- the end -------------------------------------------------------------------------------------------

    async def shutdown(self, grace: float) -> None:
        """Say `going_away` to all, close them with 1001, and wait for them to leave.

        Args:
            grace: seconds until the rest is aborted; also what clients are told to wait.
        """
        self.execute(self.hub.shutdown(self.now(), retry_after=max(grace, 1.0)))
        if self.plane is not None:
            self.plane.farewell()
        self.rearm()
        self._idle = asyncio.Event()
        if self.handlers:
            timer = self.loop.call_later(grace, self._idle.set)
            await self._idle.wait()
            timer.cancel()
        for handler in tuple(self.handlers):
            handler.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._timer_at = None
        if self.plane is not None:
            await self.plane.stop()

    def left(self, handler: SessionHandler) -> None:
        """Hear from a handler that its connection has ended."""
        self.handlers.pop(handler, None)
        if self._idle is not None and not self.handlers:
            self._idle.set()


_EXECUTE: dict[type, Callable[[HubShell, Any], None]] = {
    Send: HubShell.send,
    Broadcast: HubShell.broadcast,
    CatchUp: HubShell.catch_up,
    Close: HubShell.close,
}
