"""An id and a log line for each HTTP request; neither shows its query or headers, where credentials are."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentbus.hub.core import Instant
from agentbus.hub.server.addresses import TrustedProxies
from agentbus.hub.server.journal import RefusalWindow, as_text

log: Final = logging.getLogger("agentbus.hub.requests")

HEADER: Final = "X-Request-Id"
ROUTINE: Final = frozenset(("/healthz", "/readyz", "/metrics"))
"""Asked for every few seconds by machines: their lines are of level debug."""

LONGEST_PATH: Final = 200
FIRST_REFUSAL: Final = 400
_GOOD_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestLog:
    """ASGI middleware: answers carry `X-Request-Id`; `scope["state"]["request_id"]` tells whoever answers.

    An id that a trusted proxy gave is kept, so that its log and this one can be read together. Of refused
    requests a few get a line, the others are summed up: anybody can make them.

    Args:
        app: what answers.
        now: reads the clock.
        trusted: proxies.
    """

    def __init__(self, app: ASGIApp, now: Callable[[], Instant], trusted: TrustedProxies) -> None:
        self._app = app
        self._now = now
        self._trusted = trusted
        self._start = int(now().wall * 1000)
        self._count = itertools.count(1)
        self._refusals = RefusalWindow()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, headers = self._now().monotonic, Headers(scope=scope)
        peer = scope["client"][0] if scope.get("client") else ""
        request_id = self._id(peer, headers)
        scope.setdefault("state", {})["request_id"] = request_id
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            now = self._now().monotonic
            facts: dict[str, object] = {
                "request": request_id,
                "address": self._trusted.client(peer, headers.getlist("X-Forwarded-For")) or "unix",
                "method": scope["method"],
                "path": scope["path"][:LONGEST_PATH],
                "status": status,
                "seconds": round(now - began, 4),
            }
            self._write(facts, status, now)

    def _write(self, facts: dict[str, object], status: int, now: float) -> None:
        level = logging.DEBUG if facts["path"] in ROUTINE else logging.INFO
        if not log.isEnabledFor(level):
            return
        if self._refusals.waiting and now >= self._refusals.ends:
            untold: dict[str, object] = dict(sorted(self._refusals.take().items()))
            log.info("more requests refused: %s", as_text(untold), extra={"facts": {"refused": untold}})
        if status < FIRST_REFUSAL or self._refusals.tell(str(status), now):
            log.log(level, "request: %s", as_text(facts), extra={"facts": facts})

    def _id(self, peer: str, headers: Headers) -> str:
        given = headers.get(HEADER, "")
        if peer in self._trusted and _GOOD_ID.fullmatch(given):
            return given
        return f"{self._start:x}-{next(self._count):x}"
