"""`Attendance`: which lives of workers are watched, and whose death is certain. On the agents' loop.

A queue gives a job to somebody else before its lease ends only where it is certain that nobody works on it:
the worker has ended, its node has said goodbye or has a new life, or its parent process saw it exit. Silence
is no certificate: whoever is silent may be at work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from agentbus.agents.events import DeathReason
from agentbus.agents.watching import AgentDown

if TYPE_CHECKING:
    from agentbus.runtime import Loop, Subscription

NO_CERTIFICATE = DeathReason.SILENT


class Attendance:
    """Watches workers.

    Args:
        watch: watches an agent by its address.
        loop: the agents' loop.
        gone: told of a worker, and the session of it, that is certainly dead.
    """

    def __init__(
        self,
        watch: Callable[[str, Callable[[AgentDown], object]], Subscription],
        loop: Loop,
        gone: Callable[[str, str], object],
    ) -> None:
        self._watch = watch
        self._loop = loop
        self._gone = gone
        self._watched: dict[str, tuple[str, Subscription]] = {}

    def __len__(self) -> int:
        """Count the workers that are watched."""
        return len(self._watched)

    def saw(self, worker: str, session: str) -> None:
        """Take a sign of a worker: a session that is new is watched from now on.

        Raises:
            InvalidNameError: that is no address.
        """
        known = self._watched.get(worker)
        if known is not None and known[0] == session:
            return
        if known is not None:
            known[1].cancel()

        def down(news: AgentDown) -> None:
            self._loop.call_soon(self._down, worker, session, news.reason)

        self._watched[worker] = session, self._watch(worker, down)

    def _down(self, worker: str, session: str, reason: str) -> None:
        known = self._watched.get(worker)
        if known is None or known[0] != session:
            return  # it is about an earlier life, whose leases ended when this one came
        del self._watched[worker]
        if reason != NO_CERTIFICATE:
            self._gone(worker, session)

    def close(self) -> None:
        """Watch nobody any more."""
        watched, self._watched = self._watched, {}
        for _session, subscription in watched.values():
            subscription.cancel()
