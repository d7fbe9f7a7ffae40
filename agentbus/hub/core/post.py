"""Mailboxes: what is sent to a peer that is away for a moment waits for it. `docs/protocol.md`, *Mailboxes*.

A mailbox is a history of what was sent to one peer. The peer opens it by following it, as one follows a
channel, and it lives for a while without its peer. A message that waits is recovered, or it expires.
"""

from __future__ import annotations

import msgspec

from agentbus.hub.core.commands import Broadcast, CatchUp, Command, Send
from agentbus.hub.core.config import HistoryRule, Mailboxes
from agentbus.hub.core.followers import Followers
from agentbus.hub.core.history import History
from agentbus.hub.core.recovery import position_ack
from agentbus.hub.core.session import Session
from agentbus.hub.core.stored import Entry, entry_bytes
from agentbus.protocol import ErrorCode, PresencePeer, Subscribe, encode_ack, encode_direct

SPARE = 2  # a mailbox holds as much of what was handed over as may wait


class Mailbox:
    """One peer's.

    Attributes:
        history: what was sent to it.
        followers: its connections that follow it.
        left_at: Unix seconds at which the last of them went; None while there is one.
        left_head: the newest offset at that time: what is newer waits.
    """

    __slots__ = ("_limits", "followers", "history", "left_at", "left_head", "waiting_bytes")

    def __init__(self, peer: str, epoch: str, limits: Mailboxes) -> None:
        rule = HistoryRule(
            pattern=peer,
            max_messages=limits.max_messages * SPARE,
            max_age=limits.max_age,
            max_bytes=limits.max_bytes * SPARE,
        )
        self._limits = limits
        self.history = History(peer, epoch, rule)
        self.followers = Followers(self.history, _encode, own_too=True)
        self.left_at: float | None = None
        self.left_head = 0
        self.waiting_bytes = 0

    @property
    def waiting(self) -> int:
        """Count the messages that came while the peer was away."""
        return 0 if self.left_at is None else self.history.head - self.left_head

    def takes(self, size: int) -> bool:
        """Tell whether one more message of so many bytes may wait."""
        limits = self._limits
        return self.waiting < limits.max_messages and self.waiting_bytes + size <= limits.max_bytes

    def is_over(self, now: float) -> bool:
        """Tell whether its peer has been away for too long."""
        return self.left_at is not None and now - self.left_at > self._limits.max_age

    def add(self, sender: PresencePeer, data: msgspec.Raw, now: float) -> Entry:
        """Put a message in."""
        entry = self.history.add(sender, data, None, now)
        if self.left_at is not None:
            self.waiting_bytes += entry.size
        return entry

    def left(self, now: float) -> None:
        """Hear that nobody follows it any more."""
        self.left_at, self.left_head, self.waiting_bytes = now, self.history.head, 0


def _encode(entry: Entry, _with_metadata: bool) -> bytes:
    return encode_direct(entry.sender.peer_id, entry.data, entry.sender.metadata, entry.offset)


class PostOffice:
    """The mailboxes of one app.

    Args:
        limits: of each, and of their number.
        max_bytes: of all together.
        life: begins the epoch of each; never given twice.

    Attributes:
        waited: messages that were accepted for a peer that was away.
        recovered: those of them that its return came in time for.
        expired: those that it came too late for, or that were in a mailbox that was given up.
        refused: sends to a full mailbox.
    """

    __slots__ = (
        "_boxes",
        "_life",
        "_limits",
        "_max_bytes",
        "_opened",
        "expired",
        "recovered",
        "refused",
        "waited",
    )

    def __init__(self, limits: Mailboxes, max_bytes: int, life: str) -> None:
        self._limits = limits
        self._max_bytes = max_bytes
        self._life = life
        self._opened = 0
        self._boxes: dict[str, Mailbox] = {}
        self.waited = 0
        self.recovered = 0
        self.expired = 0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._boxes)

    @property
    def held_bytes(self) -> int:
        """What all messages in mailboxes count for; it takes a look at each."""
        return sum(box.history.held_bytes for box in self._boxes.values())

    # -- the peer ------------------------------------------------------------------------------------------

    def follow(self, session: Session, frame: Subscribe, now: float) -> list[Command]:
        """Let a connection follow its peer's mailbox, which may be opened by that."""
        box = self.of(session.peer_id, now) or self._open(session.peer_id, now)
        if box is None:
            return [] if frame.request_id is None else [Send(session, encode_ack(frame.request_id))]
        waiting, first = box.waiting, box.left_head + 1
        box.history.expire(now)
        kept = box.history.head + 1 - max(box.history.first, first) if waiting else 0
        self.recovered += kept
        self.expired += waiting - kept
        box.left_at = None
        recovered = box.followers.join(session, frame.since, include_metadata=True)
        answer = position_ack(session, frame.request_id, box.followers, recovered=recovered)
        return [*answer, CatchUp(session)] if session.behind else answer

    def left(self, session: Session, now: float) -> None:
        """Hear that a connection has ended."""
        box = self._boxes.get(session.peer_id)
        if box is not None and session in box.followers:
            box.followers.leave(session)
            if not len(box.followers):
                box.left(now)

    def give_up(self, session: Session, now: float) -> None:
        """Let a connection follow no more; with the last one, the mailbox is closed."""
        self.left(session, now)
        box = self._boxes.get(session.peer_id)
        if box is not None and box.left_at is not None:
            self._close(session.peer_id, box)

    # -- those who send ------------------------------------------------------------------------------------

    def of(self, peer: str, now: float) -> Mailbox | None:
        """Give a peer's mailbox, unless it has none or was away for too long."""
        box = self._boxes.get(peer)
        if box is not None and box.is_over(now):
            self._close(peer, box)
            return None
        return box

    def hand_over(
        self, sender: Session, to: str, data: msgspec.Raw, receivers: tuple[Session, ...] | None, now: float
    ) -> list[Command] | str:
        """Bring a message to all connections of a peer, or have it wait for the peer.

        Returns:
            The commands, or the error code of one that can do neither.
        """
        box = self.of(to, now)
        if receivers is None:
            if box is None:
                return ErrorCode.PEER_NOT_FOUND
            if not self._takes(box, sender.peer, data):
                return ErrorCode.MAILBOX_FULL
            box.add(sender.peer, data, now)
            return []
        others, handed = receivers, list[Command]()
        if box is not None:
            handed += box.followers.live(box.add(sender.peer, data, now), None)
            others = tuple(one for one in receivers if one not in box.followers)
        if others:
            payload = encode_direct(sender.peer_id, data, sender.peer.metadata)
            handed.append(Broadcast(others, payload))
        return handed

    def _takes(self, box: Mailbox, sender: PresencePeer, data: msgspec.Raw) -> bool:
        size = entry_bytes(sender, data)
        if box.takes(size) and self.held_bytes + size <= self._max_bytes:
            self.waited += 1
            return True
        self.refused += 1
        return False

    # -- mailboxes come and go -----------------------------------------------------------------------------

    def _open(self, peer: str, now: float) -> Mailbox | None:
        if len(self._boxes) >= self._limits.max_peers:
            for name, box in list(self._boxes.items()):
                if box.is_over(now):
                    self._close(name, box)
        if len(self._boxes) >= self._limits.max_peers:
            return None
        self._opened += 1
        box = self._boxes[peer] = Mailbox(peer, f"{self._life}-m{self._opened}", self._limits)
        return box

    def _close(self, peer: str, box: Mailbox) -> None:
        self.expired += box.waiting
        del self._boxes[peer]
