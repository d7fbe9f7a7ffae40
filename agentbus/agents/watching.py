"""Who wants to know of whose death. Lives on the I/O loop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import msgspec

from agentbus.agents.address import Address
from agentbus.agents.calls import Parcel
from agentbus.agents.envelope import NOTHING, Kind
from agentbus.agents.events import DeathReason
from agentbus.agents.hosted import Hosted
from agentbus.agents.outcome import Outcome
from agentbus.errors import RuntimeFault
from agentbus.runtime import Loop


class AgentDown(msgspec.Struct, frozen=True):
    """An agent is dead: it stopped, gave up, was never there, or its node is dead. Suspicion is not death.

    Attributes:
        address: which, as text.
        reason: "ended", "no_such_agent", or what made its node dead: see `DeathReason`.
        certain: whether it certainly does no more work: its node has said so, or has said goodbye, or its
            process has exited. A node that is silent or unknown may be at work, and one that is replaced may
            be the same process, which goes on as a new life.
    """

    address: str
    reason: str
    certain: bool = True


NOBODY = "no_such_agent"
_CERTAIN = frozenset({DeathReason.GOODBYE, DeathReason.EXITED})


Callback = Callable[[AgentDown], object]


class Watches:
    """The watches that this node has set on agents of others."""

    def __init__(self) -> None:
        self._watches: dict[Address, dict[object, Callback]] = {}

    def __len__(self) -> int:
        """Count the agents that are watched."""
        return len(self._watches)

    def add(self, address: Address, key: object, callback: Callback) -> bool:
        """Set a watch; tell whether it is the first on that agent."""
        first = address not in self._watches
        self._watches.setdefault(address, {})[key] = callback
        return first

    def remove(self, address: Address, key: object) -> bool:
        """Take a watch off; tell whether it was the last on that agent."""
        watches = self._watches.get(address, {})
        if watches.pop(key, None) is None or watches:
            return False
        del self._watches[address]
        return True

    def agent_down(self, address: Address, reason: str, *, certain: bool = True) -> None:
        """Tell those who watch an agent; each is told once."""
        for callback in self._watches.pop(address, {}).values():
            callback(AgentDown(str(address), reason, certain))

    def node_down(self, node: str, reason: str) -> None:
        """Tell those who watch any agent of a node."""
        for address in [address for address in self._watches if address.node == node]:
            self.agent_down(address, reason, certain=reason in _CERTAIN)


class WatchCall:
    """What becomes of a request to watch: only its failure matters, which means that the agent is not there.

    Args:
        nobody: told that there is no such agent, and whether its node has said so.
    """

    over = False

    def __init__(self, nobody: Callable[[bool], object]) -> None:
        self._nobody = nobody

    def withdrawn(self) -> None:
        """Nobody gives it up."""

    def settle(self, outcome: Outcome) -> None:
        """Take the link's word."""
        if outcome is Outcome.DEAD_LETTERED:
            self._nobody(True)  # noqa: FBT003 -- a value

    def fail(self, error: Exception, outcome: Outcome) -> None:
        """It never left."""
        del error, outcome
        self._nobody(False)  # noqa: FBT003 -- a value


class Watching:
    """Watches, and the requests that they take. On the I/O loop.

    Args:
        send: sends a request to another node.
    """

    def __init__(self, send: Callable[[Parcel], None]) -> None:
        self._send = send
        self._watches = Watches()

    def watch(self, address: Address, key: object, callback: Callback) -> None:
        """Call back once the agent is dead."""
        if self._watches.add(address, key, callback):
            call = WatchCall(lambda certain: self._watches.agent_down(address, NOBODY, certain=certain))
            self._send(Parcel(address, Kind.WATCH, NOTHING, call=call))

    def unwatch(self, address: Address, key: object) -> None:
        """Watch no more."""
        if self._watches.remove(address, key):
            self._send(Parcel(address, Kind.UNWATCH, NOTHING, call=WatchCall(lambda _certain: None)))

    def agent_down(self, address: Address, reason: str) -> None:
        """Tell those who watch an agent."""
        self._watches.agent_down(address, reason)

    def node_down(self, node: str, reason: str) -> None:
        """Tell those who watch any agent of a node."""
        self._watches.node_down(node, reason)


class LocalWatches:
    """The watches on agents of this node. On the I/O loop.

    An agent has one note of it, however many watch it or have given up to.

    Args:
        loop: the I/O loop.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._callbacks: dict[Hosted, dict[object, Callback]] = {}

    def add(self, hosted: Hosted, key: object, callback: Callback) -> None:
        """Call back once the agent, or all of the group, is dead; at once if it is."""
        noted = hosted in self._callbacks
        self._callbacks.setdefault(hosted, {})[key] = callback
        if not noted:
            hosted.ended().add_done_callback(lambda _ended: self._on_loop(hosted))

    def remove(self, hosted: Hosted, key: object) -> None:
        """Call back no more."""
        self._callbacks.get(hosted, {}).pop(key, None)

    def _on_loop(self, hosted: Hosted) -> None:
        with suppress(RuntimeFault):  # the loop has ended, and with it all who watched
            self._loop.call_soon(self._down, hosted)

    def _down(self, hosted: Hosted) -> None:
        for callback in self._callbacks.pop(hosted, {}).values():
            callback(AgentDown(hosted.address, "ended"))
