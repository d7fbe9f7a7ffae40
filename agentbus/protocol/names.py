"""Names of channels and peers: which are legal, which are reserved (spec section 2)."""

from __future__ import annotations

import re

from agentbus.errors import InvalidNameError

MAX_CHANNEL_BYTES = 256
MAX_PEER_ID_BYTES = 128
MAX_REQUEST_ID_BYTES = 128
RESERVED_PREFIXES = ("_metered/", "_internal/", "_system/")

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


# Printable ASCII, nearly every name there is, needs no further look; every request asks, so without a call.


def check_channel(name: str) -> None:
    """Check that a channel name is 1 to 256 bytes of UTF-8 without control characters.

    Raises:
        InvalidNameError: it is not; `.problem` says why.
    """
    if name.__class__ is str and name.isascii() and name.isprintable() and 0 < len(name) <= MAX_CHANNEL_BYTES:
        return
    _check("channel", name, MAX_CHANNEL_BYTES)


def check_peer_id(name: str) -> None:
    """Check that a peer id is 1 to 128 bytes of UTF-8 without control characters.

    Raises:
        InvalidNameError: it is not; `.problem` says why.
    """
    if name.__class__ is str and name.isascii() and name.isprintable() and 0 < len(name) <= MAX_PEER_ID_BYTES:
        return
    _check("peer id", name, MAX_PEER_ID_BYTES)


def check_asserted_peer_id(name: str) -> None:
    """Check a peer id that a token asserts (`sub`): all of `check_peer_id`, and printable ASCII only.

    Raises:
        InvalidNameError: it is not; `.problem` says why.
    """
    check_peer_id(name)
    if not name.isascii():
        raise InvalidNameError("peer id", "a token may assert printable ASCII only")


def is_reserved(channel: str) -> bool:
    """Tell whether the channel belongs to the hub itself."""
    return channel.startswith(RESERVED_PREFIXES)


def _check(kind: str, name: object, most: int) -> None:
    if not isinstance(name, str):
        raise InvalidNameError(kind, f"a string is needed, not {type(name).__name__}")
    problem = _problem(name, most)
    if problem:
        raise InvalidNameError(kind, problem)


def _problem(name: str, most: int) -> str:
    if not name:
        return "it is empty"
    if _CONTROL.search(name):
        return "it holds a control character"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "it holds half a surrogate pair, which UTF-8 cannot say"
    return f"it has {size} bytes of UTF-8, at most {most} are allowed" if size > most else ""
