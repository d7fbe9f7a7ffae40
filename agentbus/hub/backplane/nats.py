"""A backplane over NATS. The one module that knows nats-py (extra `nats`).

Each hub listens on a subject of its own and on one for all. Core NATS is all that it needs: it keeps the
order between two hubs, and what it loses, the core notices. Reconnecting is done here and not by nats-py,
which would give up for good on some errors, and send what is out of date after an outage.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from agentbus.errors import HubConfigError
from agentbus.hub.backplane.nats_options import NatsOptions
from agentbus.hub.backplane.transport import BackplaneHandler

MAX_WAITING_BYTES = 16 << 20
"""Unsent bytes for NATS; beyond, all of them are given up, and every hub is told everything anew."""

MAX_UNREAD_BYTES = 64 << 20
"""Received bytes that wait for the hub; beyond, nats-py drops some, and the core asks for all anew."""

FIRST_CONNECT_TIMEOUT = 5.0
"""Seconds that a starting hub waits for NATS before it begins without."""

CONNECT_TIMEOUT = 3
RETRY_DELAY = 0.5
PING_INTERVAL = 2
MOST_PINGS = 2
STOP_TIMEOUT = 2.0
_REFUSALS = ("authorization", "authentication", "nkey", "jwt", "user")

_log = logging.getLogger("agentbus.hub")


class NatsBackplane:
    """One hub's way to the others over NATS.

    Args:
        options: how to reach it.
    """

    _handler: BackplaneHandler

    def __init__(self, options: NatsOptions) -> None:
        self._options = options
        self._tls = options.ssl_context()
        self._life = ""
        self._client: Client | None = None
        self._closed = asyncio.Event()
        self._up = asyncio.Event()
        self._news = asyncio.Event()
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._waiting_bytes = 0
        self._problem = ""
        self._tasks: list[asyncio.Task[None]] = []

    # -- a life, in order ------------------------------------------------------------------------------------

    async def start(self, life: str, handler: BackplaneHandler) -> None:
        """Connect, and return; if NATS is away, go on trying.

        Raises:
            HubConfigError: NATS does not let us in.
        """
        self._life, self._handler = life, handler
        self._tasks = [asyncio.create_task(self._keep_connected(), name="backplane-connect")]
        up = asyncio.ensure_future(self._up.wait())
        await asyncio.wait(
            (up, *self._tasks), timeout=FIRST_CONNECT_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
        )
        up.cancel()
        if self._tasks[0].done():
            await self._tasks[0]  # raises what went wrong
        if not self._up.is_set():
            _log.warning("the backplane can't be reached yet: %s", self._problem or "no answer")

    def send(self, to: str | None, payload: bytes) -> None:
        """Publish a packet; without a connection it is dropped, and the core knows that."""
        if not self._up.is_set():
            return
        self._waiting.append((self._subject(to), payload))
        self._waiting_bytes += len(payload)
        if self._waiting_bytes > MAX_WAITING_BYTES:
            _log.warning("NATS takes less than this hub has to tell; the other hubs are told everything anew")
            self._forget_waiting()
            self._restart()
        self._news.set()

    async def stop(self) -> None:
        """Send what waits, and close."""
        client = self._client
        if client is not None and self._up.is_set():
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._drain(client), STOP_TIMEOUT)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if client is not None:
            await _close(client)

    # -- the connection --------------------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        first = True
        while True:
            client = Client()
            try:
                await asyncio.wait_for(
                    self._connect(client), CONNECT_TIMEOUT * (len(self._options.servers) + 1)
                )
            except (OSError, TimeoutError, nats.errors.Error) as error:
                await _close(client)
                self._problem = _words(error)
                if first and _is_refusal(self._problem):
                    raise HubConfigError(
                        "backplane", "url", f"NATS refuses this hub: {self._problem}"
                    ) from None
            else:
                await self._serve(client)
            first = False
            await asyncio.sleep(RETRY_DELAY)

    async def _connect(self, client: Client) -> None:
        options = self._options
        self._closed = asyncio.Event()
        await client.connect(
            list(options.servers),
            name=f"agentbus hub {self._life}",
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=CONNECT_TIMEOUT,
            ping_interval=PING_INTERVAL,
            max_outstanding_pings=MOST_PINGS,
            error_cb=self._on_error,
            closed_cb=self._on_closed,
            **self._secrets(),
        )
        for subject in (self._subject(None), self._subject(self._life)):
            await client.subscribe(  # pyright: ignore[reportUnknownMemberType] -- a bare Future of nats-py's
                subject, cb=self._on_message, pending_msgs_limit=0, pending_bytes_limit=MAX_UNREAD_BYTES
            )
        await client.flush(CONNECT_TIMEOUT)

    def _secrets(self) -> dict[str, Any]:
        options = self._options
        given: dict[str, Any] = {
            "tls": self._tls,
            "user": options.user,
            "password": options.password,
            "token": options.token,
            "user_credentials": str(options.credentials_file) if options.credentials_file else None,
            "nkeys_seed": str(options.nkey_file) if options.nkey_file else None,
        }
        return {name: value for name, value in given.items() if value is not None}

    async def _serve(self, client: Client) -> None:
        self._client = client
        self._up.set()
        self._handler.on_open()
        writing = asyncio.create_task(self._write(client), name="backplane-write")
        closed = asyncio.create_task(self._closed.wait())
        try:
            await asyncio.wait((writing, closed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._up.clear()
            self._forget_waiting()
            for task in (writing, closed):
                task.cancel()
            await asyncio.gather(writing, closed, return_exceptions=True)
            self._client = None
            await _close(client)
            self._handler.on_lost()

    async def _write(self, client: Client) -> None:
        """Publish what waits; ends when it can't be published."""
        with contextlib.suppress(OSError, nats.errors.Error):
            while True:
                await self._news.wait()
                self._news.clear()
                await self._publish_waiting(client)

    async def _publish_waiting(self, client: Client) -> None:
        while self._waiting:
            subject, payload = self._waiting.popleft()
            self._waiting_bytes -= len(payload)
            try:
                await client.publish(subject, payload)
            except nats.errors.MaxPayloadError:
                _log.error("NATS takes %d bytes at most: raise its max_payload", client.max_payload)

    async def _drain(self, client: Client) -> None:
        await self._publish_waiting(client)
        await client.flush()

    # -- what nats-py says -----------------------------------------------------------------------------------

    async def _on_message(self, message: Msg) -> None:
        if self._up.is_set():
            self._handler.on_packet(message.data)

    async def _on_error(self, error: Exception) -> None:
        self._problem = _words(error)
        _log.debug("nats: %s", self._problem)

    async def _on_closed(self) -> None:
        self._closed.set()

    # -- how -------------------------------------------------------------------------------------------------

    def _subject(self, to: str | None) -> str:
        base = f"agentbus.{self._options.cluster}"
        return f"{base}.all" if to is None else f"{base}.hub.{to}"

    def _forget_waiting(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0

    def _restart(self) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(self._handler.on_lost)
        loop.call_soon(self._handler.on_open)


async def _close(client: Client) -> None:
    with contextlib.suppress(Exception):
        await asyncio.wait_for(client.close(), STOP_TIMEOUT)


def _words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) if isinstance(error, nats.errors.Error) and str(error) else type(error).__name__


def _is_refusal(problem: str) -> bool:
    return any(word in problem.lower() for word in _REFUSALS)
