"""Who waits until the other nodes have been told of a change. On the I/O loop."""

from __future__ import annotations

from agentbus.errors import SignallingServerError
from agentbus.runtime import Future


class Announcing:
    """Futures of changes that are to be announced, and the messages that announce them.

    What got lost with a connection is told again on the next one, so whoever waits goes on waiting.
    """

    def __init__(self) -> None:
        self._unsaid: list[Future[None]] = []
        self._saying: dict[Future[None], list[Future[None]]] = {}

    def wait(self) -> Future[None]:
        """Give the future of the moment when the changes so far have been passed on by the hub."""
        waiting: Future[None] = Future[None]().quiet()
        self._unsaid.append(waiting)
        return waiting

    def attach(self) -> Future[None] | None:
        """Give what is to be done once a message has been passed on; None if nobody waits for one."""
        if not self._unsaid:
            return None
        said: Future[None] = Future[None]().quiet()
        self._saying[said], self._unsaid = self._unsaid, []
        said.add_done_callback(self._said)
        return said

    def _said(self, said: Future[None]) -> None:
        """Tell who waited for a message; what was lost with its connection will be said again on the next."""
        waiting = self._saying.pop(said, [])
        error = said.exception()
        if isinstance(error, SignallingServerError):
            _fail(waiting, error)
        elif error is None:
            _release(waiting)
        else:
            self._unsaid += waiting

    def nothing_to_say(self) -> None:
        """Release who waits: there is no change."""
        waiting, self._unsaid = self._unsaid, []
        _release(waiting)

    def offline(self) -> None:
        """Go on waiting for what was being said: the message is void."""
        for waiting in self._saying.values():
            self._unsaid += waiting
        self._saying.clear()

    def fail(self, error: Exception) -> None:
        """Fail all who wait."""
        self.offline()
        waiting, self._unsaid = self._unsaid, []
        _fail(waiting, error)


def _release(waiting: list[Future[None]]) -> None:
    for each in waiting:
        each.try_set(None)


def _fail(waiting: list[Future[None]], error: BaseException) -> None:
    for each in waiting:
        each.try_set_exception(error)
