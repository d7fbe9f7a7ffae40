"""One channel of one app: its subscribers, and how a message reaches them."""

from __future__ import annotations

import msgspec

from agentbus.hub.core.commands import Broadcast, Command
from agentbus.hub.core.roster import Roster
from agentbus.hub.core.session import Session
from agentbus.protocol import PresencePeer, encode_message


class Channel:
    """A channel exists while somebody is subscribed.

    The subscribers are kept as three tuples besides, made anew when they are needed after a change: a publish
    costs the same for one subscriber and for a thousand, and a command holds the very tuple.

    Attributes:
        name: the channel's name.
        subscribers: each subscribed session, and whether it asked for the sender's metadata.
        roster: the peers behind them.
    """

    __slots__ = ("_asking", "_plain", "_stale", "_watchers", "name", "roster", "subscribers")

    def __init__(self, name: str) -> None:
        self.name = name
        self.subscribers: dict[Session, bool] = {}
        self.roster = Roster(name)
        self._plain: tuple[Session, ...] = ()
        self._asking: tuple[Session, ...] = ()
        self._watchers: tuple[Session, ...] = ()
        self._stale = False

    def join(self, session: Session, *, include_metadata: bool) -> None:
        """Subscribe `session`, or give its subscription other options."""
        known = self.subscribers.get(session)
        if known is None:
            self.roster.enter(session.peer)
        if known is not include_metadata:
            self.subscribers[session] = include_metadata
            self._stale = True

    def leave(self, session: Session) -> None:
        """Unsubscribe `session`, which is subscribed."""
        del self.subscribers[session]
        self.roster.leave(session)
        self._stale = True

    def message(
        self, sender: PresencePeer, data: msgspec.Raw, exclude: Session | None = None
    ) -> list[Broadcast]:
        """Return what brings `data` to every subscriber but `exclude`: at most two encodings."""
        if exclude not in self.subscribers:
            exclude = None
        elif len(self.subscribers) == 1:
            return []
        if self._stale:
            self._refresh()
        payload = encode_message(self.name, sender.peer_id, data, None)
        commands: list[Broadcast] = []
        if self._plain:
            commands.append(Broadcast(self._plain, payload, exclude))
        if self._asking:
            if sender.metadata is not None:
                payload = encode_message(self.name, sender.peer_id, data, sender.metadata)
            commands.append(Broadcast(self._asking, payload, exclude))
        return commands

    def flush_presence(self) -> list[Command]:
        """Return the presence deltas that have waited."""
        if self._stale:
            self._refresh()
        return self.roster.flush(self._watchers)

    def _refresh(self) -> None:
        self._plain = _where(self.subscribers, asking=False)
        self._asking = _where(self.subscribers, asking=True)
        self._watchers = tuple(one for one in self.subscribers if one.grant.permits("presence"))
        self._stale = False


def _where(subscribers: dict[Session, bool], *, asking: bool) -> tuple[Session, ...]:
    return tuple(session for session, asks in subscribers.items() if asks is asking)
