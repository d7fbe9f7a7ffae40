"""One app at run time: its peers, its channels, its counts. Apps are worlds of their own. Spec section 8."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from agentbus.hub.core.channel import Channel
from agentbus.hub.core.commands import Broadcast, Command
from agentbus.hub.core.config import AppConfig
from agentbus.hub.core.dedupe import Dedupe
from agentbus.hub.core.history import Histories
from agentbus.hub.core.instant import Instant
from agentbus.hub.core.post import PostOffice
from agentbus.hub.core.quotas import Meter
from agentbus.hub.core.session import Session
from agentbus.hub.core.statistics import AppStatistics
from agentbus.protocol import PresencePeer, encode_direct

if TYPE_CHECKING:
    from agentbus.hub.core.cluster import Cluster


class App:
    """One app's live state.

    Attributes:
        config: what it was configured with.
        meter: what it has used.
        peers: the open sessions of each peer.
        channels: by name; those with a subscriber only, here or at another hub.
        statistics: its share of this hub's totals.
        cluster: the other hubs; None for a hub that is alone.
        elsewhere: the connections of each peer at other hubs, by the hub's life.
        history: what was published lately; None where the app has no history.
        dedupe: ids of requests; None where they mean nothing.
        post: what waits for peers that are away; None where nothing does.
    """

    __slots__ = (
        "channels",
        "cluster",
        "config",
        "dedupe",
        "elsewhere",
        "history",
        "id",
        "meter",
        "peers",
        "post",
        "statistics",
    )

    def __init__(self, config: AppConfig, meter: Meter) -> None:
        self.id = config.id
        self.config = config
        self.meter = meter
        self.peers: dict[str, tuple[Session, ...]] = {}
        self.channels: dict[str, Channel] = {}
        self.statistics = AppStatistics()
        self.cluster: Cluster | None = None
        self.elsewhere: dict[str, dict[str, int]] = {}
        self.history: Histories | None = None
        self.dedupe: Dedupe | None = None
        self.post: PostOffice | None = None

    def sessions(self) -> list[Session]:
        """Return every open session."""
        return [session for sessions in self.peers.values() for session in sessions]

    def add(self, session: Session, now: Instant) -> None:
        """Let one session in."""
        self.meter.count_connection(now)
        sessions = self.peers[session.peer_id] = (*self.peers.get(session.peer_id, ()), session)
        if self.cluster is not None:
            self.cluster.seated(self.id, "", session.peer, len(sessions))

    def remove(self, session: Session) -> None:
        """Let one session go."""
        rest = tuple(one for one in self.peers[session.peer_id] if one is not session)
        if rest:
            self.peers[session.peer_id] = rest
        else:
            del self.peers[session.peer_id]
        self.meter.concurrent -= 1
        if self.cluster is not None:
            self.cluster.seated(self.id, "", session.peer, len(rest))

    def join(self, session: Session, name: str, *, include_metadata: bool) -> Channel:
        """Subscribe `session` to the channel, which comes to exist by that."""
        channel = self.channels.get(name)
        if channel is None:
            channel = self.channels[name] = Channel(name)
        channel.join(session, include_metadata=include_metadata)
        if name not in session.subscriptions:
            session.subscriptions[name] = channel
            self._tell(channel, session)
        return channel

    def leave(self, session: Session, channel: Channel) -> None:
        """Unsubscribe `session`; a channel without subscribers ceases to exist."""
        del session.subscriptions[channel.name]
        channel.leave(session)
        self._tell(channel, session)
        self._drop_if_empty(channel)

    def clear(self) -> None:
        """Forget everybody at once."""
        self.peers.clear()
        self.channels.clear()
        self.elsewhere.clear()
        self.meter.concurrent = self.meter.concurrent_elsewhere = 0

    # -- other hubs ----------------------------------------------------------------------------------------

    def connections_of(self, peer: str) -> int:
        """Count a peer's connections, over all hubs."""
        return len(self.peers.get(peer, ())) + sum(self.elsewhere.get(peer, {}).values())

    def count_elsewhere(self, hub: str, peer: str, before: int, connections: int) -> None:
        """Let a peer have so many connections at another hub, where it had `before`."""
        self.meter.concurrent_elsewhere += connections - before
        if connections:
            self.elsewhere.setdefault(peer, {})[hub] = connections
        elif before:
            del self.elsewhere[peer][hub]
            if not self.elsewhere[peer]:
                del self.elsewhere[peer]

    def hand_over(self, peer: str, sender: PresencePeer, data: msgspec.Raw) -> tuple[int, list[Command]]:
        """Bring a message to a peer's connections here; return how many those are, and the commands."""
        receivers = self.peers.get(peer)
        if receivers is None:
            return 0, []
        self.statistics.delivered += len(receivers)
        return len(receivers), [Broadcast(receivers, encode_direct(sender.peer_id, data, sender.metadata))]

    def listen_elsewhere(self, hub: str, name: str, wanted: bool) -> None:
        """Note whether another hub wants a channel's messages, though nobody may be subscribed there."""
        channel = self.channels.get(name)
        if channel is None:
            channel = self.channels[name] = Channel(name)
        channel.listen_elsewhere(hub, wanted)
        self._drop_if_empty(channel)

    def join_elsewhere(
        self, hub: str, name: str, peer: PresencePeer, before: int, connections: int
    ) -> Channel:
        """Let a peer have so many subscribed connections at another hub, where it had `before`."""
        channel = self.channels.get(name)
        if channel is None:
            channel = self.channels[name] = Channel(name)
        channel.join_elsewhere(hub, peer, before, connections)
        self._drop_if_empty(channel)
        return channel

    def _tell(self, channel: Channel, session: Session) -> None:
        if self.cluster is not None:
            connections = channel.roster.local_connections(session.peer_id)
            self.cluster.seated(self.id, channel.name, session.peer, connections)

    def _drop_if_empty(self, channel: Channel) -> None:
        if not channel.subscribers and not channel.elsewhere:
            del self.channels[channel.name]
