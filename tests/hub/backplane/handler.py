"""What a hub is to its backplane, for tests: it keeps what comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Listener:
    """Keeps packets, and counts when the backplane came and went."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.opened = 0
        self.lost = 0
        self._news = asyncio.Event()

    def on_open(self) -> None:
        self.opened += 1
        self._news.set()

    def on_packet(self, payload: bytes) -> None:
        self.packets.append(payload)
        self._news.set()

    def on_lost(self) -> None:
        self.lost += 1
        self._news.set()

    async def until(self, happened: Callable[[], object]) -> None:
        """Wait for it, 20 s at most."""
        async with asyncio.timeout(20):
            while not happened():
                self._news.clear()
                await self._news.wait()
