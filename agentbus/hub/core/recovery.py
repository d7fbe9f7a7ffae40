"""What a `subscribe` with `recover` is answered, and how those who are behind catch up."""

from __future__ import annotations

from agentbus.hub.core.channel import Channel
from agentbus.hub.core.commands import CatchUp, Command, Send
from agentbus.hub.core.followers import Followers
from agentbus.hub.core.history import Histories
from agentbus.hub.core.instant import Instant
from agentbus.hub.core.session import Session
from agentbus.hub.core.stored import Author, Entry
from agentbus.protocol import Ack, Subscribe, encode, encode_ack


def author_of(session: Session) -> Author:
    """Give whose messages a session publishes."""
    author = session.author
    if author is None:
        author = session.author = Author()
    return author


def follow(
    session: Session, channel: Channel, histories: Histories, frame: Subscribe, now: Instant
) -> tuple[list[Command], list[Command]]:
    """Let a session that has just subscribed follow the channel's history, if it wants to and there is one.

    Returns:
        The ack, and what is to be done after the snapshot.
    """
    acked: list[Command] = []
    history = histories.of(channel.name) if frame.recover else None
    if history is None:
        channel.unfollow(session)
        if frame.request_id is not None:
            acked.append(Send(session, encode_ack(frame.request_id)))
        return acked, []
    name_author(session, frame.producer)
    histories.expire(history, now.wall)
    recovered = channel.follow(session, history, frame.since)
    acked = position_ack(session, frame.request_id, channel.followers, recovered=recovered)
    return acked, [CatchUp(session)] if session.behind else []


def name_author(session: Session, producer: str | None) -> None:
    """Take a session for one of all that name the same producer."""
    if producer is not None:
        author_of(session).name = producer


def position_ack(
    session: Session, request_id: str | None, followers: Followers | None, *, recovered: bool
) -> list[Command]:
    """Ack a `subscribe` with where the history stands."""
    if request_id is None or followers is None:
        return []
    ack = Ack(request_id, position=followers.history.position, recovered=recovered)
    return [Send(session, encode(ack))]


def numbered_ack(session: Session, channel: Channel | None, request_id: str, entry: Entry | None) -> bytes:
    """Ack a `publish`; who follows the channel's history learns the number of its own message."""
    followers = None if entry is None or channel is None else channel.followers
    if followers is None or entry is None or not followers.is_current(session):
        return encode_ack(request_id)
    return encode(Ack(request_id, channel=followers.history.name, offset=entry.offset))


def catch_up(session: Session, room: int) -> list[Command] | None:
    """Give a session what it is behind with, history by history.

    Args:
        session: which; open.
        room: bytes that it may get.

    Returns:
        What it gets, and a `CatchUp` if there is more; None if something that it should get is gone.
    """
    commands: list[Command] = []
    for followers in list(session.behind or ()):
        caught_up = followers.catch_up(session, room)
        if caught_up is None:
            return None
        commands += caught_up[0]
        room = caught_up[1]
    if session.behind:
        commands.append(CatchUp(session))
    return commands
