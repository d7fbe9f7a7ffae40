"""What can go wrong on the in-memory network: each fault as a value, and the stream that suffers it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Protocol

from agentbus.wire import PipeTransport, Stream


class Toward(Enum):
    """A direction."""

    CLIENT = "client"
    SERVER = "server"
    BOTH = "both"


class Endpoints(Protocol):
    """What a fault looks at to know whom it hits."""

    @property
    def name(self) -> str:
        """The client's name on the network."""
        ...

    @property
    def origin(self) -> str:
        """The origin that was dialled."""
        ...

    def cut(self) -> None:
        """Break both ends."""


@dataclass(eq=False)
class Fault:
    """One thing that goes wrong, for as long as it is in the network's list.

    Attributes:
        whom: a client's name, an origin or one connection; None for all.
        toward: the direction that suffers.
        refuse: dials fail.
        hold: nothing arrives and no dial succeeds; it all does when the fault ends.
        delay: seconds on the way.
        jitter: seconds on top of it, at most, uniformly; the order stays.
        drop: probability that a chunk breaks its connection, somewhere within the chunk.
        split: chunks arrive in random pieces.
        budget: bytes that each connection still carries until it breaks.
    """

    whom: object = None
    toward: Toward = Toward.BOTH
    refuse: bool = False
    hold: bool = False
    delay: float = 0.0
    jitter: float = 0.0
    drop: float = 0.0
    split: bool = False
    budget: int | None = None
    _spent: dict[Endpoints, int] = field(default_factory=dict["Endpoints", int])

    def hits(self, connection: Endpoints, toward: Toward = Toward.BOTH) -> bool:
        """Tell whether this fault concerns a connection in a direction."""
        if toward is not Toward.BOTH and self.toward not in (toward, Toward.BOTH):
            return False
        return self.whom is None or self.whom in (connection, connection.name, connection.origin)

    def travel_time(self, random: Random) -> float:
        """Give the seconds that something sent now takes longer because of this fault."""
        return self.delay + (random.uniform(0.0, self.jitter) if self.jitter else 0.0)

    def break_within(self, connection: Endpoints, size: int, random: Random) -> int | None:
        """Decide after how many bytes of a chunk the connection breaks; None: it carries the whole chunk."""
        if self.drop and random.random() < self.drop:
            return random.randint(0, size)
        if self.budget is None:
            return None
        spent = self._spent.get(connection, 0)
        self._spent[connection] = spent + size
        return self.budget - spent if spent + size >= self.budget else None


class FaultyStream(Stream):
    """One direction of a connection on the in-memory network.

    Args:
        loop: of both ends.
        source: the end that writes.
        sink: the end that is told.
        connection: whose direction it is.
        toward: which one.
        faults: the network's list, which changes.
        random: decides what is left to chance.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        source: PipeTransport,
        sink: PipeTransport,
        connection: Endpoints,
        toward: Toward,
        faults: list[Fault],
        random: Random,
    ) -> None:
        super().__init__(loop, source, sink)
        self._connection = connection
        self._toward = toward
        self._faults = faults
        self._random = random
        self._arrivals: deque[float] = deque()
        self.dead = False

    def suffered(self) -> list[Fault]:
        """Give the faults that concern this stream now."""
        return [fault for fault in self._faults if fault.hits(self._connection, self._toward)]

    def push(self, data: bytes) -> None:
        """Put bytes on their way; what was put there before arrives before."""
        arrival = self.loop.time() + sum(fault.travel_time(self._random) for fault in self.suffered())
        self._arrivals.append(max(arrival, self._arrivals[-1]) if self._arrivals else arrival)
        super().push(data)

    def reset(self) -> None:
        """Drop what is under way, and break the connection at the sink."""
        self._arrivals.clear()
        super().reset()

    def wake(self) -> None:
        """Deliver when the first chunk arrives, or in a later turn if it is there."""
        if self._scheduled:
            return
        self._scheduled = True
        delay = self._arrivals[0] - self.loop.time() if self._arrivals else 0.0
        if delay > 0:
            self.loop.call_later(delay, self._run)
        else:
            self.loop.call_soon(self._run)

    def take(self) -> list[bytes]:
        """Take what has arrived, as the faults of now let it through."""
        taken: list[bytes] = []
        split = any(fault.split for fault in self.suffered())
        while self._queue and self._arrivals[0] <= self.loop.time():
            data = self._queue.popleft()
            arrival = self._arrivals.popleft()
            passing = self._passing(len(data))
            if passing is not None:
                self._break_after(data, passing, taken)
                break
            if split and len(data) > 1:
                size = self._random.randrange(1, len(data))
                self._queue.appendleft(data[size:])
                self._arrivals.appendleft(arrival)
                taken.append(data[:size])
                break
            taken.append(data)
        return taken

    def _run(self) -> None:
        if self.dead or any(fault.hold for fault in self.suffered()):
            self._scheduled = False  # whoever ends the fault wakes the stream
            return
        super()._run()
        if self._queue and self.sink.is_reading():
            self.wake()

    def _passing(self, size: int) -> int | None:
        found = [fault.break_within(self._connection, size, self._random) for fault in self.suffered()]
        return min((limit for limit in found if limit is not None), default=None)

    def _break_after(self, data: bytes, size: int, taken: list[bytes]) -> None:
        if size:  # nothing would read as the end of the stream
            taken.append(data[:size])
        self.undelivered_bytes -= len(data) - size
        self._connection.cut()
