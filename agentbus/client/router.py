"""From frames to events: who is told what. It runs on the read path, in the order of the wire."""

from __future__ import annotations

from typing import TypeAlias

from agentbus.client.events import (
    ChannelMessage,
    DirectMessage,
    GoingAwayEvent,
    MessagesMissed,
    PresenceEvent,
    ServerErrorEvent,
    channel_message,
    direct_message,
    going_away_event,
    presence_event,
)
from agentbus.client.listeners import ClientEvents, Listeners
from agentbus.client.recovery import Recovery
from agentbus.client.roster import Roster
from agentbus.client.view import ClientView
from agentbus.protocol.extensions import MAILBOX_CHANNEL, Position
from agentbus.protocol.frames import Ack, DirectFrame, GoingAway, MessageFrame, PresenceFrame

Asked: TypeAlias = tuple[object, Position | None]
"""A connection, and the position after which it was asked for messages."""

SPARE_RECOVERIES = 1024
"""Positions of channels that are not subscribed, before they are dropped."""


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
        self._recoveries = view.recoveries

    def message(self, frame: MessageFrame) -> None:
        """Tell of a message in a channel, once."""
        if frame.offset is not None and not self._is_new(frame.channel, frame.offset):
            return
        event = channel_message(frame)
        self._messages.emit(event)
        listeners = self._message_channels.get(frame.channel)
        if listeners is not None:
            listeners.emit(event)

    def _is_new(self, channel: str, offset: int) -> bool:
        recovery = self._recoveries.get(channel)
        return recovery is None or recovery.is_new(offset)

    def direct(self, frame: DirectFrame) -> None:
        """Tell of a message to this peer, once."""
        if frame.offset is not None and not self._is_new(MAILBOX_CHANNEL, frame.offset):
            return
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

    def subscribed(self, channel: str, recovery: Recovery | None, asked: Asked, ack: Ack | None) -> None:
        """Hear that the hub has subscribed a channel: a snapshot is due, and what was missed is known.

        Args:
            channel: which.
            recovery: how far its messages have come; None where nobody wants to know.
            asked: the connection, and what the subscribe said as its `since`.
            ack: the hub's, if it says where the history stands.
        """
        if channel != MAILBOX_CHANNEL:
            self.expect_snapshot(channel)
        if recovery is None:
            return
        position, recovered = (None, False) if ack is None else (ack.position, bool(ack.recovered))
        gap = recovery.answered(asked[0], position, asked[1], recovered=recovered)
        if gap is not None:
            self._missed(MessagesMissed(channel, gap.count))

    def _missed(self, event: MessagesMissed) -> None:
        self._listeners.of(MessagesMissed).emit(event)
        listeners = self._listeners.by_channel(MessagesMissed).get(event.channel)
        if listeners is not None:
            listeners.emit(event)

    def numbered(self, channel: str | None, offset: int) -> None:
        """Hear the number of a message of our own, which the hub does not send us."""
        if channel is not None:
            self._is_new(channel, offset)

    def recovery(self, channel: str) -> Recovery:
        """Give how far a channel's messages have come, from now on if nobody kept count so far."""
        known = self._recoveries.get(channel)
        if known is None:
            if len(self._recoveries) >= 2 * len(self.view.tracked) + SPARE_RECOVERIES:
                self._sweep()
            known = self._recoveries[channel] = Recovery()
        return known

    def _sweep(self) -> None:
        """Drop what belongs to channels that were refused, or given up."""
        kept = {MAILBOX_CHANNEL, *self.view.tracked}
        for channel in [name for name in self._recoveries if name not in kept]:
            del self._recoveries[channel]

    def forget(self, channel: str) -> None:
        """Drop what is known of a channel: it was given up."""
        self._snapshots_due.discard(channel)
        self.view.rosters.pop(channel, None)

    def disconnected(self) -> None:
        """Expect nothing of a connection that is gone, and keep rosters only of what will be replayed."""
        self._snapshots_due.clear()
        for channel in [name for name in self.view.rosters if name not in self.view.tracked]:
            del self.view.rosters[channel]
