"""What the attempts of a worker tell its puller, from any thread."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from agentbus.agents.queues.core.job import Effect
from agentbus.agents.queues.messages import Settlement
from agentbus.errors import RuntimeFault
from agentbus.runtime import Future, Loop

if TYPE_CHECKING:
    from agentbus.agents.queues.puller import Puller


class PullerDesk:
    """Brings what threads say to the agents' loop, in the order in which they say it.

    Args:
        puller: is told.
        loop: where it lives.
    """

    def __init__(self, puller: Puller, loop: Loop) -> None:
        self._puller = puller
        self._loop = loop

    def progress(self, token: str, done: float | None, note: str) -> None:
        """The handling goes on."""
        with suppress(RuntimeFault):  # the loop has ended, and with it whoever was to know
            self._loop.call_soon(self._puller.job_progressed, token, done, note)

    def record(self, token: str, job_id: str, effect: Effect) -> Future[None]:
        """Keep an effect; see `Desk`."""
        return self._loop.run(self._puller.keep_effect(token, job_id, effect))

    def ended(self, token: str, settlement: Settlement | None) -> None:
        """The handler has ended; see `Desk`."""
        with suppress(RuntimeFault):
            self._loop.call_soon(self._puller.job_ended, token, settlement)

    def broke(self, token: str, settlement: Settlement) -> None:
        """The attempt's agent has ended under it."""
        with suppress(RuntimeFault):
            self._loop.call_soon(self._puller.job_broke, token, settlement)
