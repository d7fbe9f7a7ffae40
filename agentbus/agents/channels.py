"""Which channel carries which topic, so that any number of topics fits a connection's few channels. Pure.

A topic has a channel of its own, named after it, as long as there is room. When a node's own channels near
the limit, its further topics share one of a fixed number of channels, by a hash that all nodes agree on. The
node says in the directory which of them it listens on; who publishes on a topic publishes on the shared
channel too if somebody listens there.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from agentbus.agents.address import SHARED_TOPICS, topic_channel
from agentbus.agents.directory import SEAT_MARK

SHARED_CHANNELS = 32
"""How many channels topics share. All nodes of a namespace have to agree on it."""

RESERVED_CHANNELS = 4
"""Left free for what is no topic: the directory, the inbox, and room for two more."""

DEFAULT_LIMIT = 100
"""Channels per connection where the hub does not announce them."""


class Carrier(NamedTuple):
    """What carries a topic.

    Attributes:
        channel: its name.
        shared: which of the shared channels it is; None for the topic's own.
    """

    channel: str
    shared: int | None


def shared_number(topic: str) -> int:
    """Say which of the shared channels a topic belongs to; the same on every node."""
    digest = blake2b(topic.encode(), digest_size=4).digest()
    return int.from_bytes(digest) % SHARED_CHANNELS


def shared_channel(namespace: str, number: int) -> str:
    """Name a shared channel."""
    return topic_channel(namespace, f"{SHARED_TOPICS}{number}")


def shared_seat(number: int) -> str:
    """Name the seat in the directory of those who listen on a shared channel."""
    return f"{SEAT_MARK}shared{SEAT_MARK}{number}"


class TopicChannels:
    """The channels that one node listens on.

    Args:
        namespace: of the channels.
        limit: channels per connection.
    """

    def __init__(self, namespace: str, limit: int = DEFAULT_LIMIT) -> None:
        self._namespace = namespace
        self._own: dict[str, str] = {}
        self._topics: dict[str, str] = {}
        self._shared: dict[int, dict[str, None]] = {}
        self._room = 0
        self.limit(limit)

    def __len__(self) -> int:
        """Count the channels."""
        return len(self._own) + len(self._shared)

    def limit(self, channels: int) -> list[str]:
        """Keep to so many channels per connection; give the topics that have to move to a shared one."""
        self._room = max(0, channels - RESERVED_CHANNELS - SHARED_CHANNELS)
        return list(self._own)[self._room :]

    def carrier(self, topic: str) -> Carrier | None:
        """Say what carries a topic that the node listens to; None if it does not."""
        channel = self._own.get(topic)
        if channel is not None:
            return Carrier(channel, None)
        number = shared_number(topic)
        if topic in self._shared.get(number, ()):
            return Carrier(shared_channel(self._namespace, number), number)
        return None

    def topic(self, channel: str) -> str | None:
        """Say whose own channel that is."""
        return self._topics.get(channel)

    def add(self, topic: str) -> tuple[Carrier, bool]:
        """Find a channel for a topic that has none; tell whether the channel is new to the node."""
        if len(self._own) < self._room:
            channel = topic_channel(self._namespace, topic)
            self._own[topic] = channel
            self._topics[channel] = topic
            return Carrier(channel, None), True
        number = shared_number(topic)
        first = number not in self._shared
        self._shared.setdefault(number, {})[topic] = None
        return Carrier(shared_channel(self._namespace, number), number), first

    def remove(self, topic: str) -> tuple[Carrier, bool]:
        """Forget a topic; tell whether its channel is needed no more.

        Raises:
            KeyError: it has none.
        """
        channel = self._own.pop(topic, None)
        if channel is not None:
            del self._topics[channel]
            return Carrier(channel, None), True
        number = shared_number(topic)
        sharing = self._shared[number]
        del sharing[topic]
        if not sharing:
            del self._shared[number]
        return Carrier(shared_channel(self._namespace, number), number), not sharing
