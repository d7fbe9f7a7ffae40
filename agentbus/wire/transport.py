"""What lies between a client and its socket; tests put the in-memory network here.

Everything happens on the loop's own thread, and nothing blocks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Protocol

from agentbus.protocol.url import Origin
from agentbus.runtime.loop import Loop

MAX_INBOUND_BYTES: Final = 1 << 20
"""Largest message that a client takes; a larger one closes the connection with 1009 (protocol section 7)."""

ABNORMAL: Final = 1006
"""The close code of a connection that ended without a close frame, or never came up."""


_REQUEST_TARGET: Final = re.compile(r"/[!-~]*")


class Target:
    """Where to connect, and what to ask for there.

    Args:
        origin: scheme, host and port.
        request_target: path and query. The query carries the credential, so it shows up in no repr.

    Raises:
        ValueError: the request target is not printable ASCII without blanks; it is not repeated.
    """

    __slots__ = ("origin", "request_target")

    def __init__(self, origin: Origin, request_target: str) -> None:
        if not _REQUEST_TARGET.fullmatch(request_target):
            raise ValueError("a request target is printable ASCII without blanks, and begins with a slash")
        self.origin = origin
        self.request_target = request_target

    def __repr__(self) -> str:
        return f"<Target {self.origin.text}>"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Target carries a credential and is not pickled")


class TransportHandler(Protocol):
    """Who a transport reports to, in this order: `on_open`, anything, `on_closed` once and last."""

    def on_open(self) -> None:
        """Hear that the upgrade is done; frames may be sent."""

    def on_text(self, payload: bytes, /) -> None:
        """Take one whole text message, valid UTF-8."""

    def on_binary(self, size: int, /) -> None:
        """Hear of one whole binary message of so many bytes, which the protocol does not use."""

    def on_activity(self) -> None:
        """Hear that a frame of any kind came in: once per chunk of the network, after its messages."""

    def on_closed(
        self, code: int, reason: str, http_status: int | None, retry_after: float | None, /
    ) -> None:
        """Hear that the connection has ended, or never came up.

        Args:
            code: of the close frame that came (1005 if it named none), else the one that this side sent or
                aborted with, else 1006.
            reason: the server's text, unchecked, or our own words for a failure to connect.
            http_status: what a refused upgrade was answered with.
            retry_after: seconds that such an answer asked to wait.
        """

    def on_pause_writing(self) -> None:
        """Hear that the network takes no more for now; what is sent is buffered."""

    def on_resume_writing(self) -> None:
        """Hear that the buffer has drained."""


class Transport(Protocol):
    """One connection of a client, from the dial to the end."""

    def send_text(self, payload: bytes, /) -> None:
        """Send one text message, UTF-8; does nothing unless the connection is open."""

    def close(self, code: int, reason: str, /) -> None:
        """Begin the closing handshake; `on_closed` follows within a second. Before `on_open`: abort."""

    def abort(self, code: int = ABNORMAL, /) -> None:
        """End the connection at once, in whatever state; `on_closed` follows with this code."""

    @property
    def write_buffer_bytes(self) -> int:
        """Bytes sent and not yet taken by the network."""
        ...


TransportFactory = Callable[[Target, TransportHandler, Loop], Transport]
"""Dials without waiting; a failure to dial is an `on_closed`, never an exception."""
