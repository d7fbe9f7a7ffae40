"""Messages that are sent again after a reconnect until the hub has acked them: bounded, paced, in order.

Each has an id, under which the hub recognises it for a while (`dedupe.v1`). So it takes effect once, as long
as it is repeated within that time and to the same life of the hub; after that it fails, as nobody could tell.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, Final

from agentbus.client.requests import Reply, not_connected
from agentbus.errors import (
    AckTimeoutError,
    DisconnectedError,
    ExtensionMissingError,
    MailboxFullError,
    NotConnectedError,
)
from agentbus.protocol.codes import CloseCode
from agentbus.protocol.extensions import DEDUPE_EXTENSION, DedupeTerms
from agentbus.protocol.pacer import Pace, Pacer

MOST_UNDER_WAY: Final = 256
"""Messages that wait for their ack on one connection; the others wait their turn here."""
MARGIN: Final = 0.8
"""The part of the hub's window within which a message is repeated: the rest is for the way and for clocks."""
FULL_DELAY: Final = 0.1
"""Seconds until a connection that had no room is tried again."""
EARLY: Final = 1e-3
"""Timers may fire a hair early."""
AGAIN: Final = (NotConnectedError, DisconnectedError, AckTimeoutError, MailboxFullError)
"""Outcomes after which a message is sent again."""


class Retried:
    """One message, and the reply of the connection that it is on.

    Args:
        number: its place in the order of the calls.
        request: makes what the connection is told, with this as the reply.
        size: bytes that it counts for.
        reply: the caller's.
        settled: told what became of it on a connection.

    Attributes:
        first_sent: when it may have left first; None while it surely has not.
        epoch: of the hub that it was sent to first.
        fresh: whether it had never been sent before this time.
    """

    __slots__ = ("_settled", "epoch", "first_sent", "fresh", "number", "reply", "request", "size")

    def __init__(
        self,
        number: int,
        request: Callable[[Reply], Any],
        size: int,
        reply: Reply,
        settled: Callable[[Retried, BaseException | None], object],
    ) -> None:
        self.number = number
        self.request = request
        self.size = size
        self.reply = reply
        self.first_sent: float | None = None
        self.epoch: str | None = None
        self.fresh = True
        self._settled = settled

    def sent(self, now: float, epoch: str) -> None:
        """Note that it is on its way to a hub."""
        self.fresh = self.first_sent is None
        if self.first_sent is None:
            self.first_sent, self.epoch = now, epoch

    def never_left(self) -> None:
        """Take that back."""
        if self.fresh:
            self.first_sent = self.epoch = None

    def is_late(self, now: float, terms: DedupeTerms | None, *, is_open: bool) -> bool:
        """Tell whether the hub, the one of now if there is one, would not recognise it for sure any more."""
        if self.first_sent is None or terms is None:
            return False
        return now - self.first_sent > terms.window * MARGIN or (is_open and self.epoch != terms.epoch)

    def __lt__(self, other: Retried) -> bool:
        return self.number < other.number

    def try_set(self, value: None = None) -> bool:
        """Hear that the hub said yes."""
        self._settled(self, value)
        return True

    def try_set_exception(self, error: BaseException) -> bool:
        """Hear that it said no, or nothing, or that the frame never left."""
        self._settled(self, error)
        return True


class Retries:
    """The messages of one client that are to be retried. It sets no timer: `due` says when to `pump`.

    Args:
        capacity: messages that may wait, those under way included.
        capacity_bytes: bytes of them.
        now: monotonic seconds.
        changed: called when `due` may be another.

    Attributes:
        due: when `pump` has something to do that nothing else will bring about; None if never.
    """

    def __init__(
        self,
        capacity: int,
        capacity_bytes: int,
        now: Callable[[], float],
        changed: Callable[[], object],
    ) -> None:
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._now = now
        self._changed = changed
        self._waiting: list[Retried] = []
        self._under_way: dict[Retried, None] = {}
        self._bytes = 0
        self._count = 0
        self._tell: Callable[[Any], object] | None = None
        self._terms: DedupeTerms | None = None
        self._pacer = Pacer(Pace(), 0.0)
        self._pumping = False
        self._full = False
        self.due: float | None = None

    def __len__(self) -> int:
        return len(self._waiting) + len(self._under_way)

    # -- in --------------------------------------------------------------------------------------------------

    def add(self, request: Callable[[Reply], Any], size: int, reply: Reply) -> None:
        """Take one more message, or say why not; see `Retried`."""
        if self._tell is not None and self._terms is None:
            reply.try_set_exception(ExtensionMissingError(DEDUPE_EXTENSION))
        elif len(self) >= self._capacity or (len(self) and self._bytes + size > self._capacity_bytes):
            reply.try_set_exception(MailboxFullError(len(self)))
        else:
            self._count += 1
            self._bytes += size
            heapq.heappush(self._waiting, Retried(self._count, request, size, reply, self._settled))
            self.pump()

    # -- connections come and go -----------------------------------------------------------------------------

    def connected(
        self, tell: Callable[[Any], object], terms: DedupeTerms | None, pace: Pace, spent: int = 0
    ) -> None:
        """Go on with a new connection.

        Args:
            tell: hands it a request.
            terms: what the hub says about ids; None where they mean nothing to it.
            pace: how fast frames may go out.
            spent: frames that it is sent besides, right away.
        """
        self._tell, self._terms = tell, terms
        self._pacer.renew(pace, self._now())
        for _ in range(spent):
            self._pacer.spend(self._now())
        if terms is None:
            for each in self._take_all():
                missing = ExtensionMissingError(DEDUPE_EXTENSION)
                each.reply.try_set_exception(missing if each.first_sent is None else _in_doubt())
        self._drop_late()
        self.pump()

    def disconnected(self) -> None:
        """Wait for the next connection, but not for longer than it makes sense."""
        self._tell = None
        self.pump()

    def ended(self) -> None:
        """Fail everything: there will be no other connection."""
        self._tell = self.due = None
        for each in self._take_all():
            each.reply.try_set_exception(not_connected() if each.first_sent is None else _in_doubt())
        self._changed()

    def _take_all(self) -> list[Retried]:
        taken = sorted([*self._waiting, *self._under_way])
        self._waiting.clear()
        self._under_way.clear()
        self._bytes = 0
        return taken

    # -- out -------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Send what may go now, and let go of what it is too late for."""
        if self._pumping:
            return  # a message that is handed over may come back at once
        self._pumping, self._full = True, False
        now = self._now()
        if self._tell is None:
            self._drop_late()
        while self._waiting and self._may_send(now):
            self._send(heapq.heappop(self._waiting), now)
        self._pumping = False
        self._plan(now)

    def _may_send(self, now: float) -> bool:
        ready = self._tell is not None and not self._full and len(self._under_way) < MOST_UNDER_WAY
        return ready and self._pacer.take(now)

    def _send(self, message: Retried, now: float) -> None:
        if self._tell is None or self._terms is None or message.is_late(now, self._terms, is_open=True):
            self._fail(message, _in_doubt())
            return
        message.sent(now, self._terms.epoch)
        self._under_way[message] = None
        self._tell(message.request(message))

    def _drop_late(self) -> None:
        now, is_open = self._now(), self._tell is not None
        late = [each for each in self._waiting if each.is_late(now, self._terms, is_open=is_open)]
        for each in late:
            self._waiting.remove(each)
            self._fail(each, _in_doubt())
        heapq.heapify(self._waiting)

    def _fail(self, message: Retried, error: BaseException | None) -> None:
        self._bytes -= message.size
        _answer(message.reply, error)

    def _plan(self, now: float) -> None:
        self.due = self._next_due(now) if self._waiting else None
        self._changed()

    def _next_due(self, now: float) -> float | None:
        if self._full:
            return now + FULL_DELAY
        if self._tell is not None:
            return self._pacer.ready_at(now) if len(self._under_way) < MOST_UNDER_WAY else None
        first = min((each.first_sent for each in self._waiting if each.first_sent is not None), default=None)
        return None if first is None or self._terms is None else first + self._terms.window * MARGIN + EARLY

    # -- back ------------------------------------------------------------------------------------------------

    def _settled(self, message: Retried, error: BaseException | None) -> None:
        if message not in self._under_way:
            return
        del self._under_way[message]
        if isinstance(error, NotConnectedError | MailboxFullError):
            message.never_left()
        if not isinstance(error, AGAIN):
            self._fail(message, error)
            self.pump()
            return
        heapq.heappush(self._waiting, message)
        if isinstance(error, MailboxFullError):
            self._full = True
            if not self._pumping:
                self._plan(self._now())
        elif isinstance(error, AckTimeoutError):
            self.pump()


def _answer(reply: Reply, error: BaseException | None) -> None:
    if error is None:
        reply.try_set(None)
    else:
        reply.try_set_exception(error)


def _in_doubt() -> DisconnectedError:
    return DisconnectedError(CloseCode.ABNORMAL)
