"""Envelopes between this node and others: which link they take, who waits, what becomes of them.

Lives on the I/O loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from agentbus.agents.calls import Ask, Parcel
from agentbus.agents.envelope import Envelope, Kind, Packet, Stamp, encode_envelope
from agentbus.agents.guests import Guests
from agentbus.agents.lanes import CONTROL_KINDS, held_for
from agentbus.agents.limbo import LIMBO_INTERVAL, Limbo
from agentbus.agents.link import ENVELOPE_BYTES, Inbound, Link
from agentbus.agents.link_lives import LinkLives
from agentbus.agents.link_queue import LinkOptions
from agentbus.agents.membership import Membership
from agentbus.agents.nodes import NodeState
from agentbus.agents.open_asks import OpenAsks
from agentbus.agents.outcome import Outcome
from agentbus.agents.traffic import Traffic
from agentbus.errors import (
    BodyTooLargeError,
    BusClosedError,
    MailboxFullError,
    NoSuchAgentError,
)
from agentbus.runtime import Loop

LOOK_INTERVAL = 5.0
PACKET_BYTES = 1000
LIFE_SPAN = 1 << 48
"""What arrived on a link of an earlier life of ours has a sequence number that is so much lower."""


class Host(Protocol):
    """Who handles what arrives, and is told what does not leave."""

    def take(self, stamp: Stamp, inbound: Inbound, *, trusted: bool) -> None:
        """An envelope has arrived, once and in order."""
        ...

    def lost(self, parcel: Parcel, reason: str, error: Exception) -> None:
        """A message will not reach its agent."""
        ...

    def guest_gone(self, stamp: Stamp) -> None:
        """A guest was silent for so long that its link is closed."""
        ...

    def never_left(self, stamp: Stamp, envelope: Envelope, reason: str, error: Exception) -> None:
        """An envelope waited for a life of a node, and that or this one is over."""
        ...


class Exchange:
    """The envelopes of one node.

    Attributes:
        lives: the links, as lives come and go.
        ready: whether the directory is known.

    Args:
        membership: who is where.
        traffic: the links.
        host: see `Host`.
        link_options: limits and times of links.
        loop: the I/O loop.
        give_up: told of each ask that its asker has cancelled, with the number of its envelope.
    """

    def __init__(
        self,
        membership: Membership,
        traffic: Traffic,
        host: Host,
        link_options: LinkOptions,
        loop: Loop,
        give_up: Callable[[str, Ask], object],
    ) -> None:
        self._membership = membership
        self._traffic = traffic
        self._host = host
        self._now = loop.clock.monotonic
        self._closed: BusClosedError | None = None
        self._numbers = 0
        self._asks = OpenAsks(loop.call_soon, give_up)
        self.lives = LinkLives(membership, traffic, self._asks, host.never_left, link_options, loop)
        self._limbo = Limbo()
        self._guests = Guests()
        self._look_at = 0.0
        self.ready = False

    @property
    def waiting_asks(self) -> int:
        """Count the asks to other nodes that have no reply yet."""
        return len(self._asks)

    # -- out -------------------------------------------------------------------------------------------------

    def send(self, parcel: Parcel) -> None:
        """Send a message to an agent of another node.

        Before the directory is known it waits here, and while the node may be about to introduce itself;
        after that a node that is not in it does not exist.
        """
        record = self._membership.nodes.get(parcel.address.node)
        if self._closed is not None:
            self.fail(parcel, "closed", self._closed)
        elif record is not None:
            self._post(self.lives.link_to(record.stamp), parcel)
        elif self.ready and not self._membership.may_appear(parcel.address.node, self._now()):
            self.fail(parcel, "no_such_agent", NoSuchAgentError(str(parcel.address)))
        elif not self._limbo.put(parcel, self._now()):
            self.fail(parcel, "mailbox_full", MailboxFullError(self._limbo.capacity))

    def joined(self) -> None:
        """Send what has waited for the directory."""
        self.ready = True
        self._leave_limbo()

    def _leave_limbo(self) -> None:
        for parcel in self._limbo.take():
            self.send(parcel)

    def _post(self, link: Link, parcel: Parcel) -> None:
        call = parcel.call
        if call is not None and call.over:
            call.withdrawn()
            return
        if isinstance(call, Ask) and self._too_many_asks(parcel.kind):
            self.fail(parcel, "mailbox_full", MailboxFullError(self.lives.options.max_asks))
            return
        self._numbers += 1
        number = f"{self._numbers:x}"
        envelope = parcel.envelope(number)
        try:
            place = self._put(link, envelope, parcel.headers.deadline, call, agent=held_for(parcel))
        except BodyTooLargeError as error:
            self.fail(parcel, "body_too_large", error)
        except MailboxFullError as error:
            self.fail(parcel, "mailbox_full", error)
        else:
            if isinstance(call, Ask):
                self._asks.remember(number, call, link.there, place)

    def _too_many_asks(self, kind: str) -> bool:
        """Whether no more may wait for replies; the question for versions, of which there are few, may."""
        return len(self._asks) >= self.lives.options.max_asks and kind != Kind.VERSIONS

    def _put(
        self,
        link: Link,
        envelope: Envelope,
        deadline: float | None = None,
        token: Any = None,
        *,
        agent: str | None = None,
    ) -> int:
        data = encode_envelope(envelope)
        if self._needs_parts(data):
            self._check_size(len(envelope.body), len(data))
        urgent = envelope.kind in CONTROL_KINDS
        place = link.post(data, deadline=deadline, token=token, urgent=urgent, agent=agent)
        self._traffic.touch(link)
        return place

    def _needs_parts(self, data: bytes) -> bool:
        return len(data) > self._traffic.room - PACKET_BYTES

    def _check_size(self, body: int, envelope: int) -> None:
        cap = self.lives.options.max_body_bytes
        if body > cap or envelope > cap + ENVELOPE_BYTES:
            raise BodyTooLargeError(max(body, envelope - ENVELOPE_BYTES), cap)

    def fail(self, parcel: Parcel, reason: str, error: Exception) -> None:
        """Give up a message that will not leave."""
        if parcel.call is not None:
            parcel.call.fail(error, Outcome.DEAD_LETTERED)
        if parcel.kind == Kind.TELL:
            self._host.lost(parcel, reason, error)

    def answer(
        self, stamp: Stamp, envelope: Envelope | None, sequence: int | None, outcome: Outcome | None
    ) -> None:
        """Send an envelope back to where another came from, and settle that one.

        Args:
            stamp: the life of the node; if it is gone, nobody waits there.
            envelope: a reply, an error, a notice; None to settle only.
            sequence: the number of what is settled; None to settle nothing.
            outcome: what became of it.

        Raises:
            BodyTooLargeError: the body is over the cap; nothing was done.
        """
        link = self._traffic.link(stamp)
        if link is None:
            return
        if envelope is not None:
            self._put(link, envelope)
            if envelope.kind == Kind.ERROR and self._needs_parts(encode_envelope(envelope)):
                outcome = Outcome.DELIVERED  # the word of its failure would overtake the error itself
        if sequence is not None and outcome is not None:
            life, number = divmod(sequence, LIFE_SPAN)
            if life == self.lives.lives:
                link.settle(number, outcome, self._now())
                self._traffic.touch(link)

    # -- in --------------------------------------------------------------------------------------------------

    def receive(self, packet: Packet, peer: str, *, trusted: bool) -> None:
        """Take a packet. One that is not for this life of this node, or comes from the dead, is dropped."""
        now = self._now()
        if packet.target != self._membership.stamp:
            if packet.target.node == self._membership.stamp.node and trusted:
                self._membership.introduce_to(peer)
            return
        if trusted:
            if not self._membership.heard(packet.source, peer, now):
                return
        elif self._membership.nodes.get(packet.source.node) is not None:
            return  # a guest that borrows the name of a node
        elif not self._guest_heard(packet, peer, now):
            return
        link = self.lives.link_to(packet.source, guest=not trusted)
        for inbound in link.receive(packet, now):
            if self.lives.lives:
                sequence = inbound.sequence + self.lives.lives * LIFE_SPAN
                inbound = msgspec.structs.replace(inbound, sequence=sequence)  # noqa: PLW2901 -- the same one
            self._host.take(packet.source, inbound, trusted=trusted)
        self._traffic.touch(link)

    def _guest_heard(self, packet: Packet, peer: str, now: float) -> bool:
        """Note a guest; one whose link was forgotten begins a new life: its numbers mean nothing here."""
        if packet.ack and self._traffic.link(packet.source) is None:
            self._membership.fence(packet.source, peer)
            return False
        return self._guests.heard(packet.source, peer, now)

    def replied(self, stamp: Stamp, envelope: Envelope) -> None:
        """Take a reply or an error from the node that was asked."""
        self._asks.replied(stamp, envelope)

    def asked(self, stamp: Stamp, number: str | None) -> Ask | None:
        """Give the ask of that number to that life, if somebody waits for it."""
        return self._asks.get(stamp, number)

    def guest_peer(self, stamp: Stamp) -> str | None:
        """Give the peer id of a guest, as the hub stamps it; None for a node."""
        return self._guests.peer(stamp)

    def settle_calls(self) -> None:
        """Tell senders what links have learned since the last time."""
        for settled in self._traffic.settled():
            if settled.never_left:
                settled.token.withdrawn()
            settled.token.settle(settled.outcome)

    # -- nodes come, move and go -----------------------------------------------------------------------------

    def route(self, stamp: Stamp) -> str | None:
        """Give the peer at which a life can be reached now; None while it is suspect or gone."""
        record = self._membership.nodes.living(stamp)
        if record is None:
            return self._guests.peer(stamp)
        return record.peer if record.state is NodeState.ALIVE else None

    def node_up(self, stamp: Stamp) -> None:
        """Send to a new life what waited for it, and what never left for the one before."""
        self._leave_limbo()
        self.lives.begin(stamp)

    def node_moved(self, stamp: Stamp) -> None:
        """Send again what may be lost: the node has a new connection, or is back."""
        link = self._traffic.link(stamp)
        if link is not None:
            self._traffic.rewind(link, self._now())

    # -- time ------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Expire what waits for the directory; forget silent guests; suspect nodes that answer no ping."""
        if now >= self._look_at:
            self._look_at = now + LOOK_INTERVAL
            self._look_for_silence(now)
        if self.ready and self._limbo:
            self._leave_limbo()
        for parcel in self._limbo.take_late(now):
            if parcel.call is not None:
                parcel.call.withdrawn()
                parcel.call.settle(Outcome.EXPIRED)

    def _look_for_silence(self, now: float) -> None:
        for stamp in self._guests.take_gone(now):
            self.lives.close(stamp)
            self._host.guest_gone(stamp)
        self.lives.look_for_orphans()
        interval = self.lives.options.beat_interval
        for link in self._traffic.links() if interval is not None else ():
            record = self._membership.nodes.living(link.there)
            if record is not None and interval is not None and now - link.heard_at > 3 * interval:
                self._membership.liveness.suspect(record, now)

    def next_deadline(self) -> float | None:
        """When `tick` has something to do next."""
        at = self._limbo.next_deadline()
        if self.ready and self._limbo:
            look = self._now() + LIMBO_INTERVAL
            at = look if at is None else min(at, look)
        return at

    def close(self, error: BusClosedError) -> None:
        """End: whoever still waits is told, and whoever sends while the node says goodbye."""
        self._closed = error
        self._asks.close(error)
        self.lives.close_all(error)
        for parcel in self._limbo.take():
            self.fail(parcel, "closed", error)
