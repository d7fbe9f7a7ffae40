"""Who is in one channel, and what its subscribers still have to be told about it. Spec section 4.

Deltas wait for up to 50 ms in `changes`, in order, and go out together: a peer that joined and left in
between is not mentioned, a peer that left and came back with other metadata is mentioned as both.

Most subscribers were there before the first change and get one and the same frame. A session that was sent a
snapshot since then (`fresh`) knew of the changes before its snapshot already, so it is told the rest: the net
of the changes after its position. That is also why nobody is ever told of himself: the position of a session
lies behind its own peer's joining, and while it is subscribed its peer neither joins nor leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from agentbus.hub.core.commands import Broadcast, Command, Send
from agentbus.hub.core.session import Session
from agentbus.protocol import PresenceFrame, PresencePeer, encode

MAX_FRAME_BYTES = 256 * 1024
MAX_CHANGES = 128  # more are not gathered: they go out at once


class Change(msgspec.Struct, frozen=True, gc=False):
    """A peer came with its first connection, or left with its last."""

    peer: PresencePeer
    joined: bool


class _Member:
    __slots__ = ("connections", "hubs", "peer")

    def __init__(self, peer: PresencePeer) -> None:
        self.peer = peer
        self.connections = 0
        self.hubs = 0  # other hubs that have connections of this peer in the channel


class Roster:
    """The peers of one channel with the number of their connections in it."""

    __slots__ = ("_channel", "_fresh", "_members", "changes")

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._members: dict[str, _Member] = {}
        self._fresh: dict[Session, int] = {}
        self.changes: list[Change] = []

    def peers(self) -> list[PresencePeer]:
        """Return everyone who is in the channel, in the order of joining."""
        return [member.peer for member in self._members.values()]

    def enter(self, peer: PresencePeer) -> None:
        """Count a connection of `peer` in; its first one is a change."""
        self._member(peer).connections += 1

    def leave(self, session: Session) -> None:
        """Count a connection out; its peer's last one is a change."""
        self._fresh.pop(session, None)
        member = self._members[session.peer_id]
        member.connections -= 1
        self._drop_if_gone(member)

    def enter_elsewhere(self, peer: PresencePeer) -> None:
        """Count in another hub that has `peer`."""
        self._member(peer).hubs += 1

    def leave_elsewhere(self, peer: str) -> None:
        """Count out a hub that has a peer no more."""
        member = self._members[peer]
        member.hubs -= 1
        self._drop_if_gone(member)

    def local_connections(self, peer: str) -> int:
        """Count the connections of a peer at this hub."""
        member = self._members.get(peer)
        return 0 if member is None else member.connections

    def local(self) -> Iterator[tuple[PresencePeer, int]]:
        """Give each peer that has connections at this hub, and how many."""
        return ((member.peer, member.connections) for member in self._members.values() if member.connections)

    def _member(self, peer: PresencePeer) -> _Member:
        member = self._members.get(peer.peer_id)
        if member is None:
            member = self._members[peer.peer_id] = _Member(peer)
            self.changes.append(Change(peer, joined=True))
        return member

    def _drop_if_gone(self, member: _Member) -> None:
        if not member.connections and not member.hubs:
            del self._members[member.peer.peer_id]
            self.changes.append(Change(member.peer, joined=False))

    def snapshot(self, session: Session) -> list[Command]:
        """Tell `session`, which has entered, of everyone else; changes so far are told thereby."""
        own = session.peer_id
        others = [member.peer for name, member in self._members.items() if name != own]
        if self.changes:
            self._fresh[session] = len(self.changes)
        return [Send(session, payload) for payload in presence_frames(self._channel, others, ())]

    def flush(self, watchers: tuple[Session, ...]) -> list[Command]:
        """Tell all `watchers` what changed since they were told last, and start gathering anew."""
        changes, self.changes = self.changes, []
        fresh, self._fresh = self._fresh, {}
        waiting = tuple(one for one in watchers if one not in fresh) if fresh else watchers
        commands: list[Command] = []
        if waiting:
            commands += [Broadcast(waiting, payload) for payload in self._delta_frames(changes)]
        for session, position in fresh.items():
            if position < len(changes):
                commands += [Send(session, payload) for payload in self._delta_frames(changes[position:])]
        return commands

    def _delta_frames(self, changes: Iterable[Change]) -> list[bytes]:
        joined, left = net(changes)
        if {peer.peer_id for peer in joined}.isdisjoint(peer.peer_id for peer in left):
            return presence_frames(self._channel, joined, left) if joined or left else []
        return presence_frames(self._channel, (), left) + presence_frames(self._channel, joined, ())


def net(changes: Iterable[Change]) -> tuple[list[PresencePeer], list[PresencePeer]]:
    """Return who joined and who left in total; a peer in both came back with other metadata."""
    first: dict[str, Change] = {}
    last: dict[str, Change] = {}
    for change in changes:
        name = change.peer.peer_id
        first.setdefault(name, change)
        last[name] = change
    joined: list[PresencePeer] = []
    left: list[PresencePeer] = []
    for name, end in last.items():
        start = first[name]
        was_there, is_there = not start.joined, end.joined
        if was_there and is_there and start.peer == end.peer:
            continue
        if was_there:
            left.append(start.peer)
        if is_there:
            joined.append(end.peer)
    return joined, left


def presence_frames(
    channel: str, joined: Sequence[PresencePeer], left: Sequence[PresencePeer]
) -> list[bytes]:
    """Encode one presence frame, or as many as it takes for none to exceed 256 KiB. Spec section 4."""
    payload = encode(PresenceFrame(channel=channel, joined=tuple(joined), left=tuple(left)))
    if len(payload) <= MAX_FRAME_BYTES:
        return [payload]
    half_joined, half_left = (len(joined) + 1) // 2, (len(left) + 1) // 2
    return presence_frames(channel, joined[:half_joined], left[:half_left]) + presence_frames(
        channel, joined[half_joined:], left[half_left:]
    )
