"""Feeds connections with what they missed: a piece per turn of the loop, and only where there is room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agentbus.hub.core import Session
    from agentbus.hub.server.shell import HubShell
    from agentbus.wire.server import ServerConnection

PIECE_BYTES: Final = 256 * 1024
"""What a connection gets per turn at most."""
CONGESTED_DELAY: Final = 0.02
"""Seconds until a connection that takes no more is looked at again."""


class Feeder:
    """Calls `Hub.catch_up` for each session that is behind.

    Args:
        shell: whose hub and loop they are.
        max_backlog: unsent bytes at which a connection is closed: a piece is half of it at most.
    """

    def __init__(self, shell: HubShell, max_backlog: int) -> None:
        self._shell = shell
        self._piece_bytes = min(PIECE_BYTES, max_backlog // 2)
        self._hungry: set[Session] = set()

    def __len__(self) -> int:
        return len(self._hungry)

    def feed(self, session: Session) -> None:
        """Give a session its next piece in a turn to come."""
        if session in self._hungry:
            return
        self._hungry.add(session)
        connection: ServerConnection | None = session.handle
        if connection is not None and connection.congested:
            self._shell.loop.call_later(CONGESTED_DELAY, self._give, session)
        else:
            self._shell.loop.asyncio_loop.call_soon(self._give, session)

    def _give(self, session: Session) -> None:
        self._hungry.discard(session)
        connection: ServerConnection | None = session.handle
        if connection is None or not session.open:
            return
        shell = self._shell
        # A gap is looked for also where there is no room: it ends the waiting.
        room = 0 if connection.congested else self._piece_bytes
        shell.execute(shell.hub.catch_up(session, room, shell.now()))
        shell.rearm()
