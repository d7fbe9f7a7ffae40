"""Futures whose value is computed when somebody asks for it: pykka's get hooks, and views such as `map`."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from agentbus.runtime import forks
from agentbus.runtime.faults import FutureTimeout

if TYPE_CHECKING:
    from agentbus.runtime.future import Future

GetHook = Callable[[float | None], Any]

_NOTHING: Final = object()


class Hook(forks.ProcessBound):
    """A computation, and the futures that it reads.

    The computation runs where its value is asked for, never on the thread that resolves a source: it is user
    code, and that thread may serve sockets. Its value is kept; its failure is not, as in pykka.

    Args:
        compute: gives the value; its argument is how many seconds it may wait (None = for ever).
        sources: all that it waits for; None = unknown, so that only trying tells.
    """

    def __init__(self, compute: GetHook, sources: tuple[Future[Any], ...] | None) -> None:
        super().__init__()
        self._compute = compute
        self._turn = threading.Lock()
        self._value: Any = _NOTHING
        self.sources = sources

    def evaluate(self, timeout: float | None) -> Any:
        """Give the value; one thread computes it, once.

        Raises:
            FutureTimeout: another thread was still at it after `timeout` seconds.
        """
        if self._value is not _NOTHING:
            return self._value
        self.check_fork()
        if not self._turn.acquire(timeout=-1 if timeout is None else max(timeout, 0.0)):
            raise FutureTimeout(f"no value within {timeout} s")
        try:
            if self._value is _NOTHING:
                self._value = self._compute(timeout)
            return self._value
        finally:
            self._turn.release()

    def failure(self) -> Exception | None:
        """Give what computing fails with, None if it does not."""
        try:
            self.evaluate(None)
        except Exception as error:  # noqa: BLE001 -- the caller asked for it as a value
            return error
        return None

    def ready(self) -> bool:
        """Whether asking is known not to wait."""
        if self.sources is None:
            return self._value is not _NOTHING
        return all(source.done() for source in self.sources)

    def cancel(self) -> bool:
        """Cancel the sources; whether one was."""
        return sum(source.cancel() for source in self.sources or ()) > 0

    def cancelled(self) -> bool:
        """Whether a source was cancelled, so that there is nothing to compute from."""
        return any(source.cancelled() for source in self.sources or ())

    def when_ready(self, then: Callable[[], object]) -> None:
        """Call `then` once asking won't wait: on the thread that resolves the last source, if known."""
        if self.sources is None:
            self.evaluate_elsewhere().add_done_callback(lambda _value: then())
            return
        arrivals = itertools.count(1)
        last = len(self.sources)

        def arrive(_source: Future[Any]) -> None:
            if next(arrivals) == last:
                then()

        for source in self.sources:
            source.add_done_callback(arrive)

    def evaluate_elsewhere(self) -> Future[Any]:
        """Compute the value on a thread of its own, for a loop that can't know how long it takes."""
        from agentbus.runtime.future import Future

        future: Future[Any] = Future()

        def attempt() -> None:
            try:
                future.try_set(self.evaluate(None))
            except BaseException as error:  # noqa: BLE001 -- it belongs to who reads the future
                future.try_set_exception(error)

        threading.Thread(target=attempt, name="agentbus-get-hook", daemon=True).start()
        return future
