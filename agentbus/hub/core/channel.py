"""One channel of one app: its subscribers, and how a message reaches them."""

from __future__ import annotations

import msgspec

from agentbus.hub.core.commands import Broadcast, Command
from agentbus.hub.core.followers import Followers
from agentbus.hub.core.history import History
from agentbus.hub.core.roster import Roster
from agentbus.hub.core.session import Session
from agentbus.hub.core.stored import Entry
from agentbus.protocol import Position, PresencePeer, encode_message

Sessions = tuple[Session, ...]


class Channel:
    """A channel exists while somebody is subscribed.

    Its receivers are kept as tuples too, made anew when they are needed after a change: a publish costs the
    same for one subscriber and for a thousand, and a command holds the very tuple.

    Attributes:
        name: the channel's name.
        subscribers: each subscribed session, and whether it asked for the sender's metadata.
        roster: the peers behind them, and those at other hubs.
        elsewhere: subscribed connections at other hubs, by the hub's life, those included that listen without
            any; None before the first.
        followers: those subscribers that follow the channel's history; None before the first.
    """

    __slots__ = (
        "_audience",
        "_listening",
        "_watchers",
        "elsewhere",
        "followers",
        "name",
        "roster",
        "subscribers",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.subscribers: dict[Session, bool] = {}
        self.roster = Roster(name)
        self.elsewhere: dict[str, int] | None = None
        self._listening: frozenset[str] = frozenset()
        self.followers: Followers | None = None
        self._audience: tuple[Sessions, Sessions] | None = None
        self._watchers: Sessions | None = None

    def join(self, session: Session, *, include_metadata: bool) -> None:
        """Subscribe `session`, or give its subscription other options."""
        known = self.subscribers.get(session)
        if known is None:
            self.roster.enter(session.peer)
            self._watchers = None
        if known is not include_metadata:
            self.subscribers[session] = include_metadata
            self._audience = None

    def leave(self, session: Session) -> None:
        """Unsubscribe `session`, which is subscribed."""
        self.unfollow(session)
        del self.subscribers[session]
        self.roster.leave(session)
        self._audience = self._watchers = None

    def join_elsewhere(self, hub: str, peer: PresencePeer, before: int, connections: int) -> None:
        """Let a peer have so many subscribed connections at another hub, where it had `before`."""
        if not before:
            self.roster.enter_elsewhere(peer)
        elif not connections:
            self.roster.leave_elsewhere(peer.peer_id)
        self._count_elsewhere(hub, connections - before)

    def listen_elsewhere(self, hub: str, wanted: bool) -> None:
        """Note whether another hub wants the messages, though nobody may be subscribed there."""
        self._listening = self._listening | {hub} if wanted else self._listening - {hub}
        self._count_elsewhere(hub, 0)

    def _count_elsewhere(self, hub: str, more: int) -> None:
        elsewhere = self.elsewhere = self.elsewhere or {}
        elsewhere[hub] = elsewhere.get(hub, 0) + more
        if not elsewhere[hub] and hub not in self._listening:
            del elsewhere[hub]

    def follow(self, session: Session, history: History, since: Position | None) -> bool:
        """Let a subscriber follow the channel's history; return whether it gets all that it missed."""
        if self.followers is None or self.followers.history is not history:
            self.followers = Followers(history, self._encode)
        self._audience = None
        return self.followers.join(session, since, include_metadata=self.subscribers[session])

    def unfollow(self, session: Session) -> None:
        """Let a subscriber be one like any other."""
        if self.followers is not None and session in self.followers:
            self.followers.leave(session)
            self._audience = None

    def _encode(self, entry: Entry, with_metadata: bool) -> bytes:
        metadata = entry.sender.metadata if with_metadata else None
        return encode_message(self.name, entry.sender.peer_id, entry.data, metadata, entry.offset)

    def message(
        self,
        sender: PresencePeer,
        data: msgspec.Raw,
        exclude: Session | None = None,
        entry: Entry | None = None,
    ) -> list[Broadcast]:
        """Return what brings `data` to every subscriber but `exclude`: at most two encodings.

        If the message was recorded, its `entry` goes to followers, in at most two more.
        """
        if exclude not in self.subscribers:
            exclude = None
        elif len(self.subscribers) == 1:
            return []
        plain, asking = self._audience or self._gather_audience()
        commands: list[Broadcast] = []
        if plain:
            payload = encode_message(self.name, sender.peer_id, data, None)
            commands.append(Broadcast(plain, payload, exclude))
        if asking:
            payload = encode_message(self.name, sender.peer_id, data, sender.metadata)
            commands.append(Broadcast(asking, payload, exclude))
        if self.followers is not None and entry is not None:
            commands += self.followers.live(entry, exclude)
        return commands

    def flush_presence(self) -> list[Command]:
        """Return the presence deltas that have waited."""
        if self._watchers is None:
            self._watchers = tuple(one for one in self.subscribers if one.grant.permits("presence"))
        return self.roster.flush(self._watchers)

    def _gather_audience(self) -> tuple[Sessions, Sessions]:
        others = self.followers if self.followers is not None else ()
        plain = tuple(one for one, asks in self.subscribers.items() if not asks and one not in others)
        asking = tuple(one for one, asks in self.subscribers.items() if asks and one not in others)
        self._audience = plain, asking
        return self._audience
