"""uvicorn's HTTP connection with the bounds that it lacks, and the way from it to a WebSocket.

uvicorn waits for ever for a request that does not come whole, and keeps a head of any size. It drops what
follows an upgrade request in the same chunk, and takes one while an earlier request is unanswered.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from agentbus.hub.server.entrance import REASON_DROPPED, Entrance
from agentbus.wire.head import MAX_HEAD_BYTES, Reject

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn.config import Config
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
    from uvicorn.server import ServerState

REQUEST_TIMEOUT: Final = 10.0
"""Seconds from the connect, or from the first byte of a later request, until that request is whole."""

MOST_WAITING: Final = 16
"""Requests of one connection that wait for the answer to an earlier one; each costs 5 KB."""

TAKE_TIMEOUT: Final = 10.0
"""Seconds that a client may take none of an answer, while more of it waits than the network holds."""

CLOSE_TIMEOUT: Final = 3.0
"""Seconds that what is left of an answer has to get out, once the connection is being closed."""

BAD_REQUEST = Reject(400, {}, "this is no HTTP, or too many requests at once\n")
TOO_SLOW = Reject(408, {}, "the request took too long\n")
TOO_LONG = Reject(431, {}, "the request's head is too long\n")
TOO_EARLY = Reject(400, {}, "an upgrade waits for the answers to earlier requests\n")


class _UnacceptableError(Exception):
    """A request that is one too many, or whose head is too long."""


class HttpConnection(HttpToolsProtocol):
    """One connection, until it closes or a WebSocket takes it over.

    Args:
        config: uvicorn's, as are the others.

    Attributes:
        entrance: bounds the connections of one hub; a subclass per hub has it.
    """

    entrance: ClassVar[Entrance | None] = None

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._heads = 0
        self._head_bytes = 0  # of a head that is not whole yet, without the chunk that it began in
        self._in_head = True
        self._refusal = BAD_REQUEST
        self._deadline: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None

    # -- what asyncio calls --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin: a request is to come, and not too late."""
        super().connection_made(transport)
        if self.entrance is not None:
            self.entrance.enter(self)
        self._expect_whole_request()

    def data_received(self, data: bytes) -> None:
        """Take bytes: requests, or what should be."""
        self._unset_keepalive_if_required()
        heads = self._heads
        try:
            self._parse(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self._upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self._refuse(self._refusal)
            return
        if self._in_head:
            self._head_bytes = self._head_bytes + len(data) if heads == self._heads else 0
            self._expect_whole_request()
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(TOO_LONG)
        elif self._idle:
            self._expect_whole_request()  # line ends between requests begin none, but end the keep-alive

    def pause_writing(self) -> None:
        """Give a client that takes nothing of its answer some time, and no more."""
        super().pause_writing()
        self._watch_output(TAKE_TIMEOUT)

    def resume_writing(self) -> None:
        """Note that it goes on."""
        super().resume_writing()
        self._watch_output(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._expect_nothing()
        self._watch_output(None)
        self._leave_entrance()
        super().connection_lost(exc)

    # -- what the parser calls -----------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._in_head = True
        self._heads += 1
        self._expect_whole_request()

    def on_headers_complete(self) -> None:
        """Have the request's head."""
        self._in_head = False
        if len(self.pipeline) >= MOST_WAITING:
            raise _UnacceptableError  # the parser passes it on as an HttpParserError
        if self._head_size() > MAX_HEAD_BYTES:
            self._refusal = TOO_LONG
            raise _UnacceptableError
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Have the request."""
        self._expect_nothing()
        super().on_message_complete()

    # -- what uvicorn calls --------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """Have an answer written, as far as the network takes it."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_output(CLOSE_TIMEOUT)

    def timeout_keep_alive_handler(self) -> None:
        """End a connection that has been idle; what it has not taken by now it never will."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    # -- what the entrance calls ---------------------------------------------------------------------------

    def drop(self) -> None:
        """End it at once: there are too many that have shown no credential."""
        self._note(REASON_DROPPED)
        self.transport.abort()

    # -- how -----------------------------------------------------------------------------------------------

    def _parse(self, data: bytes) -> None:
        if self.parser is not None:
            self.parser.feed_data(data)

    @property
    def _idle(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is not None and cycle.response_complete and not self.transport.is_closing()

    def _watch_output(self, delay: float | None) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
        self._stuck = None if delay is None else self.loop.call_later(delay, self.transport.abort)

    def _note(self, reason: str) -> None:
        if self.entrance is not None:  # proxies are not looked through: there may be no whole head
            self.entrance.refuse(reason, self.client[0] if self.client else "")

    def _leave_entrance(self) -> None:
        if self.entrance is not None:
            self.entrance.leave(self)

    def _expect_whole_request(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_TIMEOUT, self._give_up)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if self._in_head:
            self._refuse(TOO_SLOW)
        else:
            self.transport.abort()  # its answer is written or being written

    def _refuse(self, answer: Reject) -> None:
        self._expect_nothing()
        self._note(str(answer.status))
        self.transport.write(answer.response().serialize())
        self.transport.close()
        self._watch_output(CLOSE_TIMEOUT)

    def _upgrade(self, rest: bytes) -> None:
        self._expect_nothing()
        earlier = cast("RequestResponseCycle | None", self.cycle)
        if earlier is not None and not earlier.response_complete:
            self._refuse(TOO_EARLY)
            return
        self.connections.discard(self)
        self._leave_entrance()
        self._watch_output(None)
        make = cast("Callable[..., asyncio.Protocol]", self.ws_protocol_class)
        connection = make(config=self.config, server_state=self.server_state, app_state=self.app_state)
        # From here on, whatever happens to the transport is the new protocol's to hear.
        self.transport.set_protocol(connection)
        connection.connection_made(self.transport)
        connection.data_received(self._head() + rest)

    def _head_size(self) -> int:
        """Count the bytes of the request's head, without the empty line."""
        line = len(self.parser.get_method() if self.parser else b"") + len(self.url) + len(" HTTP/1.1 ")
        return line + sum(len(name) + len(value) + len("\r\n: ") for name, value in self.headers)

    def _head(self) -> bytes:
        """Repeat the request's head; the parser has thrown the bytes away."""
        lines = [b"%s %s HTTP/%s" % (self._method(), self.url, self._version())]
        lines += [b"%s: %s" % header for header in self.headers]
        return b"\r\n".join((*lines, b"", b""))

    def _method(self) -> bytes:
        return self.scope["method"].encode()

    def _version(self) -> bytes:
        return self.scope["http_version"].encode()
