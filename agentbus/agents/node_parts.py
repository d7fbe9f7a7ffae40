"""The parts of a node, made and wired once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agentbus.agents.address import Address
from agentbus.agents.broadcasts import Broadcasts
from agentbus.agents.calls import Parcel
from agentbus.agents.cancelling import Cancels
from agentbus.agents.channels import DEFAULT_LIMIT
from agentbus.agents.delivery import Body
from agentbus.agents.envelope import Envelope, Kind, Stamp
from agentbus.agents.exchange import Exchange
from agentbus.agents.finder import Finder, Waiters
from agentbus.agents.hosting import House
from agentbus.agents.link import Inbound
from agentbus.agents.link_queue import LinkOptions
from agentbus.agents.membership import Membership
from agentbus.agents.negotiation import Negotiation
from agentbus.agents.parking import Parking
from agentbus.agents.pressure import Pressure
from agentbus.agents.reception import Answer, Reception
from agentbus.agents.standing import MembershipOptions
from agentbus.agents.streams.desk import StreamDesk
from agentbus.agents.traffic import Outgoing, Traffic
from agentbus.agents.trust import Trust
from agentbus.agents.uplink import Arrival, Uplink
from agentbus.agents.watching import Watching
from agentbus.client import ConnectedEvent
from agentbus.protocol.pacer import Pace, Pacer, pace_below
from agentbus.runtime import Future, Loop

FRAME_BYTES = 600
"""What a frame may need around its data: type, recipient, request id."""

DEFAULT_ROOM = 65_536 - FRAME_BYTES

Bury = Callable[[str, str, Any, str | None, str, Exception | None], None]


@dataclass(frozen=True, kw_only=True)
class NodeOptions:
    """How a node behaves.

    Attributes:
        membership: times and limits of membership.
        link: limits and times of links.
        pace: frames per second; None = what the hub announces, else what a default hub takes.
        beat_interval: of links, on hubs that do not announce that they ping idle connections.
        dead_letters: how many of the latest dead letters the bus keeps.
    """

    membership: MembershipOptions = field(default_factory=MembershipOptions)
    link: LinkOptions = field(default_factory=LinkOptions)
    pace: Pace | None = None
    beat_interval: float = 10.0
    dead_letters: int = 100


class NodeParts:
    """Everything that a node actor calls.

    Args:
        namespace: see agents.md.
        stamp: this node's id and life.
        options: see `NodeOptions`.
        uplink: the way to the hub.
        house: the agents here.
        trust: whom to believe.
        bury: told of messages that nobody handles.
        loop: the I/O loop.
        answer: sends an envelope back, and has it flushed.
        flush: has the node let out what is due.
    """

    def __init__(
        self,
        namespace: str,
        stamp: Stamp,
        options: NodeOptions,
        uplink: Uplink,
        house: House,
        trust: Trust,
        *,
        bury: Bury,
        loop: Loop,
        answer: Answer,
        flush: Callable[[], object],
    ) -> None:
        now = loop.clock.monotonic()
        self._namespace = namespace
        self.options = options
        self.uplink = uplink
        self.house = house
        self.trust = trust
        self.membership = Membership(namespace, stamp, options.membership, now)
        self.membership.statuses.sample = house.conditions
        self.finder = Finder(namespace, stamp.node, house, self.membership)
        self.traffic = Traffic(Pacer(options.pace or Pace(), now), self._route, DEFAULT_ROOM)
        self._cancels = Cancels(self.traffic, answer, loop)
        self.exchange = Exchange(
            self.membership, self.traffic, self, options.link, loop, self._cancels.give_up
        )
        self.negotiation = Negotiation(self.exchange.send, self.exchange.fail, loop)
        self._bury = bury
        pressure = Pressure(self.traffic, loop.clock.monotonic, flush)
        self.parking = self._make_parking(pressure, loop)
        self.reception = self._make_reception(stamp, answer, loop)
        self.reception.serve(Kind.HOLD, pressure.on_hold)
        self.reception.serve(Kind.RELEASE, pressure.on_release)
        self.streams = StreamDesk(self.reception, self.exchange, answer, loop)
        self.watching = Watching(self.exchange.send)
        self.waiters = Waiters(self.finder.find, loop.call_soon)
        self.broadcasts = Broadcasts(uplink, self.traffic, self.membership, loop.clock.monotonic)

    def _make_parking(self, pressure: Pressure, loop: Loop) -> Parking:
        link = self.options.link
        return Parking(
            pressure.notify,
            loop.call_soon,
            capacity=2 * link.window,
            capacity_bytes=link.max_parked_bytes,
            is_guest=lambda stamp: self.exchange.guest_peer(stamp) is not None,
        )

    def _make_reception(self, stamp: Stamp, answer: Answer, loop: Loop) -> Reception:
        return Reception(
            self.house,
            answer=answer,
            replied=self.exchange.replied,
            down=self._agent_down,
            bury=self._bury,
            parking=self.parking,
            guest_peer=self.exchange.guest_peer,
            here=(self._namespace, stamp.node),
            loop=loop,
        )

    def _route(self, stamp: Stamp) -> str | None:
        return self.exchange.route(stamp)

    def _agent_down(self, address: Address, reason: str) -> None:
        self.watching.agent_down(address, reason)

    def take(self, stamp: Stamp, inbound: Inbound, *, trusted: bool) -> None:
        """Hand on what has arrived on a link."""
        self.reception.take(stamp, inbound, trusted=trusted)

    def lost(self, parcel: Parcel, reason: str, error: Exception) -> None:
        """Publish a dead letter for what will not leave."""
        self._bury(str(parcel.address), reason, parcel.message, parcel.headers.sender, parcel.type, error)

    def new_life(self) -> None:
        """Begin everything with others anew, after this node was declared dead."""
        self.exchange.lives.begin_own()
        self.reception.new_life()
        self.streams.new_life()

    def guest_gone(self, stamp: Stamp) -> None:
        """Stop working for a guest that is gone."""
        self.reception.node_dead(stamp)
        self.streams.node_dead(stamp)

    def never_left(self, stamp: Stamp, envelope: Envelope, reason: str, error: Exception) -> None:
        """Publish a dead letter for a told message that waited for another node until one of both ended."""
        if envelope.kind == Kind.TELL:
            address = str(Address(self._namespace, stamp.node, envelope.recipient))
            body = Body(envelope.type, envelope.version, envelope.body)
            self._bury(address, reason, body, envelope.sender, envelope.type, error)

    # -- the connection --------------------------------------------------------------------------------------

    def is_guest(self, arrival: Arrival) -> bool:
        """Whether the other nodes don't trust us."""
        return arrival.metadata is not None and not self.trust.is_node(arrival.metadata)

    def arrived(self, arrival: Arrival, now: float) -> None:
        """Begin on a new connection, within its limits."""
        event = arrival.event
        announced = _announced_pace(event)
        pace = self.options.pace or announced
        beats = pace is None or self.is_guest(arrival)  # who is in no directory is known by its packets alone
        self.exchange.lives.options = msgspec.structs.replace(
            self.options.link, beat_interval=self.options.beat_interval if beats else None
        )
        self.traffic.pacer.renew(pace or Pace(), now)
        for _channel in self.uplink.client.subscriptions:
            self.traffic.pacer.spend(now)  # the client has just subscribed them again
        self.traffic.room = event.max_message_size - FRAME_BYTES
        self.membership.limit(self.traffic.room)
        self.traffic.online(now)
        limits = event.limits
        self.broadcasts.online((limits and limits.channels_per_connection) or DEFAULT_LIMIT)

    def disconnected(self) -> None:
        """Hold everything back."""
        self.exchange.ready = False
        self.membership.offline()
        self.traffic.offline()
        self.broadcasts.offline()

    def send(self, frame: Outgoing) -> Future[None] | None:
        """Send a frame; a failure is mended by what sent it, or passed on by its token.

        Returns:
            The future of the hub's ack; None for the frames of links, which have acks of their own.
        """
        if frame.channel is not None:
            return self.uplink.client.publish(frame.channel, msgspec.Raw(frame.data)).quiet()
        if frame.peer is None:
            return self.uplink.spread(frame.data).quiet()
        if frame.link is None:
            return self.uplink.send(frame.peer, None, frame.data).quiet()
        self.uplink.post(frame.peer, frame.link.there.node, frame.data)
        return None

    # -- time ------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Let time pass for those whose deadline has come."""
        self.membership.flush()
        deadline = self.membership.next_deadline()
        if deadline is not None and deadline <= now:
            self.membership.tick(now)
        self.exchange.tick(now)
        self.negotiation.tick(now)
        self.broadcasts.tick()

    def next_deadline(self, now: float) -> float | None:
        """When `tick`, or a frame, is due next."""
        times = (
            self.membership.next_deadline(),
            self.exchange.next_deadline(),
            self.negotiation.next_deadline(),
            self.traffic.next_deadline(now),
            self.broadcasts.next_deadline(),
        )
        return min((time for time in times if time is not None), default=None)


def _announced_pace(event: ConnectedEvent) -> Pace | None:
    """Give the pace below what the hub announced by `limits.v1`; None if it announced nothing."""
    limits = event.limits
    return None if limits is None else pace_below(limits.messages_per_second or 0, limits.message_burst or 0)
