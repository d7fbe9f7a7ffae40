"""How a send reaches a peer at another hub, and how its sender hears whether it did."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from agentbus.hub.core.cluster.asks import Ask, Asks, Outcome
from agentbus.hub.core.cluster.links import Links
from agentbus.hub.core.cluster.messages import Deliver
from agentbus.hub.core.commands import Command, Send
from agentbus.hub.core.instant import Instant
from agentbus.hub.core.session import Session
from agentbus.hub.core.statistics import Statistics
from agentbus.protocol import ErrorCode, encode_ack
from agentbus.protocol import Send as SendFrame

Refuse = Callable[[Session, str, str | None], list[Command]]


class Sends:
    """The sends that concern other hubs.

    Args:
        links: those hubs.
        refuse: answers a request with an error.
        statistics: the hub's.
        patience: seconds until a send that nobody answered is given up.
    """

    __slots__ = ("_asks", "_links", "_patience", "_refuse", "_statistics")

    def __init__(self, links: Links, refuse: Refuse, statistics: Statistics, patience: float) -> None:
        self._links = links
        self._refuse = refuse
        self._statistics = statistics
        self._patience = patience
        self._asks = Asks()

    def __len__(self) -> int:
        return len(self._asks)

    def send(self, session: Session, frame: SendFrame, data: msgspec.Raw, now: Instant) -> list[Command]:
        """Hand over what can be here; ask the hubs that hold the peer, or all where none is known to."""
        app, peer = session.app, frame.to
        ask = Ask(session, frame.request_id, peer, bytes(data), now.monotonic + self._patience)
        if frame.id is not None and app.dedupe is not None:
            ask.message_id = frame.id
            app.dedupe.accepted(session.identity, frame.id, now.monotonic)
        ask.handed, commands = app.hand_over(peer, session.peer, data)
        self._statistics.delivered += ask.handed
        holders = set(app.elsewhere.get(peer, ()))
        if not self._links.reachable or not self._asks.has_room(app.id):
            ask.failed = True
            return commands + self._conclude(ask, now)
        number = self._asks.add(ask)
        self._put(number, ask, holders or self._links.lives)
        return commands + self._settle(number, ask, now)

    def answered(self, life: str, number: int, connections: int, now: Instant) -> list[Command]:
        """Take in a hub's answer; one that comes too late means nothing."""
        ask = self._asks.get(number)
        if ask is None or life not in ask.waiting:
            return []
        ask.waiting.discard(life)
        ask.handed += connections
        return self._settle(number, ask, now)

    def lost(self, life: str, now: Instant) -> list[Command]:
        """Take in that a hub is gone: what it did with its questions nobody knows."""
        commands: list[Command] = []
        for number in self._asks.waiting_for(life):
            ask = self._asks.get(number)
            if ask is not None:
                ask.waiting.discard(life)
                ask.failed = True
                commands += self._settle(number, ask, now)
        return commands

    def next_due(self) -> float | None:
        """Return when the oldest send is given up."""
        return self._asks.next_due()

    def give_up_due(self, now: Instant) -> list[Command]:
        """Give up those that have waited long enough."""
        return self._give_up(self._asks.due(now.monotonic), now)

    def fail_all(self, now: Instant) -> list[Command]:
        """Give up all: no answer can come."""
        return self._give_up(self._asks.all(), now)

    def _give_up(self, numbers: Iterable[int], now: Instant) -> list[Command]:
        commands: list[Command] = []
        for number in numbers:
            ask = self._asks.get(number)
            if ask is not None:
                self._asks.remove(number)
                commands += self._conclude(ask, now)
        return commands

    def _put(self, number: int, ask: Ask, lives: set[str]) -> None:
        """Ask hubs, in the order of their names, so that a run can be repeated."""
        sender = ask.session.peer
        metadata = None if sender.metadata is None else bytes(sender.metadata)
        message = Deliver(number, ask.session.app.id, ask.peer, sender.peer_id, ask.data, metadata)
        for life in sorted(lives):
            ask.asked.add(life)
            if self._links.add(life, message):
                ask.waiting.add(life)
            else:
                ask.failed = True

    def _settle(self, number: int, ask: Ask, now: Instant) -> list[Command]:
        if ask.waiting and not ask.handed:
            return []
        rest = self._links.lives - ask.asked
        if rest and ask.outcome is Outcome.NOWHERE:
            self._put(number, ask, rest)
            if ask.waiting:
                return []
        self._asks.remove(number)
        return self._conclude(ask, now)

    def _conclude(self, ask: Ask, now: Instant) -> list[Command]:
        session, outcome = ask.session, ask.outcome
        if outcome is Outcome.HANDED_OVER:
            session.app.meter.take_message(now)
            self._statistics.sent += 1
            if session.open and ask.request_id is not None:
                return [Send(session, encode_ack(ask.request_id))]
            return []
        if outcome is Outcome.NOWHERE and ask.message_id is not None and session.app.dedupe is not None:
            session.app.dedupe.forget(session.identity, ask.message_id)
        if not session.open:
            return []
        code = ErrorCode.PEER_NOT_FOUND if outcome is Outcome.NOWHERE else ErrorCode.BACKEND_ERROR
        return self._refuse(session, code, ask.request_id)
