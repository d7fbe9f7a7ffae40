"""HTTP heads around the WebSocket upgrade, without I/O: collect one, read it, answer it.

websockets parses and judges them. Only its limit of 8 KiB per line is replaced by one for the whole head,
because a token of 12 KiB travels percent-encoded in the request line (protocol section 1).
"""

from __future__ import annotations

import email.utils
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Final, TypeVar

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, WebSocketException
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.uri import WebSocketURI

from agentbus.protocol.url import Origin
from agentbus.wire.general import MUTED

MAX_HEAD_BYTES: Final = 96 * 1024
"""Largest head, request or response: a request line of 64 KiB and plenty of header lines."""

_LONGEST_RETRY_AFTER: Final = 365 * 86_400.0
_USER_AGENT: Final = "agentbus"
_END: Final = b"\r\n\r\n"
_T = TypeVar("_T", Request, Response)


class HeadError(ValueError):
    """Bytes that are no HTTP head of the kind that was expected, or one that is too long.

    It never leaves this layer: it becomes a 400 or a failed dial.
    """


class HeadCollector:
    """Gather bytes until a head is whole."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Add bytes.

        Returns:
            The head with its empty line, and what follows it; None while it is incomplete.

        Raises:
            HeadError: if it grows beyond `MAX_HEAD_BYTES`.
        """
        searched = max(0, len(self._buffer) - len(_END) + 1)
        self._buffer += data
        end = self._buffer.find(_END, searched)
        if end > MAX_HEAD_BYTES or (end < 0 and len(self._buffer) > MAX_HEAD_BYTES):
            raise HeadError("the HTTP head is too long")
        if end < 0:
            return None
        end += len(_END)
        return bytes(self._buffer[:end]), bytes(self._buffer[end:])


def _parse(parser: Generator[None, None, _T]) -> _T:
    try:
        next(parser)
    except StopIteration as done:
        head: _T = done.value
        return head
    except (EOFError, ValueError, LookupError, NotImplementedError, WebSocketException) as error:
        kind = type(error).__name__
    else:
        kind = "incomplete"
    # Neither chained nor quoted: the parser's own message repeats the request line, credential and all.
    raise HeadError(f"not a valid HTTP head ({kind})")


class _Lines:
    """Hand out a head's lines the way websockets' parsers ask for them."""

    def __init__(self, head: bytes) -> None:
        self._lines: Iterator[bytes] = iter(head.split(b"\r\n"))

    def read_line(self, _limit: int, _error: type[Exception]) -> Generator[None, None, bytes]:
        yield from ()
        return next(self._lines) + b"\r\n"

    def read_exact(self, _size: int) -> Generator[None, None, bytes]:
        yield from ()
        return b""


def parse_request(head: bytes) -> Request:
    """Read a whole request head.

    Raises:
        HeadError: if it is malformed; nothing of it is repeated.
    """
    return _parse(Request.parse(_Lines(head).read_line))


def parse_response(head: bytes) -> Response:
    """Read a whole response head; the body, if any, is left alone.

    Raises:
        HeadError: if it is malformed; nothing of it is repeated.
    """
    lines = _Lines(head)
    return _parse(Response.parse(lines.read_line, lines.read_exact, lines.read_line, proxy=True))


def accept(request: Request) -> Response:
    """Judge an upgrade request by RFC 6455: no extensions, no subprotocol.

    Returns:
        A response with status 101, or the refusal that the request deserves.
    """
    response = ServerProtocol(logger=MUTED).accept(request)
    if response.status_code == 101:
        del response.headers["Date"]  # optional here, and would make the in-memory hub read a clock
    return response


@dataclass(frozen=True, slots=True)
class Reject:
    """An HTTP answer in place of the upgrade.

    Attributes:
        status: HTTP status code.
        headers: additional header lines.
        body: plain text for people.
    """

    status: int
    headers: Mapping[str, str]
    body: str = ""

    def response(self) -> Response:
        """Build the whole response, which also ends the connection."""
        response = ServerProtocol(logger=MUTED).reject(self.status, self.body)
        for name, value in self.headers.items():
            response.headers[name] = value
        return response


def retry_after_seconds(headers: Headers, wall_time: float) -> float | None:
    """Read `Retry-After`: a number of seconds or an HTTP date (RFC 9110 section 10.2.3).

    Args:
        headers: of the refusal.
        wall_time: now, in Unix seconds.

    Returns:
        Seconds from now, from 0 to a year; None if there is no such header or no sense in it.
    """
    values = headers.get_all("Retry-After")
    if len(values) != 1:
        return None
    text = values[0].strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_RETRY_AFTER)
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return min(max(0.0, date.timestamp() - wall_time), _LONGEST_RETRY_AFTER)


class UpgradeOffer:
    """A client's half of the upgrade: the request, and the judgement of its answer.

    Args:
        origin: of the server.
        key: `Sec-WebSocket-Key`, 16 bytes in Base64; None for a fresh one from the operating system.
    """

    __slots__ = ("_protocol",)

    def __init__(self, origin: Origin, key: str | None = None) -> None:
        # websockets is told neither path nor query: the credential is in them, and its objects show theirs.
        uri = WebSocketURI(origin.secure, origin.host, origin.port, "/", "")
        self._protocol = ClientProtocol(uri, logger=MUTED)
        if key is not None:
            self._protocol.key = key

    def request(self, request_target: str) -> bytes:
        """Build the request head: no extensions, no subprotocol."""
        request = self._protocol.connect()
        request.headers["User-Agent"] = _USER_AGENT
        request.path = request_target
        return request.serialize()

    def check(self, response: Response) -> None:
        """Judge an answer with status 101 by RFC 6455.

        Raises:
            HeadError: if it does not accept what was offered.
        """
        try:
            self._protocol.process_response(response)
        except InvalidHandshake as error:
            kind = type(error).__name__
        else:
            return
        raise HeadError(f"the upgrade was answered wrongly ({kind})")
