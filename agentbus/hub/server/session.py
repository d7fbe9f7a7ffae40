"""One connection of the hub: what it asked for, and what it says, on their way to the core."""

from __future__ import annotations

import math
from typing import NamedTuple
from urllib.parse import unquote

from agentbus.hub.core import Close, Command, ConnectRequest, Instant, Session
from agentbus.hub.server.addresses import client_address, rate_key
from agentbus.hub.server.journal import Life
from agentbus.hub.server.shell import HubShell
from agentbus.hub.server.traffic import EndedBy, Tally
from agentbus.wire.head import Reject
from agentbus.wire.server import ServerConnection, UpgradeRequest
from agentbus.wire.transport import ABNORMAL

PATH = "/v1"


class Seat(NamedTuple):
    """An open connection, for operators: its number counts from 1, its beginning is in monotonic seconds."""

    session: Session
    number: int
    address: str
    opened_at: float


class SessionHandler:
    """Glue between one `ServerConnection` and the core; lives as long as the connection.

    Args:
        shell: whose connection it is.
    """

    __slots__ = (
        "_connection",
        "_frames_in",
        "_now",
        "_number",
        "_opened_at",
        "_request",
        "_session",
        "_shell",
        "_who",
        "address",
    )

    def __init__(self, shell: HubShell) -> None:
        self._shell = shell
        self._request: ConnectRequest | None = None
        self._session: Session | None = None
        self._connection: ServerConnection | None = None
        self._now: Instant | None = None  # one reading of the clock per chunk
        self._frames_in = 0
        self._number = 0
        self._opened_at = 0.0
        self._who: Session | None = None  # the session, also when it is over; None: it was not let in
        self.address = ""

    def __repr__(self) -> str:
        return f"<SessionHandler of {self._session!r}>"

    # -- a life, in order ----------------------------------------------------------------------------------

    def on_request(self, request: UpgradeRequest) -> Reject | None:
        """Let the upgrade pass, or answer at HTTP level. Spec section 1."""
        self.address = address = client_address(request, self._shell.trusted_proxies)
        if request.path != PATH:
            self._shell.entrance.refuse("404", address)
            return Reject(404, {}, "the hub's WebSocket is at /v1\n")
        wait = self._shell.hub.allow_connect(rate_key(address), self._shell.now())
        if wait is not None:
            self._shell.entrance.refuse("429", address)
            return Reject(429, {"Retry-After": str(math.ceil(wait))}, "too many connects from this address\n")
        key, token = read_credentials(request.query)
        origin = request.headers.get("Origin")
        self._request = ConnectRequest(key=key, token=token, origin=origin, address=address)
        return None

    def on_open(self, connection: ServerConnection) -> None:
        """Have the core let the connection in, or close it with the code that says why not."""
        shell, request = self._shell, self._request
        self._request = None
        if request is None:
            connection.abort()
            return
        shell.handlers[self] = None
        self._connection = connection
        now = shell.now()
        session, commands = shell.hub.connect(request, now)
        session.handle = connection
        self._session = session
        if session.open:
            self._let_in(session, now)
        else:
            self._turn_away(commands)
        shell.execute(commands)
        shell.rearm()

    def on_text(self, payload: bytes) -> None:
        """Give the core one frame."""
        session, shell = self._session, self._shell
        self._frames_in += 1
        now = self._now
        if now is None:
            now = self._now = shell.now()
            if now.monotonic >= shell.handover.due:
                shell.handover.begin(now.monotonic)
        if session is not None:
            shell.execute(shell.hub.receive(session, payload, now))

    def on_binary(self, size: int) -> None:
        """Give the core a binary frame, which is never right."""
        del size  # what it holds makes no difference
        if self._session is not None:
            self._shell.execute(self._shell.hub.receive_binary(self._session, self._shell.now()))

    def on_activity(self) -> None:
        """Note the end of a chunk, and whether the connection failed over it."""
        self._now = None
        if self._shell.handover.pending:
            self._shell.end_sample()
        if self._connection is not None and not self._connection.open:
            self._leave()
        self._shell.rearm()

    def on_closed(self, code: int, reason: str) -> None:
        """Tell the core that the connection is gone."""
        del reason  # the verdict of the core is its own
        connection, self._connection = self._connection, None
        self._leave()
        if connection is not None:
            self._note_end(connection, code)
        self._shell.rearm()
        self._shell.left(self)

    def abort(self) -> None:
        """End the connection at once."""
        if self._connection is not None:
            self._connection.abort()

    def drop(self) -> None:
        """End the connection of somebody who was turned away and is still there."""
        self.abort()

    # -- what is noted of it -------------------------------------------------------------------------------

    def _let_in(self, session: Session, now: Instant) -> None:
        self._number = self._shell.count_connection(session.app.id)
        self._opened_at = now.monotonic
        self._who = session

    def _turn_away(self, commands: list[Command]) -> None:
        codes = [str(int(command.code)) for command in commands if isinstance(command, Close)]
        self._shell.entrance.refuse(codes[0], self.address)
        self._shell.entrance.enter(self)  # it may stay for as long as the closing handshake takes

    def carried(self, connection: ServerConnection) -> Tally:
        """Tell what the connection has carried so far."""
        return Tally(self._frames_in, connection.bytes_in, connection.frames_out, connection.bytes_out)

    def live(self) -> tuple[str, ServerConnection, Tally] | None:
        """Tell its app, its connection and what that has carried; None if it was not let in, or is over."""
        connection, who = self._connection, self._who
        if connection is None or who is None:
            return None
        return who.app.id, connection, self.carried(connection)

    def seat(self) -> Seat | None:
        """Tell whose it is, while it is open."""
        session = self._session
        if session is None or not session.open:
            return None
        return Seat(session, self._number, self.address, self._opened_at)

    def _note_end(self, connection: ServerConnection, code: int) -> None:
        shell, who, begun = self._shell, self._who, connection.close_begun
        if who is None:
            shell.entrance.leave(self)
            return
        by = _ended_by(connection, code)
        code = begun if begun is not None else code
        carried = self.carried(connection)
        shell.traffic.end(who.app.id, carried, code, by)
        life = Life(
            number=self._number,
            address=self.address,
            app=who.app.id,
            peer=who.peer_id,
            credential="key" if who.close_at == math.inf else "token",
            seconds=shell.now().monotonic - self._opened_at,
            carried=carried,
            code=code,
            by=by,
        )
        shell.journal.ended(life)

    # -- how -----------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        # Whom nothing can be sent to is not there: nobody may get an ack for what he will not get.
        session, self._session = self._session, None
        if session is not None:
            session.handle = None
            self._shell.execute(self._shell.hub.disconnect(session, self._shell.now()))


def _ended_by(connection: ServerConnection, code: int) -> EndedBy:
    if connection.silent:
        return "silence"
    if connection.close_begun is not None:
        return "hub"
    return "network" if code == ABNORMAL else "client"


def read_credentials(query: str) -> tuple[str | None, str | None]:
    """Take `key` and `token` from a query; if one of them is repeated, neither counts.

    Returns:
        The decoded key and token, each None where it is missing.
    """
    found: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name not in ("key", "token"):
            continue
        if name in found:
            return None, None
        found[name] = unquote(value)
    return found.get("key"), found.get("token")
