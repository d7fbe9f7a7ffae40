"""Asks to agents of other nodes that have no reply yet. On the I/O loop."""

from __future__ import annotations

from collections.abc import Callable

from agentbus.agents.calls import Ask
from agentbus.agents.envelope import Envelope, Kind, Stamp
from agentbus.agents.link_queue import Unsent
from agentbus.agents.outcome import Outcome


class OpenAsks:
    """A slot for each reply, until the asker has it or gives up.

    Args:
        on_loop: calls a function on the I/O loop, from any thread.
        give_up: told of each ask that its asker has cancelled, with the number of its envelope.
    """

    def __init__(self, on_loop: Callable[..., object], give_up: Callable[[str, Ask], object]) -> None:
        self._on_loop = on_loop
        self._give_up = give_up
        self._asks: dict[str, Ask] = {}

    def __len__(self) -> int:
        """Count them."""
        return len(self._asks)

    def remember(self, number: str, ask: Ask, stamp: Stamp, place: int) -> None:
        """Keep a slot for the reply to an ask that waits in a place of the link to a life of a node."""
        ask.sent(number, stamp)
        ask.place = place
        self._asks[number] = ask
        ask.future.add_done_callback(lambda _future: self._over(number))

    def _over(self, number: str) -> None:
        """Forget an ask that is over, from any thread; one that was replied to is forgotten already."""
        if number in self._asks:
            self._on_loop(self._forget, number)

    def _forget(self, number: str) -> None:
        ask = self._asks.pop(number, None)
        if ask is not None and ask.future.cancelled():
            self._give_up(number, ask)

    def get(self, stamp: Stamp, number: str | None) -> Ask | None:
        """Give the ask of that number to that life, if somebody waits for it."""
        ask = self._asks.get(number or "")
        return None if ask is None or ask.stamp != stamp else ask

    def replied(self, stamp: Stamp, envelope: Envelope) -> None:
        """Take a reply or an error from the node that was asked."""
        ask = self.get(stamp, envelope.correlation)
        if ask is None:
            return
        del self._asks[envelope.correlation or ""]
        if envelope.kind == Kind.REPLY:
            ask.reply(envelope)
        else:
            ask.error(envelope)

    def life_over(self, stamp: Stamp, unsent: list[Unsent]) -> None:
        """Tell those who wait for a life that is over, unless their request is among what never left."""
        waiting = {id(each.token) for each in unsent}
        for ask in [ask for ask in self._asks.values() if ask.stamp == stamp]:
            if id(ask) not in waiting:
                ask.settle(Outcome.UNKNOWN)

    def close(self, error: Exception) -> None:
        """End: whoever still waits is told."""
        for ask in list(self._asks.values()):
            ask.future.try_set_exception(error)
        self._asks.clear()
