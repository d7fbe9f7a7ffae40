"""What the holder of a secret pair may see of an app's live state: pure reading, for operators' pages.

Presence is what shows who is in a channel: without the `presence` action there is nothing to see but counts,
and channels that the pair's patterns do not grant do not exist for it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

import msgspec

from agentbus.hub.core.access import Grant
from agentbus.hub.core.app import App
from agentbus.hub.core.channel import Channel
from agentbus.hub.core.keyring import Caller
from agentbus.hub.core.session import Session
from agentbus.protocol import PresencePeer

EVERYTHING = "**"


class ChannelView(msgspec.Struct, frozen=True):
    """A channel and who is in it.

    Attributes:
        name: of the channel.
        connections: that are subscribed at this hub.
        peers: that are in it.
        members: the first of these, in the order of joining.
    """

    name: str
    connections: int
    peers: int
    members: tuple[PresencePeer, ...]


class ConnectionView(msgspec.Struct, frozen=True):
    """A connection and where it is subscribed.

    Attributes:
        peer: whose it is.
        channels: that it is subscribed to and the reader may know of, the first ones.
        more: how many of these are left out.
    """

    peer: PresencePeer
    channels: tuple[str, ...]
    more: int


def may_see(grant: Grant, channel: str) -> bool:
    """Tell whether the reader may know who is in a channel."""
    return grant.refusal("presence", channel) is None


def sees_everybody(caller: Caller) -> bool:
    """Tell whether the reader may know of connections that are in none of the channels it is granted."""
    return EVERYTHING in caller.key.channel_patterns and caller.grant.permits("presence")


def visible_channels(app: App, grant: Grant, words: str = "") -> Iterator[Channel]:
    """Go through the channels that the reader may know of, and whose name holds `words` in any case."""
    wanted = words.casefold()
    return (
        channel
        for name, channel in app.channels.items()
        if wanted in name.casefold() and may_see(grant, name)
    )


def fullest(channels: Iterable[Channel], skip: int, most: int) -> list[Channel]:
    """Return those with the most subscribers, after the first `skip`; at most `most`."""
    found = heapq.nsmallest(skip + most, channels, key=lambda one: (-len(one.subscribers), one.name))
    return found[skip:]


def channel_view(channel: Channel, most: int) -> ChannelView:
    """Describe a channel, with at most `most` of its peers."""
    members = channel.roster.peers()
    return ChannelView(channel.name, len(channel.subscribers), len(members), tuple(members[:most]))


def connection_view(session: Session, grant: Grant, most: int) -> ConnectionView:
    """Describe a connection, with at most `most` of its channels."""
    channels = [name for name in session.subscriptions if may_see(grant, name)]
    return ConnectionView(session.peer, tuple(channels[:most]), max(0, len(channels) - most))


def shares_a_channel(session: Session, grant: Grant) -> bool:
    """Tell whether a connection is in a channel that the reader may know of."""
    return any(may_see(grant, name) for name in session.subscriptions)
