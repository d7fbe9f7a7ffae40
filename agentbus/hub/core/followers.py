"""Connections that follow a history: those that are up to date, and those that are behind. `recover.v1`.

A follower that is up to date gets each message as it comes. One that is behind gets what it missed out of the
history, as fast as its connection takes it, and what comes meanwhile waits there, too. So nothing is doubled
or out of order, and nobody waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from agentbus.hub.core.commands import Broadcast, Send
from agentbus.hub.core.history import History
from agentbus.hub.core.session import Session
from agentbus.hub.core.stored import ENTRY_BYTES, Entry
from agentbus.protocol import Position

Encode: TypeAlias = Callable[[Entry, bool], bytes]
"""Write the frame of an entry, with its sender's metadata or without."""

Sessions = tuple[Session, ...]


class Followers:
    """Everybody who follows one history.

    Args:
        history: which.
        encode: writes its frames.
        own_too: whether a follower gets what it published itself.
    """

    __slots__ = ("_audience", "_behind", "_encode", "_followers", "_own_too", "history")

    def __init__(self, history: History, encode: Encode, *, own_too: bool = False) -> None:
        self.history = history
        self._encode = encode
        self._own_too = own_too
        self._followers: dict[Session, bool] = {}  # whether it asked for senders' metadata
        self._behind: dict[Session, int] = {}  # the offset that it has
        self._audience: tuple[Sessions, Sessions] | None = None

    def __len__(self) -> int:
        return len(self._followers)

    def __contains__(self, session: object) -> bool:
        return session in self._followers

    def is_current(self, session: Session) -> bool:
        """Tell whether `session` follows and has everything so far."""
        return session in self._followers and session not in self._behind

    def join(self, session: Session, since: Position | None, *, include_metadata: bool) -> bool:
        """Let a session follow, from `since` on or from now on; one that follows keeps its place.

        Returns:
            Whether it gets all that it missed.
        """
        self._audience = None
        if session in self._followers:
            self._followers[session] = include_metadata
            return True
        self._followers[session] = include_metadata
        self.history.followers += 1
        if since is None:
            return True
        if not self.history.reaches(since):
            return False
        if since.offset < self.history.head:
            self._behind[session] = since.offset
            session.behind = session.behind or {}
            session.behind[self] = None
        return True

    def leave(self, session: Session) -> None:
        """Let a session, which follows, go."""
        del self._followers[session]
        self.history.followers -= 1
        self._audience = None
        self._up_to_date(session)

    # -- as it comes -----------------------------------------------------------------------------------------

    def live(self, entry: Entry, exclude: Session | None) -> list[Broadcast]:
        """Bring the newest message to all who are up to date."""
        plain, asking = self._audience or self._gather()
        commands: list[Broadcast] = []
        if plain:
            commands.append(Broadcast(plain, self._encode(entry, False), exclude))  # noqa: FBT003 -- a callable
        if asking:
            commands.append(Broadcast(asking, self._encode(entry, True), exclude))  # noqa: FBT003 -- likewise
        return commands

    def _gather(self) -> tuple[Sessions, Sessions]:
        current = [
            (session, asks) for session, asks in self._followers.items() if session not in self._behind
        ]
        plain = tuple(session for session, asks in current if not asks)
        asking = tuple(session for session, asks in current if asks)
        self._audience = plain, asking
        return self._audience

    # -- what was missed -------------------------------------------------------------------------------------

    def catch_up(self, session: Session, room: int) -> tuple[list[Send], int] | None:
        """Give a session that is behind the next messages, and let it be up to date when that was all.

        Args:
            session: which.
            room: bytes that it may get.

        Returns:
            What it gets, and the room that is left; None if what comes next is not held any more.
        """
        cursor = self._behind[session]
        if cursor + 1 < self.history.first:
            return None
        commands: list[Send] = []
        for entry in self.history.after(cursor):
            if room <= 0:
                break
            cursor = entry.offset
            if not self._own_too and entry.author is not None and entry.author.is_same(session.author):
                room -= ENTRY_BYTES  # it cost a look
                continue
            payload = self._encode(entry, self._followers[session])
            room -= len(payload)
            commands.append(Send(session, payload))
        self._behind[session] = cursor
        if cursor == self.history.head:
            self._up_to_date(session)
            self._audience = None
        return commands, room

    def _up_to_date(self, session: Session) -> None:
        if self._behind.pop(session, None) is not None and session.behind is not None:
            session.behind.pop(self, None)
