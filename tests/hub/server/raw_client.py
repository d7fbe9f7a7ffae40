"""A client of the wire and nothing more: it keeps what comes in, and sends what it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from agentbus.protocol import check_origin
from agentbus.runtime.loop import Loop
from agentbus.wire.transport import Target, Transport, TransportFactory


class RawClient:
    """Connects at once; `frames` holds every JSON object that came in.

    Args:
        dial: how to connect.
        loop: on which it lives.
        query: of the request target.
        path: of the request target.
    """

    def __init__(
        self,
        dial: TransportFactory,
        loop: Loop,
        query: str,
        *,
        path: str = "/v1",
        url: str = "ws://localhost",
    ) -> None:
        self.frames: list[dict[str, Any]] = []
        self.closed: tuple[int, str, int | None, float | None] | None = None
        self.opened = False
        self.paused = False
        self._news = asyncio.Event()
        self.transport: Transport = dial(Target(check_origin(url), f"{path}?{query}"), self, loop)

    def on_open(self) -> None:
        self.opened = True

    def on_text(self, payload: bytes) -> None:
        self.frames.append(json.loads(payload))
        self._news.set()

    def on_binary(self, size: int) -> None:
        raise AssertionError("a hub sends no binary frames")

    def on_activity(self) -> None:
        pass

    def on_closed(self, code: int, reason: str, http_status: int | None, retry_after: float | None) -> None:
        self.closed = (code, reason, http_status, retry_after)
        self._news.set()

    def on_pause_writing(self) -> None:
        self.paused = True

    def on_resume_writing(self) -> None:
        self.paused = False

    def say(self, kind: str, **fields: Any) -> None:
        self.transport.send_text(json.dumps({"type": kind, **fields}).encode())

    def heard(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["type"] == kind]

    async def until(self, happened: Callable[[], object]) -> None:
        """Wait for it; the caller sets the limit."""
        while not happened():
            self._news.clear()
            await self._news.wait()
