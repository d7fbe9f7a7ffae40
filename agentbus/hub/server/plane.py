"""One hub on a backplane: packets go to its core, what its core tells other hubs goes out once per turn."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentbus.hub.backplane.transport import Backplane
from agentbus.hub.core.cluster import ClusterTimes

if TYPE_CHECKING:
    from agentbus.hub.server.shell import HubShell

SETTLE_TIMEOUT = 2.0
"""Seconds that a starting hub waits at most, to know the others' peers before it takes clients."""

SETTLE_QUIET = 0.3
"""Seconds without a new hub, until it believes that it knows all."""

_LOOK_INTERVAL = 0.05

_log = logging.getLogger("agentbus.hub")


@dataclass(frozen=True)
class Membership:
    """What a hub needs to be one of several.

    Attributes:
        backplane: the way to the others.
        name: of this hub, the same over restarts; different from the others'.
        life: names this run of it: letters, digits and dashes.
    """

    backplane: Backplane
    name: str
    life: str


class Plane:
    """Glue between a hub's shell and its backplane.

    Args:
        shell: the hub.
        membership: how it joins the others.
        times: how long hubs wait for one another.

    Attributes:
        cluster: the core's side.
    """

    def __init__(self, shell: HubShell, membership: Membership, times: ClusterTimes | None = None) -> None:
        self._shell = shell
        self._backplane = membership.backplane
        self._life = membership.life
        self._was_reachable = False
        self._others = 0
        self._over = False
        self.cluster = shell.hub.join(
            membership.name, membership.life, on_waiting=self._on_waiting, times=times
        )

    # -- a life, in order ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Find the other hubs, if there are any; a backplane that is away now is waited for later.

        Raises:
            HubConfigError: the backplane will never let this hub in.
        """
        await self._backplane.start(self._life, self)
        quiet = tried = 0.0
        while quiet < SETTLE_QUIET and tried < SETTLE_TIMEOUT:
            known = len(self.cluster.links)
            await asyncio.sleep(_LOOK_INTERVAL)
            tried += _LOOK_INTERVAL
            settled = self.cluster.reachable and self.cluster.links.synced
            quiet = quiet + _LOOK_INTERVAL if settled and len(self.cluster.links) == known else 0.0

    async def stop(self) -> None:
        """Say goodbye to the other hubs."""
        await self._backplane.stop()

    def farewell(self) -> None:
        """Tell the others that this hub's peers are gone."""
        self._over = True
        for parcel in self.cluster.farewell():
            self._backplane.send(parcel.to, parcel.payload)

    # -- what the backplane says ---------------------------------------------------------------------------

    def on_open(self) -> None:
        """Tell the core that packets are carried."""
        self.cluster.opened(self._shell.now())
        self._shell.rearm()

    def on_packet(self, payload: bytes) -> None:
        """Give the core one packet."""
        self._shell.execute(self.cluster.received(payload, self._shell.now()))
        self._shell.rearm()
        self._note()

    def on_lost(self) -> None:
        """Tell the core that packets are not carried."""
        self._shell.execute(self.cluster.closed(self._shell.now()))
        self._shell.rearm()
        self._note()

    # -- how -----------------------------------------------------------------------------------------------

    def _on_waiting(self) -> None:
        self._shell.loop.asyncio_loop.call_soon(self._flush)

    def _flush(self) -> None:
        for parcel in self.cluster.take():
            self._backplane.send(parcel.to, parcel.payload)
        self._note()

    def _note(self) -> None:
        """Log what an operator wants to know: the backplane came or went, a hub came or went."""
        if self._over:
            return
        reachable, others = self.cluster.reachable, len(self.cluster.links)
        if reachable is not self._was_reachable:
            self._was_reachable = reachable
            if reachable:
                _log.info("the backplane is there")
            else:
                _log.warning("the backplane is away: this hub serves its own clients alone until it is back")
        if others != self._others:
            self._others = others
            _log.info("this hub is one of %d", others + 1)
