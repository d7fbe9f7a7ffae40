"""From frames to events: who is told what. It runs on the read path, in the order of the wire."""

from __future__ import annotations

from agentbus.client.events import (
    ChannelMessage,
    DirectMessage,
    GoingAwayEvent,
    PresenceEvent,
    ServerErrorEvent,
    channel_message,
    direct_message,
    going_away_event,
    presence_event,
)
from agentbus.client.listeners import ClientEvents, Listeners
from agentbus.client.roster import Roster
from agentbus.client.view import ClientView
from agentbus.protocol.frames import DirectFrame, GoingAway, MessageFrame, PresenceFrame


class Router:
    """Turn frames into events, and presence into rosters.

    Args:
        listeners: who is told.
        view: where the rosters are.
    """

    def __init__(self, listeners: Listeners, view: ClientView) -> None:
        self.view = view
        self._listeners = listeners
        self._messages: ClientEvents[ChannelMessage] = listeners.of(ChannelMessage)
        self._directs: ClientEvents[DirectMessage] = listeners.of(DirectMessage)
        self._message_channels = listeners.by_channel(ChannelMessage)
        self._presence_channels = listeners.by_channel(PresenceEvent)
        self._snapshots_due: set[str] = set()

    def message(self, frame: MessageFrame) -> None:
        """Tell of a message in a channel."""
        event = channel_message(frame)
        self._messages.emit(event)
        listeners = self._message_channels.get(frame.channel)
        if listeners is not None:
            listeners.emit(event)

    def direct(self, frame: DirectFrame) -> None:
        """Tell of a message to this peer."""
        self._directs.emit(direct_message(frame))

    def presence(self, frame: PresenceFrame) -> None:
        """Bring the roster up to date, and tell. Spec section 4: the first after an ack is a snapshot."""
        channel = frame.channel
        is_snapshot = channel in self._snapshots_due
        self._snapshots_due.discard(channel)
        event = presence_event(frame, is_snapshot=is_snapshot)
        roster = self.view.rosters.get(channel)
        if roster is None and is_snapshot:
            roster = self.view.rosters[channel] = Roster()
        if roster is not None:
            roster.apply(event)
        self._listeners.of(PresenceEvent).emit(event)
        listeners = self._presence_channels.get(channel)
        if listeners is not None:
            listeners.emit(event)

    def going_away(self, frame: GoingAway) -> None:
        """Tell that the hub is about to shut down."""
        self._listeners.of(GoingAwayEvent).emit(going_away_event(frame))

    def server_error(self, code: str, message: str | None, request_id: str | None) -> None:
        """Tell of an error that answers no request of the caller's."""
        self._listeners.of(ServerErrorEvent).emit(ServerErrorEvent(code, message, request_id))

    # -- subscriptions ---------------------------------------------------------------------------------------

    def expect_snapshot(self, channel: str) -> None:
        """Take the next presence of a channel for a snapshot: its subscribe was acked just now."""
        self._snapshots_due.add(channel)

    def forget(self, channel: str) -> None:
        """Drop what is known of a channel: it was given up."""
        self._snapshots_due.discard(channel)
        self.view.rosters.pop(channel, None)

    def disconnected(self) -> None:
        """Expect nothing of a connection that is gone, and keep rosters only of what will be replayed."""
        self._snapshots_due.clear()
        for channel in [name for name in self.view.rosters if name not in self.view.tracked]:
            del self.view.rosters[channel]
