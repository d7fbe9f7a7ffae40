"""Messages of the period, counted over all hubs: each hub's own count by its name, the larger one is right.

Counts only grow, so hubs that exchange them in any order agree in the end, also on those of hubs that are
gone; a hub that comes back under its name learns from the others what it had counted.
"""

from __future__ import annotations

from agentbus.hub.core.app import App
from agentbus.hub.core.cluster.messages import Counts

MAX_NAMES = 1024
"""Hubs whose counts are kept within one period; further names are not counted."""


class Tally:
    """One app's counts.

    Args:
        app: whose meter is told the sum of the others'.
        name: of this hub.
    """

    __slots__ = ("_app", "_by_hub", "_name", "_period", "_told")

    def __init__(self, app: App, name: str) -> None:
        self._app = app
        self._name = name
        self._period = 0
        self._by_hub: dict[str, int] = {}
        self._told: dict[str, int] = {}

    def merge(self, counts: Counts) -> None:
        """Take in what another hub knows; the meter's period has begun."""
        meter = self._app.meter
        self._follow(meter.period_start)
        if counts.period_start != self._period:
            return  # a hub whose clock is on the other side of the month's edge
        for name, messages in counts.by_hub.items():
            if name == self._name:
                meter.messages = max(meter.messages, messages)
            elif name in self._by_hub or len(self._by_hub) < MAX_NAMES:
                self._by_hub[name] = max(self._by_hub.get(name, 0), messages)
        meter.elsewhere_messages = sum(self._by_hub.values())

    def news(self) -> Counts | None:
        """Return all that is known, if it is more than was told last."""
        counts = self.counts()
        if counts.by_hub == self._told:
            return None
        self._told = counts.by_hub
        return counts

    def counts(self) -> Counts:
        """Return all that is known."""
        meter = self._app.meter
        self._follow(meter.period_start)
        own = {self._name: meter.messages} if meter.messages else {}
        return Counts(self._app.id, self._period, self._by_hub | own)

    def _follow(self, period: int) -> None:
        if period != self._period:
            self._period = period
            self._by_hub = {}
