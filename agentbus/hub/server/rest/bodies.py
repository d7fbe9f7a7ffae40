"""Request bodies: bounded, whatever their length claims, and what is left of one that is refused."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Receive

from agentbus.hub.core.control_bodies import MAX_BODY_BYTES, Answer, invalid, refuse

LINGER_TIMEOUT: Final = 1.0
"""Seconds that a refused body is thrown away for, so that its sender can read the answer (RFC 9112, 9.6)."""

LINGER_BYTES: Final = 256 * 1024
"""Bytes of a refused body that are thrown away at most."""

TOO_LARGE: Final = refuse(413, "invalid_request", f"a body has at most {MAX_BODY_BYTES} bytes")
NOT_JSON: Final = invalid("the body must be JSON: send it with Content-Type: application/json")
GONE: Final = invalid("the body did not come whole")


def has_long_body(headers: Headers) -> bool:
    """Tell whether a body may be on its way that is not worth waiting for."""
    if "transfer-encoding" in headers:
        return True
    length = headers.get("content-length", "0")
    return not length.isdecimal() or len(length) > 9 or int(length) > MAX_BODY_BYTES


async def read_whole(headers: Headers, receive: Receive) -> bytes | Answer:
    """Read a request's body.

    Args:
        headers: of the request.
        receive: gives its next part.

    Returns:
        The body, or the answer to one that is too large (without reading on) or no JSON by its own word.
    """
    if not _is_json(headers):
        return NOT_JSON
    if "transfer-encoding" not in headers and has_long_body(headers):
        return TOO_LARGE
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return GONE
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return TOO_LARGE
        if not message.get("more_body", False):
            return bytes(body)


async def linger(receive: Receive) -> None:
    """Throw away what is left of a body, within bounds: to close on unread bytes may cost the answer, too."""
    left = LINGER_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_TIMEOUT):
            while left > 0:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
                left -= len(message.get("body", b""))


def _is_json(headers: Headers) -> bool:
    kinds = headers.getlist("content-type")
    kind = kinds[0].partition(";")[0].strip().lower() if kinds else "application/json"
    encoded = headers.get("content-encoding", "identity").strip().lower()
    return len(kinds) <= 1 and kind == "application/json" and encoded == "identity"
