"""One connection of the hub: what it asked for, and what it says, on their way to the core."""

from __future__ import annotations

import math
from urllib.parse import unquote

from agentbus.hub.core import ConnectRequest, Instant, Session
from agentbus.hub.server.addresses import client_address
from agentbus.hub.server.shell import HubShell
from agentbus.wire.head import Reject
from agentbus.wire.server import ServerConnection, UpgradeRequest

PATH = "/v1"


class SessionHandler:
    """Glue between one `ServerConnection` and the core; lives as long as the connection.

    Args:
        shell: whose connection it is.
    """

    __slots__ = ("_connection", "_now", "_request", "_session", "_shell")

    def __init__(self, shell: HubShell) -> None:
        self._shell = shell
        self._request: ConnectRequest | None = None
        self._session: Session | None = None
        self._connection: ServerConnection | None = None
        self._now: Instant | None = None  # one reading of the clock per chunk

    def __repr__(self) -> str:
        return f"<SessionHandler of {self._session!r}>"

    # -- a life, in order ----------------------------------------------------------------------------------

    def on_request(self, request: UpgradeRequest) -> Reject | None:
        """Let the upgrade pass, or answer at HTTP level. Spec section 1."""
        if request.path != PATH:
            return Reject(404, {}, "the hub's WebSocket is at /v1\n")
        address = client_address(request, self._shell.trusted_proxies)
        wait = self._shell.hub.allow_connect(address, self._shell.now())
        if wait is not None:
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
        session, commands = shell.hub.connect(request, shell.now())
        session.handle = connection
        self._session = session
        shell.execute(commands)
        shell.rearm()

    def on_text(self, payload: bytes) -> None:
        """Give the core one frame."""
        session, shell = self._session, self._shell
        now = self._now
        if now is None:
            now = self._now = shell.now()
        if session is not None:
            shell.execute(shell.hub.receive(session, payload, now))

    def on_binary(self, size: int) -> None:  # noqa: ARG002 -- what it holds makes no difference
        """Give the core a binary frame, which is never right."""
        if self._session is not None:
            self._shell.execute(self._shell.hub.receive_binary(self._session, self._shell.now()))

    def on_activity(self) -> None:
        """Note the end of a chunk, and whether the connection failed over it."""
        self._now = None
        if self._connection is not None and not self._connection.open:
            self._leave()
        self._shell.rearm()

    def on_closed(self, code: int, reason: str) -> None:  # noqa: ARG002 -- the core's verdict is its own
        """Tell the core that the connection is gone."""
        self._connection = None
        self._leave()
        self._shell.rearm()
        self._shell.left(self)

    def abort(self) -> None:
        """End the connection at once."""
        if self._connection is not None:
            self._connection.abort()

    def _leave(self) -> None:
        # Whom nothing can be sent to is not there: nobody may get an ack for what he will not get.
        session, self._session = self._session, None
        if session is not None:
            session.handle = None
            self._shell.execute(self._shell.hub.disconnect(session, self._shell.now()))


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
