"""One app at run time: its peers, its channels, its counts. Apps are worlds of their own. Spec section 8."""

from __future__ import annotations

from agentbus.hub.core.channel import Channel
from agentbus.hub.core.config import AppConfig
from agentbus.hub.core.instant import Instant
from agentbus.hub.core.quotas import Meter
from agentbus.hub.core.session import Session


class App:
    """One app's live state.

    Attributes:
        config: what it was configured with.
        meter: what it has used.
        peers: the open sessions of each peer.
        channels: by name; those with a subscriber only.
    """

    __slots__ = ("channels", "config", "id", "meter", "peers")

    def __init__(self, config: AppConfig, meter: Meter) -> None:
        self.id = config.id
        self.config = config
        self.meter = meter
        self.peers: dict[str, tuple[Session, ...]] = {}
        self.channels: dict[str, Channel] = {}

    def sessions(self) -> list[Session]:
        """Return every open session."""
        return [session for sessions in self.peers.values() for session in sessions]

    def add(self, session: Session, now: Instant) -> None:
        """Let one session in."""
        self.meter.count_connection(now)
        self.peers[session.peer_id] = (*self.peers.get(session.peer_id, ()), session)

    def remove(self, session: Session) -> None:
        """Let one session go."""
        rest = tuple(one for one in self.peers[session.peer_id] if one is not session)
        if rest:
            self.peers[session.peer_id] = rest
        else:
            del self.peers[session.peer_id]
        self.meter.concurrent -= 1

    def join(self, session: Session, name: str, *, include_metadata: bool) -> Channel:
        """Subscribe `session` to the channel, which comes to exist by that."""
        channel = self.channels.get(name)
        if channel is None:
            channel = self.channels[name] = Channel(name)
        channel.join(session, include_metadata=include_metadata)
        session.subscriptions[name] = channel
        return channel

    def leave(self, session: Session, channel: Channel) -> None:
        """Unsubscribe `session`; a channel without subscribers ceases to exist."""
        del session.subscriptions[channel.name]
        channel.leave(session)
        if not channel.subscribers:
            del self.channels[channel.name]

    def clear(self) -> None:
        """Forget everybody at once."""
        self.peers.clear()
        self.channels.clear()
        self.meter.concurrent = 0
