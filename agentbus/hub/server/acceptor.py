"""Accepting TLS connections, so that a handshake counts as an unauthenticated socket and can be dropped.

asyncio's own server hides a connection until its handshake is over, and keeps the context that it began with.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Final, cast

from agentbus.hub.server.addresses import canonical
from agentbus.hub.server.entrance import REASON_DROPPED, Entrance
from agentbus.hub.server.tls import HANDSHAKE_TIMEOUT, SHUTDOWN_TIMEOUT, Certificate

log: Final = logging.getLogger("agentbus.hub.tls")

ACCEPTED_PER_TURN: Final = 64
OUT_OF_FILES_PAUSE: Final = 1.0
REASON_TLS: Final = "tls"
_NOTHING_THERE = (BlockingIOError, InterruptedError, ConnectionAbortedError)
_OUT_OF_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

ProtocolFactory = Callable[[], asyncio.BaseProtocol]


class TlsAcceptor:
    """Accepts connections of one listening socket and gives each a TLS handshake of bounded time.

    Args:
        listener: not blocking; it is closed with the acceptor.
        factory: makes a protocol for each connection whose handshake is done.
        certificate: whose context of the moment is used.
        entrance: where handshakes wait, and from where they may be dropped.
        loop: on which it lives.
    """

    def __init__(
        self,
        listener: socket.socket,
        factory: ProtocolFactory,
        certificate: Certificate,
        entrance: Entrance,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.factory = factory
        self.certificate = certificate
        self.entrance = entrance
        self.loop = loop
        self._listener = listener
        self._open = True
        self._resume()

    def close(self) -> None:
        """Accept nobody any more, and give up the handshakes under way."""
        if self._open:
            self._open = False
            self.loop.remove_reader(self._listener)
            self._listener.close()
            for one in tuple(self.entrance.waiting):
                if isinstance(one, _Handshake):
                    one.give_up()

    async def wait_closed(self) -> None:
        """Return at once: connections are the business of who made them."""

    def _resume(self) -> None:
        if self._open:
            self.loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_PER_TURN):
            try:
                connection, peer = self._listener.accept()
            except _NOTHING_THERE:
                return
            except OSError as error:
                self._pause(error)
                return
            connection.setblocking(False)  # noqa: FBT003 -- its only argument
            _Handshake(self, connection, _host_of(peer))

    def _pause(self, error: OSError) -> None:
        if error.errno not in _OUT_OF_FILES:
            raise error
        log.error("no connection can be accepted for now: %s", error.strerror)
        self.loop.remove_reader(self._listener)
        self.loop.call_later(OUT_OF_FILES_PAUSE, self._resume)


def _host_of(peer: object) -> str:
    return str(cast("tuple[object, ...]", peer)[0]) if isinstance(peer, tuple) else ""


class _Handshake:
    """One connection until its handshake is over."""

    def __init__(self, acceptor: TlsAcceptor, connection: socket.socket, peer: str) -> None:
        self._address = canonical(peer)
        self._acceptor = acceptor
        self._connection = connection
        self._task = acceptor.loop.create_task(self._shake())
        self._task.add_done_callback(self._done)
        acceptor.entrance.enter(self)

    def give_up(self) -> None:
        """End it: the hub is closing."""
        self._task.cancel()

    def drop(self) -> None:
        """Give it up: there are too many that have shown no credential."""
        self._acceptor.entrance.refuse(REASON_DROPPED, self._address)
        self._task.cancel()

    async def _shake(self) -> None:
        try:
            await self._acceptor.loop.connect_accepted_socket(
                self._acceptor.factory,
                self._connection,
                ssl=self._acceptor.certificate.context,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT,
            )
        except OSError:  # no TLS, no common version, too slow, gone: nothing that anybody here could mend
            self._acceptor.entrance.refuse(REASON_TLS, self._address)
            self._connection.close()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._acceptor.entrance.leave(self)
        if task.cancelled():
            self._connection.close()
        elif (error := task.exception()) is not None:
            context = {"message": "a TLS handshake failed", "exception": error, "task": task}
            self._acceptor.loop.call_exception_handler(context)
