"""Everything between a request and its answer on one connection: ids, limits, the waits for room and ack."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from agentbus.client.options import SignallingClientOptions
from agentbus.client.outbox import Outbox
from agentbus.client.pending import PendingRequests
from agentbus.errors import (
    AckTimeoutError,
    DisconnectedError,
    MailboxFullError,
    NotConnectedError,
    OversizedPayloadError,
)
from agentbus.protocol.frames import Ack

ACK_TIMEOUT = 15.0
"""Seconds that the hub has to answer a request. Spec section 7."""

MOST_LATE_ACKS = 1024
"""Unanswered subscribes of one connection whose acks may still come; beyond, a late one means nothing."""


class Reply(Protocol):
    """Who waits for a request's outcome: the caller's `Future`, or a subscription's `Claim`."""

    def try_set(self, value: None = None) -> bool:
        """Take the hub's ack."""
        ...

    def try_set_exception(self, error: BaseException) -> bool:
        """Take what became of the request instead."""
        ...


class Claim(Reply, Protocol):
    """A reply that has something to do before the frame leaves: track the channel, or untrack it."""

    def leaving(self) -> None:
        """Hear that the frame is about to be sent."""
        ...


class Nobody:
    """Who waits for what becomes of a frame that asks for no ack."""

    def try_set(self, value: None = None) -> bool:
        """Take nothing."""
        del value
        return False

    def try_set_exception(self, error: BaseException) -> bool:
        """Take nothing."""
        del error
        return False


NOBODY: Reply = Nobody()


class WhenAcked:
    """A reply that has something done on the connection's read path, before the next frame is looked at.

    Args:
        reply: who waits.
        then: what is to be done at the ack, also at one that comes too late for whoever waited; it is called
            with the ack, or with None for one that says nothing but yes.
    """

    __slots__ = ("_reply", "then")

    def __init__(self, reply: Reply, then: Callable[[Ack | None], object]) -> None:
        self._reply = reply
        self.then = then

    def try_set(self, value: None = None) -> bool:
        """Do it, and pass the ack on."""
        self.then(None)
        return self._reply.try_set(value)

    def try_set_ack(self, ack: Ack) -> bool:
        """Do it with an ack that says more than yes."""
        self.then(ack)
        return self._reply.try_set(None)

    def try_set_exception(self, error: BaseException) -> bool:
        """Pass the failure on."""
        return self._reply.try_set_exception(error)


class Requests:
    """The requests of one connection. It neither reads a clock nor sets a timer.

    Args:
        options: the limits.

    Attributes:
        send: writes a frame; to be set once there is something to write to.
    """

    def __init__(self, options: SignallingClientOptions) -> None:
        self._pending: PendingRequests[Reply] = PendingRequests(ACK_TIMEOUT, options.max_pending_requests)
        self._outbox = Outbox(options.max_unsent_bytes)
        self._limits = options
        self._max_payload_frame: float = math.inf
        self.send: Callable[[bytes], object] = _nowhere
        self.next_deadline = self._pending.next_deadline
        self.take = self._pending.take
        self._late: dict[bytes, WhenAcked] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def cap(self, max_message_size: int) -> None:
        """Refuse payloads whose frames the hub would not take. Spec section 7, *size check*."""
        if self._limits.size_check:
            self._max_payload_frame = max_message_size

    # -- out -------------------------------------------------------------------------------------------------

    def submit(self, head: bytes, data: bytes, reply: Reply, now: float) -> None:
        """Send a frame that carries a payload, if the hub takes one of that size; wait for its answer."""
        tail = self._pending.add(reply, now)
        if tail is None:
            reply.try_set_exception(MailboxFullError(self._limits.max_pending_requests))
            return
        frame = b"".join((head, data, tail))
        if len(frame) > self._max_payload_frame:
            self._refuse(tail, OversizedPayloadError(len(frame), int(self._max_payload_frame)))
        elif self._outbox.held:
            self._hold_back(tail, frame)
        else:
            self.send(frame)

    def submit_small(self, head: bytes, reply: Reply, now: float) -> None:
        """Send a frame without a payload, whatever the hub's size limit; wait for its answer."""
        tail = self._pending.add(reply, now)
        if tail is None:
            reply.try_set_exception(MailboxFullError(self._limits.max_pending_requests))
        elif self._outbox.held:
            self._hold_back(tail, head + tail)
        else:
            self.send(head + tail)

    def post(self, frame: bytes) -> None:
        """Send a frame that asks for no ack, now or when there is room; drop it if there never will be."""
        outbox = self._outbox
        if len(frame) > self._max_payload_frame:
            return
        if not outbox.held:
            self.send(frame)
        elif outbox.has_room(len(frame)):
            outbox.put(None, frame)

    def _hold_back(self, tail: bytes, frame: bytes) -> None:
        outbox = self._outbox
        if outbox.has_room(len(frame)):
            outbox.put(tail, frame)
        else:
            self._refuse(tail, MailboxFullError(len(outbox)))

    def _refuse(self, tail: bytes, error: Exception) -> None:
        reply = self._pending.take(tail)
        if reply is not None:
            reply.try_set_exception(error)

    def hold(self) -> None:
        """Let frames wait: the connection is congested."""
        self._outbox.held = True

    def release(self) -> None:
        """Send what waits, until the connection is congested again."""
        self._outbox.held = False
        while not self._outbox.held:
            frame = self._outbox.take(self._pending)
            if frame is None:
                return
            self.send(frame)

    # -- the end of waiting ----------------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """Fail what has had no answer for too long. Spec section 7, *ack timeout*."""
        for tail, reply in self._pending.take_expired(now):
            if isinstance(reply, WhenAcked) and len(self._late) < MOST_LATE_ACKS:
                self._late[tail] = reply
            reply.try_set_exception(AckTimeoutError(ACK_TIMEOUT))

    def late_ack(self, tail: bytes, ack: Ack) -> None:
        """Do what an ack calls for on the read path, though nobody waits any more.

        Spec section 7: a late ack is ignored. But the hub has subscribed this connection now, and what
        follows is a snapshot.
        """
        late = self._late.pop(tail, None)
        if late is not None:
            late.then(ack)

    def fail_all(self, close_code: int) -> None:
        """Fail everything: the connection is gone. Spec section 7, *disconnect*."""
        unsent = self._outbox.unsent()
        for tail, reply in self._pending.take_all():
            never_left = tail in unsent
            reply.try_set_exception(not_connected() if never_left else DisconnectedError(close_code))


def not_connected() -> NotConnectedError:
    """Make the error of a request whose frame never left."""
    return NotConnectedError("the frame never left: there is no open connection; await connect() first")


def _nowhere(_frame: bytes) -> None:
    """Drop a frame: there is no transport yet, and no request comes before there is."""
