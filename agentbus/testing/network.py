"""A network in memory: clients dial hubs over it with the real wire code, and faults are context managers.

    network = MemoryNetwork(loop, Random(7))
    network.listen("ws://localhost", make_server_protocol)
    client = SignallingClient(..., url="ws://localhost", transport_factory=network.dialler("alice"))
    with network.delaying(2.0), network.dropping(0.1, "alice"):
        ...
    network.cut("alice")

The same loop, seed and calls give the same run: all chance is drawn from one generator, and events keep the
order of their causes.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import itertools
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from random import Random

from agentbus.protocol.url import check_origin
from agentbus.runtime.loop import Loop
from agentbus.testing.faults import Fault, FaultyStream, Toward
from agentbus.wire import (
    ClientConnection,
    ClientOptions,
    MaskKeys,
    MemoryListener,
    PipeTransport,
    Target,
    Transport,
    TransportFactory,
    TransportHandler,
)


class NetworkConnection:
    """One connection on the network.

    Attributes:
        name: the client's name on the network.
        origin: the origin that was dialled.
    """

    def __init__(self, name: str, origin: str) -> None:
        self.name = name
        self.origin = origin
        self.streams: list[FaultyStream] = []
        self._ends: tuple[PipeTransport, ...] = ()

    def __repr__(self) -> str:
        return f"<NetworkConnection {self.name} to {self.origin}>"

    def join(self, ends: tuple[PipeTransport, PipeTransport]) -> None:
        """Note the two ends, the client's first."""
        self._ends = ends

    @property
    def alive(self) -> bool:
        """Whether at least one end believes in the connection."""
        return any(not end.lost for end in self._ends)

    def cut(self, *, silently: bool = False) -> None:
        """Break the connection in the loop's next turn; what is under way is lost.

        Args:
            silently: only the client's end hears of it, as if its cable were pulled.
        """
        for stream in self.streams:
            stream.dead = True
        for end in self._ends[: 1 if silently else 2]:
            end.loop.call_soon(end.break_off, ConnectionResetError("the network cut it"))


Whom = str | NetworkConnection | None
"""Whom a fault hits: a client by name, all that dial an origin, one connection, or (None) everybody."""

FaultManager = AbstractContextManager[None]
"""The fault is there within its `with` block."""


class MemoryNetwork:
    """Listeners by origin, clients by name, and the faults between them.

    Args:
        loop: on which everything on the network lives; a virtual one for a simulation.
        random: the only source of chance.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, random: Random) -> None:
        self._loop = loop
        self._random = random
        self._keys = Random(random.getrandbits(64))
        self._options = ClientOptions(mask_keys=self._mask_keys, handshake_key=self._handshake_key)
        self._listeners: dict[str, MemoryListener] = {}
        self._connections: list[NetworkConnection] = []
        self._faults: list[Fault] = []
        self._numbers = itertools.count(1)
        self._changes: list[asyncio.Future[None]] = []

    # -- the two sides ---------------------------------------------------------------------------------------

    def listen(self, origin: str, protocol_factory: Callable[[], asyncio.BaseProtocol]) -> MemoryListener:
        """Accept connections for an origin; a second listener replaces the first, as after a restart.

        Args:
            origin: such as "ws://localhost".
            protocol_factory: makes the protocol of an accepted connection.
        """
        listener = MemoryListener(self._loop, protocol_factory)
        self._listeners[check_origin(origin).text] = listener
        return listener

    def transport_factory(self, target: Target, handler: TransportHandler, loop: Loop) -> Transport:
        """Dial over this network; a `TransportFactory`. Each dial gets a name: "client-1", "client-2", ..."""
        return self._dial(f"client-{next(self._numbers)}", target, handler, loop)

    def dialler(self, name: str) -> TransportFactory:
        """Make a `TransportFactory` for the client of that name, which faults can pick."""
        return functools.partial(self._dial, name)

    @property
    def connections(self) -> list[NetworkConnection]:
        """The connections that at least one end believes in, oldest first."""
        self._connections = [connection for connection in self._connections if connection.alive]
        return list(self._connections)

    # -- faults that last ------------------------------------------------------------------------------------

    @contextmanager
    def _with(self, fault: Fault) -> Generator[None]:
        self._faults.append(fault)
        try:
            yield
        finally:
            self._faults.remove(fault)
            self._wake()

    def refusing(self, whom: Whom = None) -> FaultManager:
        """Let dials fail at once, as if nobody listened; connections live on."""
        return self._with(Fault(whom, refuse=True))

    def dropping(self, probability: float, whom: Whom = None) -> FaultManager:
        """Break a connection with some probability at every chunk that it carries, anywhere in the chunk."""
        return self._with(Fault(whom, drop=probability))

    def delaying(
        self, seconds: float, whom: Whom = None, *, jitter: float = 0.0, toward: Toward = Toward.BOTH
    ) -> FaultManager:
        """Let dials, and all that is sent meanwhile, take longer; the order stays.

        Args:
            seconds: on the way, each way.
            whom: who suffers.
            jitter: at most so many seconds more, uniformly.
            toward: the direction that suffers.
        """
        return self._with(Fault(whom, toward, delay=seconds, jitter=jitter))

    def splitting(self, whom: Whom = None) -> FaultManager:
        """Let chunks arrive in random pieces, cut at any byte."""
        return self._with(Fault(whom, split=True))

    def partition(self, whom: Whom = None, *, toward: Toward = Toward.BOTH) -> FaultManager:
        """Let nothing through, in one direction or both, nor any dial; it all arrives when the fault ends."""
        return self._with(Fault(whom, toward, hold=True))

    def paused(self, whom: Whom = None) -> FaultManager:
        """Stop a process as far as a network can: it hears nothing and is not heard until the fault ends."""
        return self._with(Fault(whom, hold=True))

    def cut_after(self, size: int, whom: Whom = None, *, toward: Toward = Toward.BOTH) -> FaultManager:
        """Break each connection once it has carried so many bytes more, at that very byte.

        Args:
            size: bytes, counted from here, or from the dial of a later connection.
            whom: who suffers.
            toward: the direction that is counted.
        """
        return self._with(Fault(whom, toward, budget=size))

    # -- faults of a moment ----------------------------------------------------------------------------------

    def cut(self, whom: Whom = None, *, silently: bool = False) -> int:
        """Break connections in the loop's next turn; what is under way is lost.

        Args:
            whom: whose connections.
            silently: only the client's end hears of it, as if its cable were pulled.

        Returns:
            How many were cut.
        """
        chosen = [connection for connection in self.connections if Fault(whom).hits(connection)]
        for connection in chosen:
            connection.cut(silently=silently)
        return len(chosen)

    # -- the dial --------------------------------------------------------------------------------------------

    def _dial(self, name: str, target: Target, handler: TransportHandler, loop: Loop) -> Transport:
        protocol = ClientConnection(target, handler, loop, self._options)
        connection = NetworkConnection(name, target.origin.text)
        protocol.start(functools.partial(self._open, protocol, connection))
        return protocol

    def _mask_keys(self) -> MaskKeys:
        return functools.partial(self._keys.randbytes, 4)

    def _handshake_key(self) -> str:
        return base64.b64encode(self._keys.randbytes(16)).decode()

    async def _open(self, protocol: ClientConnection, connection: NetworkConnection) -> None:
        await self._way(connection)
        listener = self._listeners.get(connection.origin)
        if listener is None:
            raise ConnectionRefusedError("nobody listens there")
        stream = functools.partial(self._stream, connection)
        connection.join(listener.connect(protocol, stream=stream, address=connection.name))
        self._connections = [*self.connections, connection]  # without those that have ended

    async def _way(self, connection: NetworkConnection) -> None:
        delay = sum(fault.travel_time(self._random) for fault in self._hitting(connection))
        if delay:
            await asyncio.sleep(delay)
        while any(fault.hold for fault in self._hitting(connection)):
            change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._changes.append(change)
            await change
        if any(fault.refuse for fault in self._hitting(connection)):
            raise ConnectionRefusedError("the network refuses it")

    def _hitting(self, connection: NetworkConnection) -> list[Fault]:
        return [fault for fault in self._faults if fault.hits(connection)]

    def _stream(
        self,
        connection: NetworkConnection,
        loop: asyncio.AbstractEventLoop,
        source: PipeTransport,
        sink: PipeTransport,
    ) -> FaultyStream:
        toward = Toward.CLIENT if connection.streams else Toward.SERVER
        stream = FaultyStream(loop, source, sink, connection, toward, self._faults, self._random)
        connection.streams.append(stream)
        return stream

    def _wake(self) -> None:
        changes, self._changes = self._changes, []
        for change in changes:
            if not change.done():
                change.set_result(None)
        for connection in self.connections:
            for stream in connection.streams:
                stream.wake()
