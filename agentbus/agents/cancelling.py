"""Cancelling between nodes: asks that are given up here, and asks of others that are worked on here.

    asker                                     agent's node
    the ask still waits for the link: it is
    taken back, and never leaves
    it has left: CANCEL follows, urgent  ──►  the ask is known: its future is cancelled, and its handler
                                              it is not: a tombstone keeps it from starting when it comes
                                              it has been answered: nothing
    its deadline passes: nothing is said      the same deadline, on this node's clock, ends it

Lives on the I/O loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from agentbus.agents.calls import Ask
from agentbus.agents.deadlines import Deadlines
from agentbus.agents.envelope import NOTHING, Envelope, Kind, Stamp, encode_body
from agentbus.agents.outcome import Outcome
from agentbus.agents.tombstones import Tombstones
from agentbus.agents.traffic import Traffic
from agentbus.runtime import Future, Loop

IDS_PER_ENVELOPE = 500

Answer = Callable[[Stamp, Envelope | None, int | None, Outcome | None], None]
_ids = msgspec.json.Decoder(list[str])


class Cancels:
    """Asks to other nodes that their askers have given up.

    Those of one turn of the loop travel together.

    Args:
        traffic: the links.
        answer: sends an envelope to a life of a node.
        loop: the I/O loop.
    """

    def __init__(self, traffic: Traffic, answer: Answer, loop: Loop) -> None:
        self._traffic = traffic
        self._answer = answer
        self._loop = loop
        self._leaving: dict[Stamp, list[str]] = {}

    def give_up(self, number: str, ask: Ask) -> None:
        """Take an ask back, or have it cancelled where it is.

        Args:
            number: the id of its envelope.
            ask: it was cancelled.
        """
        link = None if ask.stamp is None else self._traffic.link(ask.stamp)
        if link is None:
            return
        if link.withdraw(ask.place):
            ask.withdrawn()
            self._answer(link.there, None, None, None)
            return
        if ask.tells_its_end:
            return
        if link.there not in self._leaving:
            self._leaving[link.there] = []
            self._loop.call_soon(self._send, link.there)
        self._leaving[link.there].append(number)

    def _send(self, stamp: Stamp) -> None:
        numbers = self._leaving.pop(stamp)
        for start in range(0, len(numbers), IDS_PER_ENVELOPE):
            first, *more = numbers[start : start + IDS_PER_ENVELOPE]
            body = encode_body(more) if more else NOTHING
            self._answer(stamp, Envelope("", Kind.CANCEL, correlation=first, body=body), None, None)


class AskedHere:
    """Asks of other nodes that agents of this node work on, or will.

    Args:
        loop: the I/O loop.
        guest_peer: gives the peer id of a guest; None for a node.
    """

    def __init__(self, loop: Loop, guest_peer: Callable[[Stamp], str | None]) -> None:
        self._guest_peer = guest_peer
        self._now = loop.clock.monotonic
        self._deadlines = Deadlines(loop)
        self._open: dict[Stamp, dict[str, Future[Any]]] = {}
        self._tombstones = Tombstones()

    def __len__(self) -> int:
        """Count the asks that have no answer yet."""
        return sum(len(asks) for asks in self._open.values())

    @property
    def tombstones(self) -> int:
        """Count the cancels that came before what they cancel."""
        self._tombstones.clear_old(self._now())
        return len(self._tombstones)

    @property
    def deadlines(self) -> int:
        """Count the asks whose deadline is watched."""
        return len(self._deadlines)

    def is_cancelled(self, stamp: Stamp, number: str) -> bool:
        """Whether an ask that has just come was cancelled before; its tombstone is used up."""
        return bool(self._tombstones) and self._tombstones.take(stamp, number)

    def opened(self, stamp: Stamp, number: str, future: Future[Any], deadline: float | None) -> None:
        """Note an ask that waits for its agent.

        Args:
            stamp: the asker's life.
            number: the id of its envelope.
            future: of the reply.
            deadline: when its asker stops waiting, on this node's clock.
        """
        self._open.setdefault(stamp, {})[number] = future
        if deadline is not None and not future.done():
            self._deadlines.add(future, deadline)

    def closed(self, stamp: Stamp, number: str) -> None:
        """Forget an ask that has its answer."""
        asks = self._open.get(stamp)
        if asks is not None:
            asks.pop(number, None)
            if not asks:
                del self._open[stamp]

    def on_cancel(self, stamp: Stamp, _sequence: int, envelope: Envelope, _deadline: float | None) -> None:
        """Take a CANCEL: nobody settles it, as nobody waits for what becomes of it."""
        for number in _numbers(envelope):
            future = self._open.get(stamp, {}).get(number)
            if future is None:
                self._bury(stamp, number)
            else:
                future.cancel()

    def _bury(self, stamp: Stamp, number: str) -> None:
        now = self._now()
        self._tombstones.clear_old(now)
        self._tombstones.bury(stamp, number, self._guest_peer(stamp), now)

    def node_dead(self, stamp: Stamp) -> None:
        """Cancel what a life has asked that is over: nobody waits for the replies."""
        for future in list(self._open.pop(stamp, {}).values()):
            future.cancel()
        self._tombstones.forget(stamp)

    def new_life(self) -> None:
        """Cancel what everybody has asked: nobody waits for replies of a life that is over."""
        for stamp in list(self._open):
            self.node_dead(stamp)

    def close(self) -> None:
        """End: no deadline is watched any more."""
        self._deadlines.clear()


def _numbers(envelope: Envelope) -> list[str]:
    first = [] if envelope.correlation is None else [envelope.correlation]
    if envelope.body == NOTHING:
        return first
    try:
        return first + _ids.decode(envelope.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return first
