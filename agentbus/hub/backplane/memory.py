"""A backplane within one process: for tests and the simulation, with the faults that a real one has."""

from __future__ import annotations

from collections.abc import Callable

from agentbus.hub.backplane.transport import BackplaneHandler

CallSoon = Callable[..., object]


class MemoryExchange:
    """What joins several hubs of one process.

    Args:
        call_soon: calls a function with arguments later, in the order given: an event loop's `call_soon`.

    Attributes:
        lost: packets that faults have swallowed.
    """

    def __init__(self, call_soon: CallSoon) -> None:
        self._call_soon = call_soon
        self._members: dict[str, MemoryBackplane] = {}
        self._away: set[str] = set()
        self._deaf: set[str] = set()
        self._swallow = 0
        self.lost = 0

    def backplane(self) -> MemoryBackplane:
        """Make one hub's way to the others."""
        return MemoryBackplane(self)

    # -- faults ----------------------------------------------------------------------------------------------

    def take_away(self, *lives: str) -> None:
        """Break hubs' connections to the exchange, and tell them; all of them where none is named."""
        for life in lives or tuple(self._members):
            if life not in self._away:
                self._away.add(life)
                self._call_soon(self._members[life].handler.on_lost)

    def bring_back(self, *lives: str) -> None:
        """Mend what `take_away` broke."""
        for life in lives or tuple(self._away):
            self._away.discard(life)
            if life in self._members:
                self._call_soon(self._members[life].handler.on_open)

    def cut_off(self, *lives: str) -> None:
        """Part hubs from the others without telling anyone: they still hear themselves."""
        self._deaf.update(lives)

    def heal(self) -> None:
        """Mend what `cut_off` parted."""
        self._deaf.clear()

    def swallow(self, packets: int) -> None:
        """Lose the next so many packets."""
        self._swallow += packets

    # -- what backplanes do ----------------------------------------------------------------------------------

    def join(self, life: str, member: MemoryBackplane) -> None:
        """Let a hub in."""
        self._members[life] = member

    def leave(self, life: str) -> None:
        """Let a hub go."""
        self._members.pop(life, None)
        self._away.discard(life)

    def carry(self, sender: str, to: str | None, payload: bytes) -> None:
        """Bring a packet to one hub or to all."""
        if sender in self._away:
            self.lost += 1
            return
        for life in list(self._members) if to is None else [to]:
            if self._swallow and life != sender:
                self._swallow -= 1
                self.lost += 1
            else:
                self._call_soon(self._arrive, sender, life, payload)

    def _arrive(self, sender: str, life: str, payload: bytes) -> None:
        member = self._members.get(life)
        parted = life != sender and not self._deaf.isdisjoint((life, sender))
        if member is None or life in self._away or parted:
            self.lost += 1
        else:
            member.handler.on_packet(payload)


class MemoryBackplane:
    """One hub's way to the others over a `MemoryExchange`."""

    handler: BackplaneHandler

    def __init__(self, exchange: MemoryExchange) -> None:
        self._exchange = exchange
        self._life = ""

    async def start(self, life: str, handler: BackplaneHandler) -> None:
        """Join."""
        self.join(life, handler)

    def join(self, life: str, handler: BackplaneHandler) -> None:
        """Join, without an event loop."""
        self._life, self.handler = life, handler
        self._exchange.join(life, self)
        handler.on_open()

    def send(self, to: str | None, payload: bytes) -> None:
        """Carry a packet."""
        self._exchange.carry(self._life, to, payload)

    async def stop(self) -> None:
        """Leave; what is under way arrives."""
        self._exchange.leave(self._life)
