"""When presence deltas go out: at most 50 ms after the change, many changes in one frame. Spec section 4."""

from __future__ import annotations

from agentbus.hub.core.channel import Channel
from agentbus.hub.core.commands import Command
from agentbus.hub.core.roster import MAX_CHANGES


class PresenceSchedule:
    """The channels whose deltas wait: all equally long, so that the first to wait is the first due."""

    __slots__ = ("_delay", "_due")

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._due: dict[Channel, float] = {}

    def __len__(self) -> int:
        return len(self._due)

    def changed(self, channel: Channel, now: float) -> list[Command]:
        """Plan the deltas of `channel`, if it has any; return them if they must not wait."""
        if not channel.subscribers:
            self._due.pop(channel, None)
            channel.roster.changes.clear()  # of peers at other hubs: there is nobody here to be told
            return []
        waiting = len(channel.roster.changes)
        if waiting >= MAX_CHANGES or (waiting and self._delay == 0):
            self._due.pop(channel, None)
            return channel.flush_presence()
        if waiting:
            self._due.setdefault(channel, now + self._delay)
        return []

    def next_due(self) -> float | None:
        """Return the monotonic time at which `flush_due` has something to do."""
        return next(iter(self._due.values())) if self._due else None

    def flush_due(self, now: float) -> list[Command]:
        """Return all deltas that have waited long enough."""
        commands: list[Command] = []
        while self._due:
            channel, due = next(iter(self._due.items()))
            if due > now:
                break
            del self._due[channel]
            commands += channel.flush_presence()
        return commands

    def clear(self) -> None:
        """Forget what waits."""
        self._due.clear()
