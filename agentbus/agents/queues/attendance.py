"""`Attendance`: which lives of workers are watched, and whose death is certain. On the agents' loop.

A queue gives a job to somebody else before its lease ends only where it is certain that nobody works on it:
the worker has ended, its node has said goodbye, its parent process saw it exit, or the new life of its node
does not know it. Silence is no certificate: whoever is silent may be at work. Nor is a new life alone: a node
that others gave up for dead goes on as one, with its workers and what they do. A worker that was started anew
says so itself: it has another session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from agentbus.agents.events import DeathReason
from agentbus.agents.watching import AgentDown

if TYPE_CHECKING:
    from agentbus.runtime import Loop, Subscription


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
        self._begin(worker, session)

    def _begin(self, worker: str, session: str) -> None:
        def down(news: AgentDown) -> None:
            self._loop.call_soon(self._down, worker, session, news)

        self._watched[worker] = session, self._watch(worker, down)

    def _down(self, worker: str, session: str, news: AgentDown) -> None:
        known = self._watched.get(worker)
        if known is None or known[0] != session:
            return  # it is about an earlier life, whose leases ended when this one came
        del self._watched[worker]
        if news.certain:
            self._gone(worker, session)
        elif news.reason == DeathReason.REPLACED:
            self._begin(worker, session)  # if the new life does not know the worker, it says so at once

    def close(self) -> None:
        """Watch nobody any more."""
        watched, self._watched = self._watched, {}
        for _session, subscription in watched.values():
            subscription.cancel()
