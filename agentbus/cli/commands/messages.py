"""What `pub` and `send` read: JSON from the command line, or from standard input line by line."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import msgspec

STDIN = "-"


class NotJsonError(ValueError):
    """What should have been sent is not JSON; says where it stood."""


def payloads(argument: str) -> Iterator[msgspec.Raw]:
    """Yield each payload as the bytes it was written in.

    Args:
        argument: one JSON value, or `-` for one per line of standard input; empty lines are skipped.

    Raises:
        NotJsonError: something is not JSON; what came before it was yielded.
    """
    if argument != STDIN:
        yield _checked(argument.encode(errors="surrogateescape"), "the message")
        return
    for number, line in enumerate(sys.stdin.buffer, start=1):
        if line.strip():
            yield _checked(line.strip(), f"line {number}")


def _checked(text: bytes, where: str) -> msgspec.Raw:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        hint = " (text needs quotes: '\"text\"')" if where == "the message" else ""
        raise NotJsonError(f"{where} is not JSON: {error}{hint}") from None
    return msgspec.Raw(text)
