"""Live updates: server-sent events, which bring a page what is inside it anew whenever that has changed.

They go over the page's own session cookie, one way, and browsers take them up again by themselves. The hub's
WebSocket would need a credential of the wire in the page, and a second protocol on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Final

import msgspec

INTERVAL: Final = 1.0
"""Seconds between two looks."""

QUIET: Final = 15.0
"""Seconds without a change after which a line without meaning shows that both ends are there."""

MOST_STREAMS: Final = 8
"""Open pages of one session that are updated; one more is told to do without."""

RETRY: Final = b"retry: 2000\n\n"
OVER: Final = b"event: over\ndata: \n\n"
STILL_THERE: Final = b": still there\n\n"


async def updates(look: Callable[[], str | None], stopping: asyncio.Event) -> AsyncGenerator[bytes]:
    """Give the events of one stream.

    Args:
        look: renders what is inside the page now; None once nobody is signed in any more.
        stopping: ends the stream.
    """
    yield RETRY
    shown, quiet = "", 0.0
    while not stopping.is_set():
        now_shown = look()
        if now_shown is None:
            yield OVER
            return
        if now_shown != shown:
            shown, quiet = now_shown, 0.0
            yield b"data: " + msgspec.json.encode(shown) + b"\n\n"
        elif quiet >= QUIET:
            quiet = 0.0
            yield STILL_THERE
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), INTERVAL)
        quiet += INTERVAL
