"""A client's connection: an asyncio protocol that is the client's `Transport` from the dial to the end."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any, cast

from websockets.exceptions import WebSocketException
from websockets.http11 import Response
from websockets.protocol import Side

from agentbus.runtime.loop import Loop
from agentbus.wire.connection import Connection
from agentbus.wire.engine import Engine
from agentbus.wire.framing import TEXT_HEAD, apply_mask, check_close_code, mask_text, masked_head_medium
from agentbus.wire.head import HeadCollector, HeadError, UpgradeOffer, parse_response, retry_after_seconds
from agentbus.wire.transport import ABNORMAL, MAX_INBOUND_BYTES, Target, TransportHandler
from agentbus.wire.writer import Flusher

MaskKeys = Callable[[], bytes]
"""Gives four unpredictable bytes, fresh at each call."""

Opening = Callable[[], Coroutine[Any, Any, object]]
"""Makes the coroutine that connects."""

DialErrors = (OSError, EOFError, ValueError, WebSocketException)
"""What a failed dial raises: no name, no route, refused, TLS, proxies, addresses that are none."""


def secure_mask_keys(batch: int = 256) -> MaskKeys:
    """Give masking keys from the operating system, several per system call (RFC 6455 section 5.3)."""
    split = struct.Struct("4s" * batch).unpack
    blocks = map(os.urandom, repeat(4 * batch))
    return cast("MaskKeys", chain.from_iterable(map(split, blocks)).__next__)


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How a client's connections behave.

    Attributes:
        max_inbound_bytes: largest message that is taken; a larger one closes with 1009.
        close_timeout: seconds from the beginning of the closing handshake to an abort.
        mask_keys: called once per connection; gives the source of its masking keys.
        handshake_key: called once per connection; gives its `Sec-WebSocket-Key`. By default, and wherever
            the network is a real one, both keys come from the operating system.
    """

    max_inbound_bytes: int = MAX_INBOUND_BYTES
    close_timeout: float = 1.0
    mask_keys: Callable[[], MaskKeys] = secure_mask_keys
    handshake_key: Callable[[], str] | None = None


class ClientConnection(Connection):
    """One connection of a client; implements `Transport`.

    Args:
        target: where to connect and what to ask for; forgotten once the request is written.
        handler: who is told.
        loop: on which all of it happens.
        options: limits, and the source of masking keys.
    """

    __slots__ = (
        "_aborted",
        "_collector",
        "_dialling",
        "_handler",
        "_loop",
        "_mask_key",
        "_max_inbound_bytes",
        "_offer",
        "_refusal",
        "_target",
    )

    def __init__(
        self, target: Target, handler: TransportHandler, loop: Loop, options: ClientOptions | None = None
    ) -> None:
        options = options or ClientOptions()
        super().__init__(Flusher(loop.asyncio_loop, loop.call_soon), options.close_timeout)
        self._target: Target | None = target
        self._handler: TransportHandler | None = handler
        self._loop = loop
        self._mask_key = options.mask_keys()
        self._max_inbound_bytes = options.max_inbound_bytes
        key = None if options.handshake_key is None else options.handshake_key()
        self._offer = UpgradeOffer(target.origin, key)
        self._collector: HeadCollector | None = HeadCollector()
        self._dialling: asyncio.Task[None] | None = None
        self._aborted: int | None = None
        self._refusal: tuple[str, int | None, float | None] = ("", None, None)

    # -- the dial ------------------------------------------------------------------------------------------

    def start(self, opening: Opening) -> None:
        """Run the dial, which ends in `connection_made` or in an exception; an abort cancels it."""
        self._dialling = self._loop.create_task(self._dial(opening), name="agentbus-dial")
        self._dialling.add_done_callback(self._dialled)

    async def _dial(self, opening: Opening) -> None:
        try:
            await opening()
        except DialErrors as error:
            self.fail(describe_dial_error(error))

    def _dialled(self, task: asyncio.Task[None]) -> None:
        self._dialling = None
        if task.cancelled():
            self.fail("the dial was cancelled")
        elif (error := task.exception()) is not None:
            self.fail(f"the dial broke: {type(error).__name__}")

    def fail(self, reason: str, http_status: int | None = None, retry_after: float | None = None) -> None:
        """End the attempt: the connection could not be made or upgraded.

        Args:
            reason: what went wrong.
            http_status: the answer, if there was one.
            retry_after: seconds that it asked to wait.
        """
        self._refusal = (reason, http_status, retry_after)
        self._collector = None
        if self._transport is not None:
            self._transport.abort()
        else:
            self._ended(ABNORMAL, "")

    # -- what asyncio calls --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the upgrade request."""
        target, self._target = self._target, None
        if self._handler is None or self._aborted is not None or target is None:
            cast("asyncio.Transport", transport).abort()  # it was aborted in the turn that connected it
            self._ended(ABNORMAL, "")
            return
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._offer.request(target.request_target))

    def data_received(self, data: bytes) -> None:
        """Take bytes: the answer to the upgrade, then frames."""
        engine, handler = self._engine, self._handler
        if engine is None:
            self._upgrade(data)
        elif handler is not None and self._loop.gather(self._receive, engine, data, handler):
            handler.on_activity()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end, unless the dial still has to say what went wrong."""
        if self._transport is not None:
            super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Let the client know that the network takes no more for now."""
        super().pause_writing()
        if self._handler is not None:
            self._handler.on_pause_writing()

    def resume_writing(self) -> None:
        """Let the client know that the buffer has drained."""
        super().resume_writing()
        if self._handler is not None:
            self._handler.on_resume_writing()

    # -- the upgrade ---------------------------------------------------------------------------------------

    def _upgrade(self, data: bytes) -> None:
        try:
            found = self._collector.feed(data) if self._collector else None
            if found is not None:
                self._answered(parse_response(found[0]), found[1])
        except HeadError as error:
            self.fail(str(error))

    def _answered(self, response: Response, rest: bytes) -> None:
        self._collector = None
        if response.status_code != 101:
            # Redirects too: the request carries a credential, which no other place may see.
            wait = retry_after_seconds(response.headers, self._loop.clock.wall())
            self.fail(response.reason_phrase, response.status_code, wait)
            return
        self._offer.check(response)
        self._opened(Engine(Side.CLIENT, self._max_inbound_bytes))
        if self._handler is not None:
            self._handler.on_open()
        if rest:
            self.data_received(rest)

    # -- Transport -----------------------------------------------------------------------------------------

    def send_text(self, payload: bytes, /) -> None:
        """Send one text message, UTF-8; does nothing unless the connection is open."""
        pieces = self._pieces
        if not pieces:
            if pieces is None:
                return
            self._flusher.mark(self)
        size = len(payload)
        if 126 <= size < 65536:  # most frames, so without a call
            key = self._mask_key()
            pieces += masked_head_medium(TEXT_HEAD, 0xFE, size, key), apply_mask(payload, key)
        else:
            pieces += mask_text(payload, self._mask_key())

    @property
    def write_buffer_bytes(self) -> int:
        """Bytes sent and not yet taken by the network."""
        return self.backlog_bytes

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake; `on_closed` follows within a second. Before `on_open`: abort.

        Raises:
            ValueError: for a code that must not be sent, such as 1006.
        """
        if self._engine is None:
            check_close_code(code)
            self.abort(code)
        else:
            super().close(code, reason)

    def abort(self, code: int = ABNORMAL) -> None:
        """End the connection at once, in whatever state; `on_closed` follows with this code."""
        if self._handler is None or self._aborted is not None:
            return
        self._aborted = code
        super().abort()
        if self._dialling is not None:
            self._dialling.cancel()
        elif self._transport is None:
            self._loop.call_soon(self._ended, code, "")

    def _ended(self, code: int, reason: str) -> None:
        handler, self._handler = self._handler, None
        self._target = None
        if handler is None:
            return
        failure, status, retry_after = self._refusal
        if self._aborted is not None:
            handler.on_closed(self._aborted, "", None, None)
        else:
            handler.on_closed(code, reason or failure, status, retry_after)


def describe_dial_error(error: BaseException) -> str:
    """Say in a few words why a dial failed.

    Only the operating system's and TLS's own words are repeated: other errors may quote a proxy's password.
    """
    kind = type(error).__name__
    if not isinstance(error, OSError):
        return kind
    words = getattr(error, "verify_message", None) or error.strerror or str(error)
    return f"{kind}: {words}" if words else kind
