"""What happens on the bus, in words: who died, who came back, what the supervisor decided."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, ClassVar

from agentbus.agents import (
    BusEvent,
    NodeBack,
    NodeDead,
    NodeSuspect,
    ProcessExited,
    ProcessStarted,
)


class Decisions:
    """Turns events into lines, and calls every worker by its place in the fleet."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def name(self, node: str) -> str:
        """What people call the worker of a node."""
        place = self._places.get(node)
        return node if place is None else f"worker {place}"

    def describe(self, event: BusEvent) -> str | None:
        """One line about an event; `None` if nobody needs to know."""
        describe = self._LINES.get(type(event))
        return None if describe is None else describe(self, event)

    def _started(self, event: ProcessStarted) -> str:
        self._places[event.node] = event.place
        return f"supervisor: worker {event.place} runs (process {event.process_id})"

    def _exited(self, event: ProcessExited) -> str:
        how = _ending(event.exit_code)
        then = "it stays down"
        if event.restart_delay is not None:
            then = f"another one in {event.restart_delay:.1f} s"
        return f"supervisor: worker {event.place} (process {event.process_id}) {how}; {then}"

    def _suspect(self, event: NodeSuspect) -> str | None:
        if event.node not in self._places:
            return None
        return f"membership: {self.name(event.node)} is out of touch, not dead: its work stays with it"

    def _back(self, event: NodeBack) -> str | None:
        if event.node not in self._places:
            return None
        return f"membership: {self.name(event.node)} is back and goes on where it was"

    def _dead(self, event: NodeDead) -> str | None:
        if event.node not in self._places:
            return None
        return f"membership: {self.name(event.node)} is dead ({event.reason}); whoever asked it is told"

    _LINES: ClassVar[dict[type[BusEvent], Callable[[Decisions, Any], str | None]]] = {
        ProcessStarted: _started,
        ProcessExited: _exited,
        NodeSuspect: _suspect,
        NodeBack: _back,
        NodeDead: _dead,
    }


def _ending(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        return f"was ended by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was ended by signal {-exit_code}"
