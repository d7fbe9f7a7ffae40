"""Subscriptions to the channels of topics, within the pace of the connection. On the I/O loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from agentbus.agents.permissions import is_refusal
from agentbus.agents.uplink import Uplink
from agentbus.errors import MissingPermission, SignallingServerError
from agentbus.protocol.pacer import Pacer
from agentbus.runtime import Future


class Subscribing:
    """Which channels are still to be subscribed, and who waits for that.

    What is subscribed, the client subscribes again on every new connection.

    Args:
        uplink: the way to the hub.
        pacer: of the connection.
        now: gives monotonic seconds.
    """

    def __init__(self, uplink: Uplink, pacer: Pacer, now: Callable[[], float]) -> None:
        self._uplink = uplink
        self._pacer = pacer
        self._now = now
        self._pending: dict[str, Future[None]] = {}
        self._topics: dict[str, str] = {}
        self._queue: dict[str, bool] = {}
        self._online = False

    def subscribe(self, channel: str, topic: str) -> None:
        """Subscribe a channel, as soon as there is a connection.

        Args:
            channel: its name.
            topic: the one that needs it, for the error.
        """
        self._pending[channel] = Future[None]().quiet()
        self._topics[channel] = topic
        self._queue[channel] = True
        self.tick()

    def wait(self, channel: str) -> Future[None] | None:
        """Give the future of a channel that is not subscribed yet, or was refused; None for others."""
        return self._pending.get(channel)

    def unsubscribe(self, channel: str) -> None:
        """Unsubscribe a channel, once there is a connection: the client would bring it back on the next."""
        self._pending.pop(channel, None)
        del self._topics[channel]
        if not self._queue.pop(channel, False):
            self._queue[channel] = False
            self.tick()

    # -- the connection --------------------------------------------------------------------------------------

    def online(self) -> None:
        """Subscribe what could not be subscribed so far."""
        self._online = True
        given_up = [channel for channel, wanted in self._queue.items() if not wanted]
        self._queue = dict.fromkeys(given_up, False)  # first: they take up room
        self._queue |= {channel: True for channel, pending in self._pending.items() if not pending.done()}
        self.tick()

    def offline(self) -> None:
        """Wait."""
        self._online = False

    def tick(self) -> None:
        """Subscribe what the pace allows."""
        while self._online and self._queue and self._pacer.take(self._now(), urgent=True):
            channel = next(iter(self._queue))
            if not self._queue.pop(channel):
                self._uplink.client.unsubscribe(channel).quiet()
                continue
            subscribed = self._uplink.client.subscribe(channel, include_sender_metadata=True, recover=False)
            subscribed.quiet().add_done_callback(partial(self._subscribed, channel, self._pending[channel]))

    def next_deadline(self) -> float | None:
        """When the pace allows the next one; None if none waits."""
        waiting = self._online and self._queue
        return self._pacer.ready_at(self._now(), urgent=True) if waiting else None

    def _subscribed(self, channel: str, pending: Future[None], done: Future[None]) -> None:
        error = done.exception()
        if error is None:
            pending.try_set(None)
            if self._pending.get(channel) is pending:
                del self._pending[channel]
        elif is_refusal(error):
            topic = self._topics.get(channel, channel)
            pending.try_set_exception(MissingPermission("subscribe", f"the topic {topic!r}"))
        elif isinstance(error, SignallingServerError):
            pending.try_set_exception(error)
        # else the connection is gone: the next one asks again

    def close(self, error: Exception) -> None:
        """Fail what waits."""
        for pending in self._pending.values():
            pending.try_set_exception(error)
        self._queue.clear()
