"""A hub's end of a connection: an asyncio protocol from the upgrade request to the end.

It is handed a transport in any of three ways: by an asyncio server, by an HTTP server that has read the
upgrade request already and repeats it (`connection_made`, then `data_received`), or by the in-memory pipe.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol, cast

from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.protocol import Side

from agentbus.wire.connection import FRAMES_PER_WRITE, Connection
from agentbus.wire.engine import Engine
from agentbus.wire.framing import PING, frame_text
from agentbus.wire.head import HeadCollector, HeadError, Reject, accept, parse_request
from agentbus.wire.writer import Flusher

BARE_WINDOW = 10.0
"""Seconds for which control frames and small fragments are counted, which no message rate sees."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a hub's connections behave; one object serves all of them.

    Attributes:
        max_inbound_bytes: largest message that is taken; a larger one closes with 1009.
        ping_interval: seconds without inbound bytes until a ping; 0 turns idle checks off.
        ping_timeout: seconds from that ping to an abort, if nothing comes in.
        close_timeout: seconds from the beginning of the closing handshake to an abort.
        max_bare_frames: control frames and small fragments within `BARE_WINDOW`; more close with 1008.
    """

    max_inbound_bytes: int = 66_560
    ping_interval: float = 20.0
    ping_timeout: float = 20.0
    close_timeout: float = 3.0
    max_bare_frames: int = 1000


class UpgradeRequest:
    """What a client asked for.

    Attributes:
        path: of the request target, as it came.
        query: of the request target, as it came; it carries the credential, so no repr shows it.
        headers: of the request.
        peer_address: of the other end of the transport; "" if unknown.
    """

    __slots__ = ("headers", "path", "peer_address", "query")

    def __init__(self, path: str, query: str, headers: Headers, peer_address: str) -> None:
        self.path = path
        self.query = query
        self.headers = headers
        self.peer_address = peer_address

    def __repr__(self) -> str:
        return f"<UpgradeRequest {self.path!r} from {self.peer_address!r}>"


class ServerHandler(Protocol):
    """Who a hub's connection reports to: `on_request`, `on_open`, anything, `on_closed` once and last."""

    def on_request(self, request: UpgradeRequest, /) -> Reject | None:
        """Accept a valid upgrade request, or answer it with something else; then nothing follows."""

    def on_open(self, connection: ServerConnection, /) -> None:
        """Hear that the upgrade is done; frames may be sent."""

    def on_text(self, payload: bytes, /) -> None:
        """Take one whole text message, valid UTF-8."""

    def on_binary(self, size: int, /) -> None:
        """Hear of one whole binary message of so many bytes, which the protocol does not use."""

    def on_activity(self) -> None:
        """Hear that a frame of any kind came in: once per chunk of the network, after its messages.

        A violation counts as one: look whether the connection is still `open`.
        """

    def on_closed(self, code: int, reason: str, /) -> None:
        """Hear that an open connection has ended.

        Args:
            code: of the close frame that came (1005 if it named none), else of the one sent, else 1006.
            reason: of that frame; the client's text is unchecked.
        """


class ServerConnection(Connection):
    """One connection of a hub.

    Args:
        handler: who is told.
        flusher: gathers the writes of the loop that this connection lives on.
        options: limits and times.

    Attributes:
        bytes_in: of frames so far, headers and all.
        bytes_out: the same, those that the network has not taken yet included.
        frames_out: pieces written; one that was sent in parts of several frames counts once.
        close_begun: the code of our own close frame, if it went out before one came in; known at the end.
        silent: whether it was ended because nothing came in any more.
    """

    __slots__ = (
        "_bare_since",
        "_collector",
        "_handler",
        "_heard",
        "_options",
        "_pinged",
        "bytes_in",
        "bytes_out",
        "close_begun",
        "frames_out",
        "silent",
    )

    def __init__(self, handler: ServerHandler, flusher: Flusher, options: ServerOptions) -> None:
        super().__init__(flusher, options.close_timeout)
        self._handler: ServerHandler | None = handler
        self._options = options
        self._collector: HeadCollector | None = HeadCollector()
        self._heard = 0.0  # loop time of the last inbound bytes
        self._bare_since = 0.0
        self._pinged = -1.0  # the `_heard` that the last ping was for
        self.bytes_in = self.bytes_out = self.frames_out = 0
        self.close_begun: int | None = None
        self.silent = False

    # -- what asyncio calls --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the request is to come."""
        self._transport = cast("asyncio.Transport", transport)
        self._heard = self._flusher.loop.time()
        self._watch(self._options.ping_interval)

    def data_received(self, data: bytes) -> None:
        """Take bytes: the upgrade request, then frames."""
        engine, handler = self._engine, self._handler
        if engine is None:
            self._upgrade(data)  # not heard yet: a request that dribbles in is no sign of life
            return
        self._heard = self._flusher.loop.time()
        self.bytes_in += len(data)
        # A connection that has failed hears of it at once: it may take seconds until its transport is gone.
        if handler is not None and (self._receive(engine, data, handler) or not self.open):
            handler.on_activity()

    # -- the upgrade ---------------------------------------------------------------------------------------

    def _upgrade(self, data: bytes) -> None:
        try:
            found = self._collector.feed(data) if self._collector else None
            if found is not None:
                self._asked(parse_request(found[0]), found[1])
        except HeadError as error:
            self._refuse(Reject(400, {}, f"{error}\n").response())

    def _asked(self, request: Request, rest: bytes) -> None:
        handler, transport = self._handler, self._transport
        if handler is None or transport is None:
            return
        response = accept(request)
        if response.status_code == 101:
            rejected = handler.on_request(self._request(request))
            response = rejected.response() if rejected else response
        if response.status_code != 101:
            self._refuse(response)
            return
        self._collector = None
        self._heard = self._flusher.loop.time()
        transport.write(response.serialize())
        engine = Engine(Side.SERVER, self._options.max_inbound_bytes)
        engine.bare_left = self._options.max_bare_frames
        self._bare_since = self._heard
        self._opened(engine)
        handler.on_open(self)
        if rest:
            self.data_received(rest)

    def _request(self, request: Request) -> UpgradeRequest:
        path, _, query = request.path.partition("?")
        return UpgradeRequest(path, query, request.headers, self._peer_address())

    def _peer_address(self) -> str:
        peer: object = self._transport.get_extra_info("peername") if self._transport else None
        if isinstance(peer, tuple):
            return str(cast("tuple[object, ...]", peer)[0])
        return peer if isinstance(peer, str) else ""

    def _refuse(self, response: Response) -> None:
        self._collector = None
        self._handler = None  # nothing was opened that could end
        if self._transport is not None:
            self._transport.write(response.serialize())
            self._transport.close()

    # -- open ----------------------------------------------------------------------------------------------

    def _settle(self, engine: Engine) -> None:
        if self._heard - self._bare_since >= BARE_WINDOW:
            self._bare_since = self._heard
            engine.bare_left = self._options.max_bare_frames
        super()._settle(engine)

    def send_frames(self, data: bytes) -> None:
        """Send what `frame_text` made, one frame or several; does nothing unless the connection is open.

        The same bytes may go to any number of connections, each with one write per turn of the loop.
        """
        pieces = self._pieces
        if not pieces:
            if pieces is None:
                return
            self._flusher.mark(self)
        pieces.append(data)

    def send_text(self, payload: bytes) -> None:
        """Send one text message, UTF-8; does nothing unless the connection is open.

        It is for this connection alone, whose other end may begin with a long burst before we are through.
        """
        pieces = self._pieces
        if not pieces:
            if pieces is None:
                return
            self._flusher.mark(self)
        pieces.append(frame_text(payload))
        if len(pieces) >= FRAMES_PER_WRITE:
            self.flush()

    def flush(self) -> None:
        """Write what has gathered; the flusher calls it once per turn."""
        pieces = self._pieces
        if pieces and self._transport is not None:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self.frames_out += len(pieces)
            self.bytes_out += len(data)
            pieces.clear()
            self._transport.write(data)

    def ping(self) -> None:
        """Send an empty ping; the pong counts as activity."""
        self.send_frames(PING)

    # -- silence -------------------------------------------------------------------------------------------

    def _watch(self, delay: float) -> None:
        if self._options.ping_interval:
            self._rearm(self._flusher.loop.call_later(delay, self._check_silence))

    def _check_silence(self) -> None:
        # One lazy timer: a message costs one clock reading, and nothing is re-armed for it (spec section 8).
        awaiting_pong = self._pinged == self._heard
        allowed = self._options.ping_interval + (self._options.ping_timeout if awaiting_pong else 0)
        left = self._heard + allowed - self._flusher.loop.time()
        if left > 0:
            self._watch(left)
        elif awaiting_pong or self._engine is None:
            self.silent = True
            self.abort()
        else:
            self.ping()
            self._pinged = self._heard
            self._watch(self._options.ping_timeout)

    # -- the end -------------------------------------------------------------------------------------------

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end, with the close frame's verdict if there was one."""
        if self._engine is not None:
            self.close_begun = self._engine.close_begun
        super().connection_lost(exc)

    def _ended(self, code: int, reason: str) -> None:
        handler, self._handler = self._handler, None
        if handler is not None and self._collector is None:  # else the request never came whole
            handler.on_closed(code, reason)
