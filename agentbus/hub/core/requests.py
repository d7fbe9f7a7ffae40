"""What a client may ask of a hub: one method per frame type, its checks in the order of spec section 8.

Frame shape, name validity, reserved prefix, permitted action, authorized channel, `data` present, limit,
quota, peer exists. The frame's shape was checked when it was decoded; `Grant.refusal` makes the four checks
on a channel.
"""

from __future__ import annotations

import msgspec

from agentbus.errors import InvalidNameError
from agentbus.hub.core import commands
from agentbus.hub.core.channel import Channel
from agentbus.hub.core.commands import Command
from agentbus.hub.core.config import Limits
from agentbus.hub.core.instant import Instant
from agentbus.hub.core.post import PostOffice
from agentbus.hub.core.presence import PresenceSchedule
from agentbus.hub.core.recovery import author_of, follow, numbered_ack
from agentbus.hub.core.session import TOKEN_OF, Session
from agentbus.hub.core.statistics import Statistics
from agentbus.hub.core.stored import Entry
from agentbus.protocol import (
    MAILBOX_CHANNEL,
    ErrorCode,
    ErrorFrame,
    Ping,
    Pong,
    Publish,
    Send,
    Subscribe,
    Unsubscribe,
    check_channel,
    check_peer_id,
    encode,
    encode_ack,
    encode_direct,
)

ERROR_TEXTS: dict[str, str] = {
    ErrorCode.INVALID_CHANNEL: "a channel name has 1 to 256 bytes of UTF-8 and no control characters",
    ErrorCode.INVALID_PEER_ID: "a peer id has 1 to 128 bytes of UTF-8 and no control characters",
    ErrorCode.CHANNEL_RESERVED: "channels of this prefix belong to the hub",
    ErrorCode.ACTION_NOT_PERMITTED: "the credential does not permit this action",
    ErrorCode.CHANNEL_NOT_AUTHORIZED: "the credential does not grant this channel",
    ErrorCode.MISSING_DATA: "data is missing; null would do",
    ErrorCode.CHANNEL_LIMIT_EXCEEDED: "this connection has as many subscriptions as it may",
    ErrorCode.OVER_MESSAGE_QUOTA: "the app has used up its messages of this month",
    ErrorCode.MAILBOX_FULL: "the peer is away, and as much waits for it as may",
    ErrorCode.PEER_NOT_FOUND: "no connection of this peer is open",
    ErrorCode.BACKEND_ERROR: "other hubs can't be reached, or did not answer; try again in a moment",
}


class Requests:
    """Answers the frames of open sessions."""

    def __init__(self, limits: Limits, presence: PresenceSchedule, statistics: Statistics) -> None:
        self.limits = limits  # replaced when the hub is reconfigured
        self._presence = presence
        self._statistics = statistics

    def on_subscribe(self, session: Session, frame: Subscribe, now: Instant) -> list[Command]:
        """Subscribe; the ack, then a snapshot of who is there. Spec sections 2 and 4."""
        code = session.grant.refusal("subscribe", frame.channel)
        if code is not None:
            post = session.app.post if session.app.cluster is None else None
            if post is not None and frame.recover and frame.channel == MAILBOX_CHANNEL:
                return self._follow_mailbox(session, post, frame, now)
            return self.refuse(session, code, frame.request_id)
        if frame.channel not in session.subscriptions and self._is_full(session):
            return self.refuse(session, ErrorCode.CHANNEL_LIMIT_EXCEEDED, frame.request_id)
        channel = session.app.join(session, frame.channel, include_metadata=frame.include_sender_metadata)
        missed: list[Command] = []
        if session.app.history is None:
            answer = _ack(session, frame.request_id)
        else:
            answer, missed = follow(session, channel, session.app.history, frame, now)
        if session.grant.permits("presence"):
            answer += channel.roster.snapshot(session)
        return answer + self._presence.changed(channel, now.monotonic) + missed

    def on_unsubscribe(self, session: Session, frame: Unsubscribe, now: Instant) -> list[Command]:
        """Unsubscribe; not being subscribed is success."""
        if not _is_channel(frame.channel):
            return self.refuse(session, ErrorCode.INVALID_CHANNEL, frame.request_id)
        answer = _ack(session, frame.request_id)
        channel = session.subscriptions.get(frame.channel)
        if channel is None:
            if session.app.post is not None and frame.channel == MAILBOX_CHANNEL:
                session.app.post.give_up(session, now.wall)
            return answer
        session.app.leave(session, channel)
        return answer + self._presence.changed(channel, now.monotonic)

    def on_publish(self, session: Session, frame: Publish, now: Instant) -> list[Command]:
        """Hand a message to every other subscribed connection, then ack."""
        app = session.app
        code = session.grant.refusal("publish", frame.channel)
        if code is not None:
            return self.refuse(session, code, frame.request_id)
        if frame.data is None:
            return self.refuse(session, ErrorCode.MISSING_DATA, frame.request_id)
        if frame.id is not None and _is_repeat(session, frame.id, now):
            return _ack(session, frame.request_id)
        if not app.meter.take_message(now):
            return self.refuse(session, ErrorCode.OVER_MESSAGE_QUOTA, frame.request_id)
        self._statistics.published += 1
        if frame.id is not None and app.dedupe is not None:
            app.dedupe.accepted(session.identity, frame.id, now.monotonic)
        entry: Entry | None = None
        if app.history is not None:
            author = session.author or author_of(session)
            entry = app.history.record(frame.channel, session.peer, frame.data, author, now.wall)
        channel = app.channels.get(frame.channel)
        answer: list[Command] = []
        if channel is not None:
            answer += channel.message(session.peer, frame.data, exclude=session, entry=entry)
            receivers = len(channel.subscribers) - (session in channel.subscribers)
            self._statistics.delivered += receivers
            app.statistics.delivered += receivers
            if channel.elsewhere and not self._relay(session, channel, frame.data):
                return answer + self.refuse(session, ErrorCode.BACKEND_ERROR, frame.request_id)
        if frame.request_id is not None:
            answer.append(commands.Send(session, numbered_ack(session, channel, frame.request_id, entry)))
        return answer

    def on_send(self, session: Session, frame: Send, now: Instant) -> list[Command]:
        """Hand a message to every connection of one peer, the sender's own included, then ack."""
        app = session.app
        receivers = app.peers.get(frame.to)
        if receivers is None and not _is_peer_id(frame.to):
            return self.refuse(session, ErrorCode.INVALID_PEER_ID, frame.request_id)
        if not session.grant.permits("send"):
            return self.refuse(session, ErrorCode.ACTION_NOT_PERMITTED, frame.request_id)
        if frame.data is None:
            return self.refuse(session, ErrorCode.MISSING_DATA, frame.request_id)
        if frame.id is not None and _is_repeat(session, frame.id, now):
            return _ack(session, frame.request_id)
        if not app.meter.has_room(now):
            return self.refuse(session, ErrorCode.OVER_MESSAGE_QUOTA, frame.request_id)
        if app.cluster is not None and (receivers is None or frame.to in app.elsewhere):
            return app.cluster.send(session, frame, frame.data, now)
        handed: list[Command] | str
        if app.post is not None:
            handed = app.post.hand_over(session, frame.to, frame.data, receivers, now.wall)
        elif receivers is None:
            handed = ErrorCode.PEER_NOT_FOUND
        else:
            payload = encode_direct(session.peer_id, frame.data, session.peer.metadata)
            handed = [commands.Broadcast(receivers, payload)]
        return self._sent(session, frame, handed, receivers, now)

    def _sent(
        self,
        session: Session,
        frame: Send,
        handed: list[Command] | str,
        receivers: tuple[Session, ...] | None,
        now: Instant,
    ) -> list[Command]:
        """Count what was handed over, and ack it; or say why it was not."""
        if isinstance(handed, str):
            return self.refuse(session, handed, frame.request_id)
        app = session.app
        app.meter.take_message(now)
        if frame.id is not None and app.dedupe is not None:
            app.dedupe.accepted(session.identity, frame.id, now.monotonic)
        self._statistics.sent += 1
        delivered = 0 if receivers is None else len(receivers)
        self._statistics.delivered += delivered
        app.statistics.delivered += delivered
        if frame.request_id is not None:
            handed.append(commands.Send(session, encode_ack(frame.request_id)))
        return handed

    def on_ping(self, session: Session, frame: Ping, _now: Instant) -> list[Command]:
        """Answer with a pong; a ping is never acked."""
        return [commands.Send(session, encode(Pong(frame.request_id)))]

    def _follow_mailbox(
        self, session: Session, post: PostOffice, frame: Subscribe, now: Instant
    ) -> list[Command]:
        if not session.identity.startswith(TOKEN_OF):  # its peer id is another one next time
            return self.refuse(session, ErrorCode.ACTION_NOT_PERMITTED, frame.request_id)
        return post.follow(session, frame, now.wall)

    def refuse(
        self, session: Session, code: str, request_id: str | None, text: str | None = None
    ) -> list[Command]:
        """Answer with an error, which carries the request id where there was one."""
        self._statistics.errors[code] += 1
        session.app.statistics.errors[code] += 1
        frame = ErrorFrame(code=code, request_id=request_id, message=text or ERROR_TEXTS.get(code))
        return [commands.Send(session, encode(frame))]

    @staticmethod
    def _relay(session: Session, channel: Channel, data: msgspec.Raw) -> bool:
        """Hand a message to the hubs that have subscribers; False where they can't be reached."""
        app, hubs = session.app, channel.elsewhere
        if app.cluster is None or hubs is None:
            return True
        return app.cluster.publish(app, channel.name, session.peer, data, hubs) is not None

    def _is_full(self, session: Session) -> bool:
        return len(session.subscriptions) >= self.limits.channels_per_connection


def _ack(session: Session, request_id: str | None) -> list[Command]:
    return [] if request_id is None else [commands.Send(session, encode_ack(request_id))]


def _is_repeat(session: Session, message_id: str, now: Instant) -> bool:
    dedupe = session.app.dedupe
    return dedupe is not None and dedupe.is_repeat(session.identity, message_id, now.monotonic)


def _is_channel(name: str) -> bool:
    try:
        check_channel(name)
    except InvalidNameError:
        return False
    return True


def _is_peer_id(name: str) -> bool:
    try:
        check_peer_id(name)
    except InvalidNameError:
        return False
    return True
