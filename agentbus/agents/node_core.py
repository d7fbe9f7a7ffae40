"""One node on the I/O loop: the connection, frames in and out, and what membership decides.

                 client events                        parcels, watches, topics (see `node`)
                      │                                       │
                      ▼                                       ▼
      uplink ─► membership ─effects─┐        exchange ─► links in traffic
                      ▲             ▼             ▲             │
                      └──────── one flush per mailbox run ◄─────┘ ─► frames, paced

The flush follows behind what lies in the mailbox already: so all envelopes of one turn share frames.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Any

from msgspec import Struct

from agentbus.agents.effects import Spread
from agentbus.agents.envelope import Envelope, Packet, Stamp
from agentbus.agents.events import BusDisconnected, BusEvent
from agentbus.agents.inbound import read_frame
from agentbus.agents.node_effects import NodeEffects
from agentbus.agents.node_parts import NodeParts
from agentbus.agents.outcome import Outcome
from agentbus.agents.traffic import Outgoing
from agentbus.agents.uplink import Arrival, Echo
from agentbus.client import ChannelMessage, ConnectedEvent, DirectMessage, DisconnectedEvent, PresenceEvent
from agentbus.errors import (
    BusClosedError,
    MailboxFullError,
    MissingPermission,
    SignallingDisconnectedError,
    SignallingError,
)
from agentbus.runtime import Future, LoopActor, OwnedTimer, receives

MIN_DELAY = 0.001

ARRIVAL_RETRY_DELAY = 1.0
"""Seconds until a connection that lives, and on which arriving failed, is tried again."""


class NodeCore(LoopActor):
    """What a node does by itself.

    Owns:  the parts, and one timer for all of them.
    Told:  the client's events.
    Tells: agents, through the exchange; the bus, by events and futures.

    Args:
        make_parts: makes the parts, given this actor.
        report: takes events.
        started: done when the node has joined its namespace; fails with what ends it before.
        ended: done when it is over; fails with what ended it against its will.
    """

    class Flush(Struct, frozen=True):
        """Let out what is due; queued behind everything that is to leave with it."""

    def __init__(
        self,
        make_parts: Callable[[NodeCore], Awaitable[NodeParts]],
        report: Callable[[BusEvent], object],
        started: Future[None],
        ended: Future[None],
    ) -> None:
        super().__init__()
        self._make_parts = make_parts
        self._report = report
        self._joined_once = started
        self._ended = ended
        self._peer = ""
        self._arriving: asyncio.Task[Any] | None = None
        self._flushing = False
        self._over = False
        self._timer: OwnedTimer | None = None
        self._timer_at = 0.0

    # -- the connection --------------------------------------------------------------------------------------

    def on_start(self) -> Any:
        """Make the parts, and begin to connect."""
        return self._begin()

    async def _begin(self) -> None:
        self._parts = parts = await self._make_parts(self)
        new_id, now = self.runtime.new_id, self.clock.monotonic
        self._effects = NodeEffects(parts, self._report, self._joined_once, new_id, self.end, now)
        parts.uplink.follow(self.actor_ref.tell)
        parts.uplink.connect()

    @receives(ConnectedEvent)
    def on_connected(self, event: ConnectedEvent) -> None:
        """Make the new connection ready, beside everything else."""
        self._peer = event.peer_id
        self._arriving = self.create_task(self._arrive(event))

    async def _arrive(self, event: ConnectedEvent) -> None:
        while True:
            try:
                arrival = await self._parts.uplink.arrive(event)
            except MissingPermission as error:
                self.end(error)
            except SignallingDisconnectedError:
                pass  # the connection is gone: the next one begins anew
            except SignallingError:
                await asyncio.sleep(ARRIVAL_RETRY_DELAY)  # no answer in time, or a passing fault of the hub's
                continue
            else:
                self._arrived(arrival)
            return

    def _arrived(self, arrival: Arrival) -> None:
        parts, event = self._parts, arrival.event
        parts.arrived(arrival, self.clock.monotonic())
        parts.membership.online(
            event.peer_id,
            arrival.roster,
            now=self.clock.monotonic(),
            twin_possible=event.expires_at is not None,
            guest=parts.is_guest(arrival),
        )
        self._flush_soon()

    @receives(DisconnectedEvent)
    def on_disconnected(self, event: DisconnectedEvent) -> None:
        """Hold everything back; try again where the client does not by itself, unless the code says never."""
        if self._over:
            return
        if self._arriving is not None:
            self._arriving.cancel()
        self._peer = ""
        self._parts.disconnected()
        delay = None if event.will_reconnect else self._parts.uplink.retry_in(event)
        retrying = event.will_reconnect or delay is not None
        self._report(BusDisconnected(int(event.code), retrying))
        if delay is not None:
            self.call_later(delay, self._parts.uplink.connect)
        elif not retrying:
            self.end(BusClosedError(f"the hub refused the bus: {event.code.explanation}", int(event.code)))
        self._flush_soon()

    # -- frames in -------------------------------------------------------------------------------------------

    @receives(DirectMessage)
    def on_direct(self, event: DirectMessage) -> None:
        """Take what somebody sent to us alone."""
        self._take_frame(event)

    @receives(ChannelMessage)
    def on_channel(self, event: ChannelMessage) -> None:
        """Take what somebody published, for nodes or on a topic."""
        if self._parts.uplink.is_for_nodes(event.channel):
            self._take_frame(event)
        elif self._parts.trust.is_node(event.sender_metadata):
            self._parts.broadcasts.arrived(event.channel, event.raw)

    def _take_frame(self, event: DirectMessage | ChannelMessage) -> None:
        frame = read_frame(event.raw, self._peer)
        trusted = self._parts.trust.is_node(event.sender_metadata)
        if isinstance(frame, Packet):
            self._parts.exchange.receive(frame, event.sender, trusted=trusted)
        elif isinstance(frame, Echo):
            self._parts.uplink.heard_echo(event.sender, event.sender_metadata)
        elif frame is not None:
            now = self.clock.monotonic()
            self._parts.membership.receive(frame, event.sender, trusted=trusted, now=now)
        self._flush_soon()

    @receives(PresenceEvent)
    def on_presence(self, event: PresenceEvent) -> None:
        """Take who came to the directory channel, and who left it."""
        parts = self._parts
        if event.channel != parts.uplink.directory or parts.uplink.heard_presence(event):
            return
        parts.membership.presence(
            joined=[peer.peer_id for peer in event.joined],
            left=[peer.peer_id for peer in event.left],
            snapshot=event.is_snapshot,
            now=self.clock.monotonic(),
        )
        self._flush_soon()

    def answer(
        self, stamp: Stamp, envelope: Envelope | None, sequence: int | None, outcome: Outcome | None
    ) -> None:
        """Send something back to where an envelope came from; on the loop, see `Exchange.answer`.

        Whoever asks and does not take the answers learns no more than that: the next answer is not kept.
        """
        try:
            self._parts.exchange.answer(stamp, envelope, sequence, outcome)
        except MailboxFullError:
            self._parts.exchange.answer(stamp, None, sequence, Outcome.UNKNOWN)
        self._flush_soon()

    # -- the flush -------------------------------------------------------------------------------------------

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self.actor_ref.tell(NodeCore.Flush())

    @receives(Flush)
    def on_flush(self, _message: Flush) -> None:
        """Carry out what was decided, let frames out, and set the timer for what comes next."""
        self._flushing = False
        parts, now = self._parts, self.clock.monotonic()
        parts.tick(now)
        self._effects.carry_out()
        for frame in parts.traffic.frames(now):
            self._transmit(frame)
        parts.exchange.settle_calls()
        self._arm(now)
        self.flushed()

    def flushed(self) -> None:
        """Do what waits for quiet."""

    def _transmit(self, frame: Outgoing) -> None:
        sent = self._parts.send(frame)
        if frame.token is not None and sent is not None:
            sent.add_done_callback(partial(_pass_on, frame.token))

    def _arm(self, now: float) -> None:
        """Keep one timer: an earlier one than needed is harmless, so it is rarely replaced."""
        at = self._parts.next_deadline(now)
        if self._timer is not None and (at is None or self._timer_at <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None:
            self._timer_at = at
            self._timer = self.call_later(max(at - now, MIN_DELAY), self._timer_due)

    def _timer_due(self) -> None:
        self._timer = None
        self._flush_soon()

    # -- the end ---------------------------------------------------------------------------------------------

    def end(self, error: Exception | None) -> None:
        """End the node; with an error if it is against the bus's will."""
        if not self._over:
            self._over = True
            self.create_task(self._say_goodbye(error))

    async def _say_goodbye(self, error: Exception | None) -> None:
        parts = self._parts
        closed = error if isinstance(error, BusClosedError) else BusClosedError()
        parts.exchange.close(closed)
        parts.reception.close()
        parts.negotiation.close(closed)
        parts.waiters.close(closed)
        parts.broadcasts.close(closed)
        if error is None:
            await self._send_goodbye()
        await parts.uplink.close()
        failure = error or BusClosedError()
        self._joined_once.try_set_exception(failure)
        if error is None:
            self._ended.try_set(None)
        else:
            self._ended.try_set_exception(error)
        self.stop()

    async def _send_goodbye(self) -> None:
        self._parts.membership.leave()
        for effect in self._parts.membership.take_effects():
            if isinstance(effect, Spread):
                self._effects.spread(effect)
        last = [self._parts.send(frame) for frame in self._parts.traffic.frames(self.clock.monotonic())]
        waits = [asyncio.ensure_future(_quietly(each)) for each in last if each is not None]
        if waits:
            await asyncio.wait(waits, timeout=1.0)

    def on_stop(self) -> None:
        """Leave nobody waiting."""
        self._ended.try_set(None)
        self._joined_once.try_set_exception(BusClosedError())

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave nobody waiting: a mistake of ours ended the node."""
        del exception_type, traceback
        error = BusClosedError("the node failed; the log says why")
        error.__cause__ = exception_value
        self._parts.exchange.close(error)
        self._parts.negotiation.close(error)
        self._parts.waiters.close(error)
        self._joined_once.try_set_exception(error)
        self._ended.try_set_exception(error)
        self._parts.uplink.client.dispose()


async def _quietly(future: Future[None]) -> None:
    try:
        await future
    except SignallingError:
        return


def _pass_on(waiting: Future[None], sent: Future[None]) -> None:
    error = sent.exception()
    if error is None:
        waiting.try_set(None)
    else:
        waiting.try_set_exception(error)
